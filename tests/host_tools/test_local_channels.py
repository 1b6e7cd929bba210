"""Channels of a Linux machine itself, and every mistake in one as a line with its remedy."""

import re
from pathlib import Path
from typing import Any

import pytest

from host_tools.devices.common import COUNTS
from host_tools.devices.local import DOCUMENTED, KINDS, LocalPoint, is_own_name, local_device, local_point
from host_tools.toml_file import Problems

WHERE = "wiring/rpi.toml, [x]"


def point(channel: str, is_output: bool = False, **own: Any) -> LocalPoint:
    problems = Problems()
    found = local_point(channel, own, "digital", is_output, WHERE, problems)
    assert problems.errors == []
    assert found is not None
    return found


def mistake(channel: str, is_output: bool = False, **own: Any) -> str:
    problems = Problems()
    assert local_point(channel, own, "digital", is_output, WHERE, problems) is None
    assert len(problems.errors) == 1
    return problems.errors[0].removeprefix(f"{WHERE}: ")


@pytest.mark.parametrize(
    ("channel", "is_output", "expected"),
    [
        ("GPIO17", True, ("gpio", "gpio", "GPIO17", "digital", (0, 1))),
        ("GPIO4", False, ("gpio", "gpio", "GPIO4", "digital", (0, 1))),
        ("line:valve 3", True, ("gpio", "gpio", "line:valve 3", "digital", (0, 1))),
        ("gpiochip1:5", True, ("gpio", "gpiochip1", "gpiochip1:5", "digital", (0, 1))),
        ("gpiochip1:link", False, ("gpio", "gpiochip1", "link", "digital", (0, 1))),
        ("pulse:GPIO4", False, ("pulse", "pulse", "GPIO4", "counter", COUNTS)),
        ("pulse:line:meter", False, ("pulse", "pulse", "line:meter", "counter", COUNTS)),
        ("pwm:GPIO18", True, ("pwm", "pwm", "GPIO18", "analog", (0, 65535))),
        ("pwm:pwmchip0:1", True, ("pwm", "pwm", "pwmchip0:1", "analog", (0, 65535))),
        ("ads1115:0", False, ("i2c", "ads1115:0x48", "0", "analog", (-32768, 32767))),
        ("ads1115:0x4B:3", False, ("i2c", "ads1115:0x4b", "3", "analog", (-32768, 32767))),
        ("ads1115:link", False, ("i2c", "ads1115:0x48", "link", "digital", (0, 1))),
        ("mcp23017:0x20:A0", True, ("i2c", "mcp23017:0x20", "A0", "digital", (0, 1))),
        ("mcp23017:0x20:B6", False, ("i2c", "mcp23017:0x20", "B6", "digital", (0, 1))),
        ("mcp23017:0x27:link", False, ("i2c", "mcp23017:0x27", "link", "digital", (0, 1))),
        ("mcp3008:3", False, ("spi", "mcp3008:0.0", "3", "analog", (0, 1023))),
        ("mcp3008:1.0:7", False, ("spi", "mcp3008:1.0", "7", "analog", (0, 1023))),
    ],
)
def test_what_a_channel_is(
    channel: str, is_output: bool, expected: tuple[str, str, str, str, tuple[int, int]]
) -> None:
    found = point(channel, is_output)
    assert (found.kind, found.device, found.at, found.shape.kind, found.shape.counts) == expected
    assert found.shape.is_output == is_output


def test_keys_come_completed_and_plain() -> None:
    assert point("GPIO4").settings == {"debounce_ms": 0}
    assert point("GPIO4", pull="up", debounce_ms=5).settings == {"pull": "up", "debounce_ms": 5}
    assert point("GPIO4", True).settings == {"drive": "push_pull"}
    assert point("pulse:GPIO4").settings == {"edge": "rising", "debounce_ms": 0}
    assert point("pwm:GPIO18", True).settings == {"freq_hz": 1000}
    assert point("ads1115:1").settings == {"range_mv": 4096}
    assert point("mcp3008:1").settings == {}


