"""The seam on real lines: each fault is seen on the wire, and without one no byte is changed."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board import line_faults
from board.line_faults import BYTE_S, DELAY_S, NOISE_BYTES
from board.seam import FAULT_TEXTS, FAULTS, Seam
from board.wire_trace import LineTrace, LineTraceWriter
from cell_controller.errors import FaultNameError, LinkLostError
from tests.board.line_peer import KINDS, Peer, join, read_all, wait_for

ANSWER = b"ANSWER\r\n"


@pytest.fixture(params=KINDS)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer(request.param, lambda data: ANSWER) as far:
        yield far


@pytest.fixture
def seam(peer: Peer) -> Iterator[Seam]:
    near = Seam("io1", peer.line())
    join(peer, near)
    yield near
    near.close()


def got(peer: Peer, data: bytes) -> None:
    """Fails unless the device gets exactly `data`."""
    wait_for(lambda: len(peer.got) >= len(data), lambda: peer.got)
    assert peer.got == data


# --- without a fault ---

PIECES = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=300)), max_size=8)


@pytest.mark.parametrize("recording", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_fault_no_byte_is_changed(kind: str, recording: bool, tmp_path: Path) -> None:
    """Random pieces both ways over one line, read in random sizes."""
    with Peer(kind) as far:
        near = Seam("io1", far.line())
        if recording:
            near.record(LineTraceWriter(tmp_path / "io1.line", {}))
        for fault in FAULTS:  # what was on and is off leaves nothing behind
            near.fault(fault, True)
            near.fault(fault, False)
        join(far, near)

        @given(PIECES, st.integers(1, 400))
        @settings(max_examples=20, deadline=None)
        def exchange(pieces: list[tuple[bool, bytes]], most: int) -> None:
            far.got, sent, said, heard = b"", b"", b"", b""
            for to_device, data in pieces:
                if to_device:
                    near.write(data)
                    sent += data
                else:
                    far.say(data)
                    said += data
            while len(heard) < len(said) and (data := near.read(most, 5)):
                assert len(data) <= most
                heard += data
            wait_for(lambda: len(far.got) >= len(sent), lambda: far.got)
            assert heard == said
            assert far.got == sent

        exchange()
        near.close()
        near.end_record()


def test_every_fault_is_off_at_first_and_none_acts_once_it_is_off_again(peer: Peer, seam: Seam) -> None:
    for fault in FAULTS:
        if fault not in ("unplug", "half_close"):  # those close the line, see below
            seam.fault(fault, True)
            seam.fault(fault, False)
    seam.write(b"ask")
    assert read_all(seam.read, len(ANSWER) + 1, 0.2) == ANSWER


# --- each fault, on the wire ---


def test_drop_loses_the_answers_and_delivers_what_is_sent(peer: Peer, seam: Seam) -> None:
    seam.fault("drop", True)
    seam.write(b"ask")
    got(peer, b"ask")
    assert read_all(seam.read, 1, 0.1) == b""
    seam.fault("drop", False)
    seam.write(b"again")
    assert read_all(seam.read, len(ANSWER)) == ANSWER


def test_delay_brings_each_answer_400_ms_late(peer: Peer, seam: Seam) -> None:
    seam.fault("delay", True)
    began = time.monotonic()
    seam.write(b"ask")
    assert read_all(seam.read, len(ANSWER)) == ANSWER
    assert time.monotonic() - began >= DELAY_S
    got(peer, b"ask")


def held_back(seam: Seam) -> None:
    """Ask, and return while the answer is held back by the fault `delay`, which a busy machine may miss."""
    seam.fault("delay", True)
    for _ in range(20):
        began = time.monotonic()
        seam.write(b"ask")
        wait_for(lambda: seam.read(100, 0) == b"" and seam._bad.pending, lambda: seam._bad.pending)
        if time.monotonic() - began < line_faults.DELAY_S:
            return
        read_all(seam.read, len(ANSWER))
    pytest.fail("this machine never looked in time")


def test_a_late_answer_is_not_forgotten_with_what_has_come(
    seam: Seam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a driver that clears its line before it asks would never meet the answer to its last question."""
    monkeypatch.setattr(line_faults, "DELAY_S", 0.2)
    held_back(seam)
    seam.flush_input()
    if seam._bad.pending:
        assert read_all(seam.read, len(ANSWER)) == ANSWER


