"""Prints the heap, in bytes, after 100, 130, 160 and 190 orders: heap_of_orders.py SPEC, MicroPython only.

SPEC is the compiled waiting cell. Every order has its own id and its own option, is made to the end, and is followed by
one that is not offered. The book is the lean one of a microcontroller.
"""

import gc
import sys

from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.packml import STATES
from cell_controller.core.shelf import load_cell
from tests.runtimes.waiting_cell import equipment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FIRST = 100  # more than are remembered, so that its lists have their size
MORE = 30
SCANS = 200  # at most, for one order

used = gc.mem_alloc  # type: ignore[attr-defined]  # only MicroPython's gc has it


class Day:
    """A cell in which orders are made one after the other."""

    def __init__(self, spec: "Any") -> None:
        phases = {}
        for entry in spec["phases"]:
            phases[entry["name"]] = getattr(equipment, entry["name"])
        states = {}
        for entry in spec["states"]:
            states[entry["state"]] = getattr(equipment, entry["function"])
        self.controller = Controller(spec, phases, states, Book(True))
        image = self.controller.input_image
        image.words[0] = 7
        image.analog[0] = 600
        image.analog[1] = 550
        self.now = 0
        self.requests = 0
        self.events = 0
        self.controller.boot(0)
        for command, state in (("clear", "Stopped"), ("reset", "Idle")):
            self.ask("command", command=command)
            self.until(state)

    def ask(self, verb: str, **args: "Any") -> None:
        self.requests += 1
        request = Request("local")
        request.id = str(self.requests)
        request.issuer = "test"
        request.verb = verb
        request.args = args
        request.order_id = args.get("order_id", "")
        self.controller.request(request)

    def until(self, state: str) -> None:
        for _ in range(SCANS):
            self.now += 10
            self.controller.input_image.analog[2] = self.now // 100  # another carrier now and then
            self.controller.scan(self.now, self.controller.context.last_seq)
            self.events += len(self.controller.take_records())
            self.controller.take_replies()
            idle = STATES[self.controller.machine.state] == state
            if idle and not self.controller.requests and self.controller.book.next_job() is None:
                return
        raise AssertionError("the cell is %s, not %s" % (STATES[self.controller.machine.state], state))

    def make(self, count: int) -> None:
        for _ in range(count):
            number = str(self.requests)
            self.ask(
                "order.submit", order_id=number, product="quick", count=2, options={"name": "n" + number}
            )
            self.ask("order.submit", order_id=number + "x", product="quick", options={"name": "?"})
            self.until("Idle")


folder = "/project/" if "/project" in sys.path else ""  # where the WebAssembly port has its copy
with open(folder + sys.argv[1], "rb") as file:
    day = Day(load_cell(file.read()))
figures = []
day.make(FIRST)
gc.collect()
#: collect
figures.append(used())
day.make(MORE)
gc.collect()
#: collect
figures.append(used())
day.make(MORE)
gc.collect()
#: collect
figures.append(used())
day.make(MORE)
gc.collect()
#: collect
figures.append(used())
print(day.controller.book.good, len(day.controller.book.jobs), *figures)
