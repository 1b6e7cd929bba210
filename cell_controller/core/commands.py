"""Commands from people and stations: who may give them, what refuses them, and answers to interrupted items."""

from . import codec, desk
from . import events as ev
from . import packml as pm
from . import refusals as no
from .handshake import CommandHandshake, ModeHandshake
from .recipes import scale
from .refusals import refusal
from .reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .controller import Controller
    from .envelope import Request

ITEM_IN_WORK = refusal(20, "item_in_work", "an item is in work; let it finish, or stop the cell")
NO_ORDER = refusal(21, "no_order", "there is no order to start; submit one")
AUTO = "auto"
LOCAL = "local"

_NAMES = (
    "",
    "reset",
    "start",
    "stop",
    "hold",
    "unhold",
    "suspend",
    "unsuspend",
    "abort",
    "clear",
    "complete",
)
_ACKNOWLEDGES = (pm.CMD_RESET, pm.CMD_UNHOLD, pm.CMD_CLEAR)
_MOVES = (pm.CMD_RESET, pm.CMD_START, pm.CMD_UNHOLD, pm.CMD_UNSUSPEND, pm.CMD_CLEAR)
_TAGS = ("CntrlCmd", "CmdChangeRequest", "UnitMode", "UnitModeChangeRequest")
MODE = 20  # source of COMMAND events for what is no PackML command
ACKNOWLEDGE = 21
TAKE_CONTROL = 22
RELEASE_CONTROL = 23


