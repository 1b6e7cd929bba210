"""Reads and writes a thousand times with the heap locked; argv: a file with the packed [spec, table].

Prints one word a part. MemoryError, and so an exit code, says that something allocated.
"""

import sys

import micropython

from board.machine_board import MachineBoard
from cell_controller.core import codec
from cell_controller.core.signals import InputImage, OutputImage
from tests.board.fake_machine import TICKS_PERIOD, FakeClock, FakeConverter, FakeExpander, FakeMachine, World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if hasattr(micropython, "alloc_emergency_exception_buf"):  # where a port has none of its own
    micropython.alloc_emergency_exception_buf(100)
with open(sys.argv[1], "rb") as file:
    content: list[dict[str, Any]] = codec.unpack(file.read())  # type: ignore[assignment]  # the test packed it
spec, table = content
world = World()
for row in table["devices"]:
    world.devices[row[2]] = FakeExpander() if row[0] == 1 else FakeConverter()
clock = FakeClock(TICKS_PERIOD - 5_000)
board = MachineBoard(FakeMachine(world), spec, table, clock)
board.open()
inputs = InputImage(spec)
outputs = OutputImage(spec)
board.read(inputs)
board.write(outputs)


def scans(count: int) -> None:
    """Scans in which everything changes: pins, converters, outputs on pins and on the expander."""
    words = outputs.words
    analog = outputs.analog
    for k in range(count):
        clock.now += 10
        world.outside[2] = k & 1
        world.counts[26] = 30_000 + (k & 0xFFF)
        words[0] ^= 0xFFFF if k & 1 else 0x1240
        analog[0] = k & 0xFFFF
        board.read(inputs)
        board.write(outputs)
        board.tick()
        board.feed_watchdog()
        board.sleep_until(board.tick())


def locked(what: str, count: int) -> None:
    micropython.heap_lock()
    scans(count)
    micropython.heap_unlock()
    print(what)


locked("all well", 1000)
for row in table["devices"]:
    world.dead[row[2]] = 1
locked("bus dead", 1000)
assert board.trouble
assert max(inputs.quality) == 2, inputs.quality
for row in table["devices"]:
    world.dead[row[2]] = 0
locked("bus back", 1000)
assert not board.trouble
assert max(inputs.quality) == 0, inputs.quality

micropython.heap_lock()
for _ in range(100):
    clock.now += 10
    world.handlers[22](None)
micropython.heap_unlock()
print("pulses")

if len(sys.argv) > 2:  # that the lock catches what it is for
    micropython.heap_lock()
    board.make_safe([0] * len(spec["outputs"]) + [0])
