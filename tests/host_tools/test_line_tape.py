"""A recorded line as a tape, in virtual time: what it says to a host that is the same, early, late or another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.wire_trace import Entry
from host_tools.line_tape import HURRY_S, MESSAGE_S, REQUEST_S, Tape, shown, steps_of


def entries(*told: tuple[float, str, bytes]) -> list[Entry]:
    """Entries as (seconds, letter, bytes)."""
    return [Entry(round(at * 1e6), letter, data) for at, letter, data in told]


POLLED = entries(
    (0.0, "O", b""),
    (1.0, "W", b"a?"),
    (1.1, "R", b"a="),
    (1.2, "R", b"1"),
    (2.0, "W", b"b?"),
    (2.3, "R", b"b=2"),
    (3.0, "W", b"c?"),
    (3.1, "R", b"c=3"),
    (4.0, "C", b""),
)


class Host:
    """A host at a tape; `says` is what it heard so far, with the time of each piece."""

    def __init__(self, told: list[Entry], speed: float = 1.0, now: float = 100.0) -> None:
        self.tape = Tape(steps_of(told), speed)
        self.now = now
        self.heard: list[tuple[float, bytes]] = []
        self.tape.opened(now)

    def wait(self, seconds: float) -> bytes:
        """What it hears meanwhile."""
        until = self.now + seconds
        before = len(self.heard)
        while True:
            if data := self.tape.take(self.now):
                self.heard.append((round(self.now - 100, 6), data))
            due = self.tape.next_due(until)
            if due >= until:
                self.now = until
                if data := self.tape.take(self.now):
                    self.heard.append((round(self.now - 100, 6), data))
                return b"".join(data for _, data in self.heard[before:])
            assert due >= self.now or self.tape.take(self.now) == b""
            self.now = max(self.now, due)

    def ask(self, data: bytes, seconds: float = 0.5) -> bytes:
        """Send, and what it hears then."""
        self.tape.heard(data, self.now)
        return self.wait(seconds)


def test_the_same_requests_get_the_same_answers_after_the_same_time() -> None:
    host = Host(POLLED)
    assert host.wait(5) == b""
    host.ask(b"a?")
    host.ask(b"b?")
    host.ask(b"c?")
    assert host.heard == [(5.1, b"a="), (5.2, b"1"), (5.8, b"b=2"), (6.1, b"c=3")]
    assert (host.tape.answered, host.tape.requests, host.tape.different) == (3, 3, 0)
    assert host.tape.over


def test_a_faster_tape_answers_sooner() -> None:
    host = Host(POLLED, speed=10)
    host.ask(b"a?")
    assert host.heard == [(0.01, b"a="), (0.02, b"1")]


def test_a_request_may_come_in_pieces_and_with_the_next_one() -> None:
    host = Host(POLLED)
    assert host.ask(b"a", 0.9) == b""
    assert host.ask(b"?b?") == b"a=1b=2"
    assert host.tape.different == 0


def test_what_the_device_says_by_itself_comes_at_its_time() -> None:
    stream = entries((0, "O", b""), *((1.0 + k / 10, "R", b"%d\n" % k) for k in range(5)))
    host = Host(stream)
    host.wait(5)
    assert host.heard == [(round(1.0 + k / 10, 6), b"%d\n" % k) for k in range(5)]
    assert host.tape.over


def test_an_early_host_gets_what_was_due_before_at_once_and_in_order() -> None:
    host = Host(POLLED)
    host.ask(b"a?", 0.05)
    host.ask(b"b?", 0.5)
    assert host.heard == [(0.05, b"a=1"), (0.35, b"b=2")]
    assert host.tape.different == 0


def test_what_lies_further_ahead_is_left_out() -> None:
    stream = [(k / 10, "R", b"%02d " % k) for k in range(1, 60)]
    host = Host(entries((0, "O", b""), *stream, (6.0, "W", b"T"), (6.1, "R", b"ok")))
    host.wait(1.0)
    heard = host.ask(b"T", 1.0)
    assert heard.endswith(b"ok")
    last = int(heard.split()[-2])
    assert last == 10 + HURRY_S * 10
    assert host.tape.different == 0


def test_another_request_is_named_and_gets_no_answer() -> None:
    host = Host(POLLED)
    assert host.ask(b"x?", 1.0) == b""
    assert host.tape.differences == ["the host sent 'x?'; at 1.000 s the recording has 'a?'"]
    assert host.ask(b"a?") == b"a=1"
    assert (host.tape.answered, host.tape.different) == (1, 1)


def test_a_request_from_further_on_is_found_and_what_was_left_out_is_said() -> None:
    host = Host(POLLED)
    assert host.ask(b"c?") == b"c=3"
    assert host.tape.differences == [
        "the host sent 'c?'; at 1.000 s the recording has 'a?', it goes on at 3.000 s, 2 requests further"
    ]


def test_what_comes_behind_a_request_from_further_on_is_matched_too() -> None:
    host = Host(POLLED)
    assert host.ask(b"b?c?", 1.0) == b"b=2c=3"
    assert host.tape.different == 1


def test_half_a_request_is_waited_for_and_then_a_difference() -> None:
    host = Host(POLLED)
    host.ask(b"a", REQUEST_S * 0.9)
    assert host.tape.different == 0
    host.wait(REQUEST_S * 0.2)
    assert host.tape.differences == ["the host sent 'a'; at 1.000 s the recording has 'a?'"]


def test_a_wrong_message_is_judged_when_it_has_ended() -> None:
    host = Host(POLLED)
    for byte in (b"x", b"y", b"z"):
        host.ask(byte, MESSAGE_S / 2)
    host.wait(1)
    assert host.tape.differences == ["the host sent 'xyz'; at 1.000 s the recording has 'a?'"]


def test_a_request_after_the_last_one_is_a_difference_while_the_device_still_speaks() -> None:
    host = Host(entries((0, "O", b""), (1, "W", b"go"), (5, "R", b"done")))
    host.ask(b"go")
    host.ask(b"go")
    assert host.tape.differences == ["the host sent 'go' where the recording has nothing more from it"]
    assert host.wait(5) == b"done"


def test_a_host_that_leaves_early_is_told_what_is_left() -> None:
    host = Host(POLLED)
    host.ask(b"a?")
    host.tape.closed()
    assert host.tape.differences == ["the host closed the line 2 requests before it did in the recording"]
    assert host.tape.over


TWICE = entries(
    (0, "O", b""),
    (1, "W", b"a?"),
    (1.1, "R", b"a=1"),
    (2, "C", b""),
    (10, "O", b""),
    (10.5, "R", b"hello"),
    (11, "W", b"a?"),
    (11.1, "R", b"a=2"),
    (12, "C", b""),
)


def test_a_line_that_was_opened_twice_is_played_twice() -> None:
    host = Host(TWICE)
    assert host.ask(b"a?") == b"a=1"
    assert host.wait(60) == b""
    host.tape.closed()
    assert host.wait(60) == b""
    host.tape.opened(host.now)
    assert host.wait(0.6) == b"hello"
    assert host.ask(b"a?") == b"a=2"
    assert host.tape.over
    assert host.tape.different == 0


def test_a_host_that_keeps_the_line_open_gets_the_second_opening_too() -> None:
    host = Host(TWICE)
    assert host.ask(b"a?") == b"a=1"
    assert host.ask(b"a?") == b"a=2"
    assert host.tape.different == 0


def test_a_device_that_hung_up_hangs_up_and_is_back_when_it_was() -> None:
    host = Host(
        entries(
            (0, "O", b""),
            (1, "W", b"a?"),
            (1.5, "X", b"gone"),
            (2, "X", b"cannot be opened"),
            (4.5, "O", b""),
            (5, "R", b"hello"),
        )
    )
    assert host.ask(b"a?", 0.4) == b""
    assert not host.tape.hangs_up(host.now)
    host.wait(0.1)
    assert host.tape.hangs_up(host.now)
    assert not host.tape.hangs_up(host.now)
    assert host.tape.back_at() == pytest.approx(host.now + 3)
    host.now += 3
    host.tape.opened(host.now)
    assert host.wait(1) == b"hello"


def test_a_device_that_hung_up_for_good_ends_the_tape() -> None:
    host = Host(entries((0, "O", b""), (1, "R", b"x"), (2, "X", b"gone"), (3, "X", b"cannot be opened")))
    host.wait(2)
    assert host.tape.hangs_up(host.now)
    assert host.tape.over


def test_what_was_thrown_away_unread_is_said_again() -> None:
    host = Host(entries((0, "O", b""), (1, "I", b"banner"), (2, "W", b"a?"), (3, "R", b"a")))
    assert host.wait(1.5) == b"banner"
    assert host.ask(b"a?", 1.5) == b"a"


def test_a_recording_that_began_on_an_open_line_has_an_opening() -> None:
    header = Entry(0, "H", b'{"segment": 3}')
    steps = steps_of([header, *entries((5, "R", b"x"), (6, "W", b"y"))])
    assert [(step.at_s, step.kind) for step in steps] == [(5, "open"), (5, "say"), (6, "hear")]


@pytest.mark.parametrize(("segment", "openings"), [(1, 1), (0, 2)])
def test_the_next_file_goes_on_and_the_next_recording_opens_anew(segment: int, openings: int) -> None:
    told = entries((0, "O", b""), (1, "R", b"x"))
    header = Entry(0, "H", b'{"segment": %d}' % segment)
    steps = steps_of([*told, header, *entries((2, "R", b"y"))])
    assert [step.kind for step in steps].count("open") == openings


def test_faults_notes_and_ends_are_not_played() -> None:
    assert steps_of(entries((0, "F", b"drop on"), (1, "N", b"text"), (2, "E", b"ended"))) == []


PIECE = st.binary(min_size=1, max_size=6)


@given(
    st.lists(st.tuples(PIECE, PIECE, st.floats(0, 3)), min_size=1, max_size=12),
    st.floats(0, 3),
    st.sampled_from([0.5, 1.0, 20.0]),
)
@settings(max_examples=60, deadline=None)
def test_any_dialogue_is_played_byte_for_byte_at_any_pace(
    dialogue: list[tuple[bytes, bytes, float]], pause_s: float, speed: float
) -> None:
    at, told = 0.0, entries((0, "O", b""))
    for question, answer, later_s in dialogue:
        told += entries((at + 0.5, "W", question), (at + 0.5 + later_s, "R", answer))
        at += 1 + later_s
    host = Host(told, speed)
    for question, answer, later_s in dialogue:
        assert host.ask(question, later_s / speed + 0.01) == answer
        host.wait(pause_s)
    assert host.tape.over
    assert host.tape.different == 0


def test_bytes_in_a_sentence_are_text_or_hex_and_not_too_many() -> None:
    assert shown(b"READ?\r\n") == "'READ?\\r\\n'"
    assert shown(b"\x01\x03\x00") == "01 03 00"
    assert shown(b"x" * 100) == f"'{'x' * 24}' … (100 bytes)"


def test_differences_are_bounded() -> None:
    host = Host(POLLED)
    for _ in range(1100):
        host.ask(b"x", MESSAGE_S * 2)
    assert host.tape.different == 1100
    assert len(host.tape.differences) == 1000
