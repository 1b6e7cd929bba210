"""Routers with GRBL 1.1 as devices of a board."""

from collections.abc import Sequence

from board.contract import Device, DevicePlan, Services
from board.gcode_machine import GcodeMachine
from board.grbl_lines import check
from board.grbl_session import GrblSession, GrblSettings


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """The routers of a board, each on a line of its own."""
    return [GcodeMachine(plan, board, _session(plan), check) for plan in plans]


def _session(plan: DevicePlan) -> GrblSession:
    cancel = tuple(line.encode("ascii") for line in plan.settings["cancel_gcode"])
    return GrblSession(GrblSettings(plan.settings["ack_ms"], cancel))
