"""Simulated serial devices do what they claim, and misbehave as their names say, on real bytes."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from board.transport import SerialSettings, Transport, transport
from cell_controller.errors import LinkLostError
from hil.reader_device import ReaderDevice, em4100_frame
from hil.scale_device import ScaleDevice
from hil.serial_device import SerialDevice, split_lines
from hil.supply_device import SupplyDevice

WAIT_S = 5.0
KINDS = ("pty", "tcp")


class Parrot(SerialDevice):
    """Says every line again in angle brackets, and how often it was switched on."""

    starts = 0

    def power_on(self) -> bytes:
        self.starts += 1
        self.buffer = bytearray()
        return b"on\r\n"

    def opened(self) -> bytes:
        return b"hello\r\n"

    def handle(self, data: bytes) -> bytes:
        self.buffer += data
        return b"".join(b"<%b>\r\n" % line for line in split_lines(self.buffer))


@pytest.fixture(params=KINDS)
def parrot(request: pytest.FixtureRequest) -> Iterator[Parrot]:
    with Parrot(request.param, late_ms=200) as device:
        yield device


def joined(device: SerialDevice) -> Transport:
    """An open line to the device."""
    line = transport(device.address)
    until(lambda: _opens(line), "it cannot be opened")
    return line


def _opens(line: Transport) -> bool:
    try:
        line.open()
    except LinkLostError:
        return False
    return True


def until(there: Callable[[], bool], what: str) -> None:
    """Return when `there()`; fails after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while not there():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def hear(line: Transport, wanted: bytes) -> bytes:
    """All that came until `wanted` was there."""
    heard = b""
    deadline = time.monotonic() + WAIT_S
    while wanted not in heard:
        assert time.monotonic() < deadline, f"{wanted!r} did not come, but {heard[-200:]!r}"
        heard += line.read(4096, 0.05)
    return heard


def ask(line: Transport, text: bytes) -> bytes:
    """What is said to `text`, up to the end of a line."""
    line.write(text)
    return hear(line, b"\n")


def test_it_answers_and_notices_that_its_line_is_opened(parrot: Parrot) -> None:
    line = joined(parrot)
    assert hear(line, b"hello\r\n") == b"hello\r\n"
    assert ask(line, b"a\r\n") == b"<a>\r\n"
    line.close()
    until(lambda: not parrot._attached, "it does not notice that nobody is there")
    line.open()
    assert hear(line, b"\n") == b"hello\r\n"
    line.close()


def test_late_delays_answers_and_keeps_their_order(parrot: Parrot) -> None:
    line = joined(parrot)
    hear(line, b"hello\r\n")
    parrot.late(True)
    began = time.monotonic()
    line.write(b"a\r\n")
    until(lambda: bool(parrot._queue), "it did not hear")
    parrot.late(False)
    line.write(b"b\r\n")
    assert hear(line, b"<b>\r\n") == b"<a>\r\n<b>\r\n"
    assert 0.19 < time.monotonic() - began < 1.0
    line.close()


def test_nonsense_is_as_long_and_for_another_is_well_formed(parrot: Parrot) -> None:
    line = joined(parrot)
    hear(line, b"hello\r\n")
    parrot.nonsense(True)
    line.write(b"abcdef\r\n")
    heard = b""
    while len(heard) < 10:
        heard += line.read(10, 1.0)
    assert heard != b"<abcdef>\r\n"
    parrot.nonsense(False)
    parrot.for_another(True)
    assert ask(line, b"a\r\n") == b"OTHER\r\n"
    parrot.for_another(False)
    assert ask(line, b"a\r\n") == b"<a>\r\n"
    line.close()


def test_a_flood_does_not_end_until_it_is_switched_off(parrot: Parrot) -> None:
    line = joined(parrot)
    parrot.flood(True)
    heard = 0
    while heard < 100_000:
        got = len(line.read(4096, 1.0))
        assert got, "it ended"
        heard += got
    parrot.flood(False)
    line.write(b"after\r\n")
    hear(line, b"<after>\r\n")
    line.close()


def test_unplug_is_the_end_of_the_line_and_plug_makes_a_new_one_at_the_same_address(parrot: Parrot) -> None:
    line = joined(parrot)
    address = parrot.address
    parrot.unplug()
    with pytest.raises(LinkLostError):
        hear(line, b"never")
    with pytest.raises(LinkLostError):
        line.open()
    parrot.plug()
    line = joined(parrot)
    assert parrot.address == address
    hear(line, b"hello\r\n")
    assert ask(line, b"a\r\n") == b"<a>\r\n"
    assert parrot.starts == 1, "it was not switched off"
    line.close()


def test_a_power_cycle_loses_its_state_and_ends_a_connection_but_not_a_serial_port(parrot: Parrot) -> None:
    line = joined(parrot)
    hear(line, b"hello\r\n")
    parrot.power_cycle()
    assert parrot.starts == 2
    if parrot.address.startswith("tcp"):
        with pytest.raises(LinkLostError):
            hear(line, b"never")
    else:
        assert hear(line, b"on\r\n") == b"on\r\n"
    parrot.power(False)
    parrot.power(False)
    if not parrot.address.startswith("tcp"):
        line.write(b"a\r\n")
        assert line.read(10, 0.05) == b""
    line.close()


