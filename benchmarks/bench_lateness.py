"""How late the scans of the real service begin, with all its telemetry and a busy disk, beside a bare sleep loop.

A 10 ms scan in real time: the service as a process of its own, mosquitto, a subscriber, orders being made so that
signals and records flow, and a process that writes and syncs on the same file system.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench_latency import BASE
from benchmarks.service_process import Customer, cell_directory
from benchmarks.timing import row
from cell_controller.cpython.broker import start_broker

PERIOD_MS = 10
LOADED_S = 20.0
BARE_S = 8.0
SETTLED = 200  # scans after the start that do not count
BAR_PERCENT = 20
ROOT = Path(__file__).resolve().parents[1]
_BARE = """
import sys, time
period, late = 0.010, []
due = time.monotonic()
until = due + float(sys.argv[1])
while due < until:
    due += period
    time.sleep(max(0.0, due - time.monotonic()))
    late.append(int((time.monotonic() - due) * 1e6))
print(*late)
"""
_DISK = """
import os, sys
block = os.urandom(1 << 20)
with open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        file.seek(0)
        for _ in range(4):
            file.write(block)
        os.fsync(file.fileno())
"""


def bare_us() -> list[int]:
    """Lateness of a sleep loop of the same period, microseconds."""
    command = [sys.executable, "-c", _BARE, str(BARE_S)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(int(value) for value in said.split())


@contextmanager
def disk_load(folder: Path) -> Iterator[None]:
    """A process that writes 4 MB and syncs, again and again."""
    process = subprocess.Popen([sys.executable, "-c", _DISK, str(folder / "load")])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def service_us(folder: Path) -> list[int]:
    """Lateness of the scans of the service under load, microseconds."""
    broker = start_broker("mosquitto")
    try:
        customer = Customer(broker, BASE)
        customer.watch_signals()
        file = folder / "late"
        address = f"{broker.host}:{broker.port}"
        command = [
            sys.executable,
            "-m",
            "benchmarks.timed_service",
            str(cell_directory(folder)),
            address,
            str(file),
        ]
        environment = os.environ | {"XDG_RUNTIME_DIR": str(folder)}
        with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
            customer.entered("Idle")
            with disk_load(folder):
                _make_things(customer)
            process.send_signal(signal.SIGTERM)
        customer.close()
        return sorted(int(value) for value in file.read_text().split()[SETTLED:])
    finally:
        broker.stop()


def _make_things(customer: Customer) -> None:
    """Order for a while: small things that make many records, then one that moves every signal."""
    until = time.monotonic() + LOADED_S
    number = 0
    while time.monotonic() < until - LOADED_S / 2:
        number += 1
        customer.forget()
        customer.reply(customer.send("order.submit", order_id=f"late-{number}", product="quick")[0])
        customer.entered("Idle")
    customer.forget()
    options = {"colour": "burgundy"}
    customer.reply(customer.send("order.submit", order_id="late", product="bonnet", options=options)[0])
    while time.monotonic() < until:
        customer.forget()
        customer.wait_for("signal", lambda topic, _body: topic.startswith("signals/"))


def share(values: list[int], parts: int) -> float:
    """The lateness in percent of the period that all but one in `parts` stay below; the values are sorted."""
    return values[min(len(values) - len(values) // parts, len(values) - 1)] / PERIOD_MS / 10


def rows(what: str, values: list[int], bar: str | None, peer: str = "") -> list[dict[str, object]]:
    """p99, p99.9 and the largest, in percent of the period."""
    unit = "% of the period"
    return [
        row(f"scan lateness, {what}, p99", share(values, 100), unit, bar, peer),
        row(f"scan lateness, {what}, p99.9", share(values, 1000), unit),
        row(f"scan lateness, {what}, maximum", values[-1] / PERIOD_MS / 10, unit),
    ]


def run(directory: str = ".") -> list[dict[str, object]]:
    """Measure with journal and disk load on the file system of `directory`."""
    with tempfile.TemporaryDirectory(prefix=".bench_lateness_", dir=directory) as name:
        folder = Path(name).resolve()
        bare = bare_us()
        with disk_load(folder):
            busy = bare_us()
        loaded = service_us(folder)
    peer = f"bare sleep loop: {share(bare, 100):.1f} % unloaded, {share(busy, 100):.1f} % with the disk busy"
    return [
        *rows("telemetry and disk load", loaded, f"<= {BAR_PERCENT}", peer),
        *rows("bare loop, unloaded", bare, None),
        *rows("bare loop, disk busy", busy, None),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
