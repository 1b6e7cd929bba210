"""The hardware watchdog of a Linux machine, /dev/watchdog: it resets the machine when it is not fed in time."""

import errno
import logging
import os
import struct
import time
from fcntl import ioctl

from cell_controller.errors import BoardError

log = logging.getLogger("board")

WDIOC_SETTIMEOUT = 0xC0045706
MAGIC_CLOSE = b"V"
"""Written before it is closed it says that this is on purpose; a kernel built with nowayout does not listen."""

FEEDS = 4
"""Feedings in one time-out."""


class HardwareWatchdog:
    """Opened it runs: whoever dies after that has the machine reset, unless he is back in time."""

    def __init__(self, path: str, timeout_s: int) -> None:
        self._path = path
        self.timeout_s = timeout_s
        """What the hardware made of the wish, once it is opened."""
        self._file = -1
        self._due = 0.0

    def open(self) -> None:
        """Start it. Raises BoardError with the remedy."""
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            answer = ioctl(self._file, WDIOC_SETTIMEOUT, struct.pack("i", self.timeout_s))
        except OSError as error:
            self.close()
            raise BoardError(self._why_not(error)) from error
        self.timeout_s = struct.unpack("i", answer)[0]
        self.feed()

    def feed(self) -> None:
        """A scan is done; the hardware hears of it FEEDS times in a time-out."""
        now = time.monotonic()
        if self._file < 0 or now < self._due:
            return
        self._due = now + self.timeout_s / FEEDS
        try:
            os.write(self._file, b"\0")
        except OSError:
            # it will reset the machine, as it should where it cannot be reached
            log.exception("%s cannot be fed", self._path)

    def close(self) -> None:
        """Stop it: an orderly end is none of its business. A second call does nothing."""
        file, self._file = self._file, -1
        if file < 0:
            return
        try:
            os.write(file, MAGIC_CLOSE)
        except OSError:
            log.exception("%s cannot be stopped", self._path)
        os.close(file)

    def _why_not(self, error: OSError) -> str:
        where = f"[board] watchdog = '{self._path}'"
        if error.errno == errno.EBUSY:
            return (
                f"{where}: somebody has it, systemd for one; remove RuntimeWatchdogSec from "
                "/etc/systemd/system.conf, or remove the key and let systemd do it"
            )
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{where}: no permission; it belongs to root, a rule of udev can give it to a group"
        if error.errno == errno.ENOENT:
            return f"{where}: there is none; on a Pi it needs dtparam=watchdog=on in config.txt"
        if error.errno == errno.EINVAL:
            return f"{where}: it does not take watchdog_s = {self.timeout_s}; a Pi's takes 1..15"
        return f"{where}: {error.strerror}; is it a watchdog?"
