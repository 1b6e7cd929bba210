"""The supervisor: what it does when a scan does not end, and what must neither wake it nor stop it."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from cell_controller.cpython.runtime import CODE_SAFE, Runtime
from cell_controller.cpython.supervisor import Supervisor
from tests.service.test_runtime import Desk

LIMIT_S = 0.4


class Standing:
    """A runtime whose scans do not complete, and its board."""

    beats = 0
    ending = False

    def __init__(self, make_safe: Callable[[], None]) -> None:
        self.board = self
        self._make_safe = make_safe

    def abort_values(self) -> list[int]:
        return []

    def make_safe(self, values: Sequence[int]) -> None:
        self._make_safe()


def watch(runtime: Any) -> tuple[Supervisor, list[int], threading.Event]:
    """A supervisor that began, the codes with which it left, and when it did."""
    codes: list[int] = []
    left = threading.Event()

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    supervisor = Supervisor(cast(Runtime, runtime), LIMIT_S, leave)
    supervisor.start()
    return supervisor, codes, left


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_board_that_raises_does_not_keep_the_process_alive() -> None:
    def broken() -> None:
        raise OSError("the chip is gone")

    supervisor, codes, left = watch(Standing(broken))
    left.wait(LIMIT_S + 2.0)
    supervisor.stop()
    assert codes == [CODE_SAFE]


def test_an_orderly_end_that_waits_for_devices_is_no_scan_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    drive = desk.board.make_safe

    def slowly(values: Sequence[int]) -> None:
        time.sleep(LIMIT_S + 0.4)  # a device that is away takes a second, two take two
        drive(values)

    monkeypatch.setattr(desk.board, "make_safe", slowly)
    supervisor, codes, _ = watch(desk.runtime)
    desk.runtime.stop()
    code = desk.runtime.run()
    supervisor.stop()
    desk.journal.close()
    assert (code, codes) == (0, []), "it gave up in the middle of the end"
