"""Files of line traces: bounded, whole up to the last entry, and what is no line trace is called by its name."""

import json
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from board import wire_trace
from board.wire_trace import LineTrace, LineTraceWriter, header_of
from cell_controller.core import trace
from cell_controller.errors import TraceFileError


class Clock:
    """Microseconds that a test sets."""

    def __init__(self) -> None:
        self.now = 5_000_000

    def __call__(self) -> int:
        return self.now


def told(path: Path) -> list[tuple[int, str, bytes]]:
    """All entries but headers."""
    return [(entry.at_us, entry.letter, entry.data) for entry in LineTrace(path) if entry.letter != "H"]


def written(path: Path, count: int = 3) -> Path:
    """A recording of `count` exchanges."""
    clock = Clock()
    writer = LineTraceWriter(path, {"device": "scale"}, clock_us=clock)
    for number in range(count):
        clock.now += 1000
        writer.note("W", b"ask %d" % number)
        clock.now += 250
        writer.note("R", bytes(range(number, 30)))
    writer.close()
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = written(tmp_path / "scale.line", 2)
    assert told(file) == [
        (1000, "W", b"ask 0"),
        (1250, "R", bytes(range(30))),
        (2250, "W", b"ask 1"),
        (2500, "R", bytes(range(1, 30))),
        (2500, "E", b"the recording was ended"),
    ]
    found = LineTrace(file)
    assert found.about["device"] == "scale"
    assert found.about["segment"] == 0
    assert "T" in found.about["started"]
    assert [list(found), found.notes, found.is_damaged][1:] == [[], False]


def test_an_entry_takes_17_bytes_more_than_it_says(tmp_path: Path) -> None:
    file = tmp_path / "scale.line"
    writer = LineTraceWriter(file, {})
    before = file.stat().st_size
    writer.note("W", b"12345678")
    assert file.stat().st_size - before == 8 + 17
    writer.close()


def test_every_entry_is_in_the_file_at_once(tmp_path: Path) -> None:
    """What kills the process takes nothing with it."""
    file = tmp_path / "scale.line"
    writer = LineTraceWriter(file, {})
    writer.note("R", b"last words")
    assert told(file)[-1][1:] == ("R", b"last words")
    writer.close()


def test_a_file_that_was_cut_anywhere_is_read_up_to_its_last_whole_entry(tmp_path: Path) -> None:
    file = written(tmp_path / "scale.line")
    whole, entries = file.read_bytes(), told(file)
    first = len(wire_trace.MAGIC) + 5 + int.from_bytes(whole[12:16], "little") + 4
    seen = set()
    for size in range(first, len(whole)):
        file.write_bytes(whole[:size])
        found = LineTrace(file)
        read = [(entry.at_us, entry.letter, entry.data) for entry in found if entry.letter != "H"]
        assert read == entries[: len(read)]
        assert not found.is_damaged
        if found.notes:
            assert found.notes == [f"{file} ends in the middle of an entry, after {len(read) + 1} whole ones"]
        seen.add(len(read))
    assert seen == set(range(len(entries)))


def test_a_damaged_file_is_read_up_to_the_damage_and_says_so(tmp_path: Path) -> None:
    file = written(tmp_path / "scale.line")
    whole, entries = file.read_bytes(), told(file)
    first = len(wire_trace.MAGIC) + 5 + int.from_bytes(whole[12:16], "little") + 4
    for place in range(first, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        found = LineTrace(file)
        read = [(entry.at_us, entry.letter, entry.data) for entry in found if entry.letter != "H"]
        assert read == entries[: len(read)]
        assert len(read) < len(entries)
        assert len(found.notes) == 1


def test_a_check_sum_that_is_wrong_is_damage_not_a_cut(tmp_path: Path) -> None:
    file = written(tmp_path / "scale.line")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = LineTrace(file)
    assert len(list(found)) == 7
    assert found.is_damaged
    assert found.notes == [
        f"{file} is read no further than its first 7 entries: an entry's check sum is wrong: the trace is damaged"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no line trace; `cellctl trace record` makes one"),
        (b"hello, world\n", "is no line trace; `cellctl trace record` makes one"),
        (bytes(100_000), "is no line trace"),
        (trace.MAGIC + b"H....", "is a trace of a cell's scans; `cellctl replay"),
        (wire_trace.MAGIC, "has no header; it was cut off at its very beginning"),
        (wire_trace.MAGIC + b"H\0", "has no header"),
        (wire_trace.MAGIC + trace.entry(b"W", bytes(8) + b"ask"), "has no header"),
        (wire_trace.MAGIC + trace.entry(b"H", bytes(8) + b"[]"), "has no header"),
        (wire_trace.MAGIC + trace.entry(b"H", bytes(8) + b"{"), "has no header"),
        (wire_trace.MAGIC + trace.entry(b"H", b"{}"), "cannot be read: an entry without a time"),
        (wire_trace.MAGIC + b"H\xff\xff\xff\xff" + bytes(99), "cannot be read: an entry of 4294967295 bytes"),
    ],
)
def test_what_is_no_line_trace_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(TraceFileError) as caught:
        LineTrace(file)
    assert str(caught.value).startswith(f"{file} ")
    assert said in str(caught.value)


