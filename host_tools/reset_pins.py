"""What pins do from power-on until the first scan, as data, and what `check` makes of it for the outputs of a cell.

Sources. RP2: RP2040 datasheet, pads: after a reset each pad is an input with its pull-down on. ESP32: ESP32 series
datasheet, table of pads "at reset" and "after reset", and the chapter on strapping pins; the boot messages on GPIO1 and
the levels seen on GPIO5, GPIO14 and GPIO15 while the boot loader runs. Raspberry Pi: BCM2835 ARM Peripherals, table of
alternative functions, column "Pull"; the pins of the HAT memory and of the serial console by the Pi's own
documentation. MCP23017: its datasheet, all registers after power-on.
"""

import re
from dataclasses import dataclass
from typing import Any

from host_tools.board_pins import CHIPS, PIN
from host_tools.cellfile import CompiledCell
from host_tools.toml_file import Problems, shown

PULLED_LOW = "pulled low"
PULLED_HIGH = "pulled high"
FLOATING = "floating"
DRIVEN_HIGH = "driven high"
MOVES = "moving"

RPI = "rpi"
LINUX = "linux"
EXPANDER = "mcp23017"

_ESP32_FLOATING = (16, 17, 18, 19, 21, 22, 23, 25, 26, 27, 32, 33, 34, 35, 36, 39)

AT_RESET: dict[str, dict[int, str]] = {
    "rp2": dict.fromkeys((*range(23), 26, 27, 28), PULLED_LOW),
    "esp32": {
        **dict.fromkeys(_ESP32_FLOATING, FLOATING),
        **dict.fromkeys(range(6, 12), PULLED_HIGH),
        0: PULLED_HIGH,
        1: MOVES,
        2: PULLED_LOW,
        3: PULLED_HIGH,
        4: PULLED_LOW,
        5: DRIVEN_HIGH,
        12: PULLED_LOW,
        13: PULLED_LOW,
        14: DRIVEN_HIGH,
        15: DRIVEN_HIGH,
    },
    RPI: {
        **dict.fromkeys(range(9), PULLED_HIGH),
        **dict.fromkeys(range(9, 28), PULLED_LOW),
        14: MOVES,
    },
}
"""Board -> pin -> what it does until the first scan. A pin that is missing cannot be used."""

WHY = {
    ("esp32", 1): "prints the boot messages",
    (RPI, 14): "is the serial console, which prints while the Pi starts",
}

RPI_FIXED = {
    0: "is read at boot for the memory of a HAT",
    1: "is read at boot for the memory of a HAT",
}

_RPI_SERIAL = re.compile(r"uart:/dev/(serial0|ttyAMA0|ttyS0)")
_RPI_BUS = re.compile(r"(ads1115|mcp23017):")
_RPI_PIN = re.compile(r"(?:(?:pwm|pulse|adc):)?GPIO(\d{1,2})")
_CHIP_PIN = re.compile(rf"(?:(?:pwm|pulse|adc):)?{PIN.pattern}")


@dataclass(frozen=True)
class Terminal:
    """Where an output is: its name for people, and what it does until the first scan."""

    name: str
    state: str
    why: str = ""
    reserved: bool = False


def board_of(cell: CompiledCell) -> str:
    """Whose pins a wiring file names: [board] target, where those of "linux" are a Pi's, or "rpi" for that file."""
    settings = cell.wiring.get("board")
    target = settings.get("target") if isinstance(settings, dict) else None
    if isinstance(target, str):
        return RPI if target == LINUX else target
    return RPI if cell.board == RPI else ""


def terminal_of(board: str, channel: str) -> Terminal | None:
    """The terminal of an output's channel; None where nothing is known of it."""
    if channel.startswith(EXPANDER + ":"):
        return Terminal(channel, FLOATING)
    found = (_RPI_PIN if board == RPI else _CHIP_PIN).fullmatch(channel)
    if not found or board not in AT_RESET:
        return None
    pin = int(found[1])
    state = AT_RESET[board].get(pin)
    name = CHIPS[board].name(pin) if board in CHIPS else f"GPIO{pin}"
    return (
        None
        if state is None
        else Terminal(name, state, WHY.get((board, pin), ""), board == RPI and pin in RPI_FIXED)
    )


