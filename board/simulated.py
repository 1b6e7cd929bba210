"""What every simulated board answers where there is no machine behind it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from board.device_link import DeviceStatus


class Simulated:
    """No devices, no watchdog, nobody's serial number; random bytes follow from `seed`."""

    simulated = True

    def __init__(self, seed: int = 1, directory: Path = Path()) -> None:
        """`directory`: where `folder` looks, the cell's."""
        self._directory = directory
        self._random_state = hashlib.sha256(b"%d" % seed).digest()

    def rearm(self) -> None:
        """See Signals.rearm: a plant has no link to lose."""

    def feed(self) -> None:
        """See Watchdog.feed: nothing is reset."""

    def random(self, count: int) -> bytes:
        """See Files.random."""
        found = b""
        while len(found) < count:
            self._random_state = hashlib.sha256(self._random_state).digest()
            found += self._random_state
        return found[:count]

    def folder(self, name: str) -> Path:
        """See Files.folder."""
        return self._directory / name

    def identity(self) -> Mapping[str, str]:
        """See Identity.identity."""
        return {"model": "simulated", "serial": ""}

    def devices(self) -> list[DeviceStatus]:
        """See Board.devices."""
        return []
