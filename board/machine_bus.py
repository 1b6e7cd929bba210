"""Devices on the I2C bus of a microcontroller: an expander and a converter, and how one that is silent is treated.

In one scan at most one transfer fails: after it the bus rests until the next scan. A device that failed three times
running is asked again after 100 ms, 200 ms ... 1.6 s. So a dead bus costs a scan one time-out of the bus at most.
Only `writeto` and `readfrom_into` are used: the transfers with a register number allocate on some ports.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from board.machine_channels import Hardware
    from cell_controller.core.signals import InputImage

MCP23017 = 1
ADS1115 = 2

GOOD = 0
STALE = 1
BAD = 2

_MASK = (1 << 29) - 1
_HALF = 1 << 28
_PATIENCE = 3  # failures in a row that are tried again in the next scan
_FIRST_MS = 100
_LONGEST = 4  # doublings: 1.6 s
_CONVERSION_MS = 2  # 860 conversions a second: 1.2 ms each


class Bus:
    """The bus of a board; `spent` in a scan in which a transfer failed."""

    def __init__(self, hardware: "Hardware", entry: "list[int]") -> None:
        """`entry`: [id, sda, scl, freq_hz, timeout_us], or [] where the board has no I2C."""
        self.spent = False
        self._i2c: "Any" = None
        if entry:
            number, sda, scl, freq_hz, timeout_us = entry
            pin = hardware.Pin
            self._i2c = hardware.I2C(number, scl=pin(scl), sda=pin(sda), freq=freq_hz, timeout=timeout_us)

    def write(self, address: int, data: bytearray) -> bool:
        """Send `data`; False where the device does not take it."""
        try:
            return self._i2c.writeto(address, data) == len(data)  # type: ignore[no-any-return]
        except OSError:
            self.spent = True
            return False

    def read(self, address: int, register: bytearray, data: bytearray) -> bool:
        """Fill `data` from `register` on; False where the device does not answer."""
        try:
            self._i2c.writeto(address, register, False)
            self._i2c.readfrom_into(address, data)
            return True
        except OSError:
            self.spent = True
            return False


class Device:
    """What every device has: when it is asked again, and the quality of its signals."""

    def __init__(self, bus: Bus, name: str, address: int, stale_ms: int, bad_ms: int) -> None:
        self.name = name
        self.quality = GOOD
        self._bus = bus
        self._address = address
        self._stale_ms = stale_ms
        self._bad_ms = bad_ms
        self._fails = 0
        self._again_at = 0
        self._answered_at = 0
        self._ready = False  # it is set up
        self._known = False  # each of its signals has a value that is no older than the last time it was bad

    def _may(self, now: int) -> bool:
        """Whether to talk to it now."""
        if self._bus.spent:
            return False
        return self._fails < _PATIENCE or ((self._again_at - now + _HALF) & _MASK) - _HALF <= 0

    def _failed(self, now: int) -> None:
        self._bus.spent = True
        self._ready = False
        if self._fails < _PATIENCE + _LONGEST:
            self._fails += 1
        if self._fails >= _PATIENCE:
            wait = _FIRST_MS << (self._fails - _PATIENCE)
            self._again_at = (now + wait) & _MASK

    def _answered(self, now: int) -> None:
        self._fails = 0
        self._answered_at = now

    def _judge(self, now: int) -> bool:
        """Its quality by the age of its last answer, better only after an answer; True where it changed."""
        age = (now - self._answered_at) & _MASK
        quality = GOOD
        if not self._known or age >= self._bad_ms:
            quality = BAD
        elif age >= self._stale_ms:
            quality = STALE
        if self._fails and quality < self.quality:  # the age of a long silence wraps
            quality = self.quality
        if quality == self.quality:
            return False
        self.quality = quality
        return True

    def hurry(self) -> None:
        """The next transfer is tried at once, whatever happened before."""
        if self._fails >= _PATIENCE:
            self._fails = _PATIENCE - 1


class Expander(Device):
    """An MCP23017: sixteen pins, A0..A7 are bits 0..7, B0..B7 bits 8..15."""

    def __init__(self, bus: Bus, entry: "list[Any]") -> None:
        _, name, address, direction, pulls, ins, outs, signals, stale_ms, bad_ms = entry
        Device.__init__(self, bus, name, address, stale_ms, bad_ms)
        self._ins: "list[list[int]]" = ins
        self._outs: "list[list[int]]" = outs
        self._signals: "list[int]" = signals
        self._driven = ~direction & 0xFFFF
        self._direction = bytearray((0x00, direction & 0xFF, direction >> 8))  # IODIRA, then IODIRB
        self._pulls = bytearray((0x0C, pulls & 0xFF, pulls >> 8))  # GPPUA
        self._released = bytearray((0x00, 0xFF, 0xFF))
        self._latch = bytearray((0x14, 0, 0))  # OLATA
        self._port = bytearray((0x12,))  # GPIOA
        self._data = bytearray(2)
        self._levels = 0
        self._wanted = 0
        self._sent = -1

    def begin(self, now: int) -> None:
        """Set it up for the first time."""
        self._set_up(now)

    def _set_up(self, now: int) -> bool:
        """The latches before the direction, so that no output starts wrong."""
        bus = self._bus
        self._latch[1] = self._wanted & 0xFF
        self._latch[2] = self._wanted >> 8
        address = self._address
        if (
            bus.write(address, self._latch)
            and bus.write(address, self._pulls)
            and bus.write(address, self._direction)
        ):
            self._sent = self._wanted
            self._ready = True
            self._answered(now)
            return True
        self._failed(now)
        return False

    def want(self, words: "list[int]", invert: "list[int]") -> None:
        """Take its bits out of the output image."""
        wanted = 0
        for mask, w, bit in self._outs:
            if (words[w] ^ invert[w]) & bit:
                wanted |= mask
        self._wanted = wanted

    def write(self, now: int) -> None:
        """Send the outputs if they changed."""
        if self._wanted == self._sent and self._ready:
            return
        self._sent = -1
        if not self._may(now):
            return
        if not self._ready:
            self._set_up(now)
            return
        self._latch[1] = self._wanted & 0xFF
        self._latch[2] = self._wanted >> 8
        if self._bus.write(self._address, self._latch):
            self._sent = self._wanted
        else:
            self._failed(now)

    def again(self, now: int) -> None:
        """Send everything again: it may have been without power."""
        if self._may(now):
            self._set_up(now)

    def read(self, now: int, image: "InputImage") -> bool:
        """Take its pins over; True where its quality changed."""
        if self._may(now) and (self._ready or self._set_up(now)):
            self._take(now)
        if self._sent < 0:
            self.write(now)
        levels = self._levels
        words = image.words
        for mask, w, bit in self._ins:
            if levels & mask:
                words[w] ^= bit
        changed = self._judge(now)
        if self.quality == BAD:
            self._known = False
        for i in self._signals:
            image.quality[i] = self.quality
        return changed

    def _take(self, now: int) -> None:
        data = self._data
        if not self._bus.read(self._address, self._port, data):
            self._failed(now)
            return
        self._levels = data[0] | data[1] << 8
        self._known = True
        self._answered(now)
        if self._sent >= 0 and (self._levels ^ self._sent) & self._driven:
            self._sent = -1  # an output is not where it was put: the device was reset, or a wire is shorted
            self._set_up(now)

    def release(self) -> None:
        """All pins become inputs, as after a reset."""
        self._bus.write(self._address, self._released)


class Converter(Device):
    """An ADS1115, one conversion at a time: each scan takes the result of the last one and starts the next."""

    def __init__(self, bus: Bus, entry: "list[Any]") -> None:
        _, name, address, channels, stale_ms, bad_ms = entry
        Device.__init__(self, bus, name, address, stale_ms, bad_ms)
        self._channels: "list[list[int]]" = channels  # [configuration, place, signal]
        self._config = bytearray((0x01, 0, 0))
        self._result = bytearray((0x00,))
        self._data = bytearray(2)
        self._at = 0
        self._started_at = 0
        self._values = [0] * len(channels)

    def begin(self, now: int) -> None:
        """Start the first conversion."""
        self._start(now)

    def _start(self, now: int) -> bool:
        config = self._channels[self._at][0]
        self._config[1] = config >> 8
        self._config[2] = config & 0xFF
        if self._bus.write(self._address, self._config):
            self._ready = True
            self._started_at = now
            return True
        self._failed(now)
        return False

    def want(self, words: "list[int]", invert: "list[int]") -> None:
        """It has no outputs."""

    def write(self, now: int) -> None:
        """It has no outputs."""

    def again(self, now: int) -> None:
        """Every conversion sets it up anyway."""

    def release(self) -> None:
        """It has no outputs."""

    def read(self, now: int, image: "InputImage") -> bool:
        """Take the result that is ready; True where its quality changed."""
        if self._may(now):
            self._step(now)
        changed = self._judge(now)
        if self._known and self.quality == BAD:  # good again after a whole round
            self._known = False
            self._ready = False
            self._at = 0
        k = 0
        for _, place, signal in self._channels:
            image.analog[place] = self._values[k]
            image.quality[signal] = self.quality
            k += 1
        return changed

    def _step(self, now: int) -> None:
        if not self._ready:
            self._start(now)
            return
        if (now - self._started_at) & _MASK < _CONVERSION_MS:
            return
        data = self._data
        if not self._bus.read(self._address, self._result, data):
            self._failed(now)
            return
        value = data[0] << 8 | data[1]
        self._values[self._at] = value - 0x10000 if value & 0x8000 else value
        self._answered(now)
        self._at += 1
        if self._at == len(self._channels):
            self._at = 0
            self._known = True
        self._start(now)


def device_of(bus: Bus, entry: "list[Any]") -> "Any":
    """The driver of one entry of the compiled wiring. Raises ValueError for a kind that this controller lacks."""
    if entry[0] == MCP23017:
        return Expander(bus, entry)
    if entry[0] == ADS1115:
        return Converter(bus, entry)
    raise ValueError("device %d is not known to this controller; build again" % entry[0])