def check_reset(cell: CompiledCell, problems: Problems) -> None:
    """Warn about each output that is not safe until the first scan, and refuse pins that must not be used."""
    board = board_of(cell)
    if board not in AT_RESET:
        return
    label = f"wiring/{cell.board}.toml"
    if board == RPI:
        _rpi_pins(cell, label, problems)
    heartbeat = cell.spec["heartbeat"]
    for index, output in enumerate(cell.spec["outputs"]):
        wired = cell.wiring.get(output["name"])
        if not isinstance(wired, dict):
            continue
        terminal = terminal_of(board, str(wired.get("channel", "")))
        if terminal is None:
            continue
        where = f"{label}, [{output['name']}]"
        if index == heartbeat:
            if terminal.state == MOVES:
                problems.error(
                    where,
                    f"{terminal.name} {terminal.why}, and a heartbeat that moves closes the watchdog relay before "
                    "the controller is there; choose another pin",
                )
        elif wired.get("relay") is not True and not terminal.reserved:
            _output(terminal, output, wired, where, problems)


def _output(
    terminal: Terminal, output: dict[str, Any], wired: dict[str, Any], where: str, problems: Problems
) -> None:
    needed = _safe_level(output, wired)
    resistor = wired.get("pull_resistor")
    until = "until the first scan"
    safe = f"'{output['name']}' is safe only {'high' if needed else 'low'}"
    if terminal.state == MOVES:
        problems.warn(
            where,
            f"{terminal.name} {terminal.why}, so '{output['name']}' moves {until}; choose another pin, or relay = true",
        )
    elif needed is None:
        problems.warn(
            where,
            f"no level of {terminal.name} is its safe value, and {until} it has only a level; relay = true, or a safe "
            "value at an end of the span",
        )
    elif terminal.state == DRIVEN_HIGH:
        if needed == 0:
            problems.warn(
                where,
                f"{terminal.name} is high while the chip starts, and {safe}; choose another pin, or relay = true",
            )
    elif resistor is not None:
        if (resistor == "up") != (needed == 1):
            problems.warn(
                where,
                f'pull_resistor = "{resistor}" holds it {until}, and {safe}; pull it {_way(needed)}',
            )
    elif terminal.state == FLOATING:
        problems.warn(
            where,
            f"nothing holds {terminal.name} {until}, so nobody knows what '{output['name']}' does; add a resistor of "
            f'10 kilohm and write pull_resistor = "{_way(needed)}", or relay = true',
        )
    elif (terminal.state == PULLED_HIGH) != (needed == 1):
        problems.warn(
            where,
            f"{terminal.name} is {terminal.state} {until}, and {safe}; choose another pin, or add a resistor of "
            f'4.7 kilohm and write pull_resistor = "{_way(needed)}", or relay = true',
        )


def _way(needed: int) -> str:
    return "up" if needed else "down"


def _safe_level(output: dict[str, Any], wired: dict[str, Any]) -> int | None:
    """The electrical level of the safe value: 0, 1, or None where it is between the two."""
    safe = output["safe"]
    if output["kind"] == "digital":
        return int(bool(safe)) ^ int(wired.get("active_low") is True)
    span = output["raw"]
    if not span:
        return 0 if safe == 0 else None
    count = span[0] + (safe - span[2]) * (span[1] - span[0]) // (span[3] - span[2])
    if count == 0:
        return 0
    return 1 if count == max(span[0], span[1]) else None


def _rpi_pins(cell: CompiledCell, label: str, problems: Problems) -> None:
    """A Pi's pins are named by its driver, so only what is certain is refused: reserved pins and double uses."""
    owner: dict[int, str] = {}
    signals = [entry["name"] for entry in [*cell.spec["inputs"], *cell.spec["outputs"]]]
    wires = {name: cell.wiring[name] for name in signals if isinstance(cell.wiring.get(name), dict)}
    channels = {name: str(wired.get("channel", "")) for name, wired in wires.items()}
    for name, channel in channels.items():
        if _RPI_SERIAL.fullmatch(channel):
            owner.update(dict.fromkeys((14, 15), name))
        elif _RPI_BUS.match(channel):
            owner.update(dict.fromkeys((2, 3), name))  # the I2C bus
    for name, wired in wires.items():
        channel = channels[name]
        found = _RPI_PIN.fullmatch(channel)
        if not found:
            continue
        pin = int(found[1])
        where = f"{label}, [{name}]"
        if pin in RPI_FIXED:
            problems.error(where, f"GPIO{pin} {RPI_FIXED[pin]}; choose one of GPIO2..GPIO27")
        elif pin not in AT_RESET[RPI]:
            problems.error(where, f"channel = {shown(channel)}: a Raspberry Pi has GPIO2..GPIO27; choose one")
        else:
            first = owner.setdefault(pin, name)
            if first != name and wired.get("shared") is not True and channels.get(first) != channel:
                problems.error(
                    where, f"GPIO{pin} is taken by '{first}' ({channels[first]}); a pin has one use"
                )
