"""The description of a Modbus device and its table in a wiring file: what they become, and what is said of mistakes."""

import re
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from board.contract import DevicePlan
from board.modbus_client import LATEST_S
from board.modbus_line import MOST_PAUSE_MS, REOPEN_MS, SHARE, TRIES
from board.modbus_points import REWRITE_MS, TIMES_IN_TIMEOUT
from board.modbus_unit import LATE_TENTHS, SLOW_MS
from host_tools.devices.common import DeviceShape, DeviceTable
from host_tools.devices.modbus import ModbusTable, check_plans, shape
from host_tools.devices.modbus_points import HeadTable, RegisterTable, TimeoutTable
from host_tools.models import Table
from host_tools.toml_file import Problems
from tests.board.modbus_plans import describe, plan_of, shape_of

TCP = "tcp://192.168.1.20:502"
DEVICE = """
[device]
name = "mine"
{head}
[points]
{points}
"""
MODELS = ("demo_io", "relay_8di_8do", "analog_in_4", "sdm120", "drive")


def described(
    tmp_path: Path, points: str, head: str = "", **table: Any
) -> tuple[DeviceShape | None, list[str]]:
    describe(tmp_path, "mine", DEVICE.format(head=head, points=points))
    problems = Problems()
    table = {"kind": "modbus", "model": "mine", "address": TCP, **table}
    return shape("io1", table, "wiring/rpi.toml, [devices.io1]", tmp_path, problems), problems.errors


@pytest.mark.parametrize("model", MODELS)
def test_the_descriptions_that_come_with_the_package_are_right(model: str) -> None:
    found = shape_of("io1", model=model, address="/dev/ttyUSB0")
    assert "link" in found.points
    assert len(found.points) > 4


def test_only_these_come_with_the_package() -> None:
    for path in (resources.files("host_tools") / "device_models").iterdir():
        assert path.name.removesuffix(".toml") in MODELS or 'table = "' not in path.read_text()


def test_a_device_gets_its_defaults() -> None:
    found = shape_of("io1", model="demo_io", address=TCP)
    given = {key: value for key, value in found.settings.items() if key != "points"}
    assert given == {
        "address": TCP,
        "unit": 1,
        "baud": 9600,
        "bits": 8,
        "parity": "none",
        "stop_bits": 1,
        "poll_ms": 20,
        "answer_ms": 100,
        "stale_ms": 200,
        "bad_ms": 1000,
        "comms_timeout_ms": 1000,
        "timeout_register": {"address": 100, "count": 100, "step_ms": 10, "single": True, "read_back": True},
        "max_bits": 2000,
        "max_registers": 125,
        "gap": 8,
        "write_single": True,
        "write_multiple": True,
    }
    assert found.on_death == "device_fallback"


def test_settings_are_plain() -> None:
    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(plain(entry) for entry in value.values())
        return value is None or isinstance(value, int | str | bool)

    for model in MODELS:
        assert plain(shape_of("io1", model=model, address="/dev/ttyUSB0").settings), model


SCALED = """
speed = { table = "holding", address = 1, type = "u16", scale = 0.01, unit = "Hz", range = [0, 60], access = "out" }
power = { table = "input", address = 0, type = "f32", resolution = 0.5, unit = "W", range = [-100, 100] }
energy = { table = "input", address = 2, type = "u32", scale = 10, unit = "Wh", kind = "counter", range = [0, 1000] }
level = { table = "input", address = 4, type = "i16", scale = 0.1, resolution = 0.5, range = [-10, 10] }
"""


def test_registers_with_a_scale_are_values_with_a_unit(tmp_path: Path) -> None:
    found, errors = described(
        tmp_path,
        SCALED,
    )
    assert found is not None, errors
    speed, power, energy = (found.points[name] for name in ("speed", "power", "energy"))
    assert (speed.kind, speed.is_output, speed.unit, speed.counts) == ("analog", True, "Hz", (0, 6000))
    assert speed.span == (0, 6000, Decimal(0), Decimal(60))
    assert power.span == (-200, 200, Decimal(-100), Decimal(100))
    assert (energy.kind, energy.counts, energy.span) == (
        "counter",
        (0, 100),
        (0, 100, Decimal(0), Decimal(1000)),
    )
    level = found.settings["points"]["level"]
    assert (level["num"], level["den"], level["low"], level["high"]) == (1, 5, -20, 20)


def test_registers_without_a_scale_are_counts_of_which_the_wiring_knows(tmp_path: Path) -> None:
    found, _ = described(tmp_path, 'ai0 = { table = "input", address = 0, type = "i16" }')
    assert found is not None
    assert found.points["ai0"].counts == (-32768, 32767)
    assert found.points["ai0"].span is None


