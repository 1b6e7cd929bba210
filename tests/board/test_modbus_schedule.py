"""Devices share a line: whose turn it is, and how little of the line one gets that does not answer. Virtual time."""

import itertools
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.modbus_client import LineClient
from board.modbus_line import MOST_PAUSE_MS, REOPEN_MS, SHARE, TRIES, ModbusLine
from board.modbus_unit import ModbusUnit
from board.transport import TcpTransport
from cell_controller.errors import DeviceError, LinkLostError

RUN_MS = 15_000


@dataclass
class FakeUnit:
    """A device whose turn takes `cost_ms`, in vain if it is dead."""

    line: "VirtualLine"
    cost_ms: int
    dead: bool = False
    poll_ms: int = 20
    has_news: bool = False
    turns: list[int] = field(default_factory=list)

    def opened(self) -> None:
        """See ModbusUnit."""

    def turn(self, client: LineClient) -> None:
        """See ModbusUnit."""
        self.turns.append(self.line.now)
        self.line.now += self.cost_ms
        self.has_news = False
        if self.dead:
            raise DeviceError("no answer")


class VirtualLine(ModbusLine):
    """A line whose time passes by waiting and by turns."""

    def __init__(self) -> None:
        super().__init__(TcpTransport("127.0.0.1", 1), None, clock=lambda: self.now)
        self.now = 1000

    def wait(self, seconds: float) -> None:
        """See ModbusLine."""
        self.now += max(1, round(seconds * 1000))

    def unit(self, cost_ms: int, **more: bool | int) -> FakeUnit:
        """A further device."""
        made = FakeUnit(self, cost_ms, **more)  # type: ignore[arg-type]
        self.add(cast(ModbusUnit, made))
        return made

    def run(self, for_ms: int = RUN_MS) -> None:
        """Let time pass."""
        end = self.now + for_ms
        while self.now < end:
            self.turn()


def longest(unit: FakeUnit, end: int) -> int:
    """The longest time from one turn to the next."""
    return max(after - before for before, after in itertools.pairwise([*unit.turns, end]))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.lists(st.integers(50, 400), max_size=4),
)
def test_a_living_device_waits_for_at_most_one_time_out_of_the_dead(
    living: list[int], dead: list[int]
) -> None:
    line = VirtualLine()
    well = [line.unit(cost) for cost in living]
    ill = [line.unit(cost, dead=True) for cost in dead]
    line.line_opened()
    line.run(2 * (sum(dead) + sum(living)) + 50)  # it takes one failure of each to know
    for unit in well:
        del unit.turns[:-1]
    line.run()
    bound = max(sum(living), 20 + max(living)) + max(dead, default=0) + 1
    for unit in well:
        assert longest(unit, line.now) <= bound
    for unit in ill:
        after_tries = unit.turns[TRIES:]
        assert len(after_tries) * unit.cost_ms <= RUN_MS / (SHARE + 1) + unit.cost_ms
        assert longest(unit, line.now) <= max(SHARE * unit.cost_ms, MOST_PAUSE_MS) + 2 * bound + sum(dead)


def test_a_dead_device_is_tried_at_once_and_then_ever_more_rarely() -> None:
    line = VirtualLine()
    line.unit(5)
    ill = line.unit(100, dead=True)
    line.line_opened()
    line.run(12_000)
    gaps = [after - before for before, after in itertools.pairwise(ill.turns)]
    assert max(gaps[: TRIES - 1]) < 150
    assert gaps[TRIES - 1] >= 1000
    assert gaps[-1] >= MOST_PAUSE_MS
    assert sorted(gaps) == gaps


def test_a_device_alone_on_its_line_is_asked_again_at_once() -> None:
    line = VirtualLine()
    ill = line.unit(100, dead=True)
    line.line_opened()
    line.run(2000)
    assert longest(ill, line.now) <= 120


def test_a_device_that_answers_again_is_asked_as_before() -> None:
    line = VirtualLine()
    line.unit(5)
    ill = line.unit(100, dead=True)
    line.line_opened()
    line.run(10_000)
    ill.dead, ill.cost_ms = False, 5
    line.run(MOST_PAUSE_MS + 200)
    assert ill.turns[-1] - ill.turns[-2] <= 30


def test_something_to_write_does_not_wait_for_the_next_poll() -> None:
    line = VirtualLine()
    unit = line.unit(1, poll_ms=1000)
    line.line_opened()
    line.turn()
    line.turn()
    assert len(unit.turns) == 1
    unit.has_news = True
    line.turn()
    assert len(unit.turns) == 2


def test_a_line_on_which_nobody_answers_is_opened_again() -> None:
    """The connection may be half open: then only a new one shows that the device is back."""
    line = VirtualLine()
    line.unit(100, dead=True)
    line.unit(100, dead=True)
    line.line_opened()
    with pytest.raises(LinkLostError, match="nobody has answered"):
        line.run(REOPEN_MS + 2500)
    line.unit(1)
    line.line_opened()
    line.run(3 * REOPEN_MS)
