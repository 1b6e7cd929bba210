"""The wall clock from a time server (SNTP, RFC 4330), a slice at a time.

The seconds are taken from the answer as they are, so it does not matter from which year a board counts. An answer that
is not the one to our question, or from a server that does not know the time itself, is not used.
"""

import os
import socket

from cell_controller.core import ticks
from cell_controller.micropython.mqtt_client import is_address, said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PORT = 123
ANSWER_MS = 2000
AGAIN_MS = 15000  # after no answer
EVERY_MS = 3600000
_TO_1970_S = 2208988800
_ERA_S = (
    1 << 32
)  # the first one ends in February 2036; its numbers have the highest bit set, those after it do not


class Sntp:
    """Asks `host` and tells `set_wall(ms since 1970)`. `error` says why there is no time, "" when there is."""

    def __init__(self, host: str, set_wall: "Callable[[int], None]", port: int = PORT) -> None:
        self.known = False
        self.error = "not asked yet"
        self.answers = 0
        self._host = host
        self._port = port
        self._set_wall = set_wall
        self._plug: "Any" = None
        self._sock: "Any" = None
        self._next: int | None = None  # None: at once
        self._asked = 0
        self._nonce = b""
        self._room = bytearray(48)

    def step(self, now_ms: int, may_block: bool = True) -> None:
        """One slice; nothing is sent to a host that has a name unless it may be looked up, which may block."""
        if self._plug is not None:
            try:
                self._listen(now_ms)
            except OSError as error:
                self._over(now_ms, AGAIN_MS, "time server %s: %s" % (self._host, said(error)))
            return
        if self._next is not None and ticks.diff(now_ms, self._next) < 0:
            return
        if not may_block and not is_address(self._host):
            return
        try:
            self._ask(now_ms)
        except OSError as error:
            self._over(now_ms, AGAIN_MS, "time server %s: %s" % (self._host, said(error)))

    def _ask(self, now_ms: int) -> None:
        found = socket.getaddrinfo(self._host, self._port)[0]
        self._sock = socket.socket(found[0], socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.connect(found[-1])
        plug = self._sock
        if not hasattr(plug, "readinto"):
            from cell_controller.micropython.hosted_plug import HostedPlug

            plug = HostedPlug(plug)
        self._plug = plug
        self._nonce = os.urandom(8)  # stands where a client's time may stand, and comes back in the answer
        question = bytearray(48)
        question[0] = 0x23  # version 4, client
        question[40:48] = self._nonce
        self._asked = now_ms
        plug.write(bytes(question))

    def _listen(self, now_ms: int) -> None:
        room = self._room
        got = self._plug.readinto(room)
        if got is None:
            if ticks.diff(now_ms, self._asked) >= ANSWER_MS:
                self._over(now_ms, AGAIN_MS, "time server %s: no answer" % self._host)
            return
        if got < 48 or bytes(room[24:32]) != self._nonce or room[0] & 7 != 4:
            return  # not the answer to this question
        if room[0] >> 6 == 3 or not 1 <= room[1] <= 15:
            self._over(now_ms, AGAIN_MS, "time server %s does not know the time" % self._host)
            return
        self._set_wall(_unix_ms(room, 40) + ticks.diff(now_ms, self._asked) // 2)
        self.known = True
        self.answers += 1
        self._over(now_ms, EVERY_MS, "")

    def _over(self, now_ms: int, pause_ms: int, why: str) -> None:
        if self._sock is not None:
            self._sock.close()
        self._sock = None
        self._plug = None
        self.error = why
        self._next = ticks.add(now_ms, pause_ms)


def _unix_ms(data: "bytes | bytearray", at: int) -> int:
    """Milliseconds since 1970 of a time stamp: seconds since 1900 and a fraction of 2**32."""
    seconds = data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
    if not data[at] & 0x80:
        seconds += _ERA_S
    fraction = data[at + 4] << 8 | data[at + 5]
    return (seconds - _TO_1970_S) * 1000 + (fraction * 1000 >> 16)
