"""Lines to and from a Marlin printer."""

import pytest

from board.marlin_lines import Answer, answer, check, numbered, word_of


def test_numbered_line_has_the_checksum_of_the_reference() -> None:
    # the example of the RepRap wiki's page on G-code: N3 T0*57
    assert numbered(3, b"T0") == b"N3 T0*57\n"
    assert numbered(4, b"G92 E0") == b"N4 G92 E0*67\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"G1 X1 Y2.5 E0.1 F3000", ""),
        (b"M117 Layer 3 of 7", ""),
        (b"T0", ""),
        (b"m104 S200", ""),
        (b"N10 G1 X1*33", "line number"),
        (b"M0 Click", "waits for a person"),
        (b"M1", "waits for a person"),
        (b"M112", "emergency stop"),
        (b"M112 S1", "emergency stop"),
        (b"m112", "emergency stop"),
        (b"M117 see M1100", "M110"),
        (b"M110 N0", "M110"),
        (b"M117 " + b"x" * 100, "more than 81"),
        (b"hello", "no G-code"),
    ],
)
def test_lines_of_a_job_are_checked(line: bytes, said: str) -> None:
    found = check(line)
    assert (said in found) if said else not found


def test_word_is_normal_form() -> None:
    assert [word_of(line) for line in (b"G01 X1", b"g1", b"M 104 S2", b"hello")] == [
        b"G1",
        b"G1",
        b"M104",
        b"",
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"ok", Answer("ok", "ok")),
        (b"ok N123 P15 B3", Answer("ok", "ok N123 P15 B3", 123)),
        (b"Resend: 12", Answer("resend", "Resend: 12", 12)),
        (b"rs N12", Answer("resend", "rs N12", 12)),
        (b"start", Answer("start", "start")),
        (b"echo:busy: processing", Answer("busy", "echo:busy: processing")),
        (b"wait", Answer("wait", "wait")),
        (b"Cap:EMERGENCY_PARSER:1", Answer("text", "Cap:EMERGENCY_PARSER:1", capability="EMERGENCY_PARSER")),
        (b"Cap:EMERGENCY_PARSER:0", Answer("text", "Cap:EMERGENCY_PARSER:0")),
        (b"X:1.00 Y:-2.50 Z:0.30 E:0.00 Count X:80", None),
        (b" T:201.5 /200.0 B:60.0 /60.0 @:0 B@:0", None),
        (b"ok T:201.5 /200.0 B:60.0 /60.0 @:0 B@:0", None),
    ],
)
def test_answers(raw: bytes, expected: Answer | None) -> None:
    found = answer(raw)
    if expected:
        assert found == expected
    elif raw.startswith(b"X"):
        assert found.position == (100, -250, 30)
    else:
        assert (found.nozzle, found.bed) == ((2015, 2000), (600, 600))


@pytest.mark.parametrize(
    ("raw", "kind", "last"),
    [
        (b"Error:Line Number is not Last Line Number+1, Last Line: 41", "transport", 41),
        (b"Error:checksum mismatch, Last Line: 0", "transport", 0),
        (b"Error:No Checksum with line number, Last Line: 7", "transport", 7),
        (b"Error:Printer halted. kill() called!", "halt", -1),
        (b"Error:Printer stopped due to errors. Fix the error and use M999 to restart.", "stop", -1),
        (b"Error:Thermal Runaway, system stopped! Heater_ID: 0", "error", -1),
        (b"\xff\xfe\x00", "noise", -1),
        (b"<Idle|MPos:0.000,0.000,0.000|FS:0,0>", "text", -1),
    ],
)
def test_errors(raw: bytes, kind: str, last: int) -> None:
    found = answer(raw)
    assert (found.kind, found.last) == (kind, last)


def test_what_any_device_might_say_proves_nothing() -> None:
    assert not answer(b"<Idle|MPos:0.000,0.000,0.000|FS:0,0>").is_known
    assert not answer(b"hello").is_known
    assert answer(b"ok").is_known


def test_absurd_numbers_stay_bounded() -> None:
    found = answer(b"T:9e /0").nozzle, answer(b"T:" + b"9" * 60 + b" /0").nozzle
    assert found == (None, (20000, 0))
