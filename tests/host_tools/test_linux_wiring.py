"""A wiring file for a Linux machine becomes plans of devices, and each mistake in it is one line with its remedy."""

import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from board.contract import DevicePlan
from cell_controller.errors import CellFileError
from host_tools import linux_wiring
from host_tools.cellfile import CompiledCell, compile_cell
from host_tools.check import check
from host_tools.devices.common import DeviceShape, PointShape
from host_tools.toml_file import Problems

CELL = """
[cell]
name = "oven-1"
heartbeat = "heartbeat"
emergency_stop = "chain_ok"
[inputs.chain_ok]
on_bad = "abort"
[inputs.io_link]
on_bad = "stop"
[inputs.temp]
unit = "degC"
range = [0, 200]
resolution = 0.5
[inputs.energy]
kind = "counter"
unit = "Wh"
[outputs.heater]
safe = "off"
[outputs.fan]
unit = "%"
range = [0, 100]
safe = 20
on_abort = "keep"
[outputs.heartbeat]
safe = "off"
"""

WIRING = """
[board]
target = "linux"
[devices.io1]
kind = "demo"
address = "tcp://127.0.0.1:502"
[chain_ok]
channel = "GPIO5"
active_low = true
[io_link]
channel = "io1:link"
[temp]
channel = "io1:ai0"
[energy]
channel = "io1:energy"
[heater]
channel = "io1:do0"
active_low = true
relay = true
[fan]
channel = "io1:ao0"
relay = true
[heartbeat]
channel = "GPIO17"
"""

POINTS = {
    "link": PointShape("digital", False, (0, 1)),
    "di0": PointShape("digital", False, (0, 1)),
    "do0": PointShape("digital", True, (0, 1), keys=("pulse_ms",)),
    "ai0": PointShape("analog", False, (0, 2000), "degC", (0, 2000, Decimal(0), Decimal("200.0"))),
    "ao0": PointShape("analog", True, (0, 1000), "%", (0, 1000, Decimal(0), Decimal(100))),
    "energy": PointShape("counter", False, (0, 1 << 31), "Wh", (0, 1, Decimal(0), Decimal(10))),
    "raw": PointShape("analog", False, (0, 50)),
    "job": PointShape("analog", True, (0, 9), text="0 cancels"),
}


def shape(name: str, table: dict[str, Any], where: str, directory: Path, problems: Problems) -> DeviceShape:
    return DeviceShape(POINTS, {"address": table["address"]}, "device_fallback")


@pytest.fixture(autouse=True)
def demo_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("host_tools.devices.demo")
    module.shape = shape
    monkeypatch.setitem(sys.modules, "host_tools.devices.demo", module)
    monkeypatch.setattr(linux_wiring, "KINDS", ("demo", "other"))


def make(tmp_path: Path, wiring: str = WIRING, cell: str = CELL) -> Path:
    (tmp_path / "wiring").mkdir(exist_ok=True)
    (tmp_path / "cell.toml").write_text(cell)
    (tmp_path / "wiring" / "pi.toml").write_text(wiring)
    return tmp_path


def compiled(tmp_path: Path, wiring: str = WIRING, cell: str = CELL) -> CompiledCell:
    return compile_cell(make(tmp_path, wiring, cell), "pi")


def plans_of(cell: CompiledCell) -> dict[str, DevicePlan]:
    return {plan.name: plan for plan in cell.plans}


def test_signals_become_points_of_their_devices(tmp_path: Path) -> None:
    plans = plans_of(compiled(tmp_path))
    assert sorted(plans) == ["gpio", "io1"]
    assert {point.signal: point.at for point in plans["io1"].points} == {
        "io_link": "link",
        "temp": "ai0",
        "energy": "energy",
        "heater": "do0",
        "fan": "ao0",
    }
    assert plans["io1"].settings == {"address": "tcp://127.0.0.1:502"}
    assert plans["io1"].on_death == "device_fallback"
    assert plans["gpio"].on_death == "hold_last"
    chain, beat = plans["gpio"].points
    assert (chain.signal, chain.index, chain.place, chain.active_low) == ("chain_ok", 0, 0, True)
    assert (beat.signal, beat.index, beat.place, beat.is_output) == ("heartbeat", 2, 1, True)


def test_safe_and_abort_values_are_counts_at_the_terminal(tmp_path: Path) -> None:
    points = {point.signal: point for point in plans_of(compiled(tmp_path))["io1"].points}
    assert (points["heater"].safe, points["heater"].abort) == (1, 1), "active low: off is 1"
    assert (points["fan"].safe, points["fan"].abort) == (200, 200), "keep means the safe one after a loss"


def test_a_device_that_knows_its_unit_needs_no_span(tmp_path: Path) -> None:
    spec = compiled(tmp_path).spec
    temp = next(entry for entry in spec["inputs"] if entry["name"] == "temp")
    assert temp["raw"] == [0, 5, 0, 1], "0.1 degC a count, 0.5 degC a step"
    energy = next(entry for entry in spec["inputs"] if entry["name"] == "energy")
    assert energy["raw"] == [0, 1, 0, 10]
    fan = next(entry for entry in spec["outputs"] if entry["name"] == "fan")
    assert fan["raw"] == [0, 10, 0, 1]


def test_a_span_in_the_wiring_wins(tmp_path: Path) -> None:
    wiring = WIRING.replace('"io1:ai0"', '"io1:ai0"\nspan = { raw = [0, 2000], value = [0, 100] }')
    temp = compiled(tmp_path, wiring).spec["inputs"][2]
    assert temp["raw"] == [0, 2000, 0, 200]


