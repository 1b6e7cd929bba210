"""A link with nothing to do allocates nothing: link_idle_heap.py PORT SPEC [leak]; needs MicroPython's heap_lock."""

import sys
import time

import micropython

from cell_controller.core import codec
from cell_controller.micropython import plant_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STEPS = 2000
_time: "Any" = time


class Journal:
    """One without records."""

    epoch = "0123456789abcdef"
    durable_seq = 0

    def replay(self, from_seq: int) -> "Any":
        return iter(())

    def delivered(self, name: str) -> int:
        return 0


class Clock:
    """Nobody asks it while nothing happens."""

    def wall_ms(self) -> int:
        return 1795302155000


def ms() -> int:
    return int(_time.ticks_ms()) & 0x1FFFFFFF


with open(sys.argv[2], "rb") as file:
    spec: "Any" = codec.unpack(file.read())
settings: "dict[str, Any]" = {
    "broker": {"host": "127.0.0.1", "port": int(sys.argv[1])},
    "time": {"host": ""},
}
made = plant_link.make_link(spec, settings, Journal(), lambda request: True, Clock())
assert made is not None
link = made
link.offer_state({"state": "Idle"})
link.offer_signals([("airflow", 512, 0, "m3/min", 100)])
begun = ms()
quiet = 0
while quiet < 20 and (ms() - begun) & 0x1FFFFFFF < 10000:
    _time.sleep_ms(1)
    busy = link.step(ms(), None, True)
    waits = busy or not link.status.connected or link.session.in_flight() or link.session.wants_to_send(ms())
    quiet = 0 if waits else quiet + 1
assert quiet == 20, link.status.last_error


def steps(leak: bool) -> None:
    """In a function: a loop at the top level would make names in the module's dict."""
    left = STEPS
    while left:
        left -= 1
        link.step(ms(), None, True)
        if leak:
            [left]  # noqa: B018  # what the test of the test wants to be found


leak = len(sys.argv) > 3
micropython.heap_lock()
try:
    steps(leak)
finally:
    micropython.heap_unlock()
assert link.status.connected, link.status.last_error
print("quiet")
