"""The command line: a stand-in board for other programs, until SIGTERM or SIGINT."""

import argparse
import signal
import sys
import threading

from cell_controller.errors import CellError
from hil.standin.board import StandIn


def main(arguments: list[str] | None = None) -> int:
    """Print the port, then the address for observers where there is a cell; 0, or 2 where there can be no board."""
    parser = argparse.ArgumentParser(
        prog="python -m hil.standin",
        description="A Pico W that is not there: MicroPython behind a pseudo terminal that serial tools open.",
    )
    parser.add_argument(
        "--flash", required=True, metavar="FILE", help="keeps its flash; made where there is none"
    )
    parser.add_argument("--link", metavar="PATH", help="where the port shall be found")
    parser.add_argument(
        "--cell", metavar="DIR", help="a cell whose plant it is wired to (wiring/pico_w.toml)"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast its clock runs")
    parser.add_argument(
        "--baud", type=int, default=0, help="bits a second on the cable; 0, as fast as it goes"
    )
    parser.add_argument(
        "--heap",
        type=int,
        default=400,
        metavar="KB",
        help="heap for the application (400: twice a Pico W's, for words of 64 bits)",
    )
    parser.add_argument(
        "--serial", type=lambda text: int(text, 0), default=0x2D, help="end of its unique id, 0..255"
    )
    parser.add_argument("--start-ms", type=int, default=0, help="what its ticks show at power-on")
    parser.add_argument("--hangs-up", action="store_true", help="a reset takes the port away for a moment")
    options = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, stack: ended.set())
    try:
        with StandIn(
            options.flash,
            heap_kb=options.heap,
            baud=options.baud,
            speed=options.speed,
            cell=options.cell,
            serial=options.serial,
            start_ms=options.start_ms,
            link=options.link,
            hangs_up=options.hangs_up,
        ) as board:
            print(board.port, flush=True)
            if board.observer:
                print(board.observer, flush=True)
            ended.wait()
    except CellError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
