"""Opens the journal in a board's flash."""

import binascii
import os

from cell_controller.micropython.flash_journal import FlashJournal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def new_epoch() -> str:
    """16 hexadecimal digits that no other history has."""
    return binascii.hexlify(os.urandom(8)).decode()


def open_journal(device: "Any", clock: "Any") -> FlashJournal:
    """The journal on the area `device`, whatever was found there: `opened` says what."""
    return FlashJournal(device, clock.wall_ms, new_epoch)
