"""Drives the outputs of a cell to their abort values and ends: what systemd runs after a controller that has ended.

`python -m board.make_safe CELLDIR --board rpi`: a killed controller writes nothing, so its outputs stay as they were.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from board.contract import DevicePlan
from board.device_link import NEVER, DeviceStatus
from board.linux_board import DRIVERS, LinuxBoard
from cell_controller.errors import BoardError, CellError

if TYPE_CHECKING:
    from host_tools.cellfile import CompiledCell


def make_safe(cell: "CompiledCell", drivers: Mapping[str, str] = DRIVERS) -> list[str]:
    """Drive every output of `cell` to its abort value; what could not be done, a line each."""
    kinds: dict[str, list[DevicePlan]] = {}
    for plan in cell.plans:
        if any(point.is_output for point in plan.points):
            kinds.setdefault(plan.kind, []).append(plan)
    return [trouble for plans in kinds.values() for trouble in _drive(cell, plans, drivers)]


def _drive(cell: "CompiledCell", plans: Sequence[DevicePlan], drivers: Mapping[str, str]) -> list[str]:
    """Open these devices only, one by one where one of them cannot be had.

    The watchdog of [board] is left alone: it goes on for the controller that died.
    """
    board = LinuxBoard(cell.board, plans, cell.directory, drivers=drivers)
    try:
        board.open(cell.spec, cell.wiring)
    except BoardError as error:
        if len(plans) == 1:
            return [str(error)]
        return [trouble for plan in plans for trouble in _drive(cell, [plan], drivers)]
    board.make_safe([entry["on_abort"] for entry in cell.spec["outputs"]])
    troubles = [trouble for status in board.devices() if (trouble := _trouble(status))]
    board.close()
    return troubles


def _trouble(status: DeviceStatus) -> str:
    """What is not known to be done, "" if all is."""
    if status.answered_ms == NEVER:
        return f"{status.name} does not answer, so nobody knows what its outputs do"
    return f"{status.name} may not have taken its abort values: {status.fault}" if status.fault else ""


def main(argv: list[str] | None = None) -> int:
    """0 where every output is at its abort value, 1 where one is not; options for the controller are ignored."""
    from cell_controller.cpython.local_socket import running_cells
    from host_tools.cellfile import compile_cell

    parser = argparse.ArgumentParser(
        prog="python -m board.make_safe", description="Drives the outputs of a cell to their abort values."
    )
    parser.add_argument("directory", type=Path, help="the cell's directory")
    parser.add_argument("--board", default="sim", help="which file of wiring/ to use")
    args, _ = parser.parse_known_args(argv)
    if os.environ.get("SERVICE_RESULT") == "success":
        return 0  # it ended in order: the outputs are where it left them, also those that it shall keep
    if args.board == "sim" or args.board.startswith("remote:"):
        return 0
    try:
        cell = compile_cell(args.directory, args.board)
    except CellError as error:
        troubles = [str(error)]
    else:
        name = cell.spec["name"]
        running = [entry["pid"] for entry in running_cells() if entry["name"] == name]
        # a second controller that was refused has ended; the first drives the outputs
        troubles = (
            [f"cell {name} runs as process {running[0]}; its outputs were left alone"]
            if running
            else make_safe(cell)
        )
    for trouble in troubles:
        sys.stderr.write(f"{trouble}\n")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
