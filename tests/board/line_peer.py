"""The far end of a line for tests: real bytes over a pty or TCP; it keeps what it got and says what it is told to."""

import time
from collections.abc import Callable

from board.transport import SerialTransport, TcpTransport, Transport, transport
from hil.serial_device import SerialDevice

KINDS = ("pty", "tcp")
PATIENCE_S = 5.0


class Peer(SerialDevice):
    """`got` is all that came, `opens` how often somebody opened the line; `answer` makes an answer of a piece."""

    def __init__(self, kind: str, answer: Callable[[bytes], bytes] = lambda data: b"") -> None:
        super().__init__(kind)
        self.got = b""
        self.opens = 0
        self.answer = answer

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice.handle."""
        self.got += data
        return self.answer(data)

    def opened(self) -> bytes:
        """See SerialDevice.opened."""
        self.opens += 1
        return b""

    @property
    def attached(self) -> bool:
        """Whether somebody has the line open, as far as this end can tell."""
        return self._attached

    def say(self, data: bytes) -> None:
        """Unasked, as soon as somebody listens."""
        with self.lock:
            self._say(data)

    def line(self) -> SerialTransport | TcpTransport:
        """A transport to this end, not opened."""
        return transport(self.address)


def join(peer: Peer, line: Transport) -> None:
    """Open the line, and return when the peer has seen it: what it says from then on arrives."""
    wait_for(
        lambda: not peer.attached, lambda: peer.attached
    )  # it looks every 2 ms: a shorter absence is none
    before = peer.opens
    line.open()
    wait_for(lambda: peer.opens > before, lambda: peer.opens)


def wait_for(what: Callable[[], bool], saw: Callable[[], object]) -> None:
    """Return as soon as `what` holds; fails with what `saw` tells after PATIENCE_S."""
    give_up = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up, f"not within {PATIENCE_S:g} s; seen: {saw()!r}"
        time.sleep(0.002)


def read_all(read: Callable[[int, float], bytes], count: int, within_s: float = PATIENCE_S) -> bytes:
    """`count` bytes, or what came of them within `within_s`."""
    give_up = time.monotonic() + within_s
    data = b""
    while len(data) < count and (left := give_up - time.monotonic()) > 0:
        data += read(count - len(data), left)
    return data
