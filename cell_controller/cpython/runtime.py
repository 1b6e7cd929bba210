"""The control thread of a cell on CPython: reads the board, runs the scan, drives the board, and feeds everyone else.

It owns the core. Requests come in by one bounded queue, records go to the journal's thread, views to the link's; none
of them can make it wait.
"""

import gc
import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Protocol

from board.contract import Board
from cell_controller.core import codec, render, texts, ticks, views
from cell_controller.core import events as ev
from cell_controller.core import packml as pm
from cell_controller.core.controller import REQUESTS_A_SCAN, Controller
from cell_controller.core.envelope import Request
from cell_controller.core.queries import Queries
from cell_controller.cpython.journal import Journal
from cell_controller.errors import FaultNameError, JournalError

log = logging.getLogger("cell_controller.runtime")

Json = dict[str, Any]
VIEW_S = 0.2
SNAPSHOT_EVERY = 5_000  # events
ROOM_S = 10.0  # how often the room on the journal's disk is looked at
ROOM_BYTES = 20_000_000  # with less it is said: days of work, time enough to act
STOP_WITHIN_S = 10.0
CODE_SAFE = 70  # exit code: the controller gave up; outputs were driven to their abort values

_TOLD = (
    ev.ALARM,
    ev.STATE,
    ev.ITEM_END,
    ev.ANSWER,
    ev.RECIPE,
    ev.BOOT,
)


class Answers(Protocol):
    """Where replies go: the MQTT link or the local socket."""

    def offer_reply(self, token: object, reply: Json) -> None: ...


class LinkState(Protocol):
    """How the link is; `backlog` counts durable records that the broker has not acknowledged."""

    @property
    def connected(self) -> bool: ...
    @property
    def backlog(self) -> int: ...
    @property
    def last_error(self) -> str: ...


class Link(Answers, Protocol):
    """What the runtime tells the plant."""

    @property
    def status(self) -> LinkState: ...

    def offer_state(self, view: Json) -> None: ...
    def offer_signals(self, entries: list[tuple[str, int, int, str, int]]) -> None: ...
    def offer_orders(self, orders: list[object]) -> None: ...
    def offer_alarms(self, alarms: list[object]) -> None: ...
    def offer_catalogue(self, catalogue: Json) -> None: ...
    def poke(self) -> None: ...


