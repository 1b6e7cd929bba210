"""One scan of a cell: inputs, trips, commands, PackML, production, outputs, in this order, and nothing else.

No clock, no file, no network, no randomness: the time, the input image, the requests and what is durable come in, the
output image, the events and the replies go out. The same calls give the same bytes on every runtime.
"""

import struct

from . import alarms as al
from . import codec, orders, routines, texts
from . import events as ev
from . import outputs as out
from . import packml as pm
from . import packml_modes as modes
from .cell import Cell
from .commands import AUTO, LOCAL, Commands
from .context import Context
from .desk import Desk
from .escalation import escalate
from .interlocks import Interlocks
from .lamps import Lamps
from .ledgers import Ledger, time_class
from .orders import Book
from .outputs import Outputs
from .production import JOB_COMPLETE, SUSPEND, WRONG, Production
from .reply import Reply
from .sequencer import Sequencer
from .signals import InputImage, Inputs, OutputImage
from .ticks import HALF, add, diff
from .trips import Trips

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .alarms import Alarm
    from .envelope import Request

REQUESTS_A_SCAN = 8  # decision 12: more would make scans late under a flood of orders
MOST_REQUESTS = 64
_RETURNS_FROM = (pm.UNHOLDING, pm.UNSUSPENDING, pm.HELD, pm.SUSPENDED)
_LONG_BITS = 20  # about every 17 minutes
_LONGEST_MS = HALF - (2 << _LONG_BITS)  # a state's age is counted up to here, 3 days
_NEEDS_MS = 5000  # after Unholding a step's needs have this long to be there again


