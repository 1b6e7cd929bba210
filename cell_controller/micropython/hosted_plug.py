"""A socket of CPython with the two calls of MicroPython's that the client uses, so that one client runs on both."""

import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class HostedPlug:
    """`readinto` and `write` give the number of bytes, None when they would have to wait, 0 at the end."""

    def __init__(self, sock: "Any") -> None:
        self._sock = sock

    def readinto(self, room: "bytearray | memoryview", most: int = 0) -> "int | None":
        try:
            return int(self._sock.recv_into(room, most))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def write(self, data: "bytes | memoryview") -> "int | None":
        try:
            return int(self._sock.send(data))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def close(self) -> None:
        self._sock.close()
