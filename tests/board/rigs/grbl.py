"""The rig of a router with GRBL: its driver, a pty, and a simulated router behind it."""

from pathlib import Path
from typing import Any, ClassVar

from board.contract import DevicePlan
from hil.grbl_device import GrblDevice
from tests.board.rigs.gcode import points

SETTINGS: dict[str, Any] = {
    "baud": 115_200,
    "stale_ms": 600,
    "bad_ms": 1200,
    "jobs": "jobs",
    "ack_ms": 1500,
    "cancel_gcode": [],
}


class Rig:
    """See tests.board.rigs.marlin.Rig."""

    kind = "grbl"
    bad_within_s = 1.5
    probe = "link"
    wish: ClassVar[dict[str, int]] = {"enable": 1, "pause": 0}

    def __init__(self, tmp_path: Path) -> None:
        self.device = GrblDevice(speed=100.0, most_move_ms=400.0, late_ms=1500)
        settings = SETTINGS | {"address": self.device.address}
        self.plans = [
            DevicePlan(
                "router", "grbl", settings, points(leave_out=("nozzle", "bed", "nozzle_set", "bed_set"))
            )
        ]
        (tmp_path / "jobs").mkdir(exist_ok=True)

    def start(self) -> None:
        """The router is there."""
        self.device.start()

    def stop(self) -> None:
        """The router ends."""
        self.device.stop()

    def power_cycle(self) -> None:
        """Off and on: it loses its state."""
        self.device.power_cycle()

    def unplug(self) -> None:
        """The cable is out."""
        self.device.unplug()

    def plug(self) -> None:
        """The cable is in."""
        self.device.plug()

    def late(self, on: bool) -> None:
        """Answers come too late."""
        self.device.late(on)

    def nonsense(self, on: bool) -> None:
        """Answers are random bytes."""
        self.device.nonsense(on)

    def for_another(self, on: bool) -> None:
        """Answers are a printer's."""
        self.device.for_another(on)

    def flood(self, on: bool) -> None:
        """It sends without end."""
        self.device.flood(on)

    def outputs(self) -> dict[str, int]:
        """Nothing of it can be read back as an output."""
        return {}
