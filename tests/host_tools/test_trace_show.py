"""`cellctl trace show`, and what can be typed wrong with all three commands."""

import json
import os
import pty
import socket
from pathlib import Path
from typing import Any

import pytest

from board.transport import SerialSettings, SerialTransport
from board.wire_trace import LineTraceWriter
from host_tools.output import DONE, NOT_REACHABLE, USAGE
from tests.host_tools.trace_rig import code_of


def shown_trace(folder: Path) -> Path:
    """A line trace with something of everything, and a fixed clock."""
    clock = [0]
    file = folder / "scale.line"
    about = {
        "device": "scale",
        "address": "/dev/ttyUSB0",
        "baud": 9600,
        "bits": 7,
        "parity": "even",
        "stop_bits": 1,
    }
    writer = LineTraceWriter(file, about, clock_us=lambda: clock[0])
    told: list[tuple[int, str, bytes | str]] = [
        (0, "O", b""),
        (500_000, "W", b"?\r\n"),
        (520_000, "R", b"ST,GS,+0012.34kg\r\n"),
        (12_800_000, "F", "drop on"),
        (12_900_000, "I", b"\x00\x01"),
        (13_000_000, "X", "/dev/ttyUSB0 is gone: it hung up"),
    ]
    for clock[0], letter, data in told:
        writer.note(letter, data)
    writer.close()
    return file


def test_a_trace_is_shown_with_times_directions_hex_text_and_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shown_trace(tmp_path)
    assert code_of(["show", str(file)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("scale at /dev/ttyUSB0, 9600 baud 7E1, since 2")
    assert lines[4].startswith("                      0d 0a")
    assert lines[5].startswith("              … 12.3 s of silence, until ")
    del lines[5], lines[0]
    assert lines == [
        "     0.000000  opened",
        "     0.500000 >    3  3f 0d 0a                                         ?..",
        "     0.520000 <   18  53 54 2c 47 53 2c 2b 30 30 31 32 2e 33 34 6b 67  ST,GS,+0012.34kg",
        "                      0d 0a                                            ..",
        "    12.800000  fault drop on",
        "    12.900000 x    2  00 01                                            ..",
        "    13.000000  lost /dev/ttyUSB0 is gone: it hung up",
        "    13.000000  end the recording was ended",
    ]
    assert all(len(line) <= 88 for line in lines)


def test_showing_may_begin_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["show", str(shown_trace(tmp_path)), "--since", "12.85"]) == DONE
    assert [line[:16].strip() for line in capsys.readouterr().out.splitlines()[1:]] == [
        "12.900000 x",
        "13.000000  l",
        "13.000000  e",
    ]


def test_with_json_every_entry_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["show", str(shown_trace(tmp_path)), "--json", "--since", "0.5"]) == DONE
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert told["about"]["address"] == "/dev/ttyUSB0"
    assert told["entries"][:2] == [
        {"t_us": 500_000, "what": "written", "hex": "3f0d0a", "text": "?\r\n"},
        {
            "t_us": 520_000,
            "what": "read",
            "hex": b"ST,GS,+0012.34kg\r\n".hex(),
            "text": "ST,GS,+0012.34kg\r\n",
        },
    ]
    assert [entry["what"] for entry in told["entries"][2:]] == ["fault", "forgotten", "lost", "end"]


def test_a_file_that_was_cut_is_shown_to_its_last_entry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shown_trace(tmp_path)
    file.write_bytes(file.read_bytes()[:-3])
    assert code_of(["show", str(file)]) == DONE
    captured = capsys.readouterr()
    assert "lost /dev/ttyUSB0 is gone" in captured.out
    assert captured.err == f"{file} ends in the middle of an entry, after 7 whole ones\n"


def test_a_damaged_file_is_shown_to_the_damage_and_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shown_trace(tmp_path)
    whole = file.read_bytes()
    place = whole.index(b"drop on")
    file.write_bytes(whole[:place] + b"D" + whole[place + 1 :])
    assert code_of(["show", str(file)]) == USAGE
    captured = capsys.readouterr()
    assert "ST,GS,+0012.34kg" in captured.out
    assert "drop on" not in captured.out
    assert "is read no further than its first 4 entries: an entry's check sum is wrong" in captured.err
    assert code_of(["show", str(file), "--json"]) == USAGE
    assert json.loads(capsys.readouterr().out)["ok"] is False