class Controller:
    """The controller of one cell. `inputs` and `outputs` are the images that a board fills and drives."""

    def __init__(
        self,
        spec: "dict[str, Any]",
        phases: "dict[str, Any]",
        states: "dict[int, Any]",
        book: "Book | None" = None,
        last_seq: int = 0,
    ) -> None:
        self.spec = spec
        self.profile: int = spec["profile"]
        self.auto_start = bool(spec["auto_start"])
        self.input_image = InputImage(spec)
        self.output_image = OutputImage(spec)
        self.inputs = Inputs(spec, self.input_image)
        self.outputs = Outputs(spec, self.output_image)
        self.alarms = al.Alarms()
        self.interlocks = Interlocks(spec, self.inputs)
        self.book = book if book is not None else Book()
        self.context = Context(self.inputs, self.alarms, self.book, spec["energy"], last_seq)
        self.cell = Cell(spec, self.inputs, self.outputs, self._record, self._has_item)
        self.sequencer = Sequencer(spec, phases, self.cell, self.context)
        self.production = Production(spec, self.context, self.sequencer)
        self.routine = routines.Routine(spec, states, self.cell, self.context)
        self.desk = Desk(spec, phases, self.context, self.production, self._stop_for_abort)
        self.commands = Commands(self)
        self.lamps = Lamps(spec, self.outputs)
        self.ledger = Ledger()
        self.trips = Trips(spec, self.inputs, self.outputs, self.interlocks, self.alarms)
        self._prepare_modes(spec)
        self.control = AUTO if self.auto_start else LOCAL
        self.entered = 0
        self.mode_entered = 0
        self.suspended_by_person = False
        self.durable = 0
        self.writable = True
        self.requests: "list[Request]" = []
        self._kept: "list[Reply]" = []
        self.replies: "list[Reply]" = []
        self._restoring_since = -1
        self._changeover = False
        self._faulted = False
        self._long = -1
        self.tap: "Callable[[bytes, bytes], None] | None" = None  # told of all that comes in, for a trace

    def _prepare_modes(self, spec: "dict[str, Any]") -> None:
        self.mode: int = modes.PRODUCTION
        self.enabled_modes = 0
        self.disabled_masks: "dict[int, int]" = {}
        self._tables: "dict[int, bytes]" = {}
        for entry in spec["modes"]:
            number = entry["number"]
            self.enabled_modes |= 1 << number
            self.disabled_masks[number] = entry["disabled"]
            self._tables[number] = pm.compile_table(self.profile, entry["disabled"])
        self.machine = pm.StateMachine(self._tables[self.mode], pm.ABORTED)

    def boot(self, now: int, damaged: bool = False) -> None:
        """Before the first scan: Aborted, outputs at their abort values, and why. `damaged`: the journal was."""
        self.context.now = now
        if self.tap is not None:
            self.tap(b"B", struct.pack("<IB", now, 1 if damaged else 0))
        book = self.book
        how = ev.FIRST if not book.booted else ev.CLEAN if book.clean else ev.UNCLEAN
        last = book.last_state
        restored = book.just_restored
        if book.control:
            self.control = book.control
        self.inputs.update()
        self.context.emit(ev.BOOT, how, last, 0)
        self.production.boot()
        self.production.interrupt_at_boot(restored)
        for job in book.jobs:
            if job.state == orders.RUNNING:
                self.context.emit(ev.ORDER_STATE, orders.INTERRUPTED, job.number, 0)
        if how == ev.UNCLEAN:
            self.alarms.raise_(al.UNCLEAN_START, al.NONE, last, now, False)
        if damaged:
            self.alarms.raise_(al.JOURNAL_DAMAGED, al.NONE, 0, now, False)
        self.outputs.set_lock()
        self.outputs.write()
        self.ledger.start(now, self.context.energy())
        self.interlocks.prime(now)
        self.entered = now
        self.mode_entered = now
        self._enter_common(pm.ABORTED)
        if self.tap is not None:
            self.tap(b"b", b"")

    def request(self, request: "Request") -> bool:
        """Put a request up for the next scans; False if too many wait (say busy)."""
        if len(self.requests) >= MOST_REQUESTS:
            return False
        if self.tap is not None:
            from .request_text import request_text  # a board that records no trace need not load it

            self.tap(b"R", request_text(request))
        self.requests.append(request)
        return True

    def offer_recipe(self, recipe: "dict[str, Any]") -> "dict[str, Any] | None":
        """A recipe that changed: it comes back under the version it gets here, or None if it is the one in use."""
        if self.tap is not None:
            self.tap(b"P", codec.pack(recipe))
        adopted = self.production.adopt(recipe)
        if adopted is not None:
            self.production.offer(adopted)
        return adopted

    def leave(self) -> None:
        """The service is asked to end: Stop, and nothing starts by itself any more."""
        if self.tap is not None:
            self.tap(b"L", b"")
        self.auto_start = False
        self.machine.request(pm.CMD_STOP)

    def scan(self, now: int, durable: int, writable: bool = True) -> None:
        """One scan at tick `now`. `durable`: last event on disk; `writable`: whether the journal can write."""
        self.context.now = now
        self.durable = durable
        self.writable = writable
        if now >> _LONG_BITS != self._long:
            self._note_time(now)
        if self.inputs.update():
            self.interlocks.update(now)
        self.trips.look(now)
        if not writable:
            self._journal_stuck(now)
        elif self.alarms.entries:
            self.alarms.gone(al.JOURNAL_STUCK)
        if self.requests:
            self._answer_requests()
        alarms = self.alarms
        if alarms.demand:
            command = escalate(self.machine.table, self.machine.state, alarms.demand)
            if command:
                self.machine.request(command)
            alarms.demand = al.NONE
        machine = self.machine
        if machine.pending or machine.abort or machine.stop:
            old = machine.state
            served = machine.step()
            if self.commands.asked:
                self.commands.settle(served)
            if served:
                self._enter(old, machine.state, now)
        if self.book.part_left:
            self.production.look_at_stand()
        self._act(now)
        if alarms.demand == al.ABORT and not self.outputs.locked:
            self.outputs.set_lock()  # what a phase wrote before it raised never reaches the board
        self.lamps.show(now)
        self.outputs.write()
        if alarms.changes:
            self._log_alarms()
        if self._kept:
            self._release_replies()

    def _note_time(self, now: int) -> None:
        """Now and then, however long nothing happens: the tick comes round, and these totals must not."""
        self._long = now >> _LONG_BITS
        self.ledger.again(now, self.context.energy())
        if diff(now, self.entered) > _LONGEST_MS:
            self.entered = add(now, -_LONGEST_MS)
        if diff(now, self.mode_entered) > _LONGEST_MS:
            self.mode_entered = add(now, -_LONGEST_MS)

    # --- trips ---

    def _journal_stuck(self, now: int) -> None:
        """Nothing becomes durable: the phases run to their safe point, then the cell holds."""
        for run in self.sequencer.running:
            if run.after <= self.durable:
                return
        then = al.HOLD if self.machine.state == pm.EXECUTE else al.NONE
        self.alarms.raise_(al.JOURNAL_STUCK, then, 0, now, True)

    # --- requests ---

    def _answer_requests(self) -> None:
        for _ in range(REQUESTS_A_SCAN):
            if not self.requests:
                return
            request = self.requests.pop(0)
            if request.verb.startswith("order."):
                reply = self.desk.handle(request, self.writable, self._starts_text())
                if self.book.backup_minute and self.book.unknown() is None:
                    self.alarms.gone(al.FROM_BACKUP)
            else:
                reply = self.commands.handle(request)
            self._kept.append(reply)

    def _release_replies(self) -> None:
        """A reply leaves when what it says is durable."""
        kept = []
        for reply in self._kept:
            if reply.after <= self.durable or not (self.writable or reply.firm):
                self.replies.append(reply)
            else:
                kept.append(reply)
        self._kept = kept

    def take_replies(self) -> "list[Reply]":
        """Replies that may leave now; each is given out once."""
        ready = self.replies
        self.replies = []
        return ready

    def take_records(self) -> "list[bytes]":
        """Events since the last call, for the journal, in order."""
        records = self.context.records
        self.context.records = []
        return records

    def _stop_for_abort(self, request: "Request") -> None:
        """An order in work is aborted: the cell stops, as for anyone's Stop."""
        self.machine.request(pm.CMD_STOP)

    # --- state ---

    def _enter(self, old: int, new: int, now: int) -> None:
        """A state is entered: first the outputs, then the generators, then what people see."""
        if new in (pm.ABORTING, pm.ABORTED):
            if not self.outputs.locked:
                self.outputs.set_lock()
            self._close(now)
        elif new in (pm.STOPPING, pm.STOPPED) and old not in (pm.STOPPING, pm.CLEARING, pm.ABORTED):
            self.outputs.replace(out.ON_STOP)
            self._close(now)
            self.outputs.replace(out.ON_STOP)
            self.outputs.forget()
        elif new in (pm.HOLDING, pm.SUSPENDING) or (
            new in (pm.HELD, pm.SUSPENDED) and old not in (pm.HOLDING, pm.SUSPENDING)
        ):
            self._halt(old, now)
        elif new == pm.CLEARING or (new == pm.STOPPED and old == pm.ABORTED):
            self.outputs.unlock()
        elif new in (pm.STARTING, pm.COMPLETING, pm.COMPLETE):
            self.outputs.forget()  # completed out of a hold: what was wanted then is not wanted any more
        self._job_state(old, new)
        if new == pm.EXECUTE and old in _RETURNS_FROM:
            self._restoring_since = now
        elif new == pm.EXECUTE:
            self._restoring_since = -1
        if pm.WAY_BACK >> new & 1 or (new == pm.STOPPED and old == pm.ABORTED):
            self.alarms.forget_first_out()
        if new not in (pm.SUSPENDING, pm.SUSPENDED):
            self.suspended_by_person = False
        if pm.ACTING >> new & 1 and new != pm.EXECUTE:
            self.routine.begin(new, now)
        else:
            self.routine.end()
        self.entered = now
        self.context.emit(ev.STATE, new, old, self.context.energy())
        self._enter_common(new)

    def _enter_common(self, new: int) -> None:
        """What follows from the state alone: the ledger's class and the lamps."""
        if self.alarms.first_out:
            self._faulted = True
        elif new not in (pm.STOPPING, pm.CLEARING, pm.STOPPED):
            self._faulted = False  # down until Reset: clearing the alarm alone makes nothing
        job = self.book.next_job()
        self._changeover = job is not None and job.product != self.book.last_product
        direct = new == pm.EXECUTE and self.book.item is not None
        kind = time_class(new, self.mode, job is not None, self._changeover, self._faulted)
        self.ledger.note(self.context.now, self.context.energy(), new, kind, direct)
        self.lamps.change(new, self.alarms)

    def _halt(self, old: int, now: int) -> None:
        """Hold or Suspend: what phases wanted is remembered and replaced; their generators stay."""
        if not self.outputs.saved_words:
            self.outputs.save()
            self.sequencer.hold(now)
        self.outputs.replace(out.ON_HOLD)

    def _close(self, now: int) -> None:
        """Stop or Abort: the item in work is interrupted and every generator closed; their last writes are void."""
        self.production.interrupt()
        clean = self.sequencer.close()
        if not self.routine.end() or not clean:
            self.alarms.raise_(al.CLOSED_BADLY, al.NONE, 0, now, False)

    def _job_state(self, old: int, new: int) -> None:
        job = self.book.running()
        if new == pm.EXECUTE:
            if job is None:
                # back from a hold or a suspension it is the same job or none: each has its own Start
                job = self.book.current() if old in _RETURNS_FROM else self.book.next_job()
                if job is not None:
                    self.context.emit(ev.ORDER_STATE, orders.RUNNING, job.number, 0)
        elif job is not None and new in (
            pm.HELD,
            pm.SUSPENDED,
            pm.STOPPING,
            pm.STOPPED,
            pm.ABORTING,
            pm.ABORTED,
        ):
            self.context.emit(ev.ORDER_STATE, orders.INTERRUPTED, job.number, 0)
        elif new in (pm.COMPLETING, pm.COMPLETE):
            job = self.book.current()  # only a person's Complete finds one
            if job is not None:
                self.context.emit(ev.ORDER_STATE, orders.CLOSED, job.number, 0)

    def _act(self, now: int) -> None:
        """What the state does in this scan."""
        state = self.machine.state
        if state == pm.EXECUTE:
            self._execute(now)
        elif pm.ACTING >> state & 1:
            answer = self.routine.poll(now)
            if answer == routines.COMPLETE:
                self.machine.request(pm.SC)
            elif answer == routines.TOO_LONG:
                self.alarms.raise_(
                    al.STATE_LIMIT, al.NONE if state == pm.ABORTING else al.ABORT, state, now, False
                )
                if state == pm.ABORTING:
                    self.machine.request(pm.SC)
            elif answer == routines.WRONG and state == pm.ABORTING:
                self.machine.request(pm.SC)
        elif state == pm.HELD or state == pm.SUSPENDED:  # no tuple: a scan that waits allocates nothing
            if self.sequencer.running and self.sequencer.held_too_long(now):
                self._give_up_held(now)
            elif state == pm.SUSPENDED:
                self._try_unsuspend()
        elif self.auto_start and self.control == AUTO:
            self._auto(state)

    def _try_unsuspend(self) -> None:
        """What suspended itself for want of a part goes on by itself when the part is there."""
        if self.suspended_by_person or self.question() or self.alarms.blocks_start():
            return
        if self.production.clear_obstacle():
            self.machine.request(pm.CMD_UNSUSPEND)

    def _execute(self, now: int) -> None:
        if self._restoring_since >= 0:
            self._restore(now)
            return
        answer = self.production.poll(now, self.durable)
        direct = self.book.item is not None
        if direct != self.ledger.direct:
            self.ledger.split(now, self.context.energy(), direct)
        if answer == SUSPEND:
            self.machine.request(pm.CMD_SUSPEND)
        elif answer == JOB_COMPLETE:
            self.machine.request(pm.CMD_COMPLETE if self.profile == 2022 else pm.SC)
        elif answer == WRONG:
            self.machine.request(pm.CMD_ABORT)

    def _restore(self, now: int) -> None:
        """Back from Hold or Suspend: outputs come back only when the running steps have what they need."""
        missing = self.sequencer.missing_need()
        if missing < 0:
            self.outputs.restore()
            self.sequencer.go_on(now)
            self._restoring_since = -1
        elif diff(now, self._restoring_since) >= _NEEDS_MS:
            self.alarms.raise_(al.NEED_LOST, al.HOLD, missing, now, False)
            self._restoring_since = now

    def _give_up_held(self, now: int) -> None:
        """Held for longer than the recipe allows: the step is interrupted, by its policy, its outputs as for Stop."""
        self.alarms.raise_(al.HELD_TOO_LONG, al.HOLD, 0, now, False)
        self.production.interrupt()
        self.sequencer.close()
        self.outputs.replace(out.ON_STOP)
        self.outputs.save()

    def _auto(self, state: int) -> None:
        """With `auto_start` and control released to it, the cell resets and starts itself when there is an order."""
        if self.alarms.blocks_start() or self.question() or self.mode != modes.PRODUCTION:
            return
        if state == pm.COMPLETE:
            self.machine.request(pm.CMD_RESET)
        elif (
            state == pm.IDLE
            and self.writable
            and self.desk.last_order <= self.durable
            and self.book.next_job()
        ):
            self.machine.request(pm.CMD_START)

    # --- for commands, views and texts ---

    def _record(self, name: str, value: int, per_unit: int) -> None:
        self.sequencer.record(name, value, per_unit)

    def _has_item(self) -> bool:
        return self.book.item is not None

    def _log_alarms(self) -> None:
        for phase, alarm_id, value in self.alarms.changes:
            self.context.emit(ev.ALARM, alarm_id, phase, value)
        self.alarms.changes = []
        self.lamps.change(self.machine.state, self.alarms)

    def change_mode(self, target: int) -> None:
        """Take another mode; whether it may is the commands' answer."""
        old = self.mode
        self.mode = target
        self.machine.use(self._tables[target])
        self.mode_entered = self.context.now
        self.context.emit(ev.MODE, target, old, 0)
        self._enter_common(self.machine.state)

    def mode_number(self, name: object) -> int:
        """The number of a mode by its name or number; 0 if there is none."""
        for entry in self.spec["modes"]:
            if name == entry["name"] or name == entry["number"]:
                return int(entry["number"])
        return 0

    def mode_name(self) -> str:
        for entry in self.spec["modes"]:
            if entry["number"] == self.mode:
                return str(entry["name"])
        return modes.mode_name(self.mode)

    def question(self) -> bool:
        """Whether an interrupted item or an order of a backup waits for a person's answer."""
        return self.book.asks()

    def question_text(self) -> str:
        return texts.open_question(self.spec, self.book)

    def alarm_text(self, alarm: "Alarm") -> str:
        return texts.alarm(self.spec, alarm.id, alarm.value)

    def allowed_names(self) -> "list[str]":
        """The commands that the state and mode allow now, by name."""
        mask = pm.allowed_mask(self.machine.table, self.machine.state)
        return [pm.COMMANDS[n] for n in range(1, len(pm.COMMANDS)) if mask >> n & 1]

    def _starts_text(self) -> str:
        """What an order's start waits for, "" if it will start by itself."""
        return texts.start_waits_for(self)

    def shut_down(self, now: int) -> None:
        """The last event of a clean stop: the service is about to leave."""
        self.context.now = now
        if self.tap is not None:
            self.tap(b"E", struct.pack("<I", now))
        self.outputs.set_lock()
        self.outputs.write()
        self.context.emit(ev.SHUTDOWN, self.machine.state, 0, 0)
        if self.tap is not None:
            self.tap(b"e", b"")
