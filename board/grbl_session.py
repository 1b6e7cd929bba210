"""One router with GRBL 1.1: whether it is still the one it was, its job, its holds. Bytes and time in and out.

GRBL numbers no lines. So each line of a job carries a tool number (T1..T255, going round), which GRBL keeps and tells
on `$G`: it names the last line that was taken in, and is 0 after a reset. See board.marlin_session for the members.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from board.gcode_input import AnswerLines
from board.gcode_job import (
    CANCELLED,
    DONE,
    FAILED,
    HALTED,
    IDLE,
    INTERRUPTED,
    LOCKED,
    PAUSED,
    RUNNING,
    UNKNOWN,
    Job,
)
from board.grbl_lines import Report, report

RX_BYTES = 128
SPARE_BYTES = 12
"""Of the receive buffer, for the question after a lost line."""
GREET_MS = 100
STATUS_MS = 200
ASK_AGAIN_MS = 2000
MOST_IN_FLIGHT = 100
"""Less than the 255 tool numbers, so that each names one line."""
STATUS, HOLD, GO, RESET = b"?", b"!", b"~", b"\x18"
MARK = (b"T1", None)
"""Behind homing and a reset of ours: a router that says another tool than 0 was not switched off since."""
MOVING = ("Run", "Jog", "Home", "Hold", "Hold:1", "Door", "Door:2", "Door:3")
"""States in which nothing is acknowledged for long, and that is well."""
STILL = ("Idle", "Hold", "Door")
BANNER_MS = 3000
HOMING_MS = 60_000
"""GRBL says nothing while it homes: so long that is no silence."""
_DWELL = re.compile(rb"G0?4(?!\d).*?P ?(\d+\.?\d*)")


def tool_of(place: int) -> int:
    """The tool number of a line of a job, 2..255; 1 is said before the first."""
    return place % 254 + 2


@dataclass(frozen=True)
class GrblSettings:
    """Times in ms; lines of the wiring file."""

    ack_ms: int = 5000
    cancel_gcode: Sequence[bytes] = ()


class GrblSession:
    """See the module."""

    kill_needs_reset = False

    def __init__(self, settings: GrblSettings) -> None:
        self.settings = settings
        self.troubles: list[str] = []
        self.reset_seen = False
        self.stopped = ""
        self.done_key = 0
        self.job: Job | None = None
        self.unreset = False
        self.homed = False
        self.outcome = UNKNOWN
        self._machine = ""  # its state in its own word
        self._position: tuple[int, int, int] | None = None
        self._measured = {"answer": 0, "position": 0}
        self._phase = "greet"
        self._asked_at = -1
        self._greet_at = 0
        self._answers = AnswerLines(self.troubles)
        self._status_at = 0
        self._heard_at = 0
        self._own: deque[tuple[bytes, object]] = deque()
        self._urgent = b""
        self._in_flight: deque[tuple[int, object, int]] = deque()  # bytes, tag, dwell in ms
        self._next = 0
        self._carried = -1  # places of the job below this were acknowledged; -1: not even the first mark
        self._active = False
        self._ending = False
        self._cancelling = False
        self._pause = False
        self._expects_banner = False
        self._reset_at = 0
        self._homing_at = 0

    # --- how it is ---

    @property
    def is_known(self) -> bool:
        return self._phase == "ready"

    @property
    def is_active(self) -> bool:
        return self._active

    @property
    def is_busy_telling(self) -> bool:
        return bool(self._own or self._urgent)

    @property
    def state(self) -> int:
        """See docs/gcode.md."""
        if self.stopped:
            return HALTED
        if not self.is_known:
            return UNKNOWN
        if self._active:
            still = self._machine in ("Hold", "Door") or (self._pause and self._machine == "Idle")
            return PAUSED if still else RUNNING
        if self.outcome != UNKNOWN:
            return self.outcome
        return IDLE if self._machine == "Idle" and self.homed else LOCKED

    def readings(self) -> dict[str, tuple[int, int]]:
        """Counts of input points that were heard of, and when."""
        progress = (
            1000 if self.outcome == DONE else self.job.progress(max(0, self._carried)) if self.job else 0
        )
        pending = self._active or self.stopped or self._own or self._in_flight or self._machine != "Idle"
        found = {
            "link": 1,
            "state": self.state,
            "ready": int(self.is_known and self.homed and not pending),
            "last_job": self.job.key if self.job else 0,
            "done_job": self.done_key,
            "progress": progress,
            "unreset": int(self.unreset),
        }
        values = {name: (count, self._measured["answer"]) for name, count in found.items()}
        if self._position:
            at = self._measured["position"]
            values |= {axis: (count, at) for axis, count in zip("xyz", self._position, strict=True)}
        return values

    # --- what the driver asks for ---

    def begin(self, now: int) -> None:
        """The line was opened, or the router was silent for too long: find out who is there."""
        if self._active:
            self._active = False
            self.outcome = CANCELLED if self._cancelling else INTERRUPTED
        self._phase = "greet"
        self._greet_at = now + GREET_MS
        self._asked_at = -1
        self._machine = ""
        self._answers.forget()
        self._urgent = b""
        self._expects_banner = False  # the next one may be that of a router that was switched on
        self._own.clear()

    def start(self, job: Job, now: int, go_on: bool = False) -> None:
        """Begin a job; `go_on`: continue the interrupted one behind the last line that the router has."""
        self.done_key = 0
        if not go_on:
            self.job, self._next, self._carried = job, 0, -1
            self.unreset = True
            self._own.append((b"T1", -1))
        elif not (
            self.unreset and self.outcome == INTERRUPTED and self.job and self.job.sha256 == job.sha256
        ):
            self.job = job
            self.fail(f"{job.name} cannot go on: the router was reset since, or it is another job")
            return
        self._active, self._ending, self._cancelling = True, False, False
        self.outcome = UNKNOWN
        self._heard_at = now

    def cancel(self, now: int) -> bytes:
        """Hold, and reset when it stands still: the position is kept, spindle and coolant are off."""
        if not self._active or self._cancelling:
            return b""
        self._cancelling = True
        self._own.clear()
        self._machine = ""  # what it was doing before the hold says nothing of whether it stands still
        self._status_at = now - STATUS_MS
        return HOLD

    def fail(self, text: str) -> None:
        """A job ended otherwise than it should have: what is in the buffers is not carried out."""
        self.troubles.append(text)
        if self._active and self.is_known:
            self._reset()
            self._own.clear()
        self._active = False
        self.outcome = FAILED

    def pause(self, on: bool) -> None:
        """Whether a job shall stand still."""
        if on != self._pause and self._active and not self._cancelling:
            self._urgent += HOLD if on else GO
            self._machine = ""  # not known to stand still before it says so again
        self._pause = on

    def home(self) -> None:
        """Find the ends of the axes; this unlocks too."""
        if self.is_known and not self._active:
            self.outcome = UNKNOWN
            self._own.append((b"$H", "homed"))

    def heat(self, heater: str, tenths: int) -> None:
        """A router has no heaters; check says so."""

    def run_again(self) -> None:
        """After an alarm or `kill`: unlock."""
        if self.stopped == "alarm":
            self._reset()  # after some alarms it wants that before it unlocks
        self.stopped = ""
        self._own.append((b"$X", None))

    def kill(self) -> bytes:
        """Reset at once: motion, spindle and coolant stop; it stays locked until `run_again`."""
        if self._active:
            self.fail("stopped by 'enable'")
        self.stopped = "kill"
        self._expects_banner, self._reset_at = True, -1
        self._urgent = b""
        return RESET

    def _reset(self) -> None:
        if not self._expects_banner:
            self._urgent += RESET
            self._expects_banner, self._reset_at = True, -1

    # --- bytes in ---

    def heard(self, data: bytes, now: int) -> None:
        """Take what came: half a line, or three."""
        for line in self._answers.feed(data, now):
            self._take(report(line), now)

    def _take(self, got: Report, now: int) -> None:
        if got.kind == "noise":
            self.troubles.append(f"nonsense on the line: {got.text}")
        elif got.kind == "banner":
            self._was_reset(now)
        elif got.kind == "status":
            self._status(got, now)
        elif got.kind == "alarm":
            self._alarm(got)
        elif self._phase == "greet":
            if got.kind == "modes" and self._asked_at >= 0:
                self._decide(got.number)
        elif self._phase == "modes":
            if got.kind == "ok":
                self._phase = "ready"
                self._in_flight.clear()
        elif got.kind in ("ok", "error"):
            self._acknowledged(got, now)

    def _status(self, got: Report, now: int) -> None:
        self._machine = got.state
        if self._answers.is_flooded(now):
            return
        at = now if now - self._status_at < STATUS_MS else self._status_at
        self._measured["answer"] = at
        if got.position:
            self._position = got.position
            self._measured["position"] = at
        if self._phase == "greet" and self._greet_at <= now:
            self._greeted(got, now)
        elif got.state in MOVING:
            self._heard_at = now

    def _acknowledged(self, got: Report, now: int) -> None:
        self._heard_at = now
        if not self._in_flight:
            return
        _, tag, _ = self._in_flight.popleft()
        if got.kind == "error":
            if self._active and self.job is not None:
                line = f"line {self.job.numbers[tag]}: " if isinstance(tag, int) and tag >= 0 else ""
                self.fail(f"{self.job.name}, {line}{got.text}")
            else:
                self.troubles.append(f"the router says {got.text}")
        elif isinstance(tag, int):
            self._carried = tag + 1
        elif tag == "homed":
            self.homed, self.stopped = True, ""
            self._own.append(MARK)
        elif tag == "done" and self._active and self.job is not None:
            self._active, self.outcome, self.done_key = False, DONE, self.job.key

    def _alarm(self, got: Report) -> None:
        text = f"the router says {got.text}"
        if got.number in (1, 3, 6, 7, 8, 9):
            self.homed = False
        if self._expects_banner:
            return
        self.stopped = "alarm"
        if self._active and self.job is not None:
            self.fail(f"{self.job.name}: {text}")
        else:
            self.troubles.append(text)

    # --- who is there ---

    def _was_reset(self, now: int) -> None:
        if self._expects_banner:
            self._expects_banner = False
            if self._cancelling and self._active:
                self._active, self.outcome = False, CANCELLED
                self._own.extend((line, None) for line in self.settings.cancel_gcode)
            self.unreset = False
            self._in_flight.clear()
            if self.homed:
                self._own.append(MARK)
            return
        if self._active or self.outcome == INTERRUPTED:
            self.fail("the router was reset or switched off while a job was on it")
        self.unreset = self.homed = False
        self.reset_seen = True
        self._urgent = b""
        self._in_flight.clear()
        self._own.clear()
        self._phase, self._greet_at, self._asked_at = "greet", now + GREET_MS, -1

    def _greeted(self, got: Report, now: int) -> None:
        """Ask for the tool number, once there is room for the question behind what the router still has to do."""
        if got.state in ("Hold", "Door") and not self._expects_banner:
            # held, it would not answer; letting it go would move it
            self._urgent = b""
            self._reset()
            if self.outcome == INTERRUPTED:
                self.outcome = FAILED
                self.troubles.append(
                    "the line was lost while the router was held: it was reset, the job cannot go on"
                )
            return
        room = got.number >= SPARE_BYTES or (got.number < 0 and got.state in ("Idle", "Alarm"))
        again = self._asked_at >= 0 and now - self._asked_at < ASK_AGAIN_MS
        if room and not (again or (self._asked_at >= 0 and got.state in MOVING)):
            self._asked_at = now
            # a $ in the middle makes GRBL refuse the piece of a line that it may have; alone it asks for help
            self._urgent += b"$\n$G\n"

    def _decide(self, tool: int) -> None:
        self._phase = "modes"  # its own ok is still to come
        if not tool:
            self.homed = self.unreset = False  # it was switched off, though nobody heard it begin
        if self.outcome != INTERRUPTED or self.job is None:
            return
        places = [
            place for place in range(max(self._carried - 1, -1), self._next) if self._mark(place) == tool
        ]
        if not places:
            self.fail("the router was reset or changed while the line was away; the job cannot go on")
            self.unreset = False
            return
        self._next = self._carried = places[-1] + 1

    def _mark(self, place: int) -> int:
        return tool_of(place) if place >= 0 else 1

    # --- bytes out ---

    def poll(self, now: int) -> bytes:
        """What to send now."""
        data, self._urgent = self._urgent, b""
        if self._reset_at < 0:
            self._reset_at = now
        if now - self._status_at >= STATUS_MS:
            self._status_at = now
            data += STATUS
        if self._phase != "ready" or (self.stopped and not self._own):
            return data
        if self._cancelling and self._active:
            if self._machine in STILL and not self._expects_banner:
                self._expects_banner, self._reset_at = True, now
                return data + RESET
            if not self._expects_banner:
                return data
        if self._expects_banner:
            if now - self._reset_at < BANNER_MS:
                return data
            self._was_reset(now)  # it was not heard; what there was in its buffers is gone all the same
        if any(tag == "homed" for _, tag, _ in self._in_flight) and now - self._homing_at < HOMING_MS:
            self._measured["answer"] = self._heard_at = now
        patience = self.settings.ack_ms + sum(dwell for _, _, dwell in self._in_flight)
        if self._in_flight and not self._pause and now - self._heard_at >= patience:
            self._heard_at = now
            self._unanswered()
        while (line := self._line(now)) is not None:
            self._heard_at = now if not self._in_flight else self._heard_at
            dwell = _DWELL.search(line[0].upper())
            self._in_flight.append((len(line[0]), line[1], int(1000 * float(dwell[1])) if dwell else 0))
            data += line[0]
        return data

    def _unanswered(self) -> None:
        if self._active and self.job is not None:
            self.fail(f"{self.job.name}: the router stands still and has not acknowledged what it was sent")
        else:
            self.troubles.append("the router has not acknowledged what it was sent")
        self._in_flight.clear()

    def _line(self, now: int) -> tuple[bytes, object] | None:
        """The next line for which there is room in the receive buffer."""
        room = RX_BYTES - SPARE_BYTES - sum(size for size, _, _ in self._in_flight)
        if self._own:
            line, tag = self._own[0][0] + b"\n", self._own[0][1]
            if len(line) > room:
                return None
            self._own.popleft()
            self._homing_at = now if tag == "homed" else self._homing_at
            return line, tag
        if not self._active or self._pause or self.job is None or len(self._in_flight) >= MOST_IN_FLIGHT:
            return None
        place = self._next
        if self._carried < 0:
            return None  # the mark before the first line comes first
        if place == len(self.job.lines):
            if not self._ending:
                self._ending = True
                self._own.append((b"G4 P0.01", "done"))  # answered when all motion has ended
                return self._line(now)
            return None
        line = b"%s T%d\n" % (self.job.lines[place], tool_of(place))
        if len(line) > room:
            return None
        self._next += 1
        return line, place
