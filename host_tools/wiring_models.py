"""The keys of a wiring file for a microcontroller; an unknown one is an error, unlike for a simulated board."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from host_tools.models import Table, WireTable

Pin = Annotated[str, StringConstraints(max_length=8)]


class BusTable(Table):
    """[board] i2c: the bus of the expanders and converters."""

    id: Annotated[int, Field(ge=0, le=1)] = 0
    sda: Pin
    scl: Pin
    freq_hz: Annotated[int, Field(ge=10_000, le=1_000_000)] = 400_000


class MicrocontrollerTable(Table):
    """[board] of a microcontroller."""

    target: Literal["rp2", "esp32"]
    on_death: Literal["release", "hold_last"] = "release"
    watchdog_ms: Annotated[int, Field(ge=100, le=10_000)] = 500
    bad_ms: Annotated[int, Field(ge=100, le=60_000)] = 1000
    i2c: BusTable | None = None


class MicrocontrollerWire(WireTable):
    """[SIGNAL] of a microcontroller."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

    pull: Literal["up", "down"] | None = None
    freq_hz: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    edge: Literal["rising", "falling"] | None = None
    debounce_ms: Annotated[int, Field(ge=0, le=1000)] | None = None
    tx: Pin | None = None
    rx: Pin | None = None
    baud: Annotated[int, Field(ge=300, le=921_600)] | None = None
    keep_ms: Annotated[int, Field(ge=0, le=3_600_000)] | None = None
    range_mv: Literal[256, 512, 1024, 2048, 4096, 6144] | None = None
