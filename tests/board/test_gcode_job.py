"""Job files: found by key, checked, and the bytes that were hashed are those that are sent."""

import hashlib
from pathlib import Path

import pytest

from board import gcode_job
from board.gcode_job import Checking, Job, Shelf, bare, key_of
from board.marlin_lines import check
from cell_controller.errors import DeviceError


def put(folder: Path, name: str, data: bytes) -> int:
    (folder / name).write_bytes(data)
    return key_of(hashlib.sha256(data).hexdigest())


def load(folder: Path, key: int) -> Job:
    checking = Checking(*Shelf(folder).take(key), check)
    while True:
        job = checking.step()
        if job is not None:
            return job


def test_a_file_is_found_by_its_key_whatever_it_is_called(tmp_path: Path) -> None:
    put(tmp_path, "other.gcode", b"G1 X1\n")
    key = put(tmp_path, "part.gcode", b"; by a slicer\nG28 ; home\n\nG1 X1 (a) Y2\r\nM117 hi")
    job = load(tmp_path, key)
    assert (job.name, job.key) == ("part.gcode", key)
    assert job.lines == [b"G28", b"G1 X1  Y2", b"M117 hi"]
    assert job.numbers == [2, 4, 5]
    assert int(job.sha256[:7], 16) == key


def test_a_missing_file_is_named_by_folder_and_key(tmp_path: Path) -> None:
    with pytest.raises(
        DeviceError, match=rf"no file in {tmp_path.name}/ has a sha256 that begins with 0000001"
    ):
        Shelf(tmp_path).take(1)
    with pytest.raises(DeviceError, match="make it"):
        Shelf(tmp_path / "none").take(1)


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    key = put(tmp_path, "part.gcode", b"G1 X1\n")
    shelf = Shelf(tmp_path)
    shelf.take(key)
    (tmp_path / "part.gcode").write_bytes(b"G1 X200\n")
    with pytest.raises(DeviceError, match=r"part\.gcode was changed"):
        shelf.take(key)


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = put(tmp_path, "part.gcode", b"G1 X1\n")
    reads = iter([b"G1 X1\n", b"G1 X2\n"])
    monkeypatch.setattr(gcode_job, "_read", lambda path: next(reads))
    with pytest.raises(DeviceError, match="while it was read"):
        Shelf(tmp_path).take(key)


def test_two_contents_with_one_key_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.gcode", b"G1 X1\n")
    put(tmp_path, "b.gcode", b"G1 X2\n")
    monkeypatch.setattr(gcode_job, "key_of", lambda sha256: 5)
    with pytest.raises(DeviceError, match=r"a\.gcode, b\.gcode"):
        Shelf(tmp_path).take(5)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GCDE\0\1\2", "binary"),
        (b"G1 X1\nM112\n", "line 2 'M112': is the emergency stop"),
        (b"G1 X1\n\n\nG1 \xff\n", "line 4"),
        (b"; nothing\n", "no line to carry out"),
        (b"", "no line to carry out"),
    ],
)
def test_what_is_no_job_is_refused_with_its_line(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        load(tmp_path, put(tmp_path, "part.gcode", data))


def test_a_file_that_is_too_big_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcode_job, "MOST_BYTES", 10)
    key = put(tmp_path, "part.gcode", b"G1 X1\nG1 X2\n")
    with pytest.raises(DeviceError, match="no file"):
        Shelf(tmp_path).take(key)


def test_a_long_file_is_checked_in_steps_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcode_job, "STEP_BYTES", 100)
    data = b"".join(b"G1 X%d\n" % number for number in range(1000))
    checking = Checking("part.gcode", "0" * 64, data, check)
    steps = 1
    while (job := checking.step()) is None:
        steps += 1
    assert steps > 50
    assert b"".join(line + b"\n" for line in job.lines) == data


def test_progress_is_whole_only_for_who_knows(tmp_path: Path) -> None:
    job = load(tmp_path, put(tmp_path, "part.gcode", b"G1 X1\nG1 X2\n"))
    assert [job.progress(done) for done in (0, 1, 2)] == [0, 500, 999]


def test_bare_lines() -> None:
    lines = (b" G1\tX1 ; a", b"(x) G0 (y)", b"; x", b"\r", b"G1 X1 (a;b)Y2", b"G0 ; (a")
    assert [bare(line) for line in lines] == [b"G1 X1", b"G0", b"", b"", b"G1 X1 Y2", b"G0"]
