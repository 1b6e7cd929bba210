"""A serial tool in miniature, for tests of the stand-in board: opens the port, waits for what comes, runs code."""

import errno
import os
import select
import time
from types import TracebackType
from typing import Self

WAIT_S = 10.0


class Repl:
    """The host's end of a port. Everything that waits is bounded and says what it saw."""

    def __init__(self, port: str) -> None:
        self._descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self.seen = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            data = data[os.write(self._descriptor, data) :]

    def until(self, mark: bytes, timeout_s: float = WAIT_S) -> bytes:
        """What came up to and with `mark`."""
        return self.either((mark,), timeout_s)

    def either(self, marks: tuple[bytes, ...], timeout_s: float = WAIT_S) -> bytes:
        """What came up to and with the first of `marks`."""
        deadline = time.monotonic() + timeout_s
        while not any(mark in self.seen for mark in marks):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._descriptor], [], [], left)[0]:
                raise AssertionError(f"none of {marks} within {timeout_s} s; saw {bytes(self.seen)!r}")
            data = os.read(self._descriptor, 65536)
            if not data:
                raise OSError(errno.EIO, "hung up")
            self.seen += data
        end = min(self.seen.index(mark) + len(mark) for mark in marks if mark in self.seen)
        came = bytes(self.seen[:end])
        del self.seen[:end]
        return came

    def raw(self) -> Self:
        """Into the raw REPL, whatever runs."""
        self.send(b"\r\x03\x01")
        self.until(b"raw REPL; CTRL-B to exit\r\n>")
        return self

    def start(self, code: str) -> None:
        """Begin to run `code` in the raw REPL."""
        self.send(code.encode() + b"\x04")
        self.until(b"OK")

    def run(self, code: str) -> str:
        """What `code` prints. Raises AssertionError with its traceback."""
        self.start(code)
        out = self.until(b"\x04")[:-1]
        error = self.until(b"\x04>")[:-2]
        assert not error, error.decode()
        return out.decode().replace("\r\n", "\n").strip()

    def error(self, code: str) -> str:
        """The last line of the traceback that `code` ends with."""
        self.start(code)
        self.until(b"\x04")
        return self.until(b"\x04>")[:-2].decode().strip().splitlines()[-1]
