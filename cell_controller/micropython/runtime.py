"""The one loop of a cell on a microcontroller: a scan at its period, and between two scans slices of everything else.

Nothing runs beside the scan: console, journal, link and views each do a bounded piece and come round again. Garbage is
collected at a quiet point, right after a scan. The hardware watchdog is fed by a scan that was completed, nothing else.
"""

import gc

from cell_controller.core import codec, render, ticks, views
from cell_controller.core import events as ev
from cell_controller.core import packml as pm
from cell_controller.core.queries import Queries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cell_controller.core.controller import Controller
    from cell_controller.core.envelope import Request

VIEW_MS = 200  # how soon a change is shown
AGAIN_MS = 2000  # how often the same is looked at again
SIGNALS_A_SLICE = 4
HEALTHY_SCANS = 100
CALM_MS = 60000
ITEMS = 4  # as-built records kept at hand
COLLECT_BYTES = 16384  # so much new garbage is collected at the next quiet point
SLICES = 4  # console, journal, link, views
STANDING = (pm.IDLE, pm.STOPPED, pm.ABORTED)


class Runtime:
    """One cell, running. All times in ms of the board's tick, which wraps at 2**29.

    link: None, or what carries the session in slices. health(): told once when HEALTHY_SCANS scans were completed.
    calm(): told once when the controller has run for CALM_MS. us(), us_diff(): a microsecond counter.
    """

    def __init__(
        self,
        controller: "Controller",
        board: "Any",
        journal: "Any",
        clock: "Any",
        health: "Callable[[], None]",
        calm: "Callable[[], None]",
    ) -> None:
        self.controller = controller
        self.board = board
        self.journal = journal
        self.clock = clock
        self.link: "Any" = None
        self.console: "Any" = None
        self.leaving = False
        self.scans = 0
        self.overruns = 0
        self.late_max_ms = 0
        self.scan_max_us = 0
        self.slice_max_us = 0
        self.collect_max_us = 0
        self.erase_max_us = 0
        self.healthy = False
        self._health = health
        self._calm = calm
        self._calm_at = 0
        self._is_calm = False
        self._queries = Queries(self)
        self._items: "list[bytes]" = []
        self._unwritten: "list[bytes]" = []
        self._period: int = controller.spec["scan_ms"]
        self._turn = 0
        self._shown_at = 0
        self._shown_seq = -1
        self._view_turn = 0
        self._signal = 0
        self._question = ""
        self._version: object = None
        self._used = 0

    @property
    def items(self) -> "list[dict[str, Any]]":
        """The last as-built records, oldest first, as a plant reads them."""
        spec = self.controller.spec
        return [render.item_record(spec, codec.unpack(data)) for data in self._items]

    def boot(self) -> None:
        """Read the board once and come up Aborted, everything safe, before anything else happens."""
        board, controller = self.board, self.controller
        board.read(controller.input_image)
        now = board.tick()
        controller.boot(now, bool(self.journal.opened))
        board.write(controller.output_image)
        self._calm_at = ticks.add(now, CALM_MS)
        self._shown_at = now
        self._pass_on()
        gc.collect()
        self._used = _used()

    def run(self) -> None:
        """Scan until `leaving`. Whoever calls drives the abort values when this raises."""
        board = self.board
        threshold: "Callable[[int], None] | None" = getattr(gc, "threshold", None)
        if threshold is not None:
            threshold(4 * COLLECT_BYTES)  # where no quiet point came: rather late once than a heap in pieces
        due = board.tick()
        while not self.leaving:
            due = ticks.add(due, self._period)
            self._slices(due)
            board.sleep_until(due)
            now = board.tick()
            late = ticks.diff(now, due)
            if late > self._period:
                self.overruns += 1
                due = now  # what is lost is not hurried after
            if late > self.late_max_ms:
                self.late_max_ms = late
            self.scan(now)

    def scan(self, now: int) -> None:
        """One scan; the watchdog is fed when it is complete."""
        board, controller, journal = self.board, self.controller, self.journal
        begun = self.clock.us()
        board.read(controller.input_image)
        controller.scan(now, journal.durable_seq, journal.state == 0 and not self._unwritten)
        board.write(controller.output_image)
        board.feed_watchdog()
        took = self.clock.us_since(begun)
        if took > self.scan_max_us:
            self.scan_max_us = took
        self.scans += 1
        if controller.context.records or self._unwritten:
            self._pass_on()
        if controller.replies:
            for reply in controller.take_replies():
                self.reply(reply.token, reply.as_dict())
        if not self.healthy:
            if self.scans >= HEALTHY_SCANS:
                self.healthy = True
                self._health()
        elif not self._is_calm and ticks.diff(now, self._calm_at) >= 0:
            self._is_calm = True
            self._calm()

    # --- what comes in ---

    def take(self, request: "Request", origin: str) -> bool:
        """Hand a request of the console or the link to the core; False if it has too many waiting."""
        request.token = (origin, request.token)
        if request.verb == "query":
            self.reply(request.token, self._queries.answer(request))
            return True
        if request.verb == "fault":
            text = "only a simulated board has faults to switch"
            self.reply(
                request.token,
                {
                    "id": request.id,
                    "ok": False,
                    "code": 206,
                    "name": "not_simulated",
                    "text": text,
                    "data": {},
                },
            )
            return True
        token = request.token
        if self.controller.request(request):
            return True
        request.token = token[1]
        return False

    def reply(self, token: "Any", reply: "dict[str, Any]") -> None:
        """Send a reply back the way its request came; what the cell asked itself has no way back."""
        if token is None:
            return
        if token[0] == "console" and self.console is not None:
            self.console.offer_reply(token[1], reply)
        elif token[0] == "link" and self.link is not None:
            self.link.offer_reply(token[1], reply)

    # --- between two scans ---

    def _slices(self, due: int) -> None:
        """Slices until there is nothing to do or the next scan is near; one at least, so that nothing starves."""
        board = self.board
        idle = 0
        while idle < SLICES:
            begun = self.clock.us()
            busy = self._slice(board.tick())
            took = self.clock.us_since(begun)
            if took > self.slice_max_us:
                self.slice_max_us = took
            idle = 0 if busy else idle + 1
            if ticks.diff(due, board.tick()) <= 2:
                return
        self._collect()

    def _slice(self, now: int) -> bool:
        """The next piece of work, in turn; True if there was something to do."""
        turn = self._turn
        self._turn = (turn + 1) % SLICES
        if turn == 0:
            return bool(self.console.step()) if self.console is not None else False
        if turn == 1:
            return self._journal_slice(now)
        if turn == 2:
            if self.link is None:
                return False
            return self._link_slice(now)
        return self._show(now)

    def _link_slice(self, now: int) -> bool:
        """The link, which asks the clock where it needs it. A cell whose heap is too small for it goes on alone."""
        try:
            return bool(self.link.step(now, None, self.standing()))
        except MemoryError:
            self.link = None
            gc.collect()
            if self.console is not None:
                self.console.say({"say": "no link until the next start: the heap is too small for it"})
            return True

    def standing(self) -> bool:
        """Whether nothing is being made and nothing moves: Idle, Stopped or Aborted without an item in work."""
        return self.controller.machine.state in STANDING

    def _journal_slice(self, now: int) -> bool:
        self._snapshot()
        begun = self.clock.us()
        busy = bool(self.journal.work(now, self._may_erase()))
        took = self.clock.us_since(begun)
        if took > self.erase_max_us:
            self.erase_max_us = took
        return busy

    def _may_erase(self) -> bool:
        """Whether nothing can move: an erase stops everything for as long as it takes."""
        controller = self.controller
        state = controller.machine.state
        production = controller.production
        production.rest_wanted = self.journal.rest_wanted
        if self.standing():
            return True
        if state == pm.SUSPENDED:
            return (
                controller.book.item is None and production.rest_wanted
            )  # between two items, for this very reason
        # held because there is no erased sector, a cell gets one; nothing else would ever end that
        return state == pm.HELD and self.journal.state != 0

    def _collect(self) -> None:
        """Garbage goes where there is time for it: right after the slices of a scan that left some."""
        if _used() - self._used < COLLECT_BYTES:
            return
        begun = self.clock.us()
        gc.collect()
        took = self.clock.us_since(begun)
        if took > self.collect_max_us:
            self.collect_max_us = took
        self._used = _used()

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
            except OSError:  # its queue is full: the core sees that it is not writable, and holds
                break
            self._unwritten.pop(0)
            if seq != ev.fields(data)[0]:
                raise ValueError("journal gave %d to event %d" % (seq, ev.fields(data)[0]))

    def _tell(self, data: bytes) -> None:
        """Keep the last items; say on the console what an equipment file did wrong."""
        kind = ev.fields(data)[2]
        if kind == ev.ITEM_END:
            self._items.append(data[ev.SIZE :])
            if len(self._items) > ITEMS:
                self._items.pop(0)
        elif kind == ev.RAISED and self.console is not None:
            crash = self.controller.sequencer.crash or self.controller.routine.crash
            self.console.say({"say": "equipment.py: %s" % crash})

    def _show(self, now: int) -> bool:
        """One view a slice: what changed soon, the rest now and then; a view is long to make, so never two at once."""
        if self._view_turn == 0:
            since = ticks.diff(now, self._shown_at)
            changed = self.controller.context.last_seq != self._shown_seq
            if since < VIEW_MS or (since < AGAIN_MS and not changed):
                return False
            self._shown_at = now
            self._shown_seq = self.controller.context.last_seq
        self._ask()
        if self.link is None:
            return False
        controller = self.controller
        turn = self._view_turn
        self._view_turn = turn + 1
        if turn == 0:
            self.link.offer_state(self.state_view())
        elif turn == 1:
            self.link.offer_orders(list(views.order_list(controller)))
        elif turn == 2:
            self.link.offer_alarms(list(views.alarm_list(controller)))
        elif turn == 3:
            if controller.production.version != self._version:
                self._version = controller.production.version
                self.link.offer_catalogue(views.catalogue(controller))
        elif not self._show_signals():
            self._view_turn = 0
        return True

    def _show_signals(self) -> bool:
        """A few signals; False when all have been shown."""
        count = len(self.controller.spec["inputs"]) + len(self.controller.spec["outputs"])
        if self._signal >= count:
            self._signal = 0
            return False
        end = min(count, self._signal + SIGNALS_A_SLICE)
        self.link.offer_signals([views.signal(self.controller, i) for i in range(self._signal, end)])
        self._signal = end
        return True

    def _ask(self) -> None:
        """Say the question about an interrupted item, once."""
        controller = self.controller
        question = controller.question_text() if controller.question() else ""
        if question and question != self._question and self.console is not None:
            self.console.say({"say": question})
        self._question = question

    def state_view(self) -> "dict[str, Any]":
        """The state of the cell and of its controller."""
        view = views.state(self.controller)
        view["scan"] = {
            "overruns": self.overruns,
            "late_max_ms": self.late_max_ms,
            "scan_max_us": self.scan_max_us,
            "slice_max_us": self.slice_max_us,
            "collect_max_us": self.collect_max_us,
            # an input that changed was acted upon after this time at the latest, an erase of flash included
            "reaction_max_ms": self._period + (self.slice_max_us + self.scan_max_us + 999) // 1000,
        }
        view["journal"] = {
            "writable": self.journal.state == 0,
            "error": self.journal.error,
            "little_room": False,
            "slice_max_us": self.erase_max_us,
        }
        if self.link is not None:
            status = self.link.status
            view["link"] = {
                "connected": status.connected,
                "backlog": status.backlog,
                "error": status.last_error,
            }
        view["timestamp_ms"] = self.clock.wall_ms()
        return view

    def _snapshot(self) -> None:
        """Between two items, a snapshot of the book, so that old sectors can be erased and a start reads little."""
        journal, controller = self.journal, self.controller
        if not journal.snapshot_wanted or controller.book.item is not None or self._unwritten:
            return
        last = controller.context.last_seq
        if journal.durable_seq >= last and last > journal.snapshot_seq:
            journal.snapshot(controller.book.dump(), last)
            # what a broker was not told yet stays while there is room; without a link there is nobody to wait for
            journal.prune(last if self.link is None else min(last, journal.delivered("mqtt") + 1))

    # --- the end ---

    def shut_down(self) -> None:
        """The abort values, the end in the journal, and everything that waits written; nothing moves after this."""
        board, controller = self.board, self.controller
        controller.leave()
        controller.shut_down(board.tick())
        board.write(controller.output_image)
        self._pass_on()
        board.feed_watchdog()
        self.journal.close()


def _used() -> int:
    """Bytes of the heap in use; 0 where nobody counts them."""
    count: "Callable[[], int] | None" = getattr(gc, "mem_alloc", None)
    return count() if count is not None else 0
