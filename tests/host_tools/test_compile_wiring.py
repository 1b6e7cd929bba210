"""A wiring file for a microcontroller becomes integers, and what cannot work is said at the desk."""

from pathlib import Path

import pytest

from cell_controller.core import codec
from host_tools.board_pins import CHIPS
from host_tools.cellfile import compile_cell
from host_tools.check import check
from host_tools.compile_wiring import compile_wiring
from host_tools.signal_places import signals_of
from host_tools.wiring_models import BusTable, MicrocontrollerTable, MicrocontrollerWire
from tests.host_tools.make_wiring import CELL, ESP, EXAMPLE, PICO, compiled, make, refused

ROOT = Path(__file__).resolve().parents[2]

# --- what comes out ---


@pytest.mark.parametrize("wiring", [PICO, ESP], ids=["rp2", "esp32"])
def test_a_sound_file_becomes_a_table_that_the_codec_packs(tmp_path: Path, wiring: str) -> None:
    table = compiled(make(tmp_path, wiring))
    assert codec.unpack(codec.pack(table)) == table
    assert table["counts"] == [5, 4]


@pytest.mark.parametrize("board", ["pico_w", "esp32"])
def test_the_example_is_wired_for_both_boards(board: str) -> None:
    cell = compile_cell(EXAMPLE, board)
    table = compile_wiring(cell)
    assert len(codec.pack(table)) < 1024
    wired = len(table["pins_in"]) + len(table["pins_out"])
    wired += sum(len(table[key]) for key in ("adc", "pwm", "pulse", "uart"))
    wired += sum(len(row[5]) + len(row[6]) for row in table["devices"])
    assert wired == len(list(signals_of(cell.spec)))


def test_each_kind_of_channel_in_integers(tmp_path: Path) -> None:
    table = compiled(make(tmp_path, PICO))
    assert table["pins_in"] == [[2, 0, 0, 1]]
    assert table["pins_out"] == [[6, 0, 1], [7, 0, 2]]
    assert table["adc"] == [[26, 4, 0]]
    assert table["pwm"] == [[16, 1000, 0], [17, 1000, 1]]
    assert table["pulse"] == [[3, 0, 0, 2, 0, 0, (1 << 29) - 1, 1]]
    assert table["uart"] == [[0, 0, 1, 9600, 1, 3, 3000]]
    assert table["i2c"] == [0, 4, 5, 400_000, 2000]
    assert table["devices"] == [[1, "mcp23017:0x20", 0x20, 0xFFFF, 0, [[256, 0, 2]], [], [1], 30, 1000]]


