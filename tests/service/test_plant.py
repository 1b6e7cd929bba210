"""The service as a plant sees it through the real mosquitto: orders and replies, who commands, presence, records."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from cell_controller.cpython.broker import Broker
from tests.cpython.link_bench import Listener
from tests.service.process import BASE, Service

StartService = Callable[..., Service]
SPEED = 20.0


@pytest.fixture
def service(start_service: StartService, mosquitto: Broker) -> Service:
    """A service with the plant's broker, Idle."""
    return start_service(speed=SPEED, broker=f"{mosquitto.host}:{mosquitto.port}").run_to("Idle")


def said(listener: Listener, name: str) -> list[Any]:
    return [json.loads(payload) for topic, payload, _ in list(listener.heard) if topic == f"{BASE}/{name}"]


def test_an_order_over_mqtt_is_made_and_its_record_is_published(service: Service, mosquitto: Broker) -> None:
    listener = Listener(mosquitto.port, f"{BASE}/#")
    try:
        service.order("bonnet", count=2, order_id="shop-7", colour="primer").run()
        service.run_until(lambda: len(said(listener, "items")) == 2, "two item records")
        items = said(listener, "items")
    finally:
        listener.close()
    assert [(item["serial"], item["order_id"], item["result"]) for item in items] == [
        (1, "shop-7", "good"),
        (2, "shop-7", "good"),
    ]
    assert [item["late"] for item in items] == [False, False]


def test_a_remote_may_stop_but_moves_nothing_before_control_is_released_to_it(service: Service) -> None:
    assert service.over_mqtt("query", what="state")["ok"]
    assert service.plant is not None
    me = service.plant.issuer
    assert service.over_mqtt("command", command="stop")["ok"]
    service.run_to("Stopped")
    assert service.over_mqtt("command", command="reset")["name"] == "not_in_control"
    assert service.over_mqtt("command", command="take_control")["name"] == "not_in_control"

    assert service.command("release_control", to=me)["ok"]
    assert service.over_mqtt("command", command="reset")["ok"]
    service.run_to("Idle")
    # with a station in control, nobody starts for it
    assert service.over_mqtt(
        "order.submit", order_id="a", product="bonnet", count=1, options={"colour": "primer"}
    )["ok"]
    assert service.command("start")["name"] == "not_in_control"
    assert service.state == "Idle"
    assert service.over_mqtt("command", command="start")["ok"]
    service.run()
    assert service.command("take_control")["ok"], "whoever is at the machine may always take control"


def test_control_stays_with_its_station_after_a_kill(service: Service) -> None:
    assert service.command("release_control", to="office")["ok"]
    service.restart()
    assert service.view["control"] == "office"


def test_commands_that_are_expired_have_no_expiry_or_were_given_before_are_refused(service: Service) -> None:
    now_ms = time.time_ns() // 1_000_000
    assert service.over_mqtt("command", command="stop", expires_ms=now_ms - 5_000)["name"] == "expired"
    far = service.over_mqtt("command", command="stop", expires_ms=now_ms + 600_000)
    assert far["name"] == "expiry_too_far"
    assert service.state == "Idle"


def test_presence_is_right_after_a_kill_and_after_the_return(service: Service, mosquitto: Broker) -> None:
    listener = Listener(mosquitto.port, f"{BASE}/presence")

    def online() -> bool:
        heard = said(listener, "presence")
        return bool(heard) and bool(heard[-1]["online"])

    try:
        service.run_until(online, "online")
        service.kill()
        deadline = time.monotonic() + 10
        while online():
            assert time.monotonic() < deadline, f"still online: {said(listener, 'presence')}"
            listener.ready.wait(0.01)
        service.start()
        service.run_until(online, "online again")
    finally:
        listener.close()
