"""Power cuts at will: the process ends itself, as SIGKILL does, exactly before or after its n-th durable call."""

import os
import signal
from collections.abc import Mapping

from cell_controller.cpython.journal import Journal

VARIABLE = "CELL_CUT_AT"


def install_from_environment(journal: Journal, environment: Mapping[str, str] = os.environ) -> bool:
    """Cut at the durable call that CELL_CUT_AT names: "3" = before the third, "3:after" = right after it.

    Returns True if a cut is set. Raises ValueError for a text that is neither.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return False
    number, _, where = text.partition(":")
    if not (number.isascii() and number.isdigit() and int(number) > 0 and where in ("", "after")):
        raise ValueError(
            f"{VARIABLE}={text!r}: give the number of a durable call, 1.., with :after for after it"
        )
    side = where or "before"
    wanted = int(number)

    def cut(point: str, call: int) -> None:
        if call == wanted and point.startswith(side):
            os.kill(os.getpid(), signal.SIGKILL)

    journal.cut_hook = cut
    return True
