"""A small cell directory for tests: sound as it stands, each test breaks one thing in it."""

from pathlib import Path

import pytest

from cell_controller.errors import CellFileError
from host_tools.cellfile import compile_cell

CELL = """
[cell]
name = "booth-1"
path = "coachworks/leeds/body/paint"
emergency_stop = "chain_ok"
heartbeat = "heartbeat"

[inputs.airflow]
unit = "m3/min"
range = [0, 12]
resolution = 0.01
[inputs.door_closed]
[inputs.chain_ok]
on_bad = "abort"

[outputs.booth_fan]
safe = "on"
[outputs.valve_green]
safe = "off"
[outputs.lamp]
unit = "%"
range = [0, 100]
safe = 0
on_hold = "keep"
[outputs.heartbeat]
safe = "off"

[interlocks.no_spray_without_air]
blocks = ["valve_green"]
needs = { airflow = { min = 4, hysteresis = 0.2 }, door_closed = true }
then = "hold"
message = "spraying needs air and a closed door"

[states.Resetting]
limit_s = 20
"""

WIRING = """
[board]
on_death = "hold_last"
[airflow]
channel = "ads1115:0"
span = { raw = [0, 26400], value = [0, 12] }
[door_closed]
channel = "GPIO4"
[chain_ok]
channel = "GPIO5"
[booth_fan]
channel = "GPIO22"
relay = true
[valve_green]
channel = "GPIO23"
relay = true
[lamp]
channel = "pwm:GPIO18"
relay = true
[heartbeat]
channel = "GPIO24"
"""

EQUIPMENT = '''
from cell_controller.core.phases import phase, state, until, wait

@phase(needs=("door_closed",), counts="coat")
def spray(cell, colour, coats, dwell_ms):
    """One colour on one panel, in coats."""
    cell.booth_fan.on()
    yield until(cell.airflow, min=4, within_s=5, fault="booth air did not build up")
    for _ in range(coats):
        cell.valve(colour).on()
        yield wait(dwell_ms)
        cell.valve(colour).off()

@phase
def cure(cell, cure_s=5):
    cell.lamp.set(80)
    yield wait(cure_s * 1000)
    cell.lamp.off()

@state("Resetting")
def home(cell):
    cell.lamp.off()
    yield
'''

BONNET = """
[recipe]
product = "bonnet"
version = 3

[parameters]
coats = { default = 2, range = [1, 4] }
dwell_ms = { default = 4500, range = [1000, 20000], unit = "ms" }
film_um = { default = 22.5, range = [10, 50], unit = "um", resolution = 0.5 }

[options.colour]
green = { coats = 3 }
primer = { coats = 1, use = "green", skip = ["cure"] }

[options.finish]
default = "satin"
satin = {}
gloss = { film_um = 30, add = ["bake"] }

[options.pinstripe]
kind = "text"
max_length = 10
characters = "ABCDE "

[options.gap]
kind = "number"
unit = "mm"
range = [0, 5]
resolution = 0.1
default = 2.5

[options.pattern]
kind = "file"

[[exclude]]
when = { colour = "primer", finish = "gloss" }
message = "primer has no gloss"

[[step]]
phase = "cure"
name = "warm"
set = { cure_s = 2 }
planned_s = 2

[[step]]
phase = "spray"
planned_s = 20

[[step]]
phase = "cure"
planned_s = 5

[[step]]
phase = "cure"
name = "bake"
optional = true
planned_s = 9
"""

FILES = {
    "cell.toml": CELL,
    "wiring/rpi.toml": WIRING,
    "equipment.py": EQUIPMENT,
    "recipes/bonnet.toml": BONNET,
}


def make_cell(directory: Path, *changes: tuple[str, str, str]) -> Path:
    """Write the cell to `directory`, with `changes`: (file, text in it, what stands there instead)."""
    texts = dict(FILES)
    for file, old, new in changes:
        assert old in texts[file], f"{file} has no {old!r}"
        texts[file] = texts[file].replace(old, new, 1)
    for file, text in texts.items():
        path = directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return directory


def problems_of(directory: Path, board: str = "rpi") -> list[str]:
    """Every line that compiling the cell of `directory` refuses it with."""
    with pytest.raises(CellFileError) as caught:
        compile_cell(directory, board)
    return caught.value.problems
