"""Each mistake in a wiring file for a microcontroller is one line with its remedy."""

from pathlib import Path

import pytest

from tests.host_tools.make_wiring import ESP, PICO, make, refused

MISTAKES = [
    (
        "a pin that the board lacks",
        PICO,
        '"GP6"',
        '"GP30"',
        "[valve]: a Pico W has no GP30; choose one of GP0, GP1,",
    ),
    (
        "a pin of the wireless chip",
        PICO,
        '"GP6"',
        '"GP25"',
        "[valve]: GP25 belongs to the wireless chip of a Pico W; choose another pin",
    ),
    (
        "a pin twice",
        PICO,
        '"GP6"',
        '"GP3"',
        "[valve]: GP3 is taken by 'energy'; a pin has one use",
    ),
    (
        "a pin of the bus",
        PICO,
        '"GP6"',
        '"GP4"',
        "[valve]: GP4 is taken by 'i2c.sda'; a pin has one use",
    ),
    (
        "a pin of the serial port",
        PICO,
        '"GP6"',
        '"GP1"',
        "[valve]: GP1 is taken by 'carrier'; a pin has one use",
    ),
    (
        "a channel twice",
        PICO,
        '"GP6"',
        '"GP7"',
        "[heartbeat]: channel = \"GP7\" is taken by 'valve'; a channel carries one signal",
    ),
    (
        "a converter where there is none",
        PICO,
        "adc:GP26",
        "adc:GP15",
        "[level]: GP15 has no converter; choose one of GP26, GP27, GP28, or ads1115:INPUT",
    ),
    (
        "a converter without a span",
        PICO,
        "span = { raw = [0, 4095] }\n",
        "",
        '[level]: channel = "adc:GP26" gives counts 0..4095; add span = { raw = [0, 4095] }',
    ),
    (
        "counts beyond the converter",
        PICO,
        "[0, 4095]",
        "[0, 65535]",
        "[level]: span: raw count 65535 is outside 0..4095 of a 12-bit converter; correct the span",
    ),
    (
        "a duty beyond the top",
        PICO,
        "[0, 65535]",
        "[0, 70000]",
        "[fan]: span: raw count 70000 is outside 0..65535 of a duty of a PWM; correct the span",
    ),
    (
        "two frequencies of one generator",
        PICO,
        '"pwm:GP17"',
        '"pwm:GP17"\nfreq_hz = 50',
        "[lamp]: freq_hz = 50: GP17 shares its generator (PWM 0) with 'fan', which has 1000; "
        "write the same, or choose another pin",
    ),
    (
        "a frequency out of range",
        PICO,
        '"pwm:GP17"',
        '"pwm:GP17"\nfreq_hz = 2',
        "[lamp]: freq_hz = 2 is outside 8..100000 of a Pico W; choose one inside",
    ),
    (
        "an unknown kind",
        PICO,
        '"GP6"',
        '"dac:GP6"',
        "[valve]: channel = \"dac:GP6\": unknown kind of channel; did you mean 'adc'?",
    ),
    (
        "an unknown word",
        PICO,
        '"GP6"',
        '"relay 6"',
        '[valve]: channel = "relay 6": unknown kind of channel; write one of PIN, adc:PIN,',
    ),
    (
        "no pin behind the kind",
        PICO,
        "adc:GP26",
        "adc:0",
        "[level]: channel = \"adc:0\": '0' is not a pin; write adc:GP4, for example",
    ),
    (
        "an analog signal on a pin",
        PICO,
        '"adc:GP26"',
        '"GP26"',
        "[level]: channel = \"GP26\" is digital; 'level' is analog; choose adc:PIN or ads1115:INPUT",
    ),
    (
        "a switch on a converter",
        PICO,
        '"GP2"',
        '"adc:GP27"',
        "[chain_ok]: channel = \"adc:GP27\" is for an analog input; 'chain_ok' is a digital input; "
        "choose another channel",
    ),
    (
        "an input as PWM",
        PICO,
        '"adc:GP26"',
        '"pwm:GP26"',
        "[level]: channel = \"pwm:GP26\" is for an analog output; 'level' is an analog input; "
        "choose another channel",
    ),
    (
        "a key of another channel",
        PICO,
        '"GP6"',
        '"GP6"\nbaud = 9600',
        '[valve]: baud means nothing for channel = "GP6"; remove it',
    ),
    (
        "a pull on an output",
        PICO,
        '"GP6"',
        '"GP6"\npull = "up"',
        '[valve]: pull means nothing for channel = "GP6"; remove it',
    ),
    (
        "an unknown key",
        PICO,
        '"GP6"',
        '"GP6"\nactve_low = true',
        "[valve]: unknown key 'actve_low'; did you mean 'active_low'?",
    ),
    (
        "an unknown key of the board",
        PICO,
        'target = "rp2"',
        'target = "rp2"\non_deth = "release"',
        "[board]: unknown key 'on_deth'; did you mean 'on_death'?",
    ),
    (
        "an unknown target",
        PICO,
        '"rp2"',
        '"stm32"',
        '[board]: target = "stm32": write one of esp32, rp2 to use it on a microcontroller',
    ),
    (
        "no target",
        PICO,
        'target = "rp2"\n',
        "",
        "[board]: target = missing: write one of esp32, rp2 to use it on a microcontroller",
    ),
    (
        "a device without a bus",
        PICO,
        'i2c = { sda = "GP4", scl = "GP5" }\n',
        "",
        '[shut]: channel = "mcp23017:0x20:B0" is on I2C, and [board] names no bus; add i2c = { '
        'sda = "GP..", scl = "GP.." } there',
    ),
    (
        "a bus on wrong pins",
        PICO,
        'scl = "GP5"',
        'scl = "GP7"',
        '[board]: scl = "GP7" is no scl of i2c 0; choose one of GP1, GP5, GP9, GP13, GP17, GP21',
    ),
    (
        "an address of another device",
        PICO,
        "0x20:B0",
        "0x48:B0",
        '[shut]: channel = "mcp23017:0x48:B0": write mcp23017:0x20:A0, with an address of '
        "0x20..0x27 and a pin A0..A7 or B0..B7",
    ),
    (
        "a pin the expander lacks",
        PICO,
        "0x20:B0",
        "0x20:C0",
        '[shut]: channel = "mcp23017:0x20:C0": write mcp23017:0x20:A0,',
    ),
    (
        "an input on an output-only pin",
        PICO,
        "0x20:B0",
        "0x20:B7",
        '[shut]: channel = "mcp23017:0x20:B7": A7 and B7 of an MCP23017 are for outputs only; '
        "choose another pin",
    ),
    (
        "an expander that pulls down",
        PICO,
        "0x20:B0",
        '0x20:B0"\npull = "down',
        '[shut]: pull = "down": an MCP23017 pulls up only; write "up" or use a resistor',
    ),
    (
        "an input the converter lacks",
        PICO,
        "adc:GP26",
        "ads1115:4",
        '[level]: channel = "ads1115:4": write ads1115:0 .. ads1115:3, or ads1115:0x49:0 for '
        "another address of 0x48..0x4b",
    ),
    (
        "a serial port that is not there",
        PICO,
        "uart:0",
        "uart:2",
        '[carrier]: channel = "uart:2": no such port; choose uart:0, uart:1',
    ),
    (
        "a serial pin of another port",
        PICO,
        '"uart:0"',
        '"uart:0"\nrx = "GP5"',
        '[carrier]: rx = "GP5" is no rx of uart:0; choose one of GP1, GP13, GP17',
    ),
    (
        "a span on a counter",
        PICO,
        '"pulse:GP3"',
        '"pulse:GP3"\nspan = { raw = [0, 10], value = [0, 20] }',
        "[energy]: span: one pulse is one step of the resolution; remove the span",
    ),
    (
        "a span on a number",
        PICO,
        '"uart:0"',
        '"uart:0"\nspan = { raw = [0, 10], value = [0, 20] }',
        "[carrier]: span: the reader sends the number itself; remove the span",
    ),
    (
        "a shared channel",
        PICO,
        '"GP6"',
        '"GP6"\nshared = true',
        "[valve]: shared = true: a channel of a microcontroller carries one signal; remove it",
    ),
    (
        "a strapping pin",
        ESP,
        '"GPIO18"',
        '"GPIO12"',
        "[valve]: GPIO12 is read at reset to choose how the chip starts (strapping pin); choose another pin",
    ),
    (
        "a pin of the flash",
        ESP,
        '"GPIO18"',
        '"GPIO7"',
        "[valve]: GPIO7 is wired to the flash inside the module; choose another pin",
    ),
    (
        "the console",
        ESP,
        '"GPIO18"',
        '"GPIO1"',
        "[valve]: GPIO1 is the console, which prints while the chip starts; choose another pin",
    ),
    (
        "an output on an input",
        ESP,
        '"GPIO18"',
        '"GPIO39"',
        "[valve]: GPIO39 can only be an input; choose another pin",
    ),
    (
        "a pull where there is none",
        ESP,
        '"GPIO35"',
        '"GPIO35"\npull = "up"',
        "[chain_ok]: pull: GPIO35 has no pull resistor inside; use one outside and remove pull",
    ),
    (
        "a converter that Wi-Fi stops",
        ESP,
        "adc:GPIO36",
        "adc:GPIO27",
        "[level]: GPIO27: its converter (ADC2) does not work while Wi-Fi is on; choose one of "
        "GPIO32, GPIO33, GPIO34, GPIO35, GPIO36, GPIO39",
    ),
    (
        "the console's port",
        ESP,
        "uart:2",
        "uart:0",
        '[carrier]: channel = "uart:0": uart:0 is the console; choose uart:1, uart:2',
    ),
    (
        "a port without its pin",
        ESP,
        '\nrx = "GPIO4"',
        "",
        "[carrier]: uart:2 needs both its pins, since it would take others by itself; add tx = ",
    ),
]


@pytest.mark.parametrize(
    ("wiring", "old", "new", "line"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES]
)
def test_mistake_is_one_line_with_its_remedy(
    tmp_path: Path, wiring: str, old: str, new: str, line: str
) -> None:
    problems = refused(make(tmp_path, wiring, (old, new)))
    assert len(problems) == 1
    assert problems[0].startswith(f"wiring/mcu.toml, {line}"), problems
