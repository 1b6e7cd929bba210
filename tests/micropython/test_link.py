"""The link of a microcontroller on real brokers and bad ones, on MicroPython and on CPython."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_controller.cpython.broker import Broker, installed, start_broker
from tests.cpython.bad_broker import BadBroker
from tests.cpython.link_bench import Listener, wait_for
from tests.micropython import tls_broker
from tests.micropython.link_process import BASE, LinkProcess
from tests.runtimes.runtimes import missing
from tests.service.forwarder import Forwarder

RUNTIMES = ["unix", "cpython"]
on_unix = pytest.mark.parametrize("start", ["unix"], indirect=True)
SLICE_US = 250_000  # a slice that waited for the network takes longer, one on a busy machine rarely does


@pytest.fixture(scope="module")
def mosquitto() -> Iterator[Broker]:
    if "mosquitto" not in installed():
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    broker = start_broker("mosquitto")
    yield broker
    broker.stop()


@pytest.fixture(params=RUNTIMES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., LinkProcess]]:
    """Starts links on each runtime: start(broker's port, records=12, until="delivered")."""
    if request.param == "unix" and (reason := missing("unix")):
        pytest.skip(f"runtime unix: {reason}")
    made: list[LinkProcess] = []

    def one(port: int, broker: dict[str, Any] | None = None, **plan: Any) -> LinkProcess:
        settings = {"host": "127.0.0.1", "port": port, **(broker or {})}
        made.append(LinkProcess(tmp_path / f"link{len(made)}", request.param, settings, **plan))
        return made[-1]

    yield one
    for process in made:
        process.close()


def listening(port: int) -> Listener:
    return Listener(port, BASE + "/#")


def said(listener: Listener, name: str) -> list[Any]:
    """What was said on BASE/name since the listener came, oldest first."""
    heard = list(listener.heard)
    return [json.loads(payload) for topic, payload, old in heard if topic == f"{BASE}/{name}" and not old]


def seqs(*listeners: Listener) -> list[int]:
    return [body["seq"] for listener in listeners for body in said(listener, "events")]


def command(number: int, **more: Any) -> bytes:
    expires_ms = time.time_ns() // 1_000_000 + 30_000
    body = {
        "id": f"c{number}",
        "issuer": "test",
        "verb": "command",
        "command": "start",
        "expires_ms": expires_ms,
    }
    return json.dumps({**body, **more}).encode()


def test_everything_arrives_in_order_on_its_topic(
    mosquitto: Broker, start: Callable[..., LinkProcess]
) -> None:
    listener = listening(mosquitto.port)
    result = start(mosquitto.port, records=12, until="delivered").result()
    wait_for(
        lambda: said(listener, "presence")[-1:] != [] and not said(listener, "presence")[-1]["online"],
        lambda: listener.heard,
    )
    assert seqs(listener) == list(range(1, 13))
    assert said(listener, "presence")[0]["protocol"] == "3.1.1"
    assert said(listener, "presence")[-1]["reason"] == "stopped"
    assert said(listener, "state")[0]["state"] == "Execute"
    assert said(listener, "signals/airflow")[0]["value"] == 5
    assert result["errors"] == []
    assert result["longest_us"] < SLICE_US
    listener.close()


def test_a_broker_that_is_killed_and_comes_back_gets_every_record_in_order(
    start: Callable[..., LinkProcess],
) -> None:
    if "mosquitto" not in installed():
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    broker = start_broker("mosquitto")
    before = listening(broker.port)
    link = start(broker.port, records=12, until="delivered", every_ms=60)
    wait_for(lambda: len(seqs(before)) >= 4, lambda: seqs(before))
    os.kill(broker.process.pid, signal.SIGKILL)
    broker.process.wait(5)
    before.close()
    again = start_broker("mosquitto", broker.port)
    after = listening(again.port)
    result = link.result()
    wait_for(lambda: 12 in seqs(after), lambda: seqs(after))
    first, second = seqs(before), seqs(after)
    assert first == list(range(1, len(first) + 1))
    assert second == list(range(second[0], 13))
    assert second[0] <= len(first) + 1, (first, second)
    assert result["reconnects"] >= 1
    after.close()
    again.stop()
    broker.stop()


@on_unix
def test_a_cable_that_is_pulled_and_put_back_loses_nothing(
    mosquitto: Broker, start: Callable[..., LinkProcess]
) -> None:
    cable = Forwarder(mosquitto.port)
    listener = listening(mosquitto.port)
    link = start(cable.port, records=30, until="delivered", every_ms=30)
    wait_for(lambda: len(seqs(listener)) >= 4, lambda: seqs(listener))
    cable.to(0)
    wait_for(lambda: '{"say": "down"}' in link.said, lambda: link.said)
    wait_for(lambda: any(not body["online"] for body in said(listener, "presence")), lambda: listener.heard)
    cable.to(mosquitto.port)
    result = link.result()
    wait_for(lambda: 30 in seqs(listener), lambda: seqs(listener))
    assert sorted(set(seqs(listener))) == list(range(1, 31))
    assert result["reconnects"] >= 1
    assert "connection lost" in [body.get("reason") for body in said(listener, "presence")]
    listener.close()
    cable.close()


def test_a_request_is_answered_and_a_retained_one_is_not_done(
    mosquitto: Broker, start: Callable[..., LinkProcess]
) -> None:
    listener = listening(mosquitto.port)
    listener.publish(f"{BASE}/request/command", command(1), retain=True)
    link = start(mosquitto.port, until="requests", requests=1)
    wait_for(lambda: len(said(listener, "reply/c1")) == 1, lambda: listener.heard)
    listener.publish(f"{BASE}/request/command", command(2))
    result = link.result()
    wait_for(lambda: len(said(listener, "reply/c2")) == 1, lambda: listener.heard)
    assert said(listener, "reply/c1")[0]["name"] == "retained"
    assert said(listener, "reply/c2")[0]["ok"]
    assert result["requests"] == ["command"]
    listener.publish(f"{BASE}/request/command", b"", retain=True)
    listener.close()


def test_a_flood_of_requests_is_answered_to_the_last_and_no_slice_grows(
    mosquitto: Broker, start: Callable[..., LinkProcess]
) -> None:
    listener = listening(mosquitto.port)
    link = start(mosquitto.port, until="requests", requests=30, room=24, records=5, every_ms=20)
    link.wait_until_up()
    wait_for(lambda: said(listener, "events") != [], lambda: listener.heard)
    for number in range(30):
        listener.publish(f"{BASE}/request/command", command(number))
    result = link.result()
    wait_for(
        lambda: sum("/reply/" in topic for topic, _, _ in listener.heard) == 30, lambda: len(listener.heard)
    )
    names = [json.loads(payload)["name"] for topic, payload, _ in listener.heard if "/reply/" in topic]
    assert (names.count("accepted"), names.count("busy")) == (24, 6)
    assert (len(result["requests"]), result["busy"]) == (24, 6)
    assert result["longest_us"] < SLICE_US
    listener.close()


@on_unix
def test_a_request_that_is_too_long_is_refused_and_the_link_goes_on(
    mosquitto: Broker, start: Callable[..., LinkProcess]
) -> None:
    listener = listening(mosquitto.port)
    link = start(mosquitto.port, until="requests", requests=1)
    wait_for(lambda: said(listener, "state") != [], lambda: listener.heard)
    listener.publish(f"{BASE}/request/order", b"x" * 200_000)
    listener.publish(f"{BASE}/request/command", command(1))
    result = link.result()
    wait_for(lambda: said(listener, "reply/c1") != [], lambda: listener.heard)
    refusal = said(listener, "reply/unreadable")[0]
    assert refusal["name"] == "too_long"
    assert "200" in refusal["text"]
    assert result["requests"] == ["command"]
    assert result["errors"] == []
    listener.close()


@on_unix
def test_a_command_is_refused_while_the_clock_is_not_known(
    mosquitto: Broker, start: Callable[..., LinkProcess], tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    listener = listening(mosquitto.port)
    link = start(mosquitto.port, clock=False, until=str(enough))
    wait_for(lambda: said(listener, "state") != [], lambda: listener.heard)
    listener.publish(f"{BASE}/request/command", command(1))
    wait_for(lambda: said(listener, "reply/c1") != [], lambda: listener.heard)
    enough.touch()
    assert link.result()["requests"] == []
    assert not said(listener, "reply/c1")[0]["ok"]
    assert "timestamp_ms" not in said(listener, "presence")[0]
    listener.close()


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("refuses", "not authorised"),
        ("closes", "closed by the broker"),
        ("garbage", ""),
        ("endless_length", "not MQTT"),
        ("drops_mid_message", "closed by the broker"),
        ("garbage_after_connack", ""),
        ("refuses_subscription", "refused the subscription"),
    ],
)
@on_unix
def test_a_broker_that_misbehaves_blocks_nothing_and_is_named(
    start: Callable[..., LinkProcess], way: str, why: str
) -> None:
    broker = BadBroker(way)
    result = start(broker.port, until="error").result()
    assert why in result["errors"][0]
    assert result["errors"] != ["not done in time"]
    assert result["longest_us"] < SLICE_US
    broker.close()


