"""A stand-in for a controller of a printer, to be killed: heats, and prints a line when it does.

python -m tests.board.gcode_controller ADDRESS DIRECTORY
"""

import sys
from pathlib import Path
from typing import Any

from board.contract import DevicePlan
from board.linux_board import LinuxBoard
from cell_controller.core.signals import InputImage, OutputImage
from tests.board.rigs.gcode import points
from tests.board.rigs.marlin import SETTINGS

HEAT = 2000


def board_of(address: str, directory: Path) -> tuple[LinuxBoard, dict[str, Any]]:
    """A board with a printer at `address`, and its cell; not opened."""
    plan = DevicePlan("printer", "marlin", SETTINGS | {"address": address}, points())
    signals: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for point in plan.points:
        signals[point.is_output].append({"name": point.signal, "kind": point.kind, "raw": []})
    return LinuxBoard("desk", [plan], directory), {"inputs": signals[False], "outputs": signals[True]}


def main(address: str, directory: str) -> None:
    """Heat for ever."""
    board, spec = board_of(address, Path(directory))
    board.open(spec, {})
    inputs, outputs = InputImage(spec), OutputImage(spec)
    outputs.words[0] = 1  # enable
    outputs.analog[1] = HEAT
    tick, told = board.tick(), False
    for _ in range(100_000):
        board.read(inputs)
        if board.devices()[0].waits_for_reset:
            board.rearm()
        elif not told:
            told = True
            sys.stdout.write("heating\n")
            sys.stdout.flush()
        board.write(outputs)
        tick += 10
        board.sleep_until(tick)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
