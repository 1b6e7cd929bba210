"""One device's turn, in virtual time: poll classes and the age of their values, and signs of life."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast
from unittest import mock

import pytest

from board.device_link import NEVER, RUNNING
from board.modbus_client import LineClient
from board.modbus_plan import Block
from board.modbus_unit import ModbusUnit
from cell_controller.core.signals import BAD, GOOD, STALE
from cell_controller.errors import DeviceError
from tests.board.modbus_plans import describe, plan_of

DEVICE = """
[device]
name = "mine"
read_back = false
[points]
fast = { table = "input", address = 0, type = "u16" }
slow = { table = "input", address = 10, type = "u16", poll = "slow" }
once = { table = "input", address = 20, type = "u16", poll = "once" }
real = { table = "input", address = 30, type = "f32", resolution = 1, range = [0, 100] }
out = { table = "holding", address = 0, type = "u16", access = "out" }
"""
ONLY_OUT = """
[device]
name = "mine"
read_back = false
[points]
out = { table = "holding", address = 0, type = "u16", access = "out" }
"""
TIMEOUT = """[device.comms_timeout]
address = 50
step_ms = 10
default_ms = 1000
[points]"""
NOT_A_NUMBER = [0x7FC0, 0]


class FakeClient:
    """A device that answers, or not."""

    def __init__(self) -> None:
        self.memory: dict[int, int] = {}
        self.asked: list[Block] = []
        self.written: list[Block] = []
        self.heard = True
        self.silent = False

    def read(self, unit: int, block: Block, answer_s: float) -> list[int]:
        """See LineClient."""
        self._ask(block)
        return [self.memory.get(address, 0) for address in range(block.address, block.end)]

    def write(self, unit: int, block: Block, values: Sequence[int], single: bool, answer_s: float) -> None:
        """See LineClient."""
        self._ask(block)
        self.written.append(block)

    def _ask(self, block: Block) -> None:
        self.asked.append(block)
        self.heard = not self.silent
        if self.silent:
            raise DeviceError("no answer within 100 ms")


class Bench:
    """A unit and its client; `now` is the time in ms."""

    def __init__(
        self, tmp_path: Path, points: Sequence[str], text: str = DEVICE, **table: int | None
    ) -> None:
        describe(tmp_path, "mine", text)
        plan = plan_of("io1", points, tmp_path, model="mine", address="tcp://127.0.0.1:1", **table)
        self.unit = ModbusUnit(plan, mock.Mock())
        self.client = FakeClient()
        self.now = 10_000
        self.unit.link.clock = lambda: self.now
        self.unit.link.opened()
        self.unit.opened()

    def turns(self, ms: int) -> None:
        """A turn every 20 ms."""
        for _ in range(ms // 20):
            self.now += 20
            try:
                self.unit.turn(cast(LineClient, self.client))
            except DeviceError:
                continue

    def quality(self, name: str) -> int:
        """As the board asks for it."""
        self.unit.link.begin_scan()
        self.unit.link.begin_scan()
        k = [point.at for point in self.unit.inputs].index(name)
        return self.unit.link.quality(self.unit.latest[k][1], self.now)

    def times_asked(self, address: int) -> int:
        """How often this register was read or written."""
        return sum(block.address == address for block in self.client.asked)


def test_each_class_is_asked_as_often_as_it_says(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ["link", "fast", "slow", "once"])
    bench.turns(3000)
    assert bench.times_asked(0) == 150
    assert bench.times_asked(10) == 3
    assert bench.times_asked(20) == 1
    bench.unit.opened()
    bench.turns(20)
    assert bench.times_asked(20) == 2


def test_a_slow_value_grows_old_from_the_moment_its_next_reading_is_due(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ["link", "fast", "slow", "once"])
    for _ in range(150):
        bench.turns(20)
        assert {bench.quality(name) for name in ("link", "fast", "slow", "once")} == {GOOD}
    bench.client.silent = True
    bench.turns(300)
    assert bench.quality("fast") == STALE
    assert bench.quality("once") == STALE, "whatever it is, it is not there any more"
    bench.turns(1000)
    assert {bench.quality(name) for name in ("link", "fast", "slow", "once")} == {BAD}


@pytest.mark.parametrize("points", [["link"], ["slow"], ["once"], ["link", "out"]])
def test_a_device_of_which_nothing_is_read_in_every_turn_is_asked_for_a_sign_of_life(
    tmp_path: Path, points: list[str]
) -> None:
    bench = Bench(tmp_path, points)
    bench.turns(2500)
    assert bench.unit.link.status().state == RUNNING
    assert bench.unit.link.status().losses == 0
    assert {bench.quality(point.at) for point in bench.unit.inputs} == {GOOD}


def test_a_device_that_can_only_be_written_shows_life_by_that(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ["link", "out"], ONLY_OUT)
    for _ in range(100):
        bench.turns(20)
        assert bench.quality("link") == GOOD


def test_a_device_that_does_not_take_its_comms_time_out_does_not_count_as_there(tmp_path: Path) -> None:
    text = DEVICE.replace("[points]", TIMEOUT).replace("read_back = false", "read_back = true")
    bench = Bench(tmp_path, ["link", "fast", "out"], text)
    bench.turns(1500)
    assert {bench.quality("link"), bench.quality("fast")} == {BAD}
    assert "its comms time-out in holding 50 does not become 100" in bench.unit.link.status().fault
    bench.client.memory[50] = 100
    bench.turns(20)
    assert {bench.quality("link"), bench.quality("fast")} == {GOOD}


@pytest.mark.parametrize("timeout_ms", [240, 1000, 10_000])
def test_outputs_are_written_at_least_every_third_of_the_comms_time_out(
    tmp_path: Path, timeout_ms: int
) -> None:
    bench = Bench(tmp_path, ["link", "out"], DEVICE.replace("[points]", TIMEOUT), comms_timeout_ms=timeout_ms)
    gaps, last = [], bench.now
    for _ in range(2 * timeout_ms // 20):
        bench.client.written.clear()
        bench.unit.drive([0])
        bench.turns(20)
        if Block("holding", 0) in bench.client.written:
            gaps.append(bench.now - last)
            last = bench.now
    assert len(gaps) >= 6
    assert max(gaps) <= timeout_ms / 3


def test_nothing_is_written_while_the_controller_hangs(tmp_path: Path) -> None:
    """Not even what a loss asks for: its comms time-out makes the device safe, and the line is not kept busy by it."""
    bench = Bench(tmp_path, ["link", "out"], DEVICE.replace("[points]", TIMEOUT), comms_timeout_ms=1000)
    bench.turns(200)
    bench.unit.drive([0])
    bench.turns(480)
    bench.client.asked.clear()
    bench.now += 100
    bench.unit.link.lost("for a test")
    assert not bench.unit.has_news
    bench.turns(400)
    assert {block.table for block in bench.client.asked} == {"input"}
    bench.unit.drive([0])
    bench.turns(20)
    assert "holding" in {block.table for block in bench.client.asked}


def test_what_is_no_number_is_bad_alone_and_good_again_when_it_is_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ["link", "fast", "real"])
    bench.turns(40)
    assert bench.quality("real") == GOOD
    bench.client.memory |= dict(zip((30, 31), NOT_A_NUMBER, strict=True))
    bench.turns(20)
    assert bench.quality("real") == BAD
    assert bench.quality("fast") == GOOD
    assert bench.unit.link.status().fault == "io1: real is not a number of its range"
    assert bench.unit.latest[2] == (0, NEVER), "the last count stays"
    bench.client.memory |= {30: 0x4248, 31: 0}
    bench.turns(20)
    assert bench.unit.latest[2] == (50, bench.now)
    assert bench.quality("real") == GOOD
