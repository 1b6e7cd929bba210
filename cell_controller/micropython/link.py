"""The cell's link to the plant on a microcontroller: a session over MQTT, a bounded slice at a time.

What runtime and console expect of a link, without a thread: `offer_*` only notes something, `step` does one piece of
work. Records come from the journal one at a time, oldest first; while the broker is away they stay there only.
"""

import os

from cell_controller.core import codec, ticks
from cell_controller.core import events as ev
from cell_controller.core.render import item_record, render
from cell_controller.micropython import mqtt_client as mqtt
from cell_controller.micropython.small_session import VALUES_A_SLICE
from cell_controller.micropython.unpack_slices import UnpackSlices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from cell_controller.core.envelope import Request
    from cell_controller.micropython.mqtt_client import MqttClient
    from cell_controller.micropython.small_session import SmallSession

NAME = "mqtt"  # under which the journal keeps how far the broker has acknowledged
FIRST_BACKOFF_MS = 500
BACKOFF_CAP_MS = 30000
STABLE_MS = 5000  # a connection that lived this long was a good one: begin the back-off anew
STORE_EVERY_MS = 30000  # each store is a write to flash; after a power cut the broker gets that much twice
SUBSCRIBE_AGAIN_MS = 5000
READ_AGAIN_MS = 5000
TIME_MS = 10000
REQUEST_EVERY_MS = 20  # reading a request costs milliseconds: a flood must leave time for scans
MOST_REPLIES = 4  # while more wait for the broker, no request is read
SIGNALS_A_SLICE = 8
_UNRENDERABLE = (ValueError, LookupError, TypeError, AttributeError)
_NO_ITEM = codec.pack({})  # stands for the as-built record where the event alone is rendered
_PACKET_TOO_LARGE = 0x95
_REFUSED = 0x80


class LinkStatus:
    """How the link is; one object, kept up to date.

    backlog: durable records the broker has not acknowledged. busy: requests for which the cell had no room.
    last_error: "" once a connection has lived for 5 s.
    """

    def __init__(self) -> None:
        self.connected = False
        self.protocol = ""
        self.reconnects = 0
        self.backlog = 0
        self.delivered = 0
        self.refused = 0
        self.busy = 0
        self.last_error = ""
        self.network = ""


