"""[devices.NAME] of a router with GRBL 1.1: its keys, and the points it offers."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from board.grbl_lines import MOST_LINE
from host_tools.devices.common import DeviceShape, DeviceTable
from host_tools.devices.marlin import folder_pattern, job_points, line_problems
from host_tools.toml_file import Problems, model_of

BAUD = 115_200
STALE_MS, BAD_MS = 600, 2000
LEAST_STALE_MS = 450
"""A router is asked for its state five times a second."""

Line = Annotated[str, StringConstraints(min_length=1, max_length=MOST_LINE)]


class GrblTable(DeviceTable):
    """[devices.NAME] with kind = "grbl"."""

    kind: Literal["grbl"]
    jobs: Annotated[str, StringConstraints(pattern=folder_pattern)] = "jobs"
    ack_ms: Annotated[int, Field(ge=1500, le=60_000)] = 5000
    cancel_gcode: Annotated[list[Line], Field(max_length=16)] = Field(default_factory=list)


POINTS = job_points("router")


def shape(
    name: str, table: dict[str, Any], where: str, directory: Path, problems: Problems
) -> DeviceShape | None:
    """What the router `name` offers; None after saying what is wrong with its table."""
    model = model_of(GrblTable, table, where, problems)
    if model is None:
        return None
    stale, bad = model.stale_ms or STALE_MS, model.bad_ms or BAD_MS
    line_problems(model, "a router with GRBL", (stale, LEAST_STALE_MS, bad), where, problems)
    settings = {
        "address": model.address,
        "baud": model.baud or BAUD,
        "stale_ms": stale,
        "bad_ms": bad,
        "jobs": model.jobs,
        "ack_ms": model.ack_ms,
        "cancel_gcode": list(model.cancel_gcode),
    }
    return DeviceShape(POINTS, settings, "hold_last")
