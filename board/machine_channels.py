"""What is on the pins of a microcontroller: inputs, outputs, converters, PWM, a pulse counter, a line-based reader."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    import machine

    class Hardware(Protocol):
        """What is used of the module `machine`."""

        @property
        def Pin(self) -> "type[machine.Pin]": ...
        @property
        def ADC(self) -> "type[machine.ADC]": ...
        @property
        def PWM(self) -> "type[machine.PWM]": ...
        @property
        def I2C(self) -> "type[machine.I2C]": ...
        @property
        def UART(self) -> "type[machine.UART]": ...
        @property
        def WDT(self) -> "type[machine.WDT]": ...
        def unique_id(self) -> bytes: ...

    _REAL: Hardware = machine  # `make types-board` looks at it with the stubs of each port


PULL_NONE = 0
PULL_UP = 1
PULL_DOWN = 2
RISING = 0
FALLING = 1

_GOOD = 0
_STALE = 1
_MASK = (1 << 29) - 1
_DIGITS = 8  # below 2**29 whatever they are


def make_input(hardware: "Hardware", number: int, pull: int) -> "machine.Pin":
    """Pin `number` as an input with a pull resistor of the chip."""
    pin = hardware.Pin
    if pull == PULL_UP:
        return pin(number, pin.IN, pin.PULL_UP)
    if pull == PULL_DOWN:
        return pin(number, pin.IN, pin.PULL_DOWN)
    return pin(number, pin.IN)


def make_output(hardware: "Hardware", number: int, level: int) -> "machine.Pin":
    """Pin `number` as an output; the level is set before the driver is switched on, so there is no spike."""
    pin = hardware.Pin
    return pin(number, pin.OUT, value=level)


def make_pwm(hardware: "Hardware", number: int, freq_hz: int, duty: int) -> "machine.PWM":
    """PWM on pin `number`, starting with `duty` of 65535."""
    return hardware.PWM(hardware.Pin(number), freq=freq_hz, duty_u16=duty)


def make_adc(hardware: "Hardware", number: int, target: str) -> "machine.ADC":
    """The converter on pin `number`; on an ESP32 with its widest input range."""
    pin = hardware.Pin(number)
    if target == "esp32":
        return hardware.ADC(pin, atten=hardware.ADC.ATTN_11DB)
    return hardware.ADC(pin)


class PulseCounter:
    """Counts edges of one pin in its interrupt; `count` goes from `low` to `top` and starts again at `low`."""

    def __init__(self, hardware: "Hardware", clock: "Any", entry: "list[int]") -> None:
        number, pull, edge, self.place, self._calm_ms, self._low, self._top, hard = entry
        self.count = self._low
        self._clock = clock
        self._last = (clock.ticks_ms() - self._calm_ms) & _MASK
        pin = make_input(hardware, number, pull)
        trigger = hardware.Pin.IRQ_FALLING if edge == FALLING else hardware.Pin.IRQ_RISING
        self._pin = pin
        # hard: counted at once, also while the scan runs. Where a port has only soft interrupts, they queue
        if hard:
            pin.irq(handler=self._edge, trigger=trigger, hard=True)
        else:
            pin.irq(handler=self._edge, trigger=trigger)

    def _edge(self, pin: object) -> None:
        """In the interrupt: nothing here allocates."""
        if self._calm_ms:
            now = self._clock.ticks_ms() & _MASK
            if (now - self._last) & _MASK < self._calm_ms:
                return
            self._last = now
        if self.count < self._top:
            self.count += 1
        else:
            self.count = self._low

    def close(self) -> None:
        """No further interrupt."""
        self._pin.irq(handler=None)


class LineReader:
    """A number a line from a serial reader: digits, then CR, LF or both. An empty line or 0: nothing is there.

    A line that is anything else makes the number stale until a good one comes. With `keep_ms` a number that is not sent
    again within that time is 0; so a reader that fell silent does not name a carrier that left.
    """

    def __init__(self, hardware: "Hardware", entry: "list[int]") -> None:
        port, tx, rx, baud, self.place, self.signal, self._keep_ms = entry
        self.number = 0
        self.quality = _GOOD
        self._buffer = bytearray(32)
        self._value = 0
        self._digits = 0
        self._wrong = False
        self._cr = False  # the last byte was one
        self._since = 0
        pin = hardware.Pin
        # both pins are named: a port would take its own default for the one that is not, flash pins among them
        self._uart: "Any" = hardware.UART(port, baudrate=baud, tx=pin(tx), rx=pin(rx), timeout=0)

    def poll(self, now: int) -> None:
        """Take what came, at most 32 bytes; called once a scan."""
        waiting = self._uart.any()
        if waiting:
            buffer = self._buffer
            size = self._uart.readinto(buffer, 32 if waiting > 32 else waiting)
            if size:
                for k in range(size):
                    self._take(buffer[k], now)
        if self._keep_ms and self.number and (now - self._since) & _MASK >= self._keep_ms:
            self.number = 0

    def _take(self, byte: int, now: int) -> None:
        if 0x30 <= byte <= 0x39:
            if self._digits < _DIGITS:
                self._value = self._value * 10 + byte - 0x30
            self._digits += 1
        elif byte == 0x0D or byte == 0x0A:
            self._end(byte, now)
        elif byte != 0x20:
            self._wrong = True

    def _end(self, byte: int, now: int) -> None:
        """A line is complete. The LF behind a CR is an empty line of no meaning."""
        if self._wrong or self._digits > _DIGITS:
            self.quality = _STALE
        elif self._digits or not self._after_cr(byte):
            self.number = self._value
            self.quality = _GOOD
            self._since = now
        self._cr = byte == 0x0D
        self._value = 0
        self._digits = 0
        self._wrong = False

    def _after_cr(self, byte: int) -> bool:
        return byte == 0x0A and self._cr

    def close(self) -> None:
        """Let go of the serial line."""
        self._uart.deinit()
