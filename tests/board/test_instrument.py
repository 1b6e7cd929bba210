"""What an instrument's driver does with a device that answers, and with one that does not, in virtual time."""

from pathlib import Path

import pytest

from board.device_link import NEVER
from tests.board.instrument_bench import Answers, Bench, plan_of, shape_of

IDENTITY = b'I4 A "B021002593"\r\n'


class Scale:
    """Answers as a scale with MT-SICS commands, after `delay_ms`."""

    def __init__(self) -> None:
        self.answers = {b"SI": b"S S     100.00 g", b"TI": b"TI S     100.00 g", b"I4": IDENTITY.strip()}
        self.delay_ms = 5

    def __call__(self, data: bytes) -> Answers:
        answer = self.answers.get(data.strip(), b"ES")
        return [(self.delay_ms, answer + b"\r\n")] if answer else []


@pytest.fixture
def scale() -> Scale:
    return Scale()


@pytest.fixture
def bench(scale: Scale) -> Bench:
    """A scale that answers, after a Reset, with its tare off."""
    made = Bench(plan_of(shape_of("scale", model="scale_sics"), "scale"), scale)
    made.ready(0)
    made.take_written()
    return made


def test_values_and_link_are_good_while_it_answers(bench: Bench) -> None:
    assert (bench.value("weight"), bench.value("stable"), bench.value("link")) == (10_000, 1, 1)
    for _ in range(100):
        bench.turn()
        assert {bench.quality(at) for at in ("weight", "stable", "link", "tared")} == {"good"}
    assert bench.fault == ""


def test_it_asks_as_often_as_described(bench: Bench) -> None:
    bench.run(1000)
    assert 9 <= bench.take_written().count(b"SI\r\n") <= 11


def test_the_first_question_is_who_it_is_and_nothing_counts_before(scale: Scale) -> None:
    scale.answers[b"I4"] = b'I4 B "other"'
    bench = Bench(plan_of(shape_of("scale", model="scale_sics"), "scale"), scale)
    bench.run(3000)
    assert set(bench.take_written()) == {b"I4\r\n"}
    assert bench.device.latest[0] == (0, NEVER)
    assert bench.device.link.status().state == "faulted"
    wanted = "scale sent 'I4 B \"other\"', which is not what it should say to 'I4\\x0d\\x0a'; is it another device?"
    assert bench.fault == wanted


def test_a_value_is_as_old_as_its_question(scale: Scale) -> None:
    scale.delay_ms = 150
    bench = Bench(plan_of(shape_of("scale", model="scale_sics"), "scale"), scale)
    bench.run(1500)
    ages: list[int] = []
    while len(ages) < 5:
        before = bench.device.latest[1]
        bench.turn()
        if bench.device.latest[1] != before:
            ages.append(bench.line.now - bench.device.latest[1][1])
    assert min(ages) >= 150


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"S +", "answered 'SI\\x0d\\x0a': overload"),
        (b"S -", "underload"),
        (b"S I", "it cannot weigh now"),
        (b"S S      2.20 lb", "scale:weight is in 'lb', not in 'g'; switch the device back"),
        (b"S S 99999999.00 g", "outside -50000.00..50000.00; it is refused, not cut"),
    ],
)
def test_what_is_no_weight_is_bad_at_once_with_the_reason(
    bench: Bench, scale: Scale, answer: bytes, fault: str
) -> None:
    scale.answers[b"SI"] = answer
    bench.run(150)
    assert bench.quality("weight") == "bad"
    assert bench.quality("link") == "good", "it answers"
    assert fault in bench.fault
    assert bench.value("weight") == 10_000
    scale.answers[b"SI"] = b"S D     101.00 g"
    bench.run(150)
    assert (bench.value("weight"), bench.value("stable"), bench.quality("weight")) == (10_100, 0, "good")


@pytest.mark.parametrize("wrong", [b"S S 1OO.00 g", b"\xd3 S     100.00 g", b"SI", b"DAT A 26 07 2026", b""])
def test_an_answer_that_means_nothing_lets_the_value_age(bench: Bench, scale: Scale, wrong: bytes) -> None:
    scale.answers[b"SI"] = wrong
    scale.answers[b"I4"] = wrong
    bench.run(450)
    assert bench.quality("weight") == "stale"
    bench.run(700)
    assert bench.quality("weight") == "bad"
    assert bench.value("weight") == 10_000
    assert bench.device.link.status().state == "faulted"


