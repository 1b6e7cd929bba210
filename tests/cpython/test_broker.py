"""The bench broker: it is there when it says so, on the loopback, and gone when it should be."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cell_controller.cpython import broker as brokers
from cell_controller.cpython.broker import KINDS, Broker, installed, start_broker
from cell_controller.errors import BrokerError
from tests.cpython.link_bench import Listener, wait_for

ROOT = Path(__file__).resolve().parents[2]


def started(kind: str) -> Broker:
    if kind not in installed():
        pytest.skip(f"{kind} is not installed")
    return start_broker(kind)


def accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_a_large_message_and_stops_cleanly(kind: str) -> None:
    broker = started(kind)
    try:
        assert str(broker) == f"{kind} on 127.0.0.1:{broker.port}"
        plant = Listener(broker.port)
        plant.publish("plant/line/paint-1/catalogue", b'"%s"' % (b"x" * 100_000))
        wait_for(lambda: bool(plant.heard), lambda: plant.heard)
        plant.close()
    finally:
        broker.stop()
    assert broker.process.poll() is not None
    assert not accepts(broker.port)
    broker.stop()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_it_dies_with_a_parent_that_is_killed(kind: str) -> None:
    if kind not in installed():
        pytest.skip(f"{kind} is not installed")
    source = (
        "import threading; from cell_controller.cpython.broker import start_broker;"
        f" print(start_broker({kind!r}).process.pid, flush=True); threading.Event().wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert lives(pid)
        parent.kill()
    wait_for(lambda: not lives(pid), lambda: f"process {pid} lives")


def test_it_listens_on_the_loopback_only() -> None:
    for kind in installed():
        broker = start_broker(kind)
        try:
            table = Path("/proc/net/tcp").read_text().splitlines()[1:]
            port = f"{broker.port:04X}"
            listening = [row.split()[1] for row in table if row.split()[3] == "0A"]
            assert [place for place in listening if place.endswith(":" + port)] == ["0100007F:" + port], kind
        finally:
            broker.stop()


def test_the_first_of_those_installed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "installed", lambda: ["iotcore"])
    if "iotcore" not in installed():
        pytest.skip("iotcore is not installed")
    broker = start_broker()
    broker.stop()
    assert broker.name == "iotcore"


def test_what_is_not_installed_or_unknown_is_an_error_and_no_fallback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(brokers, "installed", lambda: ["amqtt"])
    with pytest.raises(BrokerError, match="mosquitto is not installed here; installed: amqtt"):
        start_broker("mosquitto")
    with pytest.raises(BrokerError, match="choose one of mosquitto, iotcore, amqtt"):
        start_broker("rabbit")
    monkeypatch.setattr(brokers, "installed", list)
    with pytest.raises(BrokerError, match="apt install mosquitto"):
        start_broker()


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} of 127.0.0.1 is in use"):
            start_broker(port=port)


def test_nothing_is_left_behind() -> None:
    for kind in installed():
        broker = start_broker(kind)
        folder = broker.folder.name if broker.folder else None
        broker.stop()
        assert folder is None or not os.path.exists(folder)
