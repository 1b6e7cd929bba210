"""What a cell says and hears on a plain MQTT tree, without a network: calls and time in, publishes and time out.

A transport (paho on a PC, a non-blocking client on a microcontroller) tells the session what happened and sends what
`poll` gives it. The session decides what is worth sending, in which order and how much at once; it keeps the last
values and a window of records, so nothing here grows while the broker is away. Another dialect is another session.
"""

from cell_controller.core import envelope, jsonwrite, ticks
from cell_controller.core.envelope import Desk, Request
from cell_controller.core.signals import QUALITY_NAMES

WINDOW = 100  # publishes with QoS 1 that may wait for their acknowledgement
REPLIES = 64  # replies that may wait for the broker
RETRY_MS = 5000  # a broker that refuses a publish is asked again after this time
PRESENCE_MS = 1000
_SETTLED_MS = (
    1 << 27
)  # an older connection is not told from one of this age (37 h); keeps the tick from wrapping
_UNREADABLE = "unreadable"  # where a refusal goes whose request has no id
_REFUSED = 0x80  # reason codes from here on mean that the broker did not take it
_FOR_EVER = (0x95, 0x99)  # too large, payload malformed: what the same message would always meet
_VIEW_NAMES = ("state", "alarms", "orders", "catalogue")


class Publish:
    """One message to send. token: give it to `acked` with the acknowledgement; 0 where none comes (QoS 0)."""

    def __init__(
        self, topic: str, payload: bytes, qos: int, retain: bool, correlation: "bytes | None" = None
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.correlation = correlation
        self.token = 0


class _View:
    """The last value of a retained topic: sent when it has changed, at most once in `every_ms`."""

    def __init__(self, topic: str, every_ms: int, qos: int) -> None:
        self.topic = topic
        self.every_ms = every_ms
        self.qos = qos
        self.latest: object = None
        self.given = False
        self.dirty = False
        self.sent = ""  # what was sent last, without its time stamp
        self.due: int | None = None  # not before this tick

    def offer(self, latest: object) -> None:
        self.latest = latest
        self.given = True
        self.dirty = True

    def waits(self, now_ms: int) -> bool:
        """True if it is to be sent within `every_ms`."""
        return self.dirty and (self.due is None or ticks.diff(self.due, now_ms) <= self.every_ms)

    def again(self) -> None:
        """The broker may have forgotten it."""
        self.sent = ""
        self.due = None
        self.dirty = self.given


class Session:
    """One cell on one broker, over any number of connections.

    base: topic the cell lives under. epoch: which journal the sequence numbers belong to. delivered: highest record
    the broker has acknowledged, with all before it. Times: `now_ms` is a tick, `wall_ms` is since 1970.
    """

    def __init__(
        self,
        base: str,
        epoch: str,
        name: str = "",
        window: int = WINDOW,
        state_ms: int = 200,
        signal_ms: int = 500,
    ) -> None:
        self.base = base
        self.epoch = epoch
        self.name = name or base.split("/")[-1]
        self.online = False
        self.delivered = 0
        self.next_seq = 1
        self.refused = 0
        self.refused_code = 0
        self.refused_topic = ""
        self.unreadable = 0
        self._state_ms = state_ms
        self._signal_ms = signal_ms
        self._full_window = window
        self._window = window
        self._desk = Desk()
        self._views: list[_View] = []
        for view_name in _VIEW_NAMES:
            self._views.append(_View(base + "/" + view_name, state_ms, 1))
        self._signals: list[_View] = []
        self._signal_of: dict[str, _View] = {}
        self._signal_at = 0
        self._replies: list[Publish] = []
        self._records: list[Publish] = []
        self._unsettled: list[list[int]] = []  # [seq, publishes without acknowledgement], oldest first
        self._in_flight: dict[int, tuple[int, _View | None, str]] = {}  # token -> (seq or 0, view, topic)
        self._seq_of: list[int] = []  # seq of each entry of _records
        self._token = 0
        self._connected_ms = 0
        self._connected_wall_ms = 0
        self._protocol = ""
        self._subscribed = False
        self._presence: int | None = None  # tick from which presence may be said, None: nothing to say
        self._stalled: int | None = None  # tick until which a refusing broker is left alone
        self._careful = False  # after a refusal one record at a time, until one is taken

    # what the transport needs to connect

    def resume_from(self, delivered: int) -> None:
        """Records up to `delivered` were acknowledged in an earlier life; call it before the first connection."""
        self.delivered = delivered
        self.next_seq = delivered + 1

    def will(self) -> Publish:
        """What the broker says in the cell's place when the connection is lost."""
        return self._presence_message(False, "connection lost", 0)

    def goodbye(self, wall_ms: int) -> Publish:
        """What to send last before leaving on purpose."""
        return self._presence_message(False, "stopped", wall_ms)

    def subscriptions(self) -> "list[tuple[str, int]]":
        """(filter, QoS) pairs; the first is what requests come by, without it nobody can command over MQTT."""
        return [(self.base + "/request/+", 1), (self.base + "/presence", 1)]

    # what the transport tells

    def connected(self, now_ms: int, wall_ms: int, protocol: str, receive_maximum: int = 65535) -> None:
        """A clean connection is up. protocol: "5" or "3.1.1". receive_maximum: what the broker allows in flight."""
        self.online = True
        self._window = min(self._full_window, max(receive_maximum, 1))
        self._connected_ms = now_ms
        self._connected_wall_ms = wall_ms
        self._protocol = protocol
        self._subscribed = False
        self._presence = now_ms
        self._in_flight = {}
        self._stalled = None
        self._drop_records()
        for view in self._views:
            view.again()
        for view in self._signals:
            view.again()

    def subscribed(self) -> None:
        """The broker has granted the subscriptions; what it sent before was meant for somebody else or is old."""
        self._subscribed = True

    def disconnected(self, now_ms: int) -> None:
        """The connection is gone; records without acknowledgement are asked for again with `next_seq`."""
        self.online = False
        self._subscribed = False
        self._presence = None
        self._drop_records()

    def received(
        self,
        now_ms: int,
        wall_ms: int,
        topic: str,
        payload: bytes,
        retained: bool,
        response_topic: "str | None" = None,
        correlation: "bytes | None" = None,
    ) -> "Request | None":
        """The request in a message, or None; a refusal and the answer to a repeat are queued as replies."""
        if topic == self.base + "/presence":
            self._contradicted(now_ms, payload)
            return None
        stem = self.base + "/request/"
        place = topic[len(stem) :]
        if topic[: len(stem)] != stem or place not in envelope.TOPIC_CLASSES:
            self.unreadable += 1
            return None
        request, reply = self._desk.open(
            payload, "mqtt", wall_ms, place, retained, wall_ms - self._age_ms(now_ms), not self._subscribed
        )
        request.token = (self._reply_topic(request, response_topic), correlation, request.key, request.id)
        if reply is None:
            return request
        if not request.id:
            self.unreadable += 1
        self._queue_reply(request.token, reply)
        return None

    def acked(self, now_ms: int, token: int, reason: int = 0) -> None:
        """The broker has answered a publish with QoS 1; `reason` from 0x80 on means that it did not take it."""
        entry = self._in_flight.get(token)
        if entry is None:
            return
        del self._in_flight[token]
        seq, view, topic = entry
        if reason >= _REFUSED:
            self.refused += 1
            self.refused_code = reason
            self.refused_topic = topic
            if view is not None:
                view.again()
                view.due = ticks.add(now_ms, RETRY_MS)
            elif seq and reason not in _FOR_EVER:
                self._stalled = ticks.add(now_ms, RETRY_MS)
                return
        elif seq:
            self._careful = False
        if seq:
            self._settle(seq)

    # what the cell says

    def state(self, view: "dict[str, object]") -> None:
        """The state view; sent when anything but `timestamp_ms` has changed, at most every `state_ms`."""
        self._views[0].offer(view)

    def alarms(self, alarms: "list[object]") -> None:
        """The list of alarms."""
        self._views[1].offer(alarms)

    def orders(self, orders: "list[object]") -> None:
        """The list of orders."""
        self._views[2].offer(orders)

    def catalogue(self, catalogue: "dict[str, object]") -> None:
        """What the cell can make, with the options."""
        self._views[3].offer(catalogue)

    def signals(self, wall_ms: int, entries: "list[tuple[str, int, int, str, int]]") -> None:
        """Last values: (name, integer value, quality 0 good 1 stale 2 bad, unit, per_unit) each."""
        for name, value, quality, unit, per_unit in entries:
            view = self._signal_of.get(name)
            if view is None:
                view = _View(self.base + "/signals/" + name, self._signal_ms, 0)
                self._signal_of[name] = view
                self._signals.append(view)
            view.offer(
                {
                    "timestamp_ms": wall_ms,
                    "value": jsonwrite.Decimal(value, per_unit),
                    "quality": QUALITY_NAMES[quality],
                    "unit": unit,
                }
            )

    def reply(self, token: object, reply: "dict[str, object]") -> None:
        """Answer the request that came with `token`."""
        if isinstance(token, tuple) and token[2]:
            self._desk.answered(token[2], reply)
        self._queue_reply(token, reply)

    def refuse_busy(self, request: Request) -> None:
        """The cell has no room for a request that `received` gave; a repeat of it is a first try."""
        self._desk.forget(request.key)
        text = f"{request.id} was not taken: too many requests are waiting; send it again in a second"
        self._queue_reply(request.token, envelope.refuse(request, envelope.BUSY, text))

    def room(self, now_ms: int) -> int:
        """How many records `record` takes now; ask for those from `next_seq` on."""
        if not self.online:
            return 0
        if self._stalled is not None:
            if ticks.diff(self._stalled, now_ms) > 0:
                return 0
            self._stalled = None
            self._careful = True
            self._drop_records()
        if self._careful:
            return 1 if not self._unsettled else 0
        reserve = min(4, self._window // 4)  # replies and state must not wait behind a backlog
        return max(self._window - reserve - len(self._unsettled), 0)

    def record(self, seq: int, bodies: "list[tuple[str, dict[str, object]]]", late: bool) -> None:
        """One journal record: what it says on `events` and `items`, which may be nothing. Give them in order."""
        if seq < self.next_seq:
            return
        self.next_seq = seq + 1
        self._unsettled.append([seq, len(bodies)])
        for kind, body in bodies:
            full = dict(body)
            full["epoch"] = self.epoch
            full["seq"] = seq
            full["late"] = late
            self._records.append(Publish(self.base + "/" + kind, jsonwrite.encode(full), 1, False))
            self._seq_of.append(seq)
        self._settle(0)

    # what goes out

    def poll(self, now_ms: int, limit: int = 32) -> "list[Publish]":
        """At most `limit` messages to send now, most urgent first; empty while the broker is away."""
        out: list[Publish] = []
        if not self.online:
            return out
        if self._presence is not None and ticks.diff(now_ms, self._presence) >= 0:
            self._presence = None
            age_ms = self._age_ms(now_ms)
            self._send(out, self._presence_message(True, "", self._connected_wall_ms + age_ms), 0, None)
        while self._replies and self._may_send(out, limit):
            self._send(out, self._replies.pop(0), 0, None)
        for view in self._views:
            if self._may_send(out, limit):
                self._send_view(out, view, now_ms)
        at = self._signal_at
        for _ in range(len(self._signals)):
            if len(out) >= limit:
                break
            if at >= len(self._signals):
                at = 0
            self._send_view(out, self._signals[at], now_ms)
            at += 1
        self._signal_at = at
        while self._records and self._stalled is None and self._may_send(out, limit):
            self._send(out, self._records.pop(0), self._seq_of.pop(0), None)
        return out

    def wants_to_send(self, now_ms: int) -> bool:
        """True while something waits for the next `poll`, but for what the broker has refused and may take later."""
        if self._replies or self._records or self._presence is not None:
            return True
        return any(view.waits(now_ms) for view in self._views) or any(
            view.waits(now_ms) for view in self._signals
        )

    def in_flight(self) -> int:
        """Publishes whose acknowledgement has not come."""
        return len(self._in_flight)

    def _may_send(self, out: "list[Publish]", limit: int) -> bool:
        return len(out) < limit and len(self._in_flight) < self._window

    def _send(self, out: "list[Publish]", message: Publish, seq: int, view: "_View | None") -> None:
        if message.qos:
            self._token = self._token + 1 if self._token < ticks.MASK else 1
            message.token = self._token
            self._in_flight[self._token] = (seq, view, message.topic)
        out.append(message)

    def _send_view(self, out: "list[Publish]", view: _View, now_ms: int) -> None:
        if not view.dirty or (view.due is not None and ticks.diff(now_ms, view.due) < 0):
            return
        view.dirty = False
        value = view.latest
        if isinstance(value, dict) and "timestamp_ms" in value:
            bare = dict(value)
            del bare["timestamp_ms"]
            text = jsonwrite.dumps(bare)
        else:
            text = jsonwrite.dumps(value)
        if text == view.sent:
            return
        view.sent = text
        view.due = ticks.add(now_ms, view.every_ms)
        self._send(out, Publish(view.topic, jsonwrite.encode(value), view.qos, True), 0, view)

    def _settle(self, seq: int) -> None:
        """One acknowledgement for `seq`; moves `delivered` over everything that is complete."""
        for entry in self._unsettled:
            if entry[0] == seq:
                entry[1] -= 1
                break
        while self._unsettled and self._unsettled[0][1] <= 0:
            self.delivered = self._unsettled.pop(0)[0]

    def _drop_records(self) -> None:
        self._records = []
        self._seq_of = []
        self._unsettled = []
        for token in sorted(self._in_flight):
            if self._in_flight[token][0]:
                del self._in_flight[token]
        self.next_seq = self.delivered + 1

    def _age_ms(self, now_ms: int) -> int:
        """How long the connection is up, by the tick: the wall clock may have jumped since."""
        age = ticks.diff(now_ms, self._connected_ms)
        if age > _SETTLED_MS:
            self._connected_wall_ms += age - _SETTLED_MS
            self._connected_ms = ticks.add(now_ms, -_SETTLED_MS)
            age = _SETTLED_MS
        return max(age, 0)

    def _presence_message(self, online: bool, reason: str, wall_ms: int) -> Publish:
        body: dict[str, object] = {"online": online, "cell": self.name, "epoch": self.epoch}
        if wall_ms:
            body["timestamp_ms"] = wall_ms
        if online:
            body["protocol"] = self._protocol
        else:
            body["reason"] = reason
        return Publish(self.base + "/presence", jsonwrite.encode(body), 1, True)

    def _contradicted(self, now_ms: int, payload: bytes) -> None:
        """The will of an older connection may come late and say that this living cell is gone."""
        if self.online and b'"online":false' in payload and self._presence is None:
            self._presence = ticks.add(now_ms, PRESENCE_MS)

    def _reply_topic(self, request: Request, response_topic: "str | None") -> str:
        if response_topic and self._is_harmless(response_topic):
            return response_topic
        name = request.id
        if request.verb == "order.submit" and 1 <= len(request.order_id) <= envelope.MAX_NAME:
            name = request.order_id
        level = ""
        for char in name:
            level += "_" if char in "/+#" or ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 else char
        return self.base + "/reply/" + (level or _UNREADABLE)

    def _is_harmless(self, topic: str) -> bool:
        """A response topic is the sender's choice: never a pattern, nor one that speaks for this or another cell."""
        if len(topic) > 256 or topic[:1] == "$" or "+" in topic or "#" in topic or "\0" in topic:
            return False
        inside = topic[: len(self.base) + 1] == self.base + "/"
        return "/request/" not in topic and (not inside or topic[len(self.base) :][:7] == "/reply/")

    def _queue_reply(self, token: object, reply: "dict[str, object]") -> None:
        if not isinstance(token, tuple):
            raise ValueError("a reply needs the token of its request")
        body = dict(reply)
        body["id"] = token[3]
        if len(self._replies) >= REPLIES:
            self._replies.pop(0)
        self._replies.append(Publish(token[0], jsonwrite.encode(body), 1, False, token[1]))
