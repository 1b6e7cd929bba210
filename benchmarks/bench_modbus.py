"""Modbus beside pymodbus by hand: registers a second, requests a turn, one dead device of five, how soon a loss shows.

The devices are simulated, in a process of their own, on one TCP connection as behind a gateway.
"""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from benchmarks.timing import paired, row
from board.contract import DevicePlan
from board.modbus_line import ModbusLine
from board.modbus_plan import Block, coalesce
from board.modbus_points import place_of
from board.modbus_unit import ModbusUnit
from board.transport import TcpTransport
from tests.board.modbus_desk import Desk
from tests.board.modbus_plans import plan_of

ROOT = Path(__file__).resolve().parents[1]
UNITS = range(1, 6)
DEAD = 5
POINTS = (
    "link",
    *(f"d{side}{k}" for side in "io" for k in range(8)),
    *(f"ai{k}" for k in range(4)),
    "ao0",
    "ao1",
)
ANSWER_MS = 100
SECONDS = 0.5
LONG_S = 5.0
CUTS = 5


class Devices:
    """The process with the devices."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.modbus_process", str(len(UNITS))]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self._line()
        self.port = int(self.address.rpartition(":")[2])

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, command: str) -> None:
        """Have something done."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        self._line()

    def plan(self, unit: int, **table: Any) -> DevicePlan:
        """A plan with every point of a device."""
        return plan_of(
            f"io{unit}",
            POINTS,
            model="demo_io",
            address=self.address,
            unit=unit,
            answer_ms=ANSWER_MS,
            **table,
        )


@contextmanager
def devices() -> Iterator[Devices]:
    """The devices, while they are needed."""
    made = Devices()
    try:
        yield made
    finally:
        assert made.process.stdin is not None
        made.process.stdin.close()
        made.process.wait(5)


class Counted(TcpTransport):
    """A connection that counts what is sent on it."""

    sent = 0

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.sent += 1
        super().write(data)


