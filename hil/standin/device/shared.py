"""The memory shared with the host, and the one way out: telling the host and standing still until it ends us."""

from time import sleep

import micropython
import uctypes

from . import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

words: "Any" = uctypes.struct(
    layout.SHARED, {"words": (uctypes.ARRAY | 0, uctypes.UINT32 | layout.WORDS)}
).words


def memory(offset: int, size: int) -> bytearray:
    """`size` bytes of the shared memory."""
    found: bytearray = uctypes.bytearray_at(layout.SHARED + offset, size)
    return found


class _Host:
    control: "Any" = None  # the pipe, set at boot


host = _Host()


def end(why: bytes) -> "NoReturn":
    """The processor stops here: nothing that the application wanted to do afterwards happens."""
    micropython.kbd_intr(-1)
    host.control.write(why)
    while True:
        sleep(1)
