"""The session of a microcontroller says what the core's session says, in smaller pieces."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cell_controller.core import codec, jsonwrite
from cell_controller.core import events as ev
from cell_controller.core.render import render
from cell_controller.core.session import Publish, Session
from cell_controller.micropython import mqtt_client as mqtt
from cell_controller.micropython import mqtt_packets as packets
from cell_controller.micropython.json_slices import JsonSlices
from cell_controller.micropython.link import Link
from cell_controller.micropython.small_session import REPLIES, WINDOW, SmallSession
from cell_controller.micropython.unpack_slices import UnpackSlices
from tests.cpython.link_bench import ListJournal, wait_for
from tests.micropython.peer import CONNACK, Peer

WALL = 1795302155000
BASE = "plant/line/paint-1"
EPOCH = "0123456789abcdef"
VALUES: list[Any] = [
    None,
    True,
    -7,
    "",
    'quote " back \\ tab \t é 😀',
    [],
    {},
    (),
    [1, [2, [3, {}]], []],
    {"b": 1, "a": {"d": None, "c": []}, "é": 2, "B": 3},
    {"timestamp_ms": 5},
    {"a": 1, "timestamp_ms": 5, "z": [{"timestamp_ms": 6}]},
    {"x": jsonwrite.Decimal(512, 100), "y": ("dec", 45, -1), "z": (1, 2, 3)},
]


def drained(session: Session, now_ms: int) -> list[tuple[str, bytes, int, bool]]:
    """Everything a session says at one time, with every acknowledgement given at once."""
    out: list[tuple[str, bytes, int, bool]] = []
    for _ in range(2000):
        found: list[Publish] = []
        if isinstance(session, SmallSession):
            one = session.next(now_ms)
            found = [] if one is None else [one]
        else:
            found = session.poll(now_ms)
        for message in found:
            out.append((message.topic, bytes(message.payload), message.qos, message.retain))
            if message.token:
                session.acked(now_ms, message.token)
    return sorted(out)


def day(session: Session) -> list[list[tuple[str, bytes, int, bool]]]:
    """What a session says in a scripted day, by turns."""
    turns = []
    session.connected(0, WALL, "3.1.1")
    session.subscribed()
    for turn in range(12):
        now_ms = turn * 150
        session.state({"n": turn // 3, "deep": VALUES[:-1], "timestamp_ms": WALL + now_ms})
        session.signals(
            WALL + now_ms, [("airflow", turn // 4, 0, "m3/min", 100), ("door", 1, turn % 2, "", 1)]
        )
        session.alarms([{"id": turn // 5}])
        session.orders([])
        if turn == 2:
            session.catalogue({"bonnet": {"colours": ["red", "blue"] * 40}})
        body = {"id": f"r{turn}", "issuer": "i", "verb": "command", "command": "start"}
        payload = json.dumps({**body, "expires_ms": WALL + now_ms + 1000 * (turn % 3)}).encode()
        topic = f"{BASE}/request/{'command' if turn % 4 else 'order'}"
        request = session.received(now_ms, WALL + now_ms, topic, payload, turn % 5 == 4)
        if request is not None:
            session.reply(request.token, {"ok": True, "code": 0, "name": "accepted", "text": "", "data": {}})
        if session.room(now_ms):
            session.record(
                session.next_seq, [("events", {"n": turn}), ("items", {"steps": [turn] * 50})], turn < 3
            )
        if turn == 8:
            session.disconnected(now_ms)
            session.connected(now_ms, WALL + now_ms, "3.1.1")
            session.subscribed()
        turns.append(drained(session, now_ms))
    return turns


def test_a_scripted_day_gives_the_messages_of_the_core_session() -> None:
    usual, small = Session(BASE, EPOCH), SmallSession(BASE, EPOCH)
    for expected, found in zip(day(usual), day(small), strict=True):
        assert found == expected
    assert small.delivered == usual.delivered == 11  # the one of the cut comes again


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("most", [1, 2, 1000])
def test_json_in_slices_is_the_same_json(value: Any, most: int) -> None:
    writer = JsonSlices()
    writer.begin(value)
    rounds = 1
    while not writer.step(most):
        rounds += 1
        assert rounds < 200
    assert bytes(writer.out) == jsonwrite.encode(value)


@pytest.mark.parametrize("value", [{"a": [1.5]}, {"a": {1: 2}}, b"x"])
def test_what_has_no_json_is_refused_in_slices_too(value: Any) -> None:
    def write() -> None:
        writer = JsonSlices()
        writer.begin(value)
        writer.step(100)

    with pytest.raises(ValueError, match="JSON"):
        write()


def test_the_digest_leaves_out_the_outer_time_stamp_and_nothing_else() -> None:
    def digest(value: Any) -> bytes:
        writer = JsonSlices()
        writer.begin(value)
        while not writer.step(3):
            pass
        return writer.digest()

    one = {"a": 1, "timestamp_ms": 5, "z": {"timestamp_ms": 6}}
    assert digest(one) == digest({**one, "timestamp_ms": 77})
    assert digest(one) != digest({**one, "z": {"timestamp_ms": 7}})
    assert digest(one) != digest({**one, "a": 2})
    assert digest({"timestamp_ms": 5}) == digest({"timestamp_ms": 6})


def test_what_cannot_be_written_does_not_keep_the_rest_back() -> None:
    session = SmallSession(BASE, EPOCH)
    session.connected(0, WALL, "3.1.1")
    session.state({"n": 1.5})
    session.alarms([])
    session.record(1, [("events", {"bad": 1.5})], False)
    said = [topic for topic, *_ in drained(session, 0)]
    assert said == [f"{BASE}/alarms", f"{BASE}/presence"]
    assert (session.unwritable, session.delivered) == (2, 1)


def test_a_long_view_takes_many_slices_and_a_lost_connection_begins_it_again() -> None:
    session = SmallSession(BASE, EPOCH)
    session.connected(0, WALL, "3.1.1")
    session.state({"rows": list(range(500))})
    assert session.next(0) is not None  # presence
    for _ in range(5):
        assert session.next(0) is None
    session.disconnected(0)
    session.connected(0, WALL, "3.1.1")
    assert [topic for topic, *_ in drained(session, 0)] == [f"{BASE}/presence", f"{BASE}/state"]


def test_replies_and_records_are_bounded() -> None:
    session = SmallSession(BASE, EPOCH)
    for number in range(REPLIES + 10):
        session.reply((f"t{number}", None, "", str(number)), {"ok": True})
    assert session.replies_waiting() == REPLIES
    session.connected(0, WALL, "3.1.1")
    while session.next(0) is not None:
        pass
    assert session.in_flight() == WINDOW
    assert session.room(0) == 1
    session.record(1, [("events", {})], False)
    assert session.room(0) == 0


@pytest.mark.parametrize("value", [[], {}, 0, "", [[{}], {"a": [1, -2, {"b": "é" * 300}], "c": {}}, "x"]])
@pytest.mark.parametrize("most", [1, 3, 1000])
def test_what_is_read_in_slices_is_what_the_codec_reads(value: Any, most: int) -> None:
    reader = UnpackSlices(b"before" + codec.pack(value), 6)
    for _ in range(100):
        if reader.step(most):
            break
    assert reader.value == value


@pytest.mark.parametrize(
    "data", [b"", b"l", b"i1", b"d1:ae", b"dlei1ee", b"i1ei2e", b"3:ab", b"l" * 40, b"x"]
)
def test_what_is_not_canonical_is_refused_in_slices(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        UnpackSlices(data, 0).step(1000)


def test_an_as_built_record_is_rendered_over_many_slices_as_in_one() -> None:
    record = {"serial": 7, "order_id": "o", "product": "none", "version": 1, "hash": "x", "options": []}
    record |= {"params": [], "carrier": 1, "duration_ms": 5, "held_ms": 0, "stood_ms": 0, "energy": 3}
    record |= {"interruptions": 0, "answers": [], "commanded_by": "i", "result": "good", "steps": []}
    spec = {"name": "c", "energy": -1, "recipes": [], "inputs": []}
    data = ev.record(1, 5, ev.ITEM_END, ev.GOOD, 7, 1, codec.pack(record))
    journal = ListJournal()
    journal._rows = [data, data]
    session = SmallSession(BASE, EPOCH)
    one: Any = None
    link = Link(session, journal, spec, mqtt.MqttClient("c", "127.0.0.1", 1), one, one)
    session.connected(0, WALL, "3.1.1")
    feeds = 0
    while not session._bodies:
        assert link._feed(0)
        feeds += 1
    assert feeds > 5
    same = {"epoch": EPOCH, "seq": 1, "late": False}
    for (topic, body, _), (kind, expected) in zip(session._bodies, render(spec, data, 1000), strict=True):
        assert topic == f"{BASE}/{kind}"
        assert jsonwrite.encode(body) == jsonwrite.encode({**expected, **same, "late": body["late"]})


# the link on a scripted broker, at a clock that stands or jumps


class _Link:
    """A link with its peer, connected and subscribed when `up` returns."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.now_ms = 0
        self.journal = ListJournal()
        self.taken: list[str] = []
        self.client = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port)
        session = SmallSession(BASE, EPOCH)
        spec: dict[str, Any] = {}
        self.link = Link(
            session, self.journal, spec, self.client, self.take, self, jitter=lambda limit: limit
        )

    def wall_ms(self) -> int:
        return WALL

    def take(self, request: Any) -> bool:
        self.taken.append(request.id)
        return True

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.link.step(self.now_ms, WALL)


