"""Wi-Fi as a station, a slice at a time: joins, notices a loss, joins again with a pause that grows.

A name and a password that are wrong look like an access point that is gone: both are tried again for ever, because
somebody may switch the access point on or mend its password while the cell runs.
"""

from cell_controller.core import ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

JOIN_MS = 15000
FIRST_PAUSE_MS = 1000
PAUSE_CAP_MS = 60000
LOOK_EVERY_MS = 200


class Wifi:
    """Joins one network. `step` from the loop; `up` says whether there is an address; `status` is for people.

    network: the module of that name.
    """

    def __init__(self, network: "Any", ssid: str, password: "str | None") -> None:
        self.up = False
        self.status = "Wi-Fi: not begun"
        self.losses = 0
        self._ssid = ssid
        self._password = password
        self._reasons = _reasons(network)
        self._station: "Any" = network.WLAN(getattr(network, "STA_IF", 0))
        self._joining = False
        self._begun = 0
        self._look_at: int | None = None
        self._failures = 0

    def step(self, now_ms: int) -> bool:
        """One look, at most every 200 ms; whether the network is there."""
        if self._look_at is not None and ticks.diff(now_ms, self._look_at) < 0:
            return self.up
        self._look_at = ticks.add(now_ms, LOOK_EVERY_MS)
        try:
            self._look(now_ms)
        except OSError as error:
            self._pause(now_ms, "Wi-Fi %s: %s" % (self._ssid, error))
        return self.up

    def _look(self, now_ms: int) -> None:
        there = bool(self._station.isconnected())
        if there:
            if not self.up:
                self.up = True
                self._joining = False
                self._failures = 0
                self.status = "Wi-Fi %s: %s" % (self._ssid, self._station.ifconfig()[0])
            return
        if self.up:
            self.losses += 1
            self.up = False
            self.status = "Wi-Fi %s: lost" % self._ssid
            self._join(now_ms)
        elif not self._joining:
            self._join(now_ms)
        else:
            code = self._station.status()
            why = self._reasons.get(code, "")
            if not why and ticks.diff(now_ms, self._begun) >= JOIN_MS:
                why = "no answer within %d s" % (JOIN_MS // 1000)
            if why:
                self._pause(now_ms, "Wi-Fi %s: %s" % (self._ssid, why))

    def _join(self, now_ms: int) -> None:
        """Some chips join a second time only after they were switched off."""
        station = self._station
        if self._failures or self.losses:
            try:
                station.disconnect()
            except OSError:
                pass
            station.active(False)
        station.active(True)
        self._joining = True
        self._begun = now_ms
        if not self.losses and not self._failures:
            self.status = "Wi-Fi %s: joining" % self._ssid
        if self._password is None:
            station.connect(self._ssid)
        else:
            station.connect(self._ssid, self._password)

    def _pause(self, now_ms: int, why: str) -> None:
        self.up = False
        self._joining = False
        self.status = why
        pause_ms = min(PAUSE_CAP_MS, FIRST_PAUSE_MS << min(self._failures, 6))
        self._failures += 1
        self._look_at = ticks.add(now_ms, pause_ms)


def _reasons(network: "Any") -> "dict[int, str]":
    """What a status means that ends an attempt; the numbers are another on each chip, so they are asked for."""
    reasons: "dict[int, str]" = {}
    for name, text in (
        ("STAT_WRONG_PASSWORD", "the password is wrong"),
        ("STAT_NO_AP_FOUND", "there is no such network here"),
        ("STAT_CONNECT_FAIL", "the access point refused"),
        ("STAT_ASSOC_FAIL", "the access point refused"),
        ("STAT_HANDSHAKE_TIMEOUT", "the password is wrong"),
        ("STAT_BEACON_TIMEOUT", "the access point is gone"),
    ):
        code = getattr(network, name, None)
        if code is not None:
            reasons[code] = text
    return reasons
