"""Backups, and a dead controller replaced: nothing is made twice, nothing is lost that somebody still has."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cell_controller.cpython.broker import Broker, start_broker
from host_tools import backup as bk
from host_tools import backup_linux
from host_tools.backup import BackupError, read_backup
from host_tools.cellctl import run_command
from host_tools.client import CellClient
from host_tools.commands_common import Parser
from host_tools.commands_deploy import add
from host_tools.output import Output, ToolError
from tests.deploy.bundles import EXAMPLE, make_bundle
from tests.deploy.machine import CELL, Pi
from tests.service.cuts import make_quick
from tests.service.process import BASE

SPEED = 6


def cellctl(*words: str) -> int:
    """A command as a technician types it; its exit code."""
    parser = Parser()
    add(parser.add_subparsers())
    return run_command(parser.parse_args(list(words)), Output(as_json="--json" in words))


def epoch(journal: Path) -> str:
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        return str(connection.execute("SELECT value FROM about WHERE name = 'epoch'").fetchone()[0])


def serials(pi: Pi) -> list[int]:
    """Of the items that were finished, oldest first, as far as this controller knows them."""
    return [int(record["serial"]) for record in pi.ask("query", what="items")["data"]["items"]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example cell with short times, so that an item takes a second."""
    target = tmp_path_factory.mktemp("quick") / "cell"
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("__pycache__", ".run"))
    make_quick(target)
    return make_bundle(target.with_name("quick.cell"), cell=target)


@dataclass
class Story:
    """A controller that died after its last backup, and what was done until then."""

    old: Pi
    bundle: Path
    backups: Path
    epoch: str
    presences: list[dict[str, Any]]


