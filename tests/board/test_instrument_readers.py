"""Devices that speak by themselves: readers of carriers, scales that stream; in virtual time."""

from pathlib import Path

import pytest

from tests.board.instrument_bench import Bench, described, plan_of, shape_of, with_keys

TAG = b"\x02010063E9AE25\x03"


def reader(**keys: int) -> Bench:
    """A reader of lines that has been open for a moment; `keys` of its signal's wiring table."""
    plan = plan_of(shape_of("reader", model="line_reader"), "reader")
    plan = with_keys(plan, "code", **keys) if keys else plan
    bench = Bench(plan)
    bench.run(100)
    return bench


def test_a_reader_shows_nothing_at_first_and_is_good() -> None:
    bench = reader()
    assert (bench.value("code"), bench.quality("code"), bench.quality("link")) == (0, "good", "good")
    bench.run(60_000)
    assert bench.quality("code") == "good"


@pytest.mark.parametrize(
    ("line", "number"),
    [(b"1234\r\n", 1234), (b" 12 34 \r", 1234), (b"0\n", 0), (b"\r\n", 0), (b"00000007\n", 7)],
)
def test_the_lines_of_a_reader(line: bytes, number: int) -> None:
    bench = reader()
    bench.line.say(b"42\r\n")
    bench.run(30)
    assert bench.value("code") == 42
    bench.line.say(line, 50)
    bench.run(100)
    assert (bench.value("code"), bench.quality("code")) == (number, "good")


@pytest.mark.parametrize(
    "line", [b"12a4\r\n", b"123456789\r\n", b"-5\r\n", b"1,5\r\n", b"\xb1234\r\n", b"x" * 99 + b"\n"]
)
def test_any_other_line_makes_the_number_stale_until_a_good_one_comes(line: bytes) -> None:
    bench = reader()
    bench.line.say(b"42\r\n")
    bench.run(100)
    bench.line.say(line)
    bench.run(30)
    assert (bench.value("code"), bench.quality("code")) == (42, "stale")
    bench.run(1200)
    assert bench.quality("code") == "bad"
    bench.line.say(b"43\r\n")
    bench.run(30)
    assert (bench.value("code"), bench.quality("code")) == (43, "good")


@pytest.mark.parametrize(("keys", "kept_ms"), [({}, 3000), ({"keep_ms": 500}, 500)])
def test_a_number_that_is_not_sent_again_is_gone(keys: dict[str, int], kept_ms: int) -> None:
    bench = reader(**keys)
    bench.line.say(b"42\r\n")
    bench.run(30)
    said_at = bench.line.now
    while bench.value("code"):
        bench.turn()
    assert kept_ms - 50 <= bench.line.now - said_at <= kept_ms + 50
    assert bench.quality("code") == "good"


def test_keep_ms_0_keeps_the_number_but_not_over_a_loss_of_the_line() -> None:
    bench = reader(keep_ms=0)
    bench.line.say(b"42\r\n")
    bench.run(600_000)
    assert (bench.value("code"), bench.quality("code")) == (42, "good")
    bench.line.broken = True
    bench.run(50)
    assert bench.quality("code") == "bad"
    bench.line.broken = False
    bench.run(300)
    assert (bench.value("code"), bench.quality("code")) == (0, "good"), "nobody knows what is there now"


@pytest.mark.parametrize("gap_ms", [0, 20, 40])
def test_a_line_that_was_joined_in_its_middle_is_not_read(gap_ms: int) -> None:
    bench = Bench(plan_of(shape_of("reader", model="line_reader"), "reader"))
    bench.line.say(b"5678\r\n", gap_ms)
    bench.line.say(b"1234\r\n", 300)
    seen = set()
    while bench.line.now < 1500:
        bench.turn()
        seen.add(bench.value("code"))
    assert seen == {0, 1234}


def test_half_a_line_and_the_rest_much_later_are_no_line() -> None:
    bench = reader()
    bench.line.say(b"12")
    bench.run(700)
    assert bench.quality("code") != "good"
    assert "half a message" in bench.fault
    bench.line.say(b"34\r\n")
    bench.run(50)
    assert bench.value("code") == 0
    bench.line.say(b"56\r\n")
    bench.run(50)
    assert bench.value("code") == 56


def test_a_tag_is_read_with_its_checksum_and_one_of_too_many_bits_is_refused() -> None:
    plan = plan_of(shape_of("tags", model="rfid_em4100"), "tags")
    bench = Bench(plan)
    bench.run(100)
    bench.line.say(TAG)
    bench.run(50)
    assert bench.value("tag") == 6547886
    bench.line.say(TAG.replace(b"25", b"26"))
    bench.run(50)
    assert (bench.value("tag"), bench.quality("tag")) == (6547886, "stale")
    bench.line.say(b"\x0201FFFFFFFF01\x03")
    bench.run(50)
    assert bench.value("tag") == 6547886
    bench.device.link.rearm()
    bench.line.say(TAG)
    bench.run(50)
    bench.device.link.rearm()
    bench.line.say(b"\x0201FFFFFFFF01\x03")
    bench.run(50)
    assert "'FFFFFFFF' is outside 0..536870911; it is refused, not cut" in bench.fault


def test_a_scale_that_sends_by_itself_goes_bad_when_it_falls_silent(tmp_path: Path) -> None:
    text = """
        [instrument]
        name = "scale that streams"
        [messages.weight]
        pattern = '(?P<w>-?[0-9.]+) (?P<u>kg|lb)'
        example = "1.5 kg"
        [points.weight]
        kind = "analog"
        from = "weight"
        group = "w"
        unit = "kg"
        unit_group = "u"
        resolution = 0.1
        range = [0, 100]
    """
    bench = Bench(plan_of(described(tmp_path, text), "scale"))
    for k in range(20):
        bench.line.say(b"2.5 kg\r\n", 100 * k)
    bench.run(1900)
    assert (bench.value("weight"), bench.quality("weight"), bench.quality("link")) == (25, "good", "good")
    bench.line.say(b"5.5 lb\r\n", 90)
    bench.run(150)
    assert (bench.value("weight"), bench.quality("weight"), bench.quality("link")) == (25, "bad", "good")
    bench.line.say(b"2.6 kg\r\n")
    bench.run(50)
    assert (bench.value("weight"), bench.quality("weight")) == (26, "good")
    bench.run(1100)
    assert bench.quality("weight") == "bad"
    assert bench.device.link.status().state == "faulted"


def test_a_weight_without_its_unit_gets_old(tmp_path: Path) -> None:
    answer = [b"+   123.56 g  "]
    bench = Bench(
        plan_of(shape_of("scale", model="scale_sbi"), "scale"),
        lambda data: [(5, answer[0] + b"\r\n")] if data == b"\x1bP\r\n" else [],
    )
    bench.ready(0)
    assert (bench.value("weight"), bench.quality("weight")) == (12356, "good")
    answer[0] = b"+   456.78    "
    bench.run(1000)
    assert (bench.value("weight"), bench.quality("weight"), bench.quality("link")) == (12356, "stale", "good")
    answer[0] = b"-     0.05 g  "
    bench.run(300)
    assert (bench.value("weight"), bench.quality("weight")) == (-5, "good")