class Commands:
    """Answers the verbs `command`, `packtags`, `answer` and `confirm` for a controller."""

    def __init__(self, controller: "Controller") -> None:
        self.cell = controller
        self.asked: "list[tuple[int, Request, Reply]]" = []  # PackML commands accepted in this scan
        self._command_tags = CommandHandshake()
        self._mode_tags = ModeHandshake()

    def in_control(self, request: "Request") -> bool:
        """Whether this issuer may move the cell: whoever is at the machine unless a named remote has control."""
        holder = self.cell.control
        if request.origin == "local":
            return holder in (AUTO, LOCAL)
        # a remote that calls itself "auto" or "local" is still a remote
        return holder == request.issuer and holder not in (AUTO, LOCAL)

    def handle(self, request: "Request") -> Reply:
        """Answer one request. Every command and its answer becomes an event."""
        if request.verb == "answer":
            return self._answer(request)
        if request.verb == "confirm":
            return self._confirm(request)
        if request.verb == "packtags":
            return self._packtags(request)
        return self._command(request, request.args.get("command"))

    def _packtags(self, request: "Request") -> Reply:
        """A station that speaks PackTags writes its Command tags: each is acted on once, by the handshake."""
        args = request.args
        for key in sorted(args):
            if key not in _TAGS or not _is_number(args[key]):
                text = "packtags takes %s, whole numbers" % ", ".join(_TAGS)
                return Reply(request.token, request.id, no.UNKNOWN_COMMAND, text)
        mode = self._mode_tags.scan(_tag(args, _TAGS[2]), _tag(args, _TAGS[3]))
        if mode:
            return self._mode(request, mode)
        command = self._command_tags.scan(_tag(args, _TAGS[0]), _tag(args, _TAGS[1]))
        if not command:
            return Reply(request.token, request.id, no.ACCEPTED, "nothing new is requested")
        return self._command(request, _NAMES[command] if 0 < command < len(_NAMES) else str(command))

    def _command(self, request: "Request", name: object) -> Reply:
        if name == "mode":
            return self._mode(request, request.args.get("mode"))
        if name == "acknowledge":
            return self._acknowledge(request)
        if name in ("take_control", "release_control"):
            return self._control(request, str(name))
        if not isinstance(name, str) or name not in _NAMES[1:]:
            return self._no(request, 0, no.UNKNOWN_COMMAND, "there is no command %s" % str(name)[:40])
        command = _NAMES.index(name)
        code, text = self._refused(request, command)
        if code:
            return self._no(request, command, code, text)
        if command in _ACKNOWLEDGES:
            self.cell.alarms.acknowledge()
        if command == pm.CMD_SUSPEND:
            self.cell.suspended_by_person = True
        self.cell.machine.request(command)
        seq = self._note(request, command, 0)
        reply = Reply(request.token, request.id, no.ACCEPTED, "accepted %s" % name, None, seq)
        self.asked.append((command, request, reply))
        return reply

    def settle(self, served: int) -> None:
        """The scan's command is known: whoever asked for another one in the same scan is told that it was not done."""
        for command, request, reply in self.asked:
            if command != served:
                reply.refuse(no.SUPERSEDED, self._note(request, command, no.SUPERSEDED))
        self.asked = []

    def _note(self, request: "Request", command: int, code: int) -> int:
        who = codec.pack([request.id, request.issuer, request.origin])
        return self.cell.context.emit(ev.COMMAND, command, code, 0, who)

    def _no(self, request: "Request", command: int, code: int, text: str = "") -> Reply:
        seq = self._note(request, command, code)
        return Reply(request.token, request.id, code, text, None, seq)

    def _refused(self, request: "Request", command: int) -> "tuple[int, str]":
        """(code, text) of the first reason against a PackML command, (0, "") if there is none."""
        cell = self.cell
        if command not in (pm.CMD_STOP, pm.CMD_ABORT) and not self.in_control(request):
            return no.NOT_IN_CONTROL, "%s has control; take control first" % cell.control
        state = cell.machine.state
        code = pm.command_refusal(cell.machine.table, state, command, cell.profile)
        if code:
            return code, "%s is not allowed in %s; allowed now: %s" % (
                pm.COMMANDS[command],
                pm.STATES[state],
                ", ".join(cell.allowed_names()),
            )
        if command in _MOVES:
            standing = cell.alarms.standing()
            if standing:
                texts = [cell.alarm_text(entry) for entry in standing]
                return no.CAUSE_STANDS, "first remove the cause: " + "; ".join(texts)
            if cell.alarms.blocks_start() and command not in _ACKNOWLEDGES:
                return no.NOT_ACKNOWLEDGED, ""
        if command in (pm.CMD_RESET, pm.CMD_START, pm.CMD_UNHOLD, pm.CMD_UNSUSPEND) and cell.question():
            return no.QUESTION_OPEN, cell.question_text()
        if command == pm.CMD_START and not cell.writable:
            return no.JOURNAL_UNWRITABLE, ""
        if command == pm.CMD_START and cell.book.next_job() is None:
            return NO_ORDER, ""
        if command == pm.CMD_COMPLETE and cell.book.item is not None:
            return ITEM_IN_WORK, ""
        return 0, ""

    def _mode(self, request: "Request", wanted: object) -> Reply:
        cell = self.cell
        target = cell.mode_number(wanted)
        if not self.in_control(request):
            return self._no(
                request, MODE, no.NOT_IN_CONTROL, "%s has control; take control first" % cell.control
            )
        code = pm.mode_change_refusal(
            cell.mode, target, cell.machine.state, cell.enabled_modes, cell.disabled_masks, {}
        )
        if code:
            names = ", ".join([entry["name"] for entry in cell.spec["modes"]])
            return self._no(
                request, MODE, code, "%s; modes of this cell: %s" % (no.refusal_text(code), names)
            )
        cell.change_mode(target)
        seq = self._note(request, MODE, 0)
        return Reply(request.token, request.id, 0, "mode %s" % cell.mode_name(), None, seq)

    def _acknowledge(self, request: "Request") -> Reply:
        if not self.in_control(request):
            return self._no(request, ACKNOWLEDGE, no.NOT_IN_CONTROL)
        alarms = self.cell.alarms
        alarms.acknowledge()
        if pm.WAY_BACK >> self.cell.machine.state & 1 and not alarms.blocks_start():
            alarms.forget_first_out()  # it blocked the Start and stopped nothing
        seq = self._note(request, ACKNOWLEDGE, 0)
        return Reply(request.token, request.id, 0, "acknowledged", None, seq)

    def _control(self, request: "Request", name: str) -> Reply:
        """Who is at the machine may always take control; a remote only what was released to it by name."""
        cell = self.cell
        if name == "take_control":
            if request.origin != "local" and not self.in_control(request):
                return self._no(request, TAKE_CONTROL, no.NOT_IN_CONTROL, "control is given at the machine")
            holder = LOCAL if request.origin == "local" else request.issuer
        else:
            if not self.in_control(request):
                return self._no(request, RELEASE_CONTROL, no.NOT_IN_CONTROL)
            to = request.args.get("to", "")
            if not isinstance(to, str) or len(to) > 64:
                return self._no(request, RELEASE_CONTROL, no.UNKNOWN_COMMAND, "`to` is the name of a station")
            holder = to if to not in ("", AUTO, LOCAL) else LOCAL
            if to != LOCAL and holder == LOCAL and cell.auto_start:
                holder = AUTO
        seq = self._note(request, TAKE_CONTROL if name == "take_control" else RELEASE_CONTROL, 0)
        if holder != cell.control:
            cell.control = holder
            seq = cell.context.emit(ev.CONTROL, 0, 0, 0, holder.encode())
        return Reply(request.token, request.id, 0, "%s has control" % holder, {"control": holder}, seq)

    def _answer(self, request: "Request") -> Reply:
        cell = self.cell
        item = cell.book.item
        if item is None or not item.question:
            return Reply(request.token, request.id, desk.NO_QUESTION)
        if not self.in_control(request):
            return Reply(request.token, request.id, no.NOT_IN_CONTROL, "%s has control" % cell.control)
        serial = request.args.get("item", item.serial)
        answer = request.args.get("answer")
        if serial != item.serial:
            text = "the question is about item %04d" % item.serial
            return Reply(request.token, request.id, desk.NO_QUESTION, text)
        if not isinstance(answer, str) or answer not in ev.ANSWER_NAMES[1:]:
            return Reply(request.token, request.id, desk.BAD_ANSWER)
        number = ev.ANSWER_NAMES.index(answer)
        who = codec.pack([request.id, request.issuer])
        seq = cell.context.emit(ev.ANSWER, number, item.serial, 0, who)
        text = "item %04d: %s" % (item.serial, answer)
        return Reply(request.token, request.id, 0, text, {"item": item.serial, "answer": answer}, seq)

    def _confirm(self, request: "Request") -> Reply:
        cell = self.cell
        wait = cell.sequencer.operator()
        if wait is None or cell.machine.state != pm.EXECUTE:
            return Reply(request.token, request.id, desk.NOTHING_TO_CONFIRM)
        if request.origin != "local" and not self.in_control(request):
            return Reply(request.token, request.id, no.NOT_IN_CONTROL)
        value: "Any" = request.args.get("value", 0)
        number = scale(value, 1000)
        if wait.expects == "value" and ("value" not in request.args or number is None):
            return Reply(request.token, request.id, desk.BAD_ORDER, "this step needs a value: a number")
        who = codec.pack([request.id, request.issuer])
        step = cell.sequencer.operator_step()
        seq = cell.context.emit(ev.CONFIRMED, step, number or 0, 1000, who)
        if wait.expects == "value":
            cell.context.emit(ev.ACTUAL, step, number or 0, 1000, b"entered")
        wait.confirmed = True
        return Reply(request.token, request.id, 0, "confirmed", None, seq)


def _is_number(value: object) -> bool:
    return value is True or value is False or isinstance(value, int)


def _tag(args: "dict[str, Any]", name: str) -> int:
    """A tag's number; one that was not written is 0, True and False are 1 and 0."""
    return int(args.get(name, 0))
