"""What the kinds of devices in a wiring file have in common: the keys of [devices.NAME], and what a device offers."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from host_tools.models import Table
from host_tools.toml_file import Problems, closest, read_toml

LINK = "link"
"""The point that every device has: 1 while it answers."""

COUNTS = (0, (1 << 29) - 1)
"""The counts of an identity or a counter where nothing narrower is known."""


@dataclass(frozen=True)
class PointShape:
    """One point of a device: what kind of signal it can carry, in which counts, and what the device knows of its unit.

    `span`: raw0, raw1, value0, value1; taken where the wiring gives no span. `keys`: keys of the signal's wiring table
    that mean something here. `kind`: "digital", "analog", "counter" or "identity".
    """

    kind: str
    is_output: bool
    counts: tuple[int, int]
    unit: str = ""
    span: tuple[int, int, Decimal, Decimal] | None = None
    keys: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class DeviceShape:
    """A device as its table and its model say: its points, plain settings for its driver, and what death does to it."""

    points: Mapping[str, PointShape]
    settings: Mapping[str, Any]
    on_death: str


class DeviceTable(Table):
    """[devices.NAME]: the keys that every kind knows."""

    kind: str
    model: Annotated[str, StringConstraints(pattern=r"[a-z0-9][a-z0-9_]{0,39}")] = ""
    address: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    baud: Annotated[int, Field(ge=300, le=4_000_000)] | None = None
    bits: Literal[7, 8] | None = None
    parity: Literal["none", "even", "odd"] | None = None
    stop_bits: Literal[1, 2] | None = None
    stale_ms: Annotated[int, Field(ge=10, le=60_000)] | None = None
    bad_ms: Annotated[int, Field(ge=50, le=600_000)] | None = None
    on_death: Literal["release", "hold_last", "device_fallback"] | None = None


def model_file(
    table: Mapping[str, Any], where: str, directory: Path, problems: Problems
) -> tuple[dict[str, Any], str] | None:
    """The description that `model` names, and its label for messages; None after saying what is wrong.

    It lies in the cell's folder devices/, or else it is one of those that come with the package.
    """
    name = str(table.get("model", ""))
    if not name:
        problems.error(where, "'model' is missing; name the description of the device, devices/NAME.toml")
        return None
    own = directory / "devices" / f"{name}.toml"
    if own.exists():
        label = f"devices/{name}.toml"
        raw = read_toml(own, label, problems)
        return None if raw is None else (raw, label)
    with resources.as_file(resources.files("host_tools") / "device_models") as models:
        path = models / f"{name}.toml"
        if not path.exists():
            known = {entry.stem for entry in models.glob("*.toml")}
            known |= {entry.stem for entry in own.parent.glob("*.toml")}
            problems.error(
                where,
                f'model = "{name}": there is neither devices/{name}.toml nor one of that name in the package; '
                f"{closest(name, sorted(known))}",
            )
            return None
        raw = read_toml(path, f"model {name}", problems)
    return None if raw is None else (raw, f"model {name}")