def test_signals_beyond_the_24th_are_in_the_next_word(tmp_path: Path) -> None:
    directory = make(tmp_path, PICO)
    more = "".join(f"[outputs.extra_{k}]\nsafe = 'off'\n" for k in range(40))
    wires = "".join(
        f"[extra_{k}]\nchannel = 'mcp23017:{0x20 + k // 8:#x}:A{k % 8}'\nactive_low = true\n"
        for k in range(40)
    )
    (directory / "cell.toml").write_text(CELL + more)
    (directory / "wiring" / "mcu.toml").write_text(PICO + wires)
    table = compiled(directory)
    places = {(w, mask) for row in table["devices"] for _, w, mask in row[6]}
    assert places == {((2 + k) // 24, 1 << (2 + k) % 24) for k in range(40)}
    assert table["invert_out"] == [0xFFFFFC, (1 << 18) - 1]
    assert all(mask < 1 << 24 for _, mask in places)


def test_a_converter_gets_its_configuration_word(tmp_path: Path) -> None:
    change = (
        'channel = "adc:GP26"\nspan = { raw = [0, 4095] }',
        'channel = "ads1115:0x49:2"\nrange_mv = 2048\nspan = { raw = [0, 26400] }',
    )
    row = compiled(make(tmp_path, PICO, change))["devices"][1]
    # start, input 2 against ground, 2.048 V, single shot; 860 a second, no comparator
    assert row == [2, "ads1115:0x49", 0x49, [[0b1_110_010_1_111_0_0_0_11, 0, 2]], 30, 1000]


def test_the_keys_of_a_channel_arrive(tmp_path: Path) -> None:
    table = compiled(
        make(
            tmp_path,
            PICO,
            ('"GP2"', '"GP2"\npull = "up"\nactive_low = true'),
            ('"uart:0"', '"uart:1"\ntx = "GP8"\nrx = "GP9"\nbaud = 19200\nkeep_ms = 0'),
            ('"pulse:GP3"', '"pulse:GP3"\npull = "down"\nedge = "falling"\ndebounce_ms = 7'),
            ('"pwm:GP16"', '"pwm:GP16"\nfreq_hz = 50'),
            ('"pwm:GP17"', '"pwm:GP17"\nfreq_hz = 50'),
            ("B0", 'B0"\npull = "up'),
        )
    )
    assert table["pins_in"] == [[2, 1, 0, 1]]
    assert table["invert_in"] == [1]
    assert table["uart"][0][:4] == [1, 8, 9, 19200]
    assert table["uart"][0][6] == 0
    assert table["pulse"][0][:5] == [3, 2, 1, 2, 7]
    assert table["pwm"] == [[16, 50, 0], [17, 50, 1]]
    assert table["devices"][0][4] == 256


# --- what is refused ---


def test_the_same_generator_and_side_twice(tmp_path: Path) -> None:
    problems = refused(
        make(tmp_path, PICO, ("pwm:GP16", "pwm:GP18"), ("pwm:GP17", "pwm:GP2"), ('"GP2"', '"GP8"'))
    )
    assert problems == [
        "wiring/mcu.toml, [lamp]: GP2 is PWM 1A, as 'fan' is; both would do the same; choose a pin of another one "
        "(pins 16 apart are the same)"
    ]


def test_bad_must_come_after_stale(tmp_path: Path) -> None:
    directory = make(tmp_path, PICO, ('target = "rp2"', 'target = "rp2"\nbad_ms = 100'))
    (directory / "cell.toml").write_text(CELL.replace("heartbeat = ", "scan_ms = 50\nheartbeat = ", 1))
    assert refused(directory) == [
        "wiring/mcu.toml, [board]: bad_ms = 100: mcp23017:0x20 may be silent for 150 ms (three readings) before it is "
        "stale; write more than 150"
    ]


def test_a_signal_without_a_wire(tmp_path: Path) -> None:
    problems = refused(make(tmp_path, PICO, ('[valve]\nchannel = "GP6"\n', "")))
    assert problems == [
        "wiring/mcu.toml: signal 'valve' of cell.toml is not wired; add [valve] with its channel"
    ]


def test_everything_is_said_at_once(tmp_path: Path) -> None:
    assert (
        len(refused(make(tmp_path, PICO, ('"GP6"', '"GP23"'), ("adc:GP26", "adc:GP1"), ("uart:0", "uart:7"))))
        == 3
    )


def test_too_many_frequencies_of_an_esp32(tmp_path: Path) -> None:
    directory = make(tmp_path, ESP)
    pins = (13, 14, 17, 23, 27, 32, 33)
    cell = "".join(f'[outputs.p{k}]\nunit = "%"\nrange = [0, 100]\nsafe = 0\n' for k in pins)
    wires = "".join(
        f'[p{k}]\nchannel = "pwm:GPIO{k}"\nfreq_hz = {1000 + k}\nspan = {{ raw = [0, 65535] }}\n'
        for k in pins
    )
    (directory / "cell.toml").write_text(CELL + cell)
    (directory / "wiring" / "mcu.toml").write_text(
        ESP.replace("pulse:GPIO14", "pulse:GPIO34").replace('"pwm:GPIO26"', '"pwm:GPIO26"\nfreq_hz = 7')
        + wires
    )
    assert refused(directory) == ["wiring/mcu.toml: 9 PWM frequencies, more than 8 of an ESP32; use fewer"]


def test_an_expander_with_outputs_alone_is_a_warning(tmp_path: Path) -> None:
    directory = make(tmp_path, PICO, ("mcp23017:0x20:B0", "GP10"), ('"GP6"', '"mcp23017:0x20:A0"'))
    warnings = [str(finding) for finding in check(directory)]
    assert (
        "warning: wiring/mcu.toml: mcp23017:0x20 has outputs only: when it is lost no input goes bad and the cell "
        "works on; put an input with on_bad on it"
    ) in warnings


def test_check_says_what_the_compiler_says(tmp_path: Path) -> None:
    directory = make(tmp_path, PICO, ('"GP6"', '"GP25"'), ('"GP7"', '"GP2"'))
    errors = [finding.text for finding in check(directory) if finding.severity == "error"]
    assert errors == [
        "wiring/mcu.toml, [heartbeat]: channel = \"GP2\" is taken by 'chain_ok'; a channel carries one signal",
        "wiring/mcu.toml, [valve]: GP25 belongs to the wireless chip of a Pico W; choose another pin",
    ]


def test_a_pico_w_has_26_pins_and_three_converters() -> None:
    chip = CHIPS["rp2"]
    assert len(chip.pins) == 26
    assert chip.adc == {26, 27, 28}
    assert not chip.pins & chip.fixed.keys()


def test_no_pin_of_an_esp32_is_both_free_and_fixed() -> None:
    chip = CHIPS["esp32"]
    assert not chip.pins & chip.fixed.keys()
    assert chip.adc <= chip.pins
    assert not chip.adc & chip.never_adc.keys()


def test_every_key_has_a_line_in_the_documentation() -> None:
    page = (ROOT / "docs" / "wiring.md").read_text("utf-8")
    keys = {
        key for table in (BusTable, MicrocontrollerTable, MicrocontrollerWire) for key in table.model_fields
    }
    assert len(keys) > 20
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
