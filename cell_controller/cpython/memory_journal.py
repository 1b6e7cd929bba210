"""A journal without a file, for benches and tests: durable at once, or step by step as the test says."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from cell_controller.cpython.journal_file import CutHook
from cell_controller.errors import JournalError


class MemoryJournal:
    """The contract of `journal.Journal` in memory; used from one thread.

    hold_back: nothing becomes durable before `flush(n)`. Setting `state` to 1 is a full disk: records wait, in order,
    until it is set to 0 again. `room` is what `free_bytes` answers. `after_cut()` is what a power cut leaves.
    """

    def __init__(
        self,
        *,
        hold_back: bool = False,
        wall_ms: Callable[[], int] = lambda: 0,
        keep_rows: int = 1_000,
        max_queued: int = 65_536,
        epoch: str = "0000000000000000",
        cut_hook: CutHook | None = None,
    ) -> None:
        self.cut_hook = cut_hook
        self.room = 1 << 30
        self._hold_back = hold_back
        self._wall_ms = wall_ms
        self._keep_rows = max(1, keep_rows)
        self._max_queued = max_queued
        self._epoch = epoch
        self._opened = ""
        self._error = ""
        self._rows: deque[tuple[int, int, bytes]] = deque()
        self._queue: deque[tuple[int, int, bytes]] = deque()
        self._durable_seq = 0
        self._snapshots: list[tuple[int, bytes]] = []
        self._snapshot_due: tuple[int, bytes] | None = None
        self._prune_due = 0
        self._marks: dict[str, int] = {}
        self._durable_marks: dict[str, int] = {}
        self._calls = 0
        self._closed = False

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def opened(self) -> str:
        return self._opened

    @property
    def state(self) -> int:
        return 1 if self._error else 0

    @state.setter
    def state(self, state: int) -> None:
        self._error = "journal: database or disk is full (said by the test)" if state else ""
        if not self._hold_back:
            self.flush()

    @property
    def error(self) -> str:
        return self._error

    @property
    def last_seq(self) -> int:
        return self._durable_seq + len(self._queue)

    @property
    def durable_seq(self) -> int:
        return self._durable_seq

    @property
    def snapshot_seq(self) -> int:
        return self._snapshots[-1][0] if self._snapshots else 0

    def append(self, record: bytes) -> int:
        self._check_open()
        if len(self._queue) >= self._max_queued:
            raise JournalError(
                f"journal: {self._max_queued} records wait to be written; make room, then go on"
            )
        seq = self.last_seq + 1
        self._queue.append((seq, self._wall_ms(), bytes(record)))
        if not self._hold_back:
            self.flush()
        return seq

    def flush(self, count: int | None = None) -> int:
        """Make the next `count` records (default all) durable, and what follows from it; returns how many it were."""
        if self._error:
            return 0
        group = list(islice(self._queue, count))
        if group:
            self._durable("commit", lambda: self._rows.extend(group))
            for _ in group:
                self._queue.popleft()
            self._durable_seq = group[-1][0]
            self._durable_marks = dict(self._marks)
        elif self._marks != self._durable_marks:
            self._durable("set_delivered", lambda: self._durable_marks.update(self._marks))
        due = self._snapshot_due
        if due is not None and due[0] <= self._durable_seq:
            kept = [*(old for old in self._snapshots if old[0] != due[0]), due][-2:]
            self._durable("snapshot", lambda: self._snapshots.__setitem__(slice(None), kept))
            self._snapshot_due = None
        if self._prune_due and self._snapshot_due is None:
            self._prune_now()
        return len(group)

    def _prune_now(self) -> None:
        covered = self._snapshots[0][0] if self._snapshots else 0
        last = min(self._prune_due - 1, covered, self._durable_seq - self._keep_rows, *self._marks.values())
        self._prune_due = 0
        if self._rows and self._rows[0][0] <= last:
            kept = deque(row for row in self._rows if row[0] > last)
            self._durable("prune", lambda: setattr(self, "_rows", kept))

    def _durable(self, what: str, work: Callable[[], object]) -> None:
        self._calls += 1
        if self.cut_hook is not None:
            self.cut_hook(f"before {what}", self._calls)
        work()
        if self.cut_hook is not None:
            self.cut_hook(f"after {what}", self._calls)

    def snapshot(self, body: bytes, seq: int | None = None) -> None:
        self._check_open()
        at = self.last_seq if seq is None else seq
        if not 0 < at <= self.last_seq:
            raise ValueError(f"snapshot up to record {at}: the journal has 1..{self.last_seq}")
        self._snapshot_due = (at, bytes(body))
        if not self._hold_back:
            self.flush()

    def last_snapshot(self) -> tuple[int, bytes] | None:
        return self._snapshots[-1] if self._snapshots else None

    def prune(self, before_seq: int) -> None:
        self._check_open()
        self._prune_due = max(self._prune_due, before_seq)
        if not self._hold_back:
            self.flush()

    def delivered(self, name: str) -> int:
        return self._marks.get(name, 0)

    def set_delivered(self, name: str, seq: int) -> None:
        self._check_open()
        if seq > self._durable_seq:
            raise ValueError(f"{name}: record {seq} cannot be delivered, durable up to {self._durable_seq}")
        self._marks[name] = max(seq, self._marks.get(name, 0))
        if not self._hold_back:
            self.flush()

    def replay(self, from_seq: int = 1) -> Iterator[tuple[int, int, bytes]]:
        return iter([row for row in self._rows if row[0] >= from_seq])

    def free_bytes(self) -> int:
        return 0 if self._error else self.room

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        return self._durable_seq >= seq

    def wait_idle(self, timeout_s: float) -> bool:
        """Write what waits, as `SqliteJournal.wait_idle` lets its thread do."""
        self.flush()
        return not (
            self._queue or self._snapshot_due or self._prune_due or self._marks != self._durable_marks
        )

    def close(self, timeout_s: float = 5.0) -> bool:
        if not self._closed:
            self._closed = True
            self.flush()
        return not self._queue and not self._error

    def after_cut(self) -> "MemoryJournal":
        """The journal that a restart would find: what was durable, and nothing that only waited."""
        other = MemoryJournal(
            hold_back=self._hold_back,
            wall_ms=self._wall_ms,
            keep_rows=self._keep_rows,
            max_queued=self._max_queued,
            epoch=self._epoch,
        )
        other._rows = deque(self._rows)
        other._durable_seq = self._durable_seq
        other._snapshots = list(self._snapshots)
        other._marks = dict(self._durable_marks)
        other._durable_marks = dict(self._durable_marks)
        return other

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError("journal is closed")
