"""PWM by sysfs: which channel a pin is, the order in which one is started, and one that goes away."""

from pathlib import Path
from typing import Any

import pytest

from board.contract import HOLD_LAST, DevicePlan, Point
from board.device_link import FAULTED, RUNNING
from board.gpio_pwm import AGAIN_MS, FULL, PwmOutputs, find_channel
from cell_controller.errors import BoardError
from tests.board.fake_sysfs_pwm import FakePwm

PI_4 = "fe20c000.pwm"
PI_5 = "1f00098000.pwm"


@pytest.fixture
def pwm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePwm:
    return FakePwm(tmp_path, monkeypatch)


def point(at: str, safe: int = 0, abort: int = 0, **settings: Any) -> Point:
    return Point(at, 0, 0, "analog", True, at, high=FULL, safe=safe, abort=abort, settings=settings)


class Outputs:
    """A device over `points`, opened, with a clock that the test moves."""

    def __init__(self, *points: Point) -> None:
        self.device = PwmOutputs(DevicePlan("pwm", "pwm", {}, points))
        self.now = 5_000
        self.device.link.clock = lambda: self.now
        self.device.open()

    def scan(self, *counts: int, ms: int = 10) -> None:
        self.now += ms
        self.device.refresh()
        self.device.link.begin_scan()
        self.device.drive(list(counts))


@pytest.mark.parametrize("device", ["2020c000.pwm", "3f20c000.pwm", PI_4])
def test_pins_of_a_pi_up_to_4_share_two_channels(pwm: FakePwm, device: str) -> None:
    pwm.chip("pwmchip0", "fe20c800.pwm", 2)
    pwm.chip("pwmchip1", device, 2)
    found = [find_channel(f"GPIO{n}") for n in (12, 13, 18, 19)]
    assert [(chip.name, number) for chip, number in found] == [("pwmchip1", n) for n in (0, 1, 0, 1)]


def test_pins_of_a_pi_5_have_four_channels_whatever_the_chips_number(pwm: FakePwm) -> None:
    pwm.chip("pwmchip0", "1f0009c000.pwm", 4)  # the fan
    pwm.chip("pwmchip2", PI_5, 4)
    found = [find_channel(f"GPIO{n}") for n in (12, 13, 18, 19)]
    assert [(chip.name, number) for chip, number in found] == [("pwmchip2", n) for n in (0, 1, 2, 3)]


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("GPIO18", "add dtoverlay=pwm,pin=18,func=2 to"),
        ("GPIO13", "add dtoverlay=pwm,pin=13,func=4 to"),
        ("pwmchip0:2", "has the channels 0..1"),
        ("pwmchip3:0", "pwmchip3 is not there"),
    ],
)
def test_a_channel_that_is_not_there_is_refused_with_the_remedy(pwm: FakePwm, at: str, said: str) -> None:
    pwm.chip("pwmchip0", "fe20c800.pwm", 2)
    with pytest.raises(BoardError, match=said):
        Outputs(point(at))


def test_two_pins_of_one_channel_are_refused(pwm: FakePwm) -> None:
    pwm.chip("pwmchip0", PI_4, 2)
    with pytest.raises(BoardError, match="GPIO18 and GPIO12 are the same channel"):
        Outputs(point("GPIO12"), point("GPIO18"))


def test_the_safe_duty_is_there_before_the_channel_is_switched_on(pwm: FakePwm) -> None:
    pwm.chip("pwmchip0", PI_4, 2)
    Outputs(point("GPIO18", safe=FULL // 5, freq_hz=500))
    assert pwm.log == [("pwm0/period", 2_000_000), ("pwm0/duty_cycle", 400_000), ("pwm0/enable", 1)]


def test_a_channel_that_runs_already_is_not_interrupted(pwm: FakePwm) -> None:
    pwm.chip("pwmchip0", PI_4, 2)
    Outputs(point("GPIO18")).scan(40_000)
    pwm.log.clear()
    Outputs(point("GPIO18"))
    assert pwm.log == [("pwm0/duty_cycle", 0), ("pwm0/enable", 1)]


def test_a_channel_that_runs_with_another_period_is_switched_off_first(pwm: FakePwm) -> None:
    pwm.chip("pwmchip0", PI_4, 2)
    first = Outputs(point("GPIO18", abort=FULL))
    first.scan(FULL)
    pwm.log.clear()
    Outputs(point("GPIO18", freq_hz=20_000))
    assert pwm.log == [
        ("pwm0/enable", 0),
        ("pwm0/duty_cycle", 0),
        ("pwm0/period", 50_000),
        ("pwm0/duty_cycle", 0),
        ("pwm0/enable", 1),
    ]


def test_a_duty_is_written_when_it_changes_and_once_a_second(pwm: FakePwm) -> None:
    pwm.chip("pwmchip0", PI_4, 2)
    outputs = Outputs(point("GPIO18"), point("GPIO19"))
    outputs.device.link.rearm()
    pwm.log.clear()
    outputs.scan(FULL, 0)
    outputs.scan(FULL, 0)
    assert pwm.log == [("pwm0/duty_cycle", 1_000_000), ("pwm1/duty_cycle", 0)]
    outputs.scan(FULL, 0, ms=AGAIN_MS)
    assert len(pwm.log) == 4
    outputs.device.make_safe([0, 0])
    assert pwm.log[-2:] == [("pwm0/duty_cycle", 0), ("pwm1/duty_cycle", 0)]


def test_a_channel_goes_on_when_the_device_is_closed(pwm: FakePwm) -> None:
    chip = pwm.chip("pwmchip0", PI_4, 2)
    outputs = Outputs(point("GPIO18", abort=FULL))
    outputs.scan(FULL)
    outputs.device.close()
    outputs.device.close()
    assert (chip / "pwm0" / "enable").read_text() == "1\n"
    assert outputs.device.link.on_death == HOLD_LAST


def test_a_chip_that_is_unplugged_is_lost_and_waits_for_a_reset_when_it_is_back(pwm: FakePwm) -> None:
    chip = pwm.chip("pwmchip0", "usb-pwm", 1)
    outputs = Outputs(point("pwmchip0:0", safe=0, abort=100))
    outputs.scan(0)
    outputs.device.link.rearm()
    outputs.scan(FULL)
    pwm.gone = True
    outputs.scan(0)
    status = outputs.device.link.status()
    assert (status.state, status.fault) == (FAULTED, "pwm: No such device")
    outputs.scan(FULL, ms=AGAIN_MS)
    pwm.gone = False
    outputs.scan(FULL, ms=AGAIN_MS)
    assert outputs.device.link.status().state == RUNNING
    assert int((chip / "pwm0" / "duty_cycle").read_text()) == 1_000_000 * 100 // FULL


def test_without_permission_the_group_is_named(pwm: FakePwm, monkeypatch: pytest.MonkeyPatch) -> None:
    pwm.chip("pwmchip0", PI_4, 2)

    def refused(path: Path, value: int) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pwm, "_write", refused)
    with pytest.raises(BoardError, match="usermod -aG gpio"):
        Outputs(point("GPIO18"))


def test_the_fake_refuses_what_the_kernel_refuses(pwm: FakePwm) -> None:
    chip = pwm.chip("pwmchip0", PI_4, 2)
    pwm._write(chip / "export", 0)
    for path, value in (("duty_cycle", 1), ("enable", 1), ("period", 0)):
        with pytest.raises(OSError, match="Invalid argument"):
            pwm._write(chip / "pwm0" / path, value)
    with pytest.raises(OSError, match="busy"):
        pwm._write(chip / "export", 0)
