"""Channels of the machine itself: its pins, its PWM, and chips on its I2C and SPI."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from host_tools.devices.common import COUNTS, LINK, PointShape
from host_tools.models import Table
from host_tools.toml_file import Problems, closest, model_of, shown

DIGITAL = (0, 1)
PWM_COUNTS = (0, 65_535)
ADS1115_COUNTS = (-32_768, 32_767)
MCP3008_COUNTS = (0, 1023)

PWM_PINS = (12, 13, 18, 19)
"""Pins of a Pi that have a PWM."""

KINDS: tuple[str, ...] = (
    "GPIO17",
    "line:NAME",
    "gpiochip0:5",
    "pulse:GPIO4",
    "pwm:GPIO18",
    "ads1115:0",
    "mcp23017:0x20:A0",
    "mcp3008:3",
)

OWN_NAMES = ("gpio", "line", "pulse", "pwm", "ads1115", "mcp23017", "mcp3008", "adc", "uart")

_PIN = r"GPIO\d{1,2}|line:[!-~][ -~]{0,30}|gpiochip\d{1,2}:\d{1,3}"
_LINE = re.compile(_PIN)
_CHIP = re.compile(rf"(gpiochip\d{{1,2}}):(\d{{1,3}}|{LINK})")
_PWM = re.compile(r"GPIO(\d{1,2})|pwmchip\d{1,2}:\d{1,2}")
_ADS1115 = re.compile(rf"(?:(0x[0-9a-fA-F]{{2}}):)?([0-3]|{LINK})")
_MCP23017 = re.compile(rf"(0x[0-9a-fA-F]{{2}}):([AB][0-7]|{LINK})")
_MCP3008 = re.compile(rf"(?:(\d{{1,2}}\.\d{{1,2}}):)?([0-7]|{LINK})")


class LinkTable(Table):
    """[SIGNAL] of a channel without keys of its own."""


class PinInputTable(Table):
    """[SIGNAL] of a digital input on a pin."""

    pull: Literal["up", "down"] | None = None
    debounce_ms: Annotated[int, Field(ge=0, le=1000)] = 0


class PinOutputTable(Table):
    """[SIGNAL] of a digital output on a pin."""

    drive: Literal["push_pull", "open_drain", "open_source"] = "push_pull"


class PulseTable(Table):
    """[SIGNAL] of a counter."""

    pull: Literal["up", "down"] | None = None
    edge: Literal["rising", "falling"] = "rising"
    debounce_ms: Annotated[int, Field(ge=0, le=1000)] = 0


class PwmTable(Table):
    """[SIGNAL] of a PWM."""

    freq_hz: Annotated[int, Field(ge=1, le=100_000)] = 1000


class Ads1115Table(Table):
    """[SIGNAL] of an ADS1115."""

    range_mv: Literal[256, 512, 1024, 2048, 4096, 6144] = 4096


class ExpanderInputTable(Table):
    """[SIGNAL] of an input of an MCP23017."""

    pull: Literal["up"] | None = None


DOCUMENTED: tuple[type[Table], ...] = (
    PinInputTable,
    PinOutputTable,
    PulseTable,
    PwmTable,
    Ads1115Table,
    ExpanderInputTable,
)
"""Tables whose keys have a line in docs/raspberry-pi.md."""


@dataclass(frozen=True)
class LocalPoint:
    """What a channel of the machine is: its driver's kind, the device's name, the place on it, and what fits there."""

    kind: str
    device: str
    at: str
    shape: PointShape
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Channel:
    """One channel on its way to a point."""

    text: str
    rest: str
    own: Mapping[str, Any]
    is_output: bool
    where: str
    problems: Problems

    def point(
        self,
        kind: str,
        device: str,
        at: str,
        table: type[Table],
        signal: str,
        is_output: bool,
        counts: tuple[int, int],
    ) -> LocalPoint | None:
        """The point, or None where a key of the signal's table is wrong."""
        if at == LINK:
            table, signal, is_output, counts = LinkTable, "digital", False, DIGITAL
        settings = model_of(table, dict(self.own), self.where, self.problems)
        if settings is None:
            return None
        keys = tuple(table.model_fields)
        plain = settings.model_dump(exclude_none=True)
        return LocalPoint(kind, device, at, PointShape(signal, is_output, counts, keys=keys), plain)

    def wrong(self, what: str) -> None:
        """Say what is wrong with the channel."""
        self.problems.error(self.where, f"channel = {shown(self.text)}: {what}")


def local_point(
    channel: str, own: Mapping[str, Any], kind: str, is_output: bool, where: str, problems: Problems
) -> LocalPoint | None:
    """The point that `channel` names, for a signal of `kind`; None after saying what is wrong.

    `own`: the keys of the signal's table that are not every board's.
    """
    head, _, rest = channel.partition(":")
    asked = _Channel(channel, rest, own, is_output, where, problems)
    if _LINE.fullmatch(channel) or _CHIP.fullmatch(channel):
        return _pin(asked)
    reader = _READERS.get(head)
    if reader is not None:
        return reader(asked)
    if head == "uart":
        asked.wrong('a reader is a device here; add [devices.NAME] with kind = "instrument"')
    elif rest and re.fullmatch(r"(?!gpiochip|line)[a-z][a-z0-9_]*", head):
        near = closest(head, sorted(_READERS))
        more = near if "?" in near else f"write one of {', '.join(KINDS)}"
        asked.wrong(f"unknown kind of channel, and no [devices.{head}] in this file; {more}")
    else:
        asked.wrong(f"unknown kind of channel; write one of {', '.join(KINDS)}")
    return None


