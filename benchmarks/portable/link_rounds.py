"""Times the link of a microcontroller on a broker: link_rounds.py PORT SPEC; prints numbers, MicroPython only.

Round trips of a QoS 1 publish in one send, then of the same written in two pieces without TCP_NODELAY (us); then the
slices of a link that publishes views, events and an as-built record, and what each would take in one piece.
"""

import gc
import socket
import sys
import time

from cell_controller.core import codec, jsonwrite, render
from cell_controller.core import events as ev
from cell_controller.micropython import mqtt_client as mqtt
from cell_controller.micropython import mqtt_packets as packets
from cell_controller.micropython import plant_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROUNDS = 100
SPLIT_ROUNDS = 30
RUNS = 6  # the best of them counts: what else this machine does is no property of the link
PAYLOAD = b"x" * 200
_time: "Any" = time
_socket: "Any" = socket


def ms() -> int:
    return int(_time.ticks_ms()) & 0x1FFFFFFF


def us_since(begun: int) -> int:
    return int(_time.ticks_diff(_time.ticks_us(), begun))


def median(values: "list[int]") -> int:
    return sorted(values)[len(values) // 2]


def wait(client: "mqtt.MqttClient", event: int) -> None:
    while True:
        found = client.step(ms())
        if found == event:
            return
        assert found != mqtt.LOST, client.lost


def in_one_send(port: int) -> int:
    client = mqtt.MqttClient("rounds", "127.0.0.1", port)
    client.begin(ms())
    wait(client, mqtt.CONNECTED)
    times = []
    for _ in range(ROUNDS):
        begun = _time.ticks_us()
        client.publish(ms(), "bench/one", PAYLOAD, 1, False, 1)
        wait(client, mqtt.ACKED)
        times.append(us_since(begun))
    client.leave()
    return median(times)


def in_two_pieces(port: int) -> int:
    plug = _socket.socket()
    plug.connect(_socket.getaddrinfo("127.0.0.1", port)[0][-1])
    plug.write(packets.connect("pieces", 15, None, None, None))
    plug.read(4)
    times = []
    for number in range(1, SPLIT_ROUNDS + 1):
        begun = _time.ticks_us()
        plug.write(packets.publish_head("bench/two", 1, False, number, len(PAYLOAD)))
        plug.write(PAYLOAD)
        plug.read(4)
        times.append(us_since(begun))
    plug.close()
    return median(times)


class Journal:
    """Events, and an as-built record of 12 steps in the middle of them."""

    epoch = "0123456789abcdef"

    def __init__(self) -> None:
        self.rows = [ev.record(n, n, ev.STATE, 0, 6, 4) for n in range(1, 60)]
        self.rows[30] = ev.record(31, 31, ev.ITEM_END, ev.GOOD, 7, 1, codec.pack(as_built()))

    @property
    def durable_seq(self) -> int:
        return len(self.rows)

    def replay(self, from_seq: int) -> "Any":
        for at in range(from_seq - 1, len(self.rows)):
            yield at + 1, 1795302155000 + at, self.rows[at]

    def delivered(self, name: str) -> int:
        return 0

    def set_delivered(self, name: str, seq: int) -> None:
        pass


class Clock:
    def wall_ms(self) -> int:
        return 1795302155000


def as_built() -> "dict[str, Any]":
    step: "dict[str, Any]" = {"name": "spray base coat", "phase": "spray", "operation": "paint"}
    step.update({"start_ms": 1000, "end_ms": 9000, "energy": 17, "begun": 1, "done": 1, "said_done": 1})
    step["set"] = [["coats", 2], ["flow", 350], ["colour", "burgundy"]]
    step["actual"] = [["airflow", 512, 100], ["pressure", 2100, 1000], ["temperature", 225, 10]]
    record: "dict[str, Any]" = {"serial": 7, "order_id": "ord-7", "product": "bonnet", "version": 3}
    record.update({"hash": "e3d605f1" * 8, "carrier": 4, "duration_ms": 401250, "held_ms": 0, "stood_ms": 0})
    record.update(
        {"energy": 173, "interruptions": 0, "answers": [], "commanded_by": "desk", "result": "good"}
    )
    record["options"] = [["colour", "burgundy"], ["finish", "satin"]]
    record["params"] = [["coats", 2], ["flow", 350]]
    record["steps"] = [step] * 12
    return record


def view(number: int) -> "dict[str, Any]":
    """As large as the state view of the example cell."""
    rows: "dict[str, Any]" = {"state": "Execute", "n": number, "timestamp_ms": 1795302155000}
    rows["outputs"] = [{"name": "output_%d" % n, "value": n & 1, "forced": False} for n in range(30)]
    rows["item"] = {"serial": number, "steps": [{"name": "step %d" % n, "left_s": n} for n in range(10)]}
    return rows


def slices(port: int, spec: "Any") -> "list[int]":
    """What 99 of 100 busy slices stay within, the state view in one piece, the as-built record in one piece; us."""
    settings: "dict[str, Any]" = {"broker": {"host": "127.0.0.1", "port": port}, "time": {"host": ""}}
    journal = Journal()
    made = plant_link.make_link(spec, settings, journal, lambda request: True, Clock())
    assert made is not None
    link = made
    slices_us: "list[int]" = []
    shown = 0
    count = 0
    shown_at = ms()
    while link.session.delivered < 59 or count < 2000:
        if (ms() - shown_at) & 0x1FFFFFFF > 200:
            shown_at = ms()
            shown += 1
            link.offer_state(view(shown))
            link.offer_signals([("signal_%d" % n, shown, 0, "", 1) for n in range(30)])
            gc.collect()  # as the runtime does between its slices
        begun = _time.ticks_us()
        busy = link.step(ms(), None, True)
        took = us_since(begun)
        if busy:
            slices_us.append(took)
        count += 1
    link.leave(ms(), 0)
    views = []
    records = []
    for _ in range(9):
        gc.collect()
        begun = _time.ticks_us()
        jsonwrite.encode(view(1))
        jsonwrite.encode(view(2))  # the core's session writes it twice: to compare, and to send
        views.append(us_since(begun))
        gc.collect()
        begun = _time.ticks_us()
        for _, body in render.render(spec, journal.rows[30], 1795302155000):
            jsonwrite.encode(body)
        records.append(us_since(begun))
    return [sorted(slices_us)[len(slices_us) * 99 // 100], min(views), min(records)]


with open(sys.argv[2], "rb") as file:
    table = codec.unpack(file.read())
port = int(sys.argv[1])
runs = [slices(port, table) for _ in range(RUNS)]
best = [min([run[at] for run in runs]) for at in range(3)]
print(min([in_one_send(port) for _ in range(RUNS)]), in_two_pieces(port), best[0], best[1], best[2])
