"""What `check` says about outputs from power-on to the first scan: each rule catches what it is for, and no more."""

from pathlib import Path

import pytest

from host_tools.board_pins import CHIPS
from host_tools.check import check
from host_tools.reset_pins import AT_RESET, FLOATING, MOVES, PULLED_HIGH, PULLED_LOW, RPI, terminal_of
from tests.host_tools.make_wiring import ESP, EXAMPLE, PICO, make

RPI_WIRING = """
[board]
on_death = "release"
[chain_ok]
channel = "GPIO5"
[shut]
channel = "GPIO6"
[level]
channel = "ads1115:0"
span = { raw = [0, 26400] }
[carrier]
channel = "uart:/dev/ttyUSB0"
[energy]
channel = "pulse:GPIO4"
[valve]
channel = "GPIO23"
[fan]
channel = "pwm:GPIO18"
span = { raw = [0, 10000] }
[lamp]
channel = "pwm:GPIO13"
span = { raw = [0, 10000] }
[heartbeat]
channel = "GPIO24"
"""

KIND = {"rpi": RPI_WIRING, "esp32": ESP, "rp2": PICO}
OUTPUTS = ("valve", "fan", "lamp", "heartbeat")


def found(directory: Path, kind: str, *changes: tuple[str, str], safe: str = "off") -> list[str]:
    """What check says of the outputs' terminals in the small cell, wired for that kind of board."""
    make(directory, KIND[kind], *changes)
    (directory / "wiring" / "mcu.toml").rename(directory / "wiring" / f"{kind}.toml")
    cell = (directory / "cell.toml").read_text().replace('safe = "off"', f'safe = "{safe}"', 1)
    (directory / "cell.toml").write_text(cell)
    starts = tuple(f"{severity}: wiring/{kind}.toml, [" for severity in ("error", "warning"))
    lines = [str(finding) for finding in check(directory) if str(finding).startswith(starts)]
    return [line.replace(f"wiring/{kind}.toml, ", "") for line in lines]


@pytest.mark.parametrize("kind", KIND)
def test_a_file_that_is_safe_at_reset_gets_no_line(tmp_path: Path, kind: str) -> None:
    changes = [] if kind != "esp32" else [
        ('"GPIO18"', '"GPIO18"\npull_resistor = "down"'),
        ('"pwm:GPIO25"', '"pwm:GPIO25"\npull_resistor = "down"'),
        ('"pwm:GPIO26"', '"pwm:GPIO26"\nrelay = true'),
    ]  # fmt: skip
    assert found(tmp_path, kind, *changes) == []


