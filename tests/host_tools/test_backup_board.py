"""A microcontroller backed up, replaced, restored: through the real tools, with the real application on both boards."""

import json
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cell_controller.micropython import loader
from hil.standin import StandIn
from hil.standin_bench import HEAP_KB, Flashed, StandInBench
from host_tools import backup as bk
from host_tools import backup_linux, board_history
from host_tools.backup import Backup, BackupError, read_backup
from host_tools.board_backup import Wish, restore, swap
from host_tools.board_console import APPLICATION, AT_PROMPT, ask, wait_prompt, who
from host_tools.build import build
from host_tools.bundle import Bundle, read_bundle
from host_tools.cellctl import run_command
from host_tools.commands_common import Parser
from host_tools.commands_deploy import add
from host_tools.flash import flash
from host_tools.output import DONE, NOT_REACHABLE, USAGE, Output, ToolError
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import SerialPort
from host_tools.slot_session import SlotSession
from tests.service.process import ROOT

CELL = ROOT / "examples" / "paint_cell"
SPEED = 10.0
SETTINGS = {"serial": "paint-1-a", "wifi": {"ssid": "hall 3", "password": "correct horse"}}
CALIBRATION = b"offset = 17\n"
Record = dict[str, Any]


def cellctl(*words: str) -> int:
    """A command as a technician types it; its exit code."""
    parser = Parser()
    add(parser.add_subparsers())
    out = Output(as_json="--json" in words)
    try:
        args = parser.parse_args(list(words))
    except ToolError as error:
        return out.failure(error)
    return run_command(args, out)


def area(flash_file: Path) -> bytes:
    """The journal as it lies on a board."""
    start = loader.FS_SECTORS * loader.SECTOR
    return flash_file.read_bytes()[start : start + loader.JOURNAL_SECTORS * loader.SECTOR]


def epoch(flash_file: Path) -> str:
    return board_history.book_of(area(flash_file))[1]


def serials(bench: StandInBench) -> list[int]:
    return [int(record["serial"]) for record in bench.records]


def put_files(bench: StandInBench) -> None:
    """Give the board what makes it this one, at its prompt, and start it again."""
    boots = bench.stand_in.boots
    assert bench.ask("repl")["ok"]
    assert wait_prompt(bench._port, 10)
    repl = RawRepl(bench._port)
    repl.enter(10)
    session = SlotSession(repl)
    session.write_file("/settings.json", json.dumps(SETTINGS).encode())
    session.write_file("/calibration.txt", CALIBRATION)
    session.reset()
    bench.stand_in.wait_boot(boots + 2)
    bench._lines.forget()
    bench.wait_up()


@dataclass
class Story:
    """A board that made one of three, was backed up, made a second, and died."""

    file: Path  # its flash at its end
    stale: Path
    bundle: Path
    epoch: str


