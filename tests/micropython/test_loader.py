"""The loader chooses a slot: what was not confirmed never starts twice; a cut at any moment leaves one that starts."""

import binascii
import hashlib
from pathlib import Path

import pytest

from cell_controller.micropython import loader
from cell_controller.micropython.loader import SECTOR, Boot, Part

OLD = b"the old application" * 300
NEW = b"the new application" * 400


class Flash:
    """A block device of 16 sectors."""

    def __init__(self) -> None:
        self.content = bytearray(b"\xff" * 16 * SECTOR)

    def readblocks(self, block: int, buf: bytearray, off: int = 0) -> None:
        at = block * SECTOR + off
        buf[:] = self.content[at : at + len(buf)]

    def ioctl(self, op: int, arg: int = 0) -> int:
        return 16 if op == 4 else SECTOR


class PowerCutError(Exception):
    """The power goes before this change of a file."""


class Board:
    """A board with two slots, its files in a folder; `cut_at` is the change of a file that does not happen any more."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.flash = Flash()
        self.areas = {"slot_a": Part(self.flash, 0, 8), "slot_b": Part(self.flash, 8, 8)}
        self.changes = 0
        self.cut_at = 0
        monkeypatch.setattr(loader, "ROOT", str(root))
        monkeypatch.setattr(loader, "mapped", self._mapped)
        rename, remove, write = loader.rename, loader.remove, loader.write
        monkeypatch.setattr(loader, "rename", lambda old, new: self._change(lambda: rename(old, new)))
        monkeypatch.setattr(loader, "remove", lambda path: self._change(lambda: remove(path)))
        monkeypatch.setattr(loader, "write", lambda path, text: self._change(lambda: write(path, text)))

    def _change(self, do: object) -> None:
        self.changes += 1
        if self.changes == self.cut_at:
            raise PowerCutError
        do()  # type: ignore[operator]

    def _mapped(self, part: Part, length: int) -> bytes:
        return bytes(self.flash.content[part.first * SECTOR : part.first * SECTOR + length])

    def put(self, slot: str, image: bytes) -> str:
        """An image in a slot, as the flash tool leaves it; its line for a slot file."""
        first = self.areas["slot_" + slot].first * SECTOR
        self.flash.content[first : first + len(image)] = image
        digest = hashlib.sha256(image).hexdigest()
        return f"{slot} {len(image)} {binascii.crc32(image):08x} {digest}\n"

    def file(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def start(self, confirm: bool = True) -> tuple[Boot, str]:
        """A start, with the application saying that it is well or not: what ran, and what was wrong."""
        boot = Boot()
        boot.areas = self.areas
        problem = loader.choose(boot)
        if confirm and not problem:
            boot.confirm()
        return boot, problem


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(tmp_path, monkeypatch)


def test_the_slot_that_is_named_starts(board: Board) -> None:
    board.file("slot", board.put("a", OLD))
    boot, problem = board.start()
    assert (boot.slot, boot.bytes, boot.trial, problem) == ("a", len(OLD), False, "")


def test_a_new_application_is_tried_once_and_stays_when_it_says_that_it_is_well(board: Board) -> None:
    board.file("slot", board.put("a", OLD))
    board.file("slot.try", board.put("b", NEW))
    boot, _ = board.start(confirm=False)
    assert (boot.slot, boot.trial) == ("b", True)
    boot.confirm()
    assert board.start()[0].slot == "b"
    assert sorted(path.name for path in board.root.iterdir()) == ["slot"]


def test_a_new_application_that_never_says_that_it_is_well_is_left_and_the_reason_kept(board: Board) -> None:
    board.file("slot", board.put("a", OLD))
    board.file("slot.try", board.put("b", NEW))
    assert board.start(confirm=False)[0].slot == "b"
    boot, _ = board.start()
    assert (boot.slot, boot.failed) == (
        "a",
        "the new application did not say that it was well: it was reset before",
    )
    assert board.start()[0].slot == "a"


def test_a_first_application_that_fails_leaves_the_prompt(board: Board) -> None:
    board.file("slot.try", board.put("a", NEW))
    assert board.start(confirm=False)[1] == ""
    assert board.start()[1] == "no slot file"


@pytest.mark.parametrize("byte", [0, 1, len(NEW) // 2, len(NEW) - 1])
def test_an_image_that_is_not_what_was_written_never_starts(board: Board, byte: int) -> None:
    board.file("slot", board.put("a", OLD))
    board.file("slot.try", board.put("b", NEW))
    board.flash.content[8 * SECTOR + byte] ^= 1
    boot, _ = board.start()
    assert (boot.slot, boot.trial) == ("a", False)
    assert boot.failed.startswith("slot b is not what was written: CRC ")


@pytest.mark.parametrize(
    "line", ["", "a", "a 1 2", "c 10 00000000 0", "a -5 0 0", "a 99999999 0 0", "\x00\x01", "a x y z"]
)
def test_a_slot_file_of_any_content_is_answered_with_a_reason(board: Board, line: str) -> None:
    board.file("slot", line)
    _, problem = board.start()
    assert problem


def test_a_cut_at_every_change_of_a_file_leaves_an_application_that_starts(board: Board) -> None:
    """From the switch to the confirmation, and again at the start after the cut."""
    old, new = board.put("a", OLD), board.put("b", NEW)

    def switch_and_start(confirm: bool) -> list[str]:
        ran = []
        try:
            loader.write("/slot.try", new)
            ran.append(board.start(confirm)[0].slot)
            ran.append(board.start()[0].slot)
        except PowerCutError:
            pass
        return ran

    for confirm in (True, False):
        for cut in range(1, 20):
            for path in board.root.iterdir():
                path.unlink()
            board.file("slot", old)
            board.changes, board.cut_at = 0, cut
            switch_and_start(confirm)
            board.cut_at = 0
            boot, problem = board.start()
            assert problem == ""
            assert boot.slot in ("a", "b")
            settled = boot.slot
            assert [board.start()[0].slot for _ in range(2)] == [settled, settled], (confirm, cut)
            if not confirm and cut > 4:
                assert settled == "a"
