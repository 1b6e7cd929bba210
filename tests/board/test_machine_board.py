"""A microcontroller's board on fake pins: every output at every moment, its clock, what a reset leaves."""

from typing import Any

import pytest

from board.machine_board import MachineBoard
from cell_controller.core.signals import BAD, GOOD, STALE, InputImage, OutputImage
from hil.bench import Bench
from host_tools.cellfile import CompiledCell
from host_tools.compile_wiring import compile_wiring
from tests.board.fake_machine import AS_INPUT, TICKS_PERIOD
from tests.board.images import Terminals
from tests.board.machine_rig import MachineRig

SAFE = {"booth_fan": 1}
"""What differs from off among the safe values of the paint cell."""


def opened(cell: CompiledCell, start_tick: int = 0, **changes: Any) -> tuple[MachineRig, Terminals]:
    rig = MachineRig({**compile_wiring(cell), **changes}, start_tick)
    rig.open(cell.spec, cell.wiring)
    return rig, Terminals(rig, cell.spec)


def named(rig: MachineRig) -> dict[str, int]:
    """Every output that is not 0 at its terminal."""
    names = [entry["name"] for entry in rig.spec["outputs"]]
    return {name: value for name, value in zip(names, rig.outputs, strict=True) if value}


@pytest.fixture
def rigged(pico_cell: CompiledCell, monkeypatch: pytest.MonkeyPatch) -> Any:
    """rigged(start_tick=0): the real controller on a bench whose board has fake pins."""

    def start(start_tick: int = 0) -> Bench:
        table = compile_wiring(pico_cell)
        monkeypatch.setattr("hil.bench.SimBoard", lambda plant, **keys: MachineRig(table, start_tick))
        return Bench(pico_cell)

    return start


def pins_of(cell: CompiledCell) -> dict[int, str]:
    """Pin -> the output on it."""
    return {
        int(cell.wiring[entry["name"]]["channel"].rpartition("GP")[2]): entry["name"]
        for entry in cell.spec["outputs"]
        if "mcp" not in cell.wiring[entry["name"]]["channel"]
    }


# --- from power-on ---


def test_before_it_is_opened_nothing_is_driven(pico_cell: CompiledCell) -> None:
    rig = MachineRig(compile_wiring(pico_cell))
    MachineBoard(rig.machine, pico_cell.spec, rig.table, rig.clock)
    assert set(rig.world.mode) == {AS_INPUT}


def test_each_pin_has_its_safe_level_when_its_driver_is_switched_on(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell)
    names = pins_of(pico_cell)
    levels = {names[pin]: level for pin, level in rig.world.boot_levels}
    assert len(levels) == 10  # all but the lamp and those of the expander
    assert {name: level for name, level in levels.items() if level} == SAFE


def test_every_output_is_safe_when_open_returns(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell)
    assert named(rig) == SAFE


def test_an_inverted_output_is_safe_at_the_other_level(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell, invert_out=[0b0000_0100_0000_1000])  # valve_burgundy, light_amber
    assert named(rig) == SAFE
    pin = next(pin for pin, name in pins_of(pico_cell).items() if name == "valve_burgundy")
    assert rig.world.level(pin) == 1
    assert rig.world.devices[0x20].level(1) == 1


def test_the_expander_gets_its_latches_before_its_direction(pico_cell: CompiledCell) -> None:
    table = compile_wiring(pico_cell)
    rig = MachineRig({**table, "invert_out": [0xFFFFFF]})
    seen: list[tuple[int, int]] = []
    device = rig.world.devices[0x20]
    write = device.write

    def watched(data: Any) -> None:
        write(data)
        seen.append((data[0], device.level(0) if device.is_output(0) else -1))

    device.write = watched
    rig.open(pico_cell.spec, pico_cell.wiring)
    assert seen[:3] == [(0x14, -1), (0x0C, -1), (0x00, 1)]


# --- an image is driven ---


