"""What the rigs of devices on a line have in common: a simulated device, and what can go wrong with it by name."""

from hil.serial_device import SerialDevice


class LineRig:
    """`device` is the simulated one; see hil.serial_device for what each word does to it."""

    device: SerialDevice

    def start(self) -> None:
        self.device.start()

    def stop(self) -> None:
        self.device.stop()

    def power_cycle(self) -> None:
        self.device.power_cycle()

    def unplug(self) -> None:
        self.device.unplug()

    def plug(self) -> None:
        self.device.plug()

    def late(self, on: bool) -> None:
        self.device.late(on)

    def nonsense(self, on: bool) -> None:
        self.device.nonsense(on)

    def for_another(self, on: bool) -> None:
        self.device.for_another(on)

    def flood(self, on: bool) -> None:
        self.device.flood(on)

    def outputs(self) -> dict[str, int]:
        """What the device really drives, counts by point; nothing where it shows nothing."""
        return {}
