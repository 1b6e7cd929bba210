"""A cell on a microcontroller: MicroPython's `machine` behind the contract of a board.

It runs from byte code and reads what `host_tools.compile_wiring` resolved: pin numbers, places in the images, masks.
`read`, `write` and `tick` allocate nothing, so they may run under `micropython.heap_lock()`.
"""

from board.machine_bus import BAD, GOOD, Bus, device_of
from board.machine_channels import LineReader, PulseCounter, make_adc, make_input, make_output, make_pwm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from board.machine_channels import Hardware
    from cell_controller.core.signals import InputImage, OutputImage

    class Clock(Protocol):
        """What is needed of MicroPython's `time`; its counters may wrap anywhere that 2**29 divides."""

        def ticks_ms(self) -> int: ...
        def sleep_ms(self, ms: int) -> None: ...


TABLE_FORMAT = 1
KEEP = -(1 << 29)
WORD_BITS = 24
_MASK = (1 << 29) - 1
_HALF = 1 << 28
_STEP_MS = 2  # how long `sleep_until` sleeps at a time: interrupts and the network want their turn


class MachineBoard:
    """Pins, converters, PWM, serial lines and I2C devices of one microcontroller."""

    def __init__(
        self,
        hardware: "Hardware",
        spec: "dict[str, Any]",
        table: "dict[str, Any]",
        clock: "Clock | None" = None,
    ) -> None:
        """`hardware`: the module `machine`. `spec`, `table`: the compiled cell and its compiled wiring.

        `clock`: MicroPython's `time` unless given. Raises ValueError for a table that is not of this cell.
        """
        counts = [len(spec["inputs"]), len(spec["outputs"])]
        if table["format"] != TABLE_FORMAT or table["counts"] != counts:
            raise ValueError("the wiring was compiled for another cell or controller; build again")
        self.name: str = table["target"]
        self.on_death: str = table["on_death"]
        self.uptime_s = 0  # brought up to date by `read`
        self.trouble = ""  # the I2C devices that do not answer, for people
        self._hardware = hardware
        self._spec = spec
        self._table = table
        self._clock: "Any" = clock
        if clock is None:
            import time

            self._clock = time
        self._watchdog: "Any" = None
        self._opened = False
        self._seen = 0
        self._rest_ms = 0
        self._turn = 0
        self._fresh = False  # the outputs stand as the last image said
        self._places = _places(spec["outputs"])

    # --- life ---

    def open(self) -> None:
        """Take the hardware; outputs are at their safe values before this returns.

        A device that does not answer is no error: its inputs are bad until it does.
        """
        table = self._table
        hardware = self._hardware
        self._invert_in: "list[int]" = table["invert_in"]
        self._invert_out: "list[int]" = table["invert_out"]
        self._words = [0] * len(self._invert_out)
        outputs = self._spec["outputs"]
        self._analog = [0] * len([1 for entry in outputs if entry["kind"] != "digital"])
        self._put([entry["safe"] for entry in outputs])
        words = self._words
        invert = self._invert_out
        self._out: "list[tuple[Callable[[int], object], int, int]]" = []
        self._out_pins = []
        for number, w, mask in table["pins_out"]:
            pin = make_output(hardware, number, 1 if (words[w] ^ invert[w]) & mask else 0)
            self._out_pins.append(pin)
            self._out.append((pin.value, w, mask))
        self._pwm = []
        for number, freq_hz, place in table["pwm"]:
            self._pwm.append((make_pwm(hardware, number, freq_hz, self._analog[place]), place))
        self._open_bus()
        self._open_inputs()
        self._groups = len(self._out) + len(self._pwm) + len(self._devices)
        self._seen = self.tick()
        self._opened = True
        self._fresh = True

    def _open_bus(self) -> None:
        self._bus = Bus(self._hardware, self._table["i2c"])
        self._devices: "list[Any]" = [device_of(self._bus, entry) for entry in self._table["devices"]]
        now = self.tick()
        for device in self._devices:
            device.want(self._words, self._invert_out)
            self._bus.spent = False
            device.begin(now)

    def _open_inputs(self) -> None:
        table = self._table
        hardware = self._hardware
        self._in = []
        for number, pull, w, mask in table["pins_in"]:
            self._in.append((make_input(hardware, number, pull).value, w, mask))
        self._adc = [
            (make_adc(hardware, number, table["target"]).read_u16, shift, k)
            for number, shift, k in table["adc"]
        ]
        self._pulses = [PulseCounter(hardware, self._clock, entry) for entry in table["pulse"]]
        self._lines = [LineReader(hardware, entry) for entry in table["uart"]]

    def close(self) -> None:
        """Let go of the hardware. With on_death = "release" the pins float as after a reset, else they stay."""
        if not self._opened:
            return
        self._opened = False
        for pulse in self._pulses:
            pulse.close()
        for line in self._lines:
            line.close()
        if self.on_death == "release":
            for pwm, _ in self._pwm:
                pwm.deinit()
            for number, _, _ in self._table["pwm"]:
                make_input(self._hardware, number, 0)
            for number, _, _ in self._table["pins_out"]:
                make_input(self._hardware, number, 0)
            for device in self._devices:
                self._bus.spent = False
                device.release()

    # --- the scan ---

    def read(self, image: "InputImage") -> None:
        """See board.contract.Board.read. At most one transfer to a device that is silent is waited for."""
        now = self.tick()
        self._count_uptime(now)
        words = image.words
        counts = image.analog
        quality = image.quality
        invert = self._invert_in
        for w in range(len(words)):
            words[w] = invert[w]
        for value, w, mask in self._in:
            if value():
                words[w] ^= mask
        for read_u16, shift, k in self._adc:
            counts[k] = read_u16() >> shift
        for pulse in self._pulses:
            counts[pulse.place] = pulse.count
        for line in self._lines:
            line.poll(now)
            counts[line.place] = line.number
            quality[line.signal] = line.quality
        bus = self._bus
        bus.spent = False
        changed = False
        for device in self._devices:
            if device.read(now, image):
                changed = True
        if changed:
            self._name_trouble()

    def write(self, image: "OutputImage") -> None:
        """See board.contract.Board.write. Each scan one output more is written again, whatever it was."""
        words = image.words
        analog = image.analog
        if not self._fresh or words != self._words or analog != self._analog:
            self._drive(words, analog)
        self._refresh()

    def _drive(self, words: "list[int]", analog: "list[int]") -> None:
        """Drive what differs from what is driven, or everything when nobody knows what is."""
        mine = self._words
        invert = self._invert_out
        everything = not self._fresh
        for set_value, w, mask in self._out:
            if everything or (words[w] ^ mine[w]) & mask:
                set_value(1 if (words[w] ^ invert[w]) & mask else 0)
        for pwm, k in self._pwm:
            if everything or analog[k] != self._analog[k]:
                pwm.duty_u16(analog[k])
        for w in range(len(mine)):
            mine[w] = words[w]
        for k in range(len(analog)):
            self._analog[k] = analog[k]
        now = self.tick()
        for device in self._devices:
            device.want(mine, invert)
            device.write(now)
        self._fresh = True

    def _refresh(self) -> None:
        """A pin that lost its value to a disturbance, or a device that was switched off, gets it again in its turn."""
        if not self._groups:
            return
        turn = self._turn
        self._turn = turn + 1 if turn + 1 < self._groups else 0
        if turn < len(self._out):
            set_value, w, mask = self._out[turn]
            set_value(1 if (self._words[w] ^ self._invert_out[w]) & mask else 0)
            return
        turn -= len(self._out)
        if turn < len(self._pwm):
            pwm, k = self._pwm[turn]
            pwm.duty_u16(self._analog[k])
            return
        self._devices[turn - len(self._pwm)].again(self.tick())

    def _name_trouble(self) -> None:
        for device in self._devices:
            if device.quality == BAD:
                self.trouble = device.name
                return
        self.trouble = ""

    # --- time ---

    def tick(self) -> int:
        """Milliseconds modulo 2**29. The counter's own period, 2**30 or more, is a multiple: nothing is lost."""
        return self._clock.ticks_ms() & _MASK  # type: ignore[no-any-return]

    def sleep_until(self, tick: int, idle: "Callable[[], object] | None" = None) -> None:
        """Return when the clock has reached `tick`, at once where it is past. `idle` is called between short sleeps."""
        while True:
            ahead = ((tick - self.tick() + _HALF) & _MASK) - _HALF
            if ahead <= 0:
                return
            if idle is not None:
                idle()
            self._clock.sleep_ms(_STEP_MS if ahead > _STEP_MS else 1)

    def _count_uptime(self, now: int) -> None:
        """Seconds since `open`: right for years, since a scan comes long before the tick wraps."""
        self._rest_ms += (now - self._seen) & _MASK
        self._seen = now
        while self._rest_ms >= 1000:
            self._rest_ms -= 1000
            self.uptime_s += 1

    # --- the ways out ---

    def make_safe(self, values: "Sequence[int]") -> None:
        """Drive `values` now: one integer an output in the order of the cell, KEEP to leave one. Never raises."""
        if not self._opened:
            return
        self._put(values)
        self._fresh = False
        for device in self._devices:
            device.hurry()
        self._bus.spent = False
        self._drive(self._words, self._analog)
        for device in self._devices:  # each has its own try, though the one before it was silent
            self._bus.spent = False
            device.write(self.tick())
        self._fresh = False  # the next image is taken whatever it says

    def _put(self, values: "Sequence[int]") -> None:
        """Values in steps of their resolution into the images of words and counts."""
        outputs = self._spec["outputs"]
        for i in range(len(values)):
            value = values[i]
            place = self._places[i]
            if value == KEEP:
                continue
            if place >= 0:
                bit = 1 << place % WORD_BITS
                self._words[place // WORD_BITS] &= ~bit
                if value:
                    self._words[place // WORD_BITS] |= bit
            else:
                span = outputs[i]["raw"]
                if span:
                    value = span[0] + (value - span[2]) * (span[1] - span[0]) // (span[3] - span[2])
                self._analog[-1 - place] = value

    # --- the controller chip ---

    def start_watchdog(self, ms: int) -> None:
        """From now on the chip resets itself when `feed_watchdog` stays away for `ms`; a second call changes the time.

        It cannot be stopped again.
        """
        self._watchdog = self._hardware.WDT(timeout=ms)

    def feed_watchdog(self) -> None:
        """After a healthy scan. Does nothing before `start_watchdog`."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def identity(self) -> str:
        """The chip's own number, in hex; the same after every reset and every new firmware."""
        return "".join(["%02x" % byte for byte in self._hardware.unique_id()])

    # --- what a simulated board has ---

    def faults(self) -> "list[str]":
        """None: this is a real board."""
        return []

    def fault(self, name: str, on: bool) -> None:
        """Raises LookupError: only a simulated board has faults to switch."""
        raise LookupError("a real board has no fault '" + name + "' to switch; pull the wire")


def _places(outputs: "list[dict[str, Any]]") -> "list[int]":
    """Of each output: its bit number, or -1 - its place among the analog ones."""
    places = []
    bits = 0
    others = 0
    for entry in outputs:
        if entry["kind"] == "digital":
            places.append(bits)
            bits += 1
        else:
            places.append(-1 - others)
            others += 1
    return places


__all__ = ["BAD", "GOOD", "MachineBoard"]
