"""A hello cell: phases written down in one file or at the prompt, run on a bench without a cell directory.

    @phase
    def close(cell):
        cell.clamp.on()
        yield until(cell.clamp_closed, within_s=2, fault="clamp did not close")

    cell = quick_cell(close, outputs=["clamp"], inputs={"clamp_closed": ("clamp", 800)})
    print(cell.order("hello").run())

It is for a first try and for small tests: digital signals only, one recipe called "hello" that runs the phases one
after the other. A cell that somebody works with has a directory (`cellctl new`), which `cellctl check` can look at.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hil.bench import Bench
from host_tools.cellfile import CompiledCell, Equipment

Phase = Callable[..., Generator[Any, None, None]]


class _QuickCell(CompiledCell):
    def load_equipment(self) -> Equipment:
        return self.equipment

    equipment: Equipment


def quick_cell(
    *phases: Phase,
    outputs: Sequence[str] = (),
    inputs: Mapping[str, "tuple[str, int] | bool"] | None = None,
) -> Bench:
    """A bench with a cell of these phases. `outputs`: names, all safe when off. `inputs`: what each one follows.

    Order it with `.order("hello")`. Raises ValueError for a phase with parameters: those come from recipes.
    """
    follows = dict(inputs or {})
    entries = []
    faults: set[str] = set()
    for function in phases:
        code = function.__code__
        if code.co_argcount != 1:
            raise ValueError(
                f"phase {function.__name__} takes parameters: they come from a recipe; use `cellctl new`"
            )
        faults.update(text for text in code.co_consts if isinstance(text, str) and text != function.__doc__)
        entries.append({"name": function.__name__, "args": [], "counts": "", "needs": []})
    signal = {"text": "", "kind": "digital", "unit": "", "per_unit": 1, "lo": 0, "hi": 1, "raw": []}
    off = {"safe": 0, "on_hold": 0, "on_stop": 0, "on_abort": 0}
    step = {"operation": "", "args": [], "on_interrupt": "ask", "max_hold_s": 0, "on_resume": "once"}
    step |= {"on_scrap": "skip"}
    step |= {"together": "", "optional": 0, "planned_s": 0}
    spec: dict[str, Any] = {
        "format": 1,
        "name": "hello",
        "path": "hello",
        "scan_ms": 10,
        "profile": 2022,
        "auto_start": 1,
        "inputs": [{**signal, "name": name, "on_bad": "none"} for name in follows],
        "outputs": [{**signal, **off, "name": name} for name in outputs],
        "emergency_stop": -1,
        "part_present": -1,
        "identity": -1,
        "energy": -1,
        "heartbeat": -1,
        "stack_light": {"red": -1, "amber": -1, "green": -1, "blue": -1, "horn": -1},
        "interlocks": [],
        "modes": [{"number": 1, "name": "Production", "disabled": 0}],
        "state_limits_ms": [30000] * 18,
        "faults": sorted(faults),
        "phases": entries,
        "states": [],
        "recipes": [
            {
                "product": "hello",
                "version": 1,
                "text": "",
                "planned_s": 0,
                "params": [],
                "options": [],
                "exclude": [],
                "steps": [{**step, "name": entry["name"], "phase": entry["name"]} for entry in entries],
            }
        ],
    }
    wiring: dict[str, Any] = {}
    for name, rule in follows.items():
        wiring[name] = (
            {"rest": int(rule)} if isinstance(rule, bool) else {"follows": rule[0], "delay_ms": rule[1]}
        )
    cell = _QuickCell(spec, wiring, Path(), "sim")
    cell.equipment = Equipment(None, {function.__name__: function for function in phases}, {})
    return Bench(cell)
