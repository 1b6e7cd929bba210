"""The cell's link to the plant: carries a session over MQTT in a thread of its own and never disturbs the scan.

The control thread leaves its last values and replies in a mailbox and takes requests from a bounded queue. Records
come from the journal, a window at a time, oldest first; while the broker is away they stay there and nowhere else.
"""

import itertools
import logging
import queue
import random
import socket
import sqlite3
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from cell_controller.core import ticks
from cell_controller.core.envelope import Request
from cell_controller.core.session import Session
from cell_controller.cpython.paho_connection import V5, V311, BrokerAddress, Connection, Happened, Message

log = logging.getLogger("cell_controller.link")

NAME = "mqtt"  # under which the journal keeps how far the broker has acknowledged
IDLE_S = 0.05
FIRST_BACKOFF_S = 0.5
STABLE_S = 5.0  # a connection that lived this long was a good one: begin the back-off anew
STORE_EVERY_S = 0.5
SUBSCRIBE_AGAIN_S = 5.0
READ_AGAIN_S = 5.0
_UNSUPPORTED_VERSION = 0x84
_UNCLEAR_REFUSALS = (0x80, 0x81, 0x82)  # what brokers without MQTT 5 have answered to it
_VERSION_REFUSALS = (0x01, _UNSUPPORTED_VERSION)

Render = Callable[[int, int, bytes], list[tuple[str, dict[str, object]]]]
Signal = tuple[str, int, int, str, int]


class Clock(Protocol):
    """The link's time: the tick of the core and the wall clock."""

    def now_ms(self) -> int: ...

    def wall_ms(self) -> int: ...


class RealClock:
    """The machine's own clocks; --speed scales a board's time, never this."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000 & ticks.MASK

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Journal(Protocol):
    """What the link reads of the journal."""

    @property
    def last_seq(self) -> int: ...

    @property
    def durable_seq(self) -> int: ...

    def replay(self, from_seq: int) -> Iterable[tuple[int, int, bytes]]: ...

    def delivered(self, name: str) -> int: ...

    def set_delivered(self, name: str, seq: int) -> None: ...


@dataclass(frozen=True)
class LinkStatus:
    """How the link is.

    backlog: durable records the broker has not acknowledged. refused: publishes it did not take. busy: requests for
    which the cell had no room. last_error: "" once a connection has lived for 5 s.
    """

    connected: bool = False
    protocol: str = ""
    reconnects: int = 0
    backlog: int = 0
    delivered: int = 0
    refused: int = 0
    busy: int = 0
    last_error: str = ""


class _Mailbox:
    """Last values and replies on their way from the control thread; bounded, and held for microseconds only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: dict[str, Any] = {}
        self._signals: dict[str, tuple[int, Signal]] = {}
        self._replies: deque[tuple[object, dict[str, object]]] = deque(maxlen=256)

    def view(self, name: str, value: object) -> None:
        with self._lock:
            self._views[name] = value

    def signals(self, wall_ms: int, entries: Iterable[Signal]) -> None:
        with self._lock:
            for entry in entries:
                self._signals[entry[0]] = (wall_ms, entry)

    def reply(self, token: object, reply: dict[str, object]) -> None:
        with self._lock:
            self._replies.append((token, reply))

    def deliver(self, session: Session) -> None:
        """Gives everything to the session; called by the link thread."""
        with self._lock:
            views, self._views = self._views, {}
            signals, self._signals = self._signals, {}
            replies = list(self._replies)
            self._replies.clear()
        for token, reply in replies:
            session.reply(token, reply)
        for name, value in views.items():
            getattr(session, name)(value)
        for wall_ms, entry in signals.values():
            session.signals(wall_ms, [entry])


