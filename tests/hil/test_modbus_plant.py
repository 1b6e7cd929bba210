"""The machine of a cell behind its Modbus devices: outputs reach it, inputs come back, through the watchdog relay."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.modbus_client import LineClient
from board.modbus_plan import Block
from board.sim import SimBoard
from board.transport import transport
from hil.modbus_device import ModbusDevice
from hil.modbus_plant import ModbusPlant
from hil.modbus_serve import main
from hil.modbus_slave import ModbusSlave
from host_tools.cellfile import compile_cell

ROOT = Path(__file__).resolve().parents[2]
CELL = """
[cell]
name = "desk-1"
heartbeat = "heartbeat"
emergency_stop = "chain_ok"
[inputs.chain_ok]
on_bad = "abort"
[inputs.shut]
[inputs.temp]
unit = "degC"
range = [0, 200]
[outputs.clamp]
safe = "off"
[outputs.lamp]
unit = "%"
range = [0, 100]
safe = 0
[outputs.heartbeat]
safe = "off"
"""
SIM = """
[shut]
follows = "clamp"
delay_ms = 0
[temp]
rest = 20
"""
IO = """
[board]
target = "linux"
watchdog_ms = 300
[devices.io1]
kind = "modbus"
model = "demo_io"
address = "tcp://127.0.0.1:1502"
[chain_ok]
channel = "io1:di0"
[shut]
channel = "io1:di1"
active_low = true
[temp]
channel = "io1:ai0"
span = { raw = [0, 20000], value = [0, 200] }
[clamp]
channel = "io1:do0"
active_low = true
relay = true
[lamp]
channel = "io1:ao0"
span = { raw = [0, 20000], value = [0, 100] }
[heartbeat]
channel = "io1:do1"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "wiring").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "equipment.py").write_text("")
    (tmp_path / "cell.toml").write_text(CELL)
    (tmp_path / "wiring" / "sim.toml").write_text(SIM)
    (tmp_path / "wiring" / "io.toml").write_text(IO)
    return tmp_path


@pytest.fixture
def there(directory: Path) -> Iterator[tuple[ModbusPlant, ModbusSlave]]:
    cell, sim_cell = compile_cell(directory, "io"), compile_cell(directory, "sim")
    slave = ModbusSlave(cell.plans[0].settings)
    sim = SimBoard(speed=1.0)
    sim.open(sim_cell.spec, sim_cell.wiring)
    line = ModbusDevice([slave])
    yield ModbusPlant(cell.spec, cell.wiring, cell.plans, {"io1": slave}, [line], sim), slave
    line.stop()


def outputs_of(plant: ModbusPlant) -> list[int]:
    """Clamp, lamp and heartbeat, as they reach the machine."""
    plant.turn()
    return plant.sim.outputs


def test_inputs_come_back_in_counts_at_the_terminal(there: tuple[ModbusPlant, ModbusSlave]) -> None:
    plant, slave = there
    plant.turn()
    assert (slave.get("di0"), slave.get("di1"), slave.get("ai0")) == (1, 1, 2000)


def test_outputs_reach_the_machine_through_the_watchdog_relay(there: tuple[ModbusPlant, ModbusSlave]) -> None:
    plant, slave = there
    slave.put("ao0", 10_000)
    slave.put("do0", 0)
    assert outputs_of(plant) == [0, 50, 0], "low is on, but nothing beats: the relay is open"
    slave.put("do1", 1)
    assert outputs_of(plant) == [1, 50, 1]
    end = time.monotonic() + 2
    while slave.get("di1") and time.monotonic() < end:
        slave.put("do1", 1 - (slave.get("do1") or 0))
        plant.turn()
    assert slave.get("di1") == 0, "shut, and low is on"


def test_a_person_can_set_an_input_and_free_it(there: tuple[ModbusPlant, ModbusSlave]) -> None:
    plant, slave = there
    plant.force("io1:ai0", "777")
    plant.turn()
    assert slave.get("ai0") == 777
    plant.free("io1:ai0")
    plant.turn()
    assert slave.get("ai0") == 2000
    with pytest.raises(KeyError):
        plant.force("io1:ai3", "1")


def test_the_command_line_serves_a_cell_and_obeys(directory: Path) -> None:
    command = [sys.executable, "-m", "hil.modbus_device", str(directory), "--board", "io", "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
        assert served.stdin is not None
        assert served.stdout is not None
        assert served.stderr is not None
        try:
            line = transport(served.stdout.readline().strip())
            line.open()
            client = LineClient(line, None)
            for command_line, temperature in (("", 2000), ("set io1:ai0 42", 42), ("free io1:ai0", 2000)):
                served.stdin.write(f"{command_line}\nbogus\n")
                served.stdin.flush()
                said = served.stderr.readline() + (served.stderr.readline() if not command_line else "")
                assert "known: fault, flood, for_another, free, io1.dead" in said
                for _ in range(200):
                    if client.read(1, Block("input", 0), 1.0) == [temperature]:
                        break
                else:
                    raise AssertionError(f"{command_line}: not {temperature}")
            line.close()
        finally:
            served.terminate()
        assert served.wait(10) == 0


def test_a_cell_without_modbus_devices_is_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = IO.replace('kind = "modbus"', 'kind = "nothing"')
    (directory / "wiring" / "io.toml").write_text(text)
    assert main([str(directory), "--board", "io"]) == 2
    assert "kind" in capsys.readouterr().err
    assert main([str(directory), "--board", "sim"]) == 2
    assert "wiring/sim.toml has no devices of kind modbus" in capsys.readouterr().err
