"""Plays the device's side of a line trace to a program, at an address of the same kind as the recorded one."""

import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

from board.wire_trace import LineTrace
from host_tools.line_tape import Tape, steps_of
from host_tools.output import ToolError
from host_tools.wire_record import LOOK_S, end_for

LINGER_S = 1.0
"""How long the line stays after the last byte, for the program to read it."""

Tell = Callable[[str], None]


class WirePlayer:
    """One line trace, played once. `with` begins and ends it; `run` does the work in between."""

    def __init__(self, file: Path, speed: float = 1.0, at: str | None = None, tell: Tell = print) -> None:
        """`tell` is given one line for each difference. Raises TraceFileError for what is no line trace, ToolError."""
        trace = LineTrace(file)
        self.tape = Tape(steps_of(trace), speed)
        self.notes = trace.notes
        self.about = trace.about
        if self.tape.over:
            raise ToolError(f"{file} has no byte to play; `cellctl trace show {file}` shows what it has")
        self._tell = tell
        self._told = 0
        self._attached = False
        self._unread = b""
        self._at = at

    @property
    def address(self) -> str:
        """What the program is to be given in place of the device's address."""
        return self._end.address

    def __enter__(self) -> "WirePlayer":
        """Raises ToolError where the address cannot be offered."""
        self._end = end_for(str(self.about.get("address", "")), self._at)
        return self

    def __exit__(self, *error: object) -> None:
        self._end.unplug()
        self._end.remove()

    def run(self, stop: threading.Event) -> None:
        """Play until the tape is over and the program has had time to read the last of it, or `stop` is set."""
        ends_at = 0.0
        while not stop.is_set():
            over = self.tape.over and not self._unread
            if not over:
                ends_at = time.monotonic() + LINGER_S
            elif time.monotonic() >= ends_at or not self._attached:
                return
            if self._turn() and over:
                return  # it asks on, and the recording has no more: that is no difference

    def _turn(self) -> bool:
        """One look at the program; whether it sent something."""
        tape, end = self.tape, self._end
        self._look_for_program()
        now = time.monotonic()
        wait_s = max(0.0, min(LOOK_S, tape.next_due(now + LOOK_S) - now))
        if waits := end.waits:
            select.select(waits, waits if self._unread else [], [], wait_s)
        else:
            time.sleep(wait_s)
        asked = end.read() if self._attached else b""
        now = time.monotonic()
        if asked and not tape.over:
            tape.heard(asked, now)
        if self._attached:
            self._unread += tape.take(now)
            if self._unread:
                self._unread = self._unread[end.write(self._unread) :]
            if tape.hangs_up(now):
                self._hang_up()
        for text in tape.differences[self._told :]:
            self._tell(text)
            self._told += 1
        return bool(asked)

    def _look_for_program(self) -> None:
        attached = self._end.attached()
        if attached == self._attached:
            return
        self._attached = attached
        self._unread = b""
        if attached:
            self.tape.opened(time.monotonic())
        else:
            self.tape.heard(self._end.read(), time.monotonic())  # its last words
            self.tape.closed()

    def _hang_up(self) -> None:
        """The device's side ends, and is back after the recorded time."""
        self._end.unplug()
        self._attached = False
        self._unread = b""
        if self.tape.over:
            return
        time.sleep(max(0.0, self.tape.back_at() - time.monotonic()))
        self._end.plug()
