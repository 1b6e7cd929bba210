"""The SQLite file of a journal: its tables, the proof that it is whole, and what is saved of a damaged one.

A damaged file is never repaired in place. What is good of it goes into a new file (with a new epoch, because numbers of
lost records are given out again), and the damaged one is moved aside under a name that says so.
"""

import os
import secrets
import sqlite3
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from cell_controller.errors import JournalError

SCHEMA = """
CREATE TABLE facts (seq INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, record BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, record BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE outbox (name TEXT PRIMARY KEY, delivered INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
PAGE_ROWS = 256
Row = tuple[int, int, bytes, int]
CutHook = Callable[[str, int], None]  # ("before commit" and the like, number of the durable call)


class DamagedError(JournalError):
    """The file is not a whole journal; what is good of it can be saved."""


def row_crc(seq: int, wall_ms: int, record: bytes) -> int:
    """The checksum stored with a row; it covers the number and the time as well."""
    return zlib.crc32(record, zlib.crc32(struct.pack("<qq", seq, wall_ms)))


def is_good(row: tuple[object, ...]) -> bool:
    """True if the row is what was written."""
    seq, wall_ms, record, crc = row
    if not (isinstance(seq, int) and isinstance(wall_ms, int) and isinstance(record, bytes)):
        return False
    return row_crc(seq, wall_ms, record) == crc


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that never writes and never moves the write-ahead log into the file."""
    # An abandoned replay may be closed by another thread than the one that began it.
    where = f"file:{_quoted(path)}?mode=ro"
    connection = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA mmap_size=0")
    return connection


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class Contents:
    """What a journal file holds beside its rows: the marks, the snapshots, the last record number."""

    def __init__(self) -> None:
        self.epoch = ""
        self.pruned_to = 0  # records up to this one were removed on purpose
        self.gaps: list[tuple[int, int]] = []  # records lost in an earlier recovery, covered by a snapshot
        self.last = 0
        self.snapshots: list[Row] = []  # oldest first
        self.marks: dict[str, int] = {}

    def read_tables(self, connection: sqlite3.Connection) -> None:
        """Read all tables but the facts. Raises DamagedError or sqlite3.DatabaseError."""
        about = dict(connection.execute("SELECT name, value FROM about"))
        self.epoch = about.get("epoch", "")
        if not self.epoch:
            raise DamagedError("it has no epoch")
        self.pruned_to = int(about.get("pruned_to", "0"))
        for text in about.get("gaps", "").split():
            first, last = text.split("-")
            self.gaps.append((int(first), int(last)))
        self.snapshots = list(
            connection.execute("SELECT seq, wall_ms, record, crc FROM snapshots ORDER BY seq")
        )
        self.marks = dict(connection.execute("SELECT name, delivered FROM outbox"))


