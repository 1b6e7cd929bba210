"""One suite over both journals, then what only a file can suffer: a full disk, a slow one, a second process."""

import re
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cell_controller.cpython.journal import Journal, JournalError, MemoryJournal, SqliteJournal

WAIT_S = 20.0
WALL_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z


class Store:
    """Makes journals of one kind and opens them again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "journal.sqlite"
        self.journals: list[Journal] = []

    def open(self, keep_rows: int = 1_000) -> SqliteJournal | MemoryJournal:
        journal: SqliteJournal | MemoryJournal
        if self.kind == "sqlite":
            journal = SqliteJournal(self.path, wall_ms=lambda: WALL_MS, keep_rows=keep_rows)
        else:
            journal = MemoryJournal(wall_ms=lambda: WALL_MS, keep_rows=keep_rows)
        self.journals.append(journal)
        return journal

    def reopen(self, journal: SqliteJournal | MemoryJournal) -> SqliteJournal | MemoryJournal:
        assert journal.close(WAIT_S)
        if isinstance(journal, MemoryJournal):
            return journal.after_cut()
        return self.open()


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(request.param, tmp_path)
    yield made
    for journal in made.journals:
        journal.close(WAIT_S)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def fill(journal: Journal, count: int, text: str = "record") -> int:
    for _ in range(count):
        last = journal.append(f"{text} {journal.last_seq + 1}".encode())
    assert journal.wait_durable(last, WAIT_S), f"durable {journal.durable_seq} of {last}: {journal.error!r}"
    return last


def records(journal: Journal, from_seq: int = 1) -> list[tuple[int, bytes]]:
    return [(seq, record) for seq, _, record in journal.replay(from_seq)]


def expected(first: int, last: int) -> list[tuple[int, bytes]]:
    return [(seq, f"record {seq}".encode()) for seq in range(first, last + 1)]


def test_both_journals_keep_the_contract_by_type() -> None:
    kinds: list[type[Journal]] = [SqliteJournal, MemoryJournal]
    assert len(kinds) == 2


def test_a_new_journal_is_empty(store: Store) -> None:
    journal = store.open()
    assert (journal.last_seq, journal.durable_seq, journal.snapshot_seq) == (0, 0, 0)
    assert (journal.state, journal.error, journal.opened) == (0, "", "")
    assert list(journal.replay()) == []
    assert journal.last_snapshot() is None
    assert journal.free_bytes() > 0
    assert re.fullmatch("[0-9a-f]{16}", journal.epoch)


def test_records_are_numbered_from_one_and_come_back_in_order_with_their_time(store: Store) -> None:
    journal = store.open()
    assert [journal.append(b"a"), journal.append(b""), journal.append(b"\0\xff")] == [1, 2, 3]
    assert journal.wait_durable(3, WAIT_S)
    assert list(journal.replay(1)) == [(1, WALL_MS, b"a"), (2, WALL_MS, b""), (3, WALL_MS, b"\0\xff")]


def test_replay_starts_where_it_is_asked_to_and_crosses_pages(store: Store) -> None:
    journal = store.open()
    fill(journal, 1_000)
    assert records(journal) == expected(1, 1_000)
    assert records(journal, 513) == expected(513, 1_000)
    assert records(journal, 1_001) == []


def test_numbers_go_on_after_a_restart_and_the_epoch_stays(store: Store) -> None:
    first = store.open()
    fill(first, 3)
    second = store.reopen(first)
    assert (second.epoch, second.opened, second.durable_seq) == (first.epoch, "", 3)
    fill(second, 2)
    assert records(second) == expected(1, 5)


def test_numbers_go_on_after_everything_old_was_pruned(store: Store) -> None:
    first = store.open(keep_rows=1)
    fill(first, 10)
    first.snapshot(b"state")
    first.prune(11)
    assert first.wait_idle(WAIT_S)
    assert records(first) == expected(10, 10)
    second = store.reopen(first)
    assert second.append(b"next") == 11
    assert second.last_snapshot() == (10, b"state")


def test_a_snapshot_is_the_newest_and_survives(store: Store) -> None:
    first = store.open()
    fill(first, 5)
    first.snapshot(b"at three", 3)
    assert first.wait_idle(WAIT_S)
    first.snapshot(b"at five")
    assert first.wait_idle(WAIT_S)
    assert first.snapshot_seq == 5
    assert store.reopen(first).last_snapshot() == (5, b"at five")


def test_a_snapshot_of_a_record_that_is_not_there_is_refused(store: Store) -> None:
    journal = store.open()
    fill(journal, 2)
    for seq in (0, 3):
        with pytest.raises(ValueError, match=rf"snapshot up to record {seq}: the journal has 1\.\.2"):
            journal.snapshot(b"state", seq)


def test_prune_keeps_what_no_snapshot_covers(store: Store) -> None:
    journal = store.open(keep_rows=1)
    fill(journal, 10)
    journal.prune(11)
    assert journal.wait_idle(WAIT_S)
    assert records(journal) == expected(1, 10)
    journal.snapshot(b"state", 4)
    journal.prune(11)
    assert journal.wait_idle(WAIT_S)
    assert records(journal) == expected(5, 10)


def test_prune_keeps_what_is_not_delivered_and_the_newest_rows(store: Store) -> None:
    journal = store.open(keep_rows=2)
    fill(journal, 10)
    journal.set_delivered("history", 6)
    journal.set_delivered("orders", 9)
    journal.snapshot(b"state")
    journal.prune(11)
    assert journal.wait_idle(WAIT_S)
    assert records(journal) == expected(7, 10)
    journal.set_delivered("history", 10)
    journal.set_delivered("orders", 10)
    journal.prune(11)
    assert journal.wait_idle(WAIT_S)
    assert records(journal) == expected(9, 10)


def test_delivery_marks_survive_and_never_go_back(store: Store) -> None:
    first = store.open()
    fill(first, 5)
    assert first.delivered("mqtt") == 0
    first.set_delivered("mqtt", 4)
    first.set_delivered("mqtt", 2)
    assert first.delivered("mqtt") == 4
    second = store.reopen(first)
    assert (second.delivered("mqtt"), second.delivered("other")) == (4, 0)


def test_what_is_not_durable_cannot_be_delivered(store: Store) -> None:
    journal = store.open()
    with pytest.raises(ValueError, match="mqtt: record 1 cannot be delivered, durable up to 0"):
        journal.set_delivered("mqtt", 1)


def test_a_closed_journal_takes_nothing_more(store: Store) -> None:
    journal = store.open()
    fill(journal, 1)
    assert journal.close(WAIT_S)
    for call in (lambda: journal.append(b"x"), lambda: journal.snapshot(b"x"), lambda: journal.prune(1)):
        with pytest.raises(JournalError, match="closed"):
            call()
    assert journal.close(WAIT_S)


def test_every_durable_call_passes_the_hook_before_and_after(store: Store) -> None:
    journal = store.open(keep_rows=1)
    calls: list[tuple[str, int]] = []
    journal.cut_hook = lambda where, number: calls.append((where, number))
    fill(journal, 1)
    fill(journal, 1)
    journal.set_delivered("mqtt", 2)
    assert journal.wait_idle(WAIT_S)
    journal.snapshot(b"state")
    assert journal.wait_idle(WAIT_S)
    journal.prune(3)
    assert journal.wait_idle(WAIT_S)
    kinds = ["commit", "commit", "set_delivered", "snapshot", "prune"]
    assert calls == [
        (f"{side} {kind}", number) for number, kind in enumerate(kinds, 1) for side in ("before", "after")
    ]


def test_memory_journal_makes_durable_what_the_test_says() -> None:
    journal = MemoryJournal(hold_back=True)
    for _ in range(3):
        journal.append(b"x")
    journal.snapshot(b"state", 2)
    assert (journal.last_seq, journal.durable_seq) == (3, 0)
    assert journal.flush(1) == 1
    assert (journal.durable_seq, journal.snapshot_seq) == (1, 0)
    assert journal.flush() == 2
    assert (journal.durable_seq, journal.snapshot_seq) == (3, 2)


def test_memory_journal_forgets_in_a_cut_what_only_waited() -> None:
    journal = MemoryJournal(hold_back=True)
    journal.append(b"kept")
    journal.flush()
    journal.append(b"lost")
    journal.set_delivered("mqtt", 1)
    after = journal.after_cut()
    assert records(after) == [(1, b"kept")]
    assert after.delivered("mqtt") == 0
    assert after.append(b"again") == 2


def test_memory_journal_with_a_full_disk_keeps_records_in_order() -> None:
    journal = MemoryJournal()
    journal.append(b"1")
    journal.state = 1
    journal.append(b"2")
    journal.append(b"3")
    assert (journal.state, journal.durable_seq, journal.free_bytes()) == (1, 1, 0)
    assert "full" in journal.error
    journal.state = 0
    assert records(journal) == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert (journal.state, journal.durable_seq) == (0, 3)


def test_a_replay_may_be_dropped_by_another_thread(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        fill(journal, 600)
        reading = journal.replay()
        assert isinstance(reading, Generator)
        next(reading)
        failures: list[BaseException] = []

        def drop() -> None:
            try:
                reading.close()
            except sqlite3.Error as error:
                failures.append(error)

        thread = threading.Thread(target=drop)
        thread.start()
        thread.join(WAIT_S)
        assert failures == []


class Gate:
    """A hook that holds the journal thread at its next durable call until opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.points: list[str] = []

    def __call__(self, where: str, number: int) -> None:
        self.points.append(where)
        self.reached.set()
        assert self.opened.wait(WAIT_S)