MISTAKES = [
    ('a = { table = "coil", address = 0, type = "u16" }', 'table = "coil" has bits: remove type and bit'),
    ('a = { table = "input", address = 0 }', "'type' is missing"),
    ('a = { table = "input", address = 0, type = "bit" }', 'bit = None and type = "bit" do not go together'),
    (
        'a = { table = "input", address = 0, type = "u16", bit = 3 }',
        'bit = 3 and type = "u16" do not go together',
    ),
    ('a = { table = "input", address = 0, bit = 3, unit = "V" }', "unit means nothing for a bit"),
    ('a = { table = "input", address = 0, type = "u32" }', "'range' is missing"),
    ('a = { table = "input", address = 0, type = "f32", range = [0, 1] }', "'resolution' is missing"),
    ('a = { table = "input", address = 0, type = "u16", range = [0, 70000] }', "range = [0, 70000]: type"),
    (
        'a = { table = "input", address = 0, type = "u16", range = [5, 5] }',
        "is not a rising one in whole steps",
    ),
    ('a = { table = "input", address = 0, type = "u16", scale = 0 }', "scale and resolution are above 0"),
    ('a = { table = "input", address = 65535, type = "i32", range = [0, 9] }', "ends after 65535"),
    (
        'a = { table = "input", address = 0, type = "u16", access = "out" }',
        'table = "input" can only be read',
    ),
    (
        'a = { table = "holding", address = 0, type = "u64", range = [0, 9], access = "out" }',
        "cannot be driven",
    ),
    (
        'a = { table = "coil", address = 0, access = "out", poll = "slow" }',
        'poll and kind are for access = "in"',
    ),
    (
        'a = { table = "coil", address = 0, read_back = false }',
        'read_back and fallback are for access = "out"',
    ),
    (
        'a = { table = "coil", address = 0, access = "out", fallback = 2 }',
        "fallback = 2 is not a value of the point",
    ),
    ('link = { table = "coil", address = 0 }', "'link' is the point that every device has"),
    ('Big = { table = "coil", address = 0 }', "'Big' is not a name"),
    ('a = { table = "coil", address = 70000 }', "address = 70000 is more than 65535"),
    ('a = { table = "coil", address = 0, acces = "in" }', "unknown key 'acces'; did you mean 'access'?"),
    (
        'a = { table = "coil", address = 0, access = "out" }\nb = { table = "coil", address = 0, access = "out" }',
        "coil 0 is written by 'a' already",
    ),
    (
        'a = { table = "holding", address = 0, bit = 1, access = "out" }\n'
        'b = { table = "holding", address = 0, type = "u16", access = "out" }',
        "holding 0 is written by 'a' already",
    ),
]


@pytest.mark.parametrize(("points", "said"), MISTAKES)
def test_a_mistake_in_a_point_is_one_line(tmp_path: Path, points: str, said: str) -> None:
    found, errors = described(tmp_path, points)
    assert found is None
    assert len(errors) == 1, errors
    assert said in errors[0]
    assert errors[0].startswith("devices/mine.toml, [points")


@pytest.mark.parametrize(
    ("head", "points", "said"),
    [
        (
            "max_registers = 1",
            'a = { table = "input", address = 0, type = "i32", range = [0, 9] }',
            "max_registers = 1",
        ),
        (
            "write_multiple = false",
            'a = { table = "holding", address = 0, type = "i32", range = [0, 9], access = "out" }',
            "write_multiple is false",
        ),
        (
            "write_single = false\nwrite_multiple = false",
            'a = { table = "coil", address = 0 }',
            "one of them must be",
        ),
        ("gap = 200", 'a = { table = "coil", address = 0 }', "gap = 200 is more than 124"),
    ],
)
def test_a_device_cannot_do_what_it_cannot(tmp_path: Path, head: str, points: str, said: str) -> None:
    found, errors = described(tmp_path, points, head)
    assert found is None
    assert said in " ".join(errors)


