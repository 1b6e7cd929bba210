"""Scans with the heap locked: scan_allocates_nothing.py SPEC CASE... prints a line a case, MicroPython only.

SPEC is the compiled waiting cell in canonical form. Each case is brought to its state, then the clock is set to 5 s
before the tick's wrap and 1000 scans of 10 ms are made, in which every analog count moves by one to and fro.
"""

import io
import sys

import micropython

from cell_controller.core import codec, outputs, signals
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.packml import STATES
from cell_controller.core.ticks import MASK, PERIOD
from tests.runtimes.waiting_cell import equipment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCANS = 1000
PERIOD_MS = 10
BEFORE_WRAP_MS = 5000
MOST_SCANS = 2000  # to reach a state
WIDE = 1 << 30
CHAIN, PART, DOOR = 1, 2, 4
LEVEL, PRESSURE, CARRIER, ENERGY = 0, 1, 2, 3


class Scanned:
    """The waiting cell with its inputs set by hand, everything durable at once."""

    def __init__(self, spec: "Any") -> None:
        phases = {}
        for entry in spec["phases"]:
            phases[entry["name"]] = getattr(equipment, entry["name"])
        states = {}
        for entry in spec["states"]:
            states[entry["state"]] = getattr(equipment, entry["function"])
        self.controller = Controller(spec, phases, states)
        self.now = PERIOD - 55000
        self.requests = 0
        image = self.controller.input_image
        image.words[0] = CHAIN | PART | DOOR
        image.analog[LEVEL] = 500
        image.analog[PRESSURE] = 550
        image.analog[CARRIER] = 7
        image.analog[ENERGY] = 1000
        self.controller.boot(self.now)

    def scan(self) -> None:
        self.now = (self.now + PERIOD_MS) & MASK
        self.controller.scan(self.now, self.controller.context.last_seq)

    def ask(self, verb: str, **args: "Any") -> None:
        """A request from the console."""
        self.requests += 1
        request = Request("local")
        request.id = str(self.requests)
        request.issuer = "test"
        request.verb = verb
        request.args = args
        self.controller.request(request)

    def reach(self, state: str) -> None:
        """Scan until the cell is in the state and has been for a while. Raises AssertionError if it never is."""
        calm = 0
        for _ in range(MOST_SCANS):
            self.scan()
            self.controller.take_records()
            self.controller.take_replies()
            calm = calm + 1 if STATES[self.controller.machine.state] == state else 0
            if calm == 100:
                return
        raise AssertionError(
            "the cell is %s, not %s: %s"
            % (
                STATES[self.controller.machine.state],
                state,
                [self.controller.alarm_text(alarm) for alarm in self.controller.alarms.entries],
            )
        )

    def execute(self, product: str) -> None:
        self.ask("command", command="clear")
        self.reach("Stopped")
        self.ask("command", command="reset")
        self.reach("Idle")
        self.ask("order.submit", order_id="1", product=product)
        self.reach("Execute")
        alive = [run for run in self.controller.sequencer.running if run.generator is not None]
        assert len(alive) >= 2, "two phases wait at the same time"


def prepared(case: str, spec: "Any") -> Scanned:
    """The cell as the case wants it."""
    cell = Scanned(spec)
    state, _, more = case.partition(":")
    if state == "Aborted":
        cell.reach(state)
    elif state in ("Stopped", "Resetting", "Idle", "Execute"):
        _prepare_way_up(cell, state, more)
    else:
        cell.execute("slow")
        if more == "person":
            cell.ask("command", command={"Held": "hold", "Suspended": "suspend"}[state])
        elif state == "Held":
            cell.controller.input_image.analog[PRESSURE] = 300
        cell.reach(state)
    return cell


def _prepare_way_up(cell: Scanned, state: str, more: str) -> None:
    if state == "Execute":
        cell.execute(more)
        return
    cell.ask("command", command="clear")
    cell.reach("Stopped")
    if state == "Stopped":
        return
    if state == "Resetting":
        cell.controller.input_image.words[0] = CHAIN | PART
    elif more == "paused":
        cell.ask("order.submit", order_id="1", product="slow", allowed=False)
    cell.ask("command", command="reset")
    cell.reach(state)


def scans_locked(cell: Scanned, words: "list[list[int]]") -> "tuple[int, object]":
    """How many scans were made before one wanted heap, and its error; `words` are the digital images, in turn."""
    controller = cell.controller
    image = controller.input_image
    level = image.analog[LEVEL]
    pressure = image.analog[PRESSURE]
    energy = image.analog[ENERGY]
    done = 0
    error: object = None
    cell.now = PERIOD - BEFORE_WRAP_MS
    micropython.heap_lock()
    try:
        while done < SCANS:
            image.words = words[done & 1]
            image.analog[LEVEL] = level + (done % 3) - 1
            image.analog[PRESSURE] = pressure + 1 - (done % 3)
            image.analog[ENERGY] = energy + (done >> 4)
            cell.scan()
            done += 1
    except MemoryError as caught:
        error = caught
    finally:
        micropython.heap_unlock()
    return done, error


def where(error: object) -> str:
    """The place in the core that wanted heap, as `controller.py:366`, where the runtime tells it."""
    if error is None:
        return ""
    text = io.StringIO()
    sys.print_exception(error, text)  # type: ignore[attr-defined]  # only MicroPython's sys has it
    lines = [line for line in text.getvalue().split("\n") if "File" in line]
    if not lines:
        return "nowhere"
    parts = lines[-1].split('"')
    return parts[1].split("/")[-1] + ":" + parts[2].split("line ")[1].split(",")[0]


def main(path: str, cases: "list[str]") -> None:
    with open(path, "rb") as file:
        packed = file.read()
    for case in cases:
        wide = case.startswith("wide:")
        bits = 32 if wide else 24
        for module in (signals, outputs):
            setattr(module, "WORD_BITS", bits)  # noqa: B010  # a plain assignment is not typed
        cell = prepared(case[5:] if wide else case, codec.unpack(packed))
        before = cell.controller.machine.state
        word = cell.controller.input_image.words[0]
        other = word ^ WIDE if wide else word
        done, error = scans_locked(cell, [[word], [other]])
        after = cell.controller.machine.state
        wrapped = cell.now <= BEFORE_WRAP_MS
        print(
            case,
            STATES[before],
            STATES[after],
            done,
            "wrapped" if error is None and wrapped else where(error),
        )


folder = "/project/" if "/project" in sys.path else ""  # where the WebAssembly port has its copy
main(folder + sys.argv[1], sys.argv[2:])
