"""A killed controller: the device's outputs are read while nobody drives them."""

import subprocess
import sys
import time
from pathlib import Path

from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from tests.board.modbus_desk import Desk
from tests.board.modbus_plans import plan_of, shape_of
from tests.board.modbus_process import POINTS

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_MS = 400
DRIVEN = {"do0": 1, "do1": 0, "ao0": 20_000}
FALLBACK = {"do0": 0, "do1": 0, "ao0": 0}


def driven_of(slave: ModbusSlave) -> dict[str, int]:
    return {name: count for name, count in slave.outputs().items() if name in DRIVEN}


def killed(line: ModbusDevice, timeout_ms: int) -> float:
    """Have a controller drive the device, kill it, and say when."""
    command = [sys.executable, "-m", "tests.board.modbus_process", line.address, str(timeout_ms)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        try:
            assert controller.stdout.readline() == "driving\n"
            assert driven_of(next(iter(line.slaves.values()))) == DRIVEN
        finally:
            controller.kill()
            at = time.monotonic()
    assert controller.returncode == -9
    return at


def seen_after(line: ModbusDevice, at: float, until_s: float) -> list[tuple[float, dict[str, int]]]:
    """What the device drives, and how long after the kill, as often as it can be looked at."""
    (slave,) = line.slaves.values()
    seen = []
    while time.monotonic() < at + until_s:
        with line.lock:
            seen.append((time.monotonic() - at, driven_of(slave)))
        time.sleep(0.005)
    return seen


def test_with_a_comms_time_out_outputs_fall_back_within_it() -> None:
    found = shape_of("io1", model="demo_io", address="tcp://127.0.0.1:1", comms_timeout_ms=TIMEOUT_MS)
    assert found.on_death == "device_fallback"
    with ModbusDevice([ModbusSlave(found.settings)]) as line:
        at = killed(line, TIMEOUT_MS)
        seen = seen_after(line, at, 1.5 * TIMEOUT_MS / 1000)
    assert seen[0][1] == DRIVEN
    first = next(after for after, driven in seen if driven != DRIVEN)
    assert first <= TIMEOUT_MS / 1000 + 0.02
    assert all(driven == FALLBACK for after, driven in seen if after >= first)


def test_without_one_they_stay_and_the_next_controller_makes_them_safe() -> None:
    found = shape_of("io1", model="demo_io", address="tcp://127.0.0.1:1", comms_timeout_ms=0)
    assert found.on_death == "hold_last"
    slave = ModbusSlave(found.settings)
    with ModbusDevice([slave]) as line:
        at = killed(line, 0)
        assert all(driven == DRIVEN for _, driven in seen_after(line, at, 0.5))
        plan = plan_of("io1", POINTS, model="demo_io", address=line.address, comms_timeout_ms=0)
        desk = Desk([plan])
        try:
            desk.until("safe", lambda: driven_of(slave) == FALLBACK)
        finally:
            desk.close()
