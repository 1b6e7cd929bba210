"""The rig of a printer with Marlin: its driver, a pty, and a simulated printer behind it."""

from pathlib import Path
from typing import Any, ClassVar

from board.contract import DevicePlan
from hil.marlin_device import MarlinDevice
from tests.board.rigs.gcode import points

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


class Rig:
    """One device on real bytes, with what can go wrong with it by name."""

    kind = "marlin"
    bad_within_s = 2.7
    probe = "link"
    wish: ClassVar[dict[str, int]] = {"enable": 1, "nozzle_set": 1800, "bed_set": 600}

    def __init__(self, tmp_path: Path, **device: Any) -> None:
        self.device = MarlinDevice(
            late_ms=3000, **{"speed": 100.0, "most_move_ms": 400.0, "boot_ms": 30} | device
        )
        settings = SETTINGS | {"address": self.device.address}
        self.plans = [DevicePlan("printer", "marlin", settings, points())]
        (tmp_path / "jobs").mkdir(exist_ok=True)

    def start(self) -> None:
        """The printer is there."""
        self.device.start()

    def stop(self) -> None:
        """The printer ends."""
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
        """Answers are a router's."""
        self.device.for_another(on)

    def flood(self, on: bool) -> None:
        """It sends without end."""
        self.device.flood(on)

    def outputs(self) -> dict[str, int]:
        """What the heaters are set to, in 0.1 degC."""
        with self.device.lock:
            return {
                "nozzle_set": round(self.device.nozzle.target * 10),
                "bed_set": round(self.device.bed.target * 10),
            }