class Runtime:
    """One cell, running. `answers` maps a request's origin to where its reply goes. Times in ms of the board."""

    def __init__(
        self,
        controller: Controller,
        board: Board,
        journal: Journal,
        requests: "queue.Queue[Request]",
        say: Callable[[str], None],
        observe: Callable[["Runtime", list[bytes]], None] | None = None,
    ) -> None:
        self.controller = controller
        self.board = board
        self.journal = journal
        self.requests = requests
        self.answers: dict[str, Answers] = {}
        self.link: Link | None = None
        self.recipes: queue.Queue[Json] = queue.Queue(maxsize=32)
        self.say = say
        self.observe = observe
        self.items: deque[Json] = deque(maxlen=500)
        self.overruns = 0
        self.late_max_ms = 0
        self.beats = 0  # completed scans, for the supervisor
        self.ending = False  # no further scan comes, for the supervisor
        self.alive: Callable[[], None] = lambda: None  # called after whole scans: systemd's watchdog
        self.make_ready = False  # clear and reset without a person: simulated boards only
        self._queries = Queries(self)
        self._stopping = False
        self._stop_by = 0.0
        self._unwritten: deque[bytes] = deque()
        self._view_at = 0.0
        self._question = ""
        self._refused_append = False
        self._catalogue_of: Json = {}
        self._snapshot_at = journal.snapshot_seq
        self._room_at = 0.0
        self._little_room = False

    def stop(self) -> None:
        """Ask for an end: Stop, bounded, then the abort values. From any thread or a signal handler."""
        self._stopping = True

    def boot(self) -> None:
        """Read the board once and come up Aborted, with everything safe, before anything else happens."""
        self.board.read(self.controller.input_image)
        self.controller.boot(self.board.tick(), bool(self.journal.opened))
        self.board.write(self.controller.output_image)
        self._remember_items()
        self._pass_on()

    def run(self) -> int:
        """Scan until stopped; the exit code comes back. Outputs are at their abort values when it returns or raises."""
        period = self.controller.spec["scan_ms"]
        gc.collect()
        gc.freeze()
        due = self.board.tick()
        try:
            while self._goes_on():
                due = ticks.add(due, period)
                self.board.sleep_until(due)
                now = self.board.tick()
                late = ticks.diff(now, due)
                if late > period:
                    self.overruns += 1
                    due = now  # do not hurry after what is lost
                self.late_max_ms = max(self.late_max_ms, late)
                self.scan(now)
        finally:
            self.ending = True
            self.board.make_safe(self.abort_values())
        self._leave()
        return 0

    def abort_values(self) -> list[int]:
        """What every output is driven to when the controller ends."""
        return [entry["on_abort"] for entry in self.controller.spec["outputs"]]

    def scan(self, now: int) -> None:
        """One scan and what goes with it."""
        controller = self.controller
        self.board.read(controller.input_image)
        if not self.requests.empty():
            self._take_requests()
        if not self.recipes.empty():
            self._take_recipe()
        controller.scan(now, self.journal.durable_seq, self.journal.state == 0 and not self._unwritten)
        if controller.machine.state == pm.RESETTING:
            self.board.rearm()
        self.board.write(controller.output_image)
        self.board.feed()
        self.alive()
        self.beats += 1
        if self.observe is not None:
            self.observe(self, controller.context.records)
        if controller.context.records or self._unwritten:
            self._pass_on()
        if controller.replies:
            for reply in controller.take_replies():
                self.reply(reply.token, reply.as_dict())
        real = time.monotonic()
        if real >= self._view_at:
            self._view_at = real + VIEW_S
            self._show()

    # --- what comes in ---

    def _take_requests(self) -> None:
        for _ in range(REQUESTS_A_SCAN):
            try:
                request = self.requests.get_nowait()
            except queue.Empty:
                return
            request.token = (request.origin, request.token)
            if request.verb == "query" and request.args.get("what") == "devices":
                devices = [asdict(status) for status in self.board.devices()]
                told = _reply(request, 0, "accepted", "")
                self.reply(request.token, told | {"data": {"devices": devices}})
            elif request.verb == "query":
                self.reply(request.token, self._queries.answer(request))
            elif request.verb == "fault":
                self.reply(request.token, self._fault(request))
            elif not self.controller.request(request):
                self.reply(
                    request.token, _reply(request, 205, "busy", "the cell has too many requests waiting")
                )

    def reply(self, token: object, reply: Json) -> None:
        """Send a reply back the way its request came."""
        if isinstance(token, tuple) and token[0] in self.answers:
            self.answers[token[0]].offer_reply(token[1], reply)

    def _fault(self, request: Request) -> Json:
        """A named fault of a simulated board, on or off."""
        if not self.board.faults():
            return _reply(
                request,
                206,
                "not_simulated",
                "only a simulated board has faults to switch, or run --line-faults",
            )
        name = request.args.get("name")
        on = request.args.get("on", True)
        if not isinstance(name, str) or on not in (True, False):
            return _reply(request, 200, "malformed", "fault needs name (a text) and on (true or false)")
        try:
            self.board.fault(name, bool(on))
        except FaultNameError as error:
            return _reply(request, 207, "unknown_fault", str(error))
        return _reply(request, 0, "accepted", f"fault {name} is {'on' if on else 'off'}")

    def _take_recipe(self) -> None:
        with suppress(queue.Empty):
            recipe = self.controller.offer_recipe(self.recipes.get_nowait())
            if recipe is None:
                return
            self.say(f"{recipe['product']}@{recipe['version']} from the next item")

    # --- what goes out ---

    def _pass_on(self) -> None:
        """Events to the journal, in order; what it cannot take now is kept and tried again."""
        for data in self.controller.take_records():
            self._unwritten.append(data)
            self._tell(data)
        while self._unwritten:
            data = self._unwritten[0]
            try:
                seq = self.journal.append(data)
            except JournalError as error:
                if not self._refused_append:
                    log.warning("%s", error)
                self._refused_append = True
                break
            self._refused_append = False
            self._unwritten.popleft()
            if seq != ev.fields(data)[0]:
                raise RuntimeError(
                    f"journal gave {seq} to event {ev.fields(data)[0]}: two controllers on one journal?"
                )
        if self.link is not None:
            self.link.poke()

    def _tell(self, data: bytes) -> None:
        """What a person at the terminal wants to know of an event."""
        _, _, kind, source, a, b = ev.fields(data)
        spec = self.controller.spec
        carried = data[ev.SIZE :]
        if kind == ev.ITEM_END:
            self.items.append(render.item_record(spec, codec.unpack(carried)))
        elif kind == ev.RAISED:
            crash = self.controller.sequencer.crash if a else self.controller.routine.crash
            self.say(f"equipment.py: {crash}")
        if kind == ev.ORDER_STORED:
            job = self.controller.book.job(a)  # its record is long, and all that is wanted of it is here
            if job is not None:
                self.say(f"order {job.order_id} accepted: {job.count} {job.product}")
        elif kind in _TOLD:
            self.say(texts.event(spec, kind, source, a, b, carried))

    def _remember_items(self) -> None:
        """Records of items that were made before this start, as far as the journal's open part goes."""
        for _, _, data in self.journal.replay(max(1, self.journal.snapshot_seq - SNAPSHOT_EVERY)):
            if ev.fields(data)[2] == ev.ITEM_END:
                record = codec.unpack(data[ev.SIZE :])
                self.items.append(render.item_record(self.controller.spec, record))

    def _show(self) -> None:
        """Views for the link, a few times a second; also the chores that have no hurry."""
        controller = self.controller
        self._ask()
        if self.make_ready:
            self._make_ready()
        self._snapshot()
        self._look_at_room()
        if self.link is None:
            return
        self.link.offer_state(self.state_view())
        self.link.offer_signals(views.signals(controller))
        self.link.offer_orders(list(views.order_list(controller)))
        self.link.offer_alarms(list(views.alarm_list(controller)))
        if controller.production.version != self._catalogue_of.get("version"):
            self._catalogue_of = {"version": controller.production.version}
            self.link.offer_catalogue(views.catalogue(controller))

    def _ask(self) -> None:
        """Say the question about an interrupted item, once."""
        controller = self.controller
        question = controller.question_text() if controller.question() else ""
        if question and question != self._question:
            self.say(question)
        self._question = question

    def state_view(self) -> Json:
        """The state of the cell and of its controller."""
        view = views.state(self.controller)
        view["scan"] = {"overruns": self.overruns, "late_max_ms": self.late_max_ms}
        view["journal"] = {
            "writable": self.journal.state == 0,
            "error": self.journal.error,
            "little_room": self._little_room,
        }
        if self.link is not None:
            status = self.link.status
            view["link"] = {
                "connected": status.connected,
                "backlog": status.backlog,
                "error": status.last_error,
            }
        view["timestamp_ms"] = time.time_ns() // 1_000_000
        return view

    def _snapshot(self) -> None:
        """Between two items, a snapshot of the book, so that a start never reads a long journal."""
        controller = self.controller
        if controller.book.item is None and controller.machine.state in (pm.IDLE, pm.STOPPED, pm.ABORTED):
            last = controller.context.last_seq
            if last - self._snapshot_at >= SNAPSHOT_EVERY and not self._unwritten:
                self._snapshot_at = last
                self.journal.snapshot(controller.book.dump(), last)
                # what a broker was not told yet stays; without a link there is nobody to wait for
                owed = last if self.link is None else self.journal.delivered("mqtt") + 1
                self.journal.prune(min(last, owed))

    def _look_at_room(self) -> None:
        """Say it once when the disk gets full; when it is full the core holds the cell."""
        if time.monotonic() < self._room_at:
            return
        self._room_at = time.monotonic() + ROOM_S
        free = self.journal.free_bytes()
        if free < ROOM_BYTES and not self._little_room:
            self.say(
                f"warning: {free // 1_000_000} MB are left for the journal; make room before the cell must hold"
            )
        self._little_room = free < ROOM_BYTES

    def _make_ready(self) -> None:
        """A simulated board has nobody to look at it: Clear and Reset are given for them, once, and journalled."""
        controller = self.controller
        state = controller.machine.state
        if (
            state in (pm.ABORTED, pm.STOPPED)
            and not controller.question()
            and not controller.alarms.standing()
        ):
            request = Request("local")
            request.id = f"make-ready-{state}"
            request.issuer = "simulated board"
            request.verb = "command"
            request.args = {"command": "clear" if state == pm.ABORTED else "reset"}
            controller.request(request)
        elif state in (pm.IDLE, pm.EXECUTE, pm.STARTING):
            self.make_ready = False

    # --- the end ---

    def _goes_on(self) -> bool:
        """False once the cell is stopped, or has had its time to stop."""
        if not self._stopping:
            return True
        machine = self.controller.machine
        if not self._stop_by:
            self._stop_by = time.monotonic() + STOP_WITHIN_S
            self.make_ready = False
            self.controller.leave()
            return True
        if machine.state in (pm.STOPPED, pm.ABORTED):
            return False
        return time.monotonic() < self._stop_by

    def _leave(self) -> None:
        """The outputs have their abort values, lamps too: nobody is there to change them. The journal gets its end."""
        self.controller.shut_down(self.board.tick())
        self._pass_on()
        self._ask()
        if self.link is not None:
            self.link.offer_state(self.state_view())


def _reply(request: Request, code: int, name: str, text: str) -> Json:
    return {"id": request.id, "ok": code == 0, "code": code, "name": name, "text": text, "data": {}}


__all__ = ["CODE_SAFE", "Runtime"]
