"""Instruments for the survival suite, real bytes over pseudo terminals: a power supply with outputs, and a scale."""

from pathlib import Path

from board.contract import DevicePlan
from hil.scale_device import ScaleDevice
from hil.serial_device import SerialDevice
from hil.supply_device import SupplyDevice
from tests.board.instrument_bench import plan_of, shape_of
from tests.board.rigs.on_a_line import LineRig


class _Rig(LineRig):
    """What both have in common."""

    kind = "instrument"
    probe = ""

    def __init__(self, device: SerialDevice, model: str) -> None:
        self.device = device
        self.plans: list[DevicePlan] = [plan_of(shape_of(model, model=model, address=device.address), model)]
        self.bad_within_s: float = self.plans[0].settings["bad_ms"] / 1000


class Rig(_Rig):
    """A power supply."""

    probe = "amps"

    def __init__(self, tmp_path: Path) -> None:
        self.supply = SupplyDevice(str(tmp_path / "supply"))
        super().__init__(self.supply, "scpi_supply")

    def outputs(self) -> dict[str, int]:
        """What it really drives."""
        with self.supply.lock:
            return {"set_volts": int(self.supply.volts * 1000), "on": int(self.supply.on)}


class ScaleRig(_Rig):
    """A scale; its tare is a command, and drives nothing."""

    probe = "weight"

    def __init__(self, tmp_path: Path) -> None:
        self.scale = ScaleDevice(str(tmp_path / "scale"))
        super().__init__(self.scale, "scale_sics")
        self.scale.load("123.45")
