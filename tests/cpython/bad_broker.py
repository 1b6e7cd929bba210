"""A broker that misbehaves in one way a person can name, to show that the link lives with it."""

import random
import socket
import threading
from contextlib import suppress

WAYS = (
    "refuses_5_with_0x84",
    "refuses_5_with_0x01",
    "closes_on_5",
    "silent_on_5",
    "garbage_on_5",
    "refuses",
    "silent",
    "closes",
    "garbage",
    "drops_mid_message",
    "endless_length",
    "never_acknowledges",
    "refuses_subscription",
    "refuses_publish",
    "garbage_after_connack",
    "delivers_before_suback",
    "takes_small_packets_only",
)
"""`..._on_5`: like that to MQTT 5, and a decent broker to 3.1.1. The others are like that to everybody."""

_CONNACK = {4: b"\x20\x02\x00\x00", 5: b"\x20\x03\x00\x00\x00"}
_CUT_PUBLISH = b"\x30\x7f\x00\x10base"  # says 127 bytes, sends six of them
_SMALL_ONLY = b"\x20\x08\x00\x00\x05\x27\x00\x00\x08\x00"  # MQTT 5, Maximum Packet Size 2048


def _old_request(subscribe: bytes) -> bytes:
    """An order for a cell that subscribes with MQTT 5, as if an older session had left it."""
    size = int.from_bytes(subscribe[3:5])
    topic = subscribe[5 : 5 + size].replace(b"+", b"order")
    body = len(topic).to_bytes(2) + topic + b"\x00"
    body += b'{"id":"old","issuer":"i","verb":"order.submit"}'
    return bytes([0x30, len(body)]) + body


class BadBroker:
    """Listens on a free port of the loopback until `close`. `connects`: protocol levels seen, in order."""

    def __init__(self, way: str, seed: int = 1) -> None:
        assert way in WAYS, way
        self.way = way
        self.connects: list[int] = []
        self.publishes = 0
        self.largest = 0
        self.heard: list[bytes] = []
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._plugs: list[socket.socket] = []
        self._closed = False
        threading.Thread(target=self._run, name=f"bad-broker-{way}", daemon=True).start()

    def close(self) -> None:
        """Let go of the port and of everybody."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for plug in self._plugs:
            with suppress(OSError):
                plug.shutdown(socket.SHUT_RDWR)
            plug.close()

    def open_plugs(self) -> list[socket.socket]:
        """The connections that are up."""
        return [plug for plug in self._plugs if plug.fileno() >= 0]

    def _run(self) -> None:
        while not self._closed:
            try:
                plug, _ = self._listener.accept()
            except OSError:
                return
            self._plugs.append(plug)
            threading.Thread(target=self._serve, args=(plug,), daemon=True).start()

    def _serve(self, plug: socket.socket) -> None:
        with suppress(OSError, IndexError), plug:
            head, body = self._packet(plug)
            if head & 0xF0 != 0x10:
                return
            level = body[6]
            self.connects.append(level)
            bad = not self.way.endswith("_on_5") and not self.way.startswith("refuses_5")
            if level == 5 or bad:
                self._misbehave(plug, level)
            else:
                self._behave(plug, level)

    def _misbehave(self, plug: socket.socket, level: int) -> None:
        way = self.way.removesuffix("_on_5")
        if way == "refuses_5_with_0x84":
            plug.sendall(b"\x20\x03\x00\x84\x00")
        elif way == "refuses_5_with_0x01":
            plug.sendall(b"\x20\x02\x00\x01")
        elif way == "refuses":
            plug.sendall(b"\x20\x03\x00\x87\x00" if level == 5 else b"\x20\x02\x00\x05")
        elif way == "silent":
            while plug.recv(4096):
                pass
        elif way == "garbage":
            plug.sendall(self._random.randbytes(300))
        elif way == "endless_length":
            plug.sendall(b"\x20\xff\xff\xff\xff\xff")
        elif way == "drops_mid_message":
            plug.sendall(_CONNACK[level] + _CUT_PUBLISH)
        elif way == "garbage_after_connack":
            plug.sendall(_CONNACK[level] + self._random.randbytes(300))
        elif way != "closes":
            self._behave(plug, level)

    def _behave(self, plug: socket.socket, level: int) -> None:
        """Enough of a broker to be connected to: acknowledges and delivers nothing; a `way` may spoil one packet."""
        plug.sendall(_SMALL_ONLY if self.way == "takes_small_packets_only" else _CONNACK[level])
        properties = b"\x00" if level == 5 else b""
        while True:
            head, body = self._packet(plug)
            kind = head & 0xF0
            if kind == 0x30 and head & 0x06:
                self.publishes += 1
                self.largest = max(self.largest, len(body))
                self.heard.append(body)
                size = int.from_bytes(body[:2])
                mid = body[2 + size : 4 + size]
                if self.way == "refuses_publish":
                    plug.sendall(b"\x40\x04" + mid + b"\x87\x00")
                elif self.way != "never_acknowledges":
                    plug.sendall(b"\x40\x02" + mid)
            elif kind == 0x80:
                codes = b"\x80\x80" if self.way == "refuses_subscription" else b"\x01\x01"
                answer = body[:2] + properties + codes
                early = _old_request(body) if self.way == "delivers_before_suback" else b""
                plug.sendall(early + bytes([0x90, len(answer)]) + answer)
            elif kind == 0xC0:
                plug.sendall(b"\xd0\x00")
            elif kind == 0xE0:
                return

    @staticmethod
    def _packet(plug: socket.socket) -> tuple[int, bytes]:
        head = _exactly(plug, 1)[0]
        length, shift = 0, 0
        while True:
            byte = _exactly(plug, 1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return head, _exactly(plug, length)


def _exactly(plug: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = plug.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the cell has gone")
        data += part
    return data