def verify(path: Path) -> Contents:
    """Read the whole file and return what it holds. Raises DamagedError with the first thing that is wrong."""
    contents = Contents()
    try:
        with closing(connect_reader(path)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if answer != "ok":
                raise DamagedError(f"the database is malformed: {' '.join(answer.split())}")
            contents.read_tables(connection)
            if not all(map(is_good, contents.snapshots)):
                raise DamagedError("a snapshot has a wrong checksum")
            _verify_rows(connection, contents)
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        raise DamagedError(str(error)) from error
    ahead = [name for name, seq in contents.marks.items() if seq > contents.last]
    if ahead:
        name = min(ahead)
        raise DamagedError(
            f"{name!r} was delivered up to record {contents.marks[name]}, the file ends at {contents.last}"
        )
    return contents


def _verify_rows(connection: sqlite3.Connection, contents: Contents) -> None:
    expected = _behind_gaps(contents.pruned_to + 1, contents.gaps)
    for row in connection.execute("SELECT seq, wall_ms, record, crc FROM facts ORDER BY seq"):
        if row[0] != expected:
            raise DamagedError(f"record {expected} is missing")
        if not is_good(row):
            raise DamagedError(f"record {expected} has a wrong checksum")
        expected = expected + 1 if not contents.gaps else _behind_gaps(expected + 1, contents.gaps)
    contents.last = expected - 1
    if contents.snapshots and contents.snapshots[-1][0] > contents.last:
        raise DamagedError(f"record {expected} is missing")


def _behind_gaps(seq: int, gaps: list[tuple[int, int]]) -> int:
    """The first number from `seq` on that no gap (oldest first) covers."""
    for first, last in gaps:
        if first <= seq <= last:
            seq = last + 1
    return seq


def write_new(path: Path, contents: Contents, rows: Iterator[Row]) -> None:
    """Make a journal file at `path` in one transaction, safe on disk when this returns. The epoch is a new one."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + "-journal").unlink(missing_ok=True)  # of an earlier try that was cut
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN")
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.executemany("INSERT INTO facts VALUES (?,?,?,?)", rows)
        connection.executemany("INSERT INTO snapshots VALUES (?,?,?,?)", contents.snapshots)
        connection.executemany("INSERT INTO outbox VALUES (?,?)", sorted(contents.marks.items()))
        about = {
            "epoch": secrets.token_hex(8),
            "pruned_to": str(contents.pruned_to),
            "gaps": " ".join(f"{first}-{last}" for first, last in contents.gaps),
        }
        connection.executemany("INSERT INTO about VALUES (?,?)", sorted(about.items()))
        connection.execute("COMMIT")
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make created and renamed names in a directory safe against a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_file(path: Path, wall_ms: int) -> tuple[Contents, str]:
    """Make sure that `path` is a whole journal; returns what it holds and what had to be said about it ("" = nothing).

    A missing file is made. A damaged one is replaced by what is good of it. Raises JournalError where the directory
    cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        whole, said = _ensure_file(path, new, wall_ms)
        return whole or verify(path), said
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, JournalError):
            raise
        raise JournalError(
            f"journal {path}: {error}; is the directory there, writable and not full?"
        ) from error


def _ensure_file(path: Path, new: Path, wall_ms: int) -> tuple[Contents | None, str]:
    """What the file holds, where it was whole already, and what was said."""
    if not path.exists() or path.stat().st_size == 0:
        # A cut between "damaged file moved aside" and "new file in its place" leaves the new file, which is whole.
        if new.exists() and _is_whole(new):
            said = _move_aside(path, wall_ms)
            os.replace(new, path)
            sync_directory(path.parent)
            return None, said
        said = _move_aside(path, wall_ms)  # a log without its file must not be played into a new one
        write_new(new, Contents(), iter(()))
        os.replace(new, path)
        sync_directory(path.parent)
        return None, said
    try:
        contents = verify(path)
    except DamagedError as error:
        return None, _replace_damaged(path, new, wall_ms, str(error))
    new.unlink(missing_ok=True)
    return contents, ""


def _is_whole(path: Path) -> bool:
    try:
        verify(path)
    except DamagedError:
        return False
    return True


def _replace_damaged(path: Path, new: Path, wall_ms: int, reason: str) -> str:
    kept, rows = salvage(path)
    write_new(new, kept, iter(rows))
    aside = _move_aside(path, wall_ms)
    os.replace(new, path)
    sync_directory(path.parent)
    if kept.last == 0:
        saved = "nothing of it could be read, the history starts anew"
    else:
        parts = [f"{len(rows)} records kept"]
        if kept.snapshots:
            parts.append(f"a snapshot up to record {kept.snapshots[-1][0]}")
        saved = f"{' and '.join(parts)}, the last is {kept.last}"
        if kept.pruned_to and not kept.snapshots:
            saved += f"; the snapshot up to record {kept.pruned_to} is lost, compare the orders with the order desk"
    return f"journal {path.name} was damaged ({reason}): {saved}; {aside}"


