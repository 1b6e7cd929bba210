"""GPIO lines seen from outside the guest: what is on the wires, whatever runs or died inside."""

from typing import Protocol

from hil.gpio_guest.errors import GuestError
from hil.gpio_guest.qmp import Qmp
from hil.gpio_guest.qtest import Qtest


class HostLines(Protocol):
    """The lines of one controller, as a person with a multimeter and a wire has them."""

    count: int

    def is_output(self, line: int) -> bool:
        """Whether the controller drives the line."""

    def level(self, line: int) -> int:
        """The level the controller has for the line: driven, or read."""

    def set_input(self, line: int, level: int) -> None:
        """Put `level` on a line that the controller does not drive. Raises GuestError where it drives it."""

    def power_on(self, line: int) -> None:
        """Make the line what it is when power comes: an input, level 0, whoever had it before."""


class Pl061Lines:
    """The PL061 of board `virt`: eight lines. A line that is let go has a pull to 0."""

    count = 8
    _BASE = 0x0903_0000
    _DATA_ALL = _BASE + 0x3FC
    _DIRECTION = _BASE + 0x400

    def __init__(self, qtest: Qtest, qmp: Qmp) -> None:
        self._qtest = qtest
        self.path = qmp.device("pl061")

    def is_output(self, line: int) -> bool:
        """See HostLines.is_output: its bit of GPIODIR."""
        return bool(self._qtest.readl(self._DIRECTION) >> line & 1)

    def level(self, line: int) -> int:
        """See HostLines.level: its bit of GPIODATA."""
        return self._qtest.readl(self._DATA_ALL) >> line & 1

    def set_input(self, line: int, level: int) -> None:
        """See HostLines.set_input: what is wired to the line drives it; an edge makes an interrupt."""
        if self.is_output(line):
            raise GuestError(f"line {line} is an output of the guest; nothing else may drive it")
        self._qtest.set_irq_in(self.path, line, level)

    def power_on(self, line: int) -> None:
        """See HostLines.power_on."""
        self._qtest.writel(self._DIRECTION, self._qtest.readl(self._DIRECTION) & ~(1 << line))
        self.set_input(line, 0)

    def watch(self) -> None:
        """Let Qtest.wire tell every change of a line's level. A line let go shows its pull, 0.

        QEMU takes every line for 0 at first: of one that is 1 now, its first change to 0 is not told.
        """
        self._qtest.watch(self.path)


class Bcm2835Lines:
    """The pins of a Raspberry Pi: 54 lines.

    QEMU's model has one bit a line for what is driven and what is read, no input from outside, no edges, no pulls: a
    level is put on an input by writing that bit, which real hardware would only remember for when the line becomes an
    output.
    """

    count = 54
    _BASE = 0x3F20_0000
    _FUNCTION, _SET, _CLEAR, _LEVEL = _BASE, _BASE + 0x1C, _BASE + 0x28, _BASE + 0x34
    _OUTPUT = 1

    def __init__(self, qtest: Qtest, qmp: Qmp) -> None:
        self._qtest = qtest
        self.path = qmp.device("bcm2835_gpio")

    def function(self, line: int) -> int:
        """GPFSEL of the line: 0 input, 1 output, others something else of the chip."""
        return self._qtest.readl(self._FUNCTION + line // 10 * 4) >> line % 10 * 3 & 7

    def is_output(self, line: int) -> bool:
        """See HostLines.is_output."""
        return self.function(line) == self._OUTPUT

    def level(self, line: int) -> int:
        """See HostLines.level: its bit of GPLEV."""
        return self._qtest.readl(self._LEVEL + line // 32 * 4) >> line % 32 & 1

    def set_input(self, line: int, level: int) -> None:
        """See HostLines.set_input; no edge is seen by the guest, only the level."""
        if self.is_output(line):
            raise GuestError(f"line {line} is an output of the guest; nothing else may drive it")
        self._qtest.writel((self._SET if level else self._CLEAR) + line // 32 * 4, 1 << line % 32)

    def power_on(self, line: int) -> None:
        """See HostLines.power_on."""
        register = self._FUNCTION + line // 10 * 4
        self._qtest.writel(register, self._qtest.readl(register) & ~(7 << line % 10 * 3))
        self.set_input(line, 0)
