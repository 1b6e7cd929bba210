"""The boards that can be emulated: how each is started, and how its GPIO controller is reached from outside."""

from collections.abc import Callable
from dataclasses import dataclass

from hil.gpio_guest.image import Image
from hil.gpio_guest.lines import Bcm2835Lines, HostLines, Pl061Lines
from hil.gpio_guest.qmp import Qmp
from hil.gpio_guest.qtest import Qtest


@dataclass(frozen=True)
class Machine:
    """One kind of board."""

    name: str
    qemu: tuple[str, ...]
    """Options of qemu-system-aarch64; the last -serial among them, added after these, is the agent's line."""
    console: str
    """The kernel's name of the agent's serial line."""
    append: str
    """Words for the kernel's command line."""
    chip: str
    """The label of the GPIO controller, as `gpiod` shows it."""
    lines: int
    has_dtb: bool
    controller: Callable[[Qtest, Qmp], HostLines]

    def options(self, image: Image) -> list[str]:
        """QEMU's options for this board and `image`, without the initial file system."""
        tree = ["-dtb", str(image.dtb)] if self.has_dtb else []
        return [*self.qemu, "-kernel", str(image.kernel), *tree]


VIRT = Machine(
    name="virt",
    qemu=("-M", "virt", "-cpu", "cortex-a53", "-smp", "1", "-m", "256", "-device", "i6300esb"),
    console="ttyAMA0",
    append="",
    chip="9030000.pl061",
    lines=8,
    has_dtb=False,
    controller=Pl061Lines,
)
"""A board that never was, with a PL061 whose input lines can be driven from outside, edges and all, and a watchdog."""

RASPI3B = Machine(
    name="raspi3b",
    # one processor: the three others would spin until Linux takes them
    qemu=("-M", "raspi3b", "-global", "bcm2837.enabled-cpus=1", "-serial", "null"),
    console="ttyS1",  # the other serial line is Bluetooth's
    append="maxcpus=1 8250.nr_uarts=2 kvm-arm.mode=none",
    chip="pinctrl-bcm2835",
    lines=54,
    has_dtb=True,
    controller=Bcm2835Lines,
)
"""A Raspberry Pi 3 B with Linux's driver of its pins. QEMU's pin controller has levels but no edges and no pulls."""
