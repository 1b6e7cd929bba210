"""The real service process with the real broker, and a customer's MQTT client that notes when it saw what."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cell_controller.core.packml import STATES
from cell_controller.cpython.broker import Broker

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "paint_cell"
WAIT_S = 30.0
STATE_NUMBERS = {name: number for number, name in enumerate(STATES)}

# A product that is made as soon as it is begun, so that the cell is Idle again in a moment.
QUICK_PHASE = '''

@phase
def look(cell):
    """Nothing is done to the part."""
    yield wait(10)
'''
QUICK_RECIPE = """[recipe]
product = "quick"
version = 1
text = "a look at the part"

[[step]]
phase = "look"
on_interrupt = "repeat"
"""
_properties: Any = Properties  # paho gives it no types
Message = tuple[float, str, dict[str, Any]]


def cell_directory(folder: Path) -> Path:
    """A copy of the example cell that also makes the product `quick`."""
    cell = folder / "cell"
    shutil.copytree(EXAMPLE, cell, ignore=shutil.ignore_patterns(".run", "__pycache__", "test_*"))
    with (cell / "equipment.py").open("a") as file:
        file.write(QUICK_PHASE)
    (cell / "recipes" / "quick.toml").write_text(QUICK_RECIPE)
    signals = (cell / "cell.toml").read_text()
    # quick parts stay where they are: without a carrier's number the cell does not wait for another one
    (cell / "cell.toml").write_text(signals.replace('identity = "carrier"\n', ""))
    return cell


class Service:
    """`cell-controller DIR` with a journal of its own. `started`: perf_counter when the process was asked for."""

    def __init__(self, cell: Path, folder: Path, broker: Broker, journal: str) -> None:
        command = [sys.executable, "-m", "cell_controller.cpython.service", str(cell), "--board", "sim"]
        command += ["--broker", f"{broker.host}:{broker.port}", "--journal", str(folder / journal)]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            cwd=EXAMPLE.parents[1],
            env=os.environ | {"XDG_RUNTIME_DIR": str(folder)},
            stdout=subprocess.DEVNULL,
        )

    def __enter__(self) -> "Service":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(WAIT_S)


class Customer:
    """Orders over MQTT 5 and watches; every message that came is kept with the time of its arrival."""

    def __init__(self, broker: Broker, base: str) -> None:
        self.base = base
        self._requests = 0
        self._came = threading.Condition()
        self._messages: deque[Message] = deque(maxlen=20_000)
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="customer", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_message = self._on_message
        self._client.max_inflight_messages_set(100)
        self._client.connect(broker.host, broker.port)
        plug: Any = self._client.socket()
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a delayed ACK of 40 ms is measured
        self._client.loop_start()
        for topic in ("customer/replies", f"{base}/state", f"{base}/events", f"{base}/presence"):
            self._client.subscribe(topic, 1)

    def watch_signals(self) -> None:
        """Every signal as well, as a dashboard would."""
        self._client.subscribe(f"{self.base}/signals/+", 0)

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        now = time.perf_counter()
        body = json.loads(message.payload) if message.payload else {}
        with self._came:
            self._messages.append((now, message.topic.removeprefix(f"{self.base}/"), body))
            self._came.notify_all()

    def forget(self) -> None:
        """Drop what has come so far."""
        with self._came:
            self._messages.clear()

    def wait_for(
        self, what: str, fits: Callable[[str, dict[str, Any]], bool]
    ) -> tuple[float, dict[str, Any]]:
        """(arrival, body) of the first message kept that fits. Raises TimeoutError, saying what was seen last."""
        seen = 0
        by = time.monotonic() + WAIT_S
        with self._came:
            while True:
                kept = list(self._messages)
                for at, topic, body in kept[seen:]:
                    if fits(topic, body):
                        return at, body
                seen = len(kept)
                if not self._came.wait(by - time.monotonic()):
                    raise TimeoutError(f"no {what} within {WAIT_S:g} s; the last messages: {kept[-3:]}")

    def entered(self, state: str) -> float:
        """When the event came that says that the cell entered a PackML state."""
        number = STATE_NUMBERS[state]
        return self.wait_for(
            f"event of {state}",
            lambda topic, body: topic == "events" and body["kind"] == "state" and body["source"] == number,
        )[0]

    def send(self, verb: str, **fields: Any) -> tuple[str, float]:
        """(request id, when it was sent) of a request about an order."""
        self._requests += 1
        request = {"id": f"bench-{self._requests}", "issuer": "bench", "verb": verb, **fields}
        properties = _properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = "customer/replies"
        payload = json.dumps(request)
        sent = time.perf_counter()
        self._client.publish(f"{self.base}/request/order", payload, qos=1, properties=properties)
        return str(request["id"]), sent

    def reply(self, request_id: str) -> tuple[float, dict[str, Any]]:
        """(arrival, body) of the reply to a request. Raises RuntimeError if it was refused."""
        at, body = self.wait_for(
            f"reply to {request_id}",
            lambda topic, body: topic == "customer/replies" and body["id"] == request_id,
        )
        if not body["ok"]:
            raise RuntimeError(f"{request_id} was refused: {body['text']}")
        return at, body
