"""Chips on I2C: the converter ADS1115 and the expander MCP23017."""

import threading
from collections.abc import Sequence

from board.contract import Device, DevicePlan, Point, Services
from board.i2c_bus import LINK, I2cBus, I2cChip
from cell_controller.errors import DeviceError, LinkLostError

SAFE_S = 1.0
AGAIN_MS = 1000
"""How often the latches of an expander are written though they did not change."""

IODIR, GPPU, GPIO, OLAT = 0x00, 0x0C, 0x12, 0x14
"""Registers of an MCP23017; each is two bytes, A then B."""

CONVERSION, CONFIG = 0x00, 0x01
READY = 0x8000
SINGLE_SHOT, FASTEST, NO_COMPARATOR = 0x0100, 7 << 5, 3
GAINS = {6144: 0, 4096: 1, 2048: 2, 1024: 3, 512: 4, 256: 5}
"""Full scale of an ADS1115 in mV -> what its configuration says."""


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """A device for each plan.

    Settings: `chip` ("ads1115" or "mcp23017"), `address`, `bus`; of a point: `range_mv`, `pull`.
    """
    buses: dict[int, I2cBus] = {}
    made: list[Device] = []
    for plan in plans:
        number = int(plan.settings.get("bus", 1))
        bus = buses.setdefault(number, I2cBus(number))
        kind = Mcp23017 if plan.settings["chip"] == "mcp23017" else Ads1115
        device = kind(plan, bus)
        bus.worker.add(device)
        made.append(device)
    return made


class Ads1115(I2cChip):
    """Four inputs against ground, counts -32768..32767. Each turn takes a conversion and starts the next."""

    def __init__(self, plan: DevicePlan, bus: I2cBus) -> None:
        super().__init__(plan, bus)
        self._configs = [
            (k, _config(int(point.at), int(point.settings.get("range_mv", 4096))))
            for k, point in enumerate(self.inputs)
            if point.at != LINK
        ] or [(-1, _config(0, 4096))]  # only `link` is wired: it is asked all the same
        self._at = 0
        self._started = False

    def turn(self) -> None:
        """See Chip.turn."""
        k, config = self._configs[self._at]
        if self._started:
            self._started = False
            found = int.from_bytes(self._bus.read(self._address, CONFIG, 2), "big")
            if found != config | READY:
                raise DeviceError(
                    f"{self.name}: its configuration is {found:#06x}, not {config | READY:#06x}; it was reset, or is "
                    "no ADS1115"
                )
            value = self._bus.read(self._address, CONVERSION, 2)
            if k >= 0:
                self.latest[k] = (int.from_bytes(value, "big", signed=True), self.link.clock())
            self._answered()
            self._at = (self._at + 1) % len(self._configs)
            _, config = self._configs[self._at]
        self._bus.write(self._address, CONFIG, (config | READY).to_bytes(2, "big"))
        self._started = True


class Mcp23017(I2cChip):
    """Sixteen pins, A0..A7 are bits 0..7, B0..B7 bits 8..15."""

    def __init__(self, plan: DevicePlan, bus: I2cBus) -> None:
        super().__init__(plan, bus)
        self._ins = [(k, _pin(point)) for k, point in enumerate(self.inputs) if point.at != LINK]
        self._outs = [_pin(point) for point in self.outputs]
        self._direction = 0xFFFF & ~sum(1 << pin for pin in self._outs)
        self._pulls = sum(1 << pin for (k, pin) in self._ins if self.inputs[k].settings.get("pull") == "up")
        self._ready = False
        self._sent = -1
        self._again_at = 0
        self._done = 0
        self._progress = threading.Condition()

    def turn(self) -> None:
        """See Chip.turn: its outputs, then its pins."""
        if self._ready and self._was_reset():
            self._ready = False
            raise LinkLostError(f"{self.name} was reset or without power: it has forgotten its set-up")
        number, wanted = self.link.wanted()
        levels = sum(count << pin for count, pin in zip(wanted, self._outs, strict=True))
        self._write(levels)
        pins = self._bus.read(self._address, GPIO, 4)
        latched = int.from_bytes(pins[2:], "little")
        if latched != levels:
            self._sent = -1
            raise DeviceError(f"{self.name}: its latches are {latched:#06x}, not {levels:#06x}")
        self._take(int.from_bytes(pins[:2], "little"), levels)
        with self._progress:
            self._done = number
            self._progress.notify_all()

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe."""
        self.link.want(counts)
        number, _ = self.link.wanted()
        with self._progress:
            self._progress.wait_for(lambda: self._done >= number, SAFE_S)

    def _was_reset(self) -> bool:
        """After a reset all pins are inputs without a pull."""
        if self._word(IODIR) != self._direction:
            return True
        return bool(self._pulls) and self._word(GPPU) != self._pulls

    def _write(self, levels: int) -> None:
        now = self.link.clock()
        if self._ready and levels == self._sent and now < self._again_at:
            return
        self._sent = -1
        if self._ready:
            self._send(OLAT, levels)
        else:
            self._set_up(levels)
        self._sent = levels
        self._again_at = now + AGAIN_MS

    def _set_up(self, levels: int) -> None:
        """The latches before the direction, so that no output starts wrong."""
        self._send(OLAT, levels)
        self._send(GPPU, self._pulls)
        self._send(IODIR, self._direction)
        if self._word(IODIR) != self._direction:
            raise DeviceError(f"{self.name}: it does not take its directions; it is no MCP23017")
        self._ready = True

    def _take(self, levels: int, latched: int) -> None:
        now = self.link.clock()
        for k, pin in self._ins:
            self.latest[k] = (levels >> pin & 1, now)
        held = (levels ^ latched) & ~self._direction & 0xFFFF
        if held:
            names = ", ".join(
                point.at for point, pin in zip(self.outputs, self._outs, strict=True) if held >> pin & 1
            )
            self.link.failed(f"{self.name}: {names} is not where it was put; it is shorted or overloaded")
        self._answered()

    def _send(self, register: int, word: int) -> None:
        self._bus.write(self._address, register, word.to_bytes(2, "little"))

    def _word(self, register: int) -> int:
        return int.from_bytes(self._bus.read(self._address, register, 2), "little")


def _config(number: int, range_mv: int) -> int:
    """The configuration for a single conversion of input `number` against ground."""
    return (4 + number) << 12 | GAINS[range_mv] << 9 | SINGLE_SHOT | FASTEST | NO_COMPARATOR


def _pin(point: Point) -> int:
    return int(point.at[1]) + (8 if point.at[0] == "B" else 0)
