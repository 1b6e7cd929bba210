"""The far end of a line for a simulated device: a pseudo terminal or a listening socket that can be unplugged."""

import contextlib
import errno
import os
import pty
import select
import shutil
import socket
import tempfile
import tty
from pathlib import Path

from hil.pty_mode import forget_mode

MOST_READ = 4096


class PtyEnd:
    """A pseudo terminal; `address` is a symbolic link that leads to it while it is plugged in."""

    def __init__(self, address: str) -> None:
        """`address`: a path for the link, or "pty" for one in a directory of its own."""
        self._directory = ""
        if address == "pty":
            self._directory = tempfile.mkdtemp(prefix="device-")
            address = f"{self._directory}/port"
        self.address = address
        self._link = Path(address)
        self._near = -1
        self._had_far = False

    def plug(self) -> None:
        """There is a port again; a second call does nothing."""
        if self._near >= 0:
            return
        self._near, far = pty.openpty()
        tty.setraw(far)  # and it stays so: nothing is echoed before a program sets a mode of its own
        name = os.ttyname(far)
        os.close(far)  # so that it can be seen whether somebody else has it open
        os.set_blocking(self._near, False)
        if self._link.is_symlink():
            self._link.unlink()
        self._link.symlink_to(name)

    def unplug(self) -> None:
        """Whoever has it open finds the end of the file; the link leads nowhere."""
        near, self._near = self._near, -1
        self._had_far = False
        if near >= 0:
            self._link.unlink(missing_ok=True)
            os.close(near)

    def remove(self) -> None:
        """No trace is left; it cannot be plugged in any more."""
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def waits(self) -> list[int]:
        """Descriptors that can be waited for; none while nobody has the port open, since those would not wait."""
        return [self._near] if self._had_far else []

    def attached(self) -> bool:
        """Whether somebody has the port open."""
        near = self._near
        if near < 0:
            return False
        poll = select.poll()
        poll.register(near, select.POLLIN)
        there = not any(event & (select.POLLHUP | select.POLLNVAL) for _, event in poll.poll(0))
        if self._had_far and not there:
            forget_mode(near)
        self._had_far = there
        return there

    def read(self) -> bytes:
        """What came, b"" for nothing."""
        if self._near < 0:
            return b""
        try:
            return os.read(self._near, MOST_READ)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: nobody has it open
                raise
            return b""

    def write(self, data: bytes) -> int:
        """How much of `data` the line took."""
        try:
            return os.write(self._near, data)
        except BlockingIOError:
            return 0


class TcpEnd:
    """A listening socket for one connection; a newer connection takes the place of the older."""

    def __init__(self, address: str) -> None:
        """`address`: "tcp" for a free port, or tcp://HOST:PORT."""
        host, _, port = (address.removeprefix("tcp").removeprefix("://") or "127.0.0.1:0").rpartition(":")
        self._listener: socket.socket | None = socket.create_server((host, int(port)))
        self._listener.setblocking(False)
        self._place: tuple[str, int] = self._listener.getsockname()[:2]
        self.address = f"tcp://{self._place[0]}:{self._place[1]}"
        self._stream: socket.socket | None = None

    def plug(self) -> None:
        """It listens again, at the same port; a second call does nothing."""
        if self._listener is None:
            self._listener = socket.create_server(self._place)
            self._listener.setblocking(False)

    def unplug(self) -> None:
        """The connection ends, and nobody can connect."""
        self._end()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def remove(self) -> None:
        """Nothing is left to remove."""

    @property
    def waits(self) -> list[int]:
        """Descriptors that can be waited for: never the listener, or its port would stay taken after `unplug`."""
        stream = self._stream
        return [] if stream is None else [stream.fileno()]

    def attached(self) -> bool:
        """Whether somebody is connected; takes new connections."""
        if self._listener is not None:
            with contextlib.suppress(BlockingIOError):
                stream, _ = self._listener.accept()
                self._end()
                stream.setblocking(False)
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._stream = stream
        return self._stream is not None

    def read(self) -> bytes:
        """What came, b"" for nothing."""
        if self._stream is None:
            return b""
        try:
            data = self._stream.recv(MOST_READ)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""  # reset by the other side: an end like any other
        if not data:
            self._end()
        return data

    def write(self, data: bytes) -> int:
        """How much of `data` the line took."""
        if self._stream is None:
            return 0
        try:
            return self._stream.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._end()
            return 0

    def _end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
