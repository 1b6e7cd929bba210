"""No answer is ever taken for that of another question: not a late one, not one that comes twice or unasked."""

from dataclasses import replace
from pathlib import Path

import pytest

from board.device_link import NEVER
from tests.board.instrument_bench import Answers, Bench, described, plan_of

METER = """
[instrument]
name = "meter with two channels"
late_ms = 600
{identity}
[requests.a]
send = "A?\\r\\n"
every_ms = 100
answer = '{a}(?P<v>[0-9]+)'
example = "{a}1"
[requests.b]
send = "B?\\r\\n"
every_ms = 100
answer = '{b}(?P<v>[0-9]+)'
example = "{b}2"
[points.a]
kind = "counter"
from = "a"
group = "v"
[points.b]
kind = "counter"
from = "b"
group = "v"
"""
ALIKE = METER.format(identity='[identity]\nsend = "WHO\\r\\n"\nanswer = "METER"', a="", b="")
TOLD_APART = METER.format(identity="", a="A", b="B")


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("delay_ms", [150, 210, 260, 390, 410, 590, 900, 3000])
def test_a_late_answer_is_never_taken_for_another_questions(
    tmp_path: Path, alike: bool, delay_ms: int
) -> None:
    """The device answers in order, now and then so late; a and b look the same, or are told apart by a letter."""
    letters = (b"", b"") if alike else (b"A", b"B")
    known = {b"A?\r\n": letters[0] + b"111", b"B?\r\n": letters[1] + b"222", b"WHO\r\n": b"METER"}
    late_ms = 0
    said_at = 0

    def answer(data: bytes) -> Answers:
        nonlocal said_at
        said_at = max(said_at, meter.line.now + 5 + late_ms)
        return [(said_at - meter.line.now, known[data] + b"\r\n")]

    meter = Bench(plan_of(described(tmp_path, ALIKE if alike else TOLD_APART), "meter"), answer)
    meter.run(1500)
    assert (meter.value("a"), meter.value("b"), meter.quality("a")) == (111, 222, "good")
    for phase in range(8):
        late_ms = delay_ms if phase % 2 == 0 else 0
        until = meter.line.now + 1300
        while meter.line.now < until:
            meter.turn()
            assert (meter.value("a"), meter.value("b")) == (111, 222)
    if delay_ms < 600:
        assert meter.quality("a") == "good", "it is in step again"
    meter.run(4000)
    assert (meter.value("a"), meter.value("b"), meter.quality("a")) == (111, 222, "good")


@pytest.mark.parametrize("after_ms", [0, 1, 6, 12, 30, 70, 140])
def test_what_a_device_says_twice_is_never_taken_for_another_answer(tmp_path: Path, after_ms: int) -> None:
    known = {b"A?\r\n": b"111\r\n", b"B?\r\n": b"222\r\n", b"WHO\r\n": b"METER\r\n"}
    twice = True

    def answer(data: bytes) -> Answers:
        once = [(5, known[data])]
        return [*once, (5 + after_ms, known[data])] if twice else once

    meter = Bench(plan_of(described(tmp_path, ALIKE), "meter"), answer)
    for _ in range(400):
        meter.turn()
        assert meter.value("a") in (0, 111)
        assert meter.value("b") in (0, 222)
    twice = False
    meter.run(2000)
    assert (meter.value("a"), meter.value("b"), meter.quality("a")) == (111, 222, "good")


@pytest.mark.parametrize("grain_ms", [1, 40])
@pytest.mark.parametrize("offset_ms", range(0, 100, 7))
def test_a_number_that_nobody_asked_for_is_never_taken_for_an_answer(
    tmp_path: Path, offset_ms: int, grain_ms: int
) -> None:
    """Somebody presses the key of the meter that sends its reading, at any moment of a round; an adapter hands on what
    came every so many ms."""
    known = {b"A?\r\n": b"111\r\n", b"B?\r\n": b"222\r\n", b"WHO\r\n": b"METER\r\n"}

    def handed_on(at: int) -> int:
        return -(-at // grain_ms) * grain_ms - meter.line.now

    meter = Bench(
        plan_of(described(tmp_path, ALIKE), "meter"),
        lambda data: [(handed_on(meter.line.now + 13), known[data])],
    )
    meter.run(1000)
    began = meter.line.now
    for k in range(20):
        meter.line.say(b"999\r\n", handed_on(began + 301 * k + offset_ms))
    for _ in range(600):
        meter.turn()
        assert (meter.value("a"), meter.value("b")) == (111, 222)
    assert meter.quality("a") == "good"


def test_an_answer_with_more_before_the_identity_does_not_count(tmp_path: Path) -> None:
    """Its true answer comes in one piece with the identity."""
    known = {b"A?\r\n": b"999\r\n", b"B?\r\n": b"222\r\n", b"WHO\r\n": b"111\r\nMETER\r\n"}
    meter = Bench(plan_of(described(tmp_path, ALIKE), "meter"), lambda data: [(5, known[data])])
    meter.run(3000)
    assert b"A?\r\n" in meter.take_written()
    assert [at for _, at in meter.device.latest] == [NEVER] * 3


def test_one_who_asks_on_after_a_late_answer_is_misled(tmp_path: Path) -> None:
    """The devices of the tests above are as nasty as they say."""
    known = {b"A?\r\n": b"111\r\n", b"B?\r\n": b"222\r\n", b"WHO\r\n": b"METER\r\n"}
    bench = Bench(plan_of(described(tmp_path, ALIKE), "meter"), lambda data: [(210, known[data])])
    talk = bench.device._talk
    bench.line.open()
    talk.begin()
    assert talk.ask(replace(bench.device._requests["a"], alike=False)) is None
    answer = talk.ask(replace(bench.device._requests["b"], alike=False))
    assert answer is not None
    assert answer.groups == {"v": "111"}
