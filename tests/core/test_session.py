"""The session says what has changed, once, in order and bounded; and refuses requests with a reason."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cell_controller.core import envelope, refusals, ticks
from cell_controller.core.envelope import Desk, Request
from cell_controller.core.session import PRESENCE_MS, REPLIES, RETRY_MS, WINDOW, Publish, Session

WALL = 1_795_302_155_000
HOUR = 3_600_000
BASE = "coachworks/leeds/body/paint/paint-1"


class Cell:
    """A session with a broker that acknowledges when told to; `now` moves by hand."""

    def __init__(self, now: int = 5, **options: Any) -> None:
        self.now = now
        self.wall = WALL
        self.session = Session(BASE, "epoch-1", **options)

    def connect(self, **options: Any) -> list[Publish]:
        self.session.connected(self.now, self.wall, "5", **options)
        self.session.subscribed()
        return self.poll()

    def poll(self, limit: int = 1000) -> list[Publish]:
        return self.session.poll(self.now, limit)

    def said(self, topic: str) -> list[Any]:
        return [json.loads(message.payload) for message in self.poll() if message.topic == f"{BASE}/{topic}"]

    def pass_time(self, ms: int) -> None:
        self.now = ticks.add(self.now, ms)
        self.wall += ms

    def ask(self, place: str, retained: bool = False, **members: Any) -> Request | None:
        message = {"id": "c-1", "issuer": "desk", **members}
        message = {name: value for name, value in message.items() if value is not None}
        return self.send(place, json.dumps(message).encode(), retained)

    def send(
        self, place: str, payload: bytes, retained: bool = False, response: str | None = None
    ) -> Request | None:
        return self.session.received(
            self.now, self.wall, f"{BASE}/request/{place}", payload, retained, response, b"tag"
        )

    def reply(self) -> Any:
        replies = [message for message in self.poll() if "/reply/" in message.topic]
        assert len(replies) == 1, [message.topic for message in replies]
        return json.loads(replies[0].payload)


@pytest.fixture
def cell() -> Cell:
    cell = Cell()
    cell.connect()
    return cell


def command(cell: Cell, **members: Any) -> Request | None:
    return cell.ask(
        "command", **{"verb": "command", "command": "start", "expires_ms": cell.wall + 1000, **members}
    )


def test_presence_comes_first_and_the_will_says_the_opposite() -> None:
    cell = Cell()
    cell.session.state({"state": "Idle"})
    first = cell.connect()[0]
    assert first.topic == f"{BASE}/presence"
    assert (first.qos, first.retain) == (1, True)
    assert json.loads(first.payload) == {
        "online": True,
        "cell": "paint-1",
        "epoch": "epoch-1",
        "protocol": "5",
        "timestamp_ms": WALL,
    }
    will = cell.session.will()
    assert (will.topic, will.qos, will.retain) == (first.topic, 1, True)
    assert json.loads(will.payload)["online"] is False


def test_a_late_will_of_an_older_connection_is_contradicted_but_not_in_a_storm(cell: Cell) -> None:
    for _ in range(3):
        cell.session.received(cell.now, cell.wall, f"{BASE}/presence", cell.session.will().payload, False)
    assert cell.said("presence") == []
    cell.pass_time(PRESENCE_MS)
    assert [presence["online"] for presence in cell.said("presence")] == [True]
    cell.pass_time(PRESENCE_MS)
    assert cell.said("presence") == []


def test_nothing_is_said_while_the_broker_is_away() -> None:
    cell = Cell()
    cell.session.state({"state": "Idle"})
    assert cell.poll() == []
    assert cell.session.room(cell.now) == 0


def test_state_is_sent_when_it_changes_and_not_more_often_than_allowed(cell: Cell) -> None:
    for number in range(10):
        cell.session.state({"state": "Execute", "n": number, "timestamp_ms": number})
    assert [view["n"] for view in cell.said("state")] == [9]
    cell.session.state({"state": "Execute", "n": 10, "timestamp_ms": 11})
    assert cell.said("state") == []
    cell.pass_time(200)
    assert [view["n"] for view in cell.said("state")] == [10]
    cell.pass_time(1000)
    cell.session.state({"state": "Execute", "n": 10, "timestamp_ms": 99})
    assert cell.said("state") == []


def test_signals_are_last_values_with_quality_as_exact_decimals(cell: Cell) -> None:
    cell.session.signals(WALL, [("airflow", 512, 0, "m3/min", 100), ("door", 1, 2, "", 1)])
    messages = {message.topic: message for message in cell.poll()}
    airflow = messages[f"{BASE}/signals/airflow"]
    assert airflow.retain
    assert airflow.payload == (b'{"quality":"good","timestamp_ms":%d,"unit":"m3/min","value":5.12}' % WALL)
    assert json.loads(messages[f"{BASE}/signals/door"].payload)["quality"] == "bad"
    cell.pass_time(1000)
    cell.session.signals(WALL + 1000, [("airflow", 512, 0, "m3/min", 100), ("door", 1, 0, "", 1)])
    assert [message.topic for message in cell.poll()] == [f"{BASE}/signals/door"]


def test_a_chatty_signal_does_not_keep_the_others_back(cell: Cell) -> None:
    names = [f"s{number}" for number in range(10)]
    heard: set[str] = set()
    for turn in range(10):
        cell.session.signals(WALL, [(name, turn, 0, "", 1) for name in names])
        heard |= {message.topic for message in cell.poll(limit=2)}
        cell.pass_time(500)
    assert heard == {f"{BASE}/signals/{name}" for name in names}


def test_a_new_connection_hears_everything_again() -> None:
    cell = Cell()
    cell.session.state({"state": "Idle"})
    cell.session.orders([{"order_id": "ord-1"}])
    cell.session.alarms([])
    cell.session.catalogue({"bonnet": {}})
    cell.session.signals(WALL, [("door", 1, 0, "", 1)])
    first = [message.topic for message in cell.connect()]
    cell.session.disconnected(cell.now)
    assert [message.topic for message in cell.connect()] == first
    assert len(first) == 6


REFUSED = [
    ("retained", {"retained": True}),
    ("expired", {"expires_ms": WALL}),
    ("expired", {"expires_ms": WALL - HOUR}),
    ("no_expiry", {"expires_ms": None}),
    ("expiry_too_far", {"expires_ms": WALL + 60_001}),
    ("expiry_too_far", {"expires_ms": WALL + HOUR}),
    ("queued_while_away", {"sent_ms": WALL - 1}),
    ("wrong_topic", {"verb": "order.submit", "order_id": "ord-1"}),
    ("wrong_topic", {"verb": "query", "what": "state"}),
    ("unknown_verb", {"verb": "dance"}),
    ("malformed", {"verb": None}),
    ("malformed", {"verb": 5}),
    ("malformed", {"issuer": None}),
    ("malformed", {"issuer": ""}),
    ("malformed", {"issuer": "x" * 65}),
    ("malformed", {"issuer": "a\nb"}),
    ("malformed", {"issuer": "a\x85b"}),
    ("malformed", {"id": None}),
    ("malformed", {"id": ""}),
    ("malformed", {"id": "x" * 65}),
    ("malformed", {"id": ["c-1"]}),
    ("malformed", {"expires_ms": "soon"}),
    ("malformed", {"expires_ms": True}),
    ("malformed", {"expires_ms": -1}),
    ("malformed", {"expires_ms": 1.5}),
    ("malformed", {"sent_ms": {}}),
]


@pytest.mark.parametrize(("name", "members"), REFUSED, ids=[f"{name}-{more}" for name, more in REFUSED])
def test_a_command_is_refused_with_a_reason(cell: Cell, name: str, members: dict[str, Any]) -> None:
    given = {"verb": "command", "command": "start", "expires_ms": WALL + 1000, **members}
    assert cell.ask("command", **given) is None
    reply = cell.reply()
    assert reply["name"] == name
    assert reply["ok"] is False
    assert reply["code"] > 0
    assert len(reply["text"]) > 20
    assert reply["data"] == {}


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("malformed", b""),
        ("malformed", b"{"),
        ("malformed", b"start"),
        ("malformed", b"[1 2]"),
        ("malformed", b'["id"]'),
        ("malformed", b'"\xff"'),
        ("malformed", b'{"id":"a","id":"b"}'),
        ("malformed", b"[" * 10_000),
        ("too_long", b'{"id":"' + b"x" * 16_384 + b'"}'),
        ("too_long", b"\0" * 1_048_576),
    ],
    ids=["empty", "cut", "text", "no comma", "array", "not UTF-8", "twice", "deep", "17 KB", "a megabyte"],
)
def test_what_is_not_a_request_is_refused_where_it_asked_for_the_reply(
    cell: Cell, name: str, payload: bytes
) -> None:
    assert cell.send("order", payload, response="desk/7") is None
    (message,) = cell.poll()
    assert (message.topic, message.correlation) == ("desk/7", b"tag")
    assert json.loads(message.payload)["name"] == name


def test_the_documented_refusals_are_those_of_the_code() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "mqtt.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", text, re.MULTILINE)
    assert len(rows) == len(
        {name for name, _ in REFUSED} | {"too_long", "busy", "duplicate", "clock_unknown", "safe_mode"}
    )
    assert [(name, refusals.refusal_name(int(code))) for name, code in rows] == [
        (name, name) for name, _ in rows
    ]


def test_a_good_command_comes_through_with_its_arguments(cell: Cell) -> None:
    request = command(cell, mode="Manual")
    assert request is not None
    assert (request.id, request.issuer, request.origin, request.verb) == ("c-1", "desk", "mqtt", "command")
    assert request.args == {"command": "start", "mode": "Manual"}


def test_a_repeated_command_is_answered_again_and_not_done_again(cell: Cell) -> None:
    request = command(cell)
    assert request is not None
    assert command(cell) is None
    assert cell.reply()["name"] == "duplicate"
    cell.session.reply(
        request.token, {"ok": True, "code": 0, "name": "accepted", "text": "Starting", "data": {}}
    )
    first = cell.reply()
    assert command(cell, expires_ms=cell.wall + 5000) is None
    assert cell.reply() == first
    assert command(cell, command="stop") is None
    assert cell.reply()["name"] == "duplicate"
    assert command(cell, issuer="another") is not None


def test_the_memory_of_commands_is_bounded() -> None:
    desk = Desk(remembered=3)
    opened = []
    for number in (1, 2, 3, 4, 1):
        payload = b'{"id":"%d","issuer":"i","verb":"order.cancel"}' % number
        opened.append(desk.open(payload, "local", WALL)[1] is None)
    assert opened == [True] * 5
    assert desk.open(b'{"id":"4","issuer":"i","verb":"order.cancel"}', "local", WALL)[1] is not None


def test_an_order_may_be_submitted_again_because_the_order_book_knows_it(cell: Cell) -> None:
    for _ in range(2):
        assert cell.ask("order", verb="order.submit", order_id="ord-1", product="bonnet") is not None


def test_a_query_may_be_asked_again(cell: Cell) -> None:
    for _ in range(2):
        assert cell.ask("query", verb="query", what="state") is not None


def test_orders_and_queries_need_no_expiry_but_keep_one(cell: Cell) -> None:
    assert cell.ask("order", verb="order.submit", order_id="o", expires_ms=cell.wall + 8 * HOUR) is not None
    assert cell.ask("order", verb="order.submit", order_id="o", expires_ms=cell.wall - 1) is None
    assert cell.reply()["name"] == "expired"


def test_what_waited_in_the_broker_is_refused_whatever_it_is() -> None:
    cell = Cell()
    cell.session.connected(cell.now, cell.wall, "5")
    assert cell.ask("order", verb="order.submit", order_id="ord-1") is None
    assert cell.reply()["name"] == "queued_while_away"
    cell.session.subscribed()
    assert cell.ask("order", verb="order.submit", order_id="ord-1") is not None


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_when_the_clock_jumps_the_refusal_names_the_clock_of_the_cell(cell: Cell, jump: int) -> None:
    expires_ms = cell.wall + 5000
    cell.wall += jump
    assert command(cell, expires_ms=expires_ms) is None
    reply = cell.reply()
    assert reply["name"] == ("expired" if jump > 0 else "expiry_too_far")
    assert envelope.utc_text(cell.wall) in reply["text"]
    assert "clock of this cell" in reply["text"]


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_jump_of_the_clock_does_not_make_fresh_requests_old(cell: Cell, jump: int) -> None:
    cell.pass_time(10_000)
    cell.wall += jump
    assert cell.ask("order", verb="order.submit", order_id="ord-1", sent_ms=cell.wall - 5000) is not None
    assert cell.ask("order", verb="order.submit", order_id="ord-1", sent_ms=cell.wall - 10_001) is None


def test_the_age_of_a_connection_survives_the_wrap_of_the_tick() -> None:
    cell = Cell(now=ticks.MASK - 5)
    cell.connect()
    for _ in range(80):  # 80 x 0.5 days
        cell.pass_time(43_200_000)
        assert cell.ask("order", verb="order.submit", order_id="o", sent_ms=cell.wall - 1000) is not None
        cell.poll()


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "desk/+",
        "#",
        "$SYS/x",
        "x" * 300,
        f"{BASE}/request/command",
        f"{BASE}/presence",
        "other/cell/request/order",
        "a\0b",
    ],
)
def test_a_response_topic_that_speaks_for_somebody_else_is_not_used(cell: Cell, topic: str) -> None:
    cell.send("query", b'{"id":"q/1","issuer":"i","verb":"dance"}', response=topic)
    (message,) = cell.poll()
    assert message.topic == f"{BASE}/reply/q_1"


def test_without_a_response_topic_orders_are_answered_by_order_id(cell: Cell) -> None:
    request = cell.ask("order", verb="order.submit", order_id="ord/1")
    assert request is not None
    cell.session.reply(request.token, {"ok": True})
    (message,) = cell.poll()
    assert (message.topic, message.retain, message.qos) == (f"{BASE}/reply/ord_1", False, 1)
    assert json.loads(message.payload) == {"id": "c-1", "ok": True}


def test_a_request_for_which_there_is_no_room_may_be_sent_again(cell: Cell) -> None:
    request = command(cell)
    assert request is not None
    cell.session.refuse_busy(request)
    assert cell.reply()["name"] == "busy"
    assert command(cell) is not None


def test_replies_that_wait_for_the_broker_are_bounded() -> None:
    cell = Cell()
    for number in range(3 * REPLIES):
        cell.session.reply((f"t/{number}", None, "", str(number)), {"ok": True})
    topics = [message.topic for message in cell.connect() if message.topic.startswith("t/")]
    assert topics == [f"t/{number}" for number in range(2 * REPLIES, 3 * REPLIES)]


def fill(cell: Cell, durable: int, late_until: int = 0) -> list[Publish]:
    """Feed records as a transport does and return what goes out."""
    while cell.session.room(cell.now) > 0 and cell.session.next_seq <= durable:
        seq = cell.session.next_seq
        cell.session.record(seq, [("events", {"n": seq})], seq <= late_until)
    return [message for message in cell.poll() if message.topic.endswith("/events")]


def test_records_carry_epoch_sequence_and_whether_they_are_late(cell: Cell) -> None:
    bodies = [json.loads(message.payload) for message in fill(cell, 3, late_until=2)]
    assert bodies == [
        {"n": 1, "epoch": "epoch-1", "seq": 1, "late": True},
        {"n": 2, "epoch": "epoch-1", "seq": 2, "late": True},
        {"n": 3, "epoch": "epoch-1", "seq": 3, "late": False},
    ]


def test_the_window_bounds_what_is_not_acknowledged(cell: Cell) -> None:
    sent = fill(cell, 1000)
    assert len(sent) < WINDOW
    assert cell.session.in_flight() <= WINDOW
    assert cell.session.room(cell.now) == 0
    cell.session.acked(cell.now, sent[0].token)
    assert len(fill(cell, 1000)) == 1


def test_a_broker_that_takes_little_at_once_is_given_little() -> None:
    cell = Cell()
    cell.connect(receive_maximum=2)
    fill(cell, 100)
    assert cell.session.in_flight() == 2


def test_a_backlog_does_not_keep_replies_back(cell: Cell) -> None:
    fill(cell, 1000)
    cell.session.reply(("t", None, "", "1"), {"ok": True})
    assert [message.topic for message in cell.poll()] == ["t"]


def test_delivered_moves_over_complete_records_only(cell: Cell) -> None:
    one, two, three = fill(cell, 3)
    cell.session.acked(cell.now, two.token)
    cell.session.acked(cell.now, three.token)
    assert cell.session.delivered == 0
    cell.session.acked(cell.now, one.token)
    assert cell.session.delivered == 3


def test_a_record_that_says_nothing_is_delivered_at_once(cell: Cell) -> None:
    cell.session.record(1, [], False)
    assert cell.session.delivered == 1


def test_after_a_lost_connection_records_come_again_from_the_first_unacknowledged(cell: Cell) -> None:
    sent = fill(cell, 5)
    cell.session.acked(cell.now, sent[0].token)
    cell.session.disconnected(cell.now)
    cell.connect()
    assert [json.loads(message.payload)["seq"] for message in fill(cell, 5)] == [2, 3, 4, 5]
    cell.session.acked(cell.now, sent[1].token)  # an acknowledgement of the old connection says nothing
    assert cell.session.delivered == 1


def test_a_refused_record_is_kept_and_tried_again_one_at_a_time(cell: Cell) -> None:
    sent = fill(cell, 5)
    for message in sent:
        cell.session.acked(cell.now, message.token, 0x87)
    assert (cell.session.refused, cell.session.refused_code, cell.session.delivered) == (5, 0x87, 0)
    assert cell.session.refused_topic == f"{BASE}/events"
    assert fill(cell, 5) == []
    cell.pass_time(RETRY_MS)
    (probe,) = fill(cell, 5)
    assert json.loads(probe.payload)["seq"] == 1
    cell.session.acked(cell.now, probe.token)
    assert [json.loads(message.payload)["seq"] for message in fill(cell, 5)] == [2, 3, 4, 5]


def test_a_record_that_the_broker_can_never_take_does_not_keep_the_others_back(cell: Cell) -> None:
    sent = fill(cell, 2)
    cell.session.acked(cell.now, sent[0].token, 0x99)
    cell.session.acked(cell.now, sent[1].token)
    assert (cell.session.delivered, cell.session.refused) == (2, 1)


def test_a_refused_last_value_is_offered_again_later(cell: Cell) -> None:
    cell.session.catalogue({"bonnet": {}})
    (message,) = cell.poll()
    cell.session.acked(cell.now, message.token, 0x97)
    assert cell.poll() == []
    cell.pass_time(RETRY_MS)
    assert [again.topic for again in cell.poll()] == [message.topic]


def test_the_same_day_gives_the_same_bytes() -> None:
    def day() -> list[tuple[str, bytes]]:
        cell = Cell()
        cell.session.state({"b": 1, "a": [1, {"z": None, "y": True}]})
        out = cell.connect()
        for number in range(20):
            command(cell, id=f"c-{number % 7}")
            cell.session.signals(cell.wall, [("x", number // 3, number % 3, "m", 10)])
            out += cell.poll()
            cell.pass_time(130)
        return [(message.topic, message.payload) for message in out]

    assert day() == day()