def _move_aside(path: Path, wall_ms: int) -> str:
    """Rename the file and its log to a name that says what they are; returns a clause that names it, or ""."""
    present = [suffix for suffix in ("", "-wal", "-shm") if path.with_name(path.name + suffix).exists()]
    if not present or (present == [""] and path.stat().st_size == 0):
        return ""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall_ms // 1000))
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    count = 1
    while aside.exists() or aside.with_name(aside.name + "-wal").exists():
        count += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{count}")
    for suffix in present:
        os.replace(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
    sync_directory(path.parent)
    return f"the damaged file is {aside.name}"


def salvage(path: Path) -> tuple[Contents, list[Row]]:
    """What is good of a damaged file: its newest good snapshot, the unbroken records after it, the good ones before.

    Records after the first lost one that no snapshot covers are left out: a history with a hole is no history.
    """
    kept = Contents()
    try:
        with closing(connect_reader(path)) as connection:
            try:
                kept.read_tables(connection)
            except (sqlite3.DatabaseError, DamagedError, ValueError, TypeError):
                kept = _read_tables_one_by_one(connection)
            kept.snapshots = [row for row in kept.snapshots if is_good(row)][-1:]
            base = kept.snapshots[-1][0] if kept.snapshots else kept.pruned_to
            rows = _unbroken(connection, base)
            kept.last = base + len(rows)
            if base > kept.pruned_to:
                rows = _readable(connection, kept.pruned_to + 1, base) + rows
    except sqlite3.DatabaseError:
        return Contents(), []
    if kept.last and not rows and not kept.snapshots:
        return Contents(), []
    kept.gaps = _gaps([row[0] for row in rows], kept.pruned_to + 1, kept.last)
    kept.marks = {name: min(seq, kept.last) for name, seq in kept.marks.items()}
    return kept, rows


def _read_tables_one_by_one(connection: sqlite3.Connection) -> Contents:
    kept = Contents()
    for seq, table in ((1, "snapshots"), (2, "outbox"), (3, "about")):
        try:
            rows = list(connection.execute(f"SELECT * FROM {table}"))  # names from the line above
            if seq == 1:
                kept.snapshots = sorted(rows)
            elif seq == 2:
                kept.marks = {str(name): int(delivered) for name, delivered in rows}
            else:
                kept.pruned_to = int(dict(rows).get("pruned_to", "0"))
        except (sqlite3.DatabaseError, ValueError, TypeError):
            continue
    return kept


def _fetch(connection: sqlite3.Connection, first: int, last: int) -> list[Row]:
    query = "SELECT seq, wall_ms, record, crc FROM facts WHERE seq BETWEEN ? AND ? ORDER BY seq"
    return list(connection.execute(query, (first, last)))


def _readable(connection: sqlite3.Connection, first: int, last: int) -> list[Row]:
    """All good rows in first..last; a page that cannot be read costs its rows only."""
    good: list[Row] = []
    for start in range(first, last + 1, PAGE_ROWS):
        end = min(start + PAGE_ROWS - 1, last)
        try:
            rows = _fetch(connection, start, end)
        except sqlite3.DatabaseError:
            rows = []
            for seq in range(start, end + 1):
                try:
                    rows += _fetch(connection, seq, seq)
                except sqlite3.DatabaseError:
                    continue
        good += filter(is_good, rows)
    return good


def _unbroken(connection: sqlite3.Connection, base: int) -> list[Row]:
    """The good rows base+1, base+2, ... up to the first that is missing or damaged."""
    rows: list[Row] = []
    while True:
        start = base + len(rows) + 1
        page = _readable(connection, start, start + PAGE_ROWS - 1)
        for row in page:
            if row[0] != base + len(rows) + 1:
                return rows
            rows.append(row)
        if len(page) < PAGE_ROWS:
            return rows


def _gaps(present: list[int], first: int, last: int) -> list[tuple[int, int]]:
    gaps = []
    expected = first
    for seq in [*present, last + 1]:
        if seq > expected:
            gaps.append((expected, seq - 1))
        expected = seq + 1
    return gaps
