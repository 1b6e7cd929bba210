"""wiring/BOARD.toml for a microcontroller as the table of integers that `board.machine_board` reads.

Everything is resolved here: pin numbers, places in the words of 24 bits, masks, configuration words of devices. So the
board reads no text, and what cannot work is said at the desk.
"""

import re
from decimal import Decimal
from typing import Any

from cell_controller.core.signals import word_count
from cell_controller.errors import CellFileError
from host_tools.board_pins import CHIPS, PIN, Chip
from host_tools.cellfile import CompiledCell
from host_tools.pin_book import PinBook
from host_tools.signal_places import Signal, signals_of
from host_tools.toml_file import Problems, closest, model_of, shown
from host_tools.wiring_models import BusTable, MicrocontrollerTable, MicrocontrollerWire

FORMAT = 1
MCP23017, ADS1115 = 1, 2
PULLS = {None: 0, "up": 1, "down": 2}
BUS_TIMEOUT_US = 2000
"""What one transfer to a device that holds the clock may cost a scan."""

ADC_COUNTS = (0, 4095)
ADS_COUNTS = (-32768, 32767)
PWM_COUNTS = (0, 65535)
PWM_HZ = 1000
BAUD = 9600
KEEP_MS = 3000
RANGES_MV = {6144: 0, 4096: 1, 2048: 2, 1024: 3, 512: 4, 256: 5}
LEAST_STALE_MS = 30

KINDS = ("PIN", "adc:PIN", "pwm:PIN", "pulse:PIN", "uart:PORT", "mcp23017:ADDRESS:A0", "ads1115:INPUT")
_ADDRESS = r"(0x[0-9a-fA-F]{2})"
_MCP = re.compile(rf"{_ADDRESS}:([AB])([0-7])")
_ADS = re.compile(rf"(?:{_ADDRESS}:)?([0-3])")

EXTRA_KEYS = {
    "pin in": ("pull",),
    "pin out": (),
    "expander in": ("pull",),
    "expander out": (),
    "adc": (),
    "ads1115": ("range_mv",),
    "pwm": ("freq_hz",),
    "pulse": ("pull", "edge", "debounce_ms"),
    "uart": ("tx", "rx", "baud", "keep_ms"),
}
"""Which keys mean something on which kind of channel."""


def compile_wiring(cell: CompiledCell) -> dict[str, Any]:
    """The table of a cell that was compiled for a board whose [board] names a target: what core codec packs.

    Raises CellFileError with every problem, one line each.
    """
    problems = Problems()
    table = wiring_table(cell, problems)
    if problems.errors or table is None:
        raise CellFileError(problems.errors)
    return table


def target_of(cell: CompiledCell) -> str:
    """The target that [board] names, "" if none."""
    settings = cell.wiring.get("board")
    return str(settings.get("target", "")) if isinstance(settings, dict) else ""


def wiring_table(cell: CompiledCell, problems: Problems) -> dict[str, Any] | None:
    """As `compile_wiring`, but collects into `problems`."""
    label = f"wiring/{cell.board}.toml"
    raw = cell.wiring.get("board")
    if not isinstance(raw, dict) or target_of(cell) not in CHIPS:
        said = raw.get("target") if isinstance(raw, dict) else None
        problems.error(
            f"{label}, [board]",
            f"target = {shown(said) if said is not None else 'missing'}: "
            f"write one of {', '.join(sorted(CHIPS))} to use it on a microcontroller",
        )
        return None
    board = model_of(MicrocontrollerTable, raw, f"{label}, [board]", problems)
    if board is None:
        return None
    return _Compiler(cell, board, label, problems).run()


