"""The journal thread: makes what waits durable in as few transactions as it can, tries again when it cannot."""

import sqlite3
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path

from cell_controller.cpython.journal_file import Contents, CutHook, Row

MAX_GROUP = 4_096  # records in one transaction
PRUNE_ROWS = 2_000  # removed in one transaction, so that records never wait long behind a removal
MARK_DELAY_S = 1.0
RETRY_S = 0.1
RETRY_MAX_S = 2.0
NO_LIMIT_PAGES = 1_073_741_823


class Shared:
    """What the journal and its thread share; changed only under the one lock of `wanted` and `done`.

    wanted: something to write has come. done: something has become durable, failed, or nothing is left.
    """

    def __init__(
        self, contents: Contents, keep_rows: int, cut_hook: CutHook | None, limit_bytes: int | None
    ) -> None:
        lock = threading.Lock()
        self.wanted = threading.Condition(lock)
        self.done = threading.Condition(lock)
        self.queue: deque[Row] = deque()
        self.snapshot_due: Row | None = None
        self.prune_due = 0
        self.marks_due: dict[str, int] = {}
        self.marks_since = 0.0
        self.marks = contents.marks
        self.last_seq = self.durable_seq = contents.last
        self.pruned_to = contents.pruned_to
        self.snapshots = [row[0] for row in contents.snapshots]
        self.keep_rows = keep_rows
        self.cut_hook = cut_hook
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.error = ""
        self.busy = False
        self.closing_at: float | None = None

    def has_work(self) -> bool:
        """True while something waits to be written."""
        return bool(self.queue or self.snapshot_due or self.prune_due or self.marks_due)


