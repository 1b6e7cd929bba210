"""The other end of a connection, in the hands of a test: says and hears bytes, and nothing by itself."""

import socket
from collections.abc import Callable

from cell_controller.micropython import mqtt_client as mqtt
from tests.cpython.link_bench import wait_for

CONNACK = b"\x20\x02\x00\x00"


class Peer:
    """Listens on a free port; `accept` takes the connection of the client that is being stepped."""

    def __init__(self, buffer_bytes: int = 0) -> None:
        self._listener = socket.socket()
        if buffer_bytes:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        self.plug: socket.socket | None = None
        self.heard = b""

    def say(self, data: bytes) -> None:
        assert self.plug is not None
        self.plug.sendall(data)

    def hear(self) -> bytes:
        """What has arrived and was not heard before."""
        assert self.plug is not None
        self.plug.setblocking(False)
        try:
            return self.plug.recv(1 << 16)
        except BlockingIOError:
            return b""

    def accept(self) -> None:
        self._listener.settimeout(5)
        self.plug, _ = self._listener.accept()

    def close(self) -> None:
        self._listener.close()
        if self.plug is not None:
            self.plug.close()


def steps(client: mqtt.MqttClient, done: Callable[[int], bool], now_ms: int = 0) -> int:
    """Step at a standing clock until `done(event)`; gives the event."""
    seen: list[int] = []

    def once() -> bool:
        seen.append(client.step(now_ms))
        return done(seen[-1])

    wait_for(once, lambda: (sorted(set(seen)), client.state, client.lost), 5)
    return seen[-1]


def connected(peer: Peer, client: mqtt.MqttClient, now_ms: int = 0) -> bytes:
    """Bring the client up; gives its CONNECT."""
    assert client.begin(now_ms)
    steps(client, lambda event: client.state == mqtt.GREETING, now_ms)
    peer.accept()
    greeting: list[bytes] = []

    def greeted() -> bool:
        client.step(now_ms)
        greeting.append(peer.hear())
        return bool(greeting[-1])

    wait_for(greeted, lambda: greeting, 5)
    peer.say(CONNACK)
    steps(client, lambda event: event == mqtt.CONNECTED, now_ms)
    return greeting[-1]


def heard(peer: Peer, size: int) -> bytes:
    """The next `size` bytes that the client sent."""
    data = bytearray()

    def enough() -> bool:
        data.extend(peer.hear())
        return len(data) >= size

    wait_for(enough, lambda: bytes(data), 5)
    return bytes(data)