@pytest.fixture
def peer() -> Iterator[Peer]:
    one = Peer()
    yield one
    one.close()


def order(name: str) -> bytes:
    body = json.dumps({"id": name, "issuer": "i", "verb": "order.submit", "order_id": name}).encode()
    return bytes(packets.publish_head(BASE + "/request/order", 1, False, 5, len(body))) + body


def bring_up(one: _Link) -> None:
    def stepped(done: bool) -> bool:
        one.step()
        return done

    one.step()
    wait_for(lambda: stepped(one.client.state == mqtt.GREETING), lambda: one.client.lost)
    one.peer.accept()
    wait_for(lambda: stepped(bool(one.peer.hear())), lambda: one.client.lost)
    one.peer.say(CONNACK)
    wait_for(lambda: stepped(one.link.status.connected), lambda: one.client.lost)


def until(one: _Link, wanted: bytes) -> bytes:
    data = bytearray()

    def seen() -> bool:
        one.step()
        one.now_ms += 1
        data.extend(one.peer.hear())
        return wanted in data

    wait_for(seen, lambda: bytes(data), 5)
    return bytes(data)


def test_what_comes_before_the_subscription_is_granted_is_refused(peer: Peer) -> None:
    one = _Link(peer)
    bring_up(one)
    peer.say(order("old"))
    until(one, b"queued_while_away")
    peer.say(b"\x90\x04\x00\x01\x01\x01")
    peer.say(order("new"))

    def taken() -> bool:
        one.step()
        one.now_ms += 1
        return bool(one.taken)

    wait_for(taken, lambda: one.taken)
    assert one.taken == ["new"]
    one.client.abandon()


