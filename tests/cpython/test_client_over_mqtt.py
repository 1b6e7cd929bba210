"""What a tool sees of a cell through the broker."""

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cell_controller.cpython.broker import installed, start_broker
from cell_controller.errors import BrokerError
from host_tools.client import CellClient
from tests.cpython.link_bench import BASE, WAIT_S, Bench, wait_for


@pytest.fixture(params=["mosquitto", "iotcore"])
def bench(request: pytest.FixtureRequest) -> Iterator[Callable[[], tuple[Bench, int]]]:
    if request.param not in installed():
        pytest.skip(f"{request.param} is not installed")
    broker = start_broker(request.param)
    made: list[Bench] = []

    def make() -> tuple[Bench, int]:
        made.append(Bench(broker.port))
        return made[-1], broker.port

    yield make
    for one in made:
        one.link.stop(WAIT_S)
    broker.stop()


def answer(one: Bench, count: int) -> threading.Thread:
    """Answers `count` requests with their arguments, in the background."""

    def serve() -> None:
        for _ in range(count):
            try:
                request = one.requests.get(timeout=WAIT_S)
            except queue.Empty:
                return
            one.link.offer_reply(request.token, {"ok": True, "data": request.args})

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_a_client_that_comes_before_the_cell_waits_for_it(bench: Callable[[], tuple[Bench, int]]) -> None:
    one, port = bench()
    with CellClient.mqtt("127.0.0.1", port, BASE, timeout_s=WAIT_S) as client:
        one.link.start()
        thread = answer(one, 2)
        assert client.request("order.submit", order_id="ord-1", product="bonnet")["ok"] is True
        assert client.request("fault", name="clamp.jam", on=True)["data"] == {"name": "clamp.jam", "on": True}
        thread.join(WAIT_S)


def test_a_cell_that_is_not_there_is_said(bench: Callable[[], tuple[Bench, int]]) -> None:
    one, port = bench()
    with (
        CellClient.mqtt("127.0.0.1", port, BASE, timeout_s=0.3) as client,
        pytest.raises(TimeoutError, match="is not known to the broker; is it running, and is --base right"),
    ):
        client.request("query", what="state")
    one.link.start()
    wait_for(lambda: one.link.status.connected, lambda: one.link.status)
    assert one.link.stop(WAIT_S)
    with (
        CellClient.mqtt("127.0.0.1", port, BASE, timeout_s=0.3) as client,
        pytest.raises(TimeoutError, match="is not connected to the broker"),
    ):
        client.request("query", what="state")


def test_a_cell_that_does_not_answer_is_said(bench: Callable[[], tuple[Bench, int]]) -> None:
    one, port = bench()
    one.link.start()
    wait_for(lambda: one.link.status.connected, lambda: one.link.status)
    with (
        CellClient.mqtt("127.0.0.1", port, BASE, timeout_s=0.5) as client,
        pytest.raises(TimeoutError, match=r"did not answer within 0\.5 s"),
    ):
        client.request("query", what="state")


def test_watching_shows_everything_the_cell_says(bench: Callable[[], tuple[Bench, int]]) -> None:
    one, port = bench()
    seen: dict[str, Any] = {}
    stop = threading.Event()

    def see(topic: str, value: object) -> None:
        seen[topic] = value
        if {"presence", "state", "signals/airflow", "events"} <= set(seen):
            stop.set()

    with CellClient.mqtt("127.0.0.1", port, BASE, timeout_s=WAIT_S) as client:
        thread = threading.Thread(target=client.watch, args=(see, stop), daemon=True)
        thread.start()
        one.offer_all()
        one.link.start()
        wait_for(lambda: "state" in seen, lambda: seen)
        one.journal.append(1)
        assert stop.wait(WAIT_S), f"saw {seen}"
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert seen["state"] == {"state": "Idle"}
    assert seen["signals/airflow"]["value"] == 5.12


def test_no_broker_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(BrokerError, match=f"broker 127.0.0.1:{port}: cannot reach the broker"):
        CellClient.mqtt("127.0.0.1", port, BASE)