@pytest.fixture(scope="module")
def story(flashed_boards: Flashed, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    file = flashed_boards.copy(CELL, folder / "old.bin")
    built = build(CELL, "rp2", out=folder / "paint.cell")
    stale = folder / "monday.cellbackup"
    bench = StandInBench(CELL, file, SPEED)
    try:
        put_files(bench)
        bench.order("bonnet", 3, order_id="big", colour="primer")
        bench.run_to_step("spray")
        assert bench.order_verb("pause", "big")["ok"]
        bench._port.close()
        assert cellctl("backup", "--port", bench.stand_in.port, str(stale)) != DONE
        assert not stale.exists(), "an item is in work"
        bench._port.reopen(5)
        bench._lines.forget()
        bench.run_until(lambda: bench.counts == (1, 0), "the first item", 60)
        bench.run_to("Suspended")
        assert bench.command("stop")["ok"]
        bench.run_to("Stopped")
        bench._port.close()
        assert cellctl("backup", "--port", bench.stand_in.port, str(stale)) == DONE
        bench._port.reopen(5)
        bench._lines.forget()
        assert bench.state == "Aborted"
        assert bench.order_verb("resume", "big")["ok"]
        bench.make_ready()
        bench.run_to_step("spray")
        assert bench.order_verb("pause", "big")["ok"]
        bench.run_until(lambda: bench.counts == (2, 0), "the second item", 60)
        bench.run_to("Suspended")
    finally:
        bench.close()
    return Story(file, stale, built.bundle.path, epoch(file))


def test_a_backup_holds_what_makes_the_board_this_one(story: Story) -> None:
    backup = read_backup(story.stale)
    assert stat.S_IMODE(story.stale.stat().st_mode) == 0o600
    assert (backup.manifest["kind"], backup.cell, backup.manifest["serial"]) == (
        "microcontroller",
        "paint-1",
        "paint-1-a",
    )
    assert backup.manifest["running"]
    assert backup.manifest["secrets"] == ["settings.json: wifi: password"]
    assert sorted(backup.files) == ["files/calibration.txt", "files/settings.json", "journal.area"]
    assert bk.history(backup) == {
        "last_serial": 1,
        "good": 1,
        "item": None,
        "open": [["big", 1, 3]],
        "damage": "",
    }


def test_a_stale_backup_on_a_blank_board_makes_only_what_a_person_says_is_missing(
    story: Story, tmp_path: Path
) -> None:
    file = tmp_path / "new.bin"
    with StandIn(file, heap_kb=HEAP_KB, cell=CELL, speed=SPEED) as board:
        words = ["swap", "--port", board.port, str(story.bundle), "--from", str(story.stale.parent)]
        assert cellctl(*words) == DONE
    bench = StandInBench(CELL, file, SPEED)
    try:
        assert bench.state == "Aborted"
        assert bench.reason.startswith("from a backup of 20")
        assert bench.ask("about")["data"]["serial"] == "paint-1-a"
        assert bench.command("clear")["ok"]
        bench.run_to("Stopped")
        assert bench.command("reset")["name"] == "question_open"
        assert "order big had 1 of 3 good" in bench.view["waiting_for"]
        assert bench.order_verb("resume", "big")["name"] == "bad_count"
        assert serials(bench) == [1]
        assert bench.order_verb("resume", "big", good=2)["ok"]
        bench.command("reset")
        bench.run_until(lambda: bench.counts == (3, 0), "the last item", 60)
        bench.run_until(lambda: bench.view["queue"] == 0, "the end of the order")
        assert serials(bench) == [1, 1002]
        assert bench.damage == []
    finally:
        bench.close()
    assert epoch(file) != story.epoch
    assert board_history.book_of(area(file))[2] == ""


# --- what is refused ---


def blank(tmp_path: Path) -> StandIn:
    """A board that nobody has used yet."""
    return StandIn(tmp_path / "blank.bin", heap_kb=HEAP_KB, cell=CELL, speed=SPEED)


def other(backup: Backup, path: Path, files: dict[str, bytes] | None = None, **manifest: Any) -> Path:
    """A whole archive that says something else."""
    told = {key: value for key, value in backup.manifest.items() if key not in ("files", "format")}
    bk.write_backup(path, backup_linux.pack({**told, **manifest}, files or backup.files))
    return path


def test_an_archive_that_is_not_this_cells_whole_board_is_refused_before_anything_is_written(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = read_backup(story.stale)
    short = tmp_path / "short.cellbackup"
    short.write_bytes(story.stale.read_bytes()[:-100])
    files = {
        "cut short": short,
        "is of a linux machine": other(backup, tmp_path / "pi.cellbackup", kind="linux"),
        "is of cell form-1, not of paint-1": other(backup, tmp_path / "form.cellbackup", cell="form-1"),
        "are no whole sectors": other(backup, tmp_path / "odd.cellbackup", {"journal.area": bytes(5000)}),
    }
    for reason, file in files.items():
        words = ("swap", "--port", "/dev/nobody", str(story.bundle), "--from", str(file))
        assert cellctl(*words) == USAGE
        assert reason in capsys.readouterr().err
    words = ("swap", "--port", "/dev/nobody", str(story.bundle), "--from", str(story.stale))
    assert cellctl(*words, "--complete") == USAGE
    assert "cannot be complete" in capsys.readouterr().err
    assert cellctl(*words) == NOT_REACHABLE


def test_a_board_with_a_history_of_its_own_keeps_it_unless_it_is_let_go(story: Story, tmp_path: Path) -> None:
    file = tmp_path / "used.bin"
    shutil.copyfile(story.file, file)
    stale = tmp_path / "monday.cellbackup"
    shutil.copyfile(story.stale, stale)
    with StandIn(file, heap_kb=HEAP_KB, cell=CELL, speed=SPEED) as board:
        refused = restore(board.port, Wish.of(read_backup(stale), False, False))
        assert not refused.ok
        assert "--replace" in refused.text
        assert epoch(file) == story.epoch
        done = restore(board.port, Wish.of(read_backup(stale), False, True))
        assert (done.ok, done.facts["unknown"]) == (True, True), done.text
        kept = read_backup(done.facts["kept_as"])
        assert bk.history(kept)["last_serial"] == 2
        again = restore(board.port, Wish.of(read_backup(stale), False, False))
        assert (again.ok, again.changed) == (True, False), again.text
        assert "restored from this backup before" in again.text
    assert epoch(file) != story.epoch
    assert bk.find(tmp_path, "paint-1", board_history.KIND)[0].path == stale, "what was let go is not found"


def test_a_retired_board_starts_no_more_and_its_orders_simply_go_on(story: Story, tmp_path: Path) -> None:
    file = tmp_path / "old.bin"
    shutil.copyfile(story.file, file)
    last = tmp_path / "last.cellbackup"
    with StandIn(file, heap_kb=HEAP_KB, cell=CELL, speed=SPEED) as board:
        assert cellctl("backup", "--port", board.port, str(last), "--retire") == DONE
        board.power_cut()
        with SerialPort(board.port) as port:
            assert who(port).kind == AT_PROMPT
    backup = read_backup(last)
    wish = Wish.of(backup, False, False)
    assert not wish.prepared.unknown
    with blank(tmp_path) as board:
        outcome = swap(board.port, read_bundle(story.bundle), wish)
        assert outcome.ok, outcome.text
        with SerialPort(board.port) as port:
            assert "backup" not in str(ask(port, "about"))
    book, again, damage = board_history.book_of(area(tmp_path / "blank.bin"))
    assert (again, damage) == (story.epoch, "")
    assert (book.unknown(), book.good) == (None, 2)


# --- cut ---


def cut_restore(board: StandIn, file: Path, wish: Wish, place: int, how: str) -> bool:
    """The power goes in a write of a restore: the board runs on a whole history, or on none. Whether it was held."""
    board.cut_at(place, how)
    outcome = restore(board.port, wish, health_s=5.0)
    if outcome.ok:
        return False  # cut in the application's own writes before, or after all of it
    with SerialPort(board.port) as port:
        present = who(port, 10)
    if present.kind != AT_PROMPT:
        assert present.kind == APPLICATION, present
        book, _, damage = board_history.book_of(area(file))
        assert damage == ""
        assert [job.order_id for job in book.jobs] in ([], ["big"])
        assert not book.jobs or book.unknown() is not None
        return False
    return True


def cut_restores(file: Path, wish: Wish, cuts: list[tuple[int, str]], bundle: Bundle) -> list[bool]:
    with StandIn(file, heap_kb=HEAP_KB, cell=CELL, speed=SPEED) as board:
        held = [cut_restore(board, file, wish, place, how) for place, how in cuts]
        if held[-1]:
            refused = flash(board.port, bundle)
            assert "a restore was cut off here" in refused.text
        outcome = restore(board.port, wish)
        assert outcome.ok, outcome.text
    book, _, damage = board_history.book_of(area(file))
    job = book.unknown()
    assert job is not None
    assert (job.order_id, damage) == ("big", "")
    return held


def test_a_restore_that_is_cut_never_passes_for_a_whole_one(
    story: Story, flashed_boards: Flashed, tmp_path: Path
) -> None:
    file = flashed_boards.copy(CELL, tmp_path / "flash.bin")
    wish = Wish.of(read_backup(story.stale), False, False)
    held = cut_restores(file, wish, [(40, "half"), (12, "garbage")], read_bundle(story.bundle))
    assert held == [True, True]


@pytest.mark.soak
@pytest.mark.parametrize("how", ["before", "half", "garbage"])
def test_a_restore_that_is_cut_in_any_write_never_passes_for_a_whole_one(
    story: Story, flashed_boards: Flashed, tmp_path: Path, how: str
) -> None:
    wish = Wish.of(read_backup(story.stale), False, False)
    for place in range(1, 100, 4):
        file = flashed_boards.copy(CELL, tmp_path / "flash.bin")
        cut_restores(file, wish, [(place, how)], read_bundle(story.bundle))


def test_a_journal_that_nobody_can_read_counts_as_a_history(story: Story) -> None:
    backup = read_backup(story.stale)
    blank_area = b"\xff" * len(backup.files["journal.area"])
    assert not board_history.has_history(blank_area)
    assert board_history.has_history(b"\0" * len(blank_area)), "nobody can tell what was there"
    with pytest.raises(BackupError, match="take another one"):
        board_history.fold(Backup(backup.path, backup.manifest, {}))
