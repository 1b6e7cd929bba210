"""MicroPython's raw prompt: send a program, get what it printed. By raw paste where the board knows it, else plainly.

Raw paste has a window, so nothing is lost whatever the line is. Boards before 1.14 have only the plain form, without
flow control: there a program goes in small pieces with a pause between them.
"""

import struct
import time

from cell_controller.errors import CellError
from host_tools.serial_port import LineTimeoutError, SerialPort, tail, until

BANNER = b"raw REPL; CTRL-B to exit\r\n>"
PROMPT = b">>> "
INTERRUPT, ENTER, LEAVE, END = b"\x03", b"\x01", b"\x02", b"\x04"
_PASTE = b"\x05A\x01"
_PIECE = 64  # bytes of a program without flow control; a micro:bit keeps 64 that it has not read
_PAUSE_S = 0.012  # in which 115,200 baud bring 138 bytes
ENTER_S = 3.0


class NotMicroPythonError(CellError, LookupError):
    """Nothing on this port speaks as a MicroPython board does; check the port and what is on it."""


class BoardProgramError(CellError, RuntimeError):
    """A program that was sent to the board ended with an exception; the message has its last line."""

    def __init__(self, text: str, traceback: str = "") -> None:
        super().__init__(text)
        self.traceback = traceback


class RawRepl:
    """The raw prompt of the board on an open port. Enter it first."""

    def __init__(self, port: SerialPort) -> None:
        self.port = port
        self.pastes: bool | None = None  # whether the board knows raw paste; None: nobody has asked yet

    def enter(self, within_s: float = ENTER_S) -> None:
        """Interrupt what runs and get the raw prompt. Raises NotMicroPythonError if it does not come."""
        left = until(within_s)
        asked_again = False
        while True:
            self.port.write(b"\r" + INTERRUPT + INTERRUPT + b"\r" + ENTER)
            try:
                self.port.read_until(BANNER, min(1.0, left() + 0.1))
                if asked_again:
                    self.port.drain()  # the answer to the first request may come yet
                return
            except LineTimeoutError as error:
                if left():
                    asked_again = True
                    continue
                said = str(error).rpartition("it said ")[2]
                raise NotMicroPythonError(
                    f"{self.port.name}: no MicroPython prompt within {within_s:g} s; it said {said}; "
                    "is it the right port, and is MicroPython on the board?"
                ) from error

    def leave(self) -> None:
        """Go back to the prompt that people type at."""
        self.port.write(b"\r" + LEAVE)

    def run(self, program: str, within_s: float = 5.0) -> str:
        """Run a program and return what it printed. Raises BoardProgramError with the last line of its traceback."""
        self.start(program)
        left = until(within_s)
        printed = self.port.read_until(END, left())[:-1]
        wrong = self.port.read_until(END, max(left(), 0.5))[:-1].decode("utf-8", "replace")
        self.port.read_until(b">", max(left(), 0.5))
        if wrong:
            raise BoardProgramError(f"{self.port.name}: {wrong.strip().splitlines()[-1]}", wrong)
        return printed.decode("utf-8", "replace")

    def start(self, program: str) -> None:
        """Send a program and let it run; the line is then between it and the caller."""
        code = program.encode()
        if self.pastes is not False and self._paste(code):
            return
        self._plain(code)

    def _paste(self, code: bytes) -> bool:
        """Send by raw paste; False if the board does not know it and is back at its raw prompt."""
        self.port.write(_PASTE)
        answer = self._exactly(2)
        if answer != b"R\x01":
            if answer != b"R\x00":  # it took the request for a Ctrl-A and says hello again
                self.port.keep(answer)
                self.port.read_until(BANNER, 2.0)
            self.pastes = False
            return False
        self.pastes = True
        window: int = struct.unpack("<H", self._exactly(2))[0]
        credit = window
        start = 0
        while start < len(code):
            while not credit:
                credit += window * self._grants()
            piece = code[start : start + credit]
            self.port.write(piece)
            credit -= len(piece)
            start += len(piece)
        self.port.write(END)
        self._end_of_paste()
        return True

    def _grants(self) -> int:
        """How often the board has allowed a window more, at least once. Raises if it says something else."""
        data = self.port.read(5.0)
        if not data:
            raise LineTimeoutError(f"{self.port.name}: the board takes no more of the program; reset it")
        if data.strip(ENTER):
            raise BoardProgramError(
                f"{self.port.name}: the board broke off the program; it said {tail(data)}"
            )
        return len(data)

    def _end_of_paste(self) -> None:
        head = self.port.read_until(END, 5.0)[:-1]
        if head.strip(ENTER):
            raise BoardProgramError(
                f"{self.port.name}: the board broke off the program; it said {tail(head)}"
            )

    def _plain(self, code: bytes) -> None:
        for start in range(0, len(code), _PIECE):
            self.port.write(code[start : start + _PIECE])
            time.sleep(_PAUSE_S)
        self.port.write(END)
        answer = self._exactly(2)
        if answer != b"OK":
            raise BoardProgramError(
                f"{self.port.name}: the board did not take the program; it said {tail(answer)}"
            )

    def _exactly(self, count: int, within_s: float = 5.0) -> bytes:
        left = until(within_s)
        heard = b""
        while len(heard) < count:
            data = self.port.read(left())
            if not data:
                raise LineTimeoutError(
                    f"{self.port.name}: no answer within {within_s:g} s; it said {tail(heard)}"
                )
            heard += data
        self.port.keep(heard[count:])
        return heard[:count]
