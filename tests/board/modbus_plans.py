"""Plans of Modbus devices for tests, as a wiring file would give them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from board.contract import DevicePlan, Point
from host_tools.devices.common import DeviceShape
from host_tools.devices.modbus import shape
from host_tools.toml_file import Problems


def shape_of(name: str, directory: Path = Path("none"), **table: Any) -> DeviceShape:
    """The shape of [devices.NAME]; fails with every problem it has."""
    problems = Problems()
    found = shape(name, {"kind": "modbus", **table}, f"[devices.{name}]", directory, problems)
    assert found is not None, problems.errors
    return found


def plan_of(name: str, points: Sequence[str], directory: Path = Path("none"), **table: Any) -> DevicePlan:
    """A plan with the points of these names on it, each a signal of the same name. Abort and safe values are 0."""
    found = shape_of(name, directory, **table)
    return numbered(
        [DevicePlan(name, "modbus", found.settings, tuple(wired(found, points)), found.on_death)]
    )[0]


def wired(found: DeviceShape, points: Sequence[str]) -> list[Point]:
    """The points as signals of the same names, not numbered."""
    made = []
    for name in points:
        of = found.points[name]
        low, high = of.counts
        made.append(Point(name, 0, 0, of.kind, of.is_output, name, low=low, high=high))
    return made


def numbered(plans: Sequence[DevicePlan]) -> list[DevicePlan]:
    """The plans with the index and place of each signal in the images, as a wiring file gives them."""
    index, place = Counter[bool](), Counter[tuple[bool, bool]]()
    found = []
    for plan in plans:
        points = []
        for point in plan.points:
            side = point.is_output, point.kind == "digital"
            points.append(replace(point, index=index[point.is_output], place=place[side]))
            index[point.is_output] += 1
            place[side] += 1
        found.append(replace(plan, points=tuple(points)))
    return found


def describe(directory: Path, model: str, text: str) -> None:
    """Write a description into the cell's folder of devices."""
    folder = directory / "devices"
    folder.mkdir(exist_ok=True)
    (folder / f"{model}.toml").write_text(text)


def spec_of(plans: Sequence[DevicePlan]) -> dict[str, Any]:
    """The compiled cell of these plans, as far as a board reads it."""
    sides: dict[str, list[dict[str, Any]]] = {"inputs": [], "outputs": []}
    for plan in plans:
        for point in plan.points:
            side = sides["outputs" if point.is_output else "inputs"]
            side.append({"name": point.signal, "kind": point.kind, "raw": [], "safe": 0, "on_abort": 0})
    return {**sides, "heartbeat": -1}
