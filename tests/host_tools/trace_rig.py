"""What tests of `cellctl trace` share: a command with Ctrl-C, a recorder in a thread, a program, made line traces."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from board.transport import SerialSettings, SerialTransport, TcpTransport, transport
from board.wire_trace import LineTrace, LineTraceWriter
from cell_controller.errors import LinkLostError
from host_tools import commands_trace
from host_tools.cellctl import run_command
from host_tools.commands_common import Parser
from host_tools.output import Output, ToolError
from host_tools.wire_record import WireRecorder
from tests.board.line_peer import Peer, read_all, wait_for


class Scale:
    """A device: answers questions, numbers its answers, and counts up to a new value for `T`."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, data: bytes) -> bytes:
        self.count += data.count(b"?") + data.count(b"T")
        return b"%04d kg\r\n" % self.count if data else b""


def dialogue(address: str, questions: int = 3) -> list[bytes]:
    """What a driver does: open, ask, read, close; the answers it got."""
    line = transport(address)
    line.open()
    answers = []
    for number in range(questions):
        line.write(b"?%d\r\n" % number)
        answers.append(read_all(line.read, 9))
    line.close()
    return answers


def code_of(words: list[str]) -> int:
    """Run `cellctl trace WORDS`; its exit code."""
    out = Output(as_json="--json" in words)
    parser = Parser(prog="cellctl")
    commands_trace.add(parser.add_subparsers(metavar="COMMAND", required=True))
    try:
        args = parser.parse_args(["trace", *words])
    except ToolError as error:
        return out.failure(error)
    return run_command(args, out)


class Running:
    """A command in the main thread of the test, where Ctrl-C arrives, and a program that talks to what it offers."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, words: list[str], program: Callable[[str], None], at: str = "", ctrl_c: bool = True) -> int:
        """Run it; `program` gets the address, printed or `at`, and Ctrl-C is typed when it returns."""

        def work() -> None:
            try:
                wait_for(lambda: self._address(at) != "", lambda: self.out)
                program(self._address(at))
            except BaseException:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                raise
            if ctrl_c:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(work)
            code = code_of(words)
            done.result(10)
        self._look()
        return code

    def said(self) -> str:
        """What it has printed so far."""
        self._look()
        return self.out

    def _look(self) -> None:
        seen = self._capsys.readouterr()
        self.out += seen.out
        self.err += seen.err

    def _address(self, at: str) -> str:
        if at:
            return at if os.path.exists(at) or at.startswith("tcp") else ""
        self._look()
        lines = [line for line in self.out.splitlines() if line.startswith("address for the program: ")]
        return lines[0].removeprefix("address for the program: ") if lines else ""


class Recording:
    """A recorder at work in a thread of its own."""

    def __init__(self, device: Peer, file: Path, at: str | None = None) -> None:
        self.said: list[str] = []
        self.recorder = WireRecorder(device.address, SerialSettings(), file, at, self.said.append)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self.recorder:
            self._ready.set()
            self.recorder.run(self._stop)

    def __enter__(self) -> "Recording":
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()


def letters(file: Path) -> str:
    """The letters of a line trace, equal neighbours once."""
    found = ""
    for entry in LineTrace(file):
        found += entry.letter if not found.endswith(entry.letter) else ""
    return found


def recorded(folder: Path, sessions: int = 1) -> str:
    """A line trace of a serial device: `?` is answered by `ok` at once."""
    clock = [0]
    writer = LineTraceWriter(
        folder / "made.line", {"device": "made", "address": "/dev/x"}, clock_us=lambda: clock[0]
    )
    for _ in range(sessions):
        for letter, data in (("O", b""), ("W", b"?\r\n"), ("R", b"ok"), ("C", b"")):
            writer.note(letter, data)
            clock[0] += 10_000
    writer.close()
    return str(folder / "made.line")


def opens(line: SerialTransport | TcpTransport) -> bool:
    """Whether it can be opened now."""
    try:
        line.open()
    except LinkLostError:
        return False
    return True
