"""One recipe file as the table that the resolver of the core reads."""

from pathlib import Path
from typing import Any

from host_tools.compile_options import OptionCompiler, outside
from host_tools.compile_signals import name_problem, range_of, scaled, steps_of
from host_tools.equipment_source import EquipmentSource, PhaseSource
from host_tools.models import ParameterTable, RecipeFile, StepTable
from host_tools.toml_file import Problems, closest, model_of, read_toml, shown

MAX_STEPS = 64


class RecipeCompiler:
    """Turns one recipe file into its table; every problem goes to `problems` with the recipe's name and the remedy."""

    def __init__(
        self,
        model: RecipeFile,
        file: str,
        source: EquipmentSource,
        signals: list[str] | None,
        problems: Problems,
    ) -> None:
        """`signals`: the names of cell.toml, or None if they are not known."""
        self.model = model
        self.file = file
        self.signals = signals
        self.phases = {phase.name: phase for phase in source.phases}
        self.phases_known = source.readable
        self.problems = problems
        self.label = f"recipe {model.recipe.product}@{model.recipe.version}"
        self.params: dict[str, dict[str, Any]] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.steps: list[dict[str, Any]] = []

    def compile(self) -> dict[str, Any]:
        """The recipe of the compiled cell; only right if no problem was added."""
        head = self.model.recipe
        trouble = name_problem(head.product)
        if trouble:
            self.problems.error(f"{self.file}, [recipe]", f"product = {shown(head.product)} {trouble}")
        for name, table in self.model.parameters.items():
            self._parameter(name, table)
        names = self._step_names()
        options = OptionCompiler(self.model, self.label, self.file, self.params, self.problems)
        self.options = options.compile(names)
        for number, step in enumerate(self.model.step, 1):
            self._step(number, names[number - 1], step)
        self._groups()
        self._reach()
        self._picks()
        return {
            "product": head.product,
            "version": head.version,
            "text": head.text or head.product.replace("_", " "),
            "planned_s": head.planned_s or self._planned(),
            "params": list(self.params.values()),
            "options": list(self.options.values()),
            "exclude": options.exclusions(),
            "steps": self.steps,
        }

    def _planned(self) -> int:
        """Seconds of the steps that always run; of a group the longest."""
        total, longest, group = 0, 0, ""
        for step in self.steps:
            seconds = 0 if step["optional"] else step["planned_s"]
            if step["together"] and step["together"] == group:
                longest = max(longest, seconds)
                continue
            total, longest, group = total + longest, seconds, step["together"]
        return int(total + longest)

    def _parameter(self, name: str, table: ParameterTable) -> None:
        where = f"{self.label}, [parameters] {name}"
        trouble = name_problem(name)
        if trouble:
            self.problems.error(where, f"'{name}' {trouble}")
        steps = steps_of(table.resolution, where, self.problems)
        bounds = range_of(table.range, steps, table.unit, where, self.problems)
        if bounds is None:
            return
        entry = {
            "name": name,
            "unit": table.unit,
            "per_unit": steps,
            "lo": bounds[0],
            "hi": bounds[1],
            "default": bounds[0],
        }
        self.params[name] = entry
        where = self._where_used(name)
        value = scaled(table.default, steps, table.unit, where, name, self.problems)
        if value is not None and not bounds[0] <= value <= bounds[1]:
            outside(where, name, value, entry, self.file, self.problems)
        elif value is not None:
            entry["default"] = value

    def _where_used(self, name: str) -> str:
        """Where a parameter acts: the first step whose phase takes it, else its own line."""
        for number, step in enumerate(self.model.step, 1):
            phase = self.phases.get(step.phase)
            if phase is not None and name in phase.args and name not in step.set:
                return f"{self.label}, step {number} '{step.name or step.phase}'"
        return f"{self.label}, [parameters]"

    def _step_names(self) -> list[str]:
        names: list[str] = []
        for number, step in enumerate(self.model.step, 1):
            name = step.name or step.phase
            where = f"{self.label}, step {number} '{name}'"
            if name in names:
                first = names.index(name) + 1
                self.problems.error(
                    where,
                    f'step {first} has the same name; give one of them a name of its own: name = "{name}_2"',
                )
            trouble = name_problem(name)
            if trouble:
                self.problems.error(where, f"'{name}' {trouble}")
            names.append(name)
        if len(names) > MAX_STEPS:
            self.problems.error(
                self.label, f"{len(names)} steps, more than {MAX_STEPS}; make it two products"
            )
        return names

    def _step(self, number: int, name: str, step: StepTable) -> None:
        where = f"{self.label}, step {number} '{name}'"
        phase = self.phases.get(step.phase)
        args: list[list[str | int]] = []
        if phase is None and self.phases_known:
            self.problems.error(
                where,
                f"no phase '{step.phase}' in equipment.py; {closest(step.phase, list(self.phases))}",
            )
        elif phase is not None:
            args = self._args(where, phase, step)
            if step.on_interrupt == "resume" and not phase.marks:
                self.problems.error(
                    where,
                    f"on_interrupt = \"resume\": phase '{phase.name}' has no parameter resume_from to go on from; "
                    'add it or write "ask"',
                )
        self.steps.append(
            {
                "name": name,
                "phase": step.phase,
                "operation": step.operation,
                "args": args,
                "on_interrupt": step.on_interrupt,
                "max_hold_s": step.max_hold_s,
                "on_resume": step.on_resume,
                "on_scrap": step.on_scrap,
                "together": step.together,
                "optional": int(step.optional),
                "planned_s": step.planned_s,
            }
        )

    def _args(self, where: str, phase: PhaseSource, step: StepTable) -> list[list[str | int]]:
        args: list[list[str | int]] = []
        for name in step.set:
            if name not in phase.args or name == "resume_from":
                self.problems.error(
                    where, f"set: phase '{phase.name}' takes no '{name}'; {closest(name, phase.args)}"
                )
        for name in phase.args:
            if name in step.set:
                found = self._set(where, name, step.set[name])
                if found is not None:
                    args.append([name, *found])
            elif name in self.model.parameters:
                args.append([name, "param", name])
            elif name in self.model.options:
                args.append([name, "option", name])
            elif name in phase.required:
                self.problems.error(
                    where,
                    f"phase '{phase.name}' needs '{name}', which nothing gives; add it to [parameters] or [options], "
                    f"or set = {{ {name} = ... }} in the step",
                )
        return args

    def _set(self, where: str, name: str, value: object) -> tuple[str, str | int] | None:
        """What `set` gives to an argument: a literal, or a parameter or option of another name ({ from = "x" })."""
        if isinstance(value, dict):
            source = value.get("from")
            if list(value) != ["from"] or not isinstance(source, str):
                self.problems.error(
                    where,
                    f'set {name} = {shown(value)}: write a value, or {{ from = "parameter or option" }}',
                )
                return None
            if source in self.model.parameters:
                return "param", source
            if source in self.model.options:
                return "option", source
            known = closest(source, [*self.model.parameters, *self.model.options])
            self.problems.error(where, f"set {name}: no parameter or option '{source}'; {known}")
            return None
        entry = self.params.get(name)
        if isinstance(value, str) and (entry is None or " " not in value):
            return "value", value
        if isinstance(value, bool):
            return "value", int(value)
        number = scaled(
            value,
            entry["per_unit"] if entry else 1,
            entry["unit"] if entry else "",
            where,
            name,
            self.problems,
        )
        if number is None:
            return None
        if entry is not None and not entry["lo"] <= number <= entry["hi"]:
            outside(where, name, number, entry, self.file, self.problems)
        return "value", number

    def _groups(self) -> None:
        """Steps of one group stand side by side, and a group is more than one."""
        last: dict[str, int] = {}
        size: dict[str, int] = {}
        for number, step in enumerate(self.steps, 1):
            group = step["together"]
            if not group:
                continue
            if group in last and last[group] != number - 1:
                where = f"{self.label}, step {number} '{step['name']}'"
                self.problems.error(
                    where,
                    f'together = "{group}": step {last[group]} of the group is not its neighbour; move them together',
                )
            last[group] = number
            size[group] = size.get(group, 0) + 1
        for group, count in size.items():
            if count == 1:
                step = self.steps[last[group] - 1]
                where = f"{self.label}, step {last[group]} '{step['name']}'"
                self.problems.error(
                    where, f'together = "{group}": no other step is in the group; name one or remove it'
                )

    def _reach(self) -> None:
        """Every step can run: an optional one is added by something, no step is skipped by every value of an option."""
        values = [value for option in self.options.values() for value in option.get("values", [])]
        added = {name for value in values for name in value["add"]}
        for number, step in enumerate(self.steps, 1):
            where = f"{self.label}, step {number} '{step['name']}'"
            if step["optional"] and step["name"] not in added:
                self.problems.error(
                    where,
                    f'never runs: it is optional and no option value adds it; write add = ["{step["name"]}"] in one',
                )
            for option in self.options.values():
                choices = option.get("values", [])
                if choices and all(step["name"] in value["skip"] for value in choices):
                    self.problems.error(
                        where,
                        f"never runs: every value of option '{option['name']}' skips it; remove the step or a skip",
                    )
        always = [step for step in self.steps if not step["optional"]]
        if self.steps and not always and not added:
            self.problems.error(self.label, "no step ever runs; make one that is not optional")

    def _picks(self) -> None:
        """Where a phase picks a signal by a parameter, every value that can get there has its signal."""
        if self.signals is None:
            return
        for number, step in enumerate(self.steps, 1):
            phase = self.phases.get(step["phase"])
            for family, argument in phase.picks if phase is not None else []:
                known = [
                    name.removeprefix(f"{family}_") for name in self.signals if name.startswith(f"{family}_")
                ]
                for where, value in self._picked(step, argument):
                    if value in known:
                        continue
                    self.problems.error(
                        where,
                        f"step {number} '{step['name']}' takes cell.{family}(\"{value}\"), but cell.toml has no "
                        f'{family}_{value}; add it, or write use = "..." with one of: {", ".join(known)}',
                    )

    def _picked(self, step: dict[str, Any], argument: str) -> list[tuple[str, str]]:
        """(where it is written, value) of every text that the argument of a step can have."""
        found = []
        for name, kind, source in step["args"]:
            if name != argument:
                continue
            option = self.options.get(source) if kind == "option" else None
            if kind == "value":
                found.append((self.label, str(source)))
            for value in option.get("values", []) if option is not None else []:
                if step["name"] in value["skip"] or self._only_others_add(step, option, value):
                    continue
                found.append((f"{self.label}, [options.{source}] {value['value']}", value["use"]))
        return found

    def _only_others_add(
        self, step: dict[str, Any], option: dict[str, Any] | None, value: dict[str, Any]
    ) -> bool:
        """Whether an optional step is added by other values of this option, and by no other option."""
        if not step["optional"] or option is None or step["name"] in value["add"]:
            return False
        name = step["name"]
        adding = [
            other for other in self.options.values() if any(name in v["add"] for v in other.get("values", []))
        ]
        return adding == [option]


def recipe_from_file(
    path: Path, file: str, source: EquipmentSource, signals: list[str] | None, problems: Problems
) -> dict[str, Any] | None:
    """The compiled recipe of the file at `path`, called `file` in messages; None if its shape is already wrong."""
    raw = read_toml(path, file, problems)
    if raw is None:
        return None
    model = model_of(RecipeFile, raw, file, problems)
    if model is None:
        return None
    return RecipeCompiler(model, file, source, signals, problems).compile()
