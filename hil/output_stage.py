"""What stands between a board's outputs and the machine: a watchdog relay, and a record of what was really driven."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from cell_controller.core.signals import KEEP

MOST_CHANGES = 20_000


class OutputStage:
    """The relay that the heartbeat feeds, and the time line of the true outputs.

    The relay is open until the first change of the heartbeat, and drops `watchdog_ms` after the last one. Outputs with
    `relay = true` in the wiring then have their safe values, whatever the board drives. Without a heartbeat in the cell
    or `watchdog_ms` in the wiring there is no relay.
    """

    def __init__(self, spec: Mapping[str, Any], wiring: Mapping[str, Any], speed: float) -> None:
        """`speed`: of the board's clock; a slow clock beats slowly, so the relay waits longer."""
        outputs = spec["outputs"]
        self.names = [str(entry["name"]) for entry in outputs]
        self.safe = [0 if entry["safe"] == KEEP else int(entry["safe"]) for entry in outputs]
        self.commanded = list(self.safe)
        self._relayed = [bool(wiring.get(name, {}).get("relay", False)) for name in self.names]
        self._beat = int(spec["heartbeat"])
        limit_ms = int(wiring.get("board", {}).get("watchdog_ms", 0))
        self._limit_s = limit_ms / 1000 / min(1.0, speed)
        self._there = self._beat >= 0 and limit_ms > 0
        self._closed = False
        self._last_beat = 0
        self._beat_at = 0.0
        self._number = 0
        self._changes: deque[dict[str, Any]] = deque(maxlen=MOST_CHANGES)
        self._logged_closed = False

    def heartbeat(self, values: Sequence[int], now: float) -> None:
        """Look at the heartbeat in what the controller wants; `now` in seconds of the real clock."""
        if self._there and values[self._beat] != self._last_beat:
            self._last_beat = values[self._beat]
            self._beat_at = now
            self._closed = True

    def watch(self, now: float) -> bool:
        """Drop the relay when its time is over; True where it dropped just now."""
        if not self._closed or now - self._beat_at < self._limit_s:
            return False
        self._closed = False
        return True

    def through_relay(self) -> list[int]:
        """What reaches the machine of what is commanded."""
        if not self._there or self._closed:
            return list(self.commanded)
        return [
            safe if relayed else value
            for value, safe, relayed in zip(self.commanded, self.safe, self._relayed, strict=True)
        ]

    def relay_text(self) -> str:
        """How the relay stands: "closed", "dropped" or "none"."""
        if not self._there:
            return "none"
        return "closed" if self._closed else "dropped"

    def log(self, before: Sequence[int], after: Sequence[int], tick_ms: int) -> None:
        """Note what changed at the machine, but not the heartbeat itself."""
        if self._closed != self._logged_closed:
            self._logged_closed = self._closed
            self._note("relay", 1 if self._closed else 0, tick_ms)
        for i, name in enumerate(self.names):
            if before[i] != after[i] and i != self._beat:
                self._note(name, after[i], tick_ms)

    def _note(self, name: str, value: int, tick_ms: int) -> None:
        self._number += 1
        self._changes.append({"number": self._number, "ms": tick_ms, "name": name, "value": value})

    def changes_since(self, number: int) -> list[dict[str, Any]]:
        """The changes after change `number`, oldest first; the last 20,000 are kept."""
        return [change for change in self._changes if change["number"] > number]
