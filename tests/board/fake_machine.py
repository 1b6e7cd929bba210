"""A module `machine` and its clock made of plain objects: pins with levels, an expander and a converter on the bus.

It runs on both runtimes and allocates nothing while the board reads and writes, so the board can be tried under a
locked heap. Levels are electrical: what a voltmeter at the terminal would say.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PINS = 40
TICKS_PERIOD = 1 << 30
"""The wrap of a microcontroller's counters."""

AS_INPUT = 0
AS_OUTPUT = 1
AS_PWM = 2
AS_ADC = 3

EIO = 5


class FakeClock:
    """`time` of MicroPython. `on_sleep` is called after each sleep."""

    def __init__(self, start_ms: int = 0) -> None:
        self.now = 0
        self.start = start_ms
        self.sleeps = 0
        self.on_sleep: Callable[[], object] | None = None

    def ticks_ms(self) -> int:
        left = TICKS_PERIOD - 1 - self.start  # no sum of 2**30: on 32 bits it would be on the heap
        return self.start + self.now if self.now <= left else self.now - left - 1

    def sleep_ms(self, ms: int) -> None:
        self.now += ms
        self.sleeps += 1
        if self.on_sleep is not None:
            self.on_sleep()


class World:
    """What the fake hardware is connected to."""

    def __init__(self) -> None:
        self.mode = [AS_INPUT] * PINS
        self.pull = [0] * PINS
        self.driven = [0] * PINS
        self.outside = [-1] * PINS
        self.counts = [0] * PINS
        self.duty = [0] * PINS
        self.freq = [0] * PINS
        self.writes = [0] * PINS
        self.handlers: list[Any] = [None] * PINS
        self.triggers = [0] * PINS
        self.received: list[bytearray] = [bytearray(), bytearray(), bytearray()]
        self.devices: list[Any] = [None] * 128
        self.dead = bytearray(128)
        self.transfers = 0
        self.failures = 0
        self.timeout_us = 0
        self.watchdog_ms = 0
        self.feeds = 0
        self.boot_levels: list[tuple[int, int]] = []  # (pin, level at the moment its driver was switched on)

    def level(self, pin: int) -> int:
        """0 or 1: what is there, with an RP2's pull-down where nothing drives and nothing was chosen."""
        if self.mode[pin] == AS_OUTPUT:
            return self.driven[pin]
        if self.outside[pin] >= 0:
            return self.outside[pin]
        return 1 if self.pull[pin] == 1 else 0

    def edge(self, pin: int, level: int) -> None:
        """Drive an input from outside; its interrupt runs at once."""
        was = self.level(pin)
        self.outside[pin] = level
        handler = self.handlers[pin]
        if handler is not None and was != level and self.triggers[pin] & (8 if level else 4):
            handler(None)


class FakeExpander:
    """An MCP23017: registers 0x00..0x15 in pairs A, B; `outside` is the level at its inputs, 16 bits."""

    def __init__(self) -> None:
        self.registers = bytearray(22)
        self.outside = 0
        self.pointer = 0
        self.power_on()

    def power_on(self) -> None:
        """All inputs, nothing pulled, latches low."""
        for k in range(22):
            self.registers[k] = 0
        self.registers[0] = 0xFF
        self.registers[1] = 0xFF

    def level(self, bit: int) -> int:
        """What is at pin `bit`."""
        port = bit >> 3
        mask = 1 << (bit & 7)
        if self.registers[port] & mask:
            return 1 if self.outside >> bit & 1 else 0
        return 1 if self.registers[0x14 + port] & mask else 0

    def is_output(self, bit: int) -> bool:
        return not self.registers[bit >> 3] & 1 << (bit & 7)

    def write(self, data: "Any") -> None:
        self.pointer = data[0]
        for k in range(1, len(data)):
            self.registers[self.pointer] = data[k]
            self.pointer += 1

    def read(self, data: "Any") -> None:
        for k in range(len(data)):
            at = self.pointer
            if at == 0x12 or at == 0x13:
                value = 0
                for bit in range(8):
                    if self.level((at - 0x12) * 8 + bit):
                        value |= 1 << bit
                data[k] = value
            else:
                data[k] = self.registers[at]
            self.pointer += 1


