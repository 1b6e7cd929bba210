"""One printer with Marlin: whether it is still the one it was, its job, its heaters. Bytes and time in and out.

`begin` after the line was opened; then `heard` with what came and `poll` for what to send, with the time in ms.
What the session finds is in its attributes; `troubles` collects texts for people.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

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
from board.marlin_flow import SETTLE_MS, Flow
from board.marlin_heat import WAITS, Heaters
from board.marlin_lines import Answer, answer, numbered, word_of
from board.marlin_pause import Aside, Asides

GREET_MS = 100
"""After opening: a board that resets then says so first."""
GREET_AGAIN_MS = 1000
POLL_MS = 1000
"""How often temperatures and position are asked for while no job runs."""
MOST_OWN = 64
SETUP = (b"M115", b"M113 S1", b"M155 S1")
BEFORE_JOB = (b"M84 S0", b"G90")
"""Motors stay on, also in a pause: a printer that lets them go has lost its place without saying so. A job that was
cancelled may have left relative moves (G91)."""
AFTER_JOB = (b"M84 S120",)


@dataclass(frozen=True)
class MarlinSettings:
    """Lines of the wiring file, and times in ms."""

    ack_ms: int = 5000
    window: int = 1
    pause_gcode: Sequence[bytes] = ()
    resume_gcode: Sequence[bytes] = ()
    cancel_gcode: Sequence[bytes] = (b"M104 S0", b"M140 S0", b"M107")


class MarlinSession:
    """See the module.

    `base`: the number that lines begin from, which nobody can guess: it tells this printer, not switched off since,
    from any other.
    """

    kill_needs_reset = True

    def __init__(self, settings: MarlinSettings, base: int) -> None:
        self.settings = settings
        self.flow = Flow(settings.ack_ms, settings.window)
        self.temperatures: dict[str, tuple[int, int]] = {}
        """ "nozzle", "bed": measured and wanted in 0.1 degC, as last reported."""
        self.position: tuple[int, int, int] | None = None
        self.measured: dict[str, int] = {}
        """ "temperatures", "position", "answer": when that was last heard."""
        self.troubles: list[str] = []
        self.reset_seen = False
        """The printer was switched off or reset; the driver clears it."""
        self.unreset = False
        self.homed = False
        self.outcome = UNKNOWN
        """How the last job ended: DONE, FAILED, CANCELLED, INTERRUPTED; UNKNOWN for none."""
        self.done_key = 0
        self.job: Job | None = None
        self.stopped = ""
        """"halt": dead until it is reset; "stop": it wants M999; "" for neither."""
        self._base = base
        self._phase = "greet"
        self._probe_at = 0
        self._probe_last = -1
        self._decide_at = -1
        self._answers = AnswerLines(self.troubles)
        self._own: deque[tuple[bytes, object]] = deque()
        self._run = 0
        self._next = 0
        self._carried = 0
        self._asides = Asides(settings.pause_gcode, settings.resume_gcode)
        self._cancel_due = False  # `cancel_gcode` was not told, or may not have arrived
        self._active = False  # a job runs or is paused
        self._ending = False
        self._cancelling = False
        self._pause_wanted = False
        self._paused = False
        self._capabilities: set[str] = set()
        self._heaters = Heaters()
        self._polled_at = 0
        self._lag = 0

    # --- how it is ---

    @property
    def is_known(self) -> bool:
        """The printer was identified since the line was opened."""
        return self._phase == "ready"

    @property
    def state(self) -> int:
        """See docs/gcode.md."""
        if self.stopped:
            return HALTED
        if not self.is_known:
            return UNKNOWN
        if self._active:
            return PAUSED if self._paused else RUNNING
        if self.outcome != UNKNOWN:
            return self.outcome
        return IDLE if self.homed else LOCKED

    @property
    def is_ready(self) -> bool:
        """No job, homed, nothing pending."""
        busy = [sent for sent in self.flow.in_flight if sent.tag != "poll"]
        return self.is_known and not (self._active or self.stopped or self._own or busy) and self.homed

    @property
    def is_active(self) -> bool:
        """A job runs, is paused, or is being ended."""
        return self._active

    @property
    def is_busy_telling(self) -> bool:
        """Lines of our own wait to be sent."""
        return bool(self._own or self._heaters.due)

    @property
    def progress(self) -> int:
        """Per mille of the job's lines that the printer has acknowledged; 1000 when the last was carried out."""
        if self.outcome == DONE:
            return 1000
        return self.job.progress(self._carried) if self.job else 0

    def readings(self) -> dict[str, tuple[int, int]]:
        """Counts of input points that were heard of, and when."""
        answered = self.measured.get("answer", 0)
        found = {
            "link": 1,
            "state": self.state,
            "ready": int(self.is_ready),
            "last_job": self.job.key if self.job else 0,
            "done_job": self.done_key,
            "progress": self.progress,
            "unreset": int(self.unreset),
        }
        values = {name: (count, answered) for name, count in found.items()}
        for heater, (measured, _) in self.temperatures.items():
            values[heater] = (measured, self.measured[heater])
        if self.position:
            at = self.measured["position"]
            values |= {axis: (count, at) for axis, count in zip("xyz", self.position, strict=True)}
        return values

    # --- what the driver asks for ---

    def begin(self, now: int) -> None:
        """The line was opened, or the printer was silent for too long: find out who is there."""
        if self._active:
            self._active = False
            self.outcome = CANCELLED if self._cancelling else INTERRUPTED
        if self.stopped == "halt":
            self.stopped = ""  # whoever answers now was reset
        self._phase = "greet"
        self._probe_at = now + GREET_MS
        self._decide_at = -1
        self._probe_last = -1
        self._answers.forget()
        self._lag = 0
        self._own.clear()

    def start(self, job: Job, now: int, go_on: bool = False) -> None:
        """Begin a job; `go_on`: continue the interrupted one behind its last line that the printer has."""
        self.done_key = 0
        if go_on:
            if not (
                self.unreset and self.outcome == INTERRUPTED and self.job and self.job.sha256 == job.sha256
            ):
                self.job = job
                self.fail(f"{job.name} cannot go on: the printer was reset since, or it is another job")
                return
            self._tell(*self._heaters.job_again())
            if self._asides.has_begun:
                self._own.extend(self._asides.rest())
        else:
            self.job, self._next, self._carried = job, 0, 0
            self._asides.drop()
            self._run += 1
            self._heaters.job_begins()
            self.unreset = True
            self._tell(*BEFORE_JOB)
        self._active, self._ending, self._cancelling, self._paused = True, False, False, False
        self.outcome = UNKNOWN

    def cancel(self, now: int) -> bytes:
        """End a job at the next place where the printer can; heaters and the like by `cancel_gcode`."""
        if not self._active or self._cancelling:
            return b""
        self._ending = self._cancelling = self._cancel_due = True
        self._own.clear()
        waits = [sent for sent in self.flow.in_flight if word_of(sent.line) in WAITS]
        data = b""
        if waits and "EMERGENCY_PARSER" in self._capabilities and len(self.flow.in_flight) == 1:
            data = self.flow.send(b"M108", None, now)
        self._tell(*self.settings.cancel_gcode, b"M400", *AFTER_JOB, tag="cancelled")
        return data

    def fail(self, text: str) -> None:
        """A job ended otherwise than it should have."""
        self.troubles.append(text)
        self._cancel_due = self._cancel_due or self._active
        if self._active and self.is_known:
            self._own.clear()
            self._tell(*self.settings.cancel_gcode, *AFTER_JOB, tag="ended")
        self._active = False
        self.outcome = FAILED

    def pause(self, on: bool) -> None:
        """Whether a job shall stand still."""
        self._pause_wanted = on

    def home(self) -> None:
        """Find the ends of the axes, when no job runs."""
        if self.is_known and not self._active:
            self.outcome = UNKNOWN
            self._tell(b"G28", b"M400", tag="homed")

    def heat(self, heater: str, tenths: int) -> None:
        """A heater shall have so many tenths of a degree Celsius; while a job runs, its own lines may change that."""
        self._heaters.want(heater, tenths)

    def run_again(self) -> None:
        """A printer that stopped for an error may work again."""
        self.stopped = ""
        self._tell(b"M999 S1")

    def kill(self) -> bytes:
        """The emergency stop, understood at once even when the printer's buffers are full."""
        self.stopped = "halt"
        self._cancel_due = self._cancel_due or self._active  # should it not be halted after all
        self._active = self.homed = False
        return b"\nM112\n"

    # --- bytes in ---

    def heard(self, data: bytes, now: int) -> None:
        """Take what came: half a line, or three."""
        for line in self._answers.feed(data, now):
            self._take(answer(line), now)

    def _take(self, got: Answer, now: int) -> None:
        if got.kind == "noise":
            self.troubles.append(f"nonsense on the line: {got.text}")
            return
        if not self._answers.is_flooded(now):
            self._measure(got, now)
        if got.kind == "start":
            self._was_reset(now)
        elif got.kind in ("halt", "stop", "error"):
            self._trouble(got)
        elif self._phase == "greet":
            self._identify(got, now)
        else:
            asked_for = self._asked_for(now)
            for tag in self.flow.heard(got, now):
                self._completed(tag)
                if tag == "poll":
                    self._lag = asked_for
            if got.kind == "cold" and self._active:
                self.fail(f"the printer refused to extrude: {got.text}")

    def _when(self, now: int) -> int:
        """When what comes now was true: a printer that is late in answering a question is late in everything."""
        if self._active:
            return now  # the answer to a question comes behind the moves before it
        return now - max(self._lag, self._asked_for(now))

    def _asked_for(self, now: int) -> int:
        """How long a question has been waiting for its answer, in ms; 0 if none is."""
        asks = bool(self.flow.in_flight) and self.flow.in_flight[0].tag == "poll"
        return now - self.flow.in_flight[0].at if asks else 0

    def _measure(self, got: Answer, now: int) -> None:
        if got.is_known:
            self.measured["answer"] = self._when(now)
        for name, pair in (("nozzle", got.nozzle), ("bed", got.bed)):
            if pair:
                self.temperatures[name] = pair
                self.measured[name] = self._when(now)
        if got.position:
            self.position = got.position
            self.measured["position"] = self._when(now)
        if got.capability:
            self._capabilities.add(got.capability)

    def _trouble(self, got: Answer) -> None:
        text = f"the printer says '{got.text}'"
        if got.kind != "error":
            self.stopped = got.kind
            self.homed = False
        if self._active:
            assert self.job is not None
            self.fail(f"{self.job.name}: {text}")
        else:
            self.troubles.append(text)

    # --- who is there ---

    def _was_reset(self, now: int) -> None:
        if self._active or self.outcome == INTERRUPTED:
            self.fail("the printer was reset or switched off while a job was on it")
        self.unreset = self.homed = False
        self.stopped = ""
        self.reset_seen = True
        self._cancel_due = False
        self._own.clear()
        self._capabilities.clear()
        self.flow.begin(0, now)
        self._phase, self._probe_at, self._decide_at = "greet", now + GREET_MS, -1

    def _identify(self, got: Answer, now: int) -> None:
        if got.last >= 0 and got.kind == "transport":
            self._probe_last = got.last
            self._decide_at = now + SETTLE_MS

    def _greet(self, now: int) -> bytes:
        """A line with a number that cannot be next: the printer names the last one it took, and does nothing."""
        if 0 <= self._decide_at <= now:
            return self._decide(now)
        if self._decide_at >= 0 or now < self._probe_at:
            return b""
        self._probe_at = now + GREET_AGAIN_MS
        return b"\n" + numbered(0, b"M105")

    def _decide(self, now: int) -> bytes:
        last, self._decide_at = self._probe_last, -1
        ours = self.flow.last > 0 and self.flow.covers(last)
        data = b""
        if ours:
            lost = self.flow.received(last)
            self._next = min([self._next, *(tag[1] for tag in lost if self._is_of_job(tag))])
            self._carried = self._next
            self._asides.lost(lost)
        else:
            if self.outcome == INTERRUPTED:
                self.fail("the printer was reset or changed while the line was away; the job cannot go on")
            self.unreset = self.homed = False
            self._cancel_due = self._cancel_due and last > 0  # it was reset: nothing is to be ended any more
            self.flow.begin(self._base, now)
            data = numbered(self._base, b"M110 N%d" % self._base)
        self._phase = "setup"
        return data + self.flow.ask_token("known", now)

    def _completed(self, tag: object) -> None:
        if self._is_of_job(tag):
            self._carried = max(self._carried, tag[1] + 1)
        elif tag == "known":
            self._phase = "ready"
            if self._cancel_due:
                self._tell(*self.settings.cancel_gcode, *AFTER_JOB, tag="ended")
            self._tell(*SETUP, tag="capabilities")
            self._heaters.due |= set(self._heaters.wanted)
        elif tag == "homed":
            self.homed = True
        elif tag == "paused":
            self._paused = self._active
        elif tag == "ended":
            self._cancel_due = False
        elif tag == "cancelled":
            self._active, self._cancel_due, self.outcome = False, False, CANCELLED
        elif tag == "done" and self._active and not self._cancelling and self.job is not None:
            self._active, self.outcome, self.done_key = False, DONE, self.job.key
            self._tell(*AFTER_JOB)
        elif tag == "capabilities" and "AUTOREPORT_POS" in self._capabilities:
            self._tell(b"M154 S1")

    def _is_of_job(self, tag: object) -> TypeGuard[tuple[int, int]]:
        """Whether a line in flight is of this job, not of one that failed before it."""
        return isinstance(tag, tuple) and tag[0] == self._run

    # --- bytes out ---

    def poll(self, now: int) -> bytes:
        """What to send now."""
        if self.stopped:
            return b""
        if self._phase == "greet":
            return self._greet(now)
        if self.flow.broken:
            return self._lost_count(now)
        data = self.flow.poll(now)
        if self._phase == "ready":
            self._plan(now)
            if not self._own:
                self._tell(*self._heaters.lines(now))
            while self._own or self._has_job_line():
                size = len(self._own[0][0]) if self._own else 40
                if not self.flow.has_room(size, now):
                    break
                data += self._send_next(now)
        return data

    def _lost_count(self, now: int) -> bytes:
        text = self.flow.broken
        if self._active:
            self.fail(text)
        else:
            self.troubles.append(text)
        self.flow.begin(0, now)
        self.begin(now)
        return b""

    def _send_next(self, now: int) -> bytes:
        if self._own:
            line, tag = self._own.popleft()
            if isinstance(tag, Aside):
                self._asides.sent(tag)
            return self.flow.ask_token(tag, now) if not line else self.flow.send(line, tag, now)
        assert self.job is not None
        place, self._next = self._next, self._next + 1
        line = self.job.lines[place]
        word = word_of(line)
        self._heaters.job_says(line)
        if word == b"G28":
            self.homed = True
        elif word in (b"M18", b"M84") and b"S" not in line.upper():
            self.homed = False
        return self.flow.send(line, (self._run, place), now)

    def _has_job_line(self) -> bool:
        return (
            self._active
            and not (self._ending or self._pause_wanted or self._paused)
            and self.job is not None
            and self._next < len(self.job.lines)
        )

    def _plan(self, now: int) -> None:
        """What follows from what was wanted, when nothing of the printer's own is waiting to be sent."""
        if self._own or self.flow.in_flight:
            return
        due = now - self._polled_at >= POLL_MS
        if due:
            self._polled_at = now
        if self._active:
            if due and "AUTOREPORT_TEMP" not in self._capabilities:
                self._own.append((b"M105", "poll"))
            self._plan_job()
        elif due:
            self._own.extend([(b"M105", "poll"), (b"M114", "poll")])
            self._heaters.compare(self.temperatures, now)

    def _plan_job(self) -> None:
        assert self.job is not None
        if self._pause_wanted and not (self._paused or self._ending):
            self._own.extend(self._asides.begin())
            self._tell(b"M400", tag="paused")
        elif self._paused and not self._pause_wanted:
            self._paused = False
            self._own.extend(self._asides.rest())
        elif self._next == len(self.job.lines) and not self._ending:
            self._ending = True
            self._tell(b"M400", tag="done")

    def _tell(self, *lines: bytes, tag: str = "") -> None:
        """Queue lines of our own; with `tag` a token behind them, which says that they were carried out."""
        assert len(self._own) < MOST_OWN
        self._own.extend((line, None) for line in lines)
        if tag:
            self._own.append((b"", tag))
