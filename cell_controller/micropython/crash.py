"""What went wrong before this start, kept in the board's file system: the crashes in a row, and the last traceback.

A crash is an exception that nothing expected, or a scan that never ended: the watchdog's reset shows that one. After
LIMIT crashes in a row the controller is not started any more. A run that was well for CALM_MS ends the row.
"""

import io
import os
import sys

LIMIT = 3
CALM_MS = 60000
TEXT_BYTES = 1500
_COUNT = "/crashes"
_TEXT = "/crash.txt"
_RUNNING = " running"


class Crashes:
    """The crashes in a row before this start. `count`: how many; `text`: the last one's traceback or reason.

    The file says whether a controller was running. A board's own reset may look like the watchdog's (an RP2 resets by
    it), so only a watchdog that ends a running controller is a crash; whoever leaves on purpose says so first.
    """

    def __init__(self, root: str = "") -> None:
        """`root`: where the files lie, "" for the board's own file system."""
        self._count_file = root + _COUNT
        self._text_file = root + _TEXT
        line = _read(self._count_file)
        self._was_running = line[-len(_RUNNING) :] == _RUNNING
        digits = line[: -len(_RUNNING)] if self._was_running else line
        self.count = int(digits) if digits.isdigit() else 0
        self.text = _read(self._text_file)

    def at_start(self, by_watchdog: bool, watchdog_ms: int) -> None:
        """Call once, before anything can crash: a scan that never ended shows here."""
        if by_watchdog and self._was_running:
            self.count += 1
            self._tell(
                "no scan was completed within " + str(watchdog_ms) + " ms: the watchdog reset the board"
            )
        _write(self._count_file, str(self.count) + _RUNNING)

    def crashed(self, error: BaseException) -> None:
        """An exception ended the controller: keep its traceback."""
        self.count += 1
        self.left()
        text = io.StringIO()
        print_exception = getattr(sys, "print_exception", None)
        if print_exception is not None:
            print_exception(error, text)
        else:
            text.write(type(error).__name__ + ": " + str(error))
        self._tell(text.getvalue()[-TEXT_BYTES:])

    def left(self) -> None:
        """The controller does not run any more, on purpose or not: a reset that follows is none of the watchdog's."""
        _write(self._count_file, str(self.count))

    def calm(self) -> None:
        """The controller has been well for CALM_MS: the row has ended; the traceback stays to be read."""
        if self.count:
            self.count = 0
            _write(self._count_file, "0" + _RUNNING)

    @property
    def safe_mode(self) -> bool:
        """Whether the controller must not be started."""
        return self.count >= LIMIT

    def reason(self) -> str:
        """Why it is not started, in a line."""
        lines = self.text.strip().split("\n")
        return "safe mode: " + str(self.count) + " crashes in a row; the last: " + lines[-1]

    def _tell(self, text: str) -> None:
        self.text = text
        _write(self._text_file, text)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read(TEXT_BYTES + 200).strip()
    except (OSError, ValueError):  # none, or torn
        return ""


def _write(path: str, text: str) -> None:
    with open(path + "~", "w") as file:
        file.write(text)
    os.rename(path + "~", path)
