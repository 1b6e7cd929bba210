"""Line traces: files of what went over one line, byte for byte, with the time of each piece.

Layout as of the trace of a cell: MAGIC, then entries of one letter, the length of the body (4 bytes), the body, the
CRC-32 of all that (4 bytes). Every body starts with microseconds since the recording began (8 bytes). Integers are
little-endian. A file that was cut off or damaged is read up to its last whole entry before that.
"""

import errno
import json
import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from board.transport import SerialSettings
from cell_controller.core.trace import MAGIC as SCAN_MAGIC
from cell_controller.core.trace import TORN, TraceError, entry, read_entry
from cell_controller.cpython.recorder import segments
from cell_controller.errors import TraceFileError

log = logging.getLogger("board")

MAGIC = b"LINETRACE1\n"
SEGMENT_BYTES = 8 << 20
KEEP_SEGMENTS = 8

HEADER = "H"
"""JSON: device, address, started, segment (0 in the first file of a recording) and how the line is set."""
OPENED = "O"
CLOSED = "C"
LOST = "X"
"""The line is gone or could not be opened; text."""
READ = "R"
"""Bytes from the device that the host has read."""
WRITTEN = "W"
"""Bytes from the host to the device."""
FORGOTTEN = "I"
"""Bytes from the device that the host threw away unread."""
FAULT = "F"
"""A fault went on or off; text."""
NOTE = "N"
"""Text for people."""
END = "E"
"""The end of this file, and why; text."""

_TIME = struct.Struct("<Q")


def about_line(device: str, address: str, settings: SerialSettings | None = None) -> dict[str, Any]:
    """What a header says of a line: TCP has no settings."""
    set_to = {} if address.startswith("tcp://") else asdict(settings or SerialSettings())
    return {"device": device, "address": address, **set_to}


def now_us() -> int:
    """Microseconds since some moment, never going back."""
    return time.monotonic_ns() // 1000