def test_what_was_late_still_comes_when_the_fault_is_over(
    seam: Seam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_faults, "DELAY_S", 0.2)
    held_back(seam)
    seam.fault("delay", False)
    assert read_all(seam.read, len(ANSWER)) == ANSWER


def test_corrupt_flips_one_bit_of_each_answer(peer: Peer, seam: Seam) -> None:
    seam.fault("corrupt", True)
    for _ in range(3):
        seam.write(b"ask")
        answer = read_all(seam.read, len(ANSWER))
        assert len(answer) == len(ANSWER)
        assert sum((a ^ b).bit_count() for a, b in zip(answer, ANSWER, strict=True)) == 1
    got(peer, b"askaskask")


def test_duplicate_brings_each_answer_twice(peer: Peer, seam: Seam) -> None:
    seam.fault("duplicate", True)
    seam.write(b"ask")
    assert read_all(seam.read, 2 * len(ANSWER)) == 2 * ANSWER
    assert seam.read(1, 0.05) == b""
    got(peer, b"ask")


def test_garbage_brings_noise_before_each_answer(peer: Peer, seam: Seam) -> None:
    seam.fault("garbage", True)
    noise = []
    for _ in range(2):
        seam.write(b"ask")
        heard = read_all(seam.read, NOISE_BYTES + len(ANSWER))
        assert heard[NOISE_BYTES:] == ANSWER
        noise.append(heard[:NOISE_BYTES])
    assert noise[0] != noise[1]
    assert seam.read(1, 0.05) == b""
    got(peer, b"askask")


def test_slow_brings_one_byte_at_a_time(peer: Peer, seam: Seam) -> None:
    seam.fault("slow", True)
    began = time.monotonic()
    seam.write(b"ask")
    data = read_all(seam.read, 4)
    assert data == ANSWER[:4]
    assert time.monotonic() - began >= len(data) * BYTE_S
    got(peer, b"ask")


def test_half_close_ends_reading_while_what_is_sent_arrives(peer: Peer, seam: Seam) -> None:
    seam.fault("half_close", True)
    seam.write(b"ask")
    got(peer, b"ask")
    with pytest.raises(LinkLostError, match=r"is gone: fault io1\.half_close is on"):
        seam.read(100, 1)
    assert not seam.is_open
    wait_for(lambda: not peer.attached, lambda: peer.attached)
    join(peer, seam)  # unlike an unplugged line
    seam.write(b"!")
    got(peer, b"ask!")
    with pytest.raises(LinkLostError):
        seam.flush_input()
    seam.fault("half_close", False)
    wait_for(lambda: not peer.attached, lambda: peer.attached)
    join(peer, seam)
    seam.write(b"?")
    assert read_all(seam.read, len(ANSWER)) == ANSWER


def test_unplug_ends_the_line_and_keeps_it_closed(peer: Peer, seam: Seam) -> None:
    seam.fault("unplug", True)
    with pytest.raises(LinkLostError, match=r"is gone: fault io1\.unplug is on"):
        seam.write(b"lost")
    wait_for(lambda: not peer.attached, lambda: peer.attached)
    with pytest.raises(LinkLostError, match=r"cannot be opened: fault io1\.unplug is on"):
        seam.open()
    assert not seam.is_open
    assert peer.got == b""
    seam.fault("unplug", False)
    join(peer, seam)
    seam.write(b"ask")
    assert read_all(seam.read, len(ANSWER)) == ANSWER
    assert peer.got == b"ask"


def test_unplug_ends_a_read_that_hears_something(peer: Peer, seam: Seam) -> None:
    seam.fault("delay", True)  # the seam looks at every piece
    threading.Timer(0.02, seam.fault, ("unplug", True)).start()
    threading.Timer(0.05, peer.say, (b"too late",)).start()
    with pytest.raises(LinkLostError, match=r"io1\.unplug"):
        seam.read(100, 5)


def test_faults_add_up(peer: Peer, seam: Seam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_faults, "DELAY_S", 0.1)
    for fault in ("garbage", "duplicate", "delay"):
        seam.fault(fault, True)
    began = time.monotonic()
    seam.write(b"ask")
    heard = read_all(seam.read, NOISE_BYTES + 2 * len(ANSWER))
    assert heard[NOISE_BYTES:] == 2 * ANSWER
    assert time.monotonic() - began >= 0.1