def test_one_lost_answer_does_not_make_it_stale(bench: Bench, scale: Scale) -> None:
    answer, scale.answers[b"SI"] = scale.answers[b"SI"], b""
    bench.run(110)
    scale.answers[b"SI"] = answer
    worst = set()
    for _ in range(200):
        bench.turn()
        worst.add(bench.quality("weight"))
    assert worst <= {"good", "stale"}
    assert "no answer to 'SI\\x0d\\x0a' within 200 ms" in bench.fault
    assert bench.quality("weight") == "good"


def test_an_echo_is_no_answer(bench: Bench, scale: Scale) -> None:
    bench.line.answer = lambda data: [(1, data), *scale(data)]
    bench.run(1000)
    assert (bench.value("weight"), bench.quality("weight"), bench.fault) == (10_000, "good", "")
    bench.line.answer = lambda data: [(1, data)]
    bench.run(1500)
    assert bench.quality("weight") == "bad"


def test_a_device_that_says_that_it_was_switched_on_is_lost(bench: Bench) -> None:
    bench.line.say(IDENTITY, 50)
    bench.run(150)
    assert bench.losses == ["scale was switched off and on: it said 'I4 A \"B021002593\"'"]
    assert bench.device.link.status().waits_for_reset
    bench.run(300)
    assert bench.quality("weight") == "good", "it is there again"


def test_a_line_that_is_gone_is_bad_at_once_and_comes_back(bench: Bench) -> None:
    bench.line.broken = True
    bench.run(50)
    assert bench.quality("weight") == "bad"
    bench.line.broken = False
    began = bench.line.now
    while bench.quality("weight") != "good":
        bench.turn()
    assert bench.line.now - began < 300


def test_it_answers_only_when_every_input_could_have_a_value() -> None:
    supply = {b"*IDN?\n": b"A,B,C,D\n", b"OUTP?\n": b"0\n"}
    plan = plan_of(shape_of("psu", model="scpi_supply"), "psu", ["volts", "amps", "link"])
    bench = Bench(plan, lambda data: [(60, supply.get(data, b"1.5\n"))])
    while bench.device.link.status().state != "running":
        bench.turn()
    assert [bench.quality(at) for at in ("volts", "amps", "link")] == ["good"] * 3
    assert b"VOLT?\n" not in bench.take_written(), "no point of this cell needs it"


@pytest.mark.parametrize(
    ("trouble", "limit_ms"),
    [
        (b"", 700),
        (b"\xff\xfe", 700),
        (b"S S 1", 700),
        (b"DAT A 26 07 2026\r\n", 700),
        (b"S S 1.00 lb\r\n", 150),
    ],
)
def test_how_soon_it_is_good_again(bench: Bench, scale: Scale, trouble: bytes, limit_ms: int) -> None:
    """After silence, nonsense without an end, half a line, another's answers, another unit; bad before that."""
    bench.line.answer = lambda data: [(5, trouble)] if trouble else []
    began = bench.line.now
    while bench.quality("weight") != "bad":
        bench.turn()
    assert bench.line.now - began <= 1000 + 250
    bench.run(300)
    bench.line.answer = scale
    began = bench.line.now
    while bench.quality("weight") != "good":
        bench.turn()
    assert bench.line.now - began <= limit_ms


# --- floods ---


@pytest.mark.parametrize("junk", [b"9" * 4096, b"S S 1.00 g\r\n" * 300, b"\x00\xff" * 2048])
def test_a_flood_costs_no_memory_and_gives_no_value(bench: Bench, junk: bytes) -> None:
    for k in range(400):
        bench.line.say(junk, 5 * k)
    worst = "good"
    for _ in range(2000):
        bench.turn()
        assert bench.value("weight") == 10_000
        assert len(bench.device._talk._framer._buffer) <= 200
        worst = "bad" if bench.quality("weight") == "bad" else worst
    assert worst == "bad"
    assert "sends" in bench.fault or "no answer" in bench.fault
    bench.run(3000)
    assert bench.quality("weight") == "good"


def test_a_drivers_settings_are_plain(tmp_path: Path) -> None:
    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(entry) for key, entry in value.items())
        if isinstance(value, list):
            return all(plain(entry) for entry in value)
        return value is None or isinstance(value, (int, str, bool))

    for model in ("scale_sics", "line_reader", "rfid_em4100", "scpi_supply", "dispenser_ack"):
        assert plain(dict(shape_of("d", model=model).settings))