class Link:
    """Carries `session` to the broker that `client` knows. Call `step` between two scans, as often as there is time.

    journal: last_seq, durable_seq, replay, delivered and set_delivered. spec: the compiled cell, for the texts of
    records. take(request): hands a request to the controller, False if it has no room. clock: wall_ms(). wifi, sntp:
    stepped here; None on a host that has a network and a clock. jitter(limit): a number from 0 to limit.
    """

    def __init__(
        self,
        session: "SmallSession",
        journal: "Any",
        spec: "dict[str, Any]",
        client: "MqttClient",
        take: "Callable[[Request], bool]",
        clock: "Any",
        wifi: "Any" = None,
        sntp: "Any" = None,
        jitter: "Callable[[int], int] | None" = None,
    ) -> None:
        self.status = LinkStatus()
        self.client = client
        self.session = session
        self.wifi = wifi
        self.sntp = sntp
        self.needs_time = False  # connect when the time is known, or has not come within TIME_MS
        self._begun: int | None = None
        self._journal = journal
        self._spec = spec
        self._take = take
        self._clock = clock
        self._jitter = jitter if jitter is not None else _any_up_to
        self._source: "Iterator[tuple[int, int, bytes]] | None" = None
        self._source_at = 0
        self._item: "tuple[int, int, bytes, UnpackSlices] | None" = None
        self._late_until = 0
        self._attempts = 0
        self._retry_at: int | None = None
        self._connections = 0
        self._up_at = 0
        self._stable = False
        self._read_at: int | None = None
        self._subscribe_at: int | None = None
        self._held = False  # a request was handed on; the next is read when REQUEST_EVERY_MS is over
        self._held_at = 0
        self._signals: "list[tuple[str, int, int, str, int]]" = []
        self._signals_at = 0
        self._signals_wall_ms = 0
        self._stored_at: int | None = None
        session.resume_from(journal.delivered(NAME))
        self._stored = session.delivered

    # --- for the runtime ---

    def offer_state(self, view: "dict[str, Any]") -> None:
        """The state view; do not change it afterwards."""
        self.session.state(view)

    def offer_signals(
        self, entries: "list[tuple[str, int, int, str, int]]", wall_ms: "int | None" = None
    ) -> None:
        """Last values: (name, integer value, quality 0|1|2, unit, per_unit) each; looked at in the next slices."""
        for at in range(self._signals_at, len(self._signals)):
            self.session.signal(self._signals_wall_ms, self._signals[at])
        self._signals = entries
        self._signals_at = 0
        self._signals_wall_ms = self._clock.wall_ms() if wall_ms is None else wall_ms

    def offer_orders(self, orders: "list[Any]") -> None:
        """The list of orders; do not change it afterwards."""
        self.session.orders(orders)

    def offer_alarms(self, alarms: "list[Any]") -> None:
        """The list of alarms; do not change it afterwards."""
        self.session.alarms(alarms)

    def offer_catalogue(self, catalogue: "dict[str, Any]") -> None:
        """What the cell can make; do not change it afterwards."""
        self.session.catalogue(catalogue)

    def offer_reply(self, token: object, reply: "dict[str, Any]") -> None:
        """Answer the request that carried `token`."""
        self.session.reply(token, reply)

    def poke(self) -> None:
        """There is something to send; the link looks in every slice anyway."""

    def step(self, now_ms: int, wall_ms: "int | None" = None, may_block: bool = True) -> bool:
        """One slice; True if there was something to do. Never raises for what the network or a broker does.

        wall_ms: ms since 1970, 0 if nobody has said; None: the clock is asked when it is needed. may_block: the cell
        stands still, so a host may be looked up and a TLS handshake calculated.
        """
        if self.wifi is not None and not self._on_air(now_ms):
            return False
        if self.sntp is not None:
            self.sntp.step(now_ms, may_block)
        client = self.client
        if client.state == mqtt.DOWN:
            return self._try(now_ms, may_block)
        if self._held and self._may_read(now_ms):
            self._held = False
            client.acknowledge()
        event = client.step(now_ms, may_block)
        if event:
            self._happened(now_ms, self._clock.wall_ms() if wall_ms is None else wall_ms, event)
        if not self.session.online:
            return bool(event)
        busy = self._look_at_signals()
        if client.can_send():
            busy = self._say(now_ms) or busy
        self._keep_book(now_ms)
        return bool(event) or busy

    def leave(self, now_ms: int, wall_ms: int) -> None:
        """Say goodbye if that goes at once, and close; what has not been sent stays in the journal."""
        if self.client.can_send():
            message = self.session.goodbye(wall_ms)
            self.client.publish(now_ms, message.topic, message.payload, 0, message.retain)
        self.client.leave()
        self._gone(now_ms)

    # --- the network ---

    def _on_air(self, now_ms: int) -> bool:
        """Step the Wi-Fi; without it nothing else makes sense."""
        self.wifi.step(now_ms)
        self.status.network = self.wifi.status
        if self.wifi.up:
            return True
        if self.client.state != mqtt.DOWN:
            self.client.abandon()
            self._gone(now_ms)
            self._retry_at = None
        self._failed(self.wifi.status)
        return False

    def _try(self, now_ms: int, may_block: bool) -> bool:
        if self._retry_at is not None and ticks.diff(now_ms, self._retry_at) < 0:
            return False
        if self.needs_time and self.sntp is not None and not self.sntp.known:
            if self._begun is None:
                self._begun = now_ms
            if ticks.diff(now_ms, self._begun) < TIME_MS:
                return False
            self.needs_time = False
        if not self.client.begin(now_ms, may_block):
            self._failed(
                "the broker's name is looked up when the cell stands still; give its address to avoid that"
            )
            return False
        return True

    def _gone(self, now_ms: int) -> None:
        """The connection is over: from the journal again, after a pause that grows."""
        was_online = self.session.online
        self.session.disconnected(now_ms)
        self._source = None
        self._item = None
        self._held = False
        self.status.connected = False
        self.status.protocol = ""
        if was_online:
            self._store(now_ms)
        limit = min(BACKOFF_CAP_MS, FIRST_BACKOFF_MS << min(self._attempts, 8))
        self._attempts += 1
        self._retry_at = ticks.add(now_ms, self._jitter(limit))

    # --- what the broker says ---

    def _happened(self, now_ms: int, wall_ms: int, event: int) -> None:
        client, session = self.client, self.session
        if event == mqtt.MESSAGE:
            packet = client.packet
            self._hold(now_ms)
            request = session.received(now_ms, wall_ms, packet.topic, packet.payload, packet.retain)
            if request is not None and not self._take(request):
                self.status.busy += 1
                session.refuse_busy(request)
        elif event == mqtt.ACKED:
            session.acked(now_ms, client.token)
        elif event == mqtt.TOO_LARGE:
            self._hold(now_ms)
            session.too_large(client.packet.topic, client.size, mqtt.LARGEST)
        elif event == mqtt.SUBSCRIBED:
            self._subscribed(now_ms)
        elif event == mqtt.CONNECTED:
            self._connected(now_ms, wall_ms)
        elif event == mqtt.LOST:
            self._failed(client.lost)
            self._gone(now_ms)

    def _hold(self, now_ms: int) -> None:
        self._held = True
        self._held_at = now_ms

    def _may_read(self, now_ms: int) -> bool:
        if self.session.replies_waiting() > MOST_REPLIES:
            return False
        return ticks.diff(now_ms, self._held_at) >= REQUEST_EVERY_MS

    def _connected(self, now_ms: int, wall_ms: int) -> None:
        status = self.status
        self.session.connected(now_ms, wall_ms, "3.1.1")
        status.reconnects = self._connections
        self._connections += 1
        self._up_at = now_ms
        self._stable = False
        self._held = False
        self._late_until = self._journal.durable_seq
        self._subscribe_at = now_ms
        status.connected = True
        status.protocol = "3.1.1"

    def _subscribed(self, now_ms: int) -> None:
        """Without the first filter nobody can command; a broker that refuses is asked again."""
        codes = self.client.packet.payload
        if codes[0] < _REFUSED:
            self.session.subscribed()
        else:
            self._failed("the broker refused the subscription to %s" % self.session.subscriptions()[0][0])
            self._subscribe_at = ticks.add(now_ms, SUBSCRIBE_AGAIN_MS)

    # --- what the cell says ---

    def _look_at_signals(self) -> bool:
        signals = self._signals
        at = self._signals_at
        if at >= len(signals):
            return False
        end = min(at + SIGNALS_A_SLICE, len(signals))
        while at < end:
            self.session.signal(self._signals_wall_ms, signals[at])
            at += 1
        self._signals_at = at
        return True

    def _say(self, now_ms: int) -> bool:
        """Give the client one message; True if there was something to write or send."""
        session = self.session
        if self._subscribe_at is not None and ticks.diff(now_ms, self._subscribe_at) >= 0:
            self._subscribe_at = None
            self.client.subscribe(now_ms, session.subscriptions())
            return True
        read = self._feed(now_ms)
        message = session.next(now_ms)
        if message is None:
            return read or session.is_writing()
        try:
            self.client.publish(
                now_ms, message.topic, message.payload, message.qos, message.retain, message.token
            )
        except ValueError as error:  # answer in the broker's place, or it would wait for ever
            self._failed("cannot be sent: %s" % error)
            if message.token:
                session.acked(now_ms, message.token, _PACKET_TOO_LARGE)
        return True

    def _feed(self, now_ms: int) -> bool:
        """Give the session the next record that is durable, if it has room; True if there was one."""
        session, journal = self.session, self._journal
        if self._item is not None:
            return self._carry_on_with_item()
        if journal.durable_seq < session.next_seq or not session.room(now_ms):
            return False
        if self._read_at is not None:
            if ticks.diff(now_ms, self._read_at) < 0:
                return False
            self._read_at = None
        try:
            row = self._next_row()
        except OSError as error:
            self._source = None
            self._read_at = ticks.add(now_ms, READ_AGAIN_MS)
            self._failed("cannot read the journal: %s" % error)
            return False
        if row is None:
            return False
        seq, wall_ms, data = row
        try:
            if ev.fields(data)[2] == ev.ITEM_END:
                self._item = (seq, wall_ms, data[: ev.SIZE] + _NO_ITEM, UnpackSlices(data, ev.SIZE))
                return True
            bodies = render(self._spec, data, wall_ms)
        except _UNRENDERABLE:
            bodies = self._unrenderable(seq)
        session.record(seq, bodies, seq <= self._late_until)
        return True

    def _carry_on_with_item(self) -> bool:
        """An as-built record is long: it is read over some slices, and then rendered."""
        assert self._item is not None
        seq, wall_ms, event, record = self._item
        try:
            if not record.step(VALUES_A_SLICE):
                return True
            bodies = render(self._spec, event, wall_ms)
            item = item_record(self._spec, record.value)
            item["timestamp_ms"] = wall_ms
            bodies[1] = ("items", item)
        except _UNRENDERABLE:
            bodies = self._unrenderable(seq)
        self._item = None
        self.session.record(seq, bodies, seq <= self._late_until)
        return True

    def _unrenderable(self, seq: int) -> "list[Any]":
        self._failed("record %d cannot be rendered; it stays in the journal" % seq)
        return []

    def _next_row(self) -> "tuple[int, int, bytes] | None":
        """The next row of a read that goes on from one call to the next, as long as the session goes on as well."""
        wanted = self.session.next_seq
        if self._source is None or self._source_at != wanted:
            self._source = iter(self._journal.replay(wanted))
        for row in self._source:
            self._source_at = row[0] + 1
            return row
        self._source = None
        return None

    # --- books ---

    def _keep_book(self, now_ms: int) -> None:
        status, session = self.status, self.session
        status.delivered = session.delivered
        status.backlog = max(self._journal.durable_seq - session.delivered, 0)
        status.refused = session.refused
        if not self._stable and ticks.diff(now_ms, self._up_at) >= STABLE_MS:
            self._stable = True
            self._attempts = 0
            status.last_error = ""
        if session.delivered != self._stored and (
            self._stored_at is None or ticks.diff(now_ms, self._stored_at) >= STORE_EVERY_MS
        ):
            self._store(now_ms)

    def _store(self, now_ms: int) -> None:
        """Note in the journal what the broker has; it then gets little twice after a restart."""
        delivered = self.session.delivered
        if delivered == self._stored:
            return
        self._stored_at = now_ms
        try:
            self._journal.set_delivered(NAME, delivered)
        except OSError as error:
            self._failed("cannot note in the journal what the broker has: %s" % error)
            return
        self._stored = delivered

    def _failed(self, why: str) -> None:
        status = self.status
        if why != status.last_error:
            status.last_error = why
        if not status.connected:
            status.backlog = max(self._journal.durable_seq - self.session.delivered, 0)


def _any_up_to(limit: int) -> int:
    """Full jitter: eight boards that lost one broker do not come back in the same moment."""
    raw = os.urandom(2)
    return (raw[0] << 8 | raw[1]) % (limit + 1)
