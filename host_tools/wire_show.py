"""A line trace as people read it: times, direction, bytes as hex and as text, and the gaps between them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from board import wire_trace as wt
from board.wire_trace import Entry

GAP_US = 1_000_000
"""A silence this long gets a line of its own."""
ROW = 16

WHAT = {
    wt.HEADER: "header",
    wt.OPENED: "opened",
    wt.CLOSED: "closed",
    wt.LOST: "lost",
    wt.READ: "read",
    wt.WRITTEN: "written",
    wt.FORGOTTEN: "forgotten",
    wt.FAULT: "fault",
    wt.NOTE: "note",
    wt.END: "end",
}
"""Names of the letters, for people and for --json."""

_SIGNS = {wt.READ: "<", wt.FORGOTTEN: "x", wt.WRITTEN: ">"}
_DARK = re.compile(rb"[^ -~]")


def title(about: Mapping[str, Any]) -> str:
    """One line on a recording, from its header."""
    set_to = ""
    if "baud" in about:
        parity = str(about.get("parity", "none"))[:1].upper()
        set_to = f", {about['baud']} baud {about.get('bits', 8)}{parity}{about.get('stop_bits', 1)}"
    return f"{about.get('device', '?')} at {about.get('address', '?')}{set_to}, since {about.get('started', '?')}"


def lines(entries: Iterable[Entry], since_us: int = 0) -> Iterator[str]:
    """The lines of a trace from `since_us` on: > to the device, < from it, x from it and thrown away unread."""
    started: datetime | None = None
    former_us = -1
    for entry in entries:
        if entry.letter == wt.HEADER:
            started = _started(wt.about_of(entry))
            if not wt.about_of(entry).get("segment"):
                former_us = -1
                yield title(wt.about_of(entry))
            continue
        if entry.at_us < since_us:
            continue
        if former_us >= 0 and entry.at_us - former_us >= GAP_US:
            yield _gap(entry.at_us - former_us, started, entry.at_us)
        former_us = entry.at_us
        yield from _rows(entry)


def as_dict(entry: Entry) -> dict[str, Any]:
    """An entry for --json: `t_us`, `what`, and `text`; with bytes also `hex`."""
    told: dict[str, Any] = {"t_us": entry.at_us, "what": WHAT.get(entry.letter, entry.letter)}
    if entry.letter == wt.HEADER:
        return {**told, "about": wt.about_of(entry)}
    if entry.letter in _SIGNS:
        return {**told, "hex": entry.data.hex(), "text": entry.data.decode("ascii", "backslashreplace")}
    return {**told, "text": entry.text}


def _rows(entry: Entry) -> Iterator[str]:
    at = f"{entry.at_us / 1e6:13.6f}"
    sign = _SIGNS.get(entry.letter)
    if sign is None:
        yield f"{at}  {WHAT.get(entry.letter, entry.letter)} {entry.text}".rstrip()
        return
    for first in range(0, len(entry.data), ROW):
        row = entry.data[first : first + ROW]
        head = f"{at} {sign}{len(entry.data):5}" if first == 0 else " " * 20
        yield f"{head}  {row.hex(' '):47}  {_DARK.sub(b'.', row).decode()}".rstrip()


def _gap(long_us: int, started: datetime | None, at_us: int) -> str:
    until = "" if started is None else f", until {started + timedelta(microseconds=at_us):%H:%M:%S}"
    return f"{'':13} … {long_us / 1e6:.1f} s of silence{until}"


def _started(about: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(about.get("started")))
    except ValueError:
        return None
