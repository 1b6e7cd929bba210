"""The serial line to a board: which ports there are, and one open port whose every wait is bounded.

A cable can be pulled and a board can reset at any byte. Reading and writing end then with an error of this module,
never with a wait that nobody ends.
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import serial
from serial.tools import list_ports

from cell_controller.errors import CellError

BAUD = 115_200
LOOK_S = 0.05  # how long one read waits before it looks whether to go on
WRITE_S = 5.0
REOPEN_EVERY_S = 0.05
MAX_READ = 65_536


class PortError(CellError, OSError):
    """The port cannot be opened; mend what the message names: the name, the cable, another program, a permission."""


class LineLostError(CellError, ConnectionError):
    """The port went away while it was open: a pulled cable, or a board that resets; open it again."""


class LineTimeoutError(CellError, TimeoutError):
    """The board did not say in time what was expected; the message has what it said instead."""


class CancelledError(CellError, RuntimeError):
    """The person at the keyboard gave up; the board goes back to what it ran by itself."""


@dataclass(frozen=True)
class PortInfo:
    """One serial port of this machine. vid, pid: of the USB device, 0 where it is none."""

    name: str
    vid: int = 0
    pid: int = 0
    serial_number: str = ""
    product: str = ""


@dataclass(frozen=True)
class Kind:
    """What hangs on a USB id. bridge: a UART chip that knows nothing of flow; board: known to run MicroPython."""

    what: str
    bridge: bool = False
    board: bool = False


_IDS = {
    (0x2E8A, 0x0005): Kind("Pico, MicroPython", board=True),
    (0x2E8A, 0x0003): Kind("Pico in its boot loader: no MicroPython runs"),
    (0x2E8A, 0x000A): Kind("Pico, another firmware"),
    (0x2E8A, 0x000C): Kind("Pico debug probe", bridge=True),
    (0x303A, 0x4001): Kind("ESP32, MicroPython", board=True),
    (0x303A, 0x1001): Kind("ESP32, its own USB port", board=True),
    (0x10C4, 0xEA60): Kind("CP210x bridge", bridge=True),
    (0x1A86, 0x7523): Kind("CH340 bridge", bridge=True),
    (0x1A86, 0x55D4): Kind("CH9102 bridge", bridge=True),
    (0x0403, 0x6001): Kind("FTDI bridge", bridge=True),
    (0x0403, 0x6015): Kind("FTDI bridge", bridge=True),
}
_MAKERS = {0x2E8A: Kind("Raspberry Pi microcontroller"), 0x303A: Kind("ESP32", board=True)}


def kind_of(port: PortInfo) -> Kind:
    """What a port is, as far as its USB id tells."""
    if not port.vid:
        return Kind(
            "terminal" if is_terminal(port.name) else "serial port", bridge=not is_terminal(port.name)
        )
    known = _IDS.get((port.vid, port.pid)) or _MAKERS.get(port.vid)
    return known or Kind(port.product or f"USB {port.vid:04x}:{port.pid:04x}", bridge=True)


def is_terminal(name: str) -> bool:
    """True for a pseudo terminal, where a simulated board sits: it holds back what nobody has read yet."""
    return os.path.realpath(name).startswith("/dev/pts/")


def window_of(port: PortInfo) -> int:
    """How many bytes may be on their way: a UART has no flow control and its board a buffer of some 260 bytes."""
    if is_terminal(port.name):
        return 2048
    return 240 if kind_of(port).bridge else 1024


def ports() -> list[PortInfo]:
    """The serial ports of this machine that are USB devices, by name."""
    found = [_info(entry) for entry in list_ports.comports() if entry.vid]
    return sorted(found, key=lambda port: port.name)


def _info(entry: object) -> PortInfo:
    def text(key: str) -> str:
        return str(getattr(entry, key, None) or "")

    def number(key: str) -> int:
        return int(getattr(entry, key, None) or 0)

    return PortInfo(text("device"), number("vid"), number("pid"), text("serial_number"), text("product"))


def info(name: str) -> PortInfo:
    """What is known about the port `name`, which may be a link such as /dev/serial/by-id/…"""
    real = os.path.realpath(name)
    for port in ports():
        if os.path.realpath(port.name) == real:
            return PortInfo(name, port.vid, port.pid, port.serial_number, port.product)
    return PortInfo(name)


class SerialPort:
    """One open port. Raises PortError where it cannot be opened.

    cancel: when set, the next wait raises CancelledError. `sent` and `received` count bytes.
    """

    def __init__(self, name: str, baud: int = BAUD, cancel: threading.Event | None = None) -> None:
        self.info = info(name)
        self.sent = 0
        self.received = 0
        self._baud = baud
        self._cancel = cancel or threading.Event()
        self._kept = b""
        self._serial = self._open(name)

    @property
    def name(self) -> str:
        """As the person called it."""
        return self.info.name

    @property
    def window(self) -> int:
        """How many bytes may be on their way to the board."""
        return window_of(self.info)

    def read(self, timeout_s: float = 1.0) -> bytes:
        """What has come, at least one byte; b"" where nothing came in time. Raises LineLostError."""
        if self._kept:
            data, self._kept = self._kept, b""
            return data
        give_up = time.monotonic() + timeout_s
        while True:
            self._check()
            try:
                data = self._serial.read(1)
                if data:
                    data += self._serial.read(min(self._serial.in_waiting, MAX_READ))
                    self.received += len(data)
                    return bytes(data)
            except (
                serial.SerialException,
                OSError,
                TypeError,
            ) as error:  # pyserial: TypeError when closed under it
                raise LineLostError(f"{self.name}: the line is gone: {reason(error)}") from error
            if time.monotonic() >= give_up:
                return b""

    def keep(self, data: bytes) -> None:
        """Give bytes back: the next read begins with them."""
        self._kept = data + self._kept

    def read_until(self, ending: bytes, timeout_s: float = 5.0, most: int = 1 << 20) -> bytes:
        """Up to and with `ending`; what came behind it is kept. Raises LineTimeoutError with what came instead."""
        give_up = time.monotonic() + timeout_s
        heard = b""
        while ending not in heard:
            left = give_up - time.monotonic()
            data = self.read(left) if left > 0 else b""
            if not data or len(heard) > most:
                raise LineTimeoutError(
                    f"{self.name}: no {ending!r} within {timeout_s:g} s; it said {tail(heard + data)}"
                )
            heard += data
        head, found, rest = heard.partition(ending)
        self.keep(rest)
        return head + found

    def write(self, data: bytes) -> None:
        """Send all of it. Raises LineLostError, or LineTimeoutError where the other end does not take it."""
        self._check()
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise LineTimeoutError(
                f"{self.name}: nothing was taken for {WRITE_S:g} s; is a board on this port?"
            ) from error
        except (serial.SerialException, OSError) as error:
            raise LineLostError(f"{self.name}: the line is gone: {reason(error)}") from error
        self.sent += len(data)

    def drain(self, quiet_s: float = LOOK_S, most_s: float = 1.0) -> bytes:
        """Read until nothing has come for `quiet_s`, at most for `most_s`: what was on its way."""
        give_up = time.monotonic() + most_s
        heard = b""
        while time.monotonic() < give_up:
            data = self.read(quiet_s)
            if not data:
                break
            heard += data
        return heard

    def reopen(self, within_s: float) -> None:
        """Wait until the port is there again and open it: by the serial number of its USB device, else by name.

        Raises PortError with the last reason when it does not come.
        """
        self.close()
        self._kept = b""
        give_up = time.monotonic() + within_s
        while True:
            self._check()
            try:
                self._serial = self._open(self._where())
                return
            except PortError:
                if time.monotonic() >= give_up:
                    raise
            time.sleep(REOPEN_EVERY_S)

    def close(self) -> None:
        """Let go of the port."""
        with suppress(serial.SerialException, OSError):
            self._serial.close()

    def __enter__(self) -> "SerialPort":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._cancel.is_set():
            raise CancelledError(f"{self.name}: given up")

    def _where(self) -> str:
        if self.info.serial_number:
            for port in ports():
                same_device = (port.vid, port.serial_number) == (self.info.vid, self.info.serial_number)
                if same_device and not os.path.islink(self.name):
                    return port.name
        return self.name

    def _open(self, name: str) -> serial.Serial:
        try:
            return serial.Serial(name, self._baud, timeout=LOOK_S, write_timeout=WRITE_S, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise PortError(_why_not(name, error)) from error


def _why_not(name: str, error: Exception) -> str:
    """The reason and the remedy in one line."""
    code = getattr(error, "errno", None)
    try:
        is_device = stat.S_ISCHR(os.stat(name).st_mode)
    except OSError:
        there = ", ".join(port.name for port in ports()) or "none"
        return f"{name}: there is no such port; plug the board in; ports with USB devices: {there}"
    if not is_device:
        return f"{name}: is no serial port; `cellctl boards` lists those there are"
    if code in (errno.EACCES, errno.EPERM):
        return (
            f"{name}: you may not open it; join its group (sudo usermod -aG dialout $USER) and log in again"
        )
    if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "lock" in str(error):
        return f"{name}: another program has it open; close that one (a terminal, an editor, another cellctl)"
    return f"{name}: cannot be opened: {reason(error)}"


def reason(error: Exception) -> str:
    """What the system says, without pyserial's wrapping."""
    code = getattr(error, "errno", None)
    return os.strerror(code) if code else str(error)


def tail(heard: bytes, most: int = 60) -> str:
    """The end of what a board said, as it may be shown."""
    return f"…{heard[-most:]!r}" if len(heard) > most else (repr(heard) if heard else "nothing")


def until(within_s: float) -> Callable[[], float]:
    """A countdown: seconds that are left, never below 0."""
    give_up = time.monotonic() + within_s
    return lambda: max(0.0, give_up - time.monotonic())
