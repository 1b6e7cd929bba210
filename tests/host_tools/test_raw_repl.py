"""The raw prompt: programs of any size arrive, errors come back, and what is no board is said to be none."""

import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil.standin.board import StandIn
from host_tools.raw_repl import BoardProgramError, NotMicroPythonError, RawRepl
from host_tools.serial_port import LineLostError, LineTimeoutError, SerialPort


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with StandIn(tmp_path_factory.mktemp("board") / "flash") as board:
        yield board


class OldBoardPort(SerialPort):
    """As a board before 1.14 hears it: a request for raw paste is no more than another Ctrl-A."""

    def write(self, data: bytes) -> None:
        super().write(b"\x01" if data == b"\x05A\x01" else data)


class BarePort(SerialPort):
    """A board that knows of raw paste and was built without it."""

    def write(self, data: bytes) -> None:
        if data == b"\x05A\x01":
            self.keep(b"R\x00")
        else:
            super().write(data)


@pytest.fixture(params=[SerialPort, OldBoardPort, BarePort])
def repl(board: StandIn, request: pytest.FixtureRequest) -> Iterator[RawRepl]:
    kind: type[SerialPort] = request.param
    with kind(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        yield repl
        repl.leave()


def test_what_a_program_prints_comes_back(repl: RawRepl) -> None:
    assert repl.run("print(6 * 7)").strip() == "42"
    assert repl.run("print('again')").strip() == "again"
    assert repl.pastes is (type(repl.port) is SerialPort)


def test_an_exception_comes_back_with_its_last_line_and_the_prompt_stays(repl: RawRepl) -> None:
    with pytest.raises(BoardProgramError, match="ZeroDivisionError") as caught:
        repl.run("1/0")
    assert "Traceback" in caught.value.traceback
    assert repl.run("print(1)").strip() == "1"


def test_a_long_program_arrives_whole(repl: RawRepl) -> None:
    lines = "".join(f"a{number} = {number}\n" for number in range(300))
    assert repl.run(lines + "print(sum(globals()['a%d' % i] for i in range(300)))").strip() == "44850"


def test_a_program_that_runs_is_interrupted(board: StandIn) -> None:
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        repl.start("while True:\n pass\n")
        repl.enter()
        assert repl.run("print(2)").strip() == "2"
        repl.leave()


@pytest.mark.soak
def test_the_raw_prompt_that_somebody_left_is_found_again(board: StandIn) -> None:
    with SerialPort(board.port) as port:
        RawRepl(port).enter()
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        assert repl.run("print(3)").strip() == "3"
        repl.leave()


@contextmanager
def talker(said: Callable[[bytes], bytes], first: bytes = b"") -> Iterator[str]:
    """Something on a port that answers each piece it hears with `said(piece)`."""
    board, tool = pty.openpty()
    tty.setraw(tool)
    os.set_blocking(board, True)

    def run() -> None:
        os.write(board, first)
        while True:
            try:
                os.write(board, said(os.read(board, 4096)))
            except OSError:
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield os.ttyname(tool)
    finally:
        os.close(tool)
        os.close(board)
        thread.join(2)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (lambda heard: b"\xff\x00garbage" * 5, "garbage"),
        (lambda heard: heard, r"\\x01"),
        (lambda heard: b"", "nothing"),
    ],
    ids=["garbage", "echo", "silence"],
)
def test_what_is_no_board_is_said_to_be_none_in_time(said: Callable[[bytes], bytes], shown: str) -> None:
    with talker(said) as name, SerialPort(name) as port:
        begun = time.monotonic()
        with pytest.raises(NotMicroPythonError, match=f"it said .*{shown}.*is it the right port"):
            RawRepl(port).enter(0.3)
        assert time.monotonic() - begun < 3


def test_a_board_that_is_silent_in_the_middle_of_a_program_ends_in_a_time_out(board: StandIn) -> None:
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        with pytest.raises(LineTimeoutError):
            repl.run("while True:\n pass\n", within_s=0.2)
        repl.enter()
        repl.leave()


def test_a_pulled_cable_in_the_middle_of_a_program_is_said(board: StandIn) -> None:
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        repl.start("while True:\n pass\n")
        board.unplug()
        try:
            with pytest.raises(LineLostError):
                port.read_until(b"never", 5)
        finally:
            board.plug()
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        repl.leave()


def test_the_fall_back_takes_its_time_between_pieces(board: StandIn, tmp_path: Path) -> None:
    """Without flow control a board with a small buffer must be able to keep up."""
    with OldBoardPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        begun = time.monotonic()
        repl.run("#" * 640 + "\nprint(1)\n")
        assert time.monotonic() - begun >= 0.1
        repl.leave()


class SlowPort(OldBoardPort):
    """A board that is busy when it is asked first: its answer comes when it was asked again already."""

    asked = 0

    def write(self, data: bytes) -> None:
        if data.endswith(b"\x03\r\x01"):
            self.asked += 1
            if self.asked == 1:
                self.held = data
                return
            if self.asked == 2:
                super().write(self.held)
        super().write(data)


def test_a_board_that_answers_late_is_not_taken_for_one_that_says_something_else(board: StandIn) -> None:
    port = SlowPort(board.port)
    with port:
        repl = RawRepl(port)
        repl.enter()
        assert port.asked == 2
        assert repl.run("print(1)\n") == "1\r\n"
        repl.leave()
