"""The signals on a Modbus device: where each is, and which requests serve them all. No I/O here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from board.contract import DevicePlan, Point
from board.modbus_outputs import Output, Outputs
from board.modbus_plan import (
    MOST_WRITE_BITS,
    MOST_WRITE_REGISTERS,
    Block,
    character_s,
    coalesce,
    frame_bytes,
    silence_s,
)
from board.modbus_values import Value, value_of
from board.transport import SerialSettings

FAST, SLOW, ONCE = "fast", "slow", "once"
"""Poll classes: in every turn, each second, once after the line was opened."""
FOR_EVER_MS = 1 << 40

LINK = "link"
REWRITE_MS = 1000
"""Outputs of a device without a comms time-out are written again so often."""
TIMES_IN_TIMEOUT = 5
"""Those of a device that has one, so many times within it: three times even when a turn comes a little late."""


@dataclass(frozen=True)
class Place:
    """Where a point is, what it means, and how often it is read."""

    block: Block
    value: Value
    poll: str = FAST


@dataclass
class Reading:
    """One request that reads, of one poll class, and when it is due in ms."""

    block: Block
    poll: str
    due_at: int = 0


def place_of(point: Mapping[str, Any]) -> Place:
    """The place that the settings of a point say."""
    value = value_of(point)
    return Place(Block(point["table"], point["address"], value.length), value, point["poll"])


def places_of(settings: Mapping[str, Any], inputs: Sequence[Point]) -> list[Place | None]:
    """The place of each input; None for the point `link`, which is nowhere."""
    points = settings["points"]
    return [None if point.at == LINK else place_of(points[point.at]) for point in inputs]


def outputs_of(settings: Mapping[str, Any], outputs: Sequence[Point]) -> Outputs:
    """The outputs of a device."""
    points = settings["points"]
    found = []
    for point in outputs:
        place = place_of(points[point.at])
        found.append(Output(place.block, place.value, points[point.at]["read_back"]))
    timeout_ms = settings["comms_timeout_ms"]
    rewrite_ms = timeout_ms // TIMES_IN_TIMEOUT if timeout_ms else REWRITE_MS
    if not any(point["read_back"] for point in settings["points"].values()):
        rewrite_ms = min(rewrite_ms, settings["stale_ms"] // 3)  # its only sign of life
    return Outputs(
        found,
        min(settings["max_bits"], MOST_WRITE_BITS),
        min(settings["max_registers"], MOST_WRITE_REGISTERS),
        settings["write_single"],
        settings["write_multiple"],
        rewrite_ms,
    )


def readings_of(
    settings: Mapping[str, Any], places: Sequence[Place | None], readable: Sequence[Block]
) -> list[Reading]:
    """Every request that reads. There is one for every turn if anything can be read: it is the device's sign of life.

    `readable`: the outputs that are read back.
    """
    wanted = {
        poll: [p.block for p in places if p is not None and p.poll == poll] for poll in (FAST, SLOW, ONCE)
    }
    wanted[FAST] += readable
    if not wanted[FAST]:
        described = [place_of(point).block for point in settings["points"].values() if point["read_back"]]
        wanted[FAST] = (wanted[SLOW] + wanted[ONCE] + described)[:1]
    most = settings["max_bits"], settings["max_registers"]
    return [
        Reading(block, poll)
        for poll, blocks in wanted.items()
        for block in coalesce(blocks, *most, settings["gap"])
    ]


def serial_of(settings: Mapping[str, Any]) -> SerialSettings | None:
    """How the line of a device is set; None for a TCP connection."""
    if str(settings["address"]).startswith("tcp://"):
        return None
    return SerialSettings(settings["baud"], settings["bits"], settings["parity"], settings["stop_bits"])


def turn_ms(plan: DevicePlan) -> float:
    """How long the frames of one turn take on a serial line, without the device's thinking; 0 on TCP."""
    settings = plan.settings
    serial = serial_of(settings)
    if serial is None:
        return 0.0
    inputs = [point for point in plan.points if not point.is_output]
    driven = outputs_of(settings, [point for point in plan.points if point.is_output])
    readings = readings_of(settings, places_of(settings, inputs), driven.readable)
    asked = [frame_bytes(reading.block, False) for reading in readings if reading.poll == FAST]
    return 1000 * sum(sum(lengths) * character_s(serial) + silence_s(serial) for lengths in asked)
