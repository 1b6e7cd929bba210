"""A machine that takes G-code as a device of a board: its points, and what the cell wants, brought to its session.

The same for printers with Marlin and routers with GRBL; what differs is in board.marlin_session and board.grbl_session.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from board.contract import DevicePlan, Services
from board.device_link import NEVER, DeviceLink, now_ms
from board.gcode_job import Check, Checking, Job, Shelf
from board.line_worker import LineWorker
from board.transport import SerialSettings
from cell_controller.errors import DeviceError, LinkLostError

log = logging.getLogger("board")

READ_S = 0.02
SAFE_S = 1.0
SILENT_MS = 15_000
"""A line that is open and on which no printer can be identified is opened again after this time."""


class Session(Protocol):
    """What is behind the line: bytes and time in and out. See board.marlin_session for each member."""

    kill_needs_reset: bool
    """After `kill` it is silent until somebody resets it."""
    troubles: list[str]
    reset_seen: bool
    stopped: str
    done_key: int

    @property
    def is_known(self) -> bool: ...
    @property
    def is_active(self) -> bool: ...
    @property
    def is_busy_telling(self) -> bool: ...
    def begin(self, now: int) -> None: ...
    def heard(self, data: bytes, now: int) -> None: ...
    def poll(self, now: int) -> bytes: ...
    def readings(self) -> Mapping[str, tuple[int, int]]:
        """Counts of input points that were heard of, and when; "link" is when it last answered."""

    def start(self, job: Job, now: int, go_on: bool = False) -> None: ...
    def cancel(self, now: int) -> bytes: ...
    def fail(self, text: str) -> None: ...
    def pause(self, on: bool) -> None: ...
    def home(self) -> None: ...
    def heat(self, heater: str, tenths: int) -> None: ...
    def run_again(self) -> None: ...
    def kill(self) -> bytes: ...


class GcodeMachine:
    """See board.contract.Device; its thread is that of its line."""

    def __init__(self, plan: DevicePlan, board: Services, session: Session, check: Check) -> None:
        settings = plan.settings
        self.name = plan.name
        self.inputs = [point for point in plan.points if not point.is_output]
        self.outputs = [point for point in plan.points if point.is_output]
        self.latest: list[tuple[int, int]] = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(
            plan.name,
            plan.on_death,
            [point.abort for point in self.outputs],
            settings["stale_ms"],
            settings["bad_ms"],
        )
        self._line = board.line(plan.name, settings["address"], SerialSettings(settings["baud"]))
        self._session = session
        self._check = check
        self._shelf = Shelf(board.folder(settings["jobs"]))
        self._worker = LineWorker(self._line, [self.link], self)
        self._checking: Checking | None = None
        self._before: dict[str, int] = {}  # outputs as they were followed last
        self._key = 0
        self._is_ending = False  # the job of `_key` was cancelled
        self._losses = 0
        self._was_known = False
        self._silent_since = 0
        self._followed = -1
        self._answered = NEVER
        self._told = ""

    # --- the board's side ---

    def open(self) -> None:
        """See Device.open."""
        self._worker.start()

    def refresh(self) -> None:
        """See Device.refresh: the line's thread has written `latest`."""

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive."""
        self.link.want(counts)

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe."""
        self.link.want(counts)
        wanted, _ = self.link.wanted()
        deadline = time.monotonic() + SAFE_S
        while time.monotonic() < deadline and self._line.is_open and self._followed != wanted:
            time.sleep(0.005)

    def close(self) -> None:
        """See Device.close."""
        self._worker.stop()
        self.link.closed()

    # --- the line's thread ---

    def line_opened(self) -> None:
        """See Exchange.line_opened."""
        self._begin(now_ms())

    def turn(self) -> None:
        """See Exchange.turn."""
        data = self._line.read(4096, READ_S)
        now = now_ms()
        session = self._session
        session.heard(data, now)
        if session.stopped == "halt":
            self._tell_troubles()
            raise LinkLostError(f"{self.name} halted and must be reset")
        if session.reset_seen:
            session.reset_seen = False
            if self._was_known:
                self.link.lost(f"{self.name} was reset or switched off")
        changes, wanted = self.link.wanted()
        losses = self.link.status().losses
        if losses != self._losses:
            self._losses = losses
            self._begin(now)
        self._follow(wanted, now)
        self._line.write(session.poll(now))
        if not session.is_busy_telling:
            self._followed = changes
        self._tell_troubles()
        self._publish(now)

    def _begin(self, now: int) -> None:
        self._checking = None
        self._before = {}  # nothing is known of its outputs any more: all are told anew, and a loss is no M112
        self._losses = self.link.status().losses
        self._silent_since = now
        self._session.begin(now)

    def _publish(self, now: int) -> None:
        session = self._session
        if not session.is_known:
            if now - self._silent_since >= SILENT_MS:
                raise LinkLostError(f"nobody on the line of {self.name} answers as it should")
            return
        self._was_known = True
        values = dict(session.readings())
        answered = values["link"][1]
        self._silent_since = max(self._silent_since, answered)
        if answered != self._answered:
            self._answered = answered
            self.link.answered()
        if self._key:
            values["last_job"] = (self._key, answered)
        if self._checking is not None:
            values["ready"] = (0, answered)
        for place, point in enumerate(self.inputs):
            if point.at in values:
                self.latest[place] = values[point.at]

    def _tell_troubles(self) -> None:
        for text in self._session.troubles:
            if text != self._told:  # a flood says the same for ever
                log.warning("%s: %s", self.name, text)
            self._told = text
            self.link.failed(text)
        self._session.troubles.clear()

    # --- what the cell wants ---

    def _follow(self, counts: Sequence[int], now: int) -> None:
        """Bring the outputs to the session, each change once; nothing is asked of a printer that is not identified."""
        session = self._session
        wanted = {point.at: count for point, count in zip(self.outputs, counts, strict=True)}
        before = self._before
        if before.get("enable", 0) and not wanted["enable"]:
            before["enable"] = 0
            self._line.write(session.kill())
            if session.kill_needs_reset:
                raise LinkLostError(f"{self.name} was stopped by 'enable'; it must be reset")
        if not session.is_known:
            return
        if wanted.get("enable", 0) and not before.get("enable", 0) and session.stopped:
            session.run_again()
        for heater in ("nozzle", "bed"):
            count = wanted.get(f"{heater}_set")
            if count is not None and count != before.get(f"{heater}_set"):
                session.heat(heater, count)
        session.pause(bool(wanted.get("pause", 0)))
        if wanted.get("home", 0) and not before.get("home", 0):
            session.home()
        self._follow_job(wanted.get("job", 0), bool(wanted.get("resume", 0)), now)
        self._before = wanted

    def _follow_job(self, key: int, go_on: bool, now: int) -> None:
        session = self._session
        if key != self._key or self._is_ending:  # the same key again is another beginning
            self._is_ending = True
            self._checking = None
            self._line.write(session.cancel(now))
            session.done_key = 0
            if session.is_active:
                return  # the one that runs ends first
            self._key, self._is_ending = key, False
            if key:
                self._take(key)
        if self._checking is not None:
            try:
                job = self._checking.step()
            except DeviceError as error:
                self._checking = None
                session.fail(str(error))
                return
            if job is not None:
                self._checking = None
                session.start(job, now, go_on)

    def _take(self, key: int) -> None:
        try:
            self._checking = Checking(*self._shelf.take(key), self._check)
        except DeviceError as error:
            self._session.fail(str(error))
