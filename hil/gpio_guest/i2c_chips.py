"""Two chips for an I2C bus, as far as their data sheets describe what goes over the bus: MCP23017 and ADS1115."""

from typing import Protocol


class Chip(Protocol):
    """What is at an address of the bus."""

    def write(self, data: bytes) -> None:
        """A transfer to it: the number of a register, then what goes there."""

    def read(self, count: int) -> bytes:
        """A transfer from it, from the register on that was named last."""

    def power_cycle(self) -> None:
        """Off and on: it forgets what it was told."""


class Expander:
    """MCP23017: registers 0x00..0x15, two a pair, bits 0..7 are A and 8..15 are B."""

    IODIR, OLAT, GPIO, REGISTERS = 0x00, 0x14, 0x12, 0x16

    def __init__(self) -> None:
        self.outside = 0
        """What is on its pins from outside, a bit each."""
        self.power_cycle()

    def power_cycle(self) -> None:
        """See Chip.power_cycle: all pins are inputs."""
        self._registers = bytearray(self.REGISTERS)
        self._registers[:2] = b"\xff\xff"
        self._pointer = 0
        self.driven_ever = [0]
        """Every pattern that was on its outputs, each time it changed."""

    @property
    def driven(self) -> int:
        """The pins that it drives high."""
        return self._pair(self.OLAT) & ~self._pair(self.IODIR)

    def write(self, data: bytes) -> None:
        """See Chip.write: the next bytes go to the next registers, around at the end; writing a pin is its latch."""
        self._pointer = data[0] % self.REGISTERS
        for byte in data[1:]:
            at = self._pointer + 2 if self._pointer in (self.GPIO, self.GPIO + 1) else self._pointer
            self._registers[at] = byte
            self._pointer = (self._pointer + 1) % self.REGISTERS
        if self.driven != self.driven_ever[-1]:
            self.driven_ever.append(self.driven)

    def read(self, count: int) -> bytes:
        """See Chip.read: the next registers, around at the end."""
        pins = self.outside & self._pair(self.IODIR) | self.driven
        self._registers[self.GPIO : self.GPIO + 2] = pins.to_bytes(2, "little")
        found = bytes(self._registers[(self._pointer + k) % self.REGISTERS] for k in range(count))
        self._pointer = (self._pointer + count) % self.REGISTERS
        return found

    def _pair(self, register: int) -> int:
        return int.from_bytes(self._registers[register : register + 2], "little")


class Converter:
    """ADS1115: four inputs against ground, a conversion is done at once."""

    CONFIG, READY = 1, 0x8000
    FULL_SCALE_MV = (6144, 4096, 2048, 1024, 512, 256, 256, 256)

    def __init__(self) -> None:
        self.millivolts = [0, 0, 0, 0]
        self.power_cycle()

    def power_cycle(self) -> None:
        """See Chip.power_cycle."""
        self._words = [0, 0x8583, 0x8000, 0x7FFF]
        self._pointer = 0

    def write(self, data: bytes) -> None:
        """See Chip.write: a configuration with its highest bit starts a conversion."""
        self._pointer = data[0] & 3
        if len(data) < 3 or self._pointer == 0:
            return
        word = int.from_bytes(data[1:3], "big")
        self._words[self._pointer] = word
        if self._pointer == self.CONFIG and word & self.READY:
            source, gain = word >> 12 & 7, word >> 9 & 7
            millivolts = self.millivolts[source - 4] if source >= 4 else 0
            count = round(millivolts * 32768 / self.FULL_SCALE_MV[gain])
            self._words[0] = max(-32768, min(32767, count)) & 0xFFFF

    def read(self, count: int) -> bytes:
        """See Chip.read: the same register again and again."""
        return (self._words[self._pointer].to_bytes(2, "big") * count)[:count]
