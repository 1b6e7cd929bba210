"""A damaged journal: the good part is kept in a new file, the damaged one moved aside, and it is said."""

import os
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cell_controller.cpython.journal import Journal, SqliteJournal
from cell_controller.cpython.journal_file import salvage

WAIT_S = 20.0
WALL_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z


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


def made(path: Path, count: int = 3_000) -> str:
    """A closed journal file with `count` records; returns its epoch."""
    journal = SqliteJournal(path)
    fill(journal, count)
    assert journal.close(WAIT_S)
    return journal.epoch


def edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def aside(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.glob(f"{path.name}.damaged-*"))


def check_saved(path: Path, epoch: str, last: int, reason: str) -> None:
    with closing(SqliteJournal(path, wall_ms=lambda: WALL_MS)) as journal:
        assert re.search(reason, journal.opened), journal.opened
        assert f"the damaged file is {path.name}.damaged-20231114T221320Z" in journal.opened
        assert aside(path)[0] == f"{path.name}.damaged-20231114T221320Z"
        assert journal.epoch != epoch
        assert journal.durable_seq == last
        assert records(journal) == expected(1, last)
        fill(journal, 1)
    with closing(SqliteJournal(path)) as again:
        assert (again.opened, again.durable_seq) == ("", last + 1)


def test_a_record_with_a_wrong_checksum_ends_the_good_part(path: Path) -> None:
    epoch = made(path)
    edit(path, "UPDATE facts SET record = x'00' WHERE seq = 2990")
    check_saved(path, epoch, 2_989, "record 2990 has a wrong checksum")


def test_a_missing_record_ends_the_good_part(path: Path) -> None:
    epoch = made(path)
    edit(path, "DELETE FROM facts WHERE seq = 1500")
    check_saved(path, epoch, 1_499, "record 1500 is missing")


def test_a_garbled_end_of_the_file_keeps_the_good_part(path: Path) -> None:
    epoch = made(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 2 * 4096)
        file.write(os.urandom(2 * 4096))
    kept, rows = salvage(path)
    assert 2_000 < kept.last < 3_000
    assert len(rows) == kept.last
    check_saved(path, epoch, kept.last, "malformed|damaged")


def test_a_file_cut_short_is_a_damaged_file(path: Path) -> None:
    epoch = made(path)
    os.truncate(path, path.stat().st_size - 3 * 4096)
    kept, _ = salvage(path)
    check_saved(path, epoch, kept.last, "was damaged")


def test_a_file_of_another_kind_is_moved_aside_and_said(path: Path) -> None:
    path.write_bytes(b"this is somebody's shopping list\n" * 1_000)
    check_saved(path, "", 0, "not a database.*nothing of it could be read")
    assert path.with_name(aside(path)[0]).read_bytes().startswith(b"this is somebody's")


def test_another_database_is_moved_aside_and_said(path: Path) -> None:
    edit(path, "CREATE TABLE stock (name TEXT)")
    check_saved(path, "", 0, "no such table.*nothing of it could be read")


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.touch()
    with closing(SqliteJournal(path)) as journal:
        assert (journal.opened, journal.durable_seq, aside(path)) == ("", 0, [])