class Writer:
    """Runs in the journal thread and owns the only connection that writes."""

    def __init__(self, path: Path, shared: Shared) -> None:
        self._path = path
        self._shared = shared
        self._connection: sqlite3.Connection | None = None
        self._page_bytes = 4096
        self._applied_limit: int | None = None
        self._calls = 0

    def run(self) -> None:
        """Write until the journal is closed and nothing waits, or until closing has taken too long."""
        retry_s = RETRY_S
        shared = self._shared
        ended = "the journal thread ended on an internal error; restart the controller"
        try:
            while self._wait_for_work():
                try:
                    self._work()
                    retry_s = RETRY_S
                    shared.error = ""
                except sqlite3.Error as error:
                    self._failed(str(error))
                    if not self._wait_to_retry(retry_s):
                        break
                    retry_s = min(2 * retry_s, RETRY_MAX_S)
            ended = shared.error
        finally:
            with shared.done:
                shared.error = ended
                shared.busy = False
                shared.done.notify_all()
            if self._connection is not None:
                self._connection.close()

    def _wait_for_work(self) -> bool:
        shared = self._shared
        with shared.wanted:
            while not (shared.queue or shared.snapshot_due or shared.prune_due):
                wait_s = None
                if shared.marks_due:
                    wait_s = shared.marks_since + MARK_DELAY_S - time.monotonic()
                    if wait_s <= 0 or shared.closing_at is not None:
                        break
                else:
                    shared.busy = False
                    shared.done.notify_all()
                    if shared.closing_at is not None:
                        return False
                shared.wanted.wait(wait_s)
            shared.busy = True
        return True

    def _wait_to_retry(self, retry_s: float) -> bool:
        shared = self._shared
        with shared.wanted:
            if shared.closing_at is None:
                shared.wanted.wait_for(lambda: shared.closing_at is not None, retry_s)
                return True
            left_s = shared.closing_at - time.monotonic()
            if left_s <= 0:
                return False
            shared.wanted.wait_for(lambda: False, min(RETRY_S, left_s))
        return True

    def _failed(self, text: str) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            # Same connection, so that the next try overwrites the pages whose sync failed instead of trusting them.
            try:
                connection.rollback()
            except sqlite3.Error as error:
                text = f"{text}; {error}"
        shared = self._shared
        with shared.done:
            shared.error = (
                f"journal {self._path.name}: {text}; {len(shared.queue)} records wait;"
                " make room on the disk, writing goes on by itself"
            )
            shared.done.notify_all()

    def _work(self) -> None:
        connection = self._connected()
        shared = self._shared
        with shared.done:
            rows = list(islice(shared.queue, MAX_GROUP))
            marks = shared.marks_due
            shared.marks_due = {}
        if rows or marks:
            try:
                self._commit_group(connection, rows, marks)
            except sqlite3.Error:
                with shared.done:
                    shared.marks_due = marks | shared.marks_due
                raise
        snapshot = shared.snapshot_due
        if snapshot is not None and snapshot[0] <= shared.durable_seq:
            self._commit_snapshot(connection, snapshot)
        if shared.prune_due and shared.snapshot_due is None:
            self._prune(connection)

    def _connected(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=1.0)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA mmap_size=0")
            connection.execute("PRAGMA journal_size_limit=8388608")
            self._page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
            self._connection = connection
        limit = self._shared.limit_bytes
        if limit != self._applied_limit:
            pages = NO_LIMIT_PAGES if limit is None else max(1, limit // self._page_bytes)
            connection.execute(f"PRAGMA max_page_count={pages}")
            self._applied_limit = limit
            self._measure(connection)
        return connection

    def _cut(self, where: str) -> None:
        hook = self._shared.cut_hook
        if hook is not None:
            hook(where, self._calls)

    def _commit_group(self, connection: sqlite3.Connection, rows: list[Row], marks: dict[str, int]) -> None:
        self._calls += 1
        what = "commit" if rows else "set_delivered"
        self._cut(f"before {what}")
        if len(rows) == 1 and not marks:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?,?,?,?)", rows[0])
        else:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?,?,?,?)", rows)
            connection.executemany("INSERT OR REPLACE INTO outbox VALUES (?,?)", marks.items())
            connection.execute("COMMIT")
        self._cut(f"after {what}")
        if self._applied_limit is not None:
            self._measure(connection)
        shared = self._shared
        with shared.done:
            for _ in rows:
                shared.queue.popleft()
            if rows:
                shared.durable_seq = rows[-1][0]
            shared.done.notify_all()

    def _commit_snapshot(self, connection: sqlite3.Connection, snapshot: Row) -> None:
        self._calls += 1
        self._cut("before snapshot")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?,?,?,?)", snapshot)
        # Two are kept: with one damaged, the other and the records after it still give the state.
        connection.execute(
            "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT 2)"
        )
        kept = [row[0] for row in connection.execute("SELECT seq FROM snapshots ORDER BY seq")]
        connection.execute("COMMIT")
        self._cut("after snapshot")
        shared = self._shared
        with shared.done:
            shared.snapshots = kept
            if shared.snapshot_due is snapshot:
                shared.snapshot_due = None
            shared.done.notify_all()

    def _prune(self, connection: sqlite3.Connection) -> None:
        shared = self._shared
        with shared.done:
            wanted = shared.prune_due - 1
            covered = shared.snapshots[0] if shared.snapshots else 0
            last = min(wanted, covered, shared.durable_seq - shared.keep_rows, *shared.marks.values())
        upto = min(last, shared.pruned_to + PRUNE_ROWS)
        if upto > shared.pruned_to:
            self._calls += 1
            self._cut("before prune")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM facts WHERE seq <= ?", (upto,))
            connection.execute("INSERT OR REPLACE INTO about VALUES ('pruned_to', ?)", (str(upto),))
            connection.execute("COMMIT")
            self._cut("after prune")
        with shared.done:
            shared.pruned_to = max(shared.pruned_to, upto)
            if upto >= last and shared.prune_due - 1 == wanted:
                shared.prune_due = 0

    def _measure(self, connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        self._shared.used_bytes = (pages - free) * self._page_bytes
