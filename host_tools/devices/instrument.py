"""Devices of kind "instrument": [devices.NAME] and the description of the device, as plain settings for its driver.

docs/instruments.md has the keys. What a description expects is tried on its own examples here, so that a wrong pattern
is found at the desk.
"""

from pathlib import Path
from typing import Any

from board.contract import DEVICE_FALLBACK, HOLD_LAST
from board.device_link import BAD_MS, STALE_MS
from board.instrument_frames import Framing
from board.transport import transport
from cell_controller.errors import BoardError
from host_tools.devices.common import DeviceShape, DeviceTable, model_file
from host_tools.devices.instrument_patterns import Expected, compiled, expected, tell_apart
from host_tools.devices.instrument_points import Points, check_send
from host_tools.devices.instrument_tables import DescriptionFile, HeadTable
from host_tools.toml_file import Problems, model_of, shown

PERIODS = 3
"""A value is stale when so many readings are missing."""


def shape(
    name: str, table: dict[str, Any], where: str, directory: Path, problems: Problems
) -> DeviceShape | None:
    """The device of [devices.NAME]; None after saying what is wrong, one line each."""
    errors = len(problems.errors)
    own = model_of(DeviceTable, table, where, problems)
    found = model_file(table, where, directory, problems)
    if found is None:
        return None
    raw, label = found
    description = model_of(DescriptionFile, raw, label, problems)
    if own is None or description is None:
        return None
    settings, points = _described(description, label, problems)
    settings |= _line(own, description.instrument, where, problems)
    settings |= _timing(own, description, where, problems)
    has_fallback = description.instrument.fallback_ms > 0
    has_outputs = any(point.is_output for point in points.values())
    on_death = _on_death(own, has_fallback, has_outputs, where, problems)
    if len(problems.errors) > errors:
        return None
    return DeviceShape(points, settings, on_death)


# --- the description ---


def _described(
    description: DescriptionFile, label: str, problems: Problems
) -> tuple[dict[str, Any], dict[str, Any]]:
    head = description.instrument
    framing = _framing(head, label, problems)
    known = _expected(description, label, problems)
    points = Points(description, known, Framing.of(framing), label, problems)
    shapes, settings = points.run()
    _check_sends(description, Framing.of(framing), label, problems)
    _check_use(description, label, problems)
    alike = tell_apart([*known.values(), *points.acks], label, problems)
    requests = {
        key: {**entry.model_dump(exclude={"example"}), "alike": f"{label}, [requests.{key}]" in alike}
        for key, entry in description.requests.items()
    }
    for key, point in settings.items():
        point["alike"] = f"{label}, [points.{key}]" in alike
    identity = description.identity
    return {
        "framing": framing,
        "identity": None if identity is None else identity.model_dump(exclude={"example"}),
        "greeting": head.greeting or "",
        "late_ms": head.late_ms,
        "fallback_ms": head.fallback_ms,
        "requests": requests,
        "messages": {key: {"pattern": entry.pattern} for key, entry in description.messages.items()},
        "points": settings,
    }, shapes


def _framing(head: HeadTable, label: str, problems: Problems) -> dict[str, Any]:
    """The settings of board.instrument_frames.Framing."""
    where = f"{label}, [instrument]"
    check = head.checksum
    is_line = head.framing == "line"
    end = head.end if head.end is not None else ("\r\n" if is_line else "")
    any_end = is_line and end == "any"
    if is_line:
        for key in ("start", "length", "length_at"):
            if getattr(head, key):
                problems.error(where, f'{key} means nothing with framing = "line"; remove it')
    elif not head.start:
        problems.error(where, "a frame needs 'start', or its beginning is never found again; add it")
    elif not (end or head.length or head.length_at is not None):
        problems.error(where, "a frame needs 'end', 'length' or 'length_at'; add one of them")
    if head.length_at is not None and head.length_at < len(head.start):
        problems.error(
            where, f"length_at = {head.length_at} is within the start; count from 0, the first byte"
        )
    if (head.length or 0) > head.max_length:
        problems.error(where, f"length = {head.length} is more than max_length = {head.max_length}")
    if check is not None:
        sized = head.length or head.length_at is not None
        if not is_line and check.coding == "binary" and check.place == "before_end" and not sized:
            problems.error(
                f"{label}, [instrument.checksum]",
                'a binary checksum may look like the end; add length or length_at, or place = "after_end"',
            )
        if is_line and check.place == "after_end":
            problems.error(f"{label}, [instrument.checksum]", 'place = "after_end" is for frames; remove it')
    return {
        "kind": head.framing,
        "start": head.start,
        "end": "" if any_end else end,
        "any_end": any_end,
        "length": head.length or 0,
        "length_at": -1 if head.length_at is None else head.length_at,
        "length_adds": head.length_adds,
        "most": head.max_length,
        "alone": head.alone,
        "hex_payload": head.payload == "hex",
        "ascii_only": head.encoding == "ascii",
        "checksum": None
        if check is None
        else {
            "kind": check.kind,
            "hex_coded": check.coding == "hex",
            "of_hex_pairs": check.of == "hex_pairs",
            "after_end": check.place == "after_end",
            "skip": check.skip or [len(head.start), 0],
        },
    }