def test_a_log_without_its_file_is_not_played_into_a_new_one(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(b"old log")
    with closing(SqliteJournal(path)) as journal:
        assert "damaged" in journal.opened
        assert aside(path)[0].endswith("-wal")


def test_damage_before_a_snapshot_costs_no_state(path: Path) -> None:
    journal = SqliteJournal(path)
    fill(journal, 2_000)
    journal.snapshot(b"state at 2000")
    fill(journal, 500)
    journal.set_delivered("mqtt", 2_400)
    assert journal.close(WAIT_S)
    edit(path, "UPDATE facts SET record = x'00' WHERE seq = 700")
    with closing(SqliteJournal(path)) as again:
        assert "record 700 has a wrong checksum" in again.opened
        assert again.last_snapshot() == (2_000, b"state at 2000")
        assert records(again) == expected(1, 699) + expected(701, 2_500)
        assert again.delivered("mqtt") == 2_400
        fill(again, 1)
    with closing(SqliteJournal(path)) as third:
        assert (third.opened, third.durable_seq) == ("", 2_501)


def test_a_damaged_snapshot_leaves_the_one_before(path: Path) -> None:
    journal = SqliteJournal(path, keep_rows=1)
    for text in (b"first", b"second"):
        fill(journal, 100)
        journal.snapshot(text)
        assert journal.wait_idle(WAIT_S)
        journal.prune(1_000)
        assert journal.wait_idle(WAIT_S)
    fill(journal, 10)
    assert journal.close(WAIT_S)
    edit(path, "UPDATE snapshots SET record = x'00' WHERE seq = 200")
    with closing(SqliteJournal(path)) as again:
        assert "a snapshot has a wrong checksum" in again.opened
        assert again.last_snapshot() == (100, b"first")
        assert records(again, 101) == expected(101, 210)


def test_a_file_older_than_its_delivery_marks_gets_a_new_epoch(path: Path) -> None:
    epoch = made(path, 10)
    edit(path, "INSERT INTO outbox VALUES ('mqtt', 12)")
    with closing(SqliteJournal(path)) as journal:
        assert "'mqtt' was delivered up to record 12, the file ends at 10" in journal.opened
        assert journal.epoch != epoch
        assert (journal.durable_seq, journal.delivered("mqtt")) == (10, 10)


def test_a_garbled_end_of_the_log_keeps_the_good_part(path: Path) -> None:
    journal = SqliteJournal(path)
    for _ in range(20):
        fill(journal, 1)
    wal = path.with_name(path.name + "-wal")
    copied = {path.name: path.read_bytes(), wal.name: wal.read_bytes()}
    assert journal.close(WAIT_S)
    other = path.parent / "copy"
    other.mkdir()
    for name, data in copied.items():
        (other / name).write_bytes(data)
    with (other / wal.name).open("r+b") as file:
        file.seek(32 + 12 * (4096 + 24))
        file.write(os.urandom(5_000))
    with closing(SqliteJournal(other / path.name)) as again:
        assert 5 < again.durable_seq < 20
        assert records(again) == expected(1, again.durable_seq)


@pytest.mark.parametrize("stage", ["new file only", "new file unfinished", "old file and new file"])
def test_a_cut_during_the_recovery_is_recovered_from(path: Path, stage: str) -> None:
    made(path, 30)
    edit(path, "UPDATE facts SET record = x'00' WHERE seq = 21")
    new = path.with_name(path.name + ".new")
    if stage == "new file only":
        made(new, 20)
        path.rename(path.with_name(path.name + ".damaged-20231114T221320Z"))
    elif stage == "new file unfinished":
        new.write_bytes(b"half a file")
    else:
        made(new, 5)
    with closing(SqliteJournal(path)) as journal:
        assert records(journal) == expected(1, 20)
    assert not new.exists()


def test_a_gap_that_a_prune_ends_in_is_no_new_damage(path: Path) -> None:
    journal = SqliteJournal(path, keep_rows=1)
    fill(journal, 100)
    journal.snapshot(b"state")
    assert journal.close(WAIT_S)
    edit(path, "DELETE FROM facts WHERE seq BETWEEN 10 AND 20")
    with closing(SqliteJournal(path, keep_rows=1)) as again:
        assert "record 10 is missing" in again.opened
        again.prune(16)
        assert again.wait_idle(WAIT_S)
        assert records(again) == expected(21, 100)
    with closing(SqliteJournal(path)) as third:
        assert (third.opened, third.durable_seq) == ("", 100)


def test_a_lost_snapshot_of_a_pruned_history_is_said(path: Path) -> None:
    journal = SqliteJournal(path, keep_rows=1)
    fill(journal, 100)
    journal.snapshot(b"state")
    journal.prune(51)
    assert journal.close(WAIT_S)
    edit(path, "UPDATE snapshots SET record = x'00'")
    with closing(SqliteJournal(path)) as again:
        assert "the snapshot up to record 50 is lost" in again.opened
        assert records(again) == expected(51, 100)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a journal with 600 records and a snapshot after the 300th."""
    path = tmp_path_factory.mktemp("whole") / "journal.sqlite"
    with closing(SqliteJournal(path)) as journal:
        fill(journal, 300)
        journal.snapshot(b"state " * 2_000)
        fill(journal, 300)
        journal.set_delivered("mqtt", 100)
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_damaged_only_true_records_come_back_and_nothing_is_hidden(
    path: Path, whole: bytes, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 512] = chance.randbytes(len(data[at : at + 512]))
            case 2:
                data[at : at + 4096] = bytes(len(data[at : at + 4096]))
            case _:
                del data[max(at, 1) :]
    path.write_bytes(data)
    with closing(SqliteJournal(path)) as journal:
        found = records(journal)
        assert set(found) <= set(expected(1, 600))
        assert [seq for seq, _ in found] == sorted({seq for seq, _ in found})
        if not journal.opened:
            assert found == expected(1, 600)
        snapshot = journal.last_snapshot()
        assert snapshot in (None, (300, b"state " * 2_000))
        base = snapshot[0] if snapshot else 0
        assert [seq for seq, _ in found if seq > base] == list(range(base + 1, journal.durable_seq + 1))
        assert journal.append(b"next") == journal.last_seq
        assert journal.wait_durable(journal.last_seq, WAIT_S)
    with closing(SqliteJournal(path)) as again:
        assert again.opened == ""
