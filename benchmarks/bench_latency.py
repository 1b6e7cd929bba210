"""How long a customer waits: the service's start, the acknowledgement of an order, the start of its making.

The service is a process of its own, in real time, with mosquitto and a journal on the project's disk.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.bench_journal import RawStore
from benchmarks.service_process import Customer, Service, cell_directory
from benchmarks.timing import half_quartiles, row
from cell_controller.cpython.broker import Broker, start_broker

BASE = "coachworks/leeds/body/paint/paint-1"
STARTS = 7
ORDERS = 200  # one after the other
MADE = 40  # started from Idle
ROUNDS = 5
PILE = 150  # orders of a round, below what the book holds open
IN_FLIGHT = 48  # below what a controller lets wait


def p99(values: list[float]) -> float:
    """The value that one in a hundred exceeds; the largest of fewer than a hundred."""
    return sorted(values)[min(len(values) * 99 // 100, len(values) - 1)]


def start_s(cell: Path, folder: Path, broker: Broker, number: int) -> float:
    """Seconds from starting a process to its first retained state; the journal is new."""
    customer = Customer(broker, BASE)
    if number:
        customer.wait_for("state that the process before has left", lambda topic, _body: topic == "state")
        customer.forget()
    with Service(cell, folder, broker, f"start_{number}") as service:
        came, _ = customer.wait_for("state", lambda topic, _body: topic == "state")
    customer.close()
    return came - service.started


def acknowledged(customer: Customer, count: int) -> list[float]:
    """Seconds from submitting an order to its acknowledgement, each; the orders may not be started."""
    times = []
    for number in range(count):
        request, sent = customer.send(
            "order.submit", order_id=f"one-{number}", product="quick", allowed=False
        )
        times.append(customer.reply(request)[0] - sent)
        request, _ = customer.send("order.cancel", order_id=f"one-{number}")
        customer.reply(request)
        customer.forget()
    return times


def started(customer: Customer, count: int) -> list[float]:
    """Seconds from the acknowledgement of an order to the event that the cell is Starting; it was Idle each time."""
    times = []
    for number in range(count):
        customer.forget()
        request, _ = customer.send("order.submit", order_id=f"made-{number}", product="quick")
        answered = customer.reply(request)[0]
        times.append(max(0.0, customer.entered("Starting") - answered))
        customer.entered("Idle")
    return times


def accepted_per_s(customer: Customer, number: int) -> float:
    """Orders acknowledged per second with many in flight."""
    orders = [f"pile-{number}-{n}" for n in range(PILE)]
    start = time.perf_counter()
    last = _all(
        customer,
        [("order.submit", {"order_id": name, "product": "quick", "allowed": False}) for name in orders],
    )
    _all(customer, [("order.cancel", {"order_id": name}) for name in orders])
    return PILE / (last - start)


def _all(customer: Customer, requests: list[tuple[str, dict[str, object]]]) -> float:
    """Send all, at most IN_FLIGHT unanswered; when the last answer came."""
    customer.forget()
    waiting: list[str] = []
    last = 0.0
    for verb, fields in requests:
        if len(waiting) >= IN_FLIGHT:
            last = customer.reply(waiting.pop(0))[0]
        waiting.append(customer.send(verb, **fields)[0])
    for request in waiting:
        last = customer.reply(request)[0]
    return last


def measure(folder: Path, broker: Broker) -> list[dict[str, object]]:
    """Everything, with one broker."""
    cell = cell_directory(folder)
    starts = [start_s(cell, folder, broker, number) for number in range(STARTS)]
    raw = RawStore(folder / "raw.sqlite")
    customer = Customer(broker, BASE)
    with Service(cell, folder, broker, "journal"):
        customer.entered("Idle")
        acks = acknowledged(customer, ORDERS)
        making = started(customer, MADE)
        rates, commits = [], []
        for number in range(ROUNDS):
            rates.append(accepted_per_s(customer, number))
            commits.append(raw.rate())
    customer.close()
    raw.connection.close()
    ratios = [rate / commit for rate, commit in zip(rates, commits, strict=True)]
    peer = f"raw SQLite, one commit an order, {median(commits):.0f} commits/s"
    ms = [value * 1000 for value in acks]
    making_ms = [value * 1000 for value in making]
    return [
        row("accepted orders per second", median(ratios), "x raw", ">= 0.5", peer, half_quartiles(ratios)),
        row("accepted orders per second, absolute", median(rates), "orders/s", spread=half_quartiles(rates)),
        row("service start to first state", median(starts), "s", "<= 1", "", half_quartiles(starts)),
        row("order to acknowledgement, median", median(ms), "ms", spread=half_quartiles(ms)),
        row("order to acknowledgement, p99", p99(ms), "ms"),
        row("acknowledgement to Starting, median", median(making_ms), "ms", spread=half_quartiles(making_ms)),
        row("acknowledgement to Starting, p99", p99(making_ms), "ms"),
    ]


def run(directory: str = ".") -> list[dict[str, object]]:
    """Measure with the journal on the file system of `directory`."""
    with tempfile.TemporaryDirectory(prefix=".bench_latency_", dir=directory) as name:
        broker = start_broker("mosquitto")
        try:
            return measure(Path(name).resolve(), broker)
        finally:
            broker.stop()


if __name__ == "__main__":
    for line in run():
        print(line)
