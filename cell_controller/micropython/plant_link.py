"""Puts the link of a board together from its settings: network, clock, TLS, client, session."""

import time

from cell_controller.micropython.link import Link
from cell_controller.micropython.mqtt_client import MqttClient
from cell_controller.micropython.small_session import SmallSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cell_controller.core.envelope import Request

CA = "/ca.der"
PORT = 1883
TLS_PORT = 8883
_FROM_1970_TO_2000_S = 946684800  # some boards count from 2000


def make_link(
    spec: "dict[str, Any]",
    settings: "dict[str, Any]",
    journal: "Any",
    take: "Callable[[Request], bool]",
    clock: "Any",
) -> "Link | None":
    """The link that `settings` ask for, None without a broker in them.

    clock: wall_ms() and set_wall(ms). Raises OSError or ValueError for a certificate that cannot be used: the cell
    does not go without the protection that was asked for.
    """
    broker = settings.get("broker")
    if not broker or not broker.get("host"):
        return None
    tls = tls_context(broker.get("ca", CA)) if broker.get("tls") else None
    session = SmallSession(spec["path"] + "/" + spec["name"], journal.epoch, spec["name"])
    will = session.will()
    client = MqttClient(
        spec["name"] + "-" + journal.epoch[:8],
        broker["host"],
        broker.get("port") or (TLS_PORT if tls else PORT),
        broker.get("user"),
        broker.get("password"),
        tls_context=tls,
        will=(will.topic, will.payload, will.qos, will.retain),
    )
    link = Link(session, journal, spec, client, take, clock, _wifi(settings), _sntp(settings, clock))
    link.needs_time = tls is not None  # a certificate is valid from a day to a day
    return link


def tls_context(path: str) -> "Any":
    """A context that trusts the one certificate in `path` (DER) and checks the broker's name."""
    import ssl

    with open(path, "rb") as file:
        trusted = file.read()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted)
    return context


def _wifi(settings: "dict[str, Any]") -> "Any":
    wifi = settings.get("wifi")
    if not wifi or not wifi.get("ssid"):
        return None  # a host with a network of its own, or a wire
    import network

    from cell_controller.micropython.wifi import Wifi

    return Wifi(network, wifi["ssid"], wifi.get("password"))


def _sntp(settings: "dict[str, Any]", clock: "Any") -> "Any":
    time_of = settings.get("time") or {}
    host = time_of.get("host", settings["broker"]["host"])
    if not host:
        return None  # "": nobody may set the clock; the board has a time already
    from cell_controller.micropython.sntp import PORT as SNTP_PORT
    from cell_controller.micropython.sntp import Sntp

    def set_wall(wall_ms: int) -> None:
        clock.set_wall(wall_ms)
        set_calendar(wall_ms)

    return Sntp(host, set_wall, time_of.get("port") or SNTP_PORT)


def set_calendar(wall_ms: int) -> None:
    """Set the board's own calendar too: TLS looks there whether a certificate is valid. A host keeps its own."""
    try:
        from machine import RTC
    except ImportError:
        return
    seconds = wall_ms // 1000
    if time.gmtime(0)[0] != 1970:
        seconds -= _FROM_1970_TO_2000_S
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
