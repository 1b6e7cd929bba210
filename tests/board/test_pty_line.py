"""Parity on a pseudo terminal: why it is refused, and that the line of the tests takes it each time."""

import os
import pty
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from board.transport import SerialSettings, SerialTransport
from hil.pty_mode import forget_mode
from tests.board.pty_line import PtyLine

EVEN = SerialSettings(9600, 8, "even", 1)


@pytest.fixture
def bare() -> Iterator[tuple[int, str]]:
    near, far = pty.openpty()
    yield near, os.ttyname(far)
    os.close(near)
    os.close(far)


def open_with_parity(path: str) -> None:
    serial.Serial(path, 9600, 8, serial.PARITY_EVEN, 1, timeout=0).close()


def test_a_pty_drops_parity_without_a_word_and_the_c_library_refuses_it_alone(bare: tuple[int, str]) -> None:
    near, path = bare
    open_with_parity(path)
    assert not termios.tcgetattr(near)[2] & termios.PARENB, "asked for, granted, and not there"
    with pytest.raises(termios.error, match="Invalid argument"):
        open_with_parity(path)


def test_whoever_has_more_than_parity_to_change_succeeds(bare: tuple[int, str]) -> None:
    near, path = bare
    for _ in range(3):
        open_with_parity(path)
        forget_mode(near)


def test_the_line_takes_parity_each_time_and_carries_bytes(tmp_path: Path) -> None:
    with PtyLine(tmp_path) as line:
        for round_number in range(3):
            near, far = SerialTransport(line.near, EVEN), SerialTransport(line.far, EVEN)
            near.open()
            far.open()
            message = b"hello %d" % round_number
            got = b""
            end = time.monotonic() + 3
            while got != message and time.monotonic() < end:
                if not got:
                    near.write(message)
                got += far.read(len(message) - len(got), 0.05)
            assert got == message
            near.close()
            far.close()
            time.sleep(0.01)
