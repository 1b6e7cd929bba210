"""Records a running cell into a file, and replays such a file against the cell directory it came from."""

import glob
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cell_controller.core import trace
from cell_controller.core.controller import Controller
from cell_controller.errors import TraceFileError

if TYPE_CHECKING:
    from cell_controller.cpython.runtime import Runtime

SEGMENT_BYTES = 8 << 20  # at 100 scans a second and a small cell, about half an hour
KEEP_SEGMENTS = 8
BUFFER = 1 << 16


def equipment_sha256(directory: Path) -> str:
    """What tells one equipment.py from another; "" where a cell has none."""
    path = directory / "equipment.py"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


class FileRecorder:
    """Writes a trace while the cell runs. A file that cannot be written ends the trace, never the cell.

    When a file is larger than `segment_bytes` the trace goes on in the next one (path.0001, path.0002 ...) as soon as
    no item is in work; of all files the newest `keep_segments` are kept. Each one can be replayed by itself.
    """

    def __init__(
        self,
        path: Path,
        controller: Controller,
        journal: list[bytes],
        equipment: str,
        book: bytes = b"",
        segment_bytes: int = SEGMENT_BYTES,
        keep_segments: int = KEEP_SEGMENTS,
    ) -> None:
        """`journal`, `book`: what the controller's order book was made of, see `journal_of`. Raises OSError."""
        self._path = path
        self._segment_bytes = segment_bytes
        self._keep = max(1, keep_segments)
        self._full = False
        self._number = 0
        self._ended = False
        self.error = ""
        for old in segments(path):
            old.unlink()
        self._files = [path]
        self._file = path.open("wb", buffering=BUFFER)
        self._controller = controller
        self._recorder = trace.Recorder(controller, self._write, journal, equipment, book)

    def _write(self, data: bytes) -> None:
        # Requests and recipes are written while the controller takes them: an error here must not reach it.
        try:
            self._file.write(data)
        except OSError as error:
            self.error = str(error)
            self._controller.tap = None

    def observe(self, runtime: "Runtime", records: list[bytes]) -> None:
        """After each scan."""
        if self._ended:
            return
        recorder = self._recorder
        recorder.scanned(records)
        try:
            if recorder.digest.scans % trace.EVERY == 0:
                self._full = self._file.tell() >= self._segment_bytes
            if self._full and recorder.may_turn():
                self._turn()
        except OSError as error:
            self.error = str(error)
        if self.error:
            self._ended = True
            self._controller.tap = None
            runtime.say(f"trace: {self.error}; the trace ends here, the cell goes on")

    def _turn(self) -> None:
        """The next segment; the oldest goes when there are too many."""
        self._number += 1
        self._full = False
        path = self._path.with_name(f"{self._path.name}.{self._number:04d}")
        self._recorder.checkpoint()
        former = self._file
        self._file = path.open("wb", buffering=BUFFER)
        former.close()
        self._recorder.turn(self._write)
        self._files.append(path)
        while len(self._files) > self._keep:
            self._files.pop(0).unlink(missing_ok=True)

    def close(self) -> None:
        """The last checkpoint, and the end of the file."""
        try:
            if not self.error:
                self._recorder.checkpoint()
            self._file.close()
        except OSError as error:
            self.error = str(error)


class _Store(Protocol):
    """What of a journal a trace needs."""

    def last_snapshot(self) -> tuple[int, bytes] | None: ...
    def replay(self, from_seq: int = 1) -> Iterator[tuple[int, int, bytes]]: ...


def journal_of(store: _Store) -> tuple[list[bytes], bytes]:
    """What a controller's order book is made of: the records after the journal's snapshot, and that snapshot."""
    told = store.last_snapshot()
    first, book = (1, b"") if told is None else (told[0] + 1, told[1])
    return [record for _, _, record in store.replay(first)], book


def segments(path: Path) -> list[Path]:
    """The files of a trace that are there, oldest first; a segment given by its own name is alone."""
    later = sorted(
        (int(entry.suffix[1:]), entry)
        for entry in path.parent.glob(f"{glob.escape(path.name)}.*")
        if entry.suffix[1:].isdigit()
    )
    return [*([path] if path.exists() else []), *(entry for _, entry in later)]


def _header(path: Path) -> dict[str, Any]:
    """Raises TraceFileError, naming the file, if it does not start as a trace does."""
    try:
        with path.open("rb") as file:
            trace.read_magic(file.read)
            told = trace.read_entry(file.read)
        if told is None or told[0] != b"H":
            raise TraceFileError(f"{path} has no header; it was not recorded to its first scan")
        return trace.header_of(told[1])
    except trace.TraceError as error:
        raise TraceFileError(f"{path}: {error}") from error
    except OSError as error:
        raise TraceFileError(f"{path} cannot be read: {error.strerror}") from error


def replay(path: str | Path, directory: str | Path) -> dict[str, Any]:
    """Replay a trace, all of its segments, with the equipment of `directory`; says whether events and outputs were the
    same to the bit, and if not, in which file and before which scan of it they first were not.

    Raises TraceFileError if a file is no trace, is damaged, or was recorded with another equipment.py.
    """
    path, directory = Path(path), Path(directory)
    files = segments(path)
    if not files:
        raise TraceFileError(f"{path} is not there; `cellctl run --trace FILE` records one")
    players = [(file, _replayed(file, directory)) for file in files]
    wrong = next(((file, player) for file, player in players if player.different_at >= 0), None)
    scans = sum(player.scans for _, player in players)
    events = sum(player.events for _, player in players)
    checked = sum(player.checked for _, player in players)
    if wrong is not None:
        where = f"{wrong[1].different_in} differ before scan {wrong[1].different_at} of {wrong[0].name}"
    else:
        where = "the same to the bit" if checked else "too short to tell: it has no checkpoint"
    torn = players[-1][1].torn
    return {
        "ok": wrong is None and checked > 0,
        "text": f"{scans} scans, {events} events, {checked} checkpoints: {where}"
        + ("; the file ends in the middle of an entry" if torn else ""),
        "scans": scans,
        "events": events,
        "checkpoints": checked,
        "segments": len(files),
        "different_at": wrong[1].different_at if wrong else -1,
        "different_in": wrong[1].different_in if wrong else "",
        "torn": torn,
        "sha256": [dict(zip(("events", "outputs"), player.digests(), strict=True)) for _, player in players],
    }


def _replayed(path: Path, directory: Path) -> trace.Player:
    from host_tools.cellfile import load_equipment

    if _header(path)["equipment"] != equipment_sha256(directory):
        raise TraceFileError(
            f"{directory / 'equipment.py'} is not the one that {path.name} was recorded with;"
            " give the cell directory of that day with --cell-dir"
        )
    equipment = load_equipment(directory)
    player = trace.Player(equipment.phases, equipment.states)
    with path.open("rb") as file:
        try:
            trace.play_all(file.read, player)
        except ValueError as error:
            raise TraceFileError(f"{path}, after scan {player.scans}: {error}") from error
    return player
