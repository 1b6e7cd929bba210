"""The rig of a router with GRBL: its driver, a pty, and a simulated router behind it."""

from pathlib import Path
from typing import Any, ClassVar

from board.contract import DevicePlan
from hil.grbl_device import GrblDevice
from tests.board.rigs.gcode import points
from tests.board.rigs.on_a_line import LineRig

SETTINGS: dict[str, Any] = {
    "baud": 115_200,
    "stale_ms": 600,
    "bad_ms": 1200,
    "jobs": "jobs",
    "ack_ms": 1500,
    "cancel_gcode": [],
}


class Rig(LineRig):
    """A router on a pseudo-terminal; nothing of it can be read back as an output."""

    kind = "grbl"
    bad_within_s = 1.5
    probe = "link"
    wish: ClassVar[dict[str, int]] = {"enable": 1, "pause": 0}
    device: GrblDevice

    def __init__(self, tmp_path: Path) -> None:
        self.device = GrblDevice(speed=100.0, most_move_ms=400.0, late_ms=1500)
        settings = SETTINGS | {"address": self.device.address}
        self.plans = [
            DevicePlan(
                "router", "grbl", settings, points(leave_out=("nozzle", "bed", "nozzle_set", "bed_set"))
            )
        ]
        (tmp_path / "jobs").mkdir(exist_ok=True)