class MqttLink:
    """Runs `session` against a broker until `stop`; every `offer_*` returns at once and never raises.

    render: journal record (seq, wall_ms, bytes) -> [("events" | "items", JSON object)]. requests: where requests go;
    what does not fit is refused as busy. backoff_cap_s: longest pause between two attempts (full jitter).
    """

    def __init__(
        self,
        session: Session,
        journal: Journal,
        render: Render,
        host: str,
        port: int,
        requests: "queue.Queue[Request]",
        *,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        backoff_cap_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        keepalive_s: int = 15,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._session = session
        self._journal = journal
        self._render = render
        self._address = BrokerAddress(host, port, username, password, tls, keepalive_s, connect_timeout_s)
        self._requests = requests
        self._clock: Clock = clock if clock is not None else RealClock()
        self._cap_s = backoff_cap_s
        self._jitter = jitter
        self._mail = _Mailbox()
        self._status = LinkStatus()
        self._stopping = threading.Event()
        self._leave_by = 0.0
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt-link", daemon=True)
        self._speaks_only_v311 = False
        self._attempts = 0
        self._connections = 0
        self._busy = 0
        self._source: Iterator[tuple[int, int, bytes]] | None = None
        self._source_at = 0
        self._read_again_at = 0.0
        self._last_error = ""
        self._stored = 0
        self._stored_at = 0.0
        self._subscribe_at = 0.0
        self.most_waiting = 0

    # for the control thread

    @property
    def status(self) -> LinkStatus:
        """The last known state of the link."""
        return self._status

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> bool:
        """Send what is waiting, say goodbye and end; True if that was done within `timeout` seconds."""
        self._leave_by = time.monotonic() + timeout * 0.8
        self._stopping.set()
        self.poke()
        if self._thread.is_alive():
            self._thread.join(timeout)
        elif self._thread.ident is None:  # never started
            self._wake_in.close()
            self._wake_out.close()
        return not self._thread.is_alive()

    def poke(self) -> None:
        """There is something to send now (a durable record, for one); without it the link looks every 50 ms."""
        with suppress(OSError):  # full: it is awake already; closed: it has ended
            self._wake_in.send(b"!")

    def offer_state(self, view: dict[str, object]) -> None:
        """The state view; do not change it afterwards."""
        self._mail.view("state", view)

    def offer_signals(self, entries: Iterable[Signal], wall_ms: int | None = None) -> None:
        """Last values: (name, integer value, quality 0|1|2, unit, per_unit) each."""
        self._mail.signals(self._clock.wall_ms() if wall_ms is None else wall_ms, entries)

    def offer_orders(self, orders: list[object]) -> None:
        """The list of orders; do not change it afterwards."""
        self._mail.view("orders", orders)

    def offer_alarms(self, alarms: list[object]) -> None:
        """The list of alarms; do not change it afterwards."""
        self._mail.view("alarms", alarms)

    def offer_catalogue(self, catalogue: dict[str, object]) -> None:
        """What the cell can make; do not change it afterwards."""
        self._mail.view("catalogue", catalogue)

    def offer_reply(self, token: object, reply: dict[str, object]) -> None:
        """Answer the request that carried `token`."""
        self._mail.reply(token, reply)
        self.poke()

    # the link thread

    def _run(self) -> None:
        try:
            self._session.resume_from(self._journal.delivered(NAME))
            self._stored = self._session.delivered
            while not self._stopping.is_set():
                try:
                    self._visit()
                except (
                    Exception
                ):  # a defect must not end the link; it is logged with its place and shown in the status
                    log.exception("the link failed and begins anew")
                    self._failed("the link failed inside; see the log")
                if not self._stopping.is_set():
                    self._stopping.wait(self._pause_s())
        finally:
            self._note(connected=False)
            self._wake_in.close()
            self._wake_out.close()

    def _pause_s(self) -> float:
        """Full jitter: anything up to a limit that doubles with every failure."""
        limit = min(self._cap_s, FIRST_BACKOFF_S * 2.0 ** min(self._attempts, 20))
        self._attempts += 1
        return limit * self._jitter()

    def _visit(self) -> None:
        """One round of attempts: MQTT 5, and 3.1.1 at once where that is the likely remedy."""
        for protocol in (V311,) if self._speaks_only_v311 else (V5, V311):
            connection = self._connect(protocol)
            if connection.accepted and not connection.lost:
                self._attend(connection)
                return
            self._failed(connection.lost)
            if self._stopping.is_set() or not self._is_about_version(connection):
                return
            self._speaks_only_v311 = protocol == V5 and connection.refusal in _VERSION_REFUSALS

    @staticmethod
    def _is_about_version(connection: Connection) -> bool:
        """Refused the version, or reached but silent, closed or unintelligible: brokers without MQTT 5 do all four."""
        if connection.refusal is None:
            return connection.reached
        return connection.refusal in _VERSION_REFUSALS + _UNCLEAR_REFUSALS

    def _connect(self, protocol: str) -> Connection:
        name = f"{self._session.name}-{self._session.epoch[:8]}"
        connection = Connection(self._address, name, protocol, self._session.will())
        connection.open()
        give_up = time.monotonic() + self._address.connect_timeout_s
        while not connection.accepted and not connection.lost and not self._stopping.is_set():
            left = give_up - time.monotonic()
            if left <= 0:
                connection.lost = (
                    f"no CONNACK within {self._address.connect_timeout_s:g} s with MQTT {protocol}"
                )
                break
            connection.step(min(left, IDLE_S), self._wake_out)
        if not connection.accepted or connection.lost:
            connection.abandon()
        return connection

    def _attend(self, connection: Connection) -> None:
        """Everything between CONNACK and the loss of the connection."""
        since = time.monotonic()
        self._connections += 1
        self._session.connected(
            self._clock.now_ms(), self._clock.wall_ms(), connection.protocol, connection.receive_maximum
        )
        late_until = self._journal.durable_seq
        connection.subscribe(self._session.subscriptions())
        self._subscribe_at = 0.0
        old_error = self._last_error
        log.info(
            "connected to %s:%d with MQTT %s", self._address.host, self._address.port, connection.protocol
        )
        try:
            while not connection.lost and not self._may_leave(connection):
                self._turn(connection, late_until)
                if old_error and time.monotonic() - since >= STABLE_S:
                    self._last_error = "" if self._last_error == old_error else self._last_error
                    old_error = ""
            if not connection.lost:
                self._say_goodbye(connection)
        finally:
            connection.abandon()
            self._source = None  # here: a reader of SQLite belongs to the thread that opened it
            self._session.disconnected(self._clock.now_ms())
            self._store_delivered(always=True)
        if time.monotonic() - since >= STABLE_S:
            self._attempts = 0
        if not self._stopping.is_set():
            self._failed(connection.lost)

    def _turn(self, connection: Connection, late_until: int) -> None:
        """One look at the mailbox, the journal and the network."""
        self._mail.deliver(self._session)
        sent = 0
        if not connection.want_write():
            self._feed(late_until)
            messages = self._session.poll(self._clock.now_ms())
            sent = len(messages)
            for message in messages:
                connection.publish(message)
        self.most_waiting = max(self.most_waiting, connection.waiting())
        if self._subscribe_at and time.monotonic() >= self._subscribe_at:
            self._subscribe_at = 0.0
            connection.subscribe(self._session.subscriptions())
        connection.step(0.0 if sent else IDLE_S, self._wake_out)
        happened, connection.happened = connection.happened, Happened()
        self._take(happened)
        self._store_delivered(always=False)
        self._note(connected=True, protocol=connection.protocol)

    def _take(self, happened: Happened) -> None:
        """Hand what the broker said to the session and requests to the cell."""
        self._receive([message for message in happened.messages if message.early])
        for codes in happened.subacks:
            if codes and codes[0] >= 0x80:
                self._subscribe_at = time.monotonic() + SUBSCRIBE_AGAIN_S
                self._failed(
                    f"the broker refuses {self._session.subscriptions()[0][0]} (0x{codes[0]:02x}): no orders or"
                    " commands can come; allow it in the broker's access list"
                )
            else:
                self._session.subscribed()
        for token, reason in happened.acks:
            self._session.acked(self._clock.now_ms(), token, reason)
            if reason >= 0x80:
                self._failed(f"the broker refuses {self._session.refused_topic} (0x{reason:02x})")
        self._receive([message for message in happened.messages if not message.early])

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            request = self._session.received(
                self._clock.now_ms(),
                self._clock.wall_ms(),
                message.topic or "",
                message.payload,
                message.retained,
                message.response_topic,
                message.correlation,
            )
            if request is None:
                continue
            try:
                self._requests.put_nowait(request)
            except queue.Full:
                self._busy += 1
                self._session.refuse_busy(request)

    def _feed(self, late_until: int) -> None:
        """Records from the journal, as many as the window has room for; late: older than this connection."""
        room = self._session.room(self._clock.now_ms())
        if room <= 0 or self._journal.durable_seq < self._session.next_seq:
            return
        if time.monotonic() < self._read_again_at:
            return
        try:
            rows = self._next_rows(room)
        except (OSError, sqlite3.Error) as error:
            self._source = None
            self._read_again_at = time.monotonic() + READ_AGAIN_S
            self._failed(f"cannot read the journal: {error}; records wait")
            return
        for seq, wall_ms, record in rows:
            try:
                bodies = self._render(seq, wall_ms, record)
            except Exception:  # one record that cannot be shown must not keep the later ones back
                log.exception("record %d cannot be rendered; it stays in the journal", seq)
                self._failed(f"record {seq} cannot be rendered; it stays in the journal")
                bodies = []
            self._session.record(seq, bodies, seq <= late_until)

    def _next_rows(self, room: int) -> list[tuple[int, int, bytes]]:
        """The next rows of a read that goes on from one call to the next, as long as the session goes on as well."""
        if self._source is None or self._source_at != self._session.next_seq:
            self._source = iter(self._journal.replay(self._session.next_seq))
        rows = list(itertools.islice(self._source, room))
        if len(rows) < room:
            self._source = None
        self._source_at = rows[-1][0] + 1 if rows else 0
        return rows

    def _store_delivered(self, always: bool) -> None:
        delivered = self._session.delivered
        now = time.monotonic()
        if delivered == self._stored or (not always and now - self._stored_at < STORE_EVERY_S):
            return
        self._stored_at = now
        try:
            self._journal.set_delivered(NAME, delivered)
        except (
            OSError
        ) as error:  # the broker then gets some records twice after a restart, which it must expect
            self._failed(f"cannot note in the journal what the broker has: {error}")
            return
        self._stored = delivered

    def _may_leave(self, connection: Connection) -> bool:
        """True when asked to stop, and nothing is left to send or no time to do it."""
        if not self._stopping.is_set():
            return False
        if time.monotonic() >= self._leave_by:
            return True
        self._mail.deliver(self._session)
        idle = self._journal.last_seq < self._session.next_seq and self._session.in_flight() == 0
        return idle and not connection.want_write() and not self._session.wants_to_send(self._clock.now_ms())

    def _say_goodbye(self, connection: Connection) -> None:
        """Presence off, acknowledged if the broker is quick, then DISCONNECT, which cancels the will."""
        message = self._session.goodbye(self._clock.wall_ms())
        message.token = ticks.MASK + 1
        connection.publish(message)
        while connection.waiting() and not connection.lost and time.monotonic() < self._leave_by:
            connection.step(0.01, self._wake_out)
        connection.close()

    def _failed(self, why: str) -> None:
        if why and why != self._last_error:
            log.warning("%s:%d: %s", self._address.host, self._address.port, why)
            self._last_error = why
        self._note(connected=self._session.online, protocol=self._status.protocol)

    def _note(self, connected: bool, protocol: str = "") -> None:
        delivered = self._session.delivered
        self._status = LinkStatus(
            connected=connected,
            protocol=protocol if connected else "",
            reconnects=max(self._connections - 1, 0),
            backlog=max(self._journal.durable_seq - delivered, 0),
            delivered=delivered,
            refused=self._session.refused,
            busy=self._busy,
            last_error=self._last_error,
        )
