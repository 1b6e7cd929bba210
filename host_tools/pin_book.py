"""Who has which pin of a microcontroller: a pin is given once, and only for what it can do."""

from dataclasses import dataclass, field

from host_tools.board_pins import PIN, Chip
from host_tools.toml_file import Problems, shown


@dataclass
class PinBook:
    """The pins of one board that are taken."""

    chip: Chip
    problems: Problems
    owner: dict[int, str] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    slices: dict[tuple[int, int], str] = field(default_factory=dict)
    freqs: dict[int, tuple[int, str]] = field(default_factory=dict)
    pwm: list[int] = field(default_factory=list)

    def take(
        self,
        pin: int,
        who: str,
        where: str,
        output: bool = False,
        adc: bool = False,
        pull: bool = False,
    ) -> bool:
        """Give `pin` to `who`, or say why not."""
        chip = self.chip
        name = chip.name(pin)
        trouble = ""
        if pin in chip.fixed:
            trouble = f"{name} {chip.fixed[pin]}; choose another pin"
        elif pin not in chip.pins:
            trouble = f"{chip.title} has no {name}; choose one of {_listed(chip, chip.pins)}"
        elif adc and pin in chip.never_adc:
            trouble = f"{name}: {chip.never_adc[pin]}; choose one of {_listed(chip, chip.adc)}"
        elif adc and pin not in chip.adc:
            trouble = f"{name} has no converter; choose one of {_listed(chip, chip.adc)}, or ads1115:INPUT"
        elif output and pin in chip.input_only:
            trouble = f"{name} can only be an input; choose another pin"
        elif pull and pin in chip.input_only:
            trouble = f"pull: {name} has no pull resistor inside; use one outside and remove pull"
        elif pin in self.owner:
            trouble = f"{name} is taken by '{self.owner[pin]}'; a pin has one use"
        if trouble:
            self.problems.error(where, trouble)
            return False
        self.owner[pin] = who
        return True

    def take_channel(self, channel: str, written: str, who: str, where: str) -> bool:
        """Give a pin of a device to `who`."""
        if channel in self.channels:
            self.problems.error(
                where,
                f"channel = {shown(written)} is taken by '{self.channels[channel]}'; a channel carries one signal",
            )
            return False
        self.channels[channel] = who
        return True

    def take_pwm(self, pin: int, freq_hz: int, who: str, where: str) -> None:
        """PWM on `pin`: pins that share a generator share its frequency."""
        low, high = self.chip.pwm_hz
        if not low <= freq_hz <= high:
            self.problems.error(
                where, f"freq_hz = {freq_hz} is outside {low}..{high} of {self.chip.title}; choose one inside"
            )
            return
        self.pwm.append(freq_hz)
        if self.chip.pwm_slice is None:
            return
        number, channel = self.chip.pwm_slice(pin)
        name = f"PWM {number}{'AB'[channel]}"
        if (number, channel) in self.slices:
            self.problems.error(
                where,
                f"{self.chip.name(pin)} is {name}, as '{self.slices[number, channel]}' is; both would do the same; "
                "choose a pin of another one (pins 16 apart are the same)",
            )
            return
        self.slices[number, channel] = who
        other_hz, other = self.freqs.setdefault(number, (freq_hz, who))
        if other_hz != freq_hz:
            self.problems.error(
                where,
                f"freq_hz = {freq_hz}: {self.chip.name(pin)} shares its generator (PWM {number}) with '{other}', "
                f"which has {other_hz}; write the same, or choose another pin",
            )

    def finish(self, label: str) -> None:
        """Say what is too many."""
        chip = self.chip
        if chip.pwm_slice is None and len(self.pwm) > chip.most_pwm:
            self.problems.error(
                label, f"{len(self.pwm)} PWM outputs, more than {chip.most_pwm} of {chip.title}; use fewer"
            )
        if chip.pwm_slice is None and len(set(self.pwm)) > chip.most_pwm_freqs:
            self.problems.error(
                label,
                f"{len(set(self.pwm))} PWM frequencies, more than {chip.most_pwm_freqs} of {chip.title}; use fewer",
            )

    def take_uart(
        self, port_text: str, tx: str | None, rx: str | None, who: str, where: str
    ) -> tuple[int, int] | None:
        """(tx, rx) of a serial port; None after saying why not."""
        chip = self.chip
        port = int(port_text) if port_text.isdecimal() and len(port_text) == 1 else -1
        if port not in chip.uart_pins:
            why = f"uart:{port} {chip.reserved_uart[port]}" if port in chip.reserved_uart else "no such port"
            known = ", ".join(f"uart:{number}" for number in sorted(chip.uart_pins))
            self.problems.error(where, f"channel = {shown('uart:' + port_text)}: {why}; choose {known}")
            return None
        default_tx, default_rx = chip.uart_default.get(port, (-1, -1))
        tx_pins, rx_pins = chip.uart_pins[port]
        if default_rx < 0 and (rx is None or tx is None):
            self.problems.error(
                where,
                f'uart:{port} needs both its pins, since it would take others by itself; add tx = "{chip.prefix}.." '
                f'and rx = "{chip.prefix}.."',
            )
            return None
        found_rx = default_rx if rx is None else self._one_of(rx, rx_pins, f"uart:{port}", "rx", where)
        found_tx = default_tx if tx is None else self._one_of(tx, tx_pins, f"uart:{port}", "tx", where)
        if found_rx is None or found_tx is None:
            return None
        taken = self.take(found_rx, who, where)
        return (found_tx, found_rx) if self.take(found_tx, who, where, output=True) and taken else None

    def take_bus(self, bus: int, sda: str, scl: str, where: str) -> tuple[int, int] | None:
        """(sda, scl) of an I2C bus; None after saying why not."""
        sda_pins, scl_pins = self.chip.i2c_pins[bus]
        found = (
            self._one_of(sda, sda_pins, f"i2c {bus}", "sda", where),
            self._one_of(scl, scl_pins, f"i2c {bus}", "scl", where),
        )
        if found[0] is None or found[1] is None:
            return None
        taken = [
            self.take(pin, f"i2c.{key}", where)
            for pin, key in zip(found, ("sda", "scl"), strict=True)
            if pin is not None
        ]
        return (found[0], found[1]) if all(taken) else None

    def _one_of(self, text: str, pins: frozenset[int], what: str, key: str, where: str) -> int | None:
        written = PIN.fullmatch(text)
        if written and int(written[1]) in pins:
            return int(written[1])
        self.problems.error(
            where, f"{key} = {shown(text)} is no {key} of {what}; choose one of {_listed(self.chip, pins)}"
        )
        return None


def _listed(chip: Chip, pins: frozenset[int]) -> str:
    return ", ".join(chip.name(pin) for pin in sorted(pins))
