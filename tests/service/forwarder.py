"""A cable to a broker that can be pulled and put into another one: the service keeps one address all the time."""

import selectors
import socket
import threading
from contextlib import suppress


class Forwarder:
    """Forwards every connection on `port` to the port it is told; without one it refuses, as a dead broker does."""

    def __init__(self, target: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._target = target
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = threading.Event()
        self._pulled = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
        self._thread.start()

    def to(self, target: int) -> None:
        """From now on connections go to this port of the loopback; 0 drops them all and refuses new ones."""
        with self._lock:
            self._target = target
            for plug in list(self._pairs):
                self._drop(plug)

    def close(self) -> None:
        self.to(0)
        self._closed.set()
        self._thread.join(5.0)
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            for key, _ in self._selector.select(0.02):
                plug = key.fileobj
                assert isinstance(plug, socket.socket)
                with self._lock:
                    if plug is self._listener:
                        self._accept()
                    elif plug in self._pairs:
                        self._carry(plug)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            if not self._target:
                raise ConnectionRefusedError
            far = socket.create_connection(("127.0.0.1", self._target), 1.0)
        except OSError:
            near.close()
            return
        for plug, other in ((near, far), (far, near)):
            self._pairs[plug] = other
            self._selector.register(plug, selectors.EVENT_READ)

    def _carry(self, plug: socket.socket) -> None:
        try:
            data = plug.recv(65536)
            if data:
                self._pairs[plug].sendall(data)
                return
        except OSError:
            pass  # the other side has gone: so is this one
        self._drop(plug)

    def _drop(self, plug: socket.socket) -> None:
        other = self._pairs.pop(plug, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        for end in (plug, other):
            with suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