def test_requests_are_read_at_most_every_20_ms(peer: Peer) -> None:
    one = _Link(peer)
    bring_up(one)
    peer.say(b"\x90\x04\x00\x01\x01\x01" + order("a") + order("b") + order("c"))
    until(one, b"\x40\x02")
    at = one.now_ms
    until(one, b"\x40\x02")
    assert one.now_ms - at >= 20
    one.client.abandon()


def test_the_pause_between_attempts_grows_to_its_cap() -> None:
    one = _Link(Peer())
    one.peer.close()
    begun: list[int] = []
    begin = one.client.begin

    def noted(now_ms: int, may_block: bool = True) -> bool:
        begun.append(now_ms)
        return begin(now_ms, may_block)

    one.client.begin = noted  # type: ignore[method-assign]
    for now_ms in range(0, 150_000, 50):
        one.now_ms = now_ms
        one.step(2)
    pauses = [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert [round(pause, -3) for pause in pauses] == [0, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    assert "127.0.0.1" in one.link.status.last_error


def test_the_error_is_forgotten_when_a_connection_has_lived_for_a_while(peer: Peer) -> None:
    one = _Link(peer)
    one.link.status.last_error = "old"
    bring_up(one)
    one.now_ms = 4999
    one.step(3)
    assert one.link.status.last_error == "old"
    one.now_ms = 5000
    one.step()
    assert one.link.status.last_error == ""
    one.client.abandon()
