"""[devices.NAME] of printers and routers: what is completed, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from board.contract import DevicePlan
from board.gcode_machine import GcodeMachine
from board.grbl import make as make_grbl
from board.marlin import make as make_marlin
from host_tools.devices import grbl, marlin
from host_tools.toml_file import Problems
from tests.board.rigs.gcode import ANALOG_IN, ANALOG_OUT, DIGITAL_IN, DIGITAL_OUT, IDENTITY_IN, Bench, points

KINDS = {"marlin": (marlin, make_marlin), "grbl": (grbl, make_grbl)}
PRINTER_ONLY = {"nozzle", "bed", "nozzle_set", "bed_set"}


def table(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "address": "/dev/ttyUSB0", **more}


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_complete_for_the_driver(kind: str, tmp_path: Path) -> None:
    module, make = KINDS[kind]
    problems = Problems()
    shape = module.shape("it", table(kind), "w, [devices.it]", tmp_path, problems)
    assert problems.errors == []
    assert shape is not None
    assert shape.on_death == "hold_last"
    plan = DevicePlan("it", kind, shape.settings, points(tuple(PRINTER_ONLY) if kind == "grbl" else ()))
    device = make([plan], Bench(tmp_path))[0]
    assert isinstance(device, GcodeMachine)


@pytest.mark.parametrize("kind", KINDS)
def test_points_are_those_of_the_driver(kind: str, tmp_path: Path) -> None:
    shape = KINDS[kind][0].shape("it", table(kind), "w", tmp_path, Problems())
    assert shape is not None
    names = {*ANALOG_IN, *ANALOG_OUT, *DIGITAL_IN, *DIGITAL_OUT, *IDENTITY_IN}
    assert set(shape.points) == (names if kind == "marlin" else names - PRINTER_ONLY)
    assert {name for name, point in shape.points.items() if point.is_output} == (
        set(shape.points) & {*ANALOG_OUT, *DIGITAL_OUT}
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"stale_ms": 100}, "stale_ms = 100 is less than"),
        ({"stale_ms": 5000, "bad_ms": 5000}, "bad_ms = 5000 is not more than stale_ms = 5000"),
        ({"on_death": "release"}, "behind the watchdog relay"),
        ({"model": "ender"}, "needs no model"),
        ({"parity": "even"}, "no parity"),
        ({"ack_ms": 10}, "ack_ms = 10 is less than 1500"),
        ({"jobs": "../etc"}, "jobs"),
        ({"cancel_gcode": ["M5 \u00e4"]}, "not plain text"),
        ({"nonsense": 1}, "unknown key 'nonsense'"),
    ],
)
def test_what_is_wrong_is_said(kind: str, more: dict[str, Any], said: str, tmp_path: Path) -> None:
    problems = Problems()
    KINDS[kind][0].shape("it", table(kind, **more), "wiring/rpi.toml, [devices.it]", tmp_path, problems)
    assert len(problems.errors) == 1
    assert said in problems.errors[0]
    assert problems.errors[0].startswith("wiring/rpi.toml, [devices.it]")
