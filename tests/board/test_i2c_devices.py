"""Chips on I2C: what goes over the bus, and what silence, a reset, nonsense and a lost adapter do."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from board.bus_worker import PATIENCE
from board.contract import DevicePlan, Point
from board.device_link import FAULTED, NEVER, RUNNING
from board.i2c_devices import AGAIN_MS, Ads1115, Mcp23017, make
from cell_controller.core.signals import BAD, GOOD
from cell_controller.errors import BoardError, DeviceError, LinkLostError
from tests.board.fake_i2c import FakeAds1115, FakeBus, FakeMcp23017
from tests.board.line_peer import wait_for

MCP, ADS = 0x20, 0x48


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBus:
    return FakeBus(tmp_path, monkeypatch)


@pytest.fixture
def mcp(bus: FakeBus) -> FakeMcp23017:
    chip = bus.chips[MCP] = FakeMcp23017()
    return chip


@pytest.fixture
def ads(bus: FakeBus) -> FakeAds1115:
    chip = bus.chips[ADS] = FakeAds1115()
    return chip


def digital(at: str, is_output: bool = False, safe: int = 0, abort: int = 0, **settings: Any) -> Point:
    return Point(at, 0, 0, "digital", is_output, at, safe=safe, abort=abort, settings=settings)


def analog(at: str, **settings: Any) -> Point:
    return Point(f"in{at}", 0, 0, "analog", False, at, low=-32768, high=32767, settings=settings)


def plan(chip: str, address: int, *points: Point) -> DevicePlan:
    settings = {"chip": chip, "address": address, "bus": 1}
    return DevicePlan(f"{chip}:{address:#x}", "i2c", settings, points)


EXPANDER = plan(
    "mcp23017",
    MCP,
    digital("A0", True),
    digital("B7", True, safe=1, abort=1),
    digital("A1", pull="up"),
    digital("link"),
)
CONVERTER = plan("ads1115", ADS, analog("0"), analog("3", range_mv=2048))


class Turns:
    """A chip without the thread of its bus: the test makes its turns and moves its clock."""

    def __init__(self, made: DevicePlan) -> None:
        self.chip = cast("Ads1115 | Mcp23017", make([made], cast("Any", None))[0])
        self.chip._bus.open()
        self.now = 5_000
        self.chip.link.clock = lambda: self.now
        self.chip.link.opened()

    def turn(self, ms: int = 5) -> list[int]:
        """One turn `ms` later; what the inputs read."""
        self.now += ms
        self.chip.turn()
        self.chip.link.begin_scan()
        return [count for count, _ in self.chip.latest]

    def start(self) -> None:
        """The cell went through Resetting."""
        self.turn()
        self.chip.link.rearm()
        self.turn()


@pytest.fixture
def expander(mcp: FakeMcp23017) -> Iterator[Turns]:
    made = Turns(EXPANDER)
    yield made
    made.chip._bus.close()


@pytest.fixture
def converter(ads: FakeAds1115) -> Iterator[Turns]:
    made = Turns(CONVERTER)
    yield made
    made.chip._bus.close()


# --- the expander ---


def test_latches_and_pulls_are_set_before_any_pin_is_an_output(
    bus: FakeBus, expander: Turns, mcp: FakeMcp23017
) -> None:
    expander.turn()
    assert [data[0] for data in bus.writes] == [0x14, 0x0C, 0x00]
    assert (mcp.word(0x00), mcp.word(0x0C), mcp.word(0x14)) == (0x7FFE, 0x0002, 0x8000)
    assert set(mcp.history) == {0, 0x8000}, "B7 goes straight to its level"


def test_outputs_are_written_when_they_change_and_once_a_second(
    bus: FakeBus, expander: Turns, mcp: FakeMcp23017
) -> None:
    expander.start()
    bus.writes.clear()
    expander.chip.drive([1, 0])
    expander.turn()
    expander.turn()
    assert bus.writes == [bytes((0x14, 0x01, 0x00))]
    assert mcp.driven == 0x0001
    expander.turn(ms=AGAIN_MS)
    assert len(bus.writes) == 2


def test_inputs_and_the_point_link_are_read(expander: Turns, mcp: FakeMcp23017) -> None:
    assert expander.turn() == [0, 1]
    mcp.outside = 0x0002
    assert expander.turn() == [1, 1]
    assert expander.chip.latest[0][1] == expander.now


def test_an_expander_that_lost_its_power_is_lost_and_set_up_again_with_abort_levels(
    expander: Turns, mcp: FakeMcp23017
) -> None:
    expander.start()
    expander.chip.drive([1, 0])
    expander.turn()
    mcp.power_cycle()
    with pytest.raises(LinkLostError, match="forgotten its set-up") as lost:
        expander.turn()
    expander.chip.link.lost(str(lost.value))
    expander.turn()
    assert (mcp.word(0x00), mcp.driven) == (0x7FFE, 0x8000)
    expander.chip.link.rearm()
    expander.turn()
    assert mcp.driven == 0x0001


def test_the_reset_of_an_expander_with_inputs_only_is_seen_by_its_pulls(
    bus: FakeBus, mcp: FakeMcp23017
) -> None:
    turns = Turns(plan("mcp23017", MCP, digital("A1", pull="up")))
    turns.turn()
    mcp.power_cycle()
    with pytest.raises(LinkLostError):
        turns.turn()
    turns.turn()
    assert mcp.word(0x0C) == 0x0002
    turns.chip._bus.close()


def test_a_latch_that_reads_back_wrong_is_an_error_and_written_again(
    expander: Turns, mcp: FakeMcp23017
) -> None:
    expander.start()
    mcp.registers[0x14] |= 0x01
    with pytest.raises(DeviceError, match="its latches are 0x8001, not 0x8000"):
        expander.turn()
    expander.turn()
    assert mcp.driven == 0x8000


def test_a_shorted_output_is_told_and_its_inputs_stay_good(expander: Turns, mcp: FakeMcp23017) -> None:
    expander.start()
    mcp.shorted = 0x8000
    expander.chip.drive([0, 1])
    expander.turn()
    status = expander.chip.link.status()
    assert (status.state, "B7 is not where it was put" in status.fault) == (RUNNING, True)


def test_something_else_at_the_address_is_no_expander(bus: FakeBus, ads: FakeAds1115) -> None:
    bus.chips[MCP] = ads
    turns = Turns(EXPANDER)
    with pytest.raises(DeviceError, match="it is no MCP23017"):
        turns.turn()
    assert turns.chip.latest[0] == (0, NEVER)
    turns.chip._bus.close()


# --- the converter ---


def test_each_turn_takes_a_conversion_and_starts_the_next(converter: Turns, ads: FakeAds1115) -> None:
    ads.millivolts = [1000, 5000, 5000, -512]
    converter.turn()
    assert converter.chip.latest == [(0, NEVER)] * 2
    assert converter.turn() == [8000, 0]
    assert converter.turn() == [8000, -8192]
    ads.millivolts[0] = 5000
    converter.turn()
    converter.turn()
    assert converter.turn() == [32767, -8192], "at the end of its range"


def test_a_conversion_that_does_not_end_is_an_error(converter: Turns, ads: FakeAds1115) -> None:
    converter.turn()
    converter.turn()
    ads.slow = True
    converter.turn()
    with pytest.raises(DeviceError, match=r"its configuration is 0x43e3, not 0xc3e3"):
        converter.turn()


def test_a_converter_that_was_reset_gives_no_value_of_another_input(
    converter: Turns, ads: FakeAds1115
) -> None:
    converter.turn()
    ads.power_cycle()
    with pytest.raises(DeviceError, match="0x8583"):
        converter.turn()
    assert converter.chip.latest == [(0, NEVER)] * 2
    converter.turn()
    assert converter.turn() == [0, 0]


# --- the bus and its thread ---


class Running:
    """Devices with the thread of their bus."""

    def __init__(self, *plans: DevicePlan) -> None:
        self.devices = make(plans, cast("Any", None))

    def open(self) -> None:
        for device in self.devices:
            device.open()

    def close(self) -> None:
        for device in self.devices:
            device.close()

    def state(self, k: int) -> str:
        self.devices[k].link.begin_scan()
        return self.devices[k].link.status().state

    def until(self, what: Callable[[], bool]) -> None:
        wait_for(what, lambda: [device.link.status() for device in self.devices])


@pytest.fixture
def both(mcp: FakeMcp23017, ads: FakeAds1115) -> Iterator[Running]:
    made = Running(EXPANDER, CONVERTER)
    made.open()
    made.until(lambda: made.state(0) == made.state(1) == RUNNING)
    yield made
    made.close()


def test_make_safe_returns_when_the_expander_has_it(both: Running, mcp: FakeMcp23017) -> None:
    expander = both.devices[0]
    expander.link.rearm()
    expander.drive([1, 0])
    both.until(lambda: mcp.driven == 0x0001)
    expander.make_safe([0, 1])
    assert mcp.driven == 0x8000


def test_one_silent_chip_is_lost_and_the_other_goes_on(both: Running, bus: FakeBus) -> None:
    expander, converter = both.devices
    bus.silent[MCP] = errno.EREMOTEIO
    for device in both.devices:
        device.link.bad_ms = 100
    both.until(lambda: both.state(0) == FAULTED)
    assert "Remote I/O error" in expander.link.status().fault
    assert expander.link.quality(expander.latest[0][1], expander.link.clock()) == BAD
    before = converter.latest[0][1]
    both.until(lambda: converter.latest[0][1] > before)
    assert both.state(1) == RUNNING
    bus.silent.clear()
    both.until(lambda: both.state(0) == RUNNING)
    assert expander.link.status().waits_for_reset


def test_a_chip_that_failed_often_is_asked_less_often(both: Running, bus: FakeBus) -> None:
    bus.silent[MCP] = errno.ETIMEDOUT
    converter = both.devices[1]
    before = len(bus.asked)
    start = converter.link.clock()
    both.until(lambda: bus.asked[before:].count(MCP) >= PATIENCE)
    both.until(lambda: converter.link.clock() - start > 150)
    asked = bus.asked[before:].count(MCP)
    assert asked <= PATIENCE + 1 + (converter.link.clock() - start) // 100


def test_an_adapter_that_is_unplugged_loses_every_chip_and_brings_them_back(
    both: Running, bus: FakeBus, mcp: FakeMcp23017, monkeypatch: pytest.MonkeyPatch
) -> None:
    from board import bus_worker

    monkeypatch.setattr(bus_worker, "MOST_WAIT_S", 0.02)
    bus.unplug()
    both.until(lambda: both.state(0) == both.state(1) == FAULTED)
    mcp.power_cycle()
    bus.plug()
    both.until(lambda: both.state(0) == both.state(1) == RUNNING)
    both.until(lambda: mcp.driven == 0x8000)


def test_nonsense_is_no_reading(both: Running, mcp: FakeMcp23017) -> None:
    mcp.nonsense = True
    both.until(lambda: both.devices[0].link.status().losses == 1)
    mcp.nonsense = False
    both.until(lambda: both.state(0) == RUNNING)
    assert both.devices[0].link.quality(both.devices[0].latest[0][1], both.devices[0].link.clock()) == GOOD


def test_a_drivers_mistake_does_not_end_the_thread(
    both: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Ads1115, "turn", lambda self: 1 // 0)
        both.until(lambda: both.devices[1].link.status().losses == 1)
    assert "ZeroDivisionError" in both.devices[1].link.status().fault
    assert "driver of ads1115:0x48" in caplog.text
    both.until(lambda: both.state(1) == RUNNING)


def test_a_transfer_that_hangs_is_given_up_early(both: Running, bus: FakeBus) -> None:
    assert bus.timeout_10ms == 5


def test_a_bus_that_is_not_there_or_not_ours_is_refused_with_the_remedy(
    bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as forbidden:
        forbidden.setattr("os.open", refused)
        with pytest.raises(BoardError, match="usermod -aG i2c"):
            Running(CONVERTER).open()
    bus.unplug()
    with pytest.raises(BoardError, match="raspi-config nonint do_i2c 0"):
        Running(CONVERTER).open()


def test_a_chip_that_a_driver_of_the_kernel_has_is_refused(bus: FakeBus, tmp_path: Path) -> None:
    (tmp_path / "mcp230xx").mkdir()
    (tmp_path / "claimed" / "1-0020").mkdir(parents=True)
    (tmp_path / "claimed" / "1-0020" / "driver").symlink_to(tmp_path / "mcp230xx")
    with pytest.raises(BoardError, match="the kernel's driver mcp230xx has the chip at 0x20"):
        Running(EXPANDER).open()
