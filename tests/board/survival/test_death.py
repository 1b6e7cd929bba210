"""A controller that is killed leaves the outputs of a device as its plan says; the next one makes them safe."""

import importlib
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from board.contract import DEVICE_FALLBACK, HOLD_LAST
from tests.board.survival.live_cell import LiveCell

RIGS = ("modbus", "instrument", "marlin", "grbl")
GAP_S = 1.5
"""Longer than the comms time-out of the rig that has one."""


def outputs_until(rig: Any, wanted: dict[str, int], what: str) -> None:
    """Wait until the device drives that, as far as the rig can see."""
    deadline = time.monotonic() + 5
    while any(rig.outputs().get(at, count) != count for at, count in wanted.items()):
        assert time.monotonic() < deadline, f"{what}: {rig.outputs()}, not {wanted}"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", RIGS)
def test_a_killed_controller_leaves_what_its_plan_says_and_the_next_one_makes_it_safe(
    kind: str, tmp_path: Path
) -> None:
    rig: Any = importlib.import_module(f"tests.board.rigs.{kind}").Rig(tmp_path)
    rig.start()
    outputs = [point for plan in rig.plans for point in plan.points if point.is_output]
    wish: dict[str, int] = getattr(rig, "wish", {})
    driven = {p.at: wish.get(p.at, 1 - p.abort if p.kind == "digital" else p.high) for p in outputs}
    driven = {at: count for at, count in driven.items() if not wish or at in wish}
    (tmp_path / "plans").write_bytes(pickle.dumps(rig.plans))
    words = [f"{point.signal}={driven[point.at]}" for point in outputs if point.at in driven]
    module = "tests.board.survival.driving_process"
    command = [sys.executable, "-m", module, str(tmp_path / "plans"), str(tmp_path), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == "driving\n"
        outputs_until(rig, driven, "while it lives")
        controller.kill()
    on_death = rig.plans[0].on_death
    aborted = {point.at: point.abort for point in outputs}
    if on_death == HOLD_LAST:
        time.sleep(GAP_S)
        outputs_until(rig, driven, "in the gap")
    else:
        assert on_death == DEVICE_FALLBACK
        outputs_until(rig, dict.fromkeys(driven, 0), "its fallback")
    cell = LiveCell(tmp_path, rig.plans)
    cell.until(
        lambda: all(
            rig.outputs().get(at, 0) == count for at, count in aborted.items() if at in rig.outputs()
        ),
        "not safe",
    )
    cell.close()
    rig.stop()
