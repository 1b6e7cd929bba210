"""Lines of a printer or router out of pieces, and what a flood leaves of them."""

from board.gcode_input import FLOODED_MS, MOST_ANSWER, AnswerLines


def test_lines_come_whole_whatever_the_pieces() -> None:
    lines = AnswerLines([])
    assert lines.feed(b"ok\r\n\r\nT:2", 0) == [b"ok"]
    assert lines.feed(b"0\nok", 0) == [b"T:20"]
    lines.forget()
    assert lines.feed(b"\nok\n", 0) == [b"ok"]


def test_the_rest_of_a_line_that_was_too_long_is_none_and_the_line_before_it_is_one() -> None:
    troubles: list[str] = []
    lines = AnswerLines(troubles)
    assert lines.feed(b"ok\n" + b"9" * (MOST_ANSWER + 1), 1000) == [b"ok"]
    assert troubles == [f"more than {MOST_ANSWER} bytes without an end of line"]
    assert lines.feed(b"ok 99\nok\n", 1001) == [b"ok"]
    assert lines.is_flooded(1000 + FLOODED_MS - 1)
    assert not lines.is_flooded(1000 + FLOODED_MS)