def test_a_fault_acts_on_its_own_line_only() -> None:
    with Peer("tcp", lambda data: ANSWER) as one, Peer("tcp", lambda data: ANSWER) as other:
        lines = [Seam("io1", one.line()), Seam("io2", other.line())]
        lines[0].fault("drop", True)
        for line in lines:
            line.open()
            line.write(b"ask")
        assert read_all(lines[1].read, len(ANSWER)) == ANSWER
        assert read_all(lines[0].read, 1, 0.1) == b""
        for line in lines:
            line.close()


def test_a_flood_ends_in_a_full_line_not_in_a_full_memory(peer: Peer, seam: Seam) -> None:
    seam.fault("delay", True)
    peer.flood(True)
    give_up = time.monotonic() + 0.2
    while time.monotonic() < give_up:
        assert len(seam.read(10, 0.01)) <= 10
    assert seam._bad._size <= (1 << 16) + 4096


def test_an_unknown_fault_is_refused_with_those_there_are() -> None:
    with Peer("tcp") as far, pytest.raises(FaultNameError) as caught:
        Seam("io1", far.line()).fault("jam", True)
    assert "no fault 'jam' of a line" in str(caught.value)
    assert all(fault in str(caught.value) for fault in FAULT_TEXTS)


# --- what is written down ---


def letters(path: Path) -> list[tuple[str, bytes]]:
    """The entries of a line trace without their times."""
    return [(entry.letter, entry.data) for entry in LineTrace(path) if entry.letter != "H"]


def test_what_the_driver_saw_is_recorded_behind_the_faults(peer: Peer, tmp_path: Path) -> None:
    file = tmp_path / "io1.line"
    seam = Seam("io1", peer.line())
    seam.record(LineTraceWriter(file, {"device": "io1"}))
    join(peer, seam)
    seam.write(b"ask")
    assert read_all(seam.read, len(ANSWER)) == ANSWER
    seam.fault("drop", True)
    seam.write(b"more")
    assert seam.read(10, 0.05) == b""
    seam.fault("drop", False)
    seam.write(b"last")
    assert seam.read(1, 5) == ANSWER[:1]
    seam.flush_input()
    seam.close()
    seam.close()
    seam.end_record()
    assert letters(file) == [
        ("O", b""),
        ("W", b"ask"),
        ("R", ANSWER),
        ("F", b"drop on"),
        ("W", b"more"),
        ("F", b"drop off"),
        ("W", b"last"),
        ("R", ANSWER[:1]),
        ("I", ANSWER[1:]),
        ("C", b""),
        ("E", b"the recording was ended"),
    ]


def test_a_line_that_stays_away_is_recorded_once(peer: Peer, tmp_path: Path) -> None:
    file = tmp_path / "io1.line"
    seam = Seam("io1", peer.line())
    seam.record(LineTraceWriter(file, {}))
    join(peer, seam)
    peer.unplug()
    with pytest.raises(LinkLostError):
        read_all(seam.read, 1)
    for _ in range(3):
        with pytest.raises(LinkLostError):
            seam.open()
    peer.plug()
    join(peer, seam)
    seam.close()
    seam.end_record()
    told = letters(file)
    assert [letter for letter, _ in told] == ["O", "X", "X", "O", "C", "E"]
    assert b"is gone" in told[1][1]
    assert b"cannot be" in told[2][1]


def test_times_are_microseconds_since_the_recording_began(peer: Peer, tmp_path: Path) -> None:
    file = tmp_path / "io1.line"
    began = time.monotonic()
    seam = Seam("io1", peer.line())
    seam.record(LineTraceWriter(file, {}))
    join(peer, seam)
    seam.write(b"ask")
    read_all(seam.read, len(ANSWER))
    seam.close()
    took_us = (time.monotonic() - began) * 1e6
    seam.end_record()
    times = [entry.at_us for entry in LineTrace(file)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= took_us + 1e6
    assert times[-2] <= took_us


def test_a_recording_that_has_ended_is_no_burden(peer: Peer, seam: Seam, tmp_path: Path) -> None:
    file = tmp_path / "io1.line"
    seam.record(LineTraceWriter(file, {}))
    seam.end_record()
    seam.end_record()
    seam.write(b"ask")
    assert read_all(seam.read, len(ANSWER)) == ANSWER
    assert letters(file) == [("O", b""), ("E", b"the recording was ended")]
