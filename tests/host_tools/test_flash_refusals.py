"""What a board, a cell or a bundle is refused for; what ran before runs on."""

import functools
import os
import pty
import re
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.standin.board import StandIn
from host_tools import board_access, board_console
from host_tools.flash import HEALTH_S, flash
from host_tools.flash import _Job as Job
from host_tools.flash_outcome import BoardRefusedError, Outcome, UnfitError, code_of
from host_tools.flash_progress import Quiet
from host_tools.output import NOT_REACHABLE, REFUSED, TIMED_OUT, USAGE
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import LineTimeoutError, SerialPort
from host_tools.slot_session import SlotSession, WriterError
from tests.host_tools.flash_bench import (
    application,
    board_with,
    bundle_of,
    digest,
    put,
    runs,
    to_prompt,
)

NEW = application("2.0", seed=2)


@pytest.mark.parametrize(
    ("state", "has_item", "said"),
    [
        (
            "Execute",
            True,
            "paint-1 is in Execute; it is changed only when Stopped, Aborted, or Idle without an item",
        ),
        ("Held", True, "is in Held"),
        ("Stopping", False, "is in Stopping"),
        ("Idle", True, "is Idle with an item in work; end or scrap it"),
    ],
)
def test_a_cell_at_work_is_not_touched(tmp_path: Path, state: str, has_item: bool, said: str) -> None:
    about = {"cell": "paint-1", "state": state, "has_item": has_item}
    with pytest.raises(BoardRefusedError, match=said):
        board_access.check_state(about, "/dev/ttyACM0")


@pytest.mark.parametrize(("state", "has_item"), [("Stopped", True), ("Aborted", True), ("Idle", False)])
def test_a_cell_that_stands_may_be_changed(state: str, has_item: bool) -> None:
    board_access.check_state({"state": state, "has_item": has_item}, "/dev/ttyACM0")


def test_the_refusal_of_a_cell_at_work_leaves_it_running(tmp_path: Path) -> None:
    old = application("1.0", state="Execute")
    with board_with(tmp_path, old) as board:
        before = (board.boots, board.flash_operations)
        outcome = put(board, NEW)
        assert outcome.code == REFUSED
        assert "stop it first" in outcome.text
        assert (board.boots, board.flash_operations) == before
        assert runs(board)["image_sha256"] == digest(old)


def test_what_the_cell_itself_refuses_is_shown(tmp_path: Path) -> None:
    """It knows better than its state line: an item came into work meanwhile."""
    with board_with(tmp_path, application("1.0", state="Stopped", has_item=True)) as board:
        outcome = put(board, NEW)
        assert outcome.code == REFUSED
        assert "the cell refused: Idle: an item is in work" in outcome.text


