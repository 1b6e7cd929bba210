"""The cable of a stand-in board: the port that serial tools open, and lines that carry bytes at their rate."""

import contextlib
import errno
import os
import pty
import tty
from pathlib import Path

MOST_QUEUED = 4096
GRAIN = 16
"""Bytes that a paced line hands over at a time, at most; 1.4 ms at 115,200 baud."""


class Line:
    """One direction: bytes wait in it until their time has come. Ten bit times a byte, at once where `baud` is 0."""

    def __init__(self, baud: int) -> None:
        self._byte_s = 10 / baud if baud else 0.0
        self._queue = bytearray()
        self._free_at = 0.0  # when the byte before the first one in the queue had gone
        self.carried = 0
        self._blocked = False  # what has arrived is not taken at present

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether the sender has to wait."""
        return len(self._queue) >= MOST_QUEUED

    def put(self, data: bytes, now: float) -> None:
        """Send `data` at `now`."""
        if not self._queue:
            self._free_at = max(self._free_at, now)
        self._queue += data

    def due(self, now: float) -> int:
        """How many bytes have arrived at the other end by `now`."""
        if not self._byte_s:
            return len(self._queue)
        return max(0, min(len(self._queue), int((now - self._free_at) / self._byte_s)))

    def peek(self, now: float) -> bytes:
        """The bytes that have arrived; they stay until `drop`."""
        return bytes(self._queue[: self.due(now)])

    def drop(self, count: int) -> None:
        """The first `count` bytes were taken; 0: the other end takes none at present."""
        self._blocked = not count
        del self._queue[:count]
        self._free_at += count * self._byte_s
        self.carried += count

    def clear(self) -> None:
        """The wire is out: what was on it is lost."""
        self._queue.clear()

    def wait_s(self, now: float) -> float | None:
        """After how long something more will have arrived; None where that does not depend on time."""
        if not self._queue or self._blocked:
            return None
        return max(0.0, self._free_at + min(GRAIN, len(self._queue)) * self._byte_s - now)


class Port:
    """The port of the computer: a symbolic link to a pseudo terminal that comes and goes with the plug."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.descriptor = -1
        self._far = -1

    def plug(self) -> None:
        """There is a port again, at the same link; a new device, as with USB."""
        self.descriptor, self._far = pty.openpty()
        tty.setraw(self._far)  # kept open, so that the mode stays and nothing is echoed between two tools
        os.set_blocking(self.descriptor, False)
        if self.link.is_symlink():
            self.link.unlink()
        self.link.symlink_to(os.ttyname(self._far))

    def unplug(self) -> None:
        """The port is gone: whoever has it open gets EIO or the end of file; the link leads nowhere."""
        if self.descriptor < 0:
            return
        self.link.unlink(missing_ok=True)
        os.close(self._far)
        os.close(self.descriptor)
        self.descriptor = self._far = -1

    def read(self) -> bytes:
        """What the host sent; b"" for nothing."""
        return read(self.descriptor) or b""

    def write(self, data: bytes) -> int:
        """How much of `data` the host's side took."""
        return write(self.descriptor, data)


def read(descriptor: int) -> bytes | None:
    """What there is to read, b"" for nothing yet, None at the end."""
    try:
        return os.read(descriptor, MOST_QUEUED) or None
    except BlockingIOError:
        return b""
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None


def write(descriptor: int, data: bytes) -> int:
    """How much of `data` was taken now."""
    with contextlib.suppress(BlockingIOError):
        return os.write(descriptor, data)
    return 0