class FakeConverter:
    """An ADS1115: a conversion is started by the configuration; its result is what the input had then."""

    def __init__(self) -> None:
        self.counts = [0, 0, 0, 0]
        self.result = 0
        self.pointer = 0
        self.conversions = 0

    def write(self, data: "Any") -> None:
        self.pointer = data[0]
        if self.pointer == 1 and len(data) == 3 and data[1] & 0x80:
            self.result = self.counts[(data[1] >> 4 & 7) - 4] & 0xFFFF
            self.conversions += 1

    def read(self, data: "Any") -> None:
        data[0] = self.result >> 8
        data[1] = self.result & 0xFF


class FakeMachine:
    """Stands for the module: `FakeMachine(world)` has Pin, ADC, PWM, I2C, UART, WDT and unique_id."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.Pin: Any = _pin_class(world)
        self.ADC: Any = _adc_class(world)
        self.PWM: Any = _pwm_class(world)
        self.I2C: Any = _i2c_class(world)
        self.UART: Any = _uart_class(world)
        self.WDT: Any = _wdt_class(world)

    def unique_id(self) -> bytes:
        return bytes((0xE6, 0x61, 0x64, 0x08, 0x43, 0x2C, 0x8B, 0x2D))


def _pin_class(world: World) -> "Any":
    class Pin:
        IN, OUT, PULL_UP, PULL_DOWN, IRQ_RISING, IRQ_FALLING = 0, 1, 1, 2, 8, 4

        def __init__(self, number: int, mode: int = -1, pull: int = 0, value: int = -1) -> None:
            self.number = number
            if value >= 0:
                world.driven[number] = value
            if mode == self.OUT:
                world.boot_levels.append((number, world.driven[number]))
                world.mode[number] = AS_OUTPUT
            elif mode == self.IN:
                world.mode[number] = AS_INPUT
                world.pull[number] = pull

        def value(self, level: int = -1) -> int:
            if level < 0:
                return world.level(self.number)
            world.driven[self.number] = level
            world.writes[self.number] += 1
            return level

        def irq(self, handler: "Any" = None, trigger: int = 12, hard: bool = False) -> None:
            world.handlers[self.number] = handler
            world.triggers[self.number] = trigger

    return Pin


def _adc_class(world: World) -> "Any":
    class ADC:
        ATTN_11DB = 3

        def __init__(self, pin: "Any", atten: int = 0) -> None:
            self.number = pin.number
            world.mode[self.number] = AS_ADC

        def read_u16(self) -> int:
            count: int = world.counts[self.number]
            return count

    return ADC


def _pwm_class(world: World) -> "Any":
    class PWM:
        def __init__(self, pin: "Any", freq: int, duty_u16: int) -> None:
            self.number = pin.number
            world.freq[self.number] = freq
            world.duty[self.number] = duty_u16
            world.mode[self.number] = AS_PWM

        def duty_u16(self, value: int) -> None:
            world.duty[self.number] = value
            world.writes[self.number] += 1

        def deinit(self) -> None:
            world.duty[self.number] = 0
            world.mode[self.number] = AS_INPUT

    return PWM


def _i2c_class(world: World) -> "Any":
    class I2C:
        def __init__(self, number: int, scl: "Any", sda: "Any", freq: int, timeout: int) -> None:
            world.timeout_us = timeout

        def _device(self, address: int) -> "Any":
            world.transfers += 1
            device = world.devices[address]
            if device is None or world.dead[address]:
                world.failures += 1
                raise OSError(EIO)
            return device

        def writeto(self, address: int, data: "Any", stop: bool = True) -> int:
            self._device(address).write(data)
            return len(data)

        def readfrom_into(self, address: int, data: "Any", stop: bool = True) -> None:
            self._device(address).read(data)

    return I2C


def _uart_class(world: World) -> "Any":
    class UART:
        def __init__(self, number: int, baudrate: int, tx: "Any", rx: "Any", timeout: int) -> None:
            self.number = number

        def any(self) -> int:
            return len(world.received[self.number])

        def readinto(self, data: "Any", size: int) -> int:
            waiting = world.received[self.number]
            for k in range(size):
                data[k] = waiting[k]
            world.received[self.number] = waiting[size:]
            return size

        def deinit(self) -> None:
            world.received[self.number] = bytearray()

    return UART


def _wdt_class(world: World) -> "Any":
    class WDT:
        def __init__(self, timeout: int) -> None:
            world.watchdog_ms = timeout

        def feed(self) -> None:
            world.feeds += 1

    return WDT