CASES = [
    (
        "pulled to the wrong side", "rpi", '"GPIO23"', '"GPIO7"', "off",
        "warning: [valve]: GPIO7 is pulled high until the first scan, and 'valve' is safe only low; choose another "
        'pin, or add a resistor of 4.7 kilohm and write pull_resistor = "down", or relay = true',
    ),
    (
        "pulled low and safe when on", "rp2", '"GP6"', '"GP8"', "on",
        "warning: [valve]: GP8 is pulled low until the first scan, and 'valve' is safe only high; choose another "
        'pin, or add a resistor of 4.7 kilohm and write pull_resistor = "up", or relay = true',
    ),
    (
        "inverted", "rp2", '"GP6"', '"GP6"\nactive_low = true', "off",
        "warning: [valve]: GP6 is pulled low until the first scan, and 'valve' is safe only high; choose another "
        'pin, or add a resistor of 4.7 kilohm and write pull_resistor = "up", or relay = true',
    ),
    (
        "held by nothing", "esp32", '"GPIO18"', '"GPIO17"', "off",
        "warning: [valve]: nothing holds GPIO17 until the first scan, so nobody knows what 'valve' does; add a "
        'resistor of 10 kilohm and write pull_resistor = "down", or relay = true',
    ),
    (
        "on an expander, held by nothing", "rp2", '"GP6"', '"mcp23017:0x20:A0"', "off",
        "warning: [valve]: nothing holds mcp23017:0x20:A0 until the first scan, so nobody knows what 'valve' does; "
        'add a resistor of 10 kilohm and write pull_resistor = "down", or relay = true',
    ),
    (
        "driven high by the boot loader", "esp32", '"GPIO18"', '"GPIO23"\npull_resistor = "up"', "off",
        'warning: [valve]: pull_resistor = "up" holds it until the first scan, and \'valve\' is safe only low; pull '
        "it down",
    ),
    (
        "the serial console of a Pi", "rpi", '"GPIO23"', '"GPIO14"', "off",
        "warning: [valve]: GPIO14 is the serial console, which prints while the Pi starts, so 'valve' moves until "
        "the first scan; choose another pin, or relay = true",
    ),
    (
        "a heartbeat that moves", "rpi", '"GPIO24"', '"GPIO14"', "off",
        "error: [heartbeat]: GPIO14 is the serial console, which prints while the Pi starts, and a heartbeat that "
        "moves closes the watchdog relay before the controller is there; choose another pin",
    ),
    (
        "the memory of a HAT", "rpi", '"GPIO23"', '"GPIO1"', "off",
        "error: [valve]: GPIO1 is read at boot for the memory of a HAT; choose one of GPIO2..GPIO27",
    ),
    (
        "a pin no Pi has", "rpi", '"GPIO23"', '"GPIO40"', "off",
        'error: [valve]: channel = "GPIO40": a Raspberry Pi has GPIO2..GPIO27; choose one',
    ),
    (
        "a pin of the I2C bus", "rpi", '"GPIO23"', '"GPIO3"\nrelay = true', "off",
        "error: [valve]: GPIO3 is taken by 'level' (ads1115:0); a pin has one use",
    ),
    (
        "a pin under two names", "rpi", '"GPIO23"', '"pwm:GPIO6"\nrelay = true', "off",
        "error: [valve]: GPIO6 is taken by 'shut' (GPIO6); a pin has one use",
    ),
    (
        "a strapping pin", "esp32", '"GPIO18"', '"GPIO5"\nrelay = true', "off",
        "error: [valve]: GPIO5 is read at reset to choose how the chip starts (strapping pin); choose another pin",
    ),
    (
        "a pin of the flash", "esp32", '"GPIO18"', '"GPIO11"\nrelay = true', "off",
        "error: [valve]: GPIO11 is wired to the flash inside the module; choose another pin",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "old", "new", "safe", "line"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_rule(tmp_path: Path, kind: str, old: str, new: str, safe: str, line: str) -> None:
    said = [text for text in found(tmp_path, kind, (old, new), safe=safe) if "[fan]" not in text]
    said = [text for text in said if "[lamp]" not in text]
    assert said == ([line] if line else [])


def test_a_pin_that_is_high_at_boot(tmp_path: Path) -> None:
    change = ('"GPIO18"', '"GPIO14"\npull_resistor = "down"'), ("pulse:GPIO14", "pulse:GPIO18")
    assert [line for line in found(tmp_path, "esp32", *change) if "[valve]" in line] == [
        "warning: [valve]: GPIO14 is high while the chip starts, and 'valve' is safe only low; choose another pin, or "
        "relay = true"
    ]


def test_a_lamp_that_is_safe_in_the_middle_of_its_range(tmp_path: Path) -> None:
    make(tmp_path, PICO)
    cell = (tmp_path / "cell.toml").read_text().replace("safe = 0", "safe = 40", 1)
    (tmp_path / "cell.toml").write_text(cell)
    assert (
        "warning: wiring/mcu.toml, [fan]: no level of GP16 is its safe value, and until the first scan it has only a "
        "level; relay = true, or a safe value at an end of the span"
    ) in [str(finding) for finding in check(tmp_path)]


@pytest.mark.parametrize("cure", ["relay = true", 'pull_resistor = "down"'])
def test_a_relay_or_a_resistor_mends_it(tmp_path: Path, cure: str) -> None:
    assert found(tmp_path, "rpi", ('"GPIO23"', f'"GPIO7"\n{cure}')) == []


@pytest.mark.parametrize("board", ["rpi", "pico_w", "esp32"])
def test_the_example_has_nothing_to_say_about_its_pins(board: str) -> None:
    lines = [str(finding) for finding in check(EXAMPLE)]
    assert [line for line in lines if f"wiring/{board}.toml, [" in line] == []
    assert [line for line in lines if line.startswith("error")] == []


def test_a_simulated_board_has_no_pins_at_reset(tmp_path: Path) -> None:
    assert terminal_of("sim", "GPIO7") is None


def test_an_expander_keeps_its_outputs_through_a_reset_and_pins_do_not(tmp_path: Path) -> None:
    make(tmp_path, PICO, ('"GP6"', '"mcp23017:0x20:A0"\npull_resistor = "down"'))
    left = [str(finding) for finding in check(tmp_path) if "nothing makes these safe" in str(finding)]
    assert left == [
        'warning: wiring/mcu.toml: when the controller dies (on_death = "release") nothing makes these safe: valve; '
        "put them behind the watchdog relay and write relay = true, or accept it"
    ]


def test_every_pin_that_can_be_used_is_known() -> None:
    for target, chip in CHIPS.items():
        assert chip.pins <= AT_RESET[target].keys()
    assert AT_RESET[RPI].keys() == set(range(28))
    assert {AT_RESET[RPI][pin] for pin in range(9)} == {PULLED_HIGH}
    assert AT_RESET[RPI][14] == MOVES
    assert set(AT_RESET["rp2"].values()) == {PULLED_LOW}
    assert AT_RESET["esp32"][33] == FLOATING