@pytest.fixture(scope="module")
def story(
    new_pi: Callable[[], Pi], bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """Three ordered; backed up with one made and the second in work; the second made; then it died."""
    old = new_pi()
    backups = tmp_path_factory.mktemp("backups")
    old.root.mkdir(parents=True)
    settings = {"board": "sim", "speed": SPEED, "serial": "PI-0007", "broker_password": "secret"}
    (old.root / "settings.json").write_text(json.dumps(settings))
    broker = start_broker()
    try:
        outcome = old.deploy(bundle, broker=f"{broker.host}:{broker.port}")
        assert outcome.exit_code == 0, f"{outcome.text}\n{old.log()}"
        with heard(broker) as presences:
            reply = old.ask(
                "order.submit", order_id="big", product="bonnet", count=3, options={"colour": "burgundy"}
            )
            assert reply["ok"], reply
            old.make_ready()
            old.until(
                lambda: old.view["good"] == 1 and old.view["item"].get("step") == "spray",
                "the second item's spray",
            )
            assert old.command("hold")["ok"]
            file = backups / "monday.cellbackup"
            assert cellctl("backup", old.sshd.target().text, str(file), *old.words()) == 0
            old.until(lambda: old.view["state"] == "Held", "Held")
            assert old.command("unhold")["ok"]
            old.until(lambda: old.view["good"] == 2, "the second item")
            assert serials(old) == [1, 2]
            old.kill()
            (backups / "newer-but-broken.cellbackup").write_bytes(file.read_bytes()[:-100])
            yield Story(old, bundle, backups, epoch(old.places.journal(CELL)), presences)
    finally:
        broker.stop()


@contextmanager
def heard(broker: Broker) -> Iterator[list[dict[str, Any]]]:
    """What the cell says of its presence on a broker, as a plant's system hears it."""
    said: list[dict[str, Any]] = []
    client = CellClient.mqtt(broker.host, broker.port, BASE)
    ended = threading.Event()

    def hear(topic: str, value: Any) -> None:
        if topic == "presence":
            said.append(value)

    thread = threading.Thread(target=client.watch, args=(hear, ended), daemon=True)
    thread.start()
    try:
        yield said
    finally:
        ended.set()
        thread.join(5.0)
        client.close()


def test_a_stale_backup_brings_orders_back_as_unknown(story: Story, new_pi: Callable[[], Pi]) -> None:
    """From the newest whole backup of the folder: nothing starts, nothing is made twice, no serial comes twice."""
    new = new_pi()
    host = new.sshd.target().text
    words = ["swap", host, str(story.bundle), "--from", str(story.backups), *new.words()]
    assert cellctl(*words) == 0, new.log()
    assert new.view["state"] == "Aborted"
    assert new.view["reason"].startswith("from a backup of 20")
    assert epoch(new.places.journal(CELL)) != story.epoch
    new.until(
        lambda: story.presences[-1].get("epoch") not in ("", None, story.epoch), "the new epoch at the broker"
    )
    assert json.loads((new.root / "settings.json").read_text())["serial"] == "PI-0007"

    assert new.command("clear")["ok"]
    new.until(lambda: new.view["state"] == "Stopped", "Stopped")
    assert new.command("reset")["name"] == "question_open"
    assert "item 0002 interrupted" in new.view["waiting_for"]
    assert new.ask("answer", item=2, answer="scrap")["ok"]
    assert "order big had 1 of 3 good" in new.view["waiting_for"]
    assert new.command("reset")["name"] == "question_open"
    assert serials(new) == [1]

    assert new.ask("order.resume", order_id="big", good=2)["ok"]
    assert new.command("reset")["ok"]
    new.until(lambda: new.view["queue"] == 0, "the rest of the order")
    assert new.view["good"] == 3
    made = serials(new)
    assert made == [1, 2, 1003]
    assert len(set(made)) == len(made)

    before = new.registered["pid"]
    assert cellctl(*words) == 0
    assert new.registered["pid"] == before, "it was done before, and what was made since is kept"


@pytest.mark.soak
def test_the_card_of_the_dead_machine_goes_on_where_it_was(story: Story, new_pi: Callable[[], Pi]) -> None:
    new = new_pi()
    words = ["swap", new.sshd.target().text, str(story.bundle), "--from", str(story.old.prefix), *new.words()]
    assert cellctl(*words) == 0, new.log()
    assert epoch(new.places.journal(CELL)) == story.epoch
    assert "backup" not in new.view["reason"]
    question = new.view["question"]
    if question:
        assert new.ask("answer", item=question["item"], answer="repeat")["ok"]
    new.make_ready()
    new.until(lambda: new.view["queue"] == 0, "the rest of the order")
    assert serials(new) == [1, 2, 3]


def test_the_card_of_the_dead_machine_is_complete(story: Story) -> None:
    backup, end = bk.find(story.old.prefix, CELL)
    assert (end, backup.manifest["running"]) == (True, False)
    assert bk.history(backup)["good"] == 2
    prepared = bk.prepare(backup, end)
    assert prepared is not None
    assert not prepared.unknown
    lies = story.old.places.journal(CELL)
    assert lies.with_name("journal-wal").exists(), "nothing beside the dead journal was changed"
    copy = story.backups / "journal"
    copy.write_bytes(prepared.content)
    assert epoch(copy) == story.epoch


def test_a_backup_tells_what_is_in_it_and_names_secrets(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = read_backup(story.backups / "monday.cellbackup")
    assert (backup.manifest["kind"], backup.manifest["running"], backup.manifest["serial"]) == (
        "linux",
        True,
        "PI-0007",
    )
    assert backup.manifest["secrets"] == ["settings.json: broker_password"]
    assert (story.backups / "monday.cellbackup").stat().st_mode & 0o077 == 0
    assert bk.history(backup) == {
        "last_serial": 2,
        "good": 1,
        "item": 2,
        "open": [["big", 1, 3]],
        "damage": "",
    }
    assert "cell/recipes/bonnet.toml" in backup.files


def test_a_backup_of_a_running_controller_is_never_complete(story: Story, new_pi: Callable[[], Pi]) -> None:
    new = new_pi()
    file = str(story.backups / "monday.cellbackup")
    words = ["swap", new.sshd.target().text, str(story.bundle), "--from", file, "--complete", *new.words()]
    assert cellctl(*words) == 2
    assert not new.root.exists()


def test_a_swap_says_first_what_it_would_do(
    story: Story, new_pi: Callable[[], Pi], capsys: pytest.CaptureFixture[str]
) -> None:
    new = new_pi()
    words = ["swap", new.sshd.target().text, str(story.bundle), "--from", str(story.backups), *new.words()]
    assert cellctl(*words, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "big had 1 of 3 good" in said
    assert "would do in slot a: send, install, restore, try, confirm" in said
    assert not new.root.exists()


# --- what is refused ---


@pytest.fixture(scope="module")
def good(story: Story) -> bytes:
    return (story.backups / "monday.cellbackup").read_bytes()


def test_an_archive_that_was_cut_or_changed_is_refused(good: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.cellbackup"
    for length in (0, 10, len(good) // 2, len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(BackupError, match="is no backup or was cut short"):
            read_backup(file)
    place = good.index(b"PI-0007", good.index(b"settings.json"))
    file.write_bytes(good[:place] + b"PI-0008" + good[place + 7 :])
    with pytest.raises(BackupError):
        read_backup(file)


def test_foreign_archives_are_refused(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(BackupError, match="no backup of a controller"):
        read_backup(bundle)
    file = tmp_path / "evil.cellbackup"
    manifest = {"kind": "linux", "cell": "paint-1", "taken_ms": 1, "running": False}
    file.write_bytes(backup_linux.pack(manifest, {"cell/../../etc/passwd": b"x"}))
    with pytest.raises(BackupError, match="has a file named"):
        read_backup(file)
    file.write_bytes(backup_linux.pack({**manifest, "kind": "fridge"}, {}))
    with pytest.raises(BackupError, match="no backup of a controller"):
        read_backup(file)


def test_another_cells_backup_and_a_microcontrollers_are_refused(
    story: Story, good: bytes, tmp_path: Path
) -> None:
    backup = bk.parse_backup(good, tmp_path / "good")
    file = tmp_path / "other.cellbackup"
    file.write_bytes(backup_linux.pack({**backup.manifest, "cell": "form-1"}, backup.files))
    with pytest.raises(BackupError, match="is of cell form-1, not of paint-1"):
        bk.same_cell(read_backup(file), "paint-1")
    with pytest.raises(ToolError, match="no whole backup of paint-1"):
        bk.find(tmp_path, "paint-1")
    file.write_bytes(
        backup_linux.pack({**backup.manifest, "kind": "microcontroller"}, {"journal.area": b"\xff" * 8})
    )
    with pytest.raises(BackupError, match="of a microcontroller"):
        bk.prepare(read_backup(file), False)


def test_of_a_damaged_journal_the_good_part_comes_back_as_unknown(good: bytes, tmp_path: Path) -> None:
    backup = bk.parse_backup(good, tmp_path / "good")
    journal = bytearray(backup.files["journal.sqlite"])
    place = journal.rindex(b"big")
    journal[place : place + 3] = b"bag"
    damaged = bk.parse_backup(
        backup_linux.pack(backup.manifest, {**backup.files, "journal.sqlite": bytes(journal)}),
        tmp_path / "damaged",
    )
    prepared = bk.prepare(damaged, complete=True)
    assert prepared is not None
    assert prepared.unknown
    assert "damaged" in prepared.said[-1]
    torn = {**backup.files, "journal.sqlite": b"SQLite format 3\0" + b"\xff" * 5000}
    with pytest.raises(BackupError, match="nothing of its journal can be read"):
        bk.prepare(bk.parse_backup(backup_linux.pack(backup.manifest, torn), tmp_path / "torn"), False)


def test_a_cell_directory_is_backed_up_and_restored_without_ssh(
    story: Story, tmp_path: Path, good: bytes
) -> None:
    directory = tmp_path / "cell"
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("__pycache__", ".run"))
    file = story.backups / "monday.cellbackup"
    assert cellctl("restore", str(file), "--local", str(directory)) == 0
    assert cellctl("restore", str(file), "--local", str(directory)) == 2, "it was done before"
    copy = tmp_path / "again.cellbackup"
    assert cellctl("backup", "--local", str(directory), str(copy)) == 0
    known = bk.history(read_backup(copy))
    assert (known["last_serial"], known["open"]) == (1002, [["big", 1, 3]])
    other = tmp_path / "third"
    shutil.copytree(EXAMPLE, other, ignore=shutil.ignore_patterns("__pycache__", ".run"))
    assert cellctl("restore", str(copy), "--complete", "--local", str(other)) == 0
    assert epoch(other / ".run" / "journal") == epoch(directory / ".run" / "journal")
