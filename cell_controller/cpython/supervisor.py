"""Watches the control thread from outside: a phase that never yields must not keep an output on."""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

from cell_controller.cpython.runtime import CODE_SAFE, Runtime

LOOK_EVERY_S = 0.1
ENDING_S = 10.0
"""The limit after the last scan: outputs of devices that are away are waited for, the journal gets its end."""


class Supervisor:
    """Drives the abort values and ends the process when no scan has completed for `limit_s` seconds.

    The end is abrupt on purpose (systemd starts the service again, Aborted): a thread that will not yield cannot be
    asked. What every thread was doing goes to standard error.
    """

    def __init__(self, runtime: Runtime, limit_s: float, leave: Callable[[int], None] = os._exit) -> None:
        self._runtime = runtime
        self._limit_s = limit_s
        self._leave = leave
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The control thread ended as it should."""
        self._ended.set()
        self._thread.join(1.0)

    def _watch(self) -> None:
        seen = self._runtime.beats
        still = 0.0
        while not self._ended.wait(LOOK_EVERY_S):
            beats = self._runtime.beats
            if beats != seen:
                seen = beats
                still = 0.0
                continue
            still += LOOK_EVERY_S
            if still >= (ENDING_S if self._runtime.ending else self._limit_s):
                self._give_up()
                return

    def _give_up(self) -> None:
        sys.stderr.write(
            f"no scan completed for {self._limit_s} s: a phase does not yield;"
            " outputs are driven to their abort values, the controller ends\n"
        )
        try:
            self._runtime.board.make_safe(self._runtime.abort_values())
            faulthandler.dump_traceback(all_threads=True)
            sys.stderr.flush()
        finally:
            self._leave(CODE_SAFE)
