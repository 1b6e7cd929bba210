"""The journal of a microcontroller as a backup has it: read, and turned into the one that a replacement gets.

An archive of kind "microcontroller" has `journal.area`, the raw sectors, and `files/NAME` for each file of the board's
own. What a stale one means is said in backup.py and docs/deploy.md; here is only how it is written on flash.
"""

import binascii
import secrets
from collections.abc import Callable

from cell_controller.core import codec
from cell_controller.core import events as ev
from cell_controller.core.orders import Book
from cell_controller.core.recover import recover
from cell_controller.errors import JournalError
from cell_controller.micropython.flash_journal import FlashJournal
from cell_controller.micropython.flash_records import PAGES, SECTOR
from hil.nor_flash import NorFlash
from host_tools.backup import SKIPPED_SERIALS, Backup, BackupError, Prepared

KIND = "microcontroller"
AREA = "journal.area"
FILES = "files/"
MOST_SLICES = 10_000  # pages and sectors; an area has 512 and 32


class _GoesOn(FlashJournal):
    """A journal whose next records belong to another history: a new sector, a new epoch."""

    def begin_anew(self, epoch: str) -> None:
        self._epoch = binascii.unhexlify(epoch)
        self.epoch = epoch
        self._page = PAGES


def _journal(area: bytes, wall_ms: Callable[[], int] = lambda: 0) -> tuple[_GoesOn, NorFlash]:
    if len(area) % SECTOR:
        raise JournalError(f"journal: {len(area)} bytes are no whole sectors")
    chip = NorFlash(len(area) // SECTOR, area)
    return _GoesOn(chip, wall_ms, lambda: secrets.token_hex(8)), chip


def book_of(area: bytes) -> tuple[Book, str, str]:
    """(order book, epoch, what is wrong with the journal or ""). Raises JournalError, CodecError."""
    journal, _ = _journal(area)
    return recover(journal, Book(lean=True)), journal.epoch, journal.opened


def fold(backup: Backup) -> tuple[Book, str, str]:
    """As `book_of`, of a backup. Raises BackupError."""
    if AREA not in backup.files:
        raise BackupError(f"{backup.path}: has no {AREA}; take another one")
    try:
        return book_of(backup.files[AREA])
    except (codec.CodecError, JournalError, ValueError) as error:
        raise BackupError(f"{backup.path}: its journal cannot be read ({error}); take another one") from error


def has_history(area: bytes) -> bool:
    """Whether a board has made or promised something, or nobody can tell; that it was started is none of it."""
    try:
        book, _, damage = book_of(area)
    except (codec.CodecError, JournalError, ValueError):
        return True
    return bool(damage or book.last_job or book.last_serial or book.backup_minute)


def prepare(backup: Backup, complete: bool) -> Prepared:
    """The area for a replacement. Raises BackupError where the backup is another kind's or cannot be used.

    `complete`: nothing was done after it. Else the history goes on in a new epoch, its serial numbers skip ahead and
    its open orders wait for a person; so also where the journal is damaged.
    """
    if backup.manifest["kind"] != KIND:
        raise BackupError(
            f"{backup.path}: is of a {backup.manifest['kind']} machine; it goes onto one of the same kind"
        )
    book, _, damage = fold(backup)
    said = [f"{job.order_id} had {job.good} of {job.count} good" for job in book.open_jobs()]
    if damage:
        said.append(damage)
    if complete and not damage:
        return Prepared(backup.files[AREA], False, said)
    try:
        content = _unknown(backup.files[AREA], int(backup.manifest["taken_ms"]))
    except (codec.CodecError, JournalError, ValueError) as error:
        raise BackupError(f"{backup.path}: its journal cannot be continued ({error})") from error
    return Prepared(content, True, said)


def _unknown(area: bytes, taken_ms: int) -> bytes:
    """The history of the backup, and under a new epoch the record that says what it is."""
    journal, chip = _journal(area, lambda: taken_ms)
    journal.begin_anew(secrets.token_hex(8))
    tick = 0
    for _, _, record in journal.replay():
        tick = ev.fields(record)[1]
    seq = journal.last_seq + 1
    journal.append(ev.record(seq, tick, ev.RESTORED, 0, SKIPPED_SERIALS, taken_ms // 60_000))
    for _ in range(MOST_SLICES):  # a sector is erased first where none is in stock
        if journal.durable_seq == seq or not journal.work(tick, True):
            break
    if journal.durable_seq != seq or journal.error:
        raise JournalError(journal.error or "journal: there is no room for one more record")
    content = bytes(chip.data)
    again, epoch, damage = book_of(content)
    if damage or epoch != journal.epoch or not again.just_restored:
        raise JournalError(f"journal: what was written reads back as something else ({damage or epoch})")
    return content