@pytest.fixture(scope="module")
def at_prompt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A blank board at its prompt; nothing of these tests may change it."""
    with StandIn(tmp_path_factory.mktemp("blank") / "flash") as board:
        before = board.flash_operations
        yield board
        assert board.flash_operations == before


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        (NEW, "esp32", "the bundle is for esp32, the board is rp2; build it with --target rp2"),
        (application(size=20 * 4096 * 9), "rp2", r"the image has \d+ bytes, a slot of this board 294912"),
        (application(files={"x.mpy": b"M\x05\x00\x1f"}), "rp2", "x.mpy is byte code of version 5"),
    ],
    ids=["target", "size", "byte code"],
)
def test_a_bundle_that_does_not_fit_is_refused_before_anything_is_written(
    at_prompt: StandIn, content: bytes, target: str, said: str
) -> None:
    outcome = flash(at_prompt.port, bundle_of(content, target))
    assert outcome.code == USAGE
    assert re.search(said, outcome.text), outcome.text
    with SerialPort(at_prompt.port) as port:
        assert board_console.who(port).kind == board_console.AT_PROMPT


def test_a_bundle_for_a_computer_is_refused(at_prompt: StandIn) -> None:
    bundle = bundle_of(NEW, "rpi")
    del bundle.manifest["image"]
    outcome = flash(at_prompt.port, bundle)
    assert outcome.code == REFUSED
    assert "deploy it instead" in outcome.text


def test_the_wrong_target_is_seen_before_the_application_is_stopped(tmp_path: Path) -> None:
    with board_with(tmp_path, application()) as board:
        boots = board.boots
        outcome = flash(board.port, bundle_of(NEW, "esp32"))
        assert outcome.code == USAGE
        assert "the board runs target rp2, the bundle is for esp32" in outcome.text
        assert board.boots == boots


def test_a_firmware_without_a_rom_file_system_is_refused_with_the_reason(tmp_path: Path) -> None:
    """As the firmware that everybody downloads."""
    with StandIn(tmp_path / "flash") as board:
        write_on(board, "/boot.py", b"import sys\nclass V: pass\nsys.modules['vfs'] = V\n")
        outcome = put(board, NEW)
    assert outcome.code == USAGE
    assert "has no vfs.VfsRom; put the firmware on it that docs/flash.md names" in outcome.text


FACTS: dict[str, Any] = {
    "platform": "rp2",
    "mpy": 6 | 3 << 8,
    "maxsize": 0x7FFFFFFF,
    "storage": 212,
    "fs": 36 * 4096,
}


@pytest.mark.parametrize(
    ("changed", "target", "said"),
    [
        (
            {"fs": 212 * 4096},
            "rp2",
            "file system takes 848 KB of the flash, not 144, so there is no room for slots",
        ),
        ({"storage": 60}, "rp2", "a slot of this board 0"),
        ({"platform": "esp32", "storage": None}, "esp32", "no partitions 'journal' and 'romfs'"),
        ({"platform": "samd"}, "rp2", "the board is samd; no target fits this board"),
    ],
)
def test_a_board_without_room_for_slots_is_refused(changed: dict[str, Any], target: str, said: str) -> None:
    facts = {key: value for key, value in (FACTS | changed).items() if value is not None}
    job = Job("/dev/x", bundle_of(NEW, target), False, HEALTH_S, 1, Quiet(), threading.Event())
    job.image = NEW
    with pytest.raises(UnfitError, match=said):
        job._check_board(facts)


FULL = b"""import builtins
_open = builtins.open
def full(name, *more):
    if name == "/slot.try~":
        raise OSError(28)
    return _open(name, *more)
builtins.open = full
"""


def test_a_full_file_system_leaves_the_former_application(tmp_path: Path) -> None:
    """Nothing can be switched: the pointer does not fit any more."""
    old = application("1.0")
    with board_with(tmp_path, old) as board:
        write_on(board, "/boot.py", FULL)
        outcome = put(board, NEW)
        assert outcome.code == REFUSED
        assert "the board's file system is full: remove files from it" in outcome.text
        assert f"paint-1 1.0 ({digest(old)[:8]}) runs, Aborted" in outcome.text
        assert runs(board)["image_sha256"] == digest(old)


def write_on(board: StandIn, path: str, content: bytes) -> None:
    """Put a file onto a board; it starts again with it."""
    if board_console.APPLICATION in kind_there(board):
        to_prompt(board)
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        session = SlotSession(repl)
        session.write_file(path, content)
        session.reset()
        board_console.wait_healthy(port, 5)


def kind_there(board: StandIn) -> str:
    """Who answers: an application, a prompt."""
    with SerialPort(board.port) as port:
        return board_console.who(port).kind


def silent_port() -> tuple[int, int, str]:
    board, tool = pty.openpty()
    tty.setraw(tool)
    return board, tool, os.ttyname(tool)


def test_what_is_no_board_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_console, "who", functools.partial(board_console.who, within_s=0.2))
    monkeypatch.setattr(RawRepl, "enter", functools.partialmethod(RawRepl.enter, 0.2))
    board, tool, name = silent_port()
    try:
        outcome: Outcome = flash(name, bundle_of(NEW))
    finally:
        os.close(board)
        os.close(tool)
    assert outcome.code == NOT_REACHABLE
    assert "is it the right port, and is MicroPython on the board?" in outcome.text


def test_a_port_that_is_not_there_is_an_outcome() -> None:
    outcome = flash("/dev/ttyNOWHERE", bundle_of(NEW))
    assert outcome.code == NOT_REACHABLE
    assert "there is no such port" in outcome.text


def test_the_codes_tell_a_time_out_from_a_refusal() -> None:
    assert code_of(LineTimeoutError("x")) == TIMED_OUT
    assert code_of(WriterError("x")) == REFUSED
