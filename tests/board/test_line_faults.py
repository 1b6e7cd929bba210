"""A bad line in virtual time: what goes in comes out, changed as the fault says and in no other way."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.line_faults import (
    BYTE_S,
    DELAY_S,
    FAULT_TEXTS,
    FAULTS,
    MOST_ANSWER,
    MOST_HELD,
    NOISE_BYTES,
    QUIET_S,
    BadLine,
    flipped,
)

PIECES = st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.sampled_from([0.0, 0.001, 0.02, 0.5])))
SIZES = st.integers(1, 30)


def pass_through(
    bad: BadLine, pieces: list[tuple[bytes, float]], faults: set[str], most: int
) -> list[tuple[float, bytes]]:
    """What comes out and when, of pieces that come each so many seconds after the one before it."""
    now = 0.0
    out: list[tuple[float, bytes]] = []

    def take(until: float) -> None:
        nonlocal now
        while True:
            while data := bad.take(now, most):
                out.append((now, data))
            due = bad.next_due(until)
            if due >= until:
                now = until
                return
            now = max(now, due)

    for data, pause_s in pieces:
        take(now + pause_s)
        bad.arrived(data, now, faults)
    take(now + 1000)
    return out


@given(PIECES, SIZES)
@settings(max_examples=40, deadline=None)
def test_without_a_fault_nothing_is_changed_and_nothing_waits(
    pieces: list[tuple[bytes, float]], most: int
) -> None:
    out = pass_through(BadLine("io1"), pieces, set(), most)
    assert b"".join(data for _, data in out) == b"".join(data for data, _ in pieces)
    assert all(len(data) <= most for _, data in out)
    now, arrivals = 0.0, set()
    for _, pause_s in pieces:
        now += pause_s
        arrivals.add(now)
    assert {at for at, _ in out} <= arrivals


@given(PIECES, SIZES)
@settings(max_examples=40, deadline=None)
def test_delay_changes_no_byte_and_brings_each_after_its_time(
    pieces: list[tuple[bytes, float]], most: int
) -> None:
    out = pass_through(BadLine("io1"), pieces, {"delay"}, most)
    assert b"".join(data for _, data in out) == b"".join(data for data, _ in pieces)
    came = [at for at, data in out for _ in data]
    now, due = 0.0, []
    for data, pause_s in pieces:
        now += pause_s
        due += [now + DELAY_S] * len(data)
    assert came == pytest.approx(due)


@given(PIECES, SIZES)
@settings(max_examples=40, deadline=None)
def test_slow_changes_no_byte_and_spaces_them(pieces: list[tuple[bytes, float]], most: int) -> None:
    out = pass_through(BadLine("io1"), pieces, {"slow"}, most)
    assert b"".join(data for _, data in out) == b"".join(data for data, _ in pieces)
    assert all(len(data) == 1 for _, data in out)
    times = [at for at, _ in out]
    assert all(b - a > BYTE_S * 0.999 for a, b in pairwise(times))


@given(PIECES, SIZES)
@settings(max_examples=40, deadline=None)
def test_duplicate_brings_each_answer_twice_whole(pieces: list[tuple[bytes, float]], most: int) -> None:
    out = pass_through(BadLine("io1"), pieces, {"duplicate"}, most)
    answers: list[bytes] = []
    for data, pause_s in pieces:
        if pause_s >= QUIET_S or not answers:
            answers.append(b"")
        answers[-1] += data
    assert b"".join(data for _, data in out) == b"".join(answer * 2 for answer in answers)


@given(PIECES, SIZES)
@settings(max_examples=40, deadline=None)
def test_garbage_adds_noise_before_each_answer_only(pieces: list[tuple[bytes, float]], most: int) -> None:
    out = b"".join(data for _, data in pass_through(BadLine("io1"), pieces, {"garbage"}, most))
    rest = out
    for number, (data, pause_s) in enumerate(pieces):
        if pause_s >= QUIET_S or number == 0:
            rest = rest[NOISE_BYTES:]
        assert rest.startswith(data)
        rest = rest[len(data) :]
    assert rest == b""


@given(PIECES, SIZES)
@settings(max_examples=40, deadline=None)
def test_corrupt_flips_one_bit_of_each_answer(pieces: list[tuple[bytes, float]], most: int) -> None:
    out = b"".join(data for _, data in pass_through(BadLine("io1"), pieces, {"corrupt"}, most))
    whole = b"".join(data for data, _ in pieces)
    assert len(out) == len(whole)
    answers = sum(1 for number, (_, pause_s) in enumerate(pieces) if pause_s >= QUIET_S or number == 0)
    assert sum((a ^ b).bit_count() for a, b in zip(out, whole, strict=True)) == answers


def test_every_bit_is_flipped_in_its_turn() -> None:
    assert {flipped(b"\0\0\0", number) for number in range(8)} == {
        bytes([0, 1 << bit, 0]) for bit in range(8)
    }


def test_drop_lets_nothing_through() -> None:
    assert pass_through(BadLine("io1"), [(b"abc", 0.0), (b"d", 0.5)], {"drop"}, 10) == []


def test_an_answer_ends_where_something_is_sent() -> None:
    bad = BadLine("io1")
    bad.arrived(b"one", 0.0, {"duplicate"})
    bad.asked(0.001)
    bad.arrived(b"two", 0.002, {"duplicate"})
    assert bad.take(0.002, 100) == b"oneonetwo"
    assert bad.take(0.002 + QUIET_S, 100) == b"two"
    assert not bad.pending


def test_what_never_falls_silent_is_cut_into_answers() -> None:
    bad = BadLine("io1")
    taken = 0
    for number in range(1000):
        bad.arrived(bytes(100), number / 1000, {"duplicate"})
        taken += len(bad.take(number / 1000, 1 << 20))
    assert 200_000 - 2 * MOST_ANSWER < taken <= 200_000


def test_a_line_is_full_before_it_needs_much_room() -> None:
    bad = BadLine("io1")
    pieces = 0
    while not bad.full:
        bad.arrived(bytes(4096), 0.0, {"delay", "slow"})
        pieces += 1
    assert pieces == MOST_HELD // 4096
    assert len(bad.take(DELAY_S + BYTE_S * 1.5, 100)) == 1
    assert not bad.full


def test_order_stays_when_a_delay_ends() -> None:
    bad = BadLine("io1")
    bad.arrived(b"late", 0.0, {"delay"})
    bad.arrived(b"prompt", 0.1, set())
    assert bad.take(0.1, 100) == b""
    assert bad.take(DELAY_S, 100) == b"lateprompt"


def test_a_line_that_was_opened_again_has_nothing_on_its_way() -> None:
    bad = BadLine("io1")
    bad.arrived(b"old", 0.0, {"delay", "duplicate"})
    bad.clear()
    bad.arrived(b"new", 0.1, set())
    assert bad.take(0.1, 100) == b"new"
    assert not bad.pending


def test_noise_follows_from_the_name() -> None:
    def noise(name: str) -> list[tuple[float, bytes]]:
        return pass_through(BadLine(name), [(b"a", 0.0), (b"b", 1.0)], {"garbage"}, 100)

    assert noise("io1") == noise("io1")
    assert noise("io1") != noise("scale")


def test_every_fault_has_its_text() -> None:
    assert sorted(FAULT_TEXTS) == sorted(FAULTS)
    assert len(FAULTS) == 8