class LineTraceWriter:
    """Writes a line trace; several threads may. A file that cannot be written ends the recording, never the line.

    A file larger than `segment_bytes` ends with an END entry and the next one (path.0001, path.0002 …) goes on; of all
    files, those of earlier recordings included, the newest `keep_segments` are kept.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        segment_bytes: int = SEGMENT_BYTES,
        keep_segments: int = KEEP_SEGMENTS,
        clock_us: Callable[[], int] = now_us,
    ) -> None:
        """`about`: what the header says of the line. Raises OSError where the file cannot be made."""
        self.path = path
        self.error = ""
        """Why the recording ended early; "" while it goes on."""
        self._about = {**about, "started": datetime.now().astimezone().isoformat(timespec="milliseconds")}
        self._segment_bytes = segment_bytes
        self._keep = max(1, keep_segments)
        self._clock_us = clock_us
        self._origin_us = clock_us()
        self._lock = threading.Lock()
        self._files = segments(path)
        self._number = int(self._files[-1].suffix[1:]) if self._files and self._files[-1] != path else 0
        self._number += 1 if self._files else 0
        self._segment = 0
        self._size = 0
        self._file: FileIO | None = None
        try:
            self._begin()
        except OSError:
            self._let_go()
            raise

    def note(self, letter: str, data: bytes | str = b"") -> None:
        """One entry, now. Does nothing when the recording has ended."""
        with self._lock:
            if self._file is None:
                return
            try:
                self._put(letter, data)
                if self._size >= self._segment_bytes:
                    self._turn()
            except OSError as error:
                self.error = f"{self.path}: {error.strerror}"
                self._let_go()
                log.error("line trace: %s; the recording ends here, the line goes on", self.error)

    def close(self, why: str = "the recording was ended") -> None:
        """The end of the file. A second call does nothing."""
        self.note(END, why)
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _begin(self) -> None:
        path = self._path_of(self._number)
        # Unbuffered: a process that is killed has lost nothing, and a line has few entries a second.
        self._file = FileIO(path, "wb")
        self._files.append(path)
        while len(self._files) > self._keep:
            self._files.pop(0).unlink(missing_ok=True)
        self._size = 0
        self._write(MAGIC)
        self._put(HEADER, json.dumps({**self._about, "segment": self._segment}))

    def _turn(self) -> None:
        self._number += 1
        self._segment += 1
        self._put(END, f"goes on in {self._path_of(self._number).name}")
        self._let_go()
        self._begin()

    def _put(self, letter: str, data: bytes | str) -> None:
        body = data.encode() if isinstance(data, str) else data
        self._write(entry(letter.encode(), _TIME.pack(self._clock_us() - self._origin_us) + body))

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        written = self._file.write(data)
        if written != len(data):  # the last bytes of a disk; the next attempt might find room again
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _path_of(self, number: int) -> Path:
        return self.path if number == 0 else self.path.with_name(f"{self.path.name}.{number:04d}")


@dataclass(frozen=True)
class Entry:
    """One entry: microseconds since its recording began, its letter, its bytes."""

    at_us: int
    letter: str
    data: bytes

    @property
    def text(self) -> str:
        """The bytes of an entry that is text."""
        return self.data.decode("utf-8", "replace")


class LineTrace:
    """The files of a line trace, read: `for entry in LineTrace(path)` gives their entries, headers and ends included.

    `about` is the first header. After reading, `notes` has a line for each file that was cut off or damaged;
    `is_damaged` tells that some were not only cut off, which is what a killed recorder leaves.
    """

    def __init__(self, path: Path) -> None:
        """`path`: of the first file, or of one of them alone. Raises TraceFileError for what is no line trace."""
        self.path = path
        self.files = segments(path)
        self.notes: list[str] = []
        self.is_damaged = False
        if not self.files:
            raise TraceFileError(f"{path} is not there; `cellctl trace record` makes one")
        self.about: dict[str, Any] = header_of(self.files[0])

    def __iter__(self) -> Iterator[Entry]:
        self.notes = []
        self.is_damaged = False
        for path in self.files:
            with path.open("rb") as file:
                yield from self._entries(path, file)

    def _entries(self, path: Path, file: BinaryIO) -> Iterator[Entry]:
        _read_magic(path, file)
        count = 0
        while True:
            try:
                told = read_entry(file.read)
                if told is None:
                    return
                if told[0] == TORN:
                    self.notes.append(f"{path} ends in the middle of an entry, after {count} whole ones")
                    return
                yield _entry(*told)
            except TraceError as error:
                self.notes.append(f"{path} is read no further than its first {count} entries: {error}")
                self.is_damaged = True
                return
            count += 1


def header_of(path: Path) -> dict[str, Any]:
    """What the header of one file says. Raises TraceFileError, naming the file, for anything else."""
    try:
        with path.open("rb") as file:
            _read_magic(path, file)
            told = read_entry(file.read)
        about = {} if told is None or told[0] == TORN else about_of(_entry(*told))
    except TraceFileError:
        raise
    except (TraceError, OSError) as error:
        raise TraceFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not about:
        raise TraceFileError(f"{path} has no header; it was cut off at its very beginning")
    return about


def about_of(header: Entry) -> dict[str, Any]:
    """What a header entry says of its recording; {} for any other entry."""
    try:
        about = json.loads(header.data) if header.letter == HEADER else None
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _read_magic(path: Path, file: BinaryIO) -> None:
    found = file.read(len(MAGIC))
    if found == MAGIC:
        return
    if found.startswith(SCAN_MAGIC[: len(found)]) and len(found) >= len(SCAN_MAGIC):
        raise TraceFileError(f"{path} is a trace of a cell's scans; `cellctl replay {path}` plays it")
    raise TraceFileError(f"{path} is no line trace; `cellctl trace record` makes one")


def _entry(letter: bytes, body: bytes) -> Entry:
    if len(body) < _TIME.size:
        raise TraceError("an entry without a time: the trace is damaged")
    return Entry(_TIME.unpack_from(body)[0], letter.decode("latin-1"), body[_TIME.size :])
