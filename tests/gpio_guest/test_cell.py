"""A whole cell on a kernel's lines: what comes in on one wire goes out on others, and its death and return are safe."""

import base64
import pickle
import time
from pathlib import Path

import pytest

from hil.gpio_guest.guest import Guest, Program
from hil.gpio_guest.lines import HostLines
from hil.gpio_guest.qtest import Wire
from host_tools.cellfile import compile_cell

pytestmark = pytest.mark.gpio_guest

CLAMP, FAN, STOP = 0, 1, 4
ON, ABORTED = {CLAMP: 1, FAN: 1}, {CLAMP: 0, FAN: 1}
LONGEST_S = 1.0

CELL = """
[cell]
name = "guest-1"
scan_ms = 10
emergency_stop = "stop_ok"
[inputs.stop_ok]
on_bad = "abort"
[outputs.clamp]
safe = "off"
on_abort = "off"
[outputs.fan]
safe = "on"
on_abort = "on"
"""

WIRING = """
[board]
target = "linux"
[stop_ok]
channel = "gpiochip0:4"
[clamp]
channel = "gpiochip0:0"
[fan]
channel = "gpiochip0:1"
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The cell, compiled here: compiling there would take longer than all tests."""
    folder: Path = tmp_path_factory.mktemp("cell")
    (folder / "wiring").mkdir()
    (folder / "cell.toml").write_text(CELL)
    (folder / "wiring" / "guest.toml").write_text(WIRING)
    cell = compile_cell(folder, board="guest")
    return base64.b64encode(pickle.dumps((cell.spec, cell.plans))).decode()


@pytest.fixture
def lines(virt: Guest) -> HostLines:
    """All lines as when power comes, the emergency-stop chain closed."""
    for number in range(virt.lines.count):
        virt.lines.power_on(number)
    virt.lines.set_input(STOP, 1)
    return virt.lines


def started(virt: Guest, packed: str) -> Program:
    return virt.start_python(f"from tests.gpio_guest.cell_process import main; main('{packed}')")


def until(program: Program, state: str) -> None:
    for _ in range(20):
        if program.line() == state:
            return
    pytest.fail(f"it does not get to {state}")


def level(lines: HostLines, wanted: dict[int, int]) -> dict[int, int]:
    """The outputs when they are as wanted, or as they are after LONGEST_S."""
    deadline = time.monotonic() + LONGEST_S
    while True:
        found = {number: lines.level(number) for number in wanted}
        if found == wanted or time.monotonic() > deadline:
            return found


def test_the_emergency_stop_on_a_wire_takes_the_outputs_to_their_abort_values(
    virt: Guest, lines: HostLines, wire: Wire, packed: str
) -> None:
    cell = started(virt, packed)
    until(cell, "Idle")
    assert level(lines, ON) == ON
    wire.mark()
    began = time.monotonic_ns()
    lines.set_input(STOP, 0)
    off = wire.wait()
    print(f"emergency stop to output: {(off.at_ns - began) / 1e6:.1f} ms at a scan of 10 ms")
    assert (off.pin, off.level) == (CLAMP, 0)
    until(cell, "Aborted")
    assert level(lines, ABORTED) == ABORTED
    assert wire.changes() == [(CLAMP, 0)]
    cell.kill()


def test_a_cell_that_is_killed_holds_and_its_restart_is_safe_without_a_glitch(
    virt: Guest, lines: HostLines, wire: Wire, packed: str
) -> None:
    cell = started(virt, packed)
    until(cell, "Idle")
    assert level(lines, ON) == ON
    wire.mark()
    cell.kill()
    assert level(lines, ON) == ON
    again = started(virt, packed)
    until(again, "Idle")
    assert level(lines, ON) == ON
    assert wire.changes() == [(CLAMP, 0), (CLAMP, 1)]
    again.kill()
