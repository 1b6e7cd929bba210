"""What `make_safe` says after a controller: done only where it was done, and nothing against one that runs."""

import os
from pathlib import Path

import pytest

from board.make_safe import main
from cell_controller.cpython import local_socket
from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from tests.board.modbus_plans import shape_of

CELL = """
[cell]
name = "oven-1"
[inputs.link]
on_bad = "stop"
[outputs.heater]
safe = "off"
"""
WIRING = """
[board]
target = "linux"
[devices.io1]
kind = "modbus"
model = "demo_io"
address = "{address}"
comms_timeout_ms = 0
[link]
channel = "io1:link"
[heater]
channel = "io1:do0"
"""


@pytest.fixture
def slave() -> ModbusSlave:
    found = shape_of("io1", model="demo_io", address="tcp://127.0.0.1:1", comms_timeout_ms=0)
    return ModbusSlave(found.settings)


def words(tmp_path: Path, address: str) -> list[str]:
    (tmp_path / "wiring").mkdir()
    (tmp_path / "cell.toml").write_text(CELL)
    (tmp_path / "wiring" / "far.toml").write_text(WIRING.format(address=address))
    return [str(tmp_path), "--board", "far"]


def test_a_device_that_takes_its_abort_values_is_no_trouble(tmp_path: Path, slave: ModbusSlave) -> None:
    with ModbusDevice([slave]) as line:
        slave.put("do0", 1)  # as the controller left it
        assert main(words(tmp_path, line.address)) == 0
        assert slave.outputs()["do0"] == 0


def test_a_device_that_answers_and_takes_no_output_is_named(
    tmp_path: Path, slave: ModbusSlave, capsys: pytest.CaptureFixture[str]
) -> None:
    slave.refused["coil"] = 4
    with ModbusDevice([slave]) as line:
        slave.put("do0", 1)
        assert main(words(tmp_path, line.address)) == 1
        assert slave.outputs()["do0"] == 1
    assert "io1 may not have taken its abort values" in capsys.readouterr().err


def test_outputs_of_a_cell_whose_controller_runs_are_left_alone(
    tmp_path: Path, slave: ModbusSlave, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    local_socket.register("oven-1", tmp_path, tmp_path / "x.sock", "", 0, "")
    with ModbusDevice([slave]) as line:
        slave.put("do0", 1)
        assert main(words(tmp_path, line.address)) == 1
        assert slave.outputs()["do0"] == 1
    assert f"process {os.getpid()}" in capsys.readouterr().err
