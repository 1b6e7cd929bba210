"""Loads a cell, recovers its order book and asks it every question: ask_and_recover.py TRACE prints a line a question.

TRACE is any trace of the paint cell: only the compiled cell in its header is used.
"""

import hashlib
import sys

import examples.paint_cell.equipment as equipment
from cell_controller.core import codec, jsonwrite, queries, trace, views
from cell_controller.core import events as ev
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.recover import recover
from cell_controller.core.shelf import load_cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Kept:
    """A journal without a snapshot."""

    def __init__(self, records: "list[bytes]") -> None:
        self.records = records

    def last_snapshot(self) -> "tuple[int, bytes] | None":
        return None

    def replay(self, from_seq: int = 1) -> "Iterator[tuple[int, int, bytes]]":
        for data in self.records:
            if ev.fields(data)[0] >= from_seq:
                yield ev.fields(data)[0], 0, data


class Asked:
    """What a runtime has at hand; it is its own board, with no faults."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.board = self
        self.items: "list[dict[str, Any]]" = []

    def faults(self) -> "list[str]":
        return []

    def active_faults(self) -> "list[str]":
        return []

    def state_view(self) -> "dict[str, Any]":
        return views.state(self.controller)


def request(verb: str, args: "dict[str, Any]") -> Request:
    made = Request("local")
    made.id = "1"
    made.issuer = "test"
    made.verb = verb
    made.args = args
    made.order_id = str(args.get("order_id", ""))
    return made


def main(path: str) -> None:
    folder = "/project/" if "/project" in sys.path else ""  # where the WebAssembly port has its copy
    with open(folder + path, "rb") as file:
        trace.read_magic(file.read)
        told = trace.read_entry(file.read)
    assert told is not None
    spec = load_cell(codec.pack(trace.header_of(told[1])["spec"]))
    phases = {entry["name"]: getattr(equipment, entry["name"]) for entry in spec["phases"]}
    controller = Controller(spec, phases, {})
    controller.boot(0)
    order = {"order_id": "a", "product": "bonnet", "options": {"colour": "green"}}
    controller.request(request("order.submit", order))
    for number in range(1, 20):
        controller.scan(number * 10, controller.context.last_seq)
    book = recover(Kept(controller.take_records()), Book())
    assert book.dump() == controller.book.dump(), "what is read back is what was there"
    asked = queries.Queries(Asked(controller))
    for what in queries.KINDS + ("weather",):  # noqa: RUF005  # no such display on MicroPython
        reply = jsonwrite.encode(asked.answer(request("query", {"what": what, "order_id": "a"})))
        digest = hashlib.sha256(reply if isinstance(reply, bytes) else reply.encode()).digest()
        print(what, len(reply), "".join(["%02x" % byte for byte in digest]))


main(sys.argv[1])
