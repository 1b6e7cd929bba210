"""A small cell wired for a Pico W and for an ESP32; each test changes one thing in the wiring."""

from pathlib import Path
from typing import Any

import pytest

from cell_controller.errors import CellFileError
from host_tools.cellfile import compile_cell
from host_tools.compile_wiring import compile_wiring

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"

CELL = """
[cell]
name = "booth-1"
heartbeat = "heartbeat"
emergency_stop = "chain_ok"
[inputs.chain_ok]
on_bad = "abort"
[inputs.shut]
[inputs.level]
unit = "mm"
range = [0, 100]
[inputs.carrier]
kind = "identity"
[inputs.energy]
kind = "counter"
[outputs.valve]
safe = "off"
[outputs.fan]
unit = "%"
range = [0, 100]
safe = 0
[outputs.lamp]
unit = "%"
range = [0, 100]
safe = 0
[outputs.heartbeat]
safe = "off"
"""

PICO = """
[board]
target = "rp2"
i2c = { sda = "GP4", scl = "GP5" }
[chain_ok]
channel = "GP2"
[shut]
channel = "mcp23017:0x20:B0"
[level]
channel = "adc:GP26"
span = { raw = [0, 4095] }
[carrier]
channel = "uart:0"
[energy]
channel = "pulse:GP3"
[valve]
channel = "GP6"
[fan]
channel = "pwm:GP16"
span = { raw = [0, 65535] }
[lamp]
channel = "pwm:GP17"
span = { raw = [0, 65535] }
[heartbeat]
channel = "GP7"
"""

ESP = (
    PICO.replace('"rp2"', '"esp32"')
    .replace("GP26", "GPIO36")
    .replace('sda = "GP4", scl = "GP5"', 'sda = "GPIO21", scl = "GPIO22"')
    .replace('"GP2"', '"GPIO35"')
    .replace('"uart:0"', '"uart:2"\ntx = "GPIO16"\nrx = "GPIO4"')
    .replace("GP3\n", "GPIO14\n")
    .replace('pulse:GP3"', 'pulse:GPIO14"')
    .replace('"GP6"', '"GPIO18"')
    .replace("pwm:GP16", "pwm:GPIO25")
    .replace("pwm:GP17", "pwm:GPIO26")
    .replace('"GP7"', '"GPIO19"')
)


def make(directory: Path, wiring: str, *changes: tuple[str, str]) -> Path:
    """The small cell with `wiring` as wiring/mcu.toml, changed."""
    for old, new in changes:
        assert old in wiring, f"no {old!r}"
        wiring = wiring.replace(old, new, 1)
    (directory / "wiring").mkdir()
    (directory / "cell.toml").write_text(CELL)
    (directory / "wiring" / "mcu.toml").write_text(wiring)
    return directory


def compiled(directory: Path) -> dict[str, Any]:
    return compile_wiring(compile_cell(directory, "mcu"))


def refused(directory: Path) -> list[str]:
    with pytest.raises(CellFileError) as caught:
        compiled(directory)
    return caught.value.problems