@on_unix
def test_a_broker_that_never_acknowledges_gets_one_window_and_no_more(
    start: Callable[..., LinkProcess], tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    broker = BadBroker("never_acknowledges")
    link = start(broker.port, until=str(enough), records=40, every_ms=5)
    wait_for(lambda: broker.publishes >= 8, lambda: broker.publishes)
    link_steps = broker.publishes
    wait_for(lambda: broker.publishes == link_steps, lambda: broker.publishes)
    enough.touch()
    result = link.result()
    assert broker.publishes == 8
    assert result["delivered"] == 0
    broker.close()


# user, password, TLS


@on_unix
def test_a_wrong_password_is_said_and_the_right_one_lets_in(
    start: Callable[..., LinkProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secured = tls_broker.start(tmp_path / "broker", monkeypatch, tls=False)
    wrong = start(secured.port, {"user": "cell", "password": "wrong"}, until="error").result()
    right = start(secured.port, {"user": "cell", "password": "right"}, records=3, until="delivered").result()
    assert "not authorised" in wrong["errors"][0] or "wrong user or password" in wrong["errors"][0]
    assert (right["delivered"], right["errors"]) == (3, [])
    secured.broker.stop()


@on_unix
def test_tls_lets_in_with_the_right_certificate_and_name_only(
    start: Callable[..., LinkProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secured = tls_broker.start(tmp_path / "broker", monkeypatch, tls=True)
    (tmp_path / "other").mkdir()
    stranger = tls_broker.make_ca(tmp_path / "other")
    good = {"host": "localhost", "tls": True, "user": "cell", "password": "right", "ca": str(secured.ca)}
    right = start(secured.port, good, records=12, until="delivered")
    unknown = start(secured.port, {**good, "ca": str(stranger)}, until="error")
    misnamed = start(secured.port, {**good, "host": "127.0.0.1"}, until="error")
    found = right.result()
    assert (found["delivered"], found["errors"]) == (12, [])
    assert found["longest_us"] < SLICE_US
    for link in (unknown, misnamed):
        errors = link.result()["errors"]
        assert "cert" in errors[0].lower(), errors
    secured.broker.stop()
