"""`cellctl trace record` and `replay`: a device is recorded at a real line and played to a program as it was."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.transport import SerialSettings, Transport, transport
from board.wire_trace import LineTrace, LineTraceWriter
from cell_controller.errors import LinkLostError
from host_tools.output import DONE, INTERRUPTED, REFUSED, USAGE, ToolError
from host_tools.wire_record import WireRecorder
from host_tools.wire_replay import WirePlayer
from tests.board.line_peer import KINDS, Peer, read_all, wait_for
from tests.host_tools.trace_rig import Recording, Running, Scale, dialogue, letters, opens, recorded


@pytest.fixture
def running(capsys: pytest.CaptureFixture[str]) -> Running:
    return Running(capsys)


@pytest.fixture(params=KINDS)
def device(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer(request.param, Scale()) as far:
        yield far


# --- there and back ---


def test_a_recorded_device_answers_a_program_as_the_real_one_did(
    device: Peer, tmp_path: Path, running: Running
) -> None:
    file = str(tmp_path / "scale.line")
    direct: list[list[bytes]] = []
    code = running.run(
        ["record", device.address, "--to", file], lambda address: direct.append(dialogue(address))
    )
    assert code == DONE
    assert direct == [[b"0001 kg\r\n", b"0002 kg\r\n", b"0003 kg\r\n"]]
    assert device.got == b"?0\r\n?1\r\n?2\r\n"
    assert "12 bytes to the device, 27 from it, 0 losses" in running.out
    device.stop()
    running.out = ""
    played: list[list[bytes]] = []
    code = running.run(
        ["replay", file, "--strict", "--speed", "10"],
        lambda address: played.append(dialogue(address)),
        ctrl_c=False,
    )
    assert code == DONE
    assert played == direct
    assert "3 of 3 requests as recorded, 0 differences" in running.out


def test_the_offered_address_is_of_the_kind_of_the_recorded_one(device: Peer, tmp_path: Path) -> None:
    file = tmp_path / "scale.line"
    with WireRecorder(device.address, SerialSettings(), file, tell=lambda text: None) as recorder:
        offered = recorder.address
    writer = LineTraceWriter(tmp_path / "b.line", {"address": device.address})
    writer.note("R", b"x")
    writer.close()
    with WirePlayer(tmp_path / "b.line") as player:
        for address in (offered, player.address):
            assert address.startswith("tcp://127.0.0.1:") == device.address.startswith("tcp://")
    assert offered != device.address


def test_a_program_that_does_otherwise_is_told_and_strict_makes_it_an_error(
    tmp_path: Path, running: Running
) -> None:
    file = recorded(tmp_path)

    def program(address: str) -> None:
        line = transport(address)
        line.open()
        line.write(b"wrong\r\n")
        wait_for(lambda: "the host sent" in running.said(), running.said)
        assert line.read(10, 0) == b""
        line.write(b"?\r\n")
        assert read_all(line.read, 2) == b"ok"
        line.close()

    assert running.run(["replay", file], program, ctrl_c=False) == DONE
    assert "the host sent 'wrong\\r\\n'; at 0.010 s the recording has '?\\r\\n'" in running.out
    assert "1 of 1 requests as recorded, 1 differences" in running.out
    running.out = ""
    assert running.run(["replay", file, "--strict"], program, ctrl_c=False) == REFUSED


def test_a_replay_that_was_ended_before_its_end_says_so(tmp_path: Path, running: Running) -> None:
    def program(address: str) -> None:
        line = transport(address)
        line.open()
        line.close()

    two = recorded(tmp_path, sessions=2)
    assert running.run(["replay", two], program) == INTERRUPTED
    assert "0 of 2 requests as recorded" in running.out


def test_with_json_there_is_one_object_and_the_place_is_chosen(tmp_path: Path, running: Running) -> None:
    file, at = recorded(tmp_path), str(tmp_path / "port")

    def program(address: str) -> None:
        line = transport(address)
        line.open()
        line.write(b"?\r\n")
        assert read_all(line.read, 2) == b"ok"
        line.close()

    assert running.run(["replay", file, "--at", at, "--json"], program, at=at, ctrl_c=False) == DONE
    told = json.loads(running.out)
    assert (told["ok"], told["requests"], told["answered"], told["over"]) == (True, 1, 1, True)
    assert not os.path.lexists(at)


# --- recording ---


def test_every_byte_goes_both_ways_and_into_the_file(device: Peer, tmp_path: Path) -> None:
    every_byte = bytes(range(256)) * 20
    device.answer = lambda data: data
    file = tmp_path / "io1.line"
    with Recording(device, file) as recording:
        line = transport(recording.recorder.address)
        line.open()
        line.write(every_byte)
        assert read_all(line.read, len(every_byte)) == every_byte
        line.close()
        wait_for(lambda: "the program has closed the line" in recording.said, lambda: recording.said)
    assert device.got == every_byte
    for letter in "WR":
        assert b"".join(entry.data for entry in LineTrace(file) if entry.letter == letter) == every_byte
    assert letters(file).startswith("HOW")
    assert letters(file).endswith("CE")


def test_what_the_device_says_by_itself_is_passed_on_as_long_as_somebody_listens(
    device: Peer, tmp_path: Path
) -> None:
    file = tmp_path / "io1.line"
    with Recording(device, file) as recording:
        line = transport(recording.recorder.address)
        line.open()
        wait_for(lambda: device.attached and "opened" in str(recording.said), lambda: recording.said)
        device.say(b"unasked")
        assert read_all(line.read, 7) == b"unasked"
        line.close()
    assert [entry.data for entry in LineTrace(file) if entry.letter == "R"] != []


def test_a_program_may_close_the_line_and_open_it_again(device: Peer, tmp_path: Path) -> None:
    file = tmp_path / "io1.line"
    with Recording(device, file) as recording:
        for number in (1, 2):
            assert dialogue(recording.recorder.address, 1) == [b"%04d kg\r\n" % number]
            wait_for(lambda n=number: str(recording.said).count("closed") == n, lambda: recording.said)  # type: ignore[misc]
    assert letters(file) == "HOWRCOWRCE"


def test_a_device_that_is_unplugged_is_waited_for_and_said(device: Peer, tmp_path: Path) -> None:
    file = tmp_path / "io1.line"
    with Recording(device, file) as recording:
        address = recording.recorder.address
        line = transport(address)
        line.open()
        line.write(b"?\r\n")
        assert read_all(line.read, 9) == b"0001 kg\r\n"
        device.unplug()
        with pytest.raises(LinkLostError):
            read_all(line.read, 1)
        wait_for(lambda: not opens(line), lambda: recording.said)
        assert recording.recorder.losses == 1
        device.plug()
        wait_for(lambda: "is back" in str(recording.said), lambda: recording.said)
        assert recording.recorder.address == address
        assert dialogue(address, 1) == [b"0002 kg\r\n"]
    assert recording.said[1].startswith(f"{device.address} is gone: ")
    assert recording.said[1].endswith("; it is waited for")
    assert letters(file) == "HOWRXOWRCE"


def test_a_program_that_does_not_read_loses_bytes_but_not_the_recording(tmp_path: Path) -> None:
    file = tmp_path / "io1.line"
    with Peer("pty") as device, Recording(device, file) as recording:
        line = transport(recording.recorder.address)
        line.open()
        wait_for(lambda: device.attached, lambda: recording.said)
        device.flood(True)
        wait_for(lambda: "does not read" in str(recording.said), lambda: recording.said)
        line.close()
    assert any(entry.letter == "N" and "does not read" in entry.text for entry in LineTrace(file))


def test_a_full_disk_ends_the_recording_with_its_reason(
    device: Peer, tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(LineTraceWriter):
        def _write(self, data: bytes) -> None:
            if self._size > 300:
                raise OSError(28, "No space left on device")
            super()._write(data)

    monkeypatch.setattr("host_tools.wire_record.LineTraceWriter", Full)
    file = str(tmp_path / "io1.line")

    def program(address: str) -> None:
        line = transport(address)
        line.open()

        def ask_on() -> None:
            for _ in range(100):
                line.write(b"?\r\n")
                line.read(100, 0.05)

        with pytest.raises(LinkLostError):
            ask_on()

    assert running.run(["record", device.address, "--to", file], program, ctrl_c=False) == USAGE
    assert f"cellctl: {file}: No space left on device; recorded until then: " in running.err


def test_a_recording_leaves_nothing_where_its_place_is_taken(tmp_path: Path) -> None:
    with Peer("pty") as device:
        (tmp_path / "port").write_text("")
        recorder = WireRecorder(device.address, SerialSettings(), tmp_path / "x.line", str(tmp_path / "port"))
        with pytest.raises(ToolError, match="is there already"):
            recorder.__enter__()
        wait_for(lambda: not device.attached, lambda: device.attached)
    assert [path.name for path in tmp_path.iterdir()] == ["port"]


def test_sigterm_ends_a_recording_as_ctrl_c_does(tmp_path: Path, running: Running) -> None:
    file = tmp_path / "x.line"
    former = signal.getsignal(signal.SIGTERM)
    with Peer("pty") as device:
        code = running.run(
            ["record", device.address, "--to", str(file)],
            lambda address: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM),
            ctrl_c=False,
        )
    assert code == DONE
    assert signal.getsignal(signal.SIGTERM) is former
    assert [entry.letter for entry in LineTrace(file)] == ["H", "E"]


# --- a device that is not what it was ---


def test_a_cut_file_is_played_to_its_last_entry(tmp_path: Path, running: Running) -> None:
    file = Path(recorded(tmp_path))
    file.write_bytes(file.read_bytes()[:-3])

    def program(address: str) -> None:
        line = transport(address)
        line.open()
        line.write(b"?\r\n")
        assert read_all(line.read, 2) == b"ok"
        line.close()

    assert running.run(["replay", str(file)], program, ctrl_c=False) == DONE
    assert "ends in the middle of an entry" in running.err


def hears(line: Transport, data: bytes) -> bool:
    """Whether `data` comes; not on a connection that the device's end is just closing."""
    try:
        return read_all(line.read, len(data)) == data
    except LinkLostError:
        return False


def test_a_device_that_hung_up_ends_the_line_of_the_program_and_is_back(tmp_path: Path) -> None:
    clock = [0]
    file = tmp_path / "x.line"
    writer = LineTraceWriter(file, {"address": "tcp://x:5"}, clock_us=lambda: clock[0])
    for clock[0], letter, data in (
        (0, "O", b""),
        (1000, "R", b"bye"),
        (50_000, "X", b"it closed the connection"),
        (250_000, "O", b""),
        (251_000, "R", b"hello"),
        (252_000, "C", b""),
    ):
        writer.note(letter, data)
    writer.close()
    with WirePlayer(file, tell=lambda text: None) as player:
        thread = threading.Thread(target=player.run, args=(threading.Event(),))
        thread.start()
        line = transport(player.address)
        began = time.monotonic()
        line.open()
        assert read_all(line.read, 3) == b"bye"
        with pytest.raises(LinkLostError, match="it closed the connection"):
            line.read(10, 5)
        wait_for(lambda: opens(line) and hears(line, b"hello"), lambda: line.name)
        assert time.monotonic() - began >= 0.25
        line.close()
        thread.join(5)
        assert not thread.is_alive()
    assert player.tape.different == 0