def test_each_output_alone_moves_its_own_terminal_and_no_other(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    terminals.drive(booth_fan=1)
    for entry in pico_cell.spec["outputs"]:
        name, top = entry["name"], entry["hi"]
        terminals.drive(**{name: terminals.count(name, top)})
        assert named(rig) == {**SAFE, name: top}
        terminals.drive(**{name: terminals.count(name, entry["safe"])})


def test_each_digital_input_alone_reaches_its_own_signal(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    for i, entry in enumerate(pico_cell.spec["inputs"]):
        if entry["kind"] == "digital":
            for value in (0, 1, 0):
                rig.plant.inputs[i] = value
                rig._sense()
                assert terminals.read(entry["name"]) == value, entry["name"]


def test_outputs_that_do_not_change_are_not_written_but_in_their_turn(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    board, image = rig.board, terminals.outputs
    terminals.drive(booth_fan=1)
    before = list(rig.world.writes)
    scans = 12  # ten pins, the lamp, the expander
    for _ in range(scans):
        board.write(image)
    after = [new - old for new, old in zip(rig.world.writes, before, strict=True)]
    assert [after[pin] for pin in pins_of(pico_cell)] == [1] * 11


def test_a_pin_that_lost_its_level_gets_it_again(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    terminals.drive(booth_fan=1, clamp=1)
    for pin in pins_of(pico_cell):
        rig.world.driven[pin] ^= 1
    for _ in range(12):
        rig.board.write(terminals.outputs)
    assert named(rig) == {**SAFE, "clamp": 1}


# --- the ways out ---


def test_make_safe_acts_without_a_scan_and_the_next_image_is_taken(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    terminals.drive(booth_fan=1, valve_green=1, light_red=1, cure_lamp=65535)
    rig.make_safe(terminals.safe_values())
    assert named(rig) == SAFE
    rig.board.write(terminals.outputs)
    assert named(rig) == {"booth_fan": 1, "valve_green": 1, "light_red": 1, "cure_lamp": 100}


def test_after_close_the_pins_float_and_the_expander_too(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    terminals.drive(booth_fan=1, valve_green=1, light_red=1, cure_lamp=65535)
    rig.close()
    assert named(rig) == {}
    assert [rig.world.mode[pin] for pin in pins_of(pico_cell)] == [AS_INPUT] * 11
    assert not rig.world.devices[0x20].is_output(0)
    assert rig.world.handlers[22] is None


def test_close_leaves_the_outputs_of_a_board_that_holds_its_last_values(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell, on_death="hold_last")
    terminals.drive(booth_fan=1, valve_green=1, light_red=1)
    rig.close()
    assert named(rig) == {"booth_fan": 1, "valve_green": 1, "light_red": 1}


def test_make_safe_before_open_and_after_close_does_nothing(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    rig.close()
    rig.board.make_safe(terminals.safe_values())
    assert named(rig) == {}


def test_make_safe_reaches_a_second_device_though_the_first_is_silent(pico_cell: CompiledCell) -> None:
    table = compile_wiring(pico_cell)
    row = table["devices"][0]
    second = [1, "mcp23017:0x21", 0x21, 0xFFFE, 0, [], [[1, 0, 1 << 9]], [], 30, 1000]
    rig = MachineRig({**table, "devices": [[*row[:6], row[6][1:], *row[7:]], second]})
    rig.open(pico_cell.spec, pico_cell.wiring)
    terminals = Terminals(rig, pico_cell.spec)
    terminals.drive(booth_fan=1, light_red=1)
    assert rig.output("light_red") == 1
    rig.world.dead[0x20] = 1
    rig.board.make_safe(terminals.safe_values())
    assert rig.output("light_red") == 0


# --- a cell on it ---


def test_a_hold_and_an_abort_reach_every_terminal(rigged: Any) -> None:
    cell = rigged()
    rig = cell.board
    cell.order("bonnet", colour="burgundy")
    cell.run_until(lambda: rig.output("valve_burgundy") == 1, "the gun opens")
    assert named(rig).keys() >= {"booth_fan", "valve_burgundy", "light_green"}
    cell.command("hold")
    cell.run_to("Held")
    lit = {"light_red", "light_amber", "light_green", "light_blue", "horn", "heartbeat"}
    assert named(rig).keys() - lit == {"booth_fan"}
    cell.command("abort")
    cell.scan()
    assert named(rig).keys() - lit == {"booth_fan"}


def test_a_restart_in_the_middle_of_a_coat_shuts_the_gun_before_anything_else(
    rigged: Any, pico_cell: CompiledCell
) -> None:
    cell = rigged()
    cell.order("bonnet", colour="burgundy")
    cell.run_until(lambda: cell.board.output("valve_burgundy") == 1, "the gun opens")
    rig = cell.board
    for pin in range(len(rig.world.mode)):  # the chip was reset: its pins are inputs, the expander stayed
        rig.world.mode[pin] = AS_INPUT
    assert named(rig).keys() == {"light_green"}
    again = MachineBoard(rig.machine, pico_cell.spec, rig.table, rig.clock)
    again.open()
    assert named(rig) == SAFE


PLAIN = (1 << 20) - 5_000
"""Five seconds before a tick that is nothing special; the lamps and the heartbeat are in the same phase there."""


def item_with_clock_at(rigged: Any, start_tick: int) -> tuple[list[str], list[dict[str, int]]]:
    """What is said, and what is driven scan by scan, while one item is made; the chip's counter begins there."""
    cell = rigged(start_tick)
    driven: list[dict[str, int]] = []
    cell.observers.append(lambda bench: driven.append(named(bench.board)))
    assert cell.order("bonnet", colour="burgundy").run()["result"] == "good"
    assert len(driven) > 2000
    assert cell.board.plant.damage == []
    return cell.log, driven


def test_an_item_made_through_the_wrap_of_the_chips_counter_is_the_same_item(rigged: Any) -> None:
    assert item_with_clock_at(rigged, TICKS_PERIOD - 5_000) == item_with_clock_at(rigged, PLAIN)


@pytest.mark.soak
def test_an_item_made_through_the_wrap_of_the_tick_is_the_same_item(rigged: Any) -> None:
    assert item_with_clock_at(rigged, TICKS_PERIOD // 2 - 5_000) == item_with_clock_at(rigged, PLAIN)


# --- time ---


@pytest.mark.parametrize("start", [0, TICKS_PERIOD - 3, TICKS_PERIOD // 2 - 3])
def test_the_tick_counts_on_through_each_wrap(pico_cell: CompiledCell, start: int) -> None:
    rig, _ = opened(pico_cell, start)
    first = rig.tick()
    for ms in range(1, 8):
        rig.clock.now += 1
        assert (rig.tick() - first) % (1 << 29) == ms


def test_it_sleeps_in_small_steps_and_lets_others_have_a_turn(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell, TICKS_PERIOD - 5)
    turns: list[int] = []
    due = (rig.tick() + 10) & ((1 << 29) - 1)
    rig.board.sleep_until(due, lambda: turns.append(rig.tick()))
    assert rig.tick() == due
    assert len(turns) >= 5
    rig.board.sleep_until(due - 3, lambda: turns.append(-1))
    assert turns[-1] != -1


def test_uptime_goes_on_where_the_tick_wraps(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    for _ in range(10):
        rig.clock.now += 200_000_000  # 2.3 days
        rig.board.read(terminals.inputs)
    assert rig.board.uptime_s == 2_000_000


# --- watchdog and identity ---


def test_the_watchdog_is_fed_only_after_it_was_started(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell)
    rig.board.feed_watchdog()
    assert rig.world.feeds == 0
    rig.board.start_watchdog(5000)
    rig.board.feed_watchdog()
    assert (rig.world.watchdog_ms, rig.world.feeds) == (5000, 1)


def test_its_identity_is_the_number_of_the_chip(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell)
    assert rig.board.identity() == "e6616408432c8b2d"


def test_a_table_of_another_cell_is_refused(pico_cell: CompiledCell) -> None:
    rig = MachineRig({**compile_wiring(pico_cell), "counts": [3, 4]})
    with pytest.raises(ValueError, match="another cell or controller; build again"):
        rig.open(pico_cell.spec, pico_cell.wiring)


def test_a_real_board_has_no_faults(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell)
    assert rig.board.faults() == []
    with pytest.raises(LookupError, match="pull the wire"):
        rig.board.fault("clamp.jam", True)


# --- pulses and lines ---


def test_each_falling_edge_is_a_pulse_and_a_bounce_is_not(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    for _ in range(3):
        rig.clock.now += 20
        for level in (1, 0, 1, 0):  # the contact bounces once
            rig.world.edge(22, level)
    assert terminals.read("energy") == 3


def test_a_counter_starts_again_behind_its_range(pico_cell: CompiledCell) -> None:
    table = compile_wiring(pico_cell)
    row = table["pulse"][0]
    rig, terminals = opened(pico_cell, pulse=[[*row[:4], 0, 0, 2, 1]])
    seen = []
    for _ in range(4):
        rig.world.edge(22, 1)
        rig.world.edge(22, 0)
        seen.append(terminals.read("energy"))
    assert seen == [1, 2, 0, 1]


LINES = [
    ("CR LF", b"1234\r\n", 1234, GOOD),
    ("LF", b"77\n", 77, GOOD),
    ("CR", b"78\r", 78, GOOD),
    ("spaces", b"  79 \r\n", 79, GOOD),
    ("two lines, the last counts", b"5\r\n6\r\n", 6, GOOD),
    ("nothing there", b"\r\n", 0, GOOD),
    ("zero", b"0\r\n", 0, GOOD),
    ("half a line", b"99", 42, GOOD),
    ("letters", b"E17\r\n", 42, STALE),
    ("too many digits", b"123456789\r\n", 42, STALE),
    ("letters, then a number", b"E17\r\n43\r\n", 43, GOOD),
    ("noise", b"\x00\xff\n", 42, STALE),
]


@pytest.mark.parametrize(
    ("sent", "number", "quality"), [case[1:] for case in LINES], ids=[case[0] for case in LINES]
)
def test_a_line_of_the_reader(pico_cell: CompiledCell, sent: bytes, number: int, quality: int) -> None:
    rig, terminals = opened(pico_cell)
    rig.world.received[0] = bytearray(b"42\r\n") + sent
    assert terminals.read("carrier") == number
    assert terminals.quality("carrier") == quality


def test_a_number_that_is_not_sent_again_is_gone(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    rig.world.received[0] = bytearray(b"1001\r\n")
    assert terminals.read("carrier") == 1001
    rig.clock.now += 2999
    assert terminals.read("carrier") == 1001
    rig.clock.now += 1
    assert terminals.read("carrier") == 0
    assert terminals.quality("carrier") == GOOD


def test_a_burst_of_the_reader_takes_no_more_than_its_share_of_a_scan(pico_cell: CompiledCell) -> None:
    rig, terminals = opened(pico_cell)
    rig.world.received[0] = bytearray(b"8\r\n" * 100)
    rig.board.read(terminals.inputs)
    assert len(rig.world.received[0]) == 300 - 32


def test_qualities_are_those_of_the_core() -> None:
    from board import machine_bus

    assert (machine_bus.GOOD, machine_bus.STALE, machine_bus.BAD) == (GOOD, STALE, BAD)


def test_images_of_the_core_fit(pico_cell: CompiledCell) -> None:
    rig, _ = opened(pico_cell)
    inputs, outputs = InputImage(pico_cell.spec), OutputImage(pico_cell.spec)
    words, analog, quality = inputs.words, inputs.analog, inputs.quality
    rig.board.read(inputs)
    rig.board.write(outputs)
    assert inputs.words is words
    assert inputs.analog is analog
    assert inputs.quality is quality
