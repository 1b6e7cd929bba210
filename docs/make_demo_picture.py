"""Makes docs/demo.svg, by `python -m docs.make_demo_picture [FILE]`.

It is the live panel of `make demo`, drawn by the same code, of the paint cell on a bench in virtual time.
"""

import io
import json
import sys
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from cell_controller.core import jsonwrite, views
from cell_controller.core.jsonwrite import Decimal
from cell_controller.core.signals import QUALITY_NAMES
from hil.bench import Bench, bench
from host_tools import demo
from host_tools.watch import CellScreen

DOCS = Path(__file__).resolve().parent
WIDTH = 100
MADE_BEFORE = 2
LOOK_EVERY_MS = 200


def published(cell: Bench) -> dict[str, object]:
    """The state of the cell and its signals, as they come out of the JSON that a screen gets."""
    signals = {
        name: {"value": Decimal(value, per_unit), "quality": QUALITY_NAMES[quality], "unit": unit}
        for name, value, quality, unit, per_unit in views.signals(cell.controller)
    }
    view: dict[str, object] = json.loads(jsonwrite.dumps({**cell.view, "signals": signals}))
    return view


def time_of_day(cell: Bench) -> str:
    """For the event lines: the bench started at ten."""
    seconds = cell.board.tick() // 1000
    return f"10:{seconds // 60:02d}:{seconds % 60:02d}"


def picture() -> str:
    """The SVG: the third of the demo's dozen orders, while its second coat is sprayed."""
    cell = bench(DOCS.parent / "examples" / "paint_cell")
    screen = CellScreen(cell.spec["name"], demo.LABELS, clock=lambda: time_of_day(cell))
    orders = demo.orders()
    screen.orders = len(orders)

    def look(seen: Bench) -> None:
        if seen.board.tick() % LOOK_EVERY_MS == 0:
            screen.see_state(published(seen))

    cell.observers.append(look)
    cell.make_ready()
    for number, (product, options) in enumerate(orders, start=1):
        cell.order(product, 1, f"shop-{100 + number}", **options)
    book = cell.controller.book
    cell.run_until(lambda: book.good == MADE_BEFORE, "two items", 300)
    cell.run_to_step("spray")
    cell.run_until(lambda: bool(cell.view["item"]) and cell.view["item"]["mark"] == 1, "the first coat", 60)
    cell.run_for(4)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    console.print(Group(Text("$ make demo"), screen.panel()))
    return console.export_svg(title="cell-controller")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "demo.svg"
    target.write_text(picture(), "utf-8")