def test_check_names_what_nothing_makes_safe_by_device(tmp_path: Path) -> None:
    wiring = WIRING.replace("relay = true", "").replace('"GPIO17"', '"GPIO17"\n[horn]\nchannel = "GPIO22"')
    cell = CELL + '[outputs.horn]\nsafe = "off"\n'
    texts = [str(finding) for finding in check(make(tmp_path, wiring, cell))]
    assert any("nothing makes these safe: horn;" in text for text in texts), texts


def test_an_emergency_stop_over_a_line_is_worth_a_thought(tmp_path: Path) -> None:
    wiring = WIRING.replace('"GPIO5"', '"io1:di0"')
    assert any(
        "wire it to a pin of the machine itself" in text for text in compiled(tmp_path, wiring).warnings
    )


def test_a_device_without_signals_is_worth_a_thought(tmp_path: Path) -> None:
    wiring = WIRING + '[devices.io2]\nkind = "demo"\naddress = "tcp://127.0.0.1:503"\n'
    assert any("[devices.io2]: no signal is on it" in text for text in compiled(tmp_path, wiring).warnings)


MISTAKES = [
    (
        "an unknown kind",
        'kind = "demo"',
        'kind = "demmo"',
        "[devices.io1]: kind = \"demmo\" is not known; did you mean 'demo'?",
    ),
    ("no kind", 'kind = "demo"\n', "", "[devices.io1]: 'kind' is missing"),
    (
        "a point that is not there",
        "io1:ai0",
        "io1:ai9",
        "[temp]: channel = \"io1:ai9\": the device has no point 'ai9'; did you mean 'ai0'?",
    ),
    (
        "an input on an output",
        "io1:ai0",
        "io1:ao0",
        "[temp]: channel = \"io1:ao0\" is an analog output; 'temp' is an analog input",
    ),
    (
        "an output of another kind",
        "io1:do0",
        "io1:job",
        "[heater]: channel = \"io1:job\" is an analog output (0 cancels); 'heater' is a digital output",
    ),
    (
        "another kind of signal",
        "io1:ai0",
        "io1:link",
        "[temp]: channel = \"io1:link\" is a digital input; 'temp' is an analog input",
    ),
    (
        "a key nobody knows",
        '"io1:do0"',
        '"io1:do0"\npuls_ms = 4',
        "[heater]: unknown key 'puls_ms' for channel = \"io1:do0\"; did you mean 'pulse_ms'?",
    ),
    (
        "counts that do not reach",
        "io1:ai0",
        "io1:raw",
        "[temp]: gives counts 0..50, and cell.toml's range does not lie in them",
    ),
    (
        "an output beyond its channel",
        '"io1:ao0"',
        '"io1:ao0"\nspan = { raw = [0, 4000] }',
        "[fan]: raw count 4000 is outside 0..1000",
    ),
    ("a device that is none", "io1:do0", "io7:do0", '[heater]: channel = "io7:do0": unknown kind of channel'),
    ("devices that are no tables", "[devices.io1]", "[devices.io1.x]", "[devices.io1]: 'kind' is missing"),
    ("a name that is none", "[devices.io1]", '[devices."io 1"]', "[devices.io 1]: 'io 1' is not a name"),
    (
        "an unknown key of the board",
        'target = "linux"',
        'target = "linux"\non_deth = "release"',
        "[board]: unknown key 'on_deth'; did you mean 'on_death'?",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_one_line_with_its_remedy(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WIRING
    with pytest.raises(CellFileError) as caught:
        compiled(tmp_path, WIRING.replace(old, new))
    assert any(said in line for line in caught.value.problems), caught.value.problems


def test_a_device_with_outputs_needs_an_input_that_stops_the_cell(tmp_path: Path) -> None:
    with pytest.raises(
        CellFileError, match=r"io1 has outputs, and its loss would not stop the cell.*io1:link"
    ):
        compiled(tmp_path, cell=CELL.replace('on_bad = "stop"', 'on_bad = "hold"'))


def test_a_unit_that_is_not_the_device_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CellFileError, match=r'gives degC, and cell.toml says "K"'):
        compiled(tmp_path, cell=CELL.replace('"degC"', '"K"'))


def test_a_point_carries_one_signal(tmp_path: Path) -> None:
    wiring = WIRING + '[again]\nchannel = "io1:ai0"\nshared = true\n[and_again]\nchannel = "io1:ai0"\n'
    analog = '[inputs.{}]\nunit = "degC"\nrange = [0, 200]\n'
    cell = CELL + analog.format("again") + analog.format("and_again")
    with pytest.raises(CellFileError) as caught:
        compiled(tmp_path, wiring, cell)
    assert any("[and_again]" in line and "is taken by 'temp'" in line for line in caught.value.problems)
    assert not any("[again]" in line for line in caught.value.problems), "that one says shared = true"


def test_devices_that_are_no_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CellFileError, match=r"devices must be a table of tables"):
        compiled(
            tmp_path,
            "devices = 3\n"
            + WIRING.replace('[devices.io1]\nkind = "demo"\naddress = "tcp://127.0.0.1:502"\n', ""),
        )


@pytest.mark.parametrize("key", ["shared = true", "span = { raw = [0, 10] }"])
def test_a_pulse_is_one_step_of_one_signal(tmp_path: Path, key: str) -> None:
    wiring = WIRING.replace('"io1:energy"', f'"pulse:GPIO4"\n{key}')
    with pytest.raises(CellFileError, match="one pulse is one step of one signal's resolution; remove it"):
        compiled(tmp_path, wiring)
