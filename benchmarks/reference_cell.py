"""The reference cell: 64 digital inputs and outputs, 16 analog inputs, 40 interlocks, 4 phases resumed in every scan.

The same cell is written by hand in hand_loop.py, and both run on both runtimes. Input 0 is the emergency-stop chain,
output 63 the heartbeat. Interlocks 0..29 hold the cell and are not violated here; 30..39 only block, and their inputs
cross the limits often.
"""

from cell_controller import phase
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.packml import STATES
from cell_controller.core.signals import WORD_BITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    Image = tuple[list[int], list[int]]
    Phase = Generator[Any, None, None]

DIGITAL = 64
ANALOG = 16
INTERLOCKS = 40
HOLDING = 30  # the first so many interlocks hold the cell; the others only block
RAW = [5530, 27648, 0, 1000]  # a 4..20 mA loop on a 16-bit converter, 0.00 to 10.00 bar
IMAGES = 512
PERIOD_MS = 10


def spec() -> "dict[str, Any]":
    """The compiled cell."""
    off: dict[str, Any] = {
        "kind": "digital",
        "unit": "",
        "per_unit": 1,
        "lo": 0,
        "hi": 1,
        "raw": [],
        "text": "",
    }
    bar = {"kind": "analog", "unit": "bar", "per_unit": 100, "lo": 0, "hi": 1000, "raw": RAW, "text": ""}
    stops = {"safe": 0, "on_hold": 0, "on_stop": 0, "on_abort": 0}
    inputs = [_joined({"name": f"di_{k}", "on_bad": "none"}, off) for k in range(DIGITAL)]
    inputs += [_joined({"name": f"ai_{k}", "on_bad": "hold"}, bar) for k in range(ANALOG)]
    outputs = [_joined(_joined({"name": f"do_{k}"}, off), stops) for k in range(DIGITAL)]
    return {
        "format": 1,
        "name": "reference",
        "path": "bench",
        "scan_ms": PERIOD_MS,
        "profile": 2022,
        "auto_start": 1,
        "inputs": inputs,
        "outputs": outputs,
        "emergency_stop": 0,
        "part_present": -1,
        "identity": -1,
        "energy": -1,
        "heartbeat": DIGITAL - 1,
        "stack_light": {"red": -1, "amber": -1, "green": -1, "blue": -1, "horn": -1},
        "interlocks": [interlock(n) for n in range(INTERLOCKS)],
        "modes": [{"number": 1, "name": "Production", "disabled": 0}],
        "state_limits_ms": [0] * 18,
        "faults": [],
        "phases": [{"name": name, "args": [], "needs": [], "counts": ""} for name in NAMES],
        "states": [],
        "recipes": [recipe()],
    }


def _joined(one: "dict[str, Any]", other: "dict[str, Any]") -> "dict[str, Any]":
    one.update(other)
    return one


def interlock(n: int) -> "dict[str, Any]":
    """Interlock n: input n + 1 must be on, and one analog value above (even n) or below (odd n) a limit."""
    holds = n < HOLDING
    op, limit = (1, 300 if holds else 500) if n % 2 == 0 else (2, 700 if holds else 500)
    analog = DIGITAL + (n if holds else n - HOLDING) % ANALOG
    return {
        "name": f"interlock_{n}",
        "message": "",
        "blocks": [n, n + 20],
        "needs": [[n + 1, 0, 1, 0], [analog, op, limit, 5]],
        "then": "hold" if holds else "none",
        "min_ms": 0,
    }


def recipe() -> "dict[str, Any]":
    """One step for each phase, all at the same time."""
    rest = {
        "args": [],
        "on_interrupt": "repeat",
        "max_hold_s": 0,
        "on_resume": "once",
        "on_scrap": "skip",
        "optional": 0,
        "planned_s": 0,
    }
    steps = [
        _joined({"name": name, "phase": name, "operation": "", "together": "all"}, rest) for name in NAMES
    ]
    return {
        "product": "part",
        "version": 1,
        "text": "",
        "planned_s": 0,
        "params": [],
        "options": [],
        "exclude": [],
        "steps": steps,
    }