def test_a_file_that_is_not_there_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="is not there; `cellctl trace record` makes one"):
        LineTrace(tmp_path / "none.line")


def test_a_directory_is_no_line_trace(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="cannot be read: Is a directory"):
        header_of(tmp_path)


# --- bounded ---


def test_a_long_recording_goes_on_in_the_next_file_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "scale.line"
    writer = LineTraceWriter(file, {"device": "scale"}, segment_bytes=1000, keep_segments=3)
    for number in range(100):
        writer.note("R", b"%04d" % number + bytes(96))
    writer.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3
    assert "scale.line" not in names
    assert all(path.stat().st_size < 1000 + 300 for path in tmp_path.iterdir())
    found = LineTrace(file)
    numbers = [int(entry.data[:4]) for entry in found if entry.letter == "R"]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 15
    ends = [entry.text for entry in found if entry.letter == "E"]
    assert ends == [f"goes on in {names[1]}", f"goes on in {names[2]}", "the recording was ended"]


def test_times_go_on_from_file_to_file(tmp_path: Path) -> None:
    clock = Clock()
    writer = LineTraceWriter(tmp_path / "scale.line", {}, segment_bytes=500, clock_us=clock)
    for _ in range(20):
        clock.now += 10
        writer.note("R", bytes(100))
    writer.close()
    times = [at for at, letter, _ in told(tmp_path / "scale.line") if letter == "R"]
    assert times == [10 * k for k in range(1, 21)]


def test_a_new_recording_keeps_the_files_of_the_one_before(tmp_path: Path) -> None:
    """A service that was started again after a crash must not remove what tells why."""
    file = tmp_path / "scale.line"
    for number in range(3):
        writer = LineTraceWriter(file, {}, keep_segments=2)
        writer.note("R", b"run %d" % number)
        writer.close()
    assert [data for _, letter, data in told(file) if letter == "R"] == [b"run 1", b"run 2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scale.line.0001", "scale.line.0002"]


def test_each_file_can_be_read_alone(tmp_path: Path) -> None:
    file = tmp_path / "scale.line"
    for number in range(2):
        writer = LineTraceWriter(file, {})
        writer.note("R", b"run %d" % number)
        writer.close()
    assert [data for _, letter, data in told(tmp_path / "scale.line.0001") if letter == "R"] == [b"run 1"]


# --- never in the way ---


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file can grow beyond 600 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_disk")
def test_a_file_that_cannot_be_written_ends_the_recording_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "scale.line"
    writer = LineTraceWriter(file, {})
    for _ in range(10):
        writer.note("R", bytes(100))
    assert writer.error.startswith(f"{file}: ")
    assert [record.message for record in caplog.records] == [
        f"line trace: {writer.error}; the recording ends here, the line goes on"
    ]
    writer.close()
    found = LineTrace(file)
    assert 2 <= len(list(found)) <= 6
    assert found.notes[0].startswith(f"{file} ends in the middle of an entry")


def test_a_folder_that_is_not_there_is_said_before_anything_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LineTraceWriter(tmp_path / "none" / "scale.line", {})


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_said_before_anything_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        LineTraceWriter(tmp_path / "scale.line", {"device": "x" * 600})


def test_a_recording_that_has_ended_takes_no_more(tmp_path: Path) -> None:
    file = tmp_path / "scale.line"
    writer = LineTraceWriter(file, {})
    writer.close("told to")
    writer.close()
    writer.note("R", b"late")
    assert [(letter, data) for _, letter, data in told(file)] == [("E", b"told to")]


def test_several_threads_may_write(tmp_path: Path) -> None:
    file = tmp_path / "scale.line"
    writer = LineTraceWriter(file, {}, segment_bytes=4000, keep_segments=1000)

    def some(letter: str) -> None:
        for number in range(200):
            writer.note(letter, b"%d" % number)

    threads = [threading.Thread(target=some, args=(letter,)) for letter in "RWF"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    entries = told(file)
    assert [at for at, _, _ in entries] == sorted(at for at, _, _ in entries)
    for letter in "RWF":
        assert [int(data) for _, kind, data in entries if kind == letter] == list(range(200))


def test_the_header_is_json_for_other_tools(tmp_path: Path) -> None:
    file = written(tmp_path / "scale.line")
    size = int.from_bytes(file.read_bytes()[12:16], "little")
    header = file.read_bytes()[len(wire_trace.MAGIC) + 5 :][:size]
    assert json.loads(header[8:])["device"] == "scale"
