"""The options of a recipe: what a customer may choose, and what choosing it changes."""

from typing import Any

from host_tools.compile_signals import name_problem, range_of, scaled, steps_of
from host_tools.models import ChoiceValue, FileOption, NumberOption, RecipeFile, TextOption
from host_tools.scale import decimal_text, range_text
from host_tools.toml_file import Problems, closest, model_of, shown

HEX = set("0123456789abcdef")


def outside(where: str, name: str, value: int, entry: dict[str, Any], file: str, problems: Problems) -> None:
    """The line about a parameter that is not within its range, with the remedy."""
    limits = range_text(entry["lo"], entry["hi"], entry["per_unit"], entry["unit"])
    number = decimal_text(value, entry["per_unit"])
    problems.error(where, f"{name} = {number} is outside {limits}; set {name} in the order or in {file}")


class OptionCompiler:
    """Compiles [options] and [[exclude]] of one recipe into `options` and what `exclusions` gives."""

    def __init__(
        self, model: RecipeFile, label: str, file: str, params: dict[str, dict[str, Any]], problems: Problems
    ) -> None:
        """`params`: the compiled parameters by name. `label`: the recipe as messages call it."""
        self.model = model
        self.label = label
        self.file = file
        self.params = params
        self.problems = problems
        self.options: dict[str, dict[str, Any]] = {}

    def compile(self, steps: list[str]) -> dict[str, dict[str, Any]]:
        """All options by name. `steps`: the names of the recipe's steps in order."""
        for name, raw in self.model.options.items():
            self._option(name, raw, steps)
        return self.options

    def exclusions(self) -> list[dict[str, Any]]:
        """The combinations that cannot be ordered; after `compile`."""
        return [
            self._exclude(number, dict(table.when), table.message)
            for number, table in enumerate(self.model.exclude, 1)
        ]

    def _option(self, name: str, raw: dict[str, Any], steps: list[str]) -> None:
        where = f"{self.label}, [options.{name}]"
        trouble = name_problem(name)
        if trouble:
            self.problems.error(where, f"'{name}' {trouble}")
        if name in self.params:
            self.problems.error(
                where, f"'{name}' is a parameter too; an order could not tell them apart, rename one"
            )
        kind = raw.get("kind", "choice")
        entry: dict[str, Any] | None = None
        if kind == "text":
            entry = self._text_option(name, raw, where)
        elif kind == "number":
            entry = self._number_option(name, raw, where)
        elif kind == "file":
            entry = self._file_option(name, raw, where)
        elif kind == "choice" or isinstance(kind, dict):
            entry = self._choice_option(name, raw, where, steps)
        else:
            known = closest(str(kind), ["choice", "text", "number", "file"])
            self.problems.error(where, f"kind = {shown(kind)} is not a kind of option; {known}")
        if entry is not None:
            self.options[name] = entry

    def _text_option(self, name: str, raw: dict[str, Any], where: str) -> dict[str, Any] | None:
        table = model_of(TextOption, raw, where, self.problems)
        if table is None:
            return None
        if len(table.default) > table.max_length:
            self.problems.error(
                where,
                f"default has {len(table.default)} characters, more than max_length = {table.max_length}; shorten it",
            )
        wrong = [character for character in table.default if character not in table.characters]
        if wrong:
            self.problems.error(
                where, f"default: '{wrong[0]}' is not among the characters; add it or change the default"
            )
        return {
            "name": name,
            "text": table.text or name,
            "kind": "text",
            "default": table.default,
            "max_len": table.max_length,
            "chars": table.characters,
        }

    def _number_option(self, name: str, raw: dict[str, Any], where: str) -> dict[str, Any] | None:
        table = model_of(NumberOption, raw, where, self.problems)
        if table is None:
            return None
        steps = steps_of(table.resolution, where, self.problems)
        bounds = range_of(table.range, steps, table.unit, where, self.problems)
        default = scaled(table.default, steps, table.unit, where, "default", self.problems)
        if bounds is None or default is None:
            return None
        if not bounds[0] <= default <= bounds[1]:
            limits = range_text(bounds[0], bounds[1], steps, table.unit)
            self.problems.error(
                where,
                f"default = {table.default} is outside {limits}; set it within the range in {self.file}",
            )
        return {
            "name": name,
            "text": table.text or name,
            "kind": "number",
            "unit": table.unit,
            "per_unit": steps,
            "lo": bounds[0],
            "hi": bounds[1],
            "default": default,
        }

    def _file_option(self, name: str, raw: dict[str, Any], where: str) -> dict[str, Any] | None:
        table = model_of(FileOption, raw, where, self.problems)
        if table is None:
            return None
        if table.default and (len(table.default) != 64 or set(table.default) - HEX):
            self.problems.error(
                where,
                f"default = {shown(table.default)} is not a sha256: 64 of 0-9 a-f; leave it out for none",
            )
        return {"name": name, "text": table.text or name, "kind": "file", "default": table.default}

    def _choice_option(self, name: str, raw: dict[str, Any], where: str, steps: list[str]) -> dict[str, Any]:
        heads = {"kind": "choice", "text": name, "default": ""}
        values = []
        for key, value in raw.items():
            if isinstance(value, dict):
                values.append(self._choice_value(name, key, value, steps))
            elif key not in heads:
                self.problems.error(
                    where,
                    f"unknown key '{key}'; {closest(key, list(heads))}; a value is a table, as in {key} = {{}}",
                )
            elif not isinstance(value, str):
                self.problems.error(where, f"{key} = {shown(value)}: must be text")
            else:
                heads[key] = value
        if not values:
            self.problems.error(where, "has no values; add one, as in burgundy = {}, or say which kind it is")
        offered = [entry["value"] for entry in values]
        if heads["default"] and heads["default"] not in offered:
            self.problems.error(
                where,
                f"default = {shown(heads['default'])} is not one of its values; {closest(heads['default'], offered)}",
            )
        return {
            "name": name,
            "text": heads["text"],
            "kind": "choice",
            "default": heads["default"],
            "values": values,
        }

    def _choice_value(self, option: str, value: str, raw: dict[str, Any], steps: list[str]) -> dict[str, Any]:
        where = f"{self.label}, [options.{option}] {value}"
        table = model_of(ChoiceValue, raw, where, self.problems)
        if table is None:
            return {"value": value, "text": "", "set": [], "skip": [], "add": [], "use": value}
        overrides = []
        for name, number in (table.model_extra or {}).items():
            entry = self.params.get(name)
            if entry is None:
                if name in self.model.parameters:
                    continue
                known = closest(name, [*self.params, "text", "skip", "add", "use"])
                self.problems.error(where, f"unknown key '{name}', no parameter has that name; {known}")
                continue
            scaled_value = scaled(number, entry["per_unit"], entry["unit"], where, name, self.problems)
            if scaled_value is None:
                continue
            if not entry["lo"] <= scaled_value <= entry["hi"]:
                outside(where, name, scaled_value, entry, self.file, self.problems)
            overrides.append([name, scaled_value])
        for key, names in (("skip", table.skip), ("add", table.add)):
            for name in names:
                if name not in steps:
                    self.problems.error(where, f"{key}: no step is called '{name}'; {closest(name, steps)}")
                elif key == "add" and not self.model.step[steps.index(name)].optional:
                    self.problems.error(
                        where, f"add: step '{name}' always runs; write optional = true in the step"
                    )
        for name in table.skip:
            if name in table.add:
                self.problems.error(where, f"step '{name}' is both skipped and added; keep one")
        return {
            "value": value,
            "text": table.text or value,
            "set": overrides,
            "skip": table.skip,
            "add": table.add,
            "use": table.use or value,
        }

    def _exclude(self, number: int, when: dict[str, str], message: str) -> dict[str, Any]:
        where = f"{self.label}, exclude {number}"
        pairs = []
        for name, value in when.items():
            option = self.options.get(name)
            if option is None:
                self.problems.error(where, f"when: no option '{name}'; {closest(name, list(self.options))}")
                continue
            offered = [entry["value"] for entry in option.get("values", [])]
            if option["kind"] == "choice" and value not in offered:
                self.problems.error(
                    where, f"when: option '{name}' has no value '{value}'; {closest(value, offered)}"
                )
            if option["kind"] == "number":
                self.problems.error(
                    where, f"when: option '{name}' is a number; bound it by its range instead"
                )
            pairs.append([name, value])
        return {"when": sorted(pairs), "message": message}
