"""A link on a broker, driven by a loop as on a board: link_run.py SETTINGS.json; prints one JSON object at the end.

Settings: those of a board, and `run`: records and bytes of each, until, limit_ms, room, spec (a file), heap. Says
`{"say": ...}` on the way, so that whoever started it can break something at the right moment.
"""

import json
import os
import sys
import time

from cell_controller.core import codec
from cell_controller.core import events as ev
from cell_controller.micropython import plant_link
from cell_controller.micropython.mqtt_client import GREETING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cell_controller.core.envelope import Request

_time: "Any" = time


def _us() -> int:
    return int(_time.ticks_us() if hasattr(time, "ticks_us") else _time.monotonic_ns() // 1000)


def _us_diff(later: int, earlier: int) -> int:
    return int(_time.ticks_diff(later, earlier)) if hasattr(time, "ticks_us") else later - earlier


def table(name: str) -> "Any":
    with open(name, "rb") as file:
        return codec.unpack(file.read())


def ms() -> int:
    return (_us() // 1000) & 0x1FFFFFFF


class Journal:
    """The part of the journal that a link reads, in memory; `appended` one at a time."""

    epoch = "0123456789abcdef"

    def __init__(self) -> None:
        self.rows: "list[bytes]" = []
        self.stores = 0
        self.mark = 0

    @property
    def durable_seq(self) -> int:
        return len(self.rows)

    def append(self) -> None:
        seq = len(self.rows) + 1
        self.rows.append(ev.record(seq, 1000 + seq, ev.STATE, 0, seq % 17, 4))

    def replay(self, from_seq: int) -> "Any":
        for at in range(from_seq - 1, len(self.rows)):
            yield at + 1, 1795302155000 + at, self.rows[at]

    def delivered(self, name: str) -> int:
        return self.mark

    def set_delivered(self, name: str, seq: int) -> None:
        self.stores += 1
        self.mark = seq


class Clock:
    """The host's wall clock, or one that nobody has set."""

    def __init__(self, known: bool) -> None:
        self.known = known
        self.told = 0

    def set_wall(self, wall_ms: int) -> None:
        self.told = wall_ms

    def wall_ms(self) -> int:
        return self.told or (_time.time_ns() // 1000000 if self.known else 0)


class Run:
    """One run with what it measured."""

    def __init__(self, settings: "dict[str, Any]") -> None:
        self.plan = settings["run"]
        self.spec = table(self.plan["spec"])
        self.journal = Journal()
        self.clock = Clock(self.plan.get("clock", True))
        self.requests: "list[str]" = []
        self.room = self.plan.get("room", 1000000)
        made = plant_link.make_link(self.spec, settings, self.journal, self.take, self.clock)
        assert made is not None
        self.link = made
        self.longest_us = 0
        self.longest_greeting_us = 0
        self.steps = 0
        self.outages = 0
        self.errors: "list[str]" = []
        self.states: "list[str]" = []
        self.was_connected = False

    def take(self, request: "Request") -> bool:
        if len(self.requests) >= self.room:
            return False
        self.requests.append(request.verb)
        self.link.offer_reply(
            request.token, {"ok": True, "code": 0, "name": "accepted", "text": "", "data": {}}
        )
        return True

    def step(self) -> None:
        link = self.link
        greeting = link.client.state == GREETING
        begun = _us()
        link.step(ms(), None, self.plan.get("may_block", True))
        took = _us_diff(_us(), begun)
        if greeting:
            self.longest_greeting_us = max(self.longest_greeting_us, took)
        else:
            self.longest_us = max(self.longest_us, took)
        self.steps += 1
        status = link.status
        if status.connected != self.was_connected:
            self.was_connected = status.connected
            print(json.dumps({"say": "up" if status.connected else "down"}))
            flush()
        if status.last_error and (not self.errors or self.errors[-1] != status.last_error):
            self.errors.append(status.last_error)

    def done(self, until: str) -> bool:
        link = self.link
        if until == "error":
            return bool(self.errors)
        if until == "delivered":
            return bool(link.session.delivered >= self.plan["records"])
        if until == "requests":
            return len(self.requests) + link.status.busy >= self.plan["requests"] and quiet(link)
        if until == "connected":
            return link.status.connected and quiet(link)
        return os_exists(until)  # a file that says enough

    def run(self) -> None:
        begun = ms()
        next_at = begun
        views = 0
        while not self.done(self.plan["until"]):
            now = ms()
            if (now - begun) & 0x1FFFFFFF > self.plan["limit_ms"]:
                self.errors.append("not done in time")
                break
            if (now - next_at) & 0x10000000 == 0:
                next_at = now + self.plan.get("every_ms", 20)
                views += 1
                if len(self.journal.rows) < self.plan.get("records", 0):
                    self.journal.append()
                self.link.offer_state(
                    {"state": "Execute", "n": views // 10, "timestamp_ms": self.clock.wall_ms()}
                )
                self.link.offer_signals([("airflow", 500 + views // 5, 0, "m3/min", 100)])
            self.step()
            pause()
        link = self.link
        link.leave(ms(), self.clock.wall_ms())
        print(
            json.dumps(
                {
                    "delivered": link.session.delivered,
                    "requests": self.requests,
                    "busy": link.status.busy,
                    "unreadable": link.session.unreadable,
                    "reconnects": link.status.reconnects,
                    "errors": self.errors,
                    "longest_us": self.longest_us,
                    "longest_greeting_us": self.longest_greeting_us,
                    "steps": self.steps,
                    "stores": self.journal.stores,
                    "told": self.clock.told,
                }
            )
        )


def quiet(link: "Any") -> bool:
    waiting = link.session.replies_waiting() or link.session.in_flight() or link.session.is_writing()
    return not waiting and bool(link.client.can_send())


def os_exists(name: str) -> bool:
    try:
        os.stat(name)
    except OSError:
        return False
    return True


def pause() -> None:
    """As short as a board's slices are apart; the other processes of a test want the processor too."""
    if hasattr(time, "sleep_ms"):
        time.sleep_ms(1)
    else:
        time.sleep(0.001)


def flush() -> None:
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()


with open(sys.argv[1]) as file:
    Run(json.load(file)).run()
