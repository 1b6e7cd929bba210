"""Wi-Fi with a network module that does what real ones do: lose, refuse, be away, come back."""

from typing import Any

import pytest

from cell_controller.micropython import wifi
from cell_controller.micropython.wifi import Wifi

GOT_IP = 3


class FakeNetwork:
    """A module `network` with one station; `there` and `right` are what the place is like."""

    STA_IF = 0
    STAT_WRONG_PASSWORD = -3
    STAT_NO_AP_FOUND = -2
    STAT_CONNECT_FAIL = -1

    def __init__(self, there: bool = True, right: str = "secret") -> None:
        self.there = there
        self.right = right
        self.joins = 0
        self.switched: list[bool] = []
        self.broken = False
        self.silent = False
        self._given: tuple[str, ...] = ()

    def WLAN(self, kind: int) -> "FakeNetwork":
        assert kind == self.STA_IF
        return self

    def active(self, on: bool) -> None:
        self.switched.append(on)
        self._given = ()

    def connect(self, *words: str) -> None:
        self.joins += 1
        self._given = words

    def disconnect(self) -> None:
        if not self._given:
            raise OSError("not connected")

    def isconnected(self) -> bool:
        if self.broken:
            raise OSError("the chip does not answer")
        return bool(self._given) and self.there and not self.silent and self._given[1:] in ((self.right,), ())

    def status(self) -> int:
        if self.silent:
            return 1
        if not self.there:
            return self.STAT_NO_AP_FOUND
        return GOT_IP if self.isconnected() else self.STAT_WRONG_PASSWORD

    def ifconfig(self) -> tuple[str, ...]:
        return ("192.168.4.16", "255.255.255.0", "192.168.4.1", "192.168.4.1")


def run(station: Wifi, begin_ms: int, end_ms: int) -> int:
    """Step every 50 ms; the first time at which it was up, or -1."""
    for now_ms in range(begin_ms, end_ms, 50):
        if station.step(now_ms):
            return now_ms
    return -1


def test_it_joins_and_says_its_address() -> None:
    network = FakeNetwork()
    station = Wifi(network, "plant", "secret")
    assert 0 <= run(station, 0, 1000) <= 250
    assert station.status == "Wi-Fi plant: 192.168.4.16"
    assert (network.joins, network.switched) == (1, [True])


def test_an_open_network_is_joined_without_a_password() -> None:
    network = FakeNetwork()
    assert run(Wifi(network, "plant", None), 0, 1000) >= 0


def test_a_loss_is_noticed_and_the_network_joined_again_when_it_is_back() -> None:
    network = FakeNetwork()
    station = Wifi(network, "plant", "secret")
    run(station, 0, 1000)
    network.there = False
    assert not station.step(2000)
    assert (station.status, station.losses) == ("Wi-Fi plant: lost", 1)
    assert run(station, 2000, 30_000) == -1
    assert "no such network" in station.status
    network.there = True
    assert run(station, 30_000, 90_000) >= 0
    assert network.switched[-2:] == [False, True]


@pytest.mark.parametrize(
    ("there", "right", "why"), [(True, "other", "password"), (False, "secret", "no such network")]
)
def test_what_is_wrong_is_said_and_tried_again_with_growing_pauses(there: bool, right: str, why: str) -> None:
    network = FakeNetwork(there, right)
    station = Wifi(network, "plant", "secret")
    assert run(station, 0, 300_000) == -1
    assert why in station.status
    pauses = 1 + 2 + 4 + 8 + 16 + 32  # s; from then on one a minute
    assert network.joins == 6 + (300 - pauses) // 60 + 1
    network.there, network.right = True, "secret"
    assert run(station, 300_000, 361_000) >= 0


def test_an_access_point_that_never_answers_is_given_up_after_a_time() -> None:
    network = FakeNetwork()
    network.silent = True
    station = Wifi(network, "plant", "secret")
    run(station, 0, wifi.JOIN_MS)
    assert station.status == "Wi-Fi plant: joining"
    run(station, wifi.JOIN_MS, wifi.JOIN_MS + 400)
    assert "no answer within 15 s" in station.status


def test_a_chip_that_does_not_answer_is_an_error_that_is_said_not_raised() -> None:
    network = FakeNetwork()
    network.broken = True
    station = Wifi(network, "plant", "secret")
    assert run(station, 0, 500) == -1
    assert "does not answer" in station.status
    network.broken = False
    assert run(station, 500, 3000) >= 0


def test_it_is_looked_at_five_times_a_second_and_across_the_wrap_of_the_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = FakeNetwork()
    station = Wifi(network, "plant", "secret")
    looks: list[int] = []
    monkeypatch.setattr(station, "_look", looks.append)
    for now_ms in range(0, 1000, 10):
        station.step(((1 << 29) - 500 + now_ms) % (1 << 29))
    assert len(looks) == 5


def test_without_wifi_the_link_goes_down_and_comes_back_with_it() -> None:
    from cell_controller.micropython import mqtt_client as mqtt
    from cell_controller.micropython.link import Link
    from cell_controller.micropython.small_session import SmallSession
    from tests.cpython.link_bench import ListJournal
    from tests.micropython.peer import Peer

    network = FakeNetwork(there=False)
    peer = Peer()
    client = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port)
    clock: Any = None
    link = Link(
        SmallSession("a/b", ListJournal.epoch),
        ListJournal(),
        {},
        client,
        lambda request: True,
        clock,
        Wifi(network, "plant", "secret"),
    )
    for now_ms in range(0, 1000, 50):
        link.step(now_ms, 0)
    assert client.state == mqtt.DOWN
    assert "no such network" in link.status.last_error
    network.there = True
    now_ms = 1000
    while client.state != mqtt.GREETING:
        link.step(now_ms, 0)
        now_ms += 50
        assert now_ms < 10_000, link.status.last_error
    network.there = False
    link.step(now_ms + 500, 0)
    assert client.state == mqtt.DOWN
    assert "lost" in link.status.network
    peer.close()