def test_what_waits_is_written_as_one_group(path: Path) -> None:
    gate = Gate()
    with closing(SqliteJournal(path, cut_hook=gate)) as journal:
        journal.append(b"first")
        assert gate.reached.wait(WAIT_S)
        for _ in range(50):
            journal.append(b"more")
        assert journal.durable_seq == 0
        gate.opened.set()
        assert journal.wait_durable(51, WAIT_S)
        assert gate.points == ["before commit", "after commit"] * 2


def test_append_never_waits_for_the_disk_and_says_when_the_queue_is_full(path: Path) -> None:
    gate = Gate()
    with closing(SqliteJournal(path, cut_hook=gate, max_queued=8)) as journal:
        for number in range(8):
            assert journal.append(b"x") == number + 1
        with pytest.raises(JournalError, match="8 records wait to be written"):
            journal.append(b"x")
        gate.opened.set()
        assert journal.wait_durable(8, WAIT_S)
        assert journal.append(b"x") == 9


def test_delivery_marks_alone_are_durable_after_a_while_and_not_at_once(path: Path) -> None:
    calls: list[str] = []
    with closing(SqliteJournal(path)) as journal:
        fill(journal, 3)
        done = threading.Event()

        def hook(where: str, number: int) -> None:
            calls.append(where)
            done.set() if where == "after set_delivered" else None

        journal.cut_hook = hook
        for seq in (1, 2, 3):
            journal.set_delivered("mqtt", seq)
        assert done.wait(WAIT_S), calls
        assert calls == ["before set_delivered", "after set_delivered"]


