"""PWM outputs of a Linux machine by /sys/class/pwm, the kernel's only interface for them.

A PWM goes on by itself when the controller dies: `hold_last`.
"""

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from board.contract import Device, DevicePlan, Point, Services
from board.device_link import DeviceLink
from cell_controller.errors import BoardError

SYSFS = Path("/sys/class/pwm")
FULL = 65_535
"""Count of an output that is always on."""

FREQ_HZ = 1000
AGAIN_MS = 1000
EXPORT_S = 2.0
"""How long udev may take to give the files of a new channel to the group."""

_CHIP = re.compile(r"(pwmchip\d{1,2}):(\d{1,2})")
_PI_CHIPS = (
    (re.compile(r"[0-9a-f]+20c000\.pwm"), {12: 0, 13: 1, 18: 0, 19: 1}),
    (re.compile(r"1f00098000\.pwm"), {12: 0, 13: 1, 18: 2, 19: 3}),
)
"""Device of the chip behind the pins: Pi 0 to 4, Pi 5. Pin -> channel."""


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """A device for each plan. Settings of a point: `freq_hz`."""
    return [PwmOutputs(plan) for plan in plans]


class PwmOutputs:
    """PWM channels; counts 0..FULL."""

    def __init__(self, plan: DevicePlan) -> None:
        self.name = plan.name
        self.inputs: Sequence[Point] = ()
        self.outputs: Sequence[Point] = plan.points
        self.latest: list[tuple[int, int]] = []
        self.link = DeviceLink(plan.name, plan.on_death, [point.abort for point in plan.points])
        self._channels: list[Channel] = []
        self._written: list[int] = []
        self._rewrite_at = 0
        self._again_at = 0

    def open(self) -> None:
        """See Device.open."""
        self.link.opened()
        self._start([point.safe for point in self.outputs])
        self.link.answered()

    def refresh(self) -> None:
        """See Device.refresh. That it is there is seen when it is written."""
        now = self.link.clock()
        if not self._channels:
            if now < self._again_at:
                return
            try:
                self._start(self.link.wanted()[1])
            except OSError as error:
                self._lose(error, now)
                return
        self.link.answered()

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive."""
        self.link.want(counts)
        _, wanted = self.link.wanted()
        now = self.link.clock()
        if not self._channels or (wanted == self._written and now < self._rewrite_at):
            return
        try:
            for channel, count in zip(self._channels, wanted, strict=True):
                channel.drive(count)
        except OSError as error:
            self._lose(error, now)
            return
        self._written = wanted
        self._rewrite_at = now + AGAIN_MS

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe."""
        self.drive(counts)

    def close(self) -> None:
        """See Device.close: the channels go on with what was written last."""
        self._stop()
        self.link.closed()

    def _start(self, counts: Sequence[int]) -> None:
        taken: dict[Path, str] = {}
        try:
            for point, count in zip(self.outputs, counts, strict=True):
                path, number = find_channel(point.at)
                first = taken.setdefault(path / str(number), point.at)
                if first != point.at:
                    raise BoardError(
                        f"{point.at} and {first} are the same channel of {path.name} on this Pi; choose another pin"
                    )
                channel = Channel(point.at, path, number, int(point.settings.get("freq_hz", FREQ_HZ)))
                self._channels.append(channel)
                channel.open(count)
        except OSError:
            self._stop()
            raise

    def _stop(self) -> None:
        self._channels = []
        self._written = []

    def _lose(self, error: OSError, now: int) -> None:
        self.link.lost(f"{self.name}: {error.strerror}" if error.strerror else str(error))
        self._stop()
        self._again_at = now + AGAIN_MS


class Channel:
    """One channel of a PWM chip."""

    def __init__(self, at: str, chip: Path, number: int, freq_hz: int) -> None:
        self._at = at
        self._chip = chip
        self._number = number
        self._folder = chip / f"pwm{number}"
        self._period_ns = 1_000_000_000 // freq_hz

    def open(self, count: int) -> None:
        """Take the channel; it goes on, or begins, with `count`. Raises BoardError."""
        try:
            if not self._folder.exists():
                self._write(self._chip / "export", self._number)
            self._begin(count)
        except PermissionError as error:
            raise BoardError(
                f"pwm:{self._at}: no permission for {error.filename}; add the user to the group of `ls -l {SYSFS}/`, "
                "`sudo usermod -aG gpio USER` on a Pi, and log in again"
            ) from error
        except OSError as error:
            raise BoardError(
                f"pwm:{self._at}: {self._folder} refuses it ({error.strerror}); choose another freq_hz or channel"
            ) from error

    def drive(self, count: int) -> None:
        """Be on for `count` of FULL. Raises OSError."""
        self._write(self._folder / "duty_cycle", self._period_ns * count // FULL)

    def _begin(self, count: int) -> None:
        """The duty before the channel is switched on. One that runs with another period is switched off for that."""
        folder = self._folder
        self._wait_for("period", "duty_cycle", "enable")
        if _number(folder / "period") != self._period_ns:
            if _number(folder / "enable"):
                self._write(folder / "enable", 0)
            if _number(folder / "duty_cycle"):
                self._write(folder / "duty_cycle", 0)  # it must never be longer than the period
            self._write(folder / "period", self._period_ns)
        self.drive(count)
        self._write(folder / "enable", 1)

    def _wait_for(self, *names: str) -> None:
        """A new channel's files belong to root until udev has seen them."""
        deadline = time.monotonic() + EXPORT_S
        while time.monotonic() < deadline and not all(
            os.access(self._folder / name, os.W_OK) for name in names
        ):
            time.sleep(0.01)

    def _write(self, path: Path, value: int) -> None:
        path.write_text(str(value))


def find_channel(at: str) -> tuple[Path, int]:
    """Chip and number of the channel "GPIO18" or "pwmchip0:1". Raises BoardError with the remedy."""
    exact = _CHIP.fullmatch(at)
    if exact:
        chip = SYSFS / exact[1]
        count = _count(chip)
        if int(exact[2]) >= count:
            there = (
                f"has the channels 0..{count - 1}"
                if count
                else f"is not there; `ls -l {SYSFS}` lists the chips"
            )
            raise BoardError(f"pwm:{at}: {exact[1]} {there}")
        return chip, int(exact[2])
    pin = int(at.removeprefix("GPIO"))
    for chip in sorted(SYSFS.glob("pwmchip*")):
        device = (chip / "device").resolve().name
        for label, channels in _PI_CHIPS:
            if label.fullmatch(device) and pin in channels:
                return chip, channels[pin]
    function = 4 if pin in (12, 13) else 2
    raise BoardError(
        f"pwm:{at}: the PWM of the pins is not switched on; add dtoverlay=pwm,pin={pin},func={function} to "
        "/boot/firmware/config.txt and start the Pi again"
    )


def _count(chip: Path) -> int:
    try:
        return _number(chip / "npwm")
    except OSError:
        return 0


def _number(path: Path) -> int:
    return int(path.read_text())
