"""A recorded line as a tape: what the device said and when, and what it was asked before. Pure: times go in.

The tape stands still where the recording has a request, until the host sends it. What the device said after it comes
then after the recorded time. Times are in seconds of any clock that does not go back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from board import wire_trace as wt

OPEN = "open"
HEAR = "hear"
SAY = "say"
HANG_UP = "hang up"
_STEPS = {wt.OPENED: OPEN, wt.WRITTEN: HEAR, wt.READ: SAY, wt.FORGOTTEN: SAY, wt.LOST: HANG_UP}

HURRY_S = 1.0
"""A host that is earlier than the recorded one gets at once what was due before within this time."""
MESSAGE_S = 0.05
"""A silence after which what the host sent is taken as all of it."""
REQUEST_S = 1.0
"""The same where it is the beginning of the right thing."""
MOST_SHOWN = 24
MOST_KEPT = 1000


@dataclass(frozen=True)
class Step:
    """One thing on the tape."""

    at_s: float
    kind: str
    data: bytes = b""


def steps_of(entries: Iterable[wt.Entry]) -> list[Step]:
    """The tape of a line trace. A line that could not be opened is none; the first thing is always an opening."""
    steps: list[Step] = []
    is_open = False
    for entry in entries:
        kind = _STEPS.get(entry.letter, "")
        if entry.letter in (wt.HEADER, wt.CLOSED):
            is_open = is_open and entry.letter == wt.HEADER and bool(wt.about_of(entry).get("segment"))
        if not kind or (kind == HANG_UP and not is_open):
            continue
        if not is_open and kind != OPEN:  # a recording that began on an open line
            steps.append(Step(entry.at_us / 1e6, OPEN))
        is_open = kind != HANG_UP
        steps.append(Step(entry.at_us / 1e6, kind, entry.data if kind in (HEAR, SAY) else b""))
    return steps


class Tape:
    """The device's side of a recording. Told what the host does, it says what the device does.

    `requests` are on the tape, `answered` of them came as recorded. `differences` has a line for each thing that the
    host did otherwise, at most MOST_KEPT; `different` counts them all.
    """

    def __init__(self, steps: list[Step], speed: float = 1.0) -> None:
        """`speed`: how many times as fast as recorded the device is."""
        self._steps = steps
        self._speed = speed
        self._at = 0
        self._base = (0.0, 0.0)  # now, and on the tape
        self._hurried = b""
        self._heard = b""
        self._heard_at = 0.0
        self.requests = sum(step.kind == HEAR for step in steps)
        self.answered = 0
        self.different = 0
        self.differences: list[str] = []

    @property
    def over(self) -> bool:
        """Whether everything on the tape has been played."""
        return self._at >= len(self._steps) and not self._hurried

    def opened(self, now: float) -> None:
        """The host opened the line: what the device says by itself begins."""
        self._heard = b""
        if self._kind() == OPEN:
            self._base = (now, self._steps[self._at].at_s)
            self._at += 1

    def closed(self) -> None:
        """The host closed the line: the tape goes on where the recorded host opened it again."""
        self._heard = self._hurried = b""
        left = 0
        while self._at < len(self._steps) and self._kind() != OPEN:
            left += self._kind() == HEAR
            self._at += 1
        if left:
            self._differ(f"the host closed the line {left} requests before it did in the recording")

    def heard(self, data: bytes, now: float) -> None:
        """The host sent `data`."""
        self._heard += data
        self._heard_at = now
        self._match(now)

    def take(self, now: float) -> bytes:
        """What the device says by now."""
        if self._heard and now >= self._heard_at + (REQUEST_S if self._begun() else MESSAGE_S):
            self._decide(now)
        out, self._hurried = self._hurried, b""
        while self._kind() == SAY and self._due(self._steps[self._at]) <= now:
            out += self._steps[self._at].data
            self._at += 1
        return out

    def hangs_up(self, now: float) -> bool:
        """Whether the device's side ends now; told once."""
        if self._kind() != HANG_UP or self._due(self._steps[self._at]) > now:
            return False
        self._base = (now, self._steps[self._at].at_s)
        self._at += 1
        return True

    def back_at(self) -> float:
        """When the device that hung up is there again."""
        return self._due(self._steps[self._at]) if self._kind() == OPEN else self._base[0]

    def next_due(self, otherwise: float) -> float:
        """When there is next something to take, at most `otherwise`."""
        if self._heard:
            otherwise = min(otherwise, self._heard_at + (REQUEST_S if self._begun() else MESSAGE_S))
        return (
            min(otherwise, self._due(self._steps[self._at])) if self._kind() in (SAY, HANG_UP) else otherwise
        )

    def _kind(self) -> str:
        return self._steps[self._at].kind if self._at < len(self._steps) else ""

    def _due(self, step: Step) -> float:
        return self._base[0] + (step.at_s - self._base[1]) / self._speed

    def _next_request(self, start: int) -> int:
        for k in range(start, len(self._steps)):
            if self._steps[k].kind == HEAR:
                return k
        return -1

    def _begun(self) -> bool:
        k = self._next_request(self._at)
        return k >= 0 and self._steps[k].data.startswith(self._heard)

    def _match(self, now: float) -> None:
        """Take from what was heard the requests that the tape has next."""
        while self._heard:
            k = self._next_request(self._at)
            if k < 0 or not self._heard.startswith(self._steps[k].data):
                return
            self.answered += 1
            self._go_on_behind(k, now)

    def _go_on_behind(self, k: int, now: float) -> None:
        """The request at `k` came: what is before it on the tape comes now or never."""
        for step in self._steps[self._at : k]:
            if step.kind == SAY and self._due(step) <= now + HURRY_S:
                self._hurried += step.data
        self._heard = self._heard[len(self._steps[k].data) :]
        self._base = (now, self._steps[k].at_s)
        self._at = k + 1

    def _decide(self, now: float) -> None:
        """What was heard is not what comes next: find it further on, or let it be."""
        heard = self._heard
        expected = self._next_request(self._at)
        k = expected
        left = 0
        while k >= 0 and not heard.startswith(self._steps[k].data):
            left += 1
            k = self._next_request(k + 1)
        if expected < 0:
            self._differ(f"the host sent {shown(heard)} where the recording has nothing more from it")
        else:
            step = self._steps[expected]
            place = f"; at {step.at_s:.3f} s the recording has {shown(step.data)}"
            further = (
                f", it goes on at {self._steps[k].at_s:.3f} s, {left} requests further" if k >= 0 else ""
            )
            self._differ(f"the host sent {shown(heard)}{place}{further}")
        if k < 0:
            self._heard = b""
            return
        self._go_on_behind(k, now)
        self._match(now)

    def _differ(self, text: str) -> None:
        self.different += 1
        if len(self.differences) < MOST_KEPT:
            self.differences.append(text)


def shown(data: bytes) -> str:
    """Bytes in a sentence: as text where they are some, else in hex."""
    text = data[:MOST_SHOWN]
    some = repr(text)[1:] if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in text) else text.hex(" ")
    return some + (f" … ({len(data)} bytes)" if len(data) > MOST_SHOWN else "")
