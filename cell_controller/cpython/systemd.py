"""What systemd wants to hear of a service of Type=notify: ready, alive, stopping. Without systemd nothing is sent."""

import os
import socket
import time


class Notifier:
    """Sends to the socket that systemd names in NOTIFY_SOCKET."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        limit_us = os.environ.get("WATCHDOG_USEC", "")
        self._every_s = int(limit_us) / 3_000_000 if limit_us.isdigit() else 0.0
        self._fed_at = 0.0

    def ready(self, status: str = "") -> None:
        """The service is up: outputs are safe and scans run."""
        self._send(f"READY=1\nSTATUS={status}" if status else "READY=1")

    def feed(self) -> None:
        """A scan is done; systemd hears of it three times in each WatchdogSec."""
        if self._every_s and time.monotonic() - self._fed_at >= self._every_s:
            self._fed_at = time.monotonic()
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service ends by itself."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            try:
                line.sendto(text.encode(), self._address)
            except OSError:
                # systemd does not read just now: a watchdog that is not fed does what it is for
                return
