"""The scale that docs/instruments.md describes, on a real board with real bytes; and that page has every key."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cell_controller.core.signals import BAD, GOOD
from hil.scale_device import ScaleDevice
from host_tools.devices import instrument_tables
from host_tools.models import Table
from tests.board.instrument_bench import described, plan_of
from tests.board.survival.live_cell import LiveCell

PAGE = Path("docs/instruments.md").read_text("utf-8")


def block(name: str) -> str:
    """The file that stands in the page."""
    found = re.search(rf"^```toml file={re.escape(name)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


@pytest.fixture
def scale(tmp_path: Path) -> Iterator[ScaleDevice]:
    with ScaleDevice(str(tmp_path / "scale")) as device:
        yield device


@pytest.fixture
def cell(tmp_path: Path, scale: ScaleDevice) -> Iterator[LiveCell]:
    """The cell that weighs, in Idle."""
    shape = described(tmp_path, block("devices/bench_scale.toml"))
    plan = plan_of(shape, "scale")
    plan = replace(plan, settings={**plan.settings, "address": scale.address})
    made = LiveCell(tmp_path, [plan])
    made.make_ready()
    yield made
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("line ")]


def test_a_part_is_weighed(cell: LiveCell, scale: ScaleDevice) -> None:
    scale.load("250")
    cell.until(lambda: cell.value("weight") == 25_000 and cell.value("stable") == 1, "the box is not weighed")
    tare = next(point for point in cell.board._devices[0].outputs if point.at == "tare")
    cell.want(tare, 1)
    cell.until(lambda: cell.value("tared") == 1, "not tared")
    cell.want(tare, 0)
    cell.until(lambda: cell.value("tared") == 0 and cell.value("weight") == 0, "tared, but not 0")
    scale.load("373.45")
    cell.until(lambda: cell.value("stable") == 0, "it does not swing")
    cell.until(
        lambda: cell.value("weight") == 12_345 and cell.value("stable") == 1, "the part is not weighed"
    )
    assert scale.tares == 1
    assert cell.longest_ms < 100


def test_another_unit_and_a_scale_that_was_switched_off_stop_the_cell(
    cell: LiveCell, scale: ScaleDevice
) -> None:
    scale.switch_unit("lb")
    cell.until(lambda: cell.quality("weight") == BAD, "lb are read as g")
    assert cell.quality("link") == GOOD
    fault = cell.board.devices()[0].fault
    assert fault == "scale:weight is in 'lb', not in 'g'; switch the device back"
    scale.switch_unit("g")
    cell.until(lambda: cell.quality("weight") == GOOD, "g are not read again")
    scale.power_cycle()
    cell.until(lambda: cell.board.devices()[0].losses == 1, "nobody noticed that its tare is gone")
    cell.until(lambda: cell.quality("weight") == GOOD, "it is not found again")


def test_every_key_of_a_description_has_a_line() -> None:
    tables = [
        value
        for value in vars(instrument_tables).values()
        if isinstance(value, type) and issubclass(value, Table) and value is not Table
    ]
    fields = {info.alias or key for table in tables for key, info in table.model_fields.items()}
    sections = {"instrument", "identity", "requests", "messages", "points"}
    missing = [key for key in sorted(fields - sections) if not re.search(rf"`{key}\b", PAGE)]
    assert len(fields) > 40
    assert missing == []


def test_every_description_of_the_package_has_a_line() -> None:
    models = Path("host_tools/device_models").glob("*.toml")
    names = [path.stem for path in models if "[instrument]" in path.read_text("utf-8")]
    assert len(names) > 7
    assert [name for name in names if f"`{name}`" not in PAGE] == []