class Ours:
    """The driver's line with its devices, in this thread, as fast as it goes."""

    def __init__(self, there: Devices) -> None:
        self.transport = Counted("127.0.0.1", there.port)
        self.line = ModbusLine(self.transport, None)
        self.turns: dict[int, list[float]] = {unit: [] for unit in UNITS}
        for unit in UNITS:
            self.line.add(self._noted(ModbusUnit(there.plan(unit, poll_ms=0), self.line), unit))

    def _noted(self, unit: ModbusUnit, number: int) -> ModbusUnit:
        turn = unit.turn

        def noted(client: Any) -> None:
            turn(client)
            self.turns[number].append(time.perf_counter())

        unit.turn = noted  # type: ignore[method-assign]
        return unit

    def run(self, seconds: float, settle_s: float = 0.0) -> int:
        """Let it work on a connection of its own; how many turns were answered after `settle_s`."""
        self.transport.open()
        self.line.line_opened()
        self._work(settle_s)
        for turns in self.turns.values():
            turns.clear()
        self.transport.sent = 0
        self._work(seconds)
        self.transport.close()
        return sum(len(turns) for turns in self.turns.values())

    def _work(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.line.turn()

    def longest_ms(self, unit: int) -> float:
        """The longest time between two answered turns of a device in the last run."""
        return 1000 * max(after - before for before, after in itertools.pairwise(self.turns[unit]))


class ByHand:
    """What one writes with pymodbus: every block of every device, one after the other, again and again."""

    def __init__(self, there: Devices, blocks: list[Block]) -> None:
        self.port = there.port
        self.blocks = blocks

    def run(self, seconds: float) -> int:
        """How many devices were read whole, on a connection of its own."""
        turns = 0
        end = time.perf_counter() + seconds
        with ModbusTcpClient("127.0.0.1", port=self.port, timeout=ANSWER_MS / 1000, retries=0) as client:
            read: dict[str, Callable[..., object]] = {
                "coil": client.read_coils,
                "discrete": client.read_discrete_inputs,
                "holding": client.read_holding_registers,
                "input": client.read_input_registers,
            }
            while True:
                for unit in UNITS:
                    try:
                        for block in self.blocks:
                            read[block.table](block.address, count=block.count, device_id=unit)
                    except ModbusException:
                        continue
                    turns += 1
                    if time.perf_counter() >= end:
                        return turns


def throughput(there: Devices, points: list[Block], blocks: list[Block]) -> list[dict[str, object]]:
    """Registers a second, all devices answering."""
    ours = Ours(there)
    turns = ours.run(SECONDS)
    rows = [
        row(
            "Modbus, registers", turns * len(points) / SECONDS, "1/s", peer="five devices, outputs read back"
        ),
        row(
            "Modbus, requests a turn",
            ours.transport.sent / turns,
            "requests",
            "<= 4.5",
            f"{len(points)} points",
        ),
    ]
    for name, asked, bar in (("a request a point", points, ">= 2"), ("the same requests", blocks, ">= 0.5")):
        peer = ByHand(there, asked)
        found = paired(lambda: ours.run(SECONDS), partial(peer.run, SECONDS), rounds=5)
        against = f"{found.second * len(points) / SECONDS:.0f} registers/s by hand"
        rows.append(
            row(
                f"Modbus, registers, driver / pymodbus by hand, {name}",
                found.ratio,
                "x",
                bar,
                against,
                found.spread,
            )
        )
    return rows


def one_dead(there: Devices, blocks: list[Block]) -> list[dict[str, object]]:
    """What a dead device takes from the other four."""
    ours, same = Ours(there), ByHand(there, blocks)
    before = ours.run(LONG_S) / LONG_S
    alive_ms = max(ours.longest_ms(unit) for unit in UNITS)
    there.tell(f"dead {DEAD}")
    after = ours.run(LONG_S, settle_s=1.0) / LONG_S  # it takes three tries to know
    dead_ms = max(ours.longest_ms(unit) for unit in UNITS if unit != DEAD)
    hand = same.run(LONG_S) / LONG_S
    there.tell(f"alive {DEAD}")
    dead = "Modbus, one of five dead"
    return [
        row(f"{dead}: readings of the others / of all five alive", after / before, "x", ">= 0.85"),
        row(
            f"{dead}: the others' readings, driver / pymodbus by hand",
            after / hand,
            "x",
            ">= 5",
            "the same requests",
        ),
        row(
            f"{dead}: longest time between two readings",
            dead_ms,
            "ms",
            f"<= {ANSWER_MS + 50}",
            f"{alive_ms:.0f} ms with all alive",
        ),
    ]


def cuts(there: Devices) -> list[dict[str, object]]:
    """How soon a loss shows in the image, and how soon it is over."""
    rows = []
    alone = Desk([there.plan(DEAD)])
    rows += _cut(
        "device silent", alone, lambda: there.tell(f"dead {DEAD}"), lambda: there.tell(f"alive {DEAD}")
    )
    rows += _cut("cable out", alone, lambda: there.tell("unplug"), lambda: there.tell("plug"))
    alone.close()
    five = Desk([there.plan(unit) for unit in UNITS])
    rows += _cut(
        "one of five silent", five, lambda: there.tell(f"dead {DEAD}"), lambda: there.tell(f"alive {DEAD}")
    )
    five.close()
    return rows


def _cut(
    name: str, desk: Desk, away: Callable[[], None], back: Callable[[], None]
) -> list[dict[str, object]]:
    bad, good = [], []
    probe = f"io{DEAD}:di0"
    for _ in range(CUTS):
        desk.until("good", lambda: desk.good(probe), 10)
        away()
        bad.append(desk.until("bad", lambda: desk.bad(probe), 10))
        desk.during(0.7, lambda: True)
        back()
        good.append(desk.until("good", lambda: desk.good(probe), 10))
    return [
        row(
            f"Modbus, {name}: until bad",
            1000 * median(bad),
            "ms",
            "<= 1100",
            "bad_ms = 1000",
            1000 * (max(bad) - min(bad)) / 2,
        ),
        row(
            f"Modbus, {name}: from its return until good",
            1000 * median(good),
            "ms",
            "<= 2500",
            "longest " + f"{1000 * max(good):.0f} ms",
            1000 * (max(good) - min(good)) / 2,
        ),
    ]


def run() -> list[dict[str, object]]:
    """All rows."""
    with devices() as there:
        settings = there.plan(1).settings
        points = [place_of(point).block for point in settings["points"].values()]
        blocks = coalesce(points, settings["max_bits"], settings["max_registers"], settings["gap"])
        return [*throughput(there, points, blocks), *one_dead(there, blocks), *cuts(there)]


if __name__ == "__main__":
    for line in run():
        print(line)
