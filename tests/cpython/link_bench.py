"""What the tests of the link share: a journal in memory, a link on a port, somebody who listens, bounded waiting."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from cell_controller.core.envelope import Request
from cell_controller.core.session import Session
from cell_controller.cpython.mqtt_link import MqttLink, RealClock

BASE = "plant/line/paint-1"
WAIT_S = 15.0


class ListJournal:
    """The part of the journal that a link reads, in memory."""

    epoch = "0123456789abcdef"

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self.not_yet_durable = 0
        self.marks: dict[str, int] = {}

    @property
    def last_seq(self) -> int:
        return len(self._rows)

    @property
    def durable_seq(self) -> int:
        return len(self._rows) - self.not_yet_durable

    def append(self, count: int = 1) -> None:
        self._rows += [b"record"] * count

    def replay(self, from_seq: int) -> Iterator[tuple[int, int, bytes]]:
        for index in range(from_seq - 1, self.durable_seq):
            yield index + 1, 1_000 + index, self._rows[index]

    def delivered(self, name: str) -> int:
        return self.marks.get(name, 0)

    def set_delivered(self, name: str, seq: int) -> None:
        self.marks[name] = seq


def render(seq: int, wall_ms: int, record: bytes) -> list[tuple[str, dict[str, object]]]:
    """Every record is an event, every tenth an item as well."""
    event: tuple[str, dict[str, object]] = ("events", {"n": seq, "timestamp_ms": wall_ms})
    return [event, ("items", {"serial": seq})] if seq % 10 == 0 else [event]


class Bench:
    """A link under test with its journal, session and queue of requests."""

    def __init__(self, port: int, **options: Any) -> None:
        self.journal = ListJournal()
        self.session = Session(BASE, self.journal.epoch, state_ms=20, signal_ms=20)
        self.requests: queue.Queue[Request] = queue.Queue(options.pop("queue_size", 16))
        settings: dict[str, Any] = {"backoff_cap_s": 0.1, "connect_timeout_s": 0.3}
        self.link = MqttLink(
            self.session, self.journal, render, "127.0.0.1", port, self.requests, **{**settings, **options}
        )

    def offer_all(self) -> float:
        """Everything a scan may offer; the longest time in seconds that one call took."""
        longest = 0.0
        calls: list[Callable[[], None]] = [
            lambda: self.link.offer_state({"state": "Idle"}),
            lambda: self.link.offer_signals([("airflow", 512, 0, "m3/min", 100)]),
            lambda: self.link.offer_orders([]),
            lambda: self.link.offer_alarms([]),
            lambda: self.link.offer_catalogue({}),
            lambda: self.link.offer_reply(("t", None, "", "1"), {"ok": True}),
            self.link.poke,
        ]
        for call in calls:
            begin = time.perf_counter()
            call()
            longest = max(longest, time.perf_counter() - begin)
        return longest

    def is_idle(self) -> bool:
        """Everything offered is sent and acknowledged."""
        waits = self.session.wants_to_send(RealClock().now_ms())
        return self.session.online and not waits and self.session.in_flight() == 0


class Listener:
    """A plain MQTT client that hears everything below the base, in order."""

    def __init__(self, port: int, topic: str = BASE + "/#") -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{id(self)}")
        self._client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, bytes(message.payload), message.retain)
        )
        self._client.on_connect = lambda client, *more: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *more: self.ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self.ready.wait(WAIT_S), "the listener got no SUBACK"

    def values(self, name: str) -> list[Any]:
        """What was said on base/name, oldest first."""
        return [json.loads(payload) for topic, payload, _ in list(self.heard) if topic == f"{BASE}/{name}"]

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def wait_for(done: Callable[[], bool], saw: Callable[[], object], limit_s: float = WAIT_S) -> None:
    """Wait until `done`; fails with what `saw` gives when the time is over."""
    give_up = time.monotonic() + limit_s
    pause = threading.Event()
    while not done():
        assert time.monotonic() < give_up, f"not within {limit_s} s; saw {saw()}"
        pause.wait(0.005)
