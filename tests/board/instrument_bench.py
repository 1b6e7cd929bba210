"""Instruments in virtual time for tests: plans as a wiring file gives them, and a line whose bytes come when due."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from board.contract import DevicePlan, Point
from board.instrument import Instrument
from cell_controller.core.signals import QUALITY_NAMES
from cell_controller.errors import LinkLostError
from host_tools.devices.common import DeviceShape
from host_tools.devices.instrument import shape
from host_tools.toml_file import Problems

Answers = Sequence[tuple[int, bytes]]
"""What a device says: after how many ms, what."""


def shape_of(name: str, directory: Path = Path("none"), **table: Any) -> DeviceShape:
    """The shape of [devices.NAME]; fails with every problem it has."""
    problems = Problems()
    table = {"kind": "instrument", "address": "/dev/ttyUSB0", **table}
    found = shape(name, table, f"[devices.{name}]", directory, problems)
    assert found is not None, problems.errors
    return found


def described(tmp_path: Path, text: str) -> DeviceShape:
    """The shape of a device with this description."""
    folder = tmp_path / "devices"
    folder.mkdir(exist_ok=True)
    (folder / "own.toml").write_text(text, "utf-8")
    return shape_of("own", tmp_path, model="own")


def plan_of(found: DeviceShape, name: str, points: Sequence[str] = (), **aborts: int) -> DevicePlan:
    """A plan with the points of these names (all if none is named), each a signal of that name. Safe is 0."""
    made = [
        Point(
            at, k, k, of.kind, of.is_output, at, low=of.counts[0], high=of.counts[1], abort=aborts.get(at, 0)
        )
        for k, at in enumerate(points or found.points)
        for of in [found.points[at]]
    ]
    return DevicePlan(name, "instrument", found.settings, tuple(made), found.on_death)


def with_keys(plan: DevicePlan, at: str, **settings: Any) -> DevicePlan:
    """The plan with keys in the wiring table of one signal."""
    points = tuple(replace(p, settings=settings) if p.at == at else p for p in plan.points)
    return replace(plan, points=points)


class VirtualLine:
    """A line in virtual time. `answer` says what the device says to what was written; `say` lets it speak by itself."""

    def __init__(self, answer: Callable[[bytes], Answers] = lambda data: ()) -> None:
        self.name = "virtual"
        self.is_open = False
        self.now = 1_000
        self.answer = answer
        self.written: list[bytes] = []
        self.broken = False
        self.silent = False
        self._coming: list[tuple[int, bytes]] = []

    def clock(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(1, round(seconds * 1000))

    def say(self, data: bytes, after_ms: int = 0) -> None:
        """It arrives in so many ms."""
        self._coming.append((self.now + after_ms, data))
        self._coming.sort(key=lambda entry: entry[0])

    def open(self) -> None:
        if self.broken:
            raise LinkLostError("virtual cannot be opened")
        self.is_open = True

    def read(self, most: int, timeout_s: float) -> bytes:
        until = self.now + round(timeout_s * 1000)
        if self.broken:
            raise LinkLostError("virtual is gone")
        if self._coming and self._coming[0][0] <= until:
            self.now = max(self.now, self._coming[0][0])
            data = b""
            while self._coming and self._coming[0][0] <= self.now and len(data) < most:
                data += self._coming.pop(0)[1]
            if len(data) > most:
                self._coming.insert(0, (self.now, data[most:]))
            return data[:most]
        self.now = max(self.now, until)
        return b""

    def write(self, data: bytes) -> None:
        if self.broken:
            raise LinkLostError("virtual is gone")
        self.now += 1
        self.written.append(data)
        if not self.silent:
            for after_ms, said in self.answer(data):
                self.say(said, after_ms)

    def flush_input(self) -> None:
        self._coming = [entry for entry in self._coming if entry[0] > self.now]

    def close(self) -> None:
        self.is_open = False


class Bench:
    """An instrument and what its worker and its board would do with it, in virtual time."""

    def __init__(self, plan: DevicePlan, answer: Callable[[bytes], Answers] = lambda data: ()) -> None:
        self.line = VirtualLine(answer)
        self.device = Instrument(plan, self.line, self.line.clock, self.line.sleep)
        self.losses: list[str] = []

    def turn(self) -> None:
        """One turn of the worker, and a scan behind it."""
        device, line = self.device, self.line
        try:
            if not line.is_open:
                line.open()
                device.link.opened()
                device.line_opened()
            device.turn()
        except LinkLostError as error:
            self.losses.append(str(error))
            line.close()
            device.link.lost(str(error))
            line.now += 100
        device.link.begin_scan()

    def run(self, ms: int) -> None:
        """Turns for so long."""
        until = self.line.now + ms
        while self.line.now < until:
            self.turn()

    def ready(self, *counts: int) -> None:
        """It answers, the cell was Reset, and wants these outputs."""
        self.run(1500)
        if counts:
            self.device.drive([0] * len(counts))
        self.device.link.rearm()
        if counts:
            self.device.drive(counts)
            self.run(600)

    def value(self, at: str) -> int:
        """The latest count of a point."""
        return self.device.latest[self._place(at)][0]

    def quality(self, at: str) -> str:
        """ "good", "stale" or "bad", as the board would see it now."""
        link = self.device.link
        return QUALITY_NAMES[link.quality(self.device.latest[self._place(at)][1], self.line.now)]

    @property
    def fault(self) -> str:
        """The first fault since the last Reset."""
        return self.device.link.status().fault

    def take_written(self) -> list[bytes]:
        """What was written since this was last asked."""
        written, self.line.written = self.line.written, []
        return written

    def _place(self, at: str) -> int:
        return [point.at for point in self.device.inputs].index(at)