class _Compiler:
    """One wiring file on its way to the table."""

    def __init__(
        self, cell: CompiledCell, board: MicrocontrollerTable, label: str, problems: Problems
    ) -> None:
        self.spec = cell.spec
        self.wiring = cell.wiring
        self.label = label
        self.problems = problems
        self.board = board
        self.chip: Chip = CHIPS[board.target]
        self.book = PinBook(self.chip, problems)
        self.expanders: dict[int, dict[str, Any]] = {}
        self.converters: dict[int, list[list[int]]] = {}
        inputs = [s for s in signals_of(cell.spec) if not s.is_output and s.entry["kind"] == "digital"]
        outputs = [s for s in signals_of(cell.spec) if s.is_output and s.entry["kind"] == "digital"]
        self.table: dict[str, Any] = {
            "format": FORMAT,
            "target": board.target,
            "on_death": board.on_death,
            "watchdog_ms": board.watchdog_ms,
            "counts": [len(cell.spec["inputs"]), len(cell.spec["outputs"])],
            "invert_in": [0] * word_count(len(inputs)),
            "invert_out": [0] * word_count(len(outputs)),
            "pins_in": [],
            "pins_out": [],
            "adc": [],
            "pwm": [],
            "pulse": [],
            "uart": [],
            "i2c": [],
            "devices": [],
        }

    def run(self) -> dict[str, Any]:
        if self.board.i2c is not None:
            self._bus(self.board.i2c)
        for signal in signals_of(self.spec):
            raw = self.wiring.get(signal.name)
            where = f"{self.label}, [{signal.name}]"
            if not isinstance(raw, dict):
                self.problems.error(
                    self.label,
                    f"signal '{signal.name}' of cell.toml is not wired; add [{signal.name}] with its channel",
                )
                continue
            wired = model_of(MicrocontrollerWire, _exact(raw), where, self.problems)
            if wired is not None:
                self._signal(signal, wired, where)
        self.book.finish(self.label)
        self._devices()
        return self.table

    # --- one signal ---

    def _signal(self, signal: Signal, wired: MicrocontrollerWire, where: str) -> None:
        channel = wired.channel
        if not self.book.take_channel(channel, channel, signal.name, where):
            return
        if wired.shared:
            self.problems.error(
                where, "shared = true: a channel of a microcontroller carries one signal; remove it"
            )
        if wired.active_low:
            invert = self.table["invert_out" if signal.is_output else "invert_in"]
            if signal.entry["kind"] == "digital":
                invert[signal.word] |= signal.mask
        head, _, rest = channel.partition(":")
        plain = PIN.fullmatch(channel)
        if plain:
            self._pin(signal, wired, int(plain[1]), where)
        elif head == "adc":
            self._adc(signal, wired, rest, where)
        elif head == "pwm":
            self._pwm(signal, wired, rest, where)
        elif head == "pulse":
            self._pulse(signal, wired, rest, where)
        elif head == "uart":
            self._uart(signal, wired, rest, where)
        elif head == "mcp23017":
            self._mcp(signal, wired, rest, where)
        elif head == "ads1115":
            self._ads(signal, wired, rest, where)
        else:
            kinds = [entry.partition(":")[0] for entry in KINDS[1:]]
            known = f"write one of {', '.join(KINDS)}"
            near = closest(head, kinds) if rest else known
            self.problems.error(
                where,
                f"channel = {shown(channel)}: unknown kind of channel; {near if '?' in near else known}",
            )

    def _fits(
        self, signal: Signal, wired: MicrocontrollerWire, what: str, kind: str, is_output: bool, where: str
    ) -> bool:
        """Whether a channel of this sort can carry the signal; says what does not fit."""
        mine = signal.entry["kind"]
        if mine != kind or signal.is_output != is_output:
            side = "output" if is_output else "input"
            own = "output" if signal.is_output else "input"
            self.problems.error(
                where,
                f"channel = {shown(wired.channel)} is for {_a(kind)} {side}; '{signal.name}' is {_a(mine)} {own}; "
                "choose another channel",
            )
            return False
        for key in ("pull", "freq_hz", "edge", "debounce_ms", "tx", "rx", "baud", "keep_ms", "range_mv"):
            if getattr(wired, key) is not None and key not in EXTRA_KEYS[what]:
                self.problems.error(
                    where, f"{key} means nothing for channel = {shown(wired.channel)}; remove it"
                )
        return True

    def _digital(self, signal: Signal, wired: MicrocontrollerWire, where: str) -> bool:
        if signal.entry["kind"] == "digital":
            return True
        self.problems.error(
            where,
            f"channel = {shown(wired.channel)} is digital; '{signal.name}' is {signal.entry['kind']}; "
            f"choose {_kinds_for(signal)}",
        )
        return False

    def _pin(self, signal: Signal, wired: MicrocontrollerWire, pin: int, where: str) -> None:
        if not self._digital(signal, wired, where):
            return
        what = "pin out" if signal.is_output else "pin in"
        self._fits(signal, wired, what, "digital", signal.is_output, where)
        if not self.book.take(pin, signal.name, where, output=signal.is_output, pull=wired.pull is not None):
            return
        if signal.is_output:
            self.table["pins_out"].append([pin, signal.word, signal.mask])
        else:
            self.table["pins_in"].append([pin, PULLS[wired.pull], signal.word, signal.mask])

    def _adc(self, signal: Signal, wired: MicrocontrollerWire, rest: str, where: str) -> None:
        pin = self._pin_of(rest, wired, where)
        if pin is None or not self._fits(signal, wired, "adc", "analog", False, where):
            return
        if self.book.take(pin, signal.name, where, adc=True) and self._span(
            signal, wired, ADC_COUNTS, "12-bit converter", where
        ):
            self.table["adc"].append([pin, 4, signal.place])

    def _pwm(self, signal: Signal, wired: MicrocontrollerWire, rest: str, where: str) -> None:
        pin = self._pin_of(rest, wired, where)
        if pin is None or not self._fits(signal, wired, "pwm", "analog", True, where):
            return
        freq_hz = wired.freq_hz or PWM_HZ
        if self.book.take(pin, signal.name, where, output=True) and self._span(
            signal, wired, PWM_COUNTS, "duty of a PWM", where
        ):
            self.book.take_pwm(pin, freq_hz, signal.name, where)
            self.table["pwm"].append([pin, freq_hz, signal.place])

    def _pulse(self, signal: Signal, wired: MicrocontrollerWire, rest: str, where: str) -> None:
        pin = self._pin_of(rest, wired, where)
        if pin is None or not self._fits(signal, wired, "pulse", "counter", False, where):
            return
        if signal.entry["raw"]:
            self.problems.error(where, "span: one pulse is one step of the resolution; remove the span")
        if self.book.take(pin, signal.name, where, pull=wired.pull is not None):
            entry = signal.entry
            edge = 1 if wired.edge == "falling" else 0
            row = [pin, PULLS[wired.pull], edge, signal.place, wired.debounce_ms or 0]
            self.table["pulse"].append([*row, max(0, entry["lo"]), entry["hi"], int(self.chip.hard_irq)])

    def _uart(self, signal: Signal, wired: MicrocontrollerWire, rest: str, where: str) -> None:
        if not self._fits(signal, wired, "uart", "identity", False, where):
            return
        if signal.entry["raw"]:
            self.problems.error(where, "span: the reader sends the number itself; remove the span")
        pins = self.book.take_uart(rest, wired.tx, wired.rx, signal.name, where)
        if pins is not None:
            keep_ms = KEEP_MS if wired.keep_ms is None else wired.keep_ms
            row = [int(rest), *pins, wired.baud or BAUD, signal.place, signal.index, keep_ms]
            self.table["uart"].append(row)

    def _mcp(self, signal: Signal, wired: MicrocontrollerWire, rest: str, where: str) -> None:
        found = _MCP.fullmatch(rest)
        address = int(found[1], 16) if found else 0
        if not found or not 0x20 <= address <= 0x27:
            self.problems.error(
                where,
                f"channel = {shown(wired.channel)}: write mcp23017:0x20:A0, with an address of 0x20..0x27 and a "
                "pin A0..A7 or B0..B7",
            )
            return
        if not self._digital(signal, wired, where) or not self._has_bus(wired, where):
            return
        what = "expander out" if signal.is_output else "expander in"
        self._fits(signal, wired, what, "digital", signal.is_output, where)
        if wired.pull == "down":
            self.problems.error(
                where, 'pull = "down": an MCP23017 pulls up only; write "up" or use a resistor'
            )
        bit = int(found[3]) + (8 if found[2] == "B" else 0)
        if not signal.is_output and found[3] == "7":
            self.problems.error(
                where,
                f"channel = {shown(wired.channel)}: A7 and B7 of an MCP23017 are for outputs only; "
                "choose another pin",
            )
        if not self.book.take_channel(f"mcp23017 {address:#x} {bit}", wired.channel, signal.name, where):
            return
        device = self.expanders.setdefault(
            address, {"direction": 0xFFFF, "pulls": 0, "ins": [], "outs": [], "signals": []}
        )
        row = [1 << bit, signal.word, signal.mask]
        if signal.is_output:
            device["direction"] &= ~(1 << bit)
            device["outs"].append(row)
        else:
            device["pulls"] |= (1 << bit) if wired.pull == "up" else 0
            device["ins"].append(row)
            device["signals"].append(signal.index)

    def _ads(self, signal: Signal, wired: MicrocontrollerWire, rest: str, where: str) -> None:
        found = _ADS.fullmatch(rest)
        address = int(found[1], 16) if found and found[1] else 0x48
        if not found or not 0x48 <= address <= 0x4B:
            self.problems.error(
                where,
                f"channel = {shown(wired.channel)}: write ads1115:0 .. ads1115:3, or ads1115:0x49:0 for another "
                "address of 0x48..0x4b",
            )
            return
        if not self._fits(signal, wired, "ads1115", "analog", False, where) or not self._has_bus(
            wired, where
        ):
            return
        if not self._span(signal, wired, ADS_COUNTS, "16-bit converter", where):
            return
        number = int(found[2])
        if self.book.take_channel(f"ads1115 {address:#x} {number}", wired.channel, signal.name, where):
            gain = RANGES_MV[wired.range_mv or 4096]
            config = 0x8000 | (4 + number) << 12 | gain << 9 | 0x0100 | 7 << 5 | 3
            self.converters.setdefault(address, []).append([config, signal.place, signal.index])

    # --- what several of them need ---

    def _pin_of(self, text: str, wired: MicrocontrollerWire, where: str) -> int | None:
        found = PIN.fullmatch(text)
        if found:
            return int(found[1])
        kind = wired.channel.partition(":")[0]
        self.problems.error(
            where,
            f"channel = {shown(wired.channel)}: '{text}' is not a pin; write {kind}:{self.chip.prefix}4, for example",
        )
        return None

    def _has_bus(self, wired: MicrocontrollerWire, where: str) -> bool:
        if self.board.i2c is not None:
            return True
        self.problems.error(
            where,
            f'channel = {shown(wired.channel)} is on I2C, and [board] names no bus; add i2c = {{ sda = "'
            f'{self.chip.prefix}..", scl = "{self.chip.prefix}.." }} there',
        )
        return False

    def _span(
        self, signal: Signal, wired: MicrocontrollerWire, counts: tuple[int, int], what: str, where: str
    ) -> bool:
        """Whether the signal has a span in the counts of its channel, from one end of its range to the other."""
        low, high = counts
        span = signal.entry["raw"]
        if not span:
            if wired.span is None:
                self.problems.error(
                    where,
                    f"channel = {shown(wired.channel)} gives counts {low}..{high}; "
                    f"add span = {{ raw = [{max(0, low)}, {high}] }}",
                )
            return False
        raw0, raw1, value0, value1 = span
        points = [raw0, raw1]
        if signal.is_output:
            lo, hi = signal.entry["lo"], signal.entry["hi"]
            points = [raw0 + (v - value0) * (raw1 - raw0) // (value1 - value0) for v in (lo, hi)]
        for point in points:
            if not low <= point <= high:
                self.problems.error(
                    where, f"span: raw count {point} is outside {low}..{high} of a {what}; correct the span"
                )
                return False
        return True

    def _bus(self, bus: BusTable) -> None:
        pins = self.book.take_bus(bus.id, bus.sda, bus.scl, f"{self.label}, [board]")
        if pins is not None:
            self.table["i2c"] = [bus.id, *pins, bus.freq_hz, BUS_TIMEOUT_US]

    def _devices(self) -> None:
        """Converters last: a conversion is ready two milliseconds after the expanders were read."""
        scan_ms = int(self.spec["scan_ms"])
        bad_ms = self.board.bad_ms
        for address in sorted(self.expanders):
            device = self.expanders[address]
            name = f"mcp23017:{address:#x}"
            stale_ms = self._stale(3 * scan_ms, name)
            row = [MCP23017, name, address, device["direction"], device["pulls"]]
            row += [device["ins"], device["outs"], device["signals"], stale_ms, bad_ms]
            self.table["devices"].append(row)
            if device["outs"] and not device["ins"]:
                self.problems.warn(
                    self.label,
                    f"{name} has outputs only: when it is lost no input goes bad and the cell works on; "
                    "put an input with on_bad on it",
                )
        for address in sorted(self.converters):
            name = f"ads1115:{address:#x}"
            rows = self.converters[address]
            stale_ms = self._stale(3 * len(rows) * scan_ms, name)
            self.table["devices"].append([ADS1115, name, address, rows, stale_ms, bad_ms])

    def _stale(self, wanted_ms: int, name: str) -> int:
        stale_ms = max(LEAST_STALE_MS, wanted_ms)
        if stale_ms >= self.board.bad_ms:
            self.problems.error(
                f"{self.label}, [board]",
                f"bad_ms = {self.board.bad_ms}: {name} may be silent for {stale_ms} ms (three readings) before it is "
                f"stale; write more than {stale_ms}",
            )
        return stale_ms


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _kinds_for(signal: Signal) -> str:
    """What kind of channel carries such a signal."""
    if signal.is_output:
        return "pwm:PIN"
    return {"analog": "adc:PIN or ads1115:INPUT", "counter": "pulse:PIN", "identity": "uart:PORT"}[
        signal.entry["kind"]
    ]


def _exact(raw: dict[str, Any]) -> dict[str, Any]:
    """A table of the wiring as the models read it: what became a float is a Decimal again."""
    return {key: _decimal(value) for key, value in raw.items()}


def _decimal(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, list):
        return [_decimal(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _decimal(entry) for key, entry in value.items()}
    return value
