"""Every driver survives its device: its inputs go bad in time, the cell stops, and all comes back by itself."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from board.contract import Point
from cell_controller.core import packml as pm
from cell_controller.core.signals import BAD, GOOD
from tests.board.survival.live_cell import LiveCell

RIGS = ("i2c", "modbus", "modbus:SerialRig", "instrument", "instrument:ScaleRig", "marlin", "grbl")
"""Modules of tests/board/rigs, with the class where it is not called Rig."""
WITH_OUTPUTS = tuple(name for name in RIGS if name != "instrument:ScaleRig")
SLACK_S = 0.3
"""On a machine that is busy with other tests a thread may wait for its turn this long."""
BACK_S = 4.0
LONGEST_SCAN_MS = 100
"""No scan waits for a line; this is what a busy machine may add."""

TROUBLE = ("late", "nonsense", "for_another")
GONE = ("unplug", "power_cycle")


class Bed:
    """A rig and a live cell on it."""

    def __init__(self, kind: str, tmp_path: Path) -> None:
        module, _, name = kind.partition(":")
        self.rig: Any = getattr(importlib.import_module(f"tests.board.rigs.{module}"), name or "Rig")(
            tmp_path
        )
        self.rig.start()
        self.probe: str = self.rig.probe
        self.cell = LiveCell(tmp_path, self.rig.plans)
        self.cell.make_ready()
        self.outputs: list[Point] = [p for plan in self.rig.plans for p in plan.points if p.is_output]

    def drive(self) -> dict[str, int]:
        """The cell wants outputs away from their abort values, all of them or what the rig names; by point."""
        wished: dict[str, int] = getattr(self.rig, "wish", {})
        wanted = {}
        for point in self.outputs:
            other = (
                (1 - point.abort)
                if point.kind == "digital"
                else (point.high if point.abort == point.low else point.low)
            )
            if wished and point.at not in wished:
                continue
            wanted[point.at] = wished.get(point.at, other)
            self.cell.want(point, wanted[point.at])
        return wanted

    def drives(self, wanted: dict[str, int]) -> Callable[[], bool]:
        """Whether the device really drives that, as far as its rig can see."""

        def seen() -> bool:
            really = self.rig.outputs()
            return all(really[at] == count for at, count in wanted.items() if at in really)

        return seen

    def not_good(self) -> bool:
        return self.cell.quality(self.probe) != GOOD

    def bad(self) -> bool:
        return self.cell.quality(self.probe) == BAD

    def good(self) -> bool:
        return all(self.cell.quality(entry["name"]) == GOOD for entry in self.cell.spec["inputs"])

    def close(self) -> None:
        self.cell.close()
        self.rig.stop()


@pytest.fixture(params=RIGS)
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bed]:
    made = Bed(request.param, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_device_that_answers_wrongly_stops_the_cell_in_time_and_comes_back(bed: Bed, trouble: str) -> None:
    before = bed.cell.value(bed.probe)
    getattr(bed.rig, trouble)(True)
    took = bed.cell.until(bed.bad, f"{trouble}: not bad", bed.rig.bad_within_s + SLACK_S)
    assert bed.cell.value(bed.probe) == before, "what it said was taken for a reading"
    bed.cell.until(lambda: bed.cell.state == pm.STOPPED, f"{trouble}: the cell goes on; bad after {took} s")
    getattr(bed.rig, trouble)(False)
    bed.cell.until(bed.good, f"{trouble} is over: not good", BACK_S)
    bed.cell.make_ready()
    assert bed.cell.longest_ms < LONGEST_SCAN_MS


def test_a_device_that_floods_its_line_does_not_stop_the_scans_and_comes_back(bed: Bed) -> None:
    bed.rig.flood(True)
    for _ in range(100):
        bed.cell.scan()
    bed.rig.flood(False)
    bed.cell.until(bed.good, "the flood is over: not good", BACK_S)
    bed.cell.make_ready()
    assert bed.cell.longest_ms < LONGEST_SCAN_MS


def test_a_line_that_is_unplugged_is_bad_in_time_and_found_again(bed: Bed) -> None:
    bed.rig.unplug()
    bed.cell.until(bed.bad, "unplugged: not bad", bed.rig.bad_within_s + SLACK_S)
    bed.cell.until(lambda: bed.cell.state == pm.STOPPED, "unplugged: the cell goes on")
    assert not bed.cell.command("reset")["ok"], "a cause stands"
    bed.rig.plug()
    bed.cell.until(bed.good, "plugged in again: not good", BACK_S)
    bed.cell.make_ready()
    assert bed.cell.longest_ms < LONGEST_SCAN_MS


@pytest.mark.parametrize("bed", WITH_OUTPUTS, indirect=True)
@pytest.mark.parametrize("gone", GONE)
def test_outputs_of_a_device_that_was_gone_wait_for_a_reset(bed: Bed, gone: str) -> None:
    wanted = bed.drive()
    assert wanted, "this rig has outputs"
    bed.cell.until(bed.drives(wanted), f"it does not drive {wanted}: {bed.rig.outputs()}")
    losses = sum(status.losses for status in bed.cell.board.devices())

    if gone == "unplug":
        bed.rig.unplug()
        bed.cell.until(bed.bad, "unplugged: not bad", bed.rig.bad_within_s + SLACK_S)
        bed.rig.plug()
    else:
        bed.rig.power_cycle()
        bed.cell.until(
            lambda: sum(status.losses for status in bed.cell.board.devices()) > losses,
            "nobody noticed that it was switched off and on",
        )
    bed.cell.until(bed.good, "back again: not good", BACK_S)
    aborted = {point.at: point.abort for point in bed.outputs}
    bed.cell.until(bed.drives(aborted), f"not at its abort values: {bed.rig.outputs()}")
    bed.cell.make_ready()
    wanted = bed.drive()
    bed.cell.until(bed.drives(wanted), f"after Reset it does not drive {wanted}: {bed.rig.outputs()}")
