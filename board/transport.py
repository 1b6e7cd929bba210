"""Lines to devices: a serial port or a TCP connection, opened, read, written, closed; no byte is changed here.

Addresses: "/dev/ttyUSB0" and the like (any path), or "tcp://192.168.1.20:502".
"""

import errno
import os
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import serial

from cell_controller.errors import BoardError, LinkLostError

CONNECT_S = 1.0
WRITE_S = 1.0
UNHEARD_MS = 2000
"""What was sent over TCP and is not acknowledged for so long ends the connection, and so does a silent network. Without
it a cable that was out for a minute is missed for up to another one: the system asks ever more rarely."""
FORGET_MOST = 1 << 20
PARITIES = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}

_SERIAL_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError, TypeError)
"""What a serial port raises: a descriptor closed by another thread shows as TypeError or ValueError."""
with suppress(ImportError):  # Windows has none; cells are checked and built there, no line is opened
    import termios

    _SERIAL_ERRORS += (termios.error,)  # an adapter that goes away while it is set; it is no OSError
_REASONS = {
    errno.ENOENT: "there is no such port; plug the device in",
    errno.EACCES: "you may not open it; join its group (sudo usermod -aG dialout $USER) and log in again",
    errno.EAGAIN: "another program has it open; close that one",
    errno.EBUSY: "another program has it open; close that one",
    errno.ENOTTY: "it is no serial port",
}


@dataclass(frozen=True)
class SerialSettings:
    """How a serial line is set: bits a second, 7 or 8 data bits, parity none, even or odd, 1 or 2 stop bits."""

    baud: int = 9600
    bits: int = 8
    parity: str = "none"
    stop_bits: int = 1


class Transport(Protocol):
    """A line to a device. One thread uses it; `close` may come from another."""

    name: str
    """Its address, for messages."""

    @property
    def is_open(self) -> bool: ...

    def open(self) -> None:
        """Connect, within CONNECT_S. Raises LinkLostError where nobody is there; what waited to be read is forgotten.

        A host that is given by name takes as long as finding its address does.
        """

    def read(self, most: int, timeout_s: float) -> bytes:
        """What has arrived, at most `most` bytes; waits up to `timeout_s` for the first, b"" if none came.

        Raises LinkLostError when the other side is gone.
        """

    def write(self, data: bytes) -> None:
        """Send all of it, within WRITE_S. Raises LinkLostError."""

    def flush_input(self) -> None:
        """Forget what has arrived and was not read. Raises LinkLostError."""

    def close(self) -> None:
        """Let go. A second call does nothing."""


class SerialTransport:
    """A serial port or pseudo-terminal."""

    def __init__(self, path: str, settings: SerialSettings) -> None:
        self.name = path
        self._settings = settings
        self._port: serial.Serial | None = None

    @property
    def is_open(self) -> bool:
        return self._port is not None

    def fileno(self) -> int:
        """The descriptor to wait for. Raises LinkLostError when it is not open."""
        return int(self._opened().fileno())

    def open(self) -> None:
        """See Transport.open."""
        self.close()
        settings = self._settings
        try:
            self._port = serial.Serial(
                self.name,
                settings.baud,
                settings.bits,
                PARITIES[settings.parity],
                settings.stop_bits,
                timeout=0,
                exclusive=True,
            )
        except _SERIAL_ERRORS as error:
            raise LinkLostError(f"{self.name} cannot be opened: {_port_reason(error)}") from error

    # Reading and writing do without pyserial: it spins while a full line takes nothing, and calls a line that took all
    # and is full then a time-out.

    def read(self, most: int, timeout_s: float) -> bytes:
        """See Transport.read."""
        port = self._opened()
        try:
            descriptor = port.fileno()
            if not select.select([descriptor], [], [], timeout_s)[0]:
                return b""
            data = os.read(descriptor, most)
        except BlockingIOError:  # something else read it first, such as another thread's flush
            return b""
        except _SERIAL_ERRORS as error:
            raise self._lost(_reason(error)) from error
        if not data:
            raise self._lost("it hung up")
        return data

    def write(self, data: bytes) -> None:
        """See Transport.write."""
        port = self._opened()
        rest = memoryview(data)
        give_up = time.monotonic() + WRITE_S
        try:
            while rest:
                left = max(0.0, give_up - time.monotonic())
                if not select.select([], [port.fileno()], [], left)[1]:
                    raise TimeoutError(f"it took nothing for {WRITE_S:g} s")
                rest = rest[_written(port.fileno(), rest) :]
        except _SERIAL_ERRORS as error:
            raise self._lost(_reason(error)) from error

    def flush_input(self) -> None:
        """See Transport.flush_input."""
        port = self._opened()
        try:
            port.reset_input_buffer()
        except _SERIAL_ERRORS as error:
            raise self._lost(_reason(error)) from error

    def close(self) -> None:
        """See Transport.close."""
        port, self._port = self._port, None
        if port is not None:
            with suppress(
                *_SERIAL_ERRORS
            ):  # an adapter that was pulled out may say so here once more; it is gone
                port.close()

    def _opened(self) -> serial.Serial:
        port = self._port
        if port is None:
            raise LinkLostError(f"{self.name} is not open")
        return port

    def _lost(self, why: str) -> LinkLostError:
        self.close()
        return LinkLostError(f"{self.name} is gone: {why}")


