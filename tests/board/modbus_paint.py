"""The example cell on a remote I/O: the real driver, real TCP, the simulated booth behind the registers."""

import shutil
import time
from pathlib import Path
from typing import Any

from board.contract import Spec, Wiring
from board.device_link import now_ms
from board.linux_board import LinuxBoard
from board.sim import SimBoard
from hil.modbus_device import ModbusDevice
from hil.modbus_plant import ModbusPlant
from hil.modbus_slave import ModbusSlave
from host_tools.cellfile import CompiledCell, compile_cell
from tests.board.images import EXAMPLE

TABLES = {
    ("digital", False): 'table = "discrete"',
    ("digital", True): 'table = "coil", access = "out"',
    ("analog", False): 'table = "input", type = "u16", range = [0, 20_000]',
    ("analog", True): 'table = "holding", type = "u16", range = [0, 20_000], access = "out"',
    ("counter", False): 'table = "input", type = "u32", range = [0, 500_000_000], kind = "counter"',
    ("identity", False): 'table = "input", type = "u32", range = [0, 500_000_000], kind = "identity"',
}


def paint_on_modbus(directory: Path) -> CompiledCell:
    """The example cell, copied to `directory` and wired to one device with a register for each signal."""
    shutil.copytree(EXAMPLE, directory)
    sim = compile_cell(directory, "sim")
    points, wires = [], []
    address = 0
    for side in ("inputs", "outputs"):
        for entry in sim.spec[side]:
            table = TABLES[entry["kind"], side == "outputs"]
            points.append(f"{entry['name']} = {{ {table}, address = {address} }}")
            address += 2
            wires.append(f'[{entry["name"]}]\nchannel = "io:{entry["name"]}"')
            if entry["kind"] == "analog":
                low, high = (entry[end] / entry["per_unit"] for end in ("lo", "hi"))
                wires.append(f"span = {{ raw = [0, 20_000], value = [{low}, {high}] }}")
    (directory / "devices").mkdir()
    (directory / "devices" / "booth_io.toml").write_text(
        '[device]\nname = "booth"\n[points]\n' + "\n".join(points)
    )
    board = '[board]\ntarget = "linux"\nwatchdog_ms = 500\n'
    io = '[devices.io]\nkind = "modbus"\nmodel = "booth_io"\naddress = "tcp://127.0.0.1:1502"\n'
    (directory / "wiring" / "io.toml").write_text(board + io + "\n".join(wires))
    return compile_cell(directory, "io")


class ModbusPaint(LinuxBoard):
    """A board on which `fault` switches what goes wrong in the booth; opened, it has been Reset already."""

    def __init__(self, cell: CompiledCell, speed: float) -> None:
        """`speed`: how many times as fast as the clock the booth is."""
        slave = ModbusSlave(cell.plans[0].settings)
        self._server = ModbusDevice([slave])
        settings: dict[str, Any] = {**cell.plans[0].settings, "address": self._server.address}
        plans = [
            type(plan)(plan.name, plan.kind, settings, plan.points, plan.on_death) for plan in cell.plans
        ]
        super().__init__("io", plans, cell.directory)
        self._sim = SimBoard(speed=speed)
        sim_cell = compile_cell(cell.directory, "sim")
        self._sim.open(sim_cell.spec, sim_cell.wiring)
        wiring = {name: {**table, "relay": False} for name, table in cell.wiring.items() if name != "devices"}
        slaves = {"io": slave}
        self._plant = ModbusPlant(cell.spec, wiring, plans, slaves, [self._server], self._sim)

    def open(self, spec: Spec, wiring: Wiring) -> None:
        """See Board.open."""
        self._server.start()
        self._plant.turn()  # switched on it has lost what was there before
        self._plant.__enter__()
        super().open(spec, wiring)
        self.rearm()

    def close(self) -> None:
        """See Board.close."""
        super().close()
        self._plant.__exit__()
        self._server.stop()

    def fault(self, name: str, on: bool) -> None:
        """A fault of the booth; returns when it has been read."""
        self._sim.fault(name, on)
        self._plant.turn()
        changed_at = now_ms()
        deadline = time.monotonic() + 1
        while any(at <= changed_at for device in self._devices for _, at in device.latest):
            assert time.monotonic() < deadline, "the device is not read"
            time.sleep(0.005)
