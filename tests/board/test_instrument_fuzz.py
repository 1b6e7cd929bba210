"""Whatever bytes come, and whenever: no driver raises, and every value that it publishes stood in a valid message."""

import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.contract import DevicePlan
from board.device_link import NEVER
from board.instrument_frames import Framing
from hil.reader_device import em4100_frame
from tests.board.instrument_bench import Answers, Bench, plan_of, shape_of

SICS = plan_of(shape_of("scale", model="scale_sics"), "scale")
TAGS = plan_of(shape_of("tags", model="rfid_em4100"), "tags")
LINES = plan_of(shape_of("lines", model="line_reader"), "lines")
SCPI = plan_of(shape_of("psu", model="scpi_supply"), "psu")
DISPENSER = plan_of(shape_of("dis", model="dispenser_ack"), "dis")

SICS_LINES = [
    b"S S     100.00 g\r\n",
    b"S D       1.5 g\r\n",
    b"S S     2.20 lb\r\n",
    b"S +\r\n",
    b'I4 A "B021002593"\r\n',
    b"TI S 1.00 g\r\n",
    b"ES\r\n",
]
TAG_FRAMES = [em4100_frame(number) for number in (1, 0x0063E9AE, 0x1FFFFFFF, 0x20000000, 0xFFFFFFFF)]
READER_LINES = [b"1234\r\n", b"99999999\r\n", b"123456789\r\n", b"\r\n", b"0\r", b"7\n"]
SCPI_LINES = [b"ACME,PS1,0001,1.0\n", b"+1.2E+01\n", b"9.9E37\n", b"1\n", b"OFF\n"]
_DOSING = Framing.of(DISPENSER.settings["framing"])
DISPENSER_FRAMES = [b"\x06", b"\x15", _DOSING.wrap("S1"), _DOSING.wrap("V1.04")]


def noisy(good: list[bytes]) -> st.SearchStrategy[bytes]:
    """Good messages, whole, cut, doubled, and anything else."""
    whole = st.sampled_from(good)
    cut = st.tuples(whole, st.integers(0, 30), st.integers(0, 30)).map(lambda t: t[0][t[1] : t[1] + t[2]])
    return st.one_of(whole, cut, st.binary(max_size=40), st.tuples(whole, cut).map(lambda t: t[0] + t[1]))


RIGHT = {
    b"SI\r\n": SICS_LINES[0],
    b"I4\r\n": SICS_LINES[4],
    b"*IDN?\n": SCPI_LINES[0],
    b"OUTP?\n": b"0\n",
    b"VOLT?\n": b"0\n",
    b"MEAS:VOLT?\n": SCPI_LINES[1],
    b"MEAS:CURR?\n": b"0.5\n",
    _DOSING.wrap("S"): DISPENSER_FRAMES[2],
    _DOSING.wrap("V"): DISPENSER_FRAMES[3],
}
"""What a device says that behaves, as it does where nothing else was drawn; the dispenser says ACK to all else."""

Speech = list[tuple[int, bytes]]
Wrong = list[bytes | None]


def play(plan: DevicePlan, speech: Speech, wrong: Wrong) -> tuple[Bench, bytearray]:
    """A bench whose device says `speech` by itself, and `wrong` to what it is asked, where that is not None; and what
    has arrived of it all, which grows."""
    said = bytearray()
    waiting = list(wrong)

    def answer(data: bytes) -> Answers:
        other = waiting.pop(0) if waiting else None
        right = RIGHT.get(data, b"\x06" if plan is DISPENSER else b"")
        return [(7, right if other is None else other)]

    bench = Bench(plan, answer)
    place = bench.line.now
    for after_ms, data in speech:
        place += after_ms
        bench.line.say(data, place - bench.line.now)
    take = bench.line.read

    def read(most: int, timeout_s: float) -> bytes:
        data = take(most, timeout_s)
        said.extend(data)
        return data

    bench.line.read = read  # type: ignore[method-assign]
    return bench, said


def speech_of(good: list[bytes]) -> st.SearchStrategy[Speech]:
    return st.lists(st.tuples(st.sampled_from([0, 1, 30, 90, 400, 700]), noisy(good)), max_size=12)


def wrong_of(good: list[bytes]) -> st.SearchStrategy[Wrong]:
    return st.lists(st.one_of(st.none(), st.none(), noisy(good)), max_size=30)


@pytest.mark.parametrize(
    ("plan", "at", "count"), [(SICS, "weight", 10_000), (SCPI, "volts", 12_000), (DISPENSER, "ready", 1)]
)
def test_what_is_played_is_understood_where_it_is_right(plan: DevicePlan, at: str, count: int) -> None:
    bench, _ = play(plan, [], [])
    for _ in range(150):
        bench.turn()
    assert (bench.value(at), bench.quality(at)) == (count, "good")


def check_scale(speech: Speech, wrong: Wrong) -> None:
    bench, said = play(SICS, speech, wrong)
    for _ in range(150):
        bench.turn()
        if bench.device.latest[1][1] != NEVER:
            weights = re.findall(rb"S [SD] +(-?[0-9.]+) g", said)
            found = {
                int(Decimal(text.decode()) * 100) for text in weights if re.fullmatch(rb"-?\d+(\.\d*)?", text)
            }
            assert bench.value("weight") in found


def check_tags(speech: Speech) -> None:
    bench, said = play(TAGS, speech, [])
    for _ in range(150):
        bench.turn()
        number = bench.value("tag")
        assert number == 0 or em4100_frame(number) in said.upper()
        assert number < 1 << 29


def check_lines(speech: Speech) -> None:
    bench, said = play(LINES, speech, [])
    for _ in range(150):
        bench.turn()
        lines = re.split(rb"[\r\n]", said.replace(b" ", b""))
        assert bench.value("code") in {int(line) for line in lines if re.fullmatch(rb"[0-9]{1,8}", line)} | {
            0
        }


of_scale = given(speech=speech_of(SICS_LINES), wrong=wrong_of(SICS_LINES))
of_tags = given(speech=speech_of(TAG_FRAMES))
of_lines = given(speech=speech_of(READER_LINES))
some = settings(max_examples=30, deadline=None)
many = settings(max_examples=3000, deadline=None)

test_a_scale = some(of_scale(check_scale))
test_a_tag_reader = some(of_tags(check_tags))
test_a_line_reader = some(of_lines(check_lines))
test_a_scale_for_long = pytest.mark.soak(many(of_scale(check_scale)))
test_a_tag_reader_for_long = pytest.mark.soak(many(of_tags(check_tags)))
test_a_line_reader_for_long = pytest.mark.soak(many(of_lines(check_lines)))


@pytest.mark.parametrize(("plan", "good"), [(SCPI, SCPI_LINES), (DISPENSER, DISPENSER_FRAMES)])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_devices_with_outputs(plan: DevicePlan, good: list[bytes], data: st.DataObject) -> None:
    bench, _ = play(plan, data.draw(speech_of(good)), data.draw(wrong_of(good)))
    counts = [0] * len(bench.device.outputs)
    for k in range(120):
        counts[k % len(counts)] = data.draw(st.integers(0, 1)) if k % 10 == 0 else counts[k % len(counts)]
        bench.device.drive(counts)
        bench.turn()
        if k % 40 == 0:
            bench.device.link.rearm()
        for point, (count, at) in zip(bench.device.inputs, bench.device.latest, strict=True):
            assert at == NEVER or point.low <= count <= point.high
