"""[devices.NAME] of a printer with Marlin: its keys, and the points it offers."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from board.gcode_job import MOST_KEY
from board.marlin_lines import MOST_LINE, MOST_NUMBER_ROOM
from host_tools.devices.common import DeviceShape, DeviceTable, PointShape
from host_tools.toml_file import Problems, model_of, shown

BAUD = 115_200
STALE_MS, BAD_MS = 2500, 6000
LEAST_STALE_MS = 1500
"""A printer reports its temperatures once a second."""

folder_pattern = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,39}$"

Line = Annotated[str, StringConstraints(min_length=1, max_length=MOST_LINE - MOST_NUMBER_ROOM)]
Lines = Annotated[list[Line], Field(max_length=16)]


class MarlinTable(DeviceTable):
    """[devices.NAME] with kind = "marlin"."""

    kind: Literal["marlin"]
    jobs: Annotated[str, StringConstraints(pattern=folder_pattern)] = "jobs"
    window: Annotated[int, Field(ge=1, le=4)] = 1
    ack_ms: Annotated[int, Field(ge=1500, le=60_000)] = 5000
    pause_gcode: Lines = Field(default_factory=list)
    resume_gcode: Lines = Field(default_factory=list)
    cancel_gcode: Lines = Field(default_factory=lambda: ["M104 S0", "M140 S0", "M107"])


_DEGREES = (0, 1000, Decimal(0), Decimal(100))
_HUNDREDTHS = (0, 10_000, Decimal(0), Decimal(100))


def job_points(machine: str) -> dict[str, PointShape]:
    """The points that printers and routers have alike."""

    def digital(is_output: bool, text: str) -> PointShape:
        return PointShape("digital", is_output, (0, 1), text=text)

    return {
        "link": digital(False, f"1 while the {machine} answers"),
        "state": PointShape("analog", False, (0, 9), text="see docs/gcode.md"),
        "ready": digital(False, "no job, homed, nothing pending"),
        "last_job": PointShape(
            "identity", False, (0, MOST_KEY), text="key of the file that runs or ran last"
        ),
        "done_job": PointShape(
            "identity", False, (0, MOST_KEY), text="key of the file that was carried out whole"
        ),
        "progress": PointShape("analog", False, (0, 1000), "%", (0, 1000, Decimal(0), Decimal(100))),
        "unreset": digital(False, f"the {machine} has proven that it was not reset since the job began"),
        "enable": digital(True, "from 1 to 0 is the emergency stop; then it must be reset"),
        "job": PointShape("analog", True, (0, MOST_KEY), text="key of the file to run; 0 cancels"),
        "resume": digital(True, "1 when a job is given: continue the interrupted one"),
        "pause": digital(True, "1 lets the job stand still"),
        "home": digital(True, "from 0 to 1: find the ends of the axes"),
        **{
            axis: PointShape("analog", False, (-(10**8), 10**8), "mm", _HUNDREDTHS, text="position")
            for axis in "xyz"
        },
    }


POINTS = job_points("printer") | {
    "nozzle": PointShape("analog", False, (-5000, 20_000), "degC", _DEGREES),
    "bed": PointShape("analog", False, (-5000, 20_000), "degC", _DEGREES),
    "nozzle_set": PointShape("analog", True, (0, 5000), "degC", _DEGREES, text="0 is off"),
    "bed_set": PointShape("analog", True, (0, 2000), "degC", _DEGREES, text="0 is off"),
}


def shape(
    name: str, table: dict[str, Any], where: str, directory: Path, problems: Problems
) -> DeviceShape | None:
    """What the printer `name` offers; None after saying what is wrong with its table."""
    model = model_of(MarlinTable, table, where, problems)
    if model is None:
        return None
    stale, bad = model.stale_ms or STALE_MS, model.bad_ms or BAD_MS
    line_problems(model, "a printer with Marlin", (stale, LEAST_STALE_MS, bad), where, problems)
    settings = {
        "address": model.address,
        "baud": model.baud or BAUD,
        "stale_ms": stale,
        "bad_ms": bad,
        "jobs": model.jobs,
        "window": model.window,
        "ack_ms": model.ack_ms,
        "pause_gcode": list(model.pause_gcode),
        "resume_gcode": list(model.resume_gcode),
        "cancel_gcode": list(model.cancel_gcode),
    }
    return DeviceShape(POINTS, settings, "hold_last")


def line_problems(
    model: DeviceTable, machine: str, times_ms: tuple[int, int, int], where: str, problems: Problems
) -> None:
    """What printers and routers cannot have. `times_ms`: stale, the least that stale may be, bad."""
    if model.model:
        problems.error(where, f"model = {shown(model.model)}: {machine} needs no model; take it out")
    if (model.bits or 8, model.parity or "none", model.stop_bits or 1) != (8, "none", 1):
        problems.error(where, f"the line of {machine} has 8 bits, no parity, 1 stop bit; take the keys out")
    if model.on_death not in (None, "hold_last"):
        problems.error(
            where,
            f"on_death = {shown(model.on_death)}: {machine} goes on, and keeps its heat and spindle, when the "
            'controller dies; write "hold_last", and put its supply behind the watchdog relay',
        )
    stale, least, bad = times_ms
    if stale < least:
        problems.error(where, f"stale_ms = {stale} is less than {least}: it does not report more often")
    if bad <= stale:
        problems.error(where, f"bad_ms = {bad} is not more than stale_ms = {stale}; make it longer")
    for key in ("pause_gcode", "resume_gcode", "cancel_gcode"):
        for line in getattr(model, key, ()):
            if not line.isascii() or not line.isprintable():
                problems.error(where, f"{key}: {shown(line)} is not plain text; take out what is not ASCII")
