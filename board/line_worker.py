"""The thread behind a line: it opens it, has its devices exchange bytes, and opens it again when it is gone."""

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from board.device_link import DeviceLink
from board.transport import Transport
from cell_controller.errors import LinkLostError

log = logging.getLogger("board")

FIRST_WAIT_S = 0.1
MOST_WAIT_S = 2.0
JOIN_S = 2.0


class Exchange(Protocol):
    """What a driver does on its line, in the line's thread."""

    def line_opened(self) -> None:
        """The line has been opened: make acquaintance, bring outputs to what their links want. Raises LinkLostError."""

    def turn(self) -> None:
        """One turn: ask, write, read what comes; waits itself, at most about 0.2 s. Raises LinkLostError."""


class LineWorker:
    """One thread for one line and every device on it."""

    def __init__(self, line: Transport, links: Sequence[DeviceLink], exchange: Exchange) -> None:
        self._line = line
        self._links = links
        self._exchange = exchange
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"line {line.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the line; returns when it is done, after at most JOIN_S."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)
        self._line.close()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            try:
                if not self._line.is_open:
                    self._line.open()
                    if self._stopping.is_set():  # finding a host by its name may have outlasted `stop`
                        break
                    for link in self._links:
                        link.opened()
                    self._exchange.line_opened()
                    wait_s = FIRST_WAIT_S
                self._exchange.turn()
            except LinkLostError as error:
                self._lose(str(error))
            except Exception as error:
                # a driver's mistake must not end its thread silently: the devices are lost, loudly, and tried again
                log.exception("driver of %s", self._line.name)
                self._lose(f"driver of {self._line.name}: {type(error).__name__}: {error}")
            else:
                continue
            self._stopping.wait(wait_s)
            wait_s = min(2 * wait_s, MOST_WAIT_S)
        self._line.close()

    def _lose(self, text: str) -> None:
        self._line.close()
        for link in self._links:
            link.lost(text)
