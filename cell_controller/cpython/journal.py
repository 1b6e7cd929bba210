"""The journal on CPython: append-only records in SQLite, written by one thread, never waited for by the control thread.

`append` numbers a record and returns at once; the journal thread takes everything that waits, writes it as one durable
transaction (WAL, synchronous=FULL) and moves `durable_seq`. What needs durability compares with `durable_seq` in each
scan, as it would with a sensor. SQLite before 3.51.3 can corrupt a file when two connections write and move the log at
once, so there is one writer, checkpoints run in it, and readers are read-only.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Protocol

from cell_controller.cpython.journal_file import (
    PAGE_ROWS,
    CutHook,
    connect_reader,
    open_file,
    row_crc,
)
from cell_controller.cpython.journal_writer import Shared, Writer
from cell_controller.cpython.memory_journal import MemoryJournal
from cell_controller.errors import JournalError

__all__ = ["Journal", "JournalError", "MemoryJournal", "SqliteJournal"]

OK = 0
CANNOT_WRITE = 1
MAX_QUEUED = 65_536


class Journal(Protocol):
    """What the controller, the link and the benches rely on, whatever stores it."""

    cut_hook: CutHook | None

    @property
    def epoch(self) -> str:
        """Random hex of this history; (epoch, seq) names a record for ever."""

    @property
    def opened(self) -> str:
        """What opening found wrong and did about it, a text for an alarm; "" = nothing."""

    @property
    def state(self) -> int:
        """0 = ok, 1 = cannot write (full disk, I/O error); records are kept in order and tried again."""

    @property
    def error(self) -> str:
        """Why `state` is 1; "" while it is 0."""

    @property
    def last_seq(self) -> int:
        """Number of the last appended record, 0 before the first."""

    @property
    def durable_seq(self) -> int:
        """Number of the last record that a power cut cannot take away."""

    @property
    def snapshot_seq(self) -> int:
        """Number of the record that the newest durable snapshot reaches up to, 0 without one."""

    def append(self, record: bytes) -> int:
        """Number and queue a record. Never blocks. Raises JournalError if closed or if the bounded queue is full."""

    def replay(self, from_seq: int = 1) -> Iterator[tuple[int, int, bytes]]:
        """The durable records (seq, wall_ms, record) with seq >= from_seq, oldest first."""

    def snapshot(self, body: bytes, seq: int | None = None) -> None:
        """Queue the state of the fold after record `seq` (default: the last appended); durable after that record."""

    def last_snapshot(self) -> tuple[int, bytes] | None:
        """The newest durable snapshot as (seq, body)."""

    def prune(self, before_seq: int) -> None:
        """Queue the removal of records below `before_seq` that a snapshot covers and all outbox names delivered."""

    def delivered(self, name: str) -> int:
        """Number of the last record that `name` has delivered, 0 at first."""

    def set_delivered(self, name: str, seq: int) -> None:
        """Move the mark of `name` forward; durable with the next group or within about a second."""

    def free_bytes(self) -> int:
        """Room left for the journal."""

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        """Wait until `seq` is durable; for tools and tests, never for the control thread. False if the time is over."""

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits and let go of the file. False if something could not be written in time."""


