"""Printers with Marlin as devices of a board."""

from collections.abc import Mapping, Sequence
from typing import Any

from board.contract import Device, DevicePlan, Services
from board.gcode_machine import GcodeMachine
from board.marlin_lines import check
from board.marlin_session import MarlinSession, MarlinSettings


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """The printers of a board, each on a line of its own."""
    return [
        GcodeMachine(plan, board, MarlinSession(_settings(plan.settings), _base(board)), check)
        for plan in plans
    ]


def _settings(settings: Mapping[str, Any]) -> MarlinSettings:
    def lines(key: str) -> tuple[bytes, ...]:
        return tuple(line.encode("ascii") for line in settings[key])

    return MarlinSettings(
        settings["ack_ms"],
        settings["window"],
        lines("pause_gcode"),
        lines("resume_gcode"),
        lines("cancel_gcode"),
    )


def _base(board: Services) -> int:
    return 100_000 + int.from_bytes(board.random(4), "big") % 800_000
