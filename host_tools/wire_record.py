"""Stands between a device and the program that talks to it, and writes down every byte both ways.

The program is given another address: a pseudo-terminal in place of a serial port, a port of this machine in place of a
TCP address. The device's line is open as long as the program has its own open, as it would be without a recorder. When
the device is gone that address is gone too, and both come back together.
"""

import select
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from board.seam import Seam
from board.transport import SerialSettings, transport
from board.wire_trace import NOTE, LineTraceWriter, about_line
from cell_controller.cpython.recorder import segments
from cell_controller.errors import LinkLostError
from hil.serial_ends import PtyEnd, TcpEnd
from host_tools.output import ToolError

LOOK_S = 0.01
"""How soon a program that opens the line is seen."""
FIRST_WAIT_S = 0.1
MOST_WAIT_S = 2.0
MOST_READ = 4096
MOST_UNREAD = 1 << 16
"""Bytes that the program has not taken; beyond that they are lost, as on a serial port that nobody reads."""

Tell = Callable[[str], None]


def end_for(address: str, at: str | None) -> PtyEnd | TcpEnd:
    """The address to offer in place of one that is "tcp://…" or a serial port's path, plugged in.

    `at`: which one, None for a new one: a path for the pseudo-terminal, or a port number. Raises ToolError.
    """
    if address.startswith("tcp://"):
        return _tcp_end(at)
    if at is not None:
        place = Path(at)
        if not place.parent.is_dir():
            raise ToolError(f"--at {at}: there is no directory {place.parent}")
        if place.exists() and not place.is_symlink():
            raise ToolError(f"--at {at} is there already; give another path, or remove it")
    end = PtyEnd(at or "pty")
    end.plug()
    return end


def _tcp_end(at: str | None) -> TcpEnd:
    if at is None:
        return TcpEnd("tcp")
    if not (at.isascii() and at.isdecimal()) or not 0 < int(at) < 65536:
        raise ToolError(f"--at {at} is no port number; for a device on TCP it is one, such as 5020")
    try:
        return TcpEnd(f"tcp://127.0.0.1:{at}")
    except OSError as error:
        raise ToolError(f"--at {at}: the port cannot be had: {error.strerror}; choose another") from error


class WireRecorder:
    """One device, one program, one file. `with` begins and ends it; `run` does the work in between.

    `heard` and `sent` count bytes from and to the device, `losses` how often it was gone.
    """

    def __init__(
        self, address: str, settings: SerialSettings, file: Path, at: str | None = None, tell: Tell = print
    ) -> None:
        """`tell` is given one line for each thing a person should know. Raises BoardError for a wrong address."""
        self._line = transport(address, settings)
        self._seam = Seam(file.name, self._line)
        self._about = about_line(file.stem, address, settings)
        self._file = file
        self._at = at
        self._tell = tell
        self._unread = b""
        self._attached = False
        self._away = False
        self._wait_s = FIRST_WAIT_S
        self._try_at = 0.0
        self.heard = self.sent = self.losses = 0
        self.error = ""

    @property
    def address(self) -> str:
        """What the program is to be given in place of the device's address."""
        return self._end.address

    def __enter__(self) -> "WireRecorder":
        """Raises LinkLostError where the device is not there, ToolError for what was typed, OSError for the file."""
        if segments(self._file):
            raise ToolError(f"{self._file} is there already; give another name, or remove it")
        with ExitStack() as undo:
            self._line.open()  # so that a wrong address is said now
            undo.callback(self._line.close)
            self._end = end_for(self._line.name, self._at)
            undo.callback(self._end_end)
            self._writer = LineTraceWriter(self._file, self._about)
            undo.pop_all()
        self._line.close()
        self._seam.record(self._writer)
        return self

    def __exit__(self, *error: object) -> None:
        self._end_end()
        self._seam.close()
        self._seam.end_record()

    def _end_end(self) -> None:
        self._end.unplug()
        self._end.remove()

    def run(self, stop: threading.Event) -> None:
        """Record until `stop` is set, or the file cannot be written any more; then `error` says why."""
        while not stop.is_set() and not self.error:
            self.turn(LOOK_S)

    def turn(self, wait_s: float) -> None:
        """One look at both sides; waits up to `wait_s` for bytes."""
        if self._away:
            self._find_again(wait_s)
            return
        try:
            self._look_for_program()
            line = [self._line] if self._line.is_open else []
            waits = self._end.waits
            select.select([*line, *waits], waits if self._unread else [], [], wait_s)
            if self._attached:
                self._pass_on()
        except LinkLostError as error:
            self._lose(error)
        self.error = self._writer.error

    def _look_for_program(self) -> None:
        attached = self._end.attached()
        if attached == self._attached:
            return
        self._attached = attached
        self._unread = b""
        if attached:
            self._seam.open()
        else:
            self._ask(self._end.read())  # its last words
            self._seam.close()
        self._tell(f"the program has {'opened' if attached else 'closed'} the line")

    def _pass_on(self) -> None:
        self._ask(self._end.read())
        data = self._seam.read(MOST_READ, 0)
        self.heard += len(data)
        self._unread += data
        if self._unread:
            self._unread = self._unread[self._end.write(self._unread) :]
        if len(self._unread) > MOST_UNREAD:
            self._say(f"the program does not read; {len(self._unread)} bytes for it are lost")
            self._unread = b""

    def _ask(self, data: bytes) -> None:
        if data:
            self._seam.write(data)
            self.sent += len(data)

    def _lose(self, error: LinkLostError) -> None:
        self.losses += 1
        self._tell(f"{error}; it is waited for")
        self._end.unplug()
        self._attached = False
        self._unread = b""
        self._away = True
        self._wait_s = FIRST_WAIT_S
        self._try_at = time.monotonic() + self._wait_s

    def _find_again(self, wait_s: float) -> None:
        left_s = self._try_at - time.monotonic()
        if left_s > 0:
            time.sleep(min(left_s, wait_s))
            return
        try:
            self._line.open()
        except LinkLostError:
            self._wait_s = min(2 * self._wait_s, MOST_WAIT_S)
            self._try_at = time.monotonic() + self._wait_s
            return
        self._line.close()
        self._end.plug()
        self._away = False
        self._tell(f"{self._line.name} is back")

    def _say(self, text: str) -> None:
        """To the person, and into the file."""
        self._writer.note(NOTE, text)
        self._tell(text)
