"""Devices of kind "modbus": [devices.NAME] and the description of the device, as plain settings for its driver.

docs/modbus.md has the keys. In the settings, a point is its `table`, `address`, `type`, `bit`, `little` (low word
first), `num` / `den` (counts to one of the register), `low` and `high` (counts), `poll`, `is_output`, `read_back`,
`fallback` (counts).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from board.contract import DEVICE_FALLBACK, HOLD_LAST, DevicePlan
from board.device_link import BAD_MS, STALE_MS
from board.modbus_points import turn_ms
from board.transport import transport
from cell_controller.errors import BoardError
from host_tools.devices.common import DeviceShape, DeviceTable, model_file
from host_tools.devices.modbus_points import DescriptionFile, HeadTable, Points
from host_tools.toml_file import Problems, model_of, shown

POLL_MS = 20
TURNS_IN_TIMEOUT = 12
"""A turn has to come so often within a comms time-out, so that three writings in it are never too late."""


LINE_KEYS = ("baud", "parity", "stop_bits")
"""What the devices of one line agree on."""


class ModbusTable(DeviceTable):
    """[devices.NAME] of a Modbus device."""

    unit: Annotated[int, Field(ge=0, le=255)] = 1
    poll_ms: Annotated[int, Field(ge=0, le=60_000)] = POLL_MS
    answer_ms: Annotated[int, Field(ge=5, le=10_000)] | None = None
    comms_timeout_ms: Annotated[int, Field(ge=0, le=600_000)] | None = None


def shape(
    name: str, table: dict[str, Any], where: str, directory: Path, problems: Problems
) -> DeviceShape | None:
    """The device of [devices.NAME]; None after saying what is wrong, one line each."""
    errors = len(problems.errors)
    own = model_of(ModbusTable, table, where, problems)
    found = model_file(table, where, directory, problems)
    if found is None:
        return None
    raw, label = found
    description = model_of(DescriptionFile, raw, label, problems)
    if own is None or description is None:
        return None
    points, settings = Points(description, label, problems).run()
    head = description.device
    settings = {
        **_line(own, head, where, problems),
        **_timing(own, head, where, problems),
        "points": settings,
    }
    settings |= {
        key: getattr(head, key)
        for key in ("max_bits", "max_registers", "gap", "write_single", "write_multiple")
    }
    has_fallback = settings["comms_timeout_ms"] > 0
    on_death = _on_death(own, has_fallback, where, problems)
    if len(problems.errors) > errors:
        return None
    return DeviceShape(points, settings, on_death)


def check_plans(plans: Sequence[DevicePlan], label: str, problems: Problems) -> None:
    """Say what does not go together on the lines of `plans`: settings, units, and the time of a round."""
    first: dict[str, DevicePlan] = {}
    units: dict[tuple[str, int], str] = {}
    rounds: dict[str, float] = {}
    for plan in plans:
        settings, where = plan.settings, f"{label}, [devices.{plan.name}]"
        address, unit = settings["address"], settings["unit"]
        other = first.setdefault(address, plan)
        for key in LINE_KEYS:
            if settings[key] != other.settings[key]:
                problems.error(
                    where,
                    f"{key} = {settings[key]}, and '{other.name}' on the same line has {other.settings[key]}; "
                    "write the same for both",
                )
        taken = units.setdefault((address, unit), plan.name)
        if taken != plan.name:
            problems.error(where, f"unit = {unit} on {address} is '{taken}' already; correct one of them")
        rounds[address] = rounds.get(address, 0.0) + turn_ms(plan)
        _fallbacks(plan, label, problems)
    for plan in plans:
        round_ms, stale_ms = round(rounds[plan.settings["address"]]), plan.settings["stale_ms"]
        if round_ms > stale_ms:
            problems.warn(
                f"{label}, [devices.{plan.name}]",
                f"a round of its line takes about {round_ms} ms, longer than a value is good (stale_ms = {stale_ms}); "
                "raise baud, poll some points slowly, or raise stale_ms and bad_ms",
            )


def _fallbacks(plan: DevicePlan, label: str, problems: Problems) -> None:
    """What the device drives by itself should be what the cell calls safe."""
    if plan.on_death != DEVICE_FALLBACK:
        return
    for point in plan.points:
        fallback = plan.settings["points"][point.at]["fallback"] if point.is_output else point.safe
        if fallback != point.safe:
            problems.warn(
                f"{label}, [{point.signal}]",
                f"without a controller {plan.name} drives {point.at} at {fallback}, and safe is {point.safe} there; "
                "set the device so, and write fallback in its description",
            )


# --- [devices.NAME] ---


def _line(own: ModbusTable, head: HeadTable, where: str, problems: Problems) -> dict[str, Any]:
    tcp = own.address.startswith("tcp://")
    try:
        transport(own.address)
    except BoardError as error:
        problems.error(where, f"{error}; correct it")
    if own.bits == 7:
        problems.error(where, "bits = 7: Modbus RTU sends 8 bits; remove it")
    for key in ("baud", "bits", "parity", "stop_bits"):
        if tcp and getattr(own, key) is not None:
            problems.error(where, f"{key} means nothing for address = {shown(own.address)}; remove it")
    if not tcp and not 1 <= own.unit <= 247:
        problems.error(where, f"unit = {own.unit} is outside 1..247, the units of a serial line; correct it")
    return {
        "address": own.address,
        "unit": own.unit,
        "baud": own.baud or head.baud,
        "bits": 8,
        "parity": own.parity or head.parity,
        "stop_bits": own.stop_bits or head.stop_bits,
    }


def _timing(own: ModbusTable, head: HeadTable, where: str, problems: Problems) -> dict[str, Any]:
    answer_ms = own.answer_ms or head.answer_ms
    stale_ms, bad_ms = own.stale_ms or STALE_MS, own.bad_ms or BAD_MS
    if stale_ms >= bad_ms:
        problems.error(
            where, f"stale_ms = {stale_ms} is not less than bad_ms = {bad_ms}; correct one of them"
        )
    if 3 * answer_ms > bad_ms:
        problems.error(
            where,
            f"answer_ms = {answer_ms}: two lost answers would take more than bad_ms = {bad_ms}; "
            f"write at least bad_ms = {3 * answer_ms}",
        )
    if own.poll_ms >= stale_ms:
        problems.error(
            where, f"poll_ms = {own.poll_ms} is not less than stale_ms = {stale_ms}; correct one of them"
        )
    timeout = head.comms_timeout
    timeout_ms = own.comms_timeout_ms
    if timeout_ms is None:
        timeout_ms = timeout.default_ms if timeout is not None else 0
    if timeout_ms and own.poll_ms * TURNS_IN_TIMEOUT > timeout_ms:
        problems.error(
            where,
            f"poll_ms = {own.poll_ms} is too slow for a comms time-out of {timeout_ms} ms; "
            f"write at most {timeout_ms // TURNS_IN_TIMEOUT}",
        )
    return {
        "poll_ms": own.poll_ms,
        "answer_ms": answer_ms,
        "stale_ms": stale_ms,
        "bad_ms": bad_ms,
        "comms_timeout_ms": timeout_ms,
        "timeout_register": _register(timeout_ms, head, where, problems),
    }


def _register(timeout_ms: int, head: HeadTable, where: str, problems: Problems) -> dict[str, Any] | None:
    timeout = head.comms_timeout
    if timeout is None:
        return None
    count, rest = divmod(timeout_ms, timeout.step_ms)
    if rest or count > 0xFFFF:
        most = 0xFFFF * timeout.step_ms
        problems.error(
            where,
            f"comms_timeout_ms = {timeout_ms} cannot be set: the device counts {timeout.step_ms} ms; "
            f"write a multiple of that up to {most}, or 0 for none",
        )
    return {
        "address": timeout.address,
        "count": count,
        "step_ms": timeout.step_ms,
        "single": head.write_single,
        "read_back": head.read_back,
    }


def _on_death(own: ModbusTable, has_fallback: bool, where: str, problems: Problems) -> str:
    fits = DEVICE_FALLBACK if has_fallback else HOLD_LAST
    if own.on_death is not None and own.on_death != fits:
        why = (
            "with a comms time-out the device falls back by itself"
            if has_fallback
            else "without a comms time-out a Modbus device keeps its outputs"
        )
        problems.error(
            where, f'on_death = "{own.on_death}": {why}; write "{fits}", or change comms_timeout_ms'
        )
    return fits
