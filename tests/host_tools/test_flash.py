"""Flashing a board: what arrives, what is not sent again, and that it comes back to what ran when it is not well."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.standin.board import StandIn
from host_tools.bundle import Bundle, write_bundle
from host_tools.flash_progress import telling
from host_tools.output import DONE, INTERRUPTED, REFUSED, USAGE, Output
from tests.host_tools.flash_bench import (
    Steps,
    application,
    board_with,
    bundle_of,
    digest,
    put,
    runs,
    slot_content,
    to_prompt,
    typed,
)

OLD = application("1.0")
NEW = application("2.0", seed=2)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[StandIn]:
    """A board that runs OLD."""
    with board_with(tmp_path, OLD) as board:
        yield board


def test_a_new_application_replaces_the_one_that_runs(board: StandIn, tmp_path: Path) -> None:
    tell = Steps()
    outcome = put(board, NEW, tell)
    assert outcome.code == DONE, outcome.text
    assert "paint-1" in outcome.text
    assert "runs, Aborted, outputs safe" in outcome.text
    about = runs(board)
    assert (about["image_sha256"], about["slot"], about["trial"]) == (digest(NEW), "b", False)
    assert slot_content(tmp_path / "flash", "b", len(NEW)) == NEW
    assert slot_content(tmp_path / "flash", "a", len(OLD)) == OLD
    assert [step.split()[0] for step in tell.steps[:4]] == ["asking", "stopping", "looking", "comparing"]
    assert tell.parts[-1][0] == tell.parts[-1][1] == outcome.facts["wire_bytes"]


def test_a_blank_board_gets_the_loader_and_the_application(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board:
        tell = Steps()
        outcome = put(board, OLD, tell)
        assert outcome.code == DONE, outcome.text
        assert "installing /loader.py" in tell.steps
        assert "installing /main.py" in tell.steps
        assert runs(board)["slot"] == "a"
        again = put(board, NEW, tell := Steps())
        assert again.code == DONE, again.text
        assert not [step for step in tell.steps if step.startswith("installing")]


def test_the_same_application_again_writes_nothing_and_resets_nothing(board: StandIn) -> None:
    before = (board.flash_operations, board.boots)
    outcome = put(board, OLD)
    assert outcome.code == DONE, outcome.text
    assert "nothing to do" in outcome.text
    assert not outcome.changed
    assert (board.flash_operations, board.boots) == before
    assert outcome.facts["seconds"] < 2


def test_the_same_application_is_started_where_the_board_is_at_its_prompt(board: StandIn) -> None:
    to_prompt(board)
    before = board.flash_operations
    assert put(board, OLD).code == DONE
    assert runs(board)["image_sha256"] == digest(OLD)
    assert board.flash_operations == before


def test_only_what_differs_is_sent_and_the_rest_is_copied_on_the_board(
    board: StandIn, tmp_path: Path
) -> None:
    changed = OLD.replace(b"VERSION, STATE, HOLD, WELL = '1.0'", b"VERSION, STATE, HOLD, WELL = '1.1'")
    outcome = put(board, changed)
    assert outcome.code == DONE, outcome.text
    assert (outcome.facts["sent"], outcome.facts["kept"]) == (1, 0)
    assert outcome.facts["copied"] == outcome.facts["sectors"] - 1
    assert outcome.facts["wire_bytes"] < 4200
    assert slot_content(tmp_path / "flash", "b", len(changed)) == changed


@pytest.mark.soak
def test_going_back_to_the_version_before_sends_nothing(board: StandIn) -> None:
    assert put(board, NEW).code == DONE
    outcome = put(board, OLD)
    assert outcome.code == DONE, outcome.text
    assert (outcome.facts["sent"], outcome.facts["copied"]) == (0, 0)
    assert runs(board)["image_sha256"] == digest(OLD)


def test_what_does_not_deflate_is_sent_as_it_is(board: StandIn, tmp_path: Path) -> None:
    noise = application(
        "3.0", seed=3, size=0, files={"noise.bin": bytes(range(256)) + random.Random(5).randbytes(9000)}
    )
    outcome = put(board, noise)
    assert outcome.code == DONE, outcome.text
    assert slot_content(tmp_path / "flash", "b", len(noise)) == noise
    assert outcome.facts["wire_bytes"] < len(noise) + 200


@pytest.mark.parametrize(
    ("well", "why"), [("no", "did not say that it was well"), ("unloadable", "no channel")]
)
def test_an_application_that_is_not_well_is_taken_back(board: StandIn, well: str, why: str) -> None:
    outcome = put(board, application("2.0", well=well), health_s=2.0)
    assert outcome.code == REFUSED
    assert "went back" in outcome.text
    assert why in outcome.text
    assert f"paint-1 1.0 ({digest(OLD)[:8]}) runs again, Aborted" in outcome.text
    assert runs(board)["image_sha256"] == digest(OLD)


@pytest.mark.soak
def test_an_application_that_ends_at_the_prompt_is_taken_back(board: StandIn) -> None:
    outcome = put(board, application("2.0", well="returns"))
    assert outcome.code == REFUSED, outcome.text
    assert runs(board)["image_sha256"] == digest(OLD)


def test_a_first_application_that_does_not_load_leaves_the_prompt_and_says_why(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board:
        outcome = put(board, application(well="unloadable"))
    assert outcome.code == REFUSED
    assert "the valve has no channel" in outcome.text
    assert "no application runs, the board is at its prompt" in outcome.text


def test_a_cell_that_does_not_come_up_aborted_is_pointed_out(board: StandIn) -> None:
    outcome = put(board, application("2.0", state="Execute"))
    assert outcome.code == REFUSED
    assert "came up in Execute, not Aborted" in outcome.text


# --- dry run ---


def test_a_dry_run_interrupts_and_writes_nothing(board: StandIn) -> None:
    before = (board.flash_operations, board.boots)
    outcome = put(board, NEW, dry_run=True)
    assert outcome.code == DONE
    assert "would stop paint-1 1.0" in outcome.text
    assert (board.flash_operations, board.boots) == before


def test_a_dry_run_at_the_prompt_counts_the_sectors(board: StandIn) -> None:
    to_prompt(board)
    before = (board.flash_operations, board.boots)
    outcome = put(board, NEW, dry_run=True)
    assert "into slot b: to send 5 of 5 sectors" in outcome.text
    same = put(board, OLD, dry_run=True)
    assert "would only start it" in same.text
    assert (board.flash_operations, board.boots) == before


@pytest.mark.soak
def test_a_dry_run_on_a_blank_board_leaves_it_blank(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board:
        before = board.flash_operations
        outcome = put(board, OLD, dry_run=True)
        assert "would install the loader" in outcome.text
        assert board.flash_operations == before


# --- as it is typed ---


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle in a file."""
    made = bundle_of(NEW, version="2.0")
    return write_bundle(tmp_path / "new.bundle", made.manifest, made.files)


