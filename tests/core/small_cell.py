"""A small cell whose equipment file and recipe a test writes itself, and whose inputs it sets by hand."""

from pathlib import Path
from textwrap import dedent

from hil.bench import Bench, bench

CELL = """
[cell]
name = "small"
path = "a/b/c/d"
auto_start = true
emergency_stop = "chain_ok"
{keys}
[inputs.chain_ok]
on_bad = "abort"
[inputs.ready]
[inputs.shut]
[inputs.level]
unit = "mm"
range = [0, 100]
resolution = 0.1
{inputs}
[outputs.valve]
safe = "off"
[outputs.motor]
safe = "off"
on_stop = "keep"
[outputs.heater]
unit = "%"
range = [0, 100]
safe = 0
on_hold = "keep"
[outputs.drain]
safe = "on"
{tables}
"""

RECIPE = """
[recipe]
product = "thing"
version = 1
{steps}
"""

HEAD = "from cell_controller import mark, operator, phase, ramp, soak, state, together, until, wait\n"


def small(
    directory: Path, equipment: str, steps: str, keys: str = "", inputs: str = "", tables: str = ""
) -> Bench:
    """The bench of such a cell, with every input at rest: the chain closed, everything else off and 0."""
    (directory / "recipes").mkdir(parents=True)
    (directory / "wiring").mkdir()
    (directory / "cell.toml").write_text(
        CELL.format(keys=dedent(keys), inputs=dedent(inputs), tables=dedent(tables))
    )
    (directory / "wiring" / "sim.toml").write_text('[board]\non_death = "release"\n')
    (directory / "equipment.py").write_text(HEAD + dedent(equipment))
    (directory / "recipes" / "thing.toml").write_text(RECIPE.format(steps=dedent(steps)))
    return bench(directory)


def put(cell: Bench, **values: int) -> Bench:
    """Set inputs, in steps of their resolution."""
    names = [entry["name"] for entry in cell.spec["inputs"]]
    for name, value in values.items():
        cell.board.plant.inputs[names.index(name)] = value
    cell.board.drive(cell.board.outputs)  # lets the sensors be read again
    return cell