A_COIL = 'a = { table = "coil", address = 0 }'
TIMEOUT = "[device.comms_timeout]\naddress = 9\nstep_ms = 100\ndefault_ms = 1000"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"address": "tcp://host"}, "address 'tcp://host' is not tcp://HOST:PORT; correct it"),
        ({"baud": 9600}, "baud means nothing for address"),
        ({"address": "/dev/ttyUSB0", "unit": 248}, "unit = 248 is outside 1..247"),
        ({"address": "/dev/ttyUSB0", "bits": 7}, "bits = 7: Modbus RTU sends 8 bits"),
        ({"unit": 256}, "unit = 256 is more than 255"),
        ({"stale_ms": 2000}, "stale_ms = 2000 is not less than bad_ms = 1000"),
        ({"answer_ms": 400}, "write at least bad_ms = 1200"),
        ({"poll_ms": 200, "comms_timeout_ms": 0}, "poll_ms = 200 is not less than stale_ms = 200"),
        ({"comms_timeout_ms": 1050}, "the device counts 100 ms; write a multiple of that up to 6553500"),
        (
            {"comms_timeout_ms": 200},
            "poll_ms = 20 is too slow for a comms time-out of 200 ms; write at most 16",
        ),
        (
            {"on_death": "release"},
            'with a comms time-out the device falls back by itself; write "device_fallback"',
        ),
        (
            {"on_death": "device_fallback", "comms_timeout_ms": 0},
            'write "hold_last", or change comms_timeout_ms',
        ),
        ({"model": "no_such"}, "there is neither devices/no_such.toml nor one of that name in the package"),
        ({"speed": 1}, "unknown key 'speed'"),
    ],
)
def test_a_mistake_in_the_wiring_is_one_line(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    found, errors = described(tmp_path, A_COIL, TIMEOUT, **table)
    assert found is None
    assert len(errors) == 1, errors
    assert said in errors[0]
    assert errors[0].startswith("wiring/rpi.toml, [devices.io1]")


def test_what_dies_with_the_controller_follows_from_the_comms_time_out(tmp_path: Path) -> None:
    held, _ = described(tmp_path, A_COIL, TIMEOUT, comms_timeout_ms=0)
    set_elsewhere, _ = described(tmp_path, A_COIL, comms_timeout_ms=3000)
    nothing, _ = described(tmp_path, A_COIL)
    assert held is not None
    assert set_elsewhere is not None
    assert nothing is not None
    assert (held.on_death, held.settings["timeout_register"]["count"]) == ("hold_last", 0)
    assert set_elsewhere.on_death == "device_fallback"
    assert set_elsewhere.settings["timeout_register"] is None
    assert nothing.on_death == "hold_last"


# --- several devices on one line ---


def said_of(*plans: DevicePlan) -> tuple[list[str], list[str]]:
    problems = Problems()
    check_plans(plans, "wiring/rpi.toml", problems)
    return problems.errors, problems.warnings


def meter(name: str, unit: int, **table: Any) -> DevicePlan:
    return plan_of(
        name, ["link", "power", "voltage"], model="sdm120", address="/dev/ttyUSB0", unit=unit, **table
    )


def test_devices_of_one_line_agree_on_it() -> None:
    errors, _ = said_of(meter("one", 1, baud=9600), meter("two", 2, baud=19200))
    assert errors == [
        "wiring/rpi.toml, [devices.two]: baud = 19200, and 'one' on the same line has 9600; write the same for both"
    ]
    errors, _ = said_of(meter("one", 1), meter("two", 1))
    assert errors == [
        "wiring/rpi.toml, [devices.two]: unit = 1 on /dev/ttyUSB0 is 'one' already; correct one of them"
    ]
    assert said_of(meter("one", 1, baud=38400), meter("two", 2, baud=38400)) == ([], [])


def test_a_round_that_takes_longer_than_a_value_is_good_is_said() -> None:
    """Two meters at 2400 baud: 8 bytes there, 9 back and 3.5 of silence, 20.5 * 10 bits, are 85 ms for each of them."""
    errors, warnings = said_of(*(meter(name, unit) for unit, name in enumerate(("one", "two", "three"), 1)))
    assert errors == []
    assert len(warnings) == 3
    assert "a round of its line takes about 256 ms" in warnings[0]
    assert "stale_ms = 200" in warnings[0]


def test_a_fallback_that_is_not_what_the_cell_calls_safe_is_said(tmp_path: Path) -> None:
    describe(
        tmp_path,
        "mine",
        DEVICE.format(
            head=TIMEOUT,
            points='fan = { table = "coil", address = 0, access = "out", fallback = 1 }\n'
            'heat = { table = "coil", address = 1, access = "out" }',
        ),
    )
    plan = plan_of("io1", ["link", "fan", "heat"], tmp_path, model="mine", address=TCP)
    errors, warnings = said_of(plan)
    assert errors == []
    assert warnings == [
        "wiring/rpi.toml, [fan]: without a controller io1 drives fan at 1, and safe is 0 there; "
        "set the device so, and write fallback in its description"
    ]


# --- docs/modbus.md ---

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "modbus.md").read_text()


def test_every_key_has_a_line_on_its_page() -> None:
    tables: list[type[Table]] = [HeadTable, RegisterTable, TimeoutTable]
    keys = {key for table in tables for key in table.model_fields}
    keys |= set(ModbusTable.model_fields) - set(DeviceTable.model_fields)
    assert [key for key in sorted(keys) if f"`{key}`" not in PAGE] == []


def test_every_description_has_a_line_on_its_page() -> None:
    assert [model for model in MODELS if f"| `{model}` |" not in PAGE] == []


def test_the_description_of_the_page_is_right(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml file=devices/oven_io.toml\n(.*?)```", PAGE, re.DOTALL)
    describe(tmp_path, "oven_io", text)
    found = shape_of("oven", tmp_path, model="oven_io", address=TCP)
    assert len(found.points) == 8
    assert found.settings["points"]["power"]["little"]


def test_the_bounds_of_the_page_are_those_of_the_driver() -> None:
    assert (TRIES, SHARE, MOST_PAUSE_MS, REOPEN_MS) == (3, 9, 2000, 3000)
    assert (LATEST_S, SLOW_MS, REWRITE_MS, TIMES_IN_TIMEOUT, LATE_TENTHS) == (0.6, 1000, 1000, 5, 9)
