"""SIGKILL before and after every durable call of a small script: what was reported durable is there, once, in order."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cell_controller.cpython.journal import Journal, MemoryJournal, SqliteJournal
from hil.cuts import install_from_environment

WAIT_S = 20.0
ROUNDS = 4
ALL_CALLS = (
    3 * ROUNDS + ROUNDS + ROUNDS + ROUNDS
)  # three commits, a mark, a snapshot and a prune in each round

# Reports a number only when the journal says that it is durable; goes on from where it was cut.
SCRIPT = """
import sys
from cell_controller.cpython.journal import SqliteJournal
from hil.cuts import install_from_environment

def say(text):
    sys.stdout.write(text + chr(10))
    sys.stdout.flush()

journal = SqliteJournal(sys.argv[1], keep_rows=2)
install_from_environment(journal)
for _ in range(int(sys.argv[2])):
    for _ in range(3):
        seq = journal.append(b"record %d" % (journal.last_seq + 1))
        assert journal.wait_durable(seq, 20)
        say(f"durable {seq}")
    journal.set_delivered("mqtt", seq)
    assert journal.wait_idle(20)
    say(f"delivered {seq}")
    journal.snapshot(b"state %d" % seq)
    assert journal.wait_idle(20)
    say(f"snapshot {seq}")
    journal.prune(seq)
    assert journal.wait_idle(20)
journal.close()
say("end")
"""


def run(path: Path, cut_at: str, rounds: int = ROUNDS) -> tuple[int, dict[str, int]]:
    """Run the script with a cut; returns its exit status and the last number of each thing that it reported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(rounds)],
        env=os.environ | {"CELL_CUT_AT": cut_at},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    said = dict(line.split() for line in done.stdout.splitlines() if line != "end")
    return done.returncode, {name: int(number) for name, number in said.items()}


def check(path: Path, said: dict[str, int]) -> int:
    """Assert the promise over what is in the file; returns its last record."""
    with closing(SqliteJournal(path, keep_rows=2)) as journal:
        assert journal.opened == ""
        rows = [(seq, record) for seq, _, record in journal.replay()]
        first = rows[0][0] if rows else 1
        assert rows == [(seq, b"record %d" % seq) for seq in range(first, journal.durable_seq + 1)]
        durable = said.get("durable", 0)
        assert durable <= journal.durable_seq <= durable + 1, (
            "at most the one under way may be there unreported"
        )
        assert journal.delivered("mqtt") >= said.get("delivered", 0)
        assert journal.snapshot_seq >= said.get("snapshot", 0)
        found = journal.last_snapshot()
        if found is not None:
            seq, body = found
            assert body == b"state %d" % seq
        assert first <= (found[0] if found else 0) + 1, "the snapshot and the records after it have no hole"
        return journal.durable_seq


@pytest.mark.parametrize("where", ["", ":after"])
@pytest.mark.parametrize("call", range(1, ALL_CALLS + 1))
def test_a_cut_at_any_durable_call_keeps_what_was_reported(tmp_path: Path, call: int, where: str) -> None:
    path = tmp_path / "journal.sqlite"
    status, said = run(path, f"{call}{where}")
    if status == 0:
        assert call > ALL_CALLS - ROUNDS, "a prune may find nothing to do, nothing else may be missing"
        return
    last = check(path, said)
    _, again = run(path, "2:after", rounds=1)
    check(path, {"durable": max(last, said.get("durable", 0))} | again)


def test_without_a_cut_the_script_ends(tmp_path: Path) -> None:
    status, said = run(tmp_path / "journal.sqlite", "")
    assert (status, said) == (0, {"durable": 12, "delivered": 12, "snapshot": 12})


def test_the_cut_is_at_the_call_that_was_named(tmp_path: Path) -> None:
    assert run(tmp_path / "before.sqlite", "3")[1] == {"durable": 2}
    assert check(tmp_path / "before.sqlite", {"durable": 2}) == 2
    assert run(tmp_path / "after.sqlite", "3:after")[1] == {"durable": 2}
    assert check(tmp_path / "after.sqlite", {"durable": 2}) == 3


def test_no_variable_no_hook() -> None:
    journal: Journal = MemoryJournal()
    assert not install_from_environment(journal, {})
    assert journal.cut_hook is None


@pytest.mark.parametrize("text", ["0", "-1", "x", "3:before", "\u0663", " 3"])
def test_a_cut_that_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give the number of a durable call"):
        install_from_environment(MemoryJournal(), {"CELL_CUT_AT": text})
