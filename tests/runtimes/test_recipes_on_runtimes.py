"""An order becomes the same control recipe, with the same hash, and is refused with the same words on every runtime."""

from pathlib import Path

from cell_controller.core.codec import pack
from host_tools.cellfile import compile_cell
from tests.host_tools.make_cell import make_cell
from tests.runtimes.runtimes import Runtime


def test_orders_resolve_alike(micropython: Runtime, tmp_path: Path) -> None:
    spec = pack(compile_cell(make_cell(tmp_path)).spec).hex()
    pieces = [
        spec[at : at + 200] for at in range(0, len(spec), 200)
    ]  # the Unix port ends at longer arguments
    said = micropython.run("recipes_table.py", *pieces)
    assert said == Runtime("cpython").run("recipes_table.py", *pieces)
    assert said.startswith("bonnet green 27 ")