def test_two_boards_are_flashed_at_once_and_each_has_a_line(
    tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with board_with(tmp_path / "one", OLD) as one, board_with(tmp_path / "two", OLD) as two:
        code = typed("flash", "--port", one.port, str(bundle.path), "--port", two.port)
        printed = capsys.readouterr()
        assert code == DONE, printed.err
        lines = printed.out.splitlines()
        assert [line.split(": ")[0] for line in lines] == [one.port, two.port]
        assert all("runs, Aborted" in line for line in lines)
        assert f"{one.port}: comparing" in printed.err
        assert runs(one)["image_sha256"] == runs(two)["image_sha256"] == digest(NEW)


def test_one_board_that_is_not_there_fails_the_command_and_not_the_other(
    board: StandIn, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    code = typed("flash", "--json", "--port", "/dev/ttyNOWHERE", "--port", board.port, str(bundle.path))
    said = json.loads(capsys.readouterr().out)
    assert code == 3
    assert not said["ok"]
    assert [entry["ok"] for entry in said["boards"]] == [False, True]
    assert said["boards"][1]["after"]["image_sha256"] == digest(NEW)
    assert said["boards"][1]["wire_bytes"] > 0


def test_a_board_is_named_or_nothing_happens(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("flash", str(bundle.path)) == USAGE
    assert "--port" in capsys.readouterr().err
    assert typed("flash", "--port", "/dev/a", "--port", "/dev/a", str(bundle.path)) == USAGE


def test_a_damaged_bundle_is_refused_before_a_port_is_opened(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = bytearray(bundle.path.read_bytes())
    raw[raw.index(b"cell_controller") + 3] ^= 1
    bundle.path.write_bytes(raw)
    assert typed("flash", "--port", "/dev/ttyNOWHERE", str(bundle.path)) == USAGE
    assert "build or copy it again" in capsys.readouterr().err


def test_on_a_terminal_each_board_has_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with telling(["/dev/one", "/dev/two"], Output(), terminal=True) as tell:
        tell.step("/dev/one", "sending")
        tell.part("/dev/one", 50, 100)
    printed = capsys.readouterr().err
    assert "/dev/one" in printed
    assert "/dev/two" in printed
    assert "50%" in printed


def test_giving_up_leaves_the_board_to_itself(board: StandIn) -> None:
    cancel = threading.Event()
    outcome = put(board, NEW, Steps({"stopping": cancel.set}), cancel=cancel)
    assert outcome.code == INTERRUPTED
    board.power_cut()
    assert runs(board)["image_sha256"] == digest(OLD)
