"""The session of a microcontroller: what core.session says and hears, with less memory and in smaller pieces.

The rules are the session's own. Different here: one message at a time, its JSON written a few values a slice; last
values are remembered by a digest; a signal is compared before anything is made of it; at most one record is held.
"""

from cell_controller.core import envelope, jsonwrite, ticks
from cell_controller.core.envelope import Desk, Request
from cell_controller.core.session import Publish, Session, _View
from cell_controller.core.signals import QUALITY_NAMES
from cell_controller.micropython.json_slices import JsonSlices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINDOW = 8  # publishes with QoS 1 that may wait for their acknowledgement
REMEMBERED = 16  # requests, so that a repeat is answered and not done again
REPLIES = 24  # that may wait for the broker
VALUES_A_SLICE = 6  # some milliseconds on a Pico
SIGNALS_A_SLICE = 8
_VIEW = 1
_REPLY = 2
_RECORD = 3


class _Signals:
    """The last value of each signal and which one the broker has, side by side in lists: an object each is too much."""

    def __init__(self, base: str) -> None:
        self.count = 0
        self._base = base + "/signals/"
        self._wall_ms = 0  # when the last values were offered
        self._place: "dict[str, int]" = {}
        self._name: "list[str]" = []
        self._unit: "list[str]" = []
        self._per_unit: "list[int]" = []
        self._value: "list[int]" = []
        self._quality: "list[int]" = []
        self._sent_value: "list[int]" = []
        self._sent_quality: "list[int]" = []  # -1: the broker has none, or may have forgotten it
        self._due: "list[int]" = []  # not before this tick; -1: at once

    def offer(self, wall_ms: int, entry: "tuple[str, int, int, str, int]") -> None:
        at = self._place.get(entry[0], -1)
        if at < 0:
            at = self.count
            self.count = at + 1
            self._place[entry[0]] = at
            self._name.append(entry[0])
            self._unit.append(entry[3])
            self._per_unit.append(entry[4])
            for column in (self._value, self._quality, self._sent_value):
                column.append(0)
            self._sent_quality.append(-1)
            self._due.append(-1)
        self._value[at] = entry[1]
        self._quality[at] = entry[2]
        self._wall_ms = wall_ms

    def forget(self) -> None:
        """The broker may have forgotten them all."""
        for at in range(self.count):
            self._sent_quality[at] = -1
            self._due[at] = -1

    def waits(self, at: int) -> bool:
        return self._value[at] != self._sent_value[at] or self._quality[at] != self._sent_quality[at]

    def is_due(self, at: int, now_ms: int) -> bool:
        return self._due[at] < 0 or ticks.diff(now_ms, self._due[at]) >= 0

    def send(self, at: int, due: int) -> Publish:
        """The message of one of them; from now on the broker has it."""
        self._sent_value[at] = self._value[at]
        self._sent_quality[at] = self._quality[at]
        self._due[at] = due
        body: "dict[str, object]" = {
            "timestamp_ms": self._wall_ms,
            "value": jsonwrite.Decimal(self._value[at], self._per_unit[at]),
            "quality": QUALITY_NAMES[self._quality[at]],
            "unit": self._unit[at],
        }
        return Publish(self._base + self._name[at], jsonwrite.encode(body), 0, True)


