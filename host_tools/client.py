"""Talks to one running cell: over the Unix socket on its machine, or over MQTT from anywhere."""

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from cell_controller.core.envelope import MAX_NAME, topic_class
from cell_controller.core.session import Publish
from cell_controller.cpython import local_socket
from cell_controller.cpython.paho_connection import V5, V311, BrokerAddress, Connection, Happened, Message
from cell_controller.errors import BrokerError, NoSuchCellError

Reply = dict[str, Any]
Callback = Callable[[str, Any], object]

TIMEOUT_S = 5.0
EXPIRY_MS = 15_000  # long enough for clocks that differ by some seconds, short enough to be no surprise later
LOOK_EVERY_S = 0.2
_GRANTED = 0x80


class _Road(Protocol):
    """A way to a cell."""

    def ask(self, message: dict[str, Any], timeout_s: float) -> Reply: ...

    def watch(self, callback: Callback, stop: threading.Event) -> None: ...

    def close(self) -> None: ...


class CellClient:
    """One cell, asked and watched. Use it in a `with` block or call `close`; not from two threads at once."""

    def __init__(self, road: _Road, timeout_s: float = TIMEOUT_S) -> None:
        self._road = road
        self.timeout_s = timeout_s
        self.issuer = _issuer()

    @classmethod
    def local(cls, name: str | None = None, timeout_s: float = TIMEOUT_S) -> "CellClient":
        """The cell `name` on this machine, or the one that runs. Raises NoSuchCellError if there is no such choice."""
        cells = {cell["name"]: cell for cell in local_socket.running_cells()}
        if name is None and len(cells) == 1:
            name = next(iter(cells))
        if name is None or name not in cells:
            raise NoSuchCellError(_which(name, sorted(cells)))
        return cls(_LocalRoad(name, Path(cells[name]["socket"]), timeout_s), timeout_s)

    @classmethod
    def mqtt(
        cls,
        host: str,
        port: int,
        base: str,
        timeout_s: float = TIMEOUT_S,
        *,
        username: str | None = None,
        password: str | None = None,
    ) -> "CellClient":
        """The cell that lives under the topic `base`. Raises BrokerError if the broker cannot be reached."""
        address = BrokerAddress(host, port, username, password, connect_timeout_s=timeout_s)
        return cls(_MqttRoad(address, base.strip("/"), timeout_s), timeout_s)

    def request(self, verb: str, **fields: Any) -> Reply:
        """The reply to one request, accepted or refused. Raises TimeoutError, or BrokerError if the way is cut."""
        message = {"id": uuid.uuid4().hex[:16], "issuer": self.issuer, "verb": verb, **fields}
        if topic_class(verb) == "command":
            message.setdefault("expires_ms", time.time_ns() // 1_000_000 + EXPIRY_MS)
        return self._road.ask(message, self.timeout_s)

    def watch(self, callback: Callback, stop: threading.Event | None = None) -> None:
        """Call `callback(topic below the base, value)` for everything the cell says until `stop` is set.

        Over MQTT that is state, signals/…, events, items, presence …; over the local socket the state, when it has
        changed. Raises BrokerError when the way is cut.
        """
        self._road.watch(callback, stop or threading.Event())

    def close(self) -> None:
        """Let go of the connection."""
        self._road.close()

    def __enter__(self) -> "CellClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def running_cells() -> list[str]:
    """Names of the cells that run on this machine."""
    return [cell["name"] for cell in local_socket.running_cells()]


def _which(name: str | None, names: list[str]) -> str:
    running = f"running: {', '.join(names)}" if names else "start one: cellctl run DIR --board sim"
    if name is not None:
        return f"no cell {name!r} runs on this machine; {running}"
    if names:
        return f"{len(names)} cells run on this machine, say which with --cell NAME; {running}"
    return f"no cell runs on this machine; {running}"


def _issuer() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:MAX_NAME]


class _LocalRoad:
    """The Unix socket of a cell on this machine."""

    def __init__(self, name: str, path: Path, timeout_s: float) -> None:
        self._name = name
        self._heard = b""
        self._plug = socket.socket(socket.AF_UNIX)
        self._plug.settimeout(timeout_s)
        try:
            self._plug.connect(str(path))
        except OSError as error:
            self._plug.close()
            raise BrokerError(f"cell {name} does not answer on {path}: {error}") from error

    def ask(self, message: dict[str, Any], timeout_s: float) -> Reply:
        give_up = time.monotonic() + timeout_s
        try:
            self._plug.settimeout(timeout_s)
            self._plug.sendall(json.dumps(message).encode() + b"\n")
            while True:
                reply = self._reply(give_up)
                if reply.get("id") in (message["id"], ""):
                    return reply
        except TimeoutError:
            raise TimeoutError(f"cell {self._name} did not answer within {timeout_s:g} s") from None
        except OSError as error:
            raise BrokerError(f"cell {self._name} has gone: {error}") from error

    def watch(self, callback: Callback, stop: threading.Event) -> None:
        before: object = None
        while not stop.is_set():
            message = {"id": uuid.uuid4().hex[:16], "issuer": _issuer(), "verb": "query", "what": "state"}
            view = self.ask(message, TIMEOUT_S).get("data")
            bare = {key: value for key, value in (view or {}).items() if key != "timestamp_ms"}
            if bare != before:
                before = bare
                callback("state", view)
            stop.wait(LOOK_EVERY_S)

    def close(self) -> None:
        self._plug.close()

    def _reply(self, give_up: float) -> Reply:
        while b"\n" not in self._heard:
            self._plug.settimeout(max(give_up - time.monotonic(), 0.001))
            data = self._plug.recv(65_536)
            if not data:
                raise ConnectionResetError("it closed the connection")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        reply: Reply = json.loads(line)
        return reply


