"""The thread of an I2C or SPI bus: transfers may hang for milliseconds, so a scan does not make them."""

import errno
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from board.device_link import DeviceLink
from cell_controller.errors import BoardError, DeviceError, LinkLostError

log = logging.getLogger("board")

PERIOD_S = 0.005
"""From the beginning of one round over the chips to the next, where the transfers leave time."""

PATIENCE = 3
"""Failures in a row after which a chip is asked less often, so that it does not delay the others."""

FIRST_WAIT_S = 0.1
MOST_WAIT_S = 1.6
JOIN_S = 2.0


class Chip(Protocol):
    """One chip on a bus. Only the bus's thread calls `turn`."""

    name: str
    link: DeviceLink

    def turn(self) -> None:
        """One exchange, at most some milliseconds.

        Raises OSError where the chip does not answer, DeviceError for a wrong answer, LinkLostError for a chip that was
        reset. The next turn sets up again what is needed.
        """


class BusWorker:
    """One bus and the chips on it."""

    def __init__(self, name: str, open_bus: Callable[[], None], close_bus: Callable[[], None]) -> None:
        """`open_bus` raises BoardError with the remedy."""
        self.name = name
        self._open_bus = open_bus
        self._close_bus = close_bus
        self._chips: list[_Asked] = []
        self._open = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, chip: Chip) -> None:
        """One chip more, before `start`."""
        self._chips.append(_Asked(chip))

    def start(self) -> None:
        """Open the bus and begin; nothing where it runs. Raises BoardError."""
        if self._thread is not None:
            return
        self._open_bus()
        self._open = True
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after at most JOIN_S, and close the bus. A second call does nothing."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(JOIN_S)
            self._close_bus()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            if not self._open and not self._reopened():
                self._stopping.wait(MOST_WAIT_S)
                continue
            for asked in self._chips:
                if self._open and asked.due_at <= time.monotonic():
                    self._ask(asked)
            self._stopping.wait(max(0.0, began + PERIOD_S - time.monotonic()))

    def _ask(self, asked: "_Asked") -> None:
        link = asked.chip.link
        try:
            asked.chip.turn()
        except LinkLostError as error:
            link.lost(str(error))
        except DeviceError as error:
            link.failed(str(error))
            asked.failed()
        except OSError as error:
            link.failed(f"{asked.chip.name} does not answer: {error.strerror}")
            asked.failed()
            if error.errno in (errno.ENODEV, errno.ESHUTDOWN):
                self._lose(f"{self.name} is gone")
        except Exception as error:
            # a driver's mistake must not end the thread silently: the chip is lost, loudly, and tried again
            log.exception("driver of %s", asked.chip.name)
            link.lost(f"driver of {asked.chip.name}: {type(error).__name__}: {error}")
            asked.failed()
        else:
            asked.answered()

    def _lose(self, text: str) -> None:
        self._open = False
        self._close_bus()
        for asked in self._chips:
            asked.chip.link.lost(text)

    def _reopened(self) -> bool:
        try:
            self._open_bus()
        except BoardError:
            return False  # the chips were told that it is gone
        for asked in self._chips:
            asked.answered()
        self._open = True
        return True


class _Asked:
    """When a chip is asked again: in the next round, or after a while where it failed often."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.due_at = 0.0
        self._fails = 0

    def answered(self) -> None:
        """It answered, or may be asked at once."""
        self._fails = 0
        self.due_at = 0.0

    def failed(self) -> None:
        """It did not answer, or wrongly."""
        self._fails += 1
        if self._fails >= PATIENCE:
            wait_s = min(FIRST_WAIT_S * 2.0 ** min(self._fails - PATIENCE, 10), MOST_WAIT_S)
            self.due_at = time.monotonic() + wait_s
