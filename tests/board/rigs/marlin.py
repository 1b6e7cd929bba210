"""The rig of a printer with Marlin: its driver, a pty, and a simulated printer behind it."""

from pathlib import Path
from typing import Any, ClassVar

from board.contract import DevicePlan
from hil.marlin_device import MarlinDevice
from tests.board.rigs.gcode import points
from tests.board.rigs.on_a_line import LineRig

SETTINGS: dict[str, Any] = {
    "baud": 115_200,
    "stale_ms": 1500,
    "bad_ms": 2500,
    "jobs": "jobs",
    "window": 1,
    "ack_ms": 1500,
    "pause_gcode": [],
    "resume_gcode": [],
    "cancel_gcode": ["M104 S0", "M140 S0", "M107"],
}


class Rig(LineRig):
    """A printer on a pseudo-terminal."""

    kind = "marlin"
    bad_within_s = 2.7
    probe = "link"
    wish: ClassVar[dict[str, int]] = {"enable": 1, "nozzle_set": 1800, "bed_set": 600}

    device: MarlinDevice

    def __init__(self, tmp_path: Path, **device: Any) -> None:
        self.device = MarlinDevice(
            late_ms=3000, **{"speed": 100.0, "most_move_ms": 400.0, "boot_ms": 30} | device
        )
        settings = SETTINGS | {"address": self.device.address}
        self.plans = [DevicePlan("printer", "marlin", settings, points())]
        (tmp_path / "jobs").mkdir(exist_ok=True)

    def outputs(self) -> dict[str, int]:
        """What the heaters are set to, in 0.1 degC."""
        with self.device.lock:
            return {
                "nozzle_set": round(self.device.nozzle.target * 10),
                "bed_set": round(self.device.bed.target * 10),
            }