class SmallSession(Session):
    """Use `next` instead of `poll`, and only while the message it gave before has left."""

    def __init__(
        self,
        base: str,
        epoch: str,
        name: str = "",
        window: int = WINDOW,
        state_ms: int = 200,
        signal_ms: int = 500,
    ) -> None:
        super().__init__(base, epoch, name, window, state_ms, signal_ms)
        self._desk = Desk(REMEMBERED)
        self._writer = JsonSlices()
        self._job = 0
        self._job_view: "_View | None" = None
        self._answers: "list[tuple[str, dict[str, Any]]]" = []  # (topic, body)
        self._bodies: "list[tuple[str, dict[str, Any], int]]" = []  # (topic, body, seq)
        self._digests: "dict[str, bytes]" = {}  # topic of a last value -> digest of what the broker has
        self._last = _Signals(base)
        self._last_at = 0
        self.unwritable = 0  # messages for which there is no JSON

    # what the transport tells

    def connected(self, now_ms: int, wall_ms: int, protocol: str, receive_maximum: int = 65535) -> None:
        """A clean connection is up; the broker may have forgotten everything."""
        self._cancel()
        super().connected(now_ms, wall_ms, protocol, receive_maximum)
        self._last.forget()

    def disconnected(self, now_ms: int) -> None:
        """The connection is gone; what was being written is begun again later."""
        self._cancel()
        super().disconnected(now_ms)

    def too_large(self, topic: str, size: int, limit: int) -> None:
        """A request that was longer than there is room for was skipped; its sender cannot be told but by topic."""
        self.unreadable += 1
        text = "the request on %s has %d bytes, the limit of this cell is %d; send less in one request"
        text = text % (topic, size, limit)
        reply = envelope.refuse(Request("mqtt"), envelope.TOO_LONG, text)
        self._queue_reply((self.base + "/reply/unreadable", None, "", ""), reply)

    def replies_waiting(self) -> int:
        """Replies that have not left: read no more requests while there are many."""
        return len(self._answers)

    def is_writing(self) -> bool:
        """Whether a message is half written."""
        return self._job != 0

    # what the cell says

    def signals(self, wall_ms: int, entries: "list[tuple[str, int, int, str, int]]") -> None:
        """Last values: (name, integer value, quality 0 good 1 stale 2 bad, unit, per_unit) each."""
        for entry in entries:
            self.signal(wall_ms, entry)

    def signal(self, wall_ms: int, entry: "tuple[str, int, int, str, int]") -> None:
        """One of them."""
        self._last.offer(wall_ms, entry)

    def room(self, now_ms: int) -> int:
        """One record at a time, when the one before is on its way."""
        if self._bodies:
            return 0
        return min(super().room(now_ms), 1)

    def record(self, seq: int, bodies: "list[tuple[str, dict[str, object]]]", late: bool) -> None:
        """One journal record: what it says on `events` and `items`, which may be nothing. Give them in order."""
        if seq < self.next_seq:
            return
        self.next_seq = seq + 1
        self._unsettled.append([seq, len(bodies)])
        for kind, body in bodies:
            body["epoch"] = self.epoch
            body["seq"] = seq
            body["late"] = late
            self._bodies.append((self.base + "/" + kind, body, seq))
        self._settle(0)

    # what goes out

    def next(self, now_ms: int) -> "Publish | None":
        """The next message to send, or None when there is none or it is not written yet.

        Its payload is a buffer that is used again: send all of it before the next call.
        """
        if not self.online:
            return None
        if self._job:
            return self._carry_on(now_ms)
        if self._presence is not None and ticks.diff(now_ms, self._presence) >= 0:
            self._presence = None
            wall_ms = self._connected_wall_ms
            if wall_ms:
                wall_ms += self._age_ms(now_ms)
            return self._given(self._presence_message(True, "", wall_ms), 0, None)
        return self._next_wide(now_ms) if len(self._in_flight) < self._window else self._next_signal(now_ms)

    def wants_to_send(self, now_ms: int) -> bool:
        """True while something waits for the next slices."""
        if self._job or self._answers or self._bodies or self._presence is not None:
            return True
        return any(view.waits(now_ms) for view in self._views) or any(
            self._last.waits(at) for at in range(self._last.count)
        )

    def _next_wide(self, now_ms: int) -> "Publish | None":
        """What needs an acknowledgement: replies, last values, then records; signals have their turn between."""
        if self._answers:
            return self._begin(now_ms, _REPLY, self._answers[0][1], None)
        for view in self._views:
            if view.dirty and (view.due is None or ticks.diff(now_ms, view.due) >= 0):
                view.dirty = False
                return self._begin(now_ms, _VIEW, view.latest, view)
        signal = self._next_signal(now_ms)
        if signal is None and self._bodies and self._stalled is None:
            return self._begin(now_ms, _RECORD, self._bodies[0][1], None)
        return signal

    def _next_signal(self, now_ms: int) -> "Publish | None":
        """A few of the signals are looked at in turn, so that none is left behind; the first that changed goes out."""
        last = self._last
        looks = min(SIGNALS_A_SLICE, last.count)
        while looks > 0:
            looks -= 1
            at = self._last_at if self._last_at < last.count else 0
            self._last_at = at + 1
            if last.waits(at) and last.is_due(at, now_ms):
                return last.send(at, ticks.add(now_ms, self._signal_ms))
        return None

    def _begin(self, now_ms: int, job: int, value: object, view: "_View | None") -> "Publish | None":
        self._job = job
        self._job_view = view
        try:
            self._writer.begin(value)
        except ValueError:
            self._give_up()
            return None
        return self._carry_on(now_ms)

    def _carry_on(self, now_ms: int) -> "Publish | None":
        try:
            if not self._writer.step(VALUES_A_SLICE):
                return None
        except (ValueError, TypeError):  # TypeError: keys that cannot be sorted
            self._give_up()
            return None
        job = self._job
        self._job = 0
        out: "Any" = self._writer.out
        if job == _REPLY:
            return self._given(Publish(self._answers.pop(0)[0], out, 1, False), 0, None)
        if job == _RECORD:
            topic, _, seq = self._bodies.pop(0)
            return self._given(Publish(topic, out, 1, False), seq, None)
        view = self._job_view
        self._job_view = None
        assert view is not None
        sent = self._writer.digest()
        if sent == self._sent_of(view):
            return None
        self._digests[view.topic] = sent
        view.sent = "+"
        view.due = ticks.add(now_ms, view.every_ms)
        return self._given(Publish(view.topic, out, view.qos, True), 0, view)

    def _give_up(self) -> None:
        """There is no JSON for it: a defect of whoever made it; nothing else waits behind it."""
        job = self._job
        self._job = 0
        self._job_view = None
        self.unwritable += 1
        if job == _REPLY:
            self._answers.pop(0)
        elif job == _RECORD:
            self._settle(self._bodies.pop(0)[2])

    def _sent_of(self, view: _View) -> "bytes | None":
        """`sent` is emptied by the session where the broker may have forgotten the value."""
        return self._digests.get(view.topic) if view.sent else None

    def _given(self, message: Publish, seq: int, view: "_View | None") -> Publish:
        self._send([], message, seq, view)
        return message

    def _cancel(self) -> None:
        if self._job_view is not None:
            self._job_view.dirty = True
        self._job = 0
        self._job_view = None

    def _drop_records(self) -> None:
        self._bodies = []
        if self._job == _RECORD:
            self._job = 0
        super()._drop_records()

    def _queue_reply(self, token: object, reply: "dict[str, object]") -> None:
        if not isinstance(token, tuple):
            raise ValueError("a reply needs the token of its request")
        body = dict(reply)
        body["id"] = token[3]
        if len(self._answers) >= REPLIES:
            del self._answers[1 if self._job == _REPLY else 0]
        self._answers.append((token[0], body))