class _MqttRoad:
    """A connection to the broker of a cell: MQTT 5 with response topic and correlation data, else 3.1.1."""

    def __init__(self, address: BrokerAddress, base: str, timeout_s: float) -> None:
        self._address = address
        self._base = base
        self._present: bool | None = None
        self._watched: list[Message] = []
        self._replies: list[Reply] = []
        self._never, self._silent = socket.socketpair()
        try:
            self._link = self._connect(timeout_s)
            self._subscribe([(base + "/reply/+", 1), (base + "/presence", 1)], timeout_s)
        except BrokerError:
            self._never.close()
            self._silent.close()
            raise

    def ask(self, message: dict[str, Any], timeout_s: float) -> Reply:
        give_up = time.monotonic() + timeout_s
        self._wait(lambda: self._present is True, give_up)
        if self._present is not True:
            known = (
                "is not connected to the broker" if self._present is False else "is not known to the broker"
            )
            raise TimeoutError(f"cell {self._base} {known}; is it running, and is --base right?")
        publish = Publish(
            f"{self._base}/request/{topic_class(str(message['verb'])) or 'command'}",
            json.dumps(message).encode(),
            1,
            False,
            str(message["id"]).encode(),
        )
        publish.token = 1
        self._link.publish(publish, f"{self._base}/reply/{message['id']}")
        found: list[Reply] = []

        def answered() -> bool:
            found.extend(reply for reply in self._replies if reply.get("id") == message["id"])
            self._replies.clear()
            return bool(found)

        self._wait(answered, give_up)
        if not found:
            raise TimeoutError(f"cell {self._base} did not answer within {timeout_s:g} s")
        return found[0]

    def watch(self, callback: Callback, stop: threading.Event) -> None:
        topics = ("state", "signals/+", "events", "items", "orders", "catalogue", "alarms", "presence")
        self._subscribe([(f"{self._base}/{topic}", 1) for topic in topics], TIMEOUT_S)
        while not stop.is_set():
            for message in self._watched:
                with suppress(ValueError):  # another program's message
                    callback((message.topic or "")[len(self._base) + 1 :], json.loads(message.payload))
            self._watched.clear()
            self._step(LOOK_EVERY_S)

    def close(self) -> None:
        self._link.close()
        self._never.close()
        self._silent.close()

    def _connect(self, timeout_s: float) -> Connection:
        why = ""
        for protocol in (V5, V311):
            link = Connection(self._address, f"cellctl-{uuid.uuid4().hex[:12]}", protocol, None)
            link.open()
            give_up = time.monotonic() + timeout_s / 2
            while not link.accepted and not link.lost and time.monotonic() < give_up:
                link.step(0.05, self._never)
            if link.accepted and not link.lost:
                return link
            link.abandon()
            why = link.lost or f"no CONNACK within {timeout_s / 2:g} s"
            if not link.reached:
                break
        raise BrokerError(f"broker {self._address.host}:{self._address.port}: {why}")

    def _subscribe(self, filters: list[tuple[str, int]], timeout_s: float) -> None:
        self._granted: list[int] = []
        self._link.subscribe(filters)
        self._wait(lambda: bool(self._granted), time.monotonic() + timeout_s)
        if not self._granted or max(self._granted) >= _GRANTED:
            raise BrokerError(f"the broker does not let this user read {filters[0][0]}")

    def _wait(self, done: Callable[[], bool], give_up: float) -> None:
        while not done() and time.monotonic() < give_up:
            self._step(0.05)

    def _step(self, timeout_s: float) -> None:
        if self._link.lost:
            raise BrokerError(f"broker {self._address.host}:{self._address.port}: {self._link.lost}")
        self._link.step(timeout_s, self._never)
        happened, self._link.happened = self._link.happened, Happened()
        for codes in happened.subacks:
            self._granted = codes
        for message in happened.messages:
            topic = message.topic or ""
            if topic == self._base + "/presence":
                with suppress(ValueError, AttributeError):
                    self._present = bool(json.loads(message.payload).get("online"))
            if topic.startswith(self._base + "/reply/"):
                with suppress(ValueError):
                    self._replies.append(json.loads(message.payload))
            else:
                self._watched.append(message)
                del self._watched[:-1000]