# --- the phases, as an engineer writes them ---


@phase
def feed(cell: "Any") -> "Phase":
    """A belt that runs while parts are asked for, and a counter of scans on two lamps."""
    scans = 0
    while True:
        scans += 1
        if cell.di_41.is_on:
            cell.do_0.on()
        else:
            cell.do_0.off()
        cell.do_1.set(scans & 4)
        yield


@phase
def press(cell: "Any") -> "Phase":
    """A press between two limits of its pressure."""
    while True:
        if cell.ai_0.value > 505:
            cell.do_30.off()
        elif cell.ai_0.value < 495:
            cell.do_30.on()
        cell.do_31.set(cell.di_45.is_on)
        yield


@phase
def cool(cell: "Any") -> "Phase":
    """A fan by either of two sensors, and a pump by both."""
    while True:
        if cell.di_50.is_on or cell.ai_1.value > 510:
            cell.do_52.on()
        else:
            cell.do_52.off()
        if cell.di_51.is_on and cell.di_52.is_on:
            cell.do_33.on()
        else:
            cell.do_33.off()
        yield


@phase
def stir(cell: "Any") -> "Phase":
    """A stirrer to and fro, faster while the level is high."""
    scans = 0
    while True:
        scans += 2 if cell.ai_2.value > 500 else 1
        if scans & 32:
            cell.do_54.on()
            cell.do_35.off()
        else:
            cell.do_54.off()
            cell.do_35.on()
        yield


NAMES = ("feed", "press", "cool", "stir")  # the order of the steps, which a dict has on one runtime only
PHASES = {"feed": feed, "press": press, "cool": cool, "stir": stir}


# --- what the board reads ---


def images() -> "list[Image]":
    """A run of input images: four digital inputs flip and every analog count moves in each scan."""
    random = 12_345
    bits = [1] * DIGITAL
    level = [0] * ANALOG
    result = []
    for scan in range(IMAGES):
        for _ in range(4):
            random = (random * 1_103_515_245 + 12_345) & 0x3FFFFFFF
            bits[41 + (random >> 9) % 23] ^= 1
        if scan % 8 == 0:
            bits[31 + (scan // 8) % 10] ^= 1
        for k in range(ANALOG):
            random = (random * 1_103_515_245 + 12_345) & 0x3FFFFFFF
            ramp = abs((scan + 4 * k) % 64 - 32) - 16  # steps of the resolution around the middle, -16..16
            counts = 16_589 + ramp * 25 + (random >> 11) % 128
            level[k] = counts if counts != level[k] else counts + 1
        words = [0] * ((DIGITAL + WORD_BITS - 1) // WORD_BITS)
        for k in range(DIGITAL):
            words[k // WORD_BITS] |= bits[k] << k % WORD_BITS
        result.append((words, list(level)))
    return result


def running(run: "list[Image]") -> "tuple[Controller, int]":
    """A controller in Execute with all phases alive, and its tick. Raises RuntimeError if it does not get there."""
    controller = Controller(spec(), dict(PHASES), {}, None, 0)
    controller.input_image.words, controller.input_image.analog = run[0]
    controller.boot(0)
    given: list[tuple[str, str, dict[str, Any]]] = [
        ("order.submit", "", {"order_id": "bench", "product": "part"}),
        ("command", "Aborted", {"command": "clear"}),
        ("command", "Stopped", {"command": "reset"}),
    ]
    now = 0
    for _ in range(100):
        now += PERIOD_MS
        if given and given[0][1] in ("", STATES[controller.machine.state]):
            controller.request(_request(*given.pop(0)))
        controller.scan(now, controller.context.last_seq)
        controller.take_records()
        controller.take_replies()
        alive = [run for run in controller.sequencer.running if run.generator is not None]
        if len(alive) == len(PHASES):
            return controller, now
    raise RuntimeError(
        f"the reference cell is {STATES[controller.machine.state]} after 100 scans, not in Execute"
    )


def _request(verb: str, _state: str, args: "dict[str, Any]") -> Request:
    request = Request("local")
    request.id = verb + str(args)[:40]
    request.issuer = "bench"
    request.verb = verb
    request.args = args
    return request
