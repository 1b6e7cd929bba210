"""`network` as on a Pico W: a station that joins whatever it is told, as long as the host leaves it an access point."""

from . import layout
from .shared import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STA_IF = 0
AP_IF = 1
STAT_IDLE = 0
STAT_CONNECTING = 1
STAT_WRONG_PASSWORD = -3
STAT_NO_AP_FOUND = -2
STAT_CONNECT_FAIL = -1
STAT_GOT_IP = 3

_ADDRESS = ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")


class WLAN:
    """The chip is one, so its state is that of the class."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 10555714
    PM_POWERSAVE = 17
    _on = False
    _joined = 0  # the value of the word when it joined; another one since means it was lost
    _tried = False

    def __init__(self, interface: int = STA_IF) -> None:
        if interface not in (STA_IF, AP_IF):
            raise ValueError

    def active(self, on: "Any" = None) -> "bool | None":
        if on is None:
            return WLAN._on
        WLAN._on = bool(on)
        if not on:
            self.disconnect()
        return None

    def connect(self, ssid: "Any" = None, key: "Any" = None, **settings: "Any") -> None:
        if WLAN._on:
            WLAN._joined = words[layout.WIFI]
            WLAN._tried = True

    def disconnect(self) -> None:
        WLAN._joined = 0
        WLAN._tried = False

    def isconnected(self) -> bool:
        return bool(WLAN._joined & 1) and WLAN._joined == words[layout.WIFI]

    def status(self, what: str = "") -> int:
        if what:
            return -50
        if self.isconnected():
            return STAT_GOT_IP
        return STAT_NO_AP_FOUND if WLAN._tried else STAT_IDLE

    def ifconfig(self, new: "Any" = None) -> "tuple[str, ...]":
        return _ADDRESS if self.isconnected() else ("0.0.0.0",) * 4

    def ipconfig(self, name: str) -> "Any":
        return _ADDRESS[:2] if name == "addr4" else None

    def config(self, *names: str, **settings: "Any") -> "Any":
        return b"\x28\xcd\xc1\x00\x00" + bytes((words[layout.UNIQUE],)) if "mac" in names else None

    def scan(self) -> "list[tuple[Any, ...]]":
        return []


def country(code: str = "") -> str:
    return "XX"


def hostname(name: str = "") -> str:
    return "PicoW"
