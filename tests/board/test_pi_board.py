"""A wiring file for a Pi, compiled and opened as it is: pins, PWM, converters and an expander behind one board."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from board.linux_board import DRIVERS, LinuxBoard
from cell_controller.core.signals import BAD, GOOD
from cell_controller.errors import BoardError
from host_tools.cellfile import CompiledCell, compile_cell
from tests.board.fake_gpiod import FakeChip, FakeKernel
from tests.board.fake_i2c import FakeAds1115, FakeBus, FakeMcp23017
from tests.board.fake_sysfs_pwm import FakePwm
from tests.board.images import Terminals
from tests.board.line_peer import wait_for

CELL = """
[cell]
name = "oven-1"
[inputs.door]
[inputs.part]
[inputs.airflow]
unit = "m3/min"
range = [0, 12]
resolution = 0.01
[inputs.energy]
kind = "counter"
[inputs.expander]
on_bad = "stop"
[outputs.clamp]
safe = "off"
[outputs.fan]
safe = "on"
[outputs.lamp]
unit = "%"
range = [0, 100]
safe = 0
[outputs.horn]
safe = "off"
"""

WIRING = """
[board]
target = "linux"
[door]
channel = "GPIO5"
pull = "up"
active_low = true
[part]
channel = "mcp23017:0x20:A0"
[airflow]
channel = "ads1115:2"
span = { raw = [0, 24000], value = [0, 12] }
[energy]
channel = "pulse:GPIO4"
[expander]
channel = "mcp23017:0x20:link"
[clamp]
channel = "GPIO17"
[fan]
channel = "line:GPIO22"
active_low = true
[lamp]
channel = "pwm:GPIO18"
span = { raw = [0, 65535], value = [0, 100] }
[horn]
channel = "mcp23017:0x20:B7"
"""


class Pi:
    """A Pi and what is on it, a compiled cell, and the board that drives it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder in ("dev", "pwm", "cell/wiring"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "cell" / "cell.toml").write_text(CELL)
        (tmp_path / "cell" / "wiring" / "pi.toml").write_text(WIRING)
        self.cell: CompiledCell = compile_cell(tmp_path / "cell", "pi")
        self.chip: FakeChip = FakeKernel(tmp_path / "dev", monkeypatch).pi()
        self.bus = FakeBus(tmp_path / "dev", monkeypatch)
        self.mcp = self.bus.chips[0x20] = FakeMcp23017()
        self.ads = self.bus.chips[0x48] = FakeAds1115()
        self.pwm = tmp_path / "pwm" / "pwmchip0" / "pwm2"
        FakePwm(tmp_path / "pwm", monkeypatch).chip("pwmchip0", "1f00098000.pwm", 4)
        drivers = {**DRIVERS, "pulse": "board.gpio_edges"}
        self.board = LinuxBoard("pi", self.cell.plans, self.cell.directory, drivers=drivers)
        self.terminals = Terminals(self.board, self.cell.spec)

    def open(self) -> None:
        self.board.open(self.cell.spec, self.cell.wiring)

    def duty_percent(self) -> int:
        period, duty = (int((self.pwm / name).read_text()) for name in ("period", "duty_cycle"))
        return round(100 * duty / period)

    def until_reads(self, name: str, value: int) -> None:
        wait_for(lambda: self.terminals.read(name) == value, lambda: self.terminals.value(name))


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pi]:
    made = Pi(tmp_path, monkeypatch)
    yield made
    made.board.close()


def test_every_signal_goes_where_the_wiring_says(pi: Pi) -> None:
    pi.open()
    terminals = pi.terminals
    assert [pi.chip["GPIO17"].level, pi.chip["GPIO22"].level, pi.duty_percent()] == [0, 0, 0]
    pi.chip["GPIO5"].level, pi.mcp.outside, pi.ads.millivolts[2] = 0, 0x0001, 1500
    for n in range(7):
        pi.chip.edge("GPIO4", 1, 10 * n)
    pi.until_reads("airflow", 600)
    pi.until_reads("part", 1)
    assert [terminals.value(name) for name in ("door", "energy", "expander")] == [1, 7, 1]
    assert set(terminals.inputs.quality) == {GOOD}
    pi.board.rearm()
    terminals.drive(clamp=1, fan=0, lamp=terminals.count("lamp", 40), horn=1)
    assert [pi.chip["GPIO17"].level, pi.chip["GPIO22"].level, pi.duty_percent()] == [1, 1, 40]
    wait_for(lambda: pi.mcp.driven == 0x8000, lambda: pi.mcp.driven)
    pi.board.make_safe(terminals.safe_values())
    assert [pi.chip["GPIO17"].level, pi.chip["GPIO22"].level, pi.duty_percent()] == [0, 0, 0]
    assert pi.mcp.driven == 0


def test_the_lines_say_whose_they_are(pi: Pi) -> None:
    pi.open()
    assert pi.chip["GPIO17"].consumer.startswith("cell")
    assert pi.chip["GPIO4"].consumer.startswith("cell")


def test_a_converter_that_is_silent_takes_nothing_else_with_it(pi: Pi) -> None:
    pi.open()
    pi.bus.silent[0x48] = 121
    for device in pi.board._devices:
        device.link.bad_ms = 100

    def is_bad() -> bool:
        pi.board.read(pi.terminals.inputs)
        return pi.terminals.quality("airflow") == BAD

    wait_for(is_bad, pi.board.devices)
    assert [pi.terminals.quality(name) for name in ("door", "part", "energy")] == [GOOD] * 3


def test_each_device_is_listed(pi: Pi) -> None:
    pi.open()
    names = sorted(status.name for status in pi.board.devices())
    assert names == ["ads1115:0x48", "gpio", "mcp23017:0x20", "pulse", "pwm"]


def test_a_board_that_does_not_open_lets_go_of_every_line(pi: Pi) -> None:
    pi.chip["GPIO4"].consumer = "w1"
    with pytest.raises(BoardError, match=r"GPIO4 \('w1'\) is in use"):
        pi.open()
    assert pi.chip["GPIO17"].consumer == ""