def _expected(description: DescriptionFile, label: str, problems: Problems) -> dict[str, Expected]:
    """What requests, messages and the identity expect, by name; the identity's is ""."""
    found: dict[str, Expected | None] = {}
    if description.instrument.greeting is not None:
        compiled(description.instrument.greeting, "greeting", f"{label}, [instrument]", problems)
    if description.identity is not None:
        entry = description.identity
        where = f"{label}, [identity]"
        found[""] = expected(entry.answer, entry.example, {}, where, problems, is_identity=True)
    for name, request in description.requests.items():
        where = f"{label}, [requests.{name}]"
        found[name] = expected(request.answer, request.example, request.refusals, where, problems)
    for name, message in description.messages.items():
        where = f"{label}, [messages.{name}]"
        if name in description.requests:
            problems.error(where, f"'{name}' is a request too; take another name")
        found[name] = expected(message.pattern, message.example, {}, where, problems, "pattern", asked=False)
    return {name: entry for name, entry in found.items() if entry is not None}


def _check_sends(description: DescriptionFile, framing: Framing, label: str, problems: Problems) -> None:
    for name, request in description.requests.items():
        check_send(request.send, framing, f"{label}, [requests.{name}]", problems)
    if description.identity is not None:
        check_send(description.identity.send, framing, f"{label}, [identity]", problems)


def _check_use(description: DescriptionFile, label: str, problems: Problems) -> None:
    """A device that is never asked anything cannot be known to take what is written."""
    if description.requests:
        return
    if any(point.is_output for point in description.points.values()):
        problems.error(
            label, "outputs need a request that shows that the device is there; add [requests.NAME]"
        )
    if description.identity is not None:
        problems.error(f"{label}, [identity]", "it is never asked without a request; add [requests.NAME]")


# --- [devices.NAME] ---


def _line(own: DeviceTable, head: HeadTable, where: str, problems: Problems) -> dict[str, Any]:
    try:
        transport(own.address)
    except BoardError as error:
        problems.error(where, f"{error}; correct it")
    serial: dict[str, Any] = {}
    for key in ("baud", "bits", "parity", "stop_bits"):
        said = getattr(own, key)
        if said is not None and own.address.startswith("tcp://"):
            problems.error(where, f"{key} means nothing for address = {shown(own.address)}; remove it")
        serial[key] = getattr(head, key) if said is None else said
    return {"address": own.address, "serial": serial}


def _timing(own: DeviceTable, description: DescriptionFile, where: str, problems: Problems) -> dict[str, Any]:
    head = description.instrument
    slowest = max((entry.every_ms for entry in description.requests.values()), default=0)
    stale_ms = own.stale_ms or head.stale_ms or max(STALE_MS, PERIODS * slowest)
    bad_ms = own.bad_ms or head.bad_ms or max(BAD_MS, 2 * stale_ms)
    if stale_ms >= bad_ms:
        problems.error(
            where, f"stale_ms = {stale_ms} is not less than bad_ms = {bad_ms}; correct one of them"
        )
    if stale_ms <= slowest:
        problems.error(
            where,
            f"stale_ms = {stale_ms}: a request is asked every {slowest} ms; write at least {PERIODS * slowest}",
        )
    waits = [entry.timeout_ms for entry in description.requests.values()]
    waits += [point.timeout_ms for point in description.points.values() if point.ack is not None]
    longest = max(waits, default=0)
    if longest > head.late_ms:
        problems.error(
            where, f"late_ms = {head.late_ms} is less than a timeout_ms of {longest}; correct the description"
        )
    return {"stale_ms": stale_ms, "bad_ms": bad_ms}


def _on_death(own: DeviceTable, has_fallback: bool, has_outputs: bool, where: str, problems: Problems) -> str:
    if own.on_death == DEVICE_FALLBACK and not has_fallback:
        problems.error(
            where,
            'on_death = "device_fallback": its description has no fallback_ms, a time-out of its own after which it '
            'drives safe values; write "hold_last"',
        )
    if own.on_death == "release" and has_outputs:
        problems.error(
            where, 'on_death = "release": an instrument keeps what it was told last; write "hold_last"'
        )
    return own.on_death or (DEVICE_FALLBACK if has_fallback else HOLD_LAST)