# --- what can be typed wrong, or is not there ---


def test_a_port_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.line"
    assert code_of(["record", "/dev/ttyNOWHERE", "--to", str(file)]) == NOT_REACHABLE
    assert capsys.readouterr().err == (
        "cellctl: /dev/ttyNOWHERE cannot be opened: there is no such port; plug the device in\n"
    )
    assert not file.exists()


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far, near = pty.openpty()
    user = SerialTransport(os.ttyname(near), SerialSettings())
    user.open()
    assert code_of(["record", os.ttyname(near), "--to", str(tmp_path / "x.line")]) == NOT_REACHABLE
    assert "another program has it open; close that one" in capsys.readouterr().err
    user.close()
    os.close(far)
    os.close(near)


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert code_of(["record", f"tcp://127.0.0.1:{port}", "--to", str(tmp_path / "x")]) == NOT_REACHABLE
    assert f"tcp://127.0.0.1:{port} cannot be reached: Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["record", "udp://x:5", "--to", "FILE"], "address 'udp://x:5' is neither a port such as"),
        (["record", "tcp://x", "--to", "FILE"], "address 'tcp://x' is not tcp://HOST:PORT"),
        (
            ["record", "tcp://x:5", "--baud", "9600", "--to", "FILE"],
            "--baud is for a serial port, not for tcp",
        ),
        (["record", "tcp://x:5", "--stop-bits", "2", "--to", "FILE"], "--stop-bits is for a serial port"),
        (["record", "/dev/x", "--baud", "fast", "--to", "FILE"], "'fast' is no number of bits a second"),
        (["record", "/dev/x", "--baud", "1", "--to", "FILE"], "'1' is no number of bits a second in 50.."),
        (["record", "/dev/x", "--parity", "mark", "--to", "FILE"], "choose from 'none', 'even', 'odd'"),
        (["record", "/dev/x", "--to", "THERE"], "THERE is there already; give another name, or remove it"),
        (["record", "/dev/x"], "--to"),
        (["replay", "THERE", "--speed", "0"], "0 is outside 0.1..1000"),
        (["replay", "THERE", "--at", "/no/such/dir/port"], "there is no directory /no/such/dir"),
        (["replay", "THERE", "--at", "THERE"], "THERE is there already; give another path, or remove it"),
        (["replay", "TCP", "--at", "/tmp/x"], "--at /tmp/x is no port number; for a device on TCP it is one"),
        (["replay", "TCP", "--at", "70000"], "--at 70000 is no port number"),
        (["replay", "EMPTY"], "EMPTY has no byte to play; `cellctl trace show EMPTY` shows what it has"),
        (["replay", "NONE"], "NONE is not there; `cellctl trace record` makes one"),
        (["show", "NONE"], "NONE is not there; `cellctl trace record` makes one"),
        (["show", "OTHER"], "OTHER is no line trace; `cellctl trace record` makes one"),
        (["replay", "OTHER"], "OTHER is no line trace"),
        (["show", "SCANS"], "SCANS is a trace of a cell's scans; `cellctl replay SCANS` plays it"),
        (["show", "THERE", "--since", "-1"], "-1 is no number of seconds from 0 on"),
        (["show", "THERE", "--since", "noon"], "'noon' is not a number"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_do(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("OTHER").write_text("hello\n")
    Path("SCANS").write_bytes(b"CELLTRACE1\nH")
    for name, address in (("THERE", "/dev/x"), ("TCP", "tcp://x:5"), ("EMPTY", "/dev/x")):
        writer = LineTraceWriter(Path(name), {"address": address})
        if name != "EMPTY":
            writer.note("R", b"x")
        writer.close()
    assert code_of(words) == USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cellctl: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_a_tcp_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = LineTraceWriter(tmp_path / "x.line", {"address": "tcp://x:5"})
    writer.note("R", b"x")
    writer.close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert code_of(["replay", str(tmp_path / "x.line"), "--at", port]) == USAGE
    assert f"--at {port}: the port cannot be had: Address already in use" in capsys.readouterr().err
