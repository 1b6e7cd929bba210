"""Opens the journal in a board's flash."""

import binascii
import os

from cell_controller.micropython.flash_journal import FlashJournal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def new_epoch() -> str:
    """16 hexadecimal digits that no other history has."""
    return binascii.hexlify(os.urandom(8)).decode()


class Fed:
    """The area, with the watchdog fed while it is read: a start reads all of it, and no scan is there to do so yet."""

    def __init__(self, device: "Any", feed: "Callable[[], None]") -> None:
        self._device = device
        self._feed: "Any" = feed
        self.writeblocks = device.writeblocks
        self.ioctl = device.ioctl

    def readblocks(self, block: int, buf: "Any", off: int = 0) -> None:
        self._feed()
        self._device.readblocks(block, buf, off)

    def opened(self) -> None:
        """From now on only a completed scan feeds it."""
        self._feed = _nothing


def _nothing() -> None:
    pass


def open_journal(device: "Any", clock: "Any", feed: "Callable[[], None]") -> "tuple[FlashJournal, Fed]":
    """The journal on the area `device`, whatever was found there, and its area: `feed` is called while it is read."""
    area = Fed(device, feed)
    return FlashJournal(area, clock.wall_ms, new_epoch), area
