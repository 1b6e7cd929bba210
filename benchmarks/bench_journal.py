"""Appending to the journal against raw sqlite3 with the same table, settings and file system (both really sync)."""

import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.timing import half_quartiles, paired, row
from cell_controller.cpython.journal import SqliteJournal
from cell_controller.cpython.journal_file import SCHEMA, row_crc

RECORD = bytes(range(20)) + b"d4:name5:sprayi3ee"
COMMITS = 150
DEPTH = 16
WAIT_S = 30.0


class RawStore:
    """What the journal is compared with: one insert, one commit, no thread, no queue."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.executescript(SCHEMA)
        self.seq = 0

    def rate(self) -> float:
        """Durable commits per second, one record each."""
        start = time.perf_counter()
        for _ in range(COMMITS):
            self.seq += 1
            wall_ms = time.time_ns() // 1_000_000
            values = (self.seq, wall_ms, RECORD, row_crc(self.seq, wall_ms, RECORD))
            self.connection.execute("INSERT INTO facts VALUES (?,?,?,?)", values)
        return COMMITS / (time.perf_counter() - start)


def append_rate(journal: SqliteJournal, depth: int, count: int) -> float:
    """Records per second with at most `depth` of them not yet durable."""
    start = time.perf_counter()
    for _ in range(count):
        seq = journal.append(RECORD)
        if not journal.wait_durable(seq - depth + 1, WAIT_S):
            raise RuntimeError(f"record {seq} not durable after {WAIT_S} s: {journal.error or 'no error'}")
    if not journal.wait_durable(seq, WAIT_S):
        raise RuntimeError(f"record {seq} not durable after {WAIT_S} s: {journal.error or 'no error'}")
    return count / (time.perf_counter() - start)


def call_us(journal: SqliteJournal) -> list[float]:
    """Duration of single calls of append while the disk is busy with the ones before, microseconds."""
    times = []
    for number in range(2_000):
        start = time.perf_counter_ns()
        seq = journal.append(RECORD)
        times.append((time.perf_counter_ns() - start) / 1_000)
        if number % 20 == 19:
            journal.wait_durable(seq, WAIT_S)
    return sorted(times)


def run(directory: str = ".") -> list[dict[str, object]]:
    """Measure on the file system of `directory`, the project's by default (a RAM disk would say nothing)."""
    with tempfile.TemporaryDirectory(prefix=".bench_journal_", dir=directory) as folder:
        raw = RawStore(Path(folder, "raw.sqlite"))
        journal = SqliteJournal(Path(folder, "journal.sqlite"))
        single = paired(lambda: append_rate(journal, 1, COMMITS), raw.rate, rounds=21)
        group = paired(lambda: append_rate(journal, DEPTH, COMMITS * 8), raw.rate, rounds=21)
        calls = call_us(journal)
        journal.close()
        raw.connection.close()
    peer = f"raw sqlite3 {sqlite3.sqlite_version}, WAL, FULL, {single.second:.0f} commits/s"
    return [
        row("journal append, depth 1", single.ratio, "x raw", ">= 0.7", peer, single.spread),
        row(f"journal append, depth {DEPTH}", group.ratio, "x raw", ">= 4", peer, group.spread),
        row("journal append, depth 1, absolute", single.first, "records/s"),
        row(f"journal append, depth {DEPTH}, absolute", group.first, "records/s"),
        row("journal append, call, median", median(calls), "us", spread=half_quartiles(calls)),
        row("journal append, call, p99", calls[len(calls) * 99 // 100], "us"),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