def is_own_name(name: str) -> bool:
    """Whether channels of the machine itself begin so: no [devices.NAME] may have that name."""
    return name in OWN_NAMES or re.fullmatch(r"gpiochip\d+", name) is not None


def local_device(kind: str, name: str, board: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the driver of a local device. `board`: the plain values of [board]."""
    chip, _, place = name.partition(":")
    if kind == "i2c":
        return {"chip": chip, "address": int(place, 16), "bus": board.get("i2c", 1)}
    if kind == "spi":
        bus, _, select = place.partition(".")
        return {"bus": int(bus), "select": int(select)}
    if kind in ("gpio", "pulse"):
        return {"consumer": f"cell {board.get('cell', '')}".strip()}
    return {}


def _pin(asked: _Channel) -> LocalPoint | None:
    chip = _CHIP.fullmatch(asked.text)
    device = chip[1] if chip else "gpio"
    at = LINK if chip and chip[2] == LINK else asked.text
    table = PinOutputTable if asked.is_output else PinInputTable
    return asked.point("gpio", device, at, table, "digital", asked.is_output, DIGITAL)


def _pulse(asked: _Channel) -> LocalPoint | None:
    if not _LINE.fullmatch(asked.rest):
        asked.wrong(f"'{asked.rest}' is not a pin; write pulse:GPIO4, for example")
        return None
    return asked.point("pulse", "pulse", asked.rest, PulseTable, "counter", False, COUNTS)


def _pwm(asked: _Channel) -> LocalPoint | None:
    found = _PWM.fullmatch(asked.rest)
    if found is None:
        asked.wrong(f"'{asked.rest}' is no PWM; write pwm:GPIO18 or pwm:pwmchip0:0, for example")
        return None
    if found[1] and int(found[1]) not in PWM_PINS:
        known = ", ".join(f"GPIO{pin}" for pin in PWM_PINS)
        asked.wrong(f"GPIO{found[1]} of a Pi has no PWM; choose one of {known}")
        return None
    return asked.point("pwm", "pwm", asked.rest, PwmTable, "analog", True, PWM_COUNTS)


def _ads1115(asked: _Channel) -> LocalPoint | None:
    found = _ADS1115.fullmatch(asked.rest)
    address = int(found[1], 16) if found and found[1] else 0x48
    if found is None or not 0x48 <= address <= 0x4B:
        asked.wrong("write ads1115:0 .. ads1115:3, or ads1115:0x49:0 for another address of 0x48..0x4b")
        return None
    device = f"ads1115:{address:#x}"
    return asked.point("i2c", device, found[2], Ads1115Table, "analog", False, ADS1115_COUNTS)


def _mcp23017(asked: _Channel) -> LocalPoint | None:
    found = _MCP23017.fullmatch(asked.rest)
    address = int(found[1], 16) if found else 0
    if found is None or not 0x20 <= address <= 0x27:
        asked.wrong("write mcp23017:0x20:A0, with an address of 0x20..0x27 and a pin A0..A7 or B0..B7")
        return None
    pin = found[2]
    if not asked.is_output and pin in ("A7", "B7"):
        asked.wrong("A7 and B7 of an MCP23017 are for outputs only; choose another pin")
        return None
    if asked.own.get("pull") == "down" and not asked.is_output:
        asked.problems.error(
            asked.where, 'pull = "down": an MCP23017 pulls up only; write "up" or use a resistor'
        )
        return None
    table = LinkTable if asked.is_output else ExpanderInputTable
    device = f"mcp23017:{address:#x}"
    return asked.point("i2c", device, pin, table, "digital", asked.is_output, DIGITAL)


def _mcp3008(asked: _Channel) -> LocalPoint | None:
    found = _MCP3008.fullmatch(asked.rest)
    if found is None:
        asked.wrong("write mcp3008:0 .. mcp3008:7, or mcp3008:0.1:3 for the one at /dev/spidev0.1")
        return None
    device = f"mcp3008:{found[1] or '0.0'}"
    return asked.point("spi", device, found[2], LinkTable, "analog", False, MCP3008_COUNTS)


def _adc(asked: _Channel) -> None:
    asked.wrong("a Raspberry Pi has no converter; put an ADS1115 or MCP3008 on it: ads1115:0, mcp3008:0")


_READERS: Mapping[str, Callable[[_Channel], LocalPoint | None]] = {
    "pulse": _pulse,
    "pwm": _pwm,
    "ads1115": _ads1115,
    "mcp23017": _mcp23017,
    "mcp3008": _mcp3008,
    "adc": _adc,
}
