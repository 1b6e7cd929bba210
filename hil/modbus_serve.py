"""Simulated Modbus devices for people: what `python -m hil.modbus_device` does.

While they run, lines of the standard input say what goes wrong: `io1.late on`, `io1.unplug`, `io1.dead on`,
`set io1:di3 1`, `free io1:di3`, `fault clamp.jam on`. A wrong word lists those that there are.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from board.contract import DevicePlan
from board.sim import SimBoard
from cell_controller.errors import BoardError, CellError, CellFileError
from hil.modbus_device import ModbusDevice
from hil.modbus_plant import ModbusPlant
from hil.modbus_slave import ModbusSlave
from hil.serial_device import SWITCHES, parser_of, serve
from host_tools.cellfile import compile_cell
from host_tools.devices.modbus import shape
from host_tools.toml_file import Problems

ON = {"on": True, "off": False}
Words = dict[str, Callable[..., Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0, or 2 with the reason where that cannot be."""
    parser = parser_of("hil.modbus_device", "Simulated Modbus devices, for a driver to talk to.")
    parser.add_argument(
        "directory", nargs="?", help="a cell: its devices where its wiring has them, and its machine"
    )
    parser.add_argument("--board", default="rpi", help="which wiring file of the cell (default: rpi)")
    parser.add_argument("--port", type=int, help="on 127.0.0.1, in place of the wiring's; 0 takes a free one")
    parser.add_argument("--model", default="demo_io", help="without a cell: the description of one device")
    parser.add_argument("--unit", type=int, default=1, help="without a cell: its unit")
    options = parser.parse_args(arguments)
    try:
        if options.directory is None:
            return _serve_model(options.model, options.unit, options.address)
        return _serve_cell(Path(options.directory), options.board, options.port)
    except (CellError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _serve_model(model: str, unit: int, address: str) -> int:
    problems = Problems()
    table = {"kind": "modbus", "model": model, "unit": unit, "address": "tcp://127.0.0.1:1"}
    found = shape("device", table, "command line", Path(), problems)
    if found is None:
        raise CellFileError(problems.errors)
    slave = ModbusSlave(found.settings)
    words: Words = {"dead": _dead(slave), "set": lambda point, count: slave.put(point, int(count))}
    return serve(ModbusDevice([slave], address), words)


def _serve_cell(directory: Path, board: str, port: int | None) -> int:
    cell = compile_cell(directory, board)
    plans = [plan for plan in cell.plans if plan.kind == "modbus"]
    slaves = {plan.name: ModbusSlave(plan.settings) for plan in plans}
    lines = _lines(plans, slaves, f"wiring/{board}.toml", port)
    with ExitStack() as stack:
        sim_cell = compile_cell(directory, "sim")
        sim = SimBoard(speed=1.0)
        sim.open(sim_cell.spec, sim_cell.wiring)
        *others, last = lines
        plant = stack.enter_context(ModbusPlant(cell.spec, cell.wiring, plans, slaves, lines, sim))
        for line in others:
            stack.enter_context(line)
            sys.stdout.write(f"{line.address}\n")
        words = _words(plans, slaves, lines)
        words |= {"set": plant.force, "free": plant.free, "fault": lambda name, on: sim.fault(name, ON[on])}
        return serve(last, words)


def _lines(
    plans: Sequence[DevicePlan], slaves: dict[str, ModbusSlave], where: str, port: int | None
) -> list[ModbusDevice]:
    on_line: dict[str, list[ModbusSlave]] = {}
    for plan in plans:
        on_line.setdefault(plan.settings["address"], []).append(slaves[plan.name])
    if not on_line:
        raise BoardError(f"{where} has no devices of kind modbus; --board takes another wiring file")
    if port is not None and len(on_line) > 1:
        raise BoardError(f"{where} has {len(on_line)} lines with Modbus devices; --port is for one")
    if port is not None:
        on_line = {f"tcp://127.0.0.1:{port}": there for there in on_line.values()}
    return [ModbusDevice(there, address) for address, there in on_line.items()]


def _words(
    plans: Sequence[DevicePlan], slaves: dict[str, ModbusSlave], lines: Sequence[ModbusDevice]
) -> Words:
    """What can go wrong with each device, and with the line that it is on."""
    words: Words = {}
    for plan in plans:
        slave = slaves[plan.name]
        (line,) = [line for line in lines if slave in line.slaves.values()]
        words[f"{plan.name}.dead"] = _dead(slave)
        words |= {f"{plan.name}.{name}": _switch(line, name) for name in SWITCHES}
        words |= {f"{plan.name}.{name}": getattr(line, name) for name in ("unplug", "plug", "power_cycle")}
    return words


def _dead(slave: ModbusSlave) -> Callable[[str], None]:
    def switch(value: str) -> None:
        slave.dead = ON[value]

    return switch


def _switch(line: ModbusDevice, name: str) -> Callable[[str], None]:
    def switch(value: str) -> None:
        getattr(line, name)(ON[value])

    return switch
