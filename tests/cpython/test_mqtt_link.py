"""The link against real brokers: presence, requests, an outage, and brokers that misbehave."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_controller.cpython.broker import Broker, installed, start_broker
from host_tools.client import CellClient
from tests.cpython.bad_broker import WAYS, BadBroker
from tests.cpython.link_bench import BASE, WAIT_S, Bench, Listener, wait_for

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = {"mosquitto": "5", "iotcore": "3.1.1", "amqtt": "3.1.1"}
BLOCKED_S = 0.2  # a call that waits for the network takes longer, a busy machine rarely does


def started(kind: str, port: int = 0) -> Broker:
    if kind not in installed():
        pytest.skip(f"{kind} is not installed")
    return start_broker(kind, port)


@pytest.fixture
def mosquitto() -> Iterator[Broker]:
    broker = started("mosquitto")
    yield broker
    broker.stop()


@pytest.fixture(params=["mosquitto", "iotcore"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    broker = started(request.param)
    yield broker
    broker.stop()


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(port: int, **options: Any) -> Bench:
        made.append(Bench(port, **options))
        return made[-1]

    yield make
    for one in made:
        assert one.link.stop(WAIT_S), f"the link did not end: {one.link.status}"


@pytest.fixture
def listen() -> Iterator[Callable[[int], Listener]]:
    made: list[Listener] = []

    def make(port: int) -> Listener:
        made.append(Listener(port))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def misbehaving() -> Iterator[Callable[[str], BadBroker]]:
    made: list[BadBroker] = []

    def make(way: str) -> BadBroker:
        made.append(BadBroker(way))
        return made[-1]

    yield make
    for one in made:
        one.close()


def connected(one: Bench) -> None:
    wait_for(lambda: one.link.status.connected, lambda: one.link.status)


def test_the_best_protocol_that_the_broker_speaks_is_used(
    broker: Broker, bench: Callable[..., Bench]
) -> None:
    one = bench(broker.port)
    one.link.start()
    connected(one)
    assert one.link.status.protocol == PROTOCOLS[broker.name]


def test_everything_arrives_on_its_topic(
    broker: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(broker.port), bench(broker.port)
    one.offer_all()
    one.journal.append(10)
    one.link.start()
    wait_for(lambda: bool(plant.values("items") and plant.values("catalogue")), lambda: plant.heard)
    wait_for(lambda: bool(plant.values("signals/airflow")), lambda: plant.heard)
    assert plant.heard[0][0] == f"{BASE}/presence"
    assert plant.values("state") == [{"state": "Idle"}]
    assert plant.values("signals/airflow")[0]["value"] == 5.12
    assert [event["seq"] for event in plant.values("events")] == list(range(1, 11))
    assert plant.values("items") == [{"serial": 10, "epoch": one.journal.epoch, "seq": 10, "late": True}]


def test_last_values_are_kept_by_the_broker(
    broker: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    one = bench(broker.port)
    one.offer_all()
    one.link.start()
    wait_for(one.is_idle, lambda: one.link.status)
    late = listen(broker.port)
    wait_for(lambda: len(late.heard) >= 6, lambda: late.heard)
    assert {topic for topic, _, retained in late.heard if retained} == {
        f"{BASE}/{name}" for name in ("presence", "state", "signals/airflow", "orders", "alarms", "catalogue")
    }


def test_a_request_is_answered_and_a_retained_one_is_not_done(
    broker: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(broker.port), bench(broker.port)
    plant.publish(f"{BASE}/request/order", b'{"id":"old","issuer":"i","verb":"order.submit"}', retain=True)
    one.link.start()
    wait_for(lambda: bool(plant.values("reply/old")), lambda: plant.heard)
    assert plant.values("reply/old")[0]["name"] == "retained"
    plant.publish(f"{BASE}/request/query", b'{"id":"q-1","issuer":"i","verb":"query","what":"state"}')
    request = one.requests.get(timeout=WAIT_S)
    assert (request.id, request.args) == ("q-1", {"what": "state"})
    one.link.offer_reply(request.token, {"ok": True, "data": {}})
    wait_for(lambda: bool(plant.values("reply/q-1")), lambda: plant.heard)
    assert one.requests.empty()


def test_a_megabyte_is_refused_with_a_reply_and_the_link_goes_on(
    mosquitto: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(mosquitto.port), bench(mosquitto.port)
    one.link.start()
    connected(one)
    wait_for(one.is_idle, lambda: one.link.status)
    plant.publish(f"{BASE}/request/order", b"x" * 1_048_576)
    wait_for(lambda: bool(plant.values("reply/unreadable")), lambda: [topic for topic, _, _ in plant.heard])
    assert plant.values("reply/unreadable")[0]["name"] == "too_long"
    assert one.link.status.reconnects == 0


def test_what_does_not_fit_in_the_queue_is_refused_as_busy(
    mosquitto: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(mosquitto.port), bench(mosquitto.port, queue_size=2)
    one.link.start()
    connected(one)
    wait_for(one.is_idle, lambda: one.link.status)
    for number in range(3):
        message = b'{"id":"q-%d","issuer":"i","verb":"query","what":"state"}' % number
        plant.publish(f"{BASE}/request/query", message)
    wait_for(lambda: bool(plant.values("reply/q-2")), lambda: plant.heard)
    assert plant.values("reply/q-2")[0]["name"] == "busy"
    wait_for(lambda: one.link.status.busy == 1, lambda: one.link.status)


def test_stopping_sends_what_waits_and_says_goodbye(
    broker: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(broker.port), bench(broker.port)
    one.link.start()
    connected(one)
    one.journal.append(500)
    one.link.offer_state({"state": "Stopped"})
    assert one.link.stop(WAIT_S)
    wait_for(lambda: plant.values("presence")[-1]["online"] is False, lambda: plant.heard[-3:])
    assert plant.values("presence")[-1]["reason"] == "stopped"
    assert plant.values("state")[-1] == {"state": "Stopped"}
    assert plant.values("events")[-1]["seq"] == 500
    assert one.journal.marks == {"mqtt": 500}


def test_stopping_waits_for_records_that_are_being_written(
    mosquitto: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(mosquitto.port), bench(mosquitto.port)
    one.link.start()
    connected(one)
    one.journal.not_yet_durable = 1
    one.journal.append(3)
    stopping = threading.Thread(target=one.link.stop, args=(WAIT_S,))
    stopping.start()
    wait_for(lambda: one.session.delivered == 2, lambda: one.link.status)
    one.journal.not_yet_durable = 0
    stopping.join(WAIT_S)
    wait_for(lambda: [event["seq"] for event in plant.values("events")] == [1, 2, 3], lambda: plant.heard)


def test_after_a_restart_only_what_was_not_delivered_is_sent(
    mosquitto: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(mosquitto.port), bench(mosquitto.port)
    one.journal.append(20)
    one.journal.marks = {"mqtt": 15}
    one.link.start()
    wait_for(lambda: one.link.status.delivered == 20, lambda: one.link.status)
    # the broker acknowledges the cell before the listener has read; what should not come would come first
    wait_for(lambda: len(plant.values("events")) >= 5, lambda: plant.heard)
    assert [event["seq"] for event in plant.values("events")] == list(range(16, 21))


@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
def test_an_outage_loses_nothing_and_keeps_the_order(
    kind: str, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    broker = started(kind)
    may_return = threading.Event()  # so that the listener is there before the cell is

    def jitter() -> float:
        may_return.wait(WAIT_S)
        return 0.0

    one = bench(broker.port, jitter=jitter)
    try:
        one.link.start()
        connected(one)
        one.journal.append(10)
        wait_for(lambda: one.link.status.delivered == 10, lambda: one.link.status)
    finally:
        broker.stop()
    wait_for(lambda: not one.link.status.connected, lambda: one.link.status)
    one.journal.append(500)
    again = started(kind, broker.port)
    try:
        plant = listen(again.port)
        may_return.set()
        wait_for(lambda: one.link.status.delivered == 510, lambda: one.link.status)
        one.journal.append(5)
        wait_for(lambda: one.link.status.delivered == 515, lambda: one.link.status)
        wait_for(lambda: len(plant.values("events")) >= 505, lambda: len(plant.values("events")))
    finally:
        again.stop()
    events = plant.values("events")
    once_each = list(dict.fromkeys((event["epoch"], event["seq"]) for event in events))
    assert once_each == [(one.journal.epoch, seq) for seq in range(11, 516)]
    assert all(event["late"] is (event["seq"] <= 510) for event in events), "late means: produced while away"
    assert one.link.most_waiting <= 100
    assert one.link.status.reconnects >= 1


def test_paho_never_holds_more_than_the_window(mosquitto: Broker, bench: Callable[..., Bench]) -> None:
    one = bench(mosquitto.port)
    one.journal.append(5000)
    one.link.start()
    wait_for(lambda: one.link.status.delivered == 5000, lambda: one.link.status)
    assert 0 < one.link.most_waiting <= 100


CLIENT = """
import sys, threading
from tests.cpython.link_bench import Bench
bench = Bench(int(sys.argv[1]))
bench.link.start()
print("started", flush=True)
threading.Event().wait()
"""


def test_presence_is_right_after_kill_9(broker: Broker, listen: Callable[[int], Listener]) -> None:
    plant = listen(broker.port)
    child = subprocess.Popen([sys.executable, "-c", CLIENT, str(broker.port)], cwd=ROOT)
    try:
        wait_for(lambda: bool(plant.values("presence")), lambda: plant.heard)
        assert plant.values("presence")[-1]["online"] is True
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    wait_for(lambda: plant.values("presence")[-1]["online"] is False, lambda: plant.values("presence"))
    assert plant.values("presence")[-1]["reason"] == "connection lost"


def test_a_false_absence_is_put_right(
    mosquitto: Broker, bench: Callable[..., Bench], listen: Callable[[int], Listener]
) -> None:
    plant, one = listen(mosquitto.port), bench(mosquitto.port)
    one.link.start()
    connected(one)
    wait_for(one.is_idle, lambda: one.link.status)
    plant.publish(f"{BASE}/presence", one.session.will().payload, retain=True)
    wait_for(lambda: plant.values("presence")[-1]["online"] is True, lambda: plant.values("presence"))


def test_a_broker_that_hangs_is_noticed_and_never_blocks_the_cell(
    mosquitto: Broker, bench: Callable[..., Bench]
) -> None:
    one = bench(mosquitto.port, keepalive_s=1)
    one.link.start()
    connected(one)
    os.kill(mosquitto.process.pid, signal.SIGSTOP)
    try:
        one.journal.append(1000)
        longest = 0.0

        def noticed() -> bool:
            nonlocal longest
            longest = max(longest, one.offer_all())
            return not one.link.status.connected

        wait_for(noticed, lambda: one.link.status)
        assert longest < BLOCKED_S
        assert one.link.most_waiting <= 100
    finally:
        os.kill(mosquitto.process.pid, signal.SIGCONT)
    wait_for(lambda: one.link.status.delivered == 1000, lambda: one.link.status)


@pytest.mark.parametrize(
    "way", ["refuses_5_with_0x84", "refuses_5_with_0x01", "closes_on_5", "silent_on_5", "garbage_on_5"]
)
def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(
    way: str, misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench]
) -> None:
    bad = misbehaving(way)
    one = bench(bad.port)
    one.link.start()
    connected(one)
    assert one.link.status.protocol == "3.1.1"
    assert bad.connects == [5, 4]


def test_a_broker_that_said_it_has_no_mqtt_5_is_not_asked_again(
    misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench]
) -> None:
    bad = misbehaving("refuses_5_with_0x84")
    one = bench(bad.port)
    one.link.start()
    connected(one)
    for plug in bad.open_plugs():
        plug.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: len(bad.connects) >= 3, lambda: bad.connects)
    assert bad.connects[:3] == [5, 4, 4]


NEVER_WELL = [
    "refuses",
    "silent",
    "closes",
    "garbage",
    "endless_length",
    "drops_mid_message",
    "garbage_after_connack",
]


@pytest.mark.parametrize("way", NEVER_WELL)
def test_a_misbehaving_broker_never_blocks_the_cell_and_is_tried_again(
    way: str, misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench]
) -> None:
    bad = misbehaving(way)
    one = bench(bad.port)
    one.link.start()
    longest = 0.0

    def offered() -> bool:
        nonlocal longest
        longest = max(longest, one.offer_all())
        return len(bad.connects) >= 4

    wait_for(offered, lambda: (bad.connects, one.link.status))
    assert longest < BLOCKED_S
    assert one.link.status.last_error
    assert one.link._thread.is_alive()


def test_a_broker_that_never_acknowledges_gets_one_window_and_no_more(
    misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench]
) -> None:
    bad = misbehaving("never_acknowledges")
    one = bench(bad.port)
    one.journal.append(1000)
    one.link.start()
    wait_for(lambda: bad.publishes >= 90, lambda: bad.publishes)
    assert one.offer_all() < BLOCKED_S
    assert one.link.most_waiting <= 100
    assert one.link.status.delivered == 0
    assert one.link.stop(0.5), "a broker that is slow must not keep the cell from ending"


def test_refused_publishes_are_counted_said_and_kept(
    misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench]
) -> None:
    one = bench(misbehaving("refuses_publish").port)
    one.journal.append(3)
    one.link.start()
    wait_for(lambda: one.link.status.refused >= 4, lambda: one.link.status)
    assert one.link.status.delivered == 0
    assert "0x87" in one.link.status.last_error


def test_a_refused_subscription_is_said(
    misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench]
) -> None:
    one = bench(misbehaving("refuses_subscription").port)
    one.link.start()
    wait_for(lambda: "request/+" in one.link.status.last_error, lambda: one.link.status)
    assert one.link.status.connected


def test_what_comes_before_the_subscription_is_granted_is_refused_as_queued(
    misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench]
) -> None:
    bad = misbehaving("delivers_before_suback")
    one = bench(bad.port)
    one.link.start()
    wait_for(lambda: any(b"queued_while_away" in body for body in bad.heard), lambda: bad.heard)
    assert one.requests.empty()


def test_what_is_too_large_for_the_broker_is_not_sent_and_does_not_keep_the_rest_back(
    misbehaving: Callable[[str], BadBroker], bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = misbehaving("takes_small_packets_only")
    one = bench(bad.port)
    monkeypatch.setattr(
        one.link, "_render", lambda seq, *more: [("events", {"n": "x" * (4000 if seq == 2 else 4)})]
    )
    one.journal.append(3)
    one.link.offer_catalogue({"text": "x" * 4000})
    one.link.start()
    wait_for(lambda: one.link.status.delivered == 3, lambda: one.link.status)
    assert bad.largest < 2048
    assert one.link.status.refused >= 2
    assert one.link.status.reconnects == 0


def test_the_pause_between_attempts_grows_to_its_cap_with_full_jitter(bench: Callable[..., Bench]) -> None:
    parts = iter([1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 0.0])
    one = bench(1, backoff_cap_s=4.0, jitter=lambda: next(parts))
    assert [one.link._pause_s() for _ in range(7)] == [0.5, 1.0, 1.0, 4.0, 4.0, 4.0, 0.0]


def test_no_broker_at_all_is_no_trouble(bench: Callable[..., Bench]) -> None:
    one = bench(9)  # discard: nobody listens there
    one.link.start()
    wait_for(lambda: "cannot reach" in one.link.status.last_error, lambda: one.link.status)
    one.journal.append(10)
    assert one.offer_all() < BLOCKED_S
    assert one.link.stop(WAIT_S)


def test_a_record_that_cannot_be_rendered_does_not_keep_the_others_back(
    mosquitto: Broker, bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(mosquitto.port)

    def broken(seq: int, wall_ms: int, record: bytes) -> list[tuple[str, dict[str, object]]]:
        if seq == 2:
            raise KeyError("a defect")
        return [("events", {"n": seq})]

    monkeypatch.setattr(one.link, "_render", broken)
    one.journal.append(3)
    one.link.start()
    wait_for(lambda: one.link.status.delivered == 3, lambda: one.link.status)
    assert "record 2" in one.link.status.last_error


def test_every_way_to_misbehave_is_used_by_a_test() -> None:
    source = Path(__file__).read_text()
    assert [way for way in WAYS if f'"{way}"' not in source] == []


def test_replies_use_response_topic_and_correlation(mosquitto: Broker, bench: Callable[..., Bench]) -> None:
    one = bench(mosquitto.port)
    one.link.start()

    def serve() -> None:
        while True:
            try:
                request = one.requests.get(timeout=WAIT_S)
            except queue.Empty:
                return
            one.link.offer_reply(request.token, {"ok": True, "data": request.args})
            if request.verb == "command":
                return

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    with CellClient.mqtt("127.0.0.1", mosquitto.port, BASE, timeout_s=WAIT_S) as client:
        assert client.request("query", what="state")["data"] == {"what": "state"}
        assert client.request("order.submit", order_id="ord-1", product="bonnet")["ok"] is True
        assert client.request("command", command="start")["data"] == {"command": "start"}
    server.join(WAIT_S)
