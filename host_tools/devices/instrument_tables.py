"""The keys of the description of a serial instrument, devices/MODEL.toml; docs/instruments.md explains them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from host_tools.models import Number, Table, Text

Bytes = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Pattern = Annotated[str, StringConstraints(max_length=200)]
TimeoutMs = Annotated[int, Field(ge=10, le=5_000)]
Group = Annotated[str, StringConstraints(max_length=40)]


class ChecksumTable(Table):
    """[instrument.checksum]: how a message is checked."""

    kind: Literal["xor", "sum8", "lrc", "crc16_modbus"]
    coding: Literal["binary", "hex"] = "binary"
    of: Literal["bytes", "hex_pairs"] = "bytes"
    place: Literal["before_end", "after_end"] = "before_end"
    skip: Annotated[list[Annotated[int, Field(ge=0, le=16)]], Field(min_length=2, max_length=2)] | None = None


class HeadTable(Table):
    """[instrument]: the line, and how messages stand on it."""

    name: Text
    text: Text = ""
    framing: Literal["line", "frame"] = "line"
    start: Bytes = ""
    end: Bytes | None = None
    length: Annotated[int, Field(ge=2, le=1024)] | None = None
    length_at: Annotated[int, Field(ge=0, le=16)] | None = None
    length_adds: Annotated[int, Field(ge=-16, le=64)] = 0
    max_length: Annotated[int, Field(ge=1, le=1024)] = 80
    alone: Annotated[str, StringConstraints(max_length=16)] = ""
    payload: Literal["text", "hex"] = "text"
    encoding: Literal["ascii", "latin-1"] = "ascii"
    checksum: ChecksumTable | None = None
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    greeting: Pattern | None = None
    late_ms: Annotated[int, Field(ge=50, le=10_000)] = 500
    stale_ms: Annotated[int, Field(ge=10, le=60_000)] | None = None
    bad_ms: Annotated[int, Field(ge=50, le=600_000)] | None = None
    fallback_ms: Annotated[int, Field(ge=0, le=600_000)] = 0


class IdentityTable(Table):
    """[identity]: the question who it is."""

    send: Bytes
    answer: Pattern
    example: str | None = None


class RequestTable(IdentityTable):
    """[requests.NAME]: a question that is asked again and again."""

    every_ms: Annotated[int, Field(ge=10, le=60_000)] = 100
    timeout_ms: TimeoutMs = 200
    refusals: dict[str, Text] = Field(default_factory=dict)


class MessageTable(Table):
    """[messages.NAME]: what the device sends by itself."""

    pattern: Pattern
    example: str | None = None


class PointTable(Table):
    """[points.NAME]: one point; an output has `send` or `on_rise`."""

    kind: Literal["digital", "analog", "counter", "identity"]
    text: Text = ""
    from_: Annotated[str, Field(alias="from")] = ""
    group: Group = ""
    map: dict[str, int] = Field(default_factory=dict)
    resolution: Number | None = None
    decimal: Literal[".", ","] = "."
    range: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    unit: Annotated[str, StringConstraints(max_length=16)] = ""
    unit_group: Group = ""
    sign_group: Group = ""
    base: Literal[10, 16] = 10
    keep_ms: Annotated[int, Field(ge=0, le=3_600_000)] | None = None
    confirms: Group = ""
    send: Bytes | None = None
    on_rise: Bytes | None = None
    digits: Annotated[int, Field(ge=0, le=20)] = 0
    ack: Pattern | None = None
    example: str | None = None
    timeout_ms: TimeoutMs = 200
    refusals: dict[str, Text] = Field(default_factory=dict)
    read_back: Group = ""

    @property
    def is_output(self) -> bool:
        return self.send is not None or self.on_rise is not None


class DescriptionFile(Table):
    """devices/MODEL.toml of an instrument."""

    instrument: HeadTable
    identity: IdentityTable | None = None
    requests: dict[str, RequestTable] = Field(default_factory=dict)
    messages: dict[str, MessageTable] = Field(default_factory=dict)
    points: Annotated[dict[str, PointTable], Field(min_length=1)]