def test_the_file_is_written_ahead_and_fully_synced(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        fill(journal, 1)
        assert path.with_name(path.name + "-wal").stat().st_size > 0
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_second_user_of_the_file_is_refused(path: Path) -> None:
    with closing(SqliteJournal(path)), pytest.raises(JournalError, match="in use by another process"):
        SqliteJournal(path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="is the directory there"):
        SqliteJournal(tmp_path / "nowhere" / "journal.sqlite")


def test_a_record_may_be_read_while_others_are_written(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        fill(journal, 600)
        reading = iter(journal.replay())
        assert next(reading)[0] == 1
        fill(journal, 600)
        assert [seq for seq, _, _ in reading] == list(range(2, 601))


def eventually(journal: SqliteJournal, state: int) -> None:
    """Wait for the journal to reach `state`, and print what it said if it does not."""
    with journal._done:  # the journal's own event: there is no other that tells of a failure
        assert journal._done.wait_for(lambda: journal.state == state, WAIT_S), (journal.state, journal.error)


def test_full_disk_keeps_records_in_order_and_goes_on_when_space_returns(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        fill(journal, 10)
        journal.limit_bytes = 1
        for _ in range(40):
            journal.append(f"record {journal.last_seq + 1}".ljust(10).encode() + b"." * 500)
        eventually(journal, 1)
        assert "full" in journal.error
        assert "make room" in journal.error
        assert journal.free_bytes() == 0
        durable = journal.durable_seq
        assert 10 <= durable < 50
        assert len(list(journal.replay())) == durable
        journal.limit_bytes = None
        assert journal.wait_durable(50, WAIT_S), journal.error
        eventually(journal, 0)
        assert [int(record.split(b".")[0].split()[1]) for _, _, record in journal.replay()] == list(
            range(1, 51)
        )


def test_closing_on_a_full_disk_ends_in_time_and_says_that_records_were_lost(path: Path) -> None:
    journal = SqliteJournal(path)
    fill(journal, 10)
    journal.limit_bytes = 1
    for _ in range(40):
        journal.append(b"." * 500)
    eventually(journal, 1)
    assert not journal.close(0.3)
    assert "records wait" in journal.error
    with closing(SqliteJournal(path)) as again:
        assert records(again, 1)[:10] == expected(1, 10)


LIMITED = """
import resource, sys
from cell_controller.cpython.journal import SqliteJournal
journal = SqliteJournal(sys.argv[1])
journal.append(b"first")
assert journal.wait_durable(1, 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
for _ in range(1000):
    journal.append(b"x" * 1000)
with journal._done:
    assert journal._done.wait_for(lambda: journal.state == 1, 20)
print(journal.error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert journal.wait_durable(1001, 20), journal.error
assert [seq for seq, _, _ in journal.replay()] == list(range(1, 1002))
assert journal.close()
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system has no limit of file size")
def test_a_write_that_the_system_refuses_is_tried_again(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1000 records wait" in done.stdout
    with closing(SqliteJournal(path)) as journal:
        assert (journal.opened, journal.durable_seq) == ("", 1_001)


def test_a_failing_hook_is_seen_and_not_swallowed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda caught: seen.append(str(caught.exc_value)))

    def hook(where: str, number: int) -> None:
        raise RuntimeError("broken hook")

    journal = SqliteJournal(path, cut_hook=hook)
    journal.append(b"x")
    eventually(journal, 1)
    assert "restart the controller" in journal.error
    assert not journal.close(WAIT_S)
    assert seen == ["broken hook"]
