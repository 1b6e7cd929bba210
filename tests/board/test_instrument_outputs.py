"""What an instrument's driver writes: values until they are known to be there, commands once; in virtual time."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.instrument_frames import Framing
from hil.supply_device import SupplyDevice
from tests.board.instrument_bench import Answers, Bench, described, plan_of, shape_of

ACK, NAK = b"\x06", b"\x15"


@pytest.fixture
def supply() -> Iterator[SupplyDevice]:
    """A power supply whose thread does not run: its bench calls it."""
    made = SupplyDevice()
    yield made
    made.stop()


def drives(supply: SupplyDevice) -> tuple[int, bool]:
    """Volts, and whether it is on."""
    return int(supply.volts), supply.on


@pytest.fixture
def bench(supply: SupplyDevice) -> Bench:
    """The supply on a bench, reset, at 12 V and on; abort values 1 V and off."""
    plan = plan_of(shape_of("psu", model="scpi_supply"), "psu", set_volts=1000)
    made = Bench(plan, lambda data: [(3, supply.handle(data))])
    made.ready(12_000, 1)
    return made


def test_values_are_written_as_text_and_in_the_order_of_the_description(
    bench: Bench, supply: SupplyDevice
) -> None:
    assert drives(supply) == (12, True)
    assert (bench.value("volts"), bench.value("amps")) == (12_000, 300)
    written = [data for data in bench.take_written() if b"?" not in data]
    assert written == [b"VOLT 1.000\n", b"OUTP OFF\n", b"VOLT 12.000\n", b"OUTP ON\n"]


def test_a_value_is_written_once_and_then_only_when_it_changes(bench: Bench) -> None:
    bench.take_written()
    bench.run(3000)
    assert [data for data in bench.take_written() if b"?" not in data] == []
    bench.device.drive([12_000, 0])
    bench.run(300)
    assert [data for data in bench.take_written() if b"?" not in data] == [b"OUTP OFF\n"]


def test_abort_values_are_written_before_anything_and_stay_until_a_reset(supply: SupplyDevice) -> None:
    supply.volts, supply.on = supply.volts + 48, True
    plan = plan_of(shape_of("psu", model="scpi_supply"), "psu")
    bench = Bench(plan, lambda data: [(3, supply.handle(data))])
    bench.device.drive([12_000, 1])
    bench.run(3000)
    assert bench.take_written()[:3] == [b"*IDN?\n", b"VOLT 0.000\n", b"OUTP OFF\n"]
    assert drives(supply) == (0, False)
    bench.device.link.rearm()
    bench.run(500)
    assert drives(supply) == (12, True)


def test_a_supply_that_was_switched_off_and_on_is_lost_and_waits(bench: Bench, supply: SupplyDevice) -> None:
    supply.power_on()
    began = bench.line.now
    while not bench.losses:
        bench.turn()
    assert bench.line.now - began < 700, "two readings of what it was told"
    assert "psu:set_volts is 0.000, 12.000 was written: the device was switched off" in bench.losses[0]
    bench.run(1000)
    assert drives(supply) == (1, False)
    bench.device.drive([24_000, 1])
    bench.run(1000)
    assert drives(supply) == (1, False), "it waits for a Reset"
    bench.device.link.rearm()
    bench.run(500)
    assert drives(supply) == (24, True)


def test_nothing_is_written_to_a_device_that_does_not_say_who_it_is(supply: SupplyDevice) -> None:
    supply.identity = "another"
    bench = Bench(
        plan_of(shape_of("psu", model="scpi_supply"), "psu"), lambda data: [(3, supply.handle(data))]
    )
    bench.device.drive([12_000, 1])
    bench.run(3000)
    assert set(bench.take_written()) == {b"*IDN?\n"}


def test_one_reading_that_differs_is_no_loss(bench: Bench, supply: SupplyDevice) -> None:
    asked = 0

    def answer(data: bytes) -> Answers:
        nonlocal asked
        asked += data == b"VOLT?\n"
        return [(3, b"11.9\n" if data == b"VOLT?\n" and asked == 1 else supply.handle(data))]

    bench.line.answer = answer
    bench.run(2000)
    assert asked > 3
    assert bench.losses == []


def test_a_device_that_cannot_be_heard_is_still_told_the_abort_values(
    bench: Bench, supply: SupplyDevice
) -> None:
    bench.line.answer = lambda data: [(0, b"\xff" * len(supply.handle(data)))]
    bench.run(2000)
    assert bench.device.link.status().state == "faulted"
    assert drives(supply) == (1, False)


def test_make_safe_returns_when_it_is_written_or_the_device_is_away(bench: Bench) -> None:
    """Nobody turns here: it has been written, and then the device is away."""
    began = time.monotonic()
    bench.device.make_safe([12_000, 1])
    bench.line.broken = True
    bench.turn()
    bench.device.make_safe([0, 0])
    assert time.monotonic() - began < 0.5


# --- acknowledgements ---


class Dispenser:
    """Answers as the description dispenser_ack says."""

    def __init__(self) -> None:
        self.framing = Framing.of(shape_of("dis", model="dispenser_ack").settings["framing"])
        self.state = b"S1"
        self.acks = {b"A": ACK, b"D": ACK}
        self.got: list[bytes] = []
        self.silent = False

    def __call__(self, data: bytes) -> Answers:
        frames = self.framing
        text = data[1 : data.index(b"\x03")]
        assert frames.wrap(text.decode()) == data
        if text[:1] in self.acks:
            self.got.append(text)
            return [] if self.silent else [(2, self.acks[text[:1]])]
        answer = {b"S": self.state, b"V": b"V1.04"}[text]
        return [(2, frames.wrap(answer.decode()))]


@pytest.fixture
def dispenser() -> Dispenser:
    return Dispenser()


@pytest.fixture
def dosing(dispenser: Dispenser) -> Bench:
    """The dispenser on a bench, reset, told 25 mg."""
    made = Bench(plan_of(shape_of("dis", model="dispenser_ack"), "dis"), dispenser)
    made.ready(25, 0)
    dispenser.got.clear()
    return made


def test_a_value_is_confirmed_by_its_acknowledgement(dosing: Bench, dispenser: Dispenser) -> None:
    assert dosing.value("amount_taken") == 1
    dispenser.acks[b"A"] = NAK
    dosing.device.drive([30, 0])
    dosing.run(300)
    assert dosing.value("amount_taken") == 0
    assert "dis refused '\\x02A0030\\x03A': it does not take this amount" in dosing.fault
    dispenser.acks[b"A"] = ACK
    dosing.run(700)
    assert dosing.value("amount_taken") == 1
    assert set(dispenser.got) == {b"A0030"}


def test_a_device_that_refuses_again_and_again_is_lost(dosing: Bench, dispenser: Dispenser) -> None:
    dispenser.acks[b"A"] = NAK
    dosing.device.drive([30, 0])
    dosing.run(2000)
    assert "it does not take this amount; is it in remote control" in dosing.losses[0]
    assert len(dispenser.got) >= 3


def test_a_value_that_was_not_acknowledged_is_written_again(dosing: Bench, dispenser: Dispenser) -> None:
    dispenser.silent = True
    dosing.device.drive([30, 0])
    dosing.run(250)
    dispenser.silent = False
    dosing.run(1500)
    assert dosing.value("amount_taken") == 1
    assert dosing.quality("ready") == "good"


def test_a_command_is_sent_once_when_it_rises(dosing: Bench, dispenser: Dispenser) -> None:
    for _ in range(3):
        dosing.device.drive([25, 1])
        dosing.run(500)
    assert dispenser.got == [b"D"]
    assert dosing.value("dispensed") == 1
    dosing.device.drive([25, 0])
    dosing.run(200)
    assert dosing.value("dispensed") == 0
    dosing.device.drive([25, 1])
    dosing.run(200)
    assert dispenser.got == [b"D", b"D"]


@pytest.mark.parametrize("why", ["silent", "nak"])
def test_a_command_that_was_not_taken_is_told_and_not_repeated(
    dosing: Bench, dispenser: Dispenser, why: str
) -> None:
    dispenser.silent = why == "silent"
    dispenser.acks[b"D"] = NAK
    dosing.device.drive([25, 1])
    dosing.run(3000)
    assert dispenser.got == [b"D"]
    assert dosing.value("dispensed") == 0
    reason = "no answer to '\\x02D\\x03G' within 200 ms" if why == "silent" else "it cannot dispense now"
    assert reason in dosing.fault


def test_a_command_does_not_rise_by_a_loss_nor_by_a_reset(dosing: Bench, dispenser: Dispenser) -> None:
    dosing.device.drive([25, 1])
    dosing.run(200)
    dosing.line.broken = True
    dosing.run(300)
    dosing.line.broken = False
    dosing.run(1500)
    dosing.device.link.rearm()
    dosing.device.drive([25, 1])
    dosing.run(1500)
    assert dispenser.got.count(b"D") == 1
    assert dispenser.got[-1] == b"A0025", "the value is back, the command is not"


@pytest.mark.parametrize("latched", [True, False])
def test_a_command_to_a_device_that_is_away_or_waits_is_forgotten(
    dosing: Bench, dispenser: Dispenser, latched: bool
) -> None:
    dosing.line.broken = True
    dosing.run(300)
    if not latched:
        dosing.device.drive([25, 1])
    dosing.line.broken = False
    dosing.run(1500)
    if latched:
        dosing.device.drive([25, 1])
    dosing.device.link.rearm()
    dosing.device.drive([25, 1])
    dosing.run(1500)
    assert b"D" not in dispenser.got
    dosing.device.drive([25, 0])
    dosing.device.drive([25, 1])
    dosing.run(200)
    assert dispenser.got[-1] == b"D"


def test_a_command_whose_output_is_off_again_is_not_sent(dosing: Bench, dispenser: Dispenser) -> None:
    """An abort between the scan that wants it and its turn on the line."""
    dosing.device.drive([25, 1])
    dosing.device.drive([25, 0])
    dosing.run(500)
    assert dispenser.got == []


def test_a_command_is_not_sent_after_its_device_was_lost(dosing: Bench, dispenser: Dispenser) -> None:
    """It rose before, and had to wait for its turn; the line is still there."""
    dosing.device.drive([25, 1])
    dosing.device.link.lost("not answered for too long")
    dosing.run(500)
    assert b"D" not in dispenser.got


def test_a_command_that_has_to_wait_too_long_is_told(dosing: Bench, dispenser: Dispenser) -> None:
    """The line is out of step; the link is kept alive here, so that only the time counts."""
    dosing.device._talk.in_step = False
    dosing.line.answer = lambda data: []
    dosing.device.drive([25, 1])
    faults = set()
    for _ in range(60):
        dosing.device.link.answered()
        dosing.device.link.rearm()
        dosing.turn()
        faults.add(dosing.fault)
    assert b"D" not in dispenser.got
    assert any("could not be sent in time; it is not sent again by itself" in fault for fault in faults)


def test_values_are_rewritten_for_a_device_that_falls_back(tmp_path: Path) -> None:
    text = """
        [instrument]
        name = "lamp with a comms time-out"
        fallback_ms = 900
        [requests.state]
        send = "?\\r\\n"
        answer = "OK"
        [points.lamp]
        kind = "digital"
        send = "L{value}\\r\\n"
    """
    found = described(tmp_path, text)
    assert found.on_death == "device_fallback"
    bench = Bench(plan_of(found, "lamp"), lambda data: [(2, b"OK\r\n")] if data == b"?\r\n" else [])
    bench.ready(1)
    bench.take_written()
    bench.run(3000)
    assert 9 <= bench.take_written().count(b"L1\r\n") <= 11