class TcpTransport:
    """A TCP connection to HOST:PORT."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        self._address = (host, port)
        self._stream: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        return self._stream is not None

    def fileno(self) -> int:
        """The descriptor to wait for. Raises LinkLostError when it is not open."""
        return self._opened().fileno()

    def open(self) -> None:
        """See Transport.open."""
        self.close()
        try:
            stream = socket.create_connection(self._address, timeout=CONNECT_S)
        except OSError as error:
            raise LinkLostError(f"{self.name} cannot be reached: {_reason(error)}") from error
        if stream.getsockname() == stream.getpeername():
            # On one machine, a connection to a free port can meet itself: the driver would read what it asks.
            stream.close()
            raise LinkLostError(f"{self.name} cannot be reached: nobody listens there")
        _watch_over(stream)
        stream.settimeout(WRITE_S)
        self._stream = stream

    def read(self, most: int, timeout_s: float) -> bytes:
        """See Transport.read."""
        stream = self._opened()
        try:
            if not select.select([stream], [], [], timeout_s)[0]:
                return b""
            data = stream.recv(most)
        except (OSError, ValueError) as error:
            raise self._lost(_reason(error)) from error
        if not data:
            raise self._lost("it closed the connection")
        return data

    def write(self, data: bytes) -> None:
        """See Transport.write."""
        stream = self._opened()
        try:
            stream.sendall(data)
        except TimeoutError as error:
            raise self._lost(f"it took nothing for {WRITE_S:g} s") from error
        except OSError as error:
            raise self._lost(_reason(error)) from error

    def flush_input(self) -> None:
        """See Transport.flush_input; at most FORGET_MOST bytes, so that a flood does not hold the thread."""
        forgotten = 0
        while forgotten < FORGET_MOST and (data := self.read(65536, 0)):
            forgotten += len(data)

    def close(self) -> None:
        """See Transport.close."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _opened(self) -> socket.socket:
        stream = self._stream
        if stream is None:
            raise LinkLostError(f"{self.name} is not open")
        return stream

    def _lost(self, why: str) -> LinkLostError:
        self.close()
        return LinkLostError(f"{self.name} is gone: {why}")


def transport(address: str, settings: SerialSettings | None = None) -> SerialTransport | TcpTransport:
    """The line at `address`, not opened yet. Raises BoardError for an address that cannot be one."""
    if not address.startswith("tcp://"):
        if not address or "://" in address:
            raise BoardError(
                f"address '{address}' is neither a port such as /dev/ttyUSB0 nor tcp://HOST:PORT"
            )
        return SerialTransport(address, settings or SerialSettings())
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise BoardError(f"address '{address}' is not tcp://HOST:PORT")
    return TcpTransport(host, int(port))


def _watch_over(stream: socket.socket) -> None:
    """Small pieces leave at once; a network that went silent ends the connection, also while only reading."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)


def _written(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0


def _port_reason(error: Exception) -> str:
    """Why a port cannot be opened, with the remedy where there is one."""
    code = _code(error) or _code(error.__context__)  # of a failed setting pyserial keeps only the text
    return _REASONS.get(code) or (os.strerror(code) if code else str(error))


def _code(error: BaseException | None) -> int:
    """The system's number of an error, 0 where it has none."""
    code = error.args[0] if error is not None and error.args else 0
    return code if isinstance(code, int) else 0


def _reason(error: Exception) -> str:
    """What the system says, without pyserial's wrapping."""
    code = _code(error)
    return os.strerror(code) if code > 0 else str(error)