class SqliteJournal:
    """A journal in one SQLite file; see `Journal` for what each member promises.

    path: the file; its directory must exist. wall_ms: wall clock for the rows. keep_rows: records that `prune` always
    leaves. limit_bytes: most that the file may grow to (None = the disk); may be changed at any time.
    Raises JournalError if another process has the journal or the directory cannot be written; never for damage.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        keep_rows: int = 1_000,
        max_queued: int = MAX_QUEUED,
        limit_bytes: int | None = None,
        cut_hook: CutHook | None = None,
    ) -> None:
        self.path = Path(path)
        self._wall_ms = wall_ms
        self._max_queued = max_queued
        self._closed = False
        self._lock_file = _lock(self.path)
        try:
            contents, self._opened = open_file(self.path, wall_ms())
        except JournalError:
            self._lock_file.close()
            raise
        self._epoch = contents.epoch
        self._shared = Shared(contents, max(1, keep_rows), cut_hook, limit_bytes)
        self._wanted = self._shared.wanted
        self._done = self._shared.done
        self._thread = threading.Thread(
            target=Writer(self.path, self._shared).run, name="journal", daemon=True
        )
        self._thread.start()

    @property
    def cut_hook(self) -> CutHook | None:
        """Called in the journal thread before and after each durable call as (where, number of the call)."""
        return self._shared.cut_hook

    @cut_hook.setter
    def cut_hook(self, hook: CutHook | None) -> None:
        self._shared.cut_hook = hook

    @property
    def limit_bytes(self) -> int | None:
        """Most that the file may grow to; None = the disk."""
        return self._shared.limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit: int | None) -> None:
        self._shared.limit_bytes = limit

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def opened(self) -> str:
        return self._opened

    @property
    def state(self) -> int:
        return CANNOT_WRITE if self._shared.error else OK

    @property
    def error(self) -> str:
        return self._shared.error

    @property
    def last_seq(self) -> int:
        return self._shared.last_seq

    @property
    def durable_seq(self) -> int:
        return self._shared.durable_seq

    @property
    def snapshot_seq(self) -> int:
        return self._shared.snapshots[-1] if self._shared.snapshots else 0

    def append(self, record: bytes) -> int:
        wall_ms = self._wall_ms()
        with self._wanted:
            self._check_open()
            if len(self._shared.queue) >= self._max_queued:
                raise JournalError(
                    f"journal {self.path.name}: {self._max_queued} records wait to be written"
                    f" ({self._shared.error or 'the disk is too slow'}); make room, then go on"
                )
            seq = self._shared.last_seq + 1
            self._shared.queue.append((seq, wall_ms, record, row_crc(seq, wall_ms, record)))
            self._shared.last_seq = seq
            self._wanted.notify()
        return seq

    def snapshot(self, body: bytes, seq: int | None = None) -> None:
        wall_ms = self._wall_ms()
        with self._wanted:
            self._check_open()
            at = self._shared.last_seq if seq is None else seq
            if not 0 < at <= self._shared.last_seq:
                raise ValueError(f"snapshot up to record {at}: the journal has 1..{self._shared.last_seq}")
            self._shared.snapshot_due = (at, wall_ms, body, row_crc(at, wall_ms, body))
            self._wanted.notify()

    def prune(self, before_seq: int) -> None:
        with self._wanted:
            self._check_open()
            self._shared.prune_due = max(self._shared.prune_due, before_seq)
            self._wanted.notify()

    def delivered(self, name: str) -> int:
        with self._wanted:
            return self._shared.marks.get(name, 0)

    def set_delivered(self, name: str, seq: int) -> None:
        with self._wanted:
            self._check_open()
            if seq > self._shared.durable_seq:
                raise ValueError(
                    f"{name}: record {seq} cannot be delivered, durable up to {self._shared.durable_seq}"
                )
            if name in self._shared.marks and seq <= self._shared.marks[name]:
                return
            if not self._shared.marks_due:
                self._shared.marks_since = time.monotonic()
                self._wanted.notify()
            self._shared.marks[name] = self._shared.marks_due[name] = seq

    def replay(self, from_seq: int = 1) -> Iterator[tuple[int, int, bytes]]:
        # Page by page: an open read would keep the log from being started over.
        end = self._shared.durable_seq
        query = "SELECT seq, wall_ms, record FROM facts WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
        with closing(connect_reader(self.path)) as connection:
            while from_seq <= end:
                rows = connection.execute(query, (from_seq, end, PAGE_ROWS)).fetchall()
                yield from rows
                if len(rows) < PAGE_ROWS:
                    return
                from_seq = rows[-1][0] + 1

    def last_snapshot(self) -> tuple[int, bytes] | None:
        with closing(connect_reader(self.path)) as connection:
            found: tuple[int, bytes] | None = connection.execute(
                "SELECT seq, record FROM snapshots ORDER BY seq DESC LIMIT 1"
            ).fetchone()
        return found

    def free_bytes(self) -> int:
        disk = os.statvfs(self.path.parent)
        free = disk.f_bavail * disk.f_frsize
        limit = self.limit_bytes
        return free if limit is None else max(0, min(free, limit - self._shared.used_bytes))

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        with self._done:
            return self._done.wait_for(lambda: self._shared.durable_seq >= seq, timeout_s)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is left to write: records, snapshot, prune and marks. For tools and tests."""
        with self._wanted:
            self._shared.marks_since = 0.0
            self._wanted.notify()
            return self._done.wait_for(lambda: not (self._shared.busy or self._shared.has_work()), timeout_s)

    def close(self, timeout_s: float = 5.0) -> bool:
        with self._wanted:
            self._closed = True
            if self._shared.closing_at is None:
                self._shared.closing_at = time.monotonic() + timeout_s
            self._wanted.notify()
        self._thread.join(timeout_s + 1.0)
        clean = (
            not self._thread.is_alive()
            and self._shared.durable_seq == self._shared.last_seq
            and not self._shared.error
        )
        if not self._thread.is_alive():
            self._lock_file.close()
        return clean

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError(f"journal {self.path.name} is closed")


def _lock(path: Path) -> IO[bytes]:
    """Keep every other process out of the journal until the returned file is closed (the kernel does it on a kill)."""
    lock = path.with_name(path.name + ".lock")
    try:
        held = lock.open("ab")
    except OSError as error:
        raise JournalError(f"journal {path}: {error}; is the directory there and writable?") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise JournalError(f"journal {path} is in use by another process; stop that one first") from error
    return held
