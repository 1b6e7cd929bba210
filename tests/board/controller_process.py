"""A stand-in for a controller, to be killed: drives a remote board, beats, and prints a line when it is under way.

python -m tests.board.controller_process ADDRESS CELLDIR OUTPUT...
"""

import sys

from board.remote import RemoteBoard
from host_tools.cellfile import compile_cell
from tests.board.images import Terminals

BEAT_SCANS = 5


def main(address: str, directory: str, names: list[str]) -> None:
    """Drive the outputs `names` for ever."""
    cell = compile_cell(directory, board="sim")
    board = RemoteBoard(address)
    board.open(cell.spec, cell.wiring)
    terminals = Terminals(board, cell.spec)
    terminals.drive(**dict.fromkeys(names, 1))
    tick = board.tick()
    for scan in range(1_000_000):
        board.read(terminals.inputs)
        if scan % BEAT_SCANS == 0:
            terminals.beat()
        board.write(terminals.outputs)
        if scan == 2 * BEAT_SCANS:
            sys.stdout.write("driving\n")
            sys.stdout.flush()
        tick += 10
        board.sleep_until(tick)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
