"""I2C with the chips that may be on it, and UART. Chips keep their registers in the shared memory, over resets too."""

from . import layout
from .clock import ticks_diff, ticks_ms
from .shared import memory, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

EIO = 5
_IODIR, _IPOL, _GPPU, _GPIO, _OLAT, _REGISTERS = 0, 2, 0x0C, 0x12, 0x14, 0x16
_OUT_MUX = 4  # of an ADS1115: single-ended inputs begin here


class _Expander:
    """An MCP23017 as it comes up: registers of A and B in turn, and the address goes on by itself."""

    def __init__(self, number: int) -> None:
        self.memory = memory(layout.EXPANDERS + layout.CHIP_BYTES * number, layout.CHIP_BYTES)

    def write(self, data: "Any") -> None:
        at = data[0] % _REGISTERS
        for i in range(1, len(data)):
            self.memory[at + 2 if at in (_GPIO, _GPIO + 1) else at] = data[i]
            at = (at + 1) % _REGISTERS
        self.memory[layout.CHIP_POINTER] = at

    def read(self, into: "Any") -> None:
        at = self.memory[layout.CHIP_POINTER] % _REGISTERS
        for i in range(len(into)):
            into[i] = self._port(at - _GPIO) if at in (_GPIO, _GPIO + 1) else self.memory[at]
            at = (at + 1) % _REGISTERS
        self.memory[layout.CHIP_POINTER] = at

    def _port(self, side: int) -> int:
        chip = self.memory
        driven = chip[layout.CHIP_DRIVEN + side]
        outside = chip[layout.CHIP_LEVEL + side] & driven | chip[_GPPU + side] & ~driven
        inputs = chip[_IODIR + side]
        return (outside & inputs ^ chip[_IPOL + side] & inputs | chip[_OLAT + side] & ~inputs) & 0xFF


class _Converter:
    """An ADS1115: a conversion of the input that was asked for last is always ready."""

    def __init__(self, number: int) -> None:
        self.memory = memory(layout.CONVERTERS + layout.CHIP_BYTES * number, layout.CHIP_BYTES)

    def write(self, data: "Any") -> None:
        self.memory[layout.CHIP_POINTER] = data[0] & 3
        if data[0] & 3 == 1 and len(data) == 3:
            self.memory[0] = data[1] | 0x80
            self.memory[1] = data[2]

    def read(self, into: "Any") -> None:
        at = 0
        if self.memory[layout.CHIP_POINTER] == 0:
            at = layout.CHIP_COUNTS + 2 * ((self.memory[0] >> 4 & 7) - _OUT_MUX)
            if at < layout.CHIP_COUNTS:
                at = layout.CHIP_COUNTS
        for i in range(len(into)):
            into[i] = self.memory[at + i % 2]


_chips = [(0x20 + n, _Expander(n)) for n in range(8)] + [(0x48 + n, _Converter(n)) for n in range(4)]


class I2C:
    """Both buses reach the same chips."""

    def __init__(
        self,
        number: int = 0,
        *,
        scl: "Any" = None,
        sda: "Any" = None,
        freq: int = 400000,
        timeout: int = 50000,
    ) -> None:
        if number not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % number)

    def init(self, **settings: "Any") -> None:
        pass

    def scan(self) -> "list[int]":
        return [address for address, chip in _chips if chip.memory[layout.CHIP_THERE]]

    def _chip(self, address: int) -> "Any":
        for known, chip in _chips:
            if known == address and chip.memory[layout.CHIP_THERE]:
                return chip
        raise OSError(EIO)

    def writeto(self, address: int, data: "Any", stop: bool = True) -> int:
        chip = self._chip(address)
        if len(data):
            chip.write(data)
        return len(data)

    def writevto(self, address: int, parts: "Sequence[Any]", stop: bool = True) -> int:
        return self.writeto(address, b"".join([bytes(part) for part in parts]))

    def readfrom_into(self, address: int, into: "Any", stop: bool = True) -> None:
        self._chip(address).read(into)

    def readfrom(self, address: int, size: int, stop: bool = True) -> bytes:
        into = bytearray(size)
        self.readfrom_into(address, into)
        return bytes(into)

    def writeto_mem(self, address: int, register: int, data: "Any", *, addrsize: int = 8) -> None:
        self.writeto(address, bytes((register,)) + bytes(data))

    def readfrom_mem_into(self, address: int, register: int, into: "Any", *, addrsize: int = 8) -> None:
        chip = self._chip(address)
        chip.write(bytes((register,)))
        chip.read(into)

    def readfrom_mem(self, address: int, register: int, size: int, *, addrsize: int = 8) -> bytes:
        into = bytearray(size)
        self.readfrom_mem_into(address, register, into)
        return bytes(into)


class UART:
    """One of two serial lines; 511 bytes wait at most, what comes on top is lost."""

    def __init__(
        self, number: int, baudrate: int = 115200, *args: int, timeout: int = 0, **settings: "Any"
    ) -> None:
        if number not in (0, 1):
            raise ValueError("UART(%d) doesn't exist" % number)
        at = layout.UARTS + 2 * layout.RING_BYTES * number
        self._in = memory(at, layout.RING_BYTES)
        self._out = memory(at + layout.RING_BYTES, layout.RING_BYTES)
        self._word = layout.RING + 4 * number
        self._on = layout.UART_ON + number
        self._timeout = timeout
        self.init(baudrate)

    def init(self, baudrate: int = 115200, *args: int, timeout: int = -1, **settings: "Any") -> None:
        if timeout != -1:
            self._timeout = timeout
        if not words[self._on]:
            words[self._word + 1] = words[self._word]
        words[self._on] = baudrate

    def deinit(self) -> None:
        words[self._on] = 0

    def any(self) -> int:
        return (words[self._word] - words[self._word + 1]) % layout.RING_BYTES  # type: ignore[no-any-return]

    def readinto(self, into: "Any", size: int = -1) -> "int | None":
        most = len(into)
        if 0 <= size < most:
            most = size
        tail: int = words[self._word + 1]
        count = 0
        since = ticks_ms()
        while count < most:
            if tail != words[self._word]:
                into[count] = self._in[tail]
                tail = (tail + 1) % layout.RING_BYTES
                count += 1
            elif ticks_diff(ticks_ms(), since) >= self._timeout:
                break
        words[self._word + 1] = tail
        return count or None

    def read(self, size: int = -1) -> "bytes | None":
        into = bytearray(self.any() if size < 0 else size)
        count = self.readinto(into)
        return bytes(into[:count]) if count else None

    def readline(self) -> "bytes | None":
        line = b""
        while True:
            byte = self.read(1)
            if byte is None:
                return line or None
            line += byte
            if byte == b"\n":
                return line

    def write(self, data: "Any") -> int:
        head: int = words[self._word + 2]
        for i in range(len(data)):
            self._out[head] = data[i]
            head = (head + 1) % layout.RING_BYTES
            words[self._word + 2] = head
        return len(data)

    def flush(self) -> None:
        pass

    def txdone(self) -> bool:
        return True
