"""A driver without hardware, for tests of the board around it: each device is in the hands of the test."""

from collections.abc import Sequence

from board.contract import Device, DevicePlan, Services
from board.device_link import NEVER, DeviceLink

made: dict[str, "DeskDevice"] = {}


class DeskDevice:
    """One device. `say` is what it answers, `link` its link, `driven` what was asked of it."""

    def __init__(self, plan: DevicePlan) -> None:
        self.name = plan.name
        self.inputs = [point for point in plan.points if not point.is_output]
        self.outputs = [point for point in plan.points if point.is_output]
        self.latest = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(
            plan.name, plan.on_death, [point.abort for point in self.outputs], clock=lambda: self.now
        )
        self.now = 1_000
        self.opened = 0
        self.closed = 0
        self.fails: str = ""

    def open(self) -> None:
        """See Device.open."""
        self.opened += 1
        self.link.opened()
        self.say(*[0] * len(self.inputs))

    def say(self, *counts: int) -> None:
        """The device answers."""
        self.latest = [(count, self.now) for count in counts]
        self.link.answered()

    def refresh(self) -> None:
        """See Device.refresh."""

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive."""
        self.link.want(counts)

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe."""
        self.link.want(counts)

    def close(self) -> None:
        """See Device.close."""
        self.closed += 1
        self.link.closed()

    @property
    def driven(self) -> list[int]:
        """What the device is to drive now."""
        return self.link.wanted()[1]


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """See board.linux_board.DRIVERS."""
    found = [DeskDevice(plan) for plan in plans]
    made.update({device.name: device for device in found})
    return [*found]
