"""The console of the stand-in board: whatever the pieces in which the output comes, the wire carries the same."""

import pytest

from hil.standin.console import OPEN, Console

MOUNTED, READY, ANNOUNCE = b"\0mounted\0", b"\0ready\0", b"\0bytes"
BANNER = b'MicroPython abc on 2026-01-01; linux [GCC 1]\r\nType "help()" for more information.\r\n>>> '
PICO = BANNER.replace(b"linux [GCC 1]", b"Raspberry Pi Pico W with RP2040")
BINARY = b"\n\r\n\0mounted\0MicroPython x on y; z\r\n"
OUTPUT = (
    b"machinery"
    + MOUNTED
    + b"hello\nthere\r\n"
    + ANNOUNCE
    + b"%04x" % len(BINARY)
    + BINARY
    + b"a\0b\n"
    + READY
    + b"hidden"
    + BANNER
    + b"1\n\r\n"
)
WIRE = b"hello\r\nthere\r\n" + BINARY + b"a\0b\r\n" + PICO + b"1\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_the_pieces_do_not_matter(size: int) -> None:
    console = Console(False, MOUNTED, READY, ANNOUNCE)
    pieces = [OUTPUT[i : i + size] for i in range(0, len(OUTPUT), size)]
    assert b"".join(console.from_board(piece) for piece in pieces) == WIRE
    assert console.stage == OPEN


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_the_banner_that_ctrl_b_asks_for_is_the_boards(size: int) -> None:
    console = Console(True, MOUNTED, READY, ANNOUNCE)
    raw = b"raw REPL; CTRL-B to exit\r\n>"
    assert console.from_board(MOUNTED + READY + BANNER + b"\r\n" + raw) == raw
    before = console.raw
    console.expect_banner()
    pieces = [BANNER[i : i + size] for i in range(0, len(BANNER), size)]
    assert b"".join(console.from_board(piece) for piece in pieces) == PICO
    assert (before, console.raw) == (True, False)


def test_no_input_goes_in_before_the_file_system_is_there_or_a_raw_boot_is_over() -> None:
    taken = {}
    for way in (False, True):
        console = Console(way, MOUNTED, READY, ANNOUNCE)
        taken[way] = [console.takes_input]
        for output in (MOUNTED, READY + (b"raw REPL; CTRL-B to exit\r\n>" if way else BANNER)):
            console.from_board(output)
            taken[way].append(console.takes_input)
    assert taken == {False: [False, True, True], True: [False, False, True]}
