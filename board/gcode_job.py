"""Job files of G-code machines: found by their key, checked line by line before the first move, read once.

A job's key is the first 28 bits of the file's sha256 (`key_of`): a whole number that fits into a signal. The bytes that
were hashed are the bytes that are sent.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cell_controller.errors import DeviceError

MOST_KEY = (1 << 28) - 1
MOST_BYTES = 32 << 20
MOST_FILES = 1000
STEP_BYTES = 1 << 16
"""What one `Checking.step` looks at: some ms, so that the line to the machine is served meanwhile."""

_COMMENT = re.compile(rb"\([^()]*\)|;.*")
"""Whichever begins first: a semicolon within round brackets begins nothing."""

UNKNOWN, LOCKED, IDLE, RUNNING, PAUSED, DONE, FAILED, CANCELLED, INTERRUPTED, HALTED = range(10)
"""Counts of the point `state`; docs/gcode.md says what each means."""


def key_of(sha256: str) -> int:
    """The key of a file whose sha256 is these 64 hex digits: its first 28 bits, 0..MOST_KEY."""
    return int(sha256[:7], 16)


@dataclass(frozen=True)
class Job:
    """A file that was hashed and checked: its lines as they are sent, and where each ends, for the progress."""

    name: str
    key: int
    sha256: str
    lines: list[bytes]
    numbers: list[int]
    """For each of `lines` its number in the file, from 1."""

    def progress(self, done: int) -> int:
        """Per mille after `done` lines; 1000 is left to whoever knows that the last one was carried out."""
        return min(999, 1000 * done // max(1, len(self.lines)))


Check = Callable[[bytes], str]
"""Says what is wrong with a line of a job, "" if nothing; each kind of machine has its own."""


class Shelf:
    """The folder with the job files of a cell. Files are hashed once, and again when they have changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[int, int, str]] = {}  # size, mtime_ns, sha256

    def take(self, key: int) -> tuple[str, str, bytes]:
        """Name, sha256 and bytes of the one file with this key. Raises DeviceError, which names folder and file."""
        before = {path.name for path, entry in self._known.items() if key_of(entry[2]) == key}
        found = {entry[2]: path for path, entry in self._look().items() if key_of(entry[2]) == key}
        hexadecimal = f"{key:07x}"
        if not found:
            changed = f"; {', '.join(sorted(before))} was changed or taken away since" if before else ""
            raise DeviceError(
                f"no file in {self.folder.name}/ has a sha256 that begins with {hexadecimal}{changed}; "
                f"put the file there unchanged (at most {MOST_BYTES >> 20} MiB)"
            )
        if len(found) > 1:
            names = ", ".join(sorted(path.name for path in found.values()))
            raise DeviceError(
                f"{names} in {self.folder.name}/ have the same key {hexadecimal}; keep one of them"
            )
        sha256, path = found.popitem()
        data = _read(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DeviceError(f"{self.folder.name}/{path.name} was changed while it was read; order it again")
        return path.name, sha256, data

    def _look(self) -> dict[Path, tuple[int, int, str]]:
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.is_file())
        except OSError as error:
            raise DeviceError(
                f"folder {self.folder}: {error.strerror}; make it, with the job files"
            ) from error
        if len(paths) > MOST_FILES:
            raise DeviceError(
                f"{self.folder} has {len(paths)} files, more than {MOST_FILES}; take old ones away"
            )
        known: dict[Path, tuple[int, int, str]] = {}
        for path in paths:
            status = path.stat()
            entry = self._known.get(path)
            if entry is None or entry[:2] != (status.st_size, status.st_mtime_ns):
                if status.st_size > MOST_BYTES:
                    continue  # `take` says that there is none; hashing it would hold up the line
                entry = (status.st_size, status.st_mtime_ns, hashlib.sha256(_read(path)).hexdigest())
            known[path] = entry
        self._known = known
        return known


class Checking:
    """A file on its way to a Job, some lines at a time."""

    def __init__(self, name: str, sha256: str, data: bytes, check: Check) -> None:
        """Raises DeviceError for what is no text at all."""
        self._name, self._sha256, self._check = name, sha256, check
        if b"\0" in data[:65536]:
            raise DeviceError(f"{name} is binary, not G-code; save it as text (.gcode)")
        self._data, self._at, self._number = data, 0, 0
        self._lines: list[bytes] = []
        self._numbers: list[int] = []

    def step(self) -> Job | None:
        """Go on; the Job when it is whole. Raises DeviceError, which names the line."""
        end = self._data.find(b"\n", self._at + STEP_BYTES) + 1 or len(self._data)
        for raw in self._data[self._at : end].splitlines():
            self._number += 1
            line = bare(raw)
            if not line:
                continue
            trouble = self._check(line) if _is_text(line) else "is not text; the file is damaged or no G-code"
            if trouble:
                shown = line[:40].decode("ascii", "backslashreplace")
                raise DeviceError(f"{self._name}, line {self._number} '{shown}': {trouble}")
            self._lines.append(line)
            self._numbers.append(self._number)
        self._at = end
        if end < len(self._data):
            return None
        if not self._lines:
            raise DeviceError(f"{self._name} has no line to carry out; is it the right file?")
        return Job(self._name, key_of(self._sha256), self._sha256, self._lines, self._numbers)


def bare(line: bytes) -> bytes:
    """A line without comments and spaces around it; b"" if nothing is left."""
    return _COMMENT.sub(b"", line).replace(b"\t", b" ").strip()


def _is_text(line: bytes) -> bool:
    return line.isascii() and line.decode("ascii").isprintable()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DeviceError(
            f"{path.name} cannot be read: {error.strerror}; put the file there again"
        ) from error
    if len(data) > MOST_BYTES:
        raise DeviceError(f"{path.name} has more than {MOST_BYTES} bytes; split the job")
    return data