def test_settings_of_devices() -> None:
    assert local_device("i2c", "mcp23017:0x21", {"i2c": 3}) == {"chip": "mcp23017", "address": 0x21, "bus": 3}
    assert local_device("i2c", "ads1115:0x48", {}) == {"chip": "ads1115", "address": 0x48, "bus": 1}
    assert local_device("spi", "mcp3008:0.1", {}) == {"bus": 0, "select": 1}
    assert local_device("gpio", "gpio", {"cell": "paint-1"}) == {"consumer": "cell paint-1"}
    assert local_device("pwm", "pwm", {"cell": "paint-1"}) == {}


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("GPI17", "unknown kind of channel; write one of GPIO17, line:NAME"),
        ("io1:do0", "unknown kind of channel, and no [devices.io1] in this file; write one of GPIO17"),
        ("ads1015:0", "did you mean 'ads1115'?"),
        ("pusle:GPIO4", "did you mean 'pulse'?"),
        ("line:", "unknown kind of channel"),
        ("gpiochip0:x", "unknown kind of channel"),
        ("pulse:4", "'4' is not a pin; write pulse:GPIO4"),
        ("pwm:GPIO17", "GPIO17 of a Pi has no PWM; choose one of GPIO12, GPIO13, GPIO18, GPIO19"),
        ("pwm:18", "'18' is no PWM; write pwm:GPIO18 or pwm:pwmchip0:0"),
        ("ads1115:4", "write ads1115:0 .. ads1115:3"),
        ("ads1115:0x20:1", "another address of 0x48..0x4b"),
        ("mcp23017:0x48:A0", "an address of 0x20..0x27"),
        ("mcp23017:0x20:C0", "a pin A0..A7 or B0..B7"),
        ("mcp23017:0x20:A7", "A7 and B7 of an MCP23017 are for outputs only"),
        ("mcp3008:8", "write mcp3008:0 .. mcp3008:7"),
        ("adc:GPIO26", "a Raspberry Pi has no converter"),
        ("uart:/dev/ttyUSB0", 'add [devices.NAME] with kind = "instrument"'),
    ],
)
def test_a_channel_that_is_none(channel: str, said: str) -> None:
    line = mistake(channel)
    assert line.startswith(f'channel = "{channel}": ')
    assert said in line


@pytest.mark.parametrize(
    ("channel", "is_output", "own", "said"),
    [
        ("GPIO4", False, {"pul": "up"}, "unknown key 'pul'; did you mean 'pull'?"),
        ("GPIO4", False, {"pull": "high"}, "pull = \"high\" is not one of: 'up' or 'down'"),
        ("GPIO4", False, {"drive": "open_drain"}, "unknown key 'drive'"),
        ("GPIO4", True, {"pull": "up"}, "unknown key 'pull'"),
        ("GPIO4", False, {"debounce_ms": 1001}, "debounce_ms = 1001 is more than 1000"),
        ("pulse:GPIO4", False, {"edge": "both"}, 'edge = "both" is not one of'),
        ("pwm:GPIO18", True, {"freq_hz": 0}, "freq_hz = 0 is less than 1"),
        ("ads1115:0", False, {"range_mv": 5000}, "range_mv = 5000 is not one of"),
        ("mcp23017:0x20:A0", False, {"pull": "down"}, "an MCP23017 pulls up only"),
        ("mcp23017:0x20:A0", True, {"pull": "up"}, "unknown key 'pull'"),
        ("mcp23017:0x20:link", False, {"pull": "up"}, "unknown key 'pull'"),
        ("mcp3008:0", False, {"range_mv": 4096}, "unknown key 'range_mv'"),
    ],
)
def test_a_key_that_means_nothing_there(
    channel: str, is_output: bool, own: dict[str, Any], said: str
) -> None:
    assert said in mistake(channel, is_output, **own)


def test_names_that_a_device_may_not_have() -> None:
    heads = {channel.partition(":")[0] for channel in KINDS if ":" in channel}
    assert all(is_own_name(name) for name in heads | {"gpio"})
    assert not any(is_own_name(name) for name in ("io1", "gpiochip", "pwm2"))


def test_every_key_has_a_line_in_the_documentation() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "raspberry-pi.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    keys = {key for table in DOCUMENTED for key in table.model_fields}
    assert len(keys) == 6
    assert keys - set(rows) == set()