def test_a_port_of_its_own_goes_with_its_power() -> None:
    class Printer(Parrot):
        own_port = True

    with Printer() as printer:
        line = joined(printer)
        printer.power(False)
        with pytest.raises(LinkLostError):
            hear(line, b"never")
        printer.plug()
        assert not Path(printer.address).exists(), "it is off"
        printer.power(True)
        joined(printer).close()


def test_a_line_with_parity_can_be_opened_again() -> None:
    """A pseudo terminal has none, and would refuse the second time."""
    with Parrot() as parrot:
        line = transport(parrot.address, SerialSettings(19200, 8, "even", 1))
        for _ in range(3):
            line.open()
            hear(line, b"hello\r\n")
            line.close()
            until(lambda: not parrot._attached, "it does not notice that nobody is there")


def test_nothing_is_left_behind() -> None:
    with Parrot() as parrot:
        address = Path(parrot.address)
        assert address.is_symlink()
    assert not address.parent.exists()


def test_lines_are_split_at_any_end() -> None:
    buffer = bytearray(b"a\r\nb\rc\n\n\rd")
    assert split_lines(buffer) == [b"a", b"b", b"c"]
    assert buffer == b"d"
    assert split_lines(bytearray(b"\r\n")) == []


# --- the devices ---


def test_a_scale_weighs_tares_and_forgets_its_tare() -> None:
    with ScaleDevice("tcp") as scale:
        line = joined(scale)
        assert ask(line, b"SI\r\n") == b"S S       0.00 g\r\n"
        scale.load("100.5")
        assert ask(line, b"SI\r\n").startswith(b"S D ")
        until(lambda: ask(line, b"SI\r\n") == b"S S     100.50 g\r\n", "it does not come to rest")
        assert ask(line, b"TI\r\n") == b"TI S     100.50 g\r\n"
        assert ask(line, b"SI\r\n") == b"S S       0.00 g\r\n"
        assert ask(line, b"ZI\r\n") == b"ZI S\r\n"
        scale.switch_unit("lb")
        assert ask(line, b"SI\r\n").endswith(b" lb\r\n")
        for load, answer in (("7000", b"S +\r\n"), ("-200", b"S -\r\n")):
            scale.load(load)
            assert ask(line, b"SI\r\n") == answer
            assert ask(line, b"TI\r\n") == b"TI" + answer[1:]
        assert ask(line, b"what\r\n") == b"ES\r\n"
        assert ask(line, b"@\r\n") == ask(line, b"I4\r\n") == b'I4 A "B021002593"\r\n'
        assert (scale.tares, int(scale.tare_g)) == (1, 0)
        line.close()


def test_a_reader_repeats_its_number_and_says_once_more_that_nothing_is_there() -> None:
    with ReaderDevice("tcp") as reader:
        line = joined(reader)
        reader.show(1234)
        hear(line, b"1234\r\n")
        reader.show("0")
        hear(line, b"0\r\n")
        reader.say(b"whatever")
        hear(line, b"whatever")
        line.close()
    with ReaderDevice("tcp", frames=True) as reader:
        line = joined(reader)
        reader.show(0x0063E9AE)
        hear(line, em4100_frame(0x0063E9AE) * 2)
        line.close()


def test_a_supply_drives_what_it_is_told_within_its_limits() -> None:
    with SupplyDevice("tcp") as supply:
        line = joined(supply)
        line.write(b"VOLT 12.000\nVOLT 61\nVOLT x\nOUTP ON\nNONSENSE\n")
        assert ask(line, b"VOLT?\n") == b"+1.20000000E+01\n"
        assert ask(line, b"MEAS:CURR?\n") == b"+3.00000000E-01\n"
        assert ask(line, b"OUTP?\n") == b"1\n"
        assert ask(line, b"*IDN?\n") == b"ACME,PS1,0001,1.0\n"
        supply.power_cycle()
        assert (int(supply.volts), supply.on) == (0, False)
        line.close()


@pytest.mark.parametrize(
    ("module", "words", "asked", "answer"),
    [
        ("hil.scale_device", "load 5\nunit kg\nnonsense\nwhat\nlate off\n", b"SI\r\n", b" kg\r\n"),
        ("hil.reader_device", "show 77\n", b"", b"77\r\n"),
        ("hil.supply_device", "late off\n", b"*IDN?\n", b"ACME,PS1,0001,1.0\n"),
    ],
)
def test_people_can_run_them(module: str, words: str, asked: bytes, answer: bytes) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--address", "tcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        line = transport(process.stdout.readline().strip())
        until(lambda: _opens(line), "it cannot be opened")
        process.stdin.write(words)
        process.stdin.flush()
        if "what" in words:
            assert "on" in process.stderr.readline()
            assert "known: flood, for_another, late, load, nonsense" in process.stderr.readline()
        deadline = time.monotonic() + WAIT_S
        heard = b""
        while answer not in heard:
            assert time.monotonic() < deadline, heard
            line.write(asked)
            heard += line.read(4096, 0.05)
        line.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0
