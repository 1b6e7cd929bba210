"""The order desk: ISA-95 verbs on job orders, each answered with a code and a reason."""

from . import codec, estimate, orders
from . import events as ev
from . import refusals as no
from .recipes import control_hash, describe, resolve, sha256_hex
from .refusals import refusal
from .reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .context import Context
    from .envelope import Request
    from .production import Production

UNKNOWN_ORDER = refusal(100, "unknown_order", "there is no order with this id")
UNKNOWN_PRODUCT = refusal(101, "unknown_product", "the cell does not make this product")
ID_USED = refusal(102, "id_used", "this order id was used for a different order")
BAD_COUNT = refusal(103, "bad_count", "count is not a whole number of 1..1000")
BAD_ORDER = refusal(104, "bad_order", "the order is not written as it should be")
NOT_OFFERED = refusal(105, "not_offered", "the recipe does not offer this")
TOO_MANY = refusal(106, "too_many_orders", "the cell keeps no more open orders; order again later")
WRONG_JOB_STATE = refusal(107, "wrong_job_state", "the state of the order does not allow this")
NO_QUESTION = refusal(108, "no_question", "no interrupted item waits for an answer")
BAD_ANSWER = refusal(109, "bad_answer", "the answer is one of resume, repeat, scrap, done")
NOTHING_TO_CONFIRM = refusal(110, "nothing_to_confirm", "no step waits for a person")

MOST_COUNT = 1000
MOST_OPTIONS = 32
_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_KNOWN = ("order_id", "product", "count", "options", "priority", "due", "carriers", "allowed")


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value that came in is an integer of low..high; True and False are none on either runtime."""
    return value is not True and value is not False and isinstance(value, int) and low <= value <= high


_REMEMBERED = 8  # control recipes of the last orders: customers order alike more often than not


class _Made:
    """A control recipe with what is worked out once for it."""

    def __init__(self, control: "dict[str, Any]", estimate_ms: int) -> None:
        self.control = control
        self.packed = codec.pack(control)
        self.hash = sha256_hex(self.packed)
        self.estimate_ms = estimate_ms


class Desk:
    """Takes orders in and answers for them. `stop_cell` is called when an order in work is aborted."""

    def __init__(
        self,
        spec: "dict[str, Any]",
        phases: "dict[str, Any]",
        context: "Context",
        production: "Production",
        stop_cell: "Any",
    ) -> None:
        self._spec = spec
        self._phases = phases
        self._context = context
        self._production = production
        self._stop_cell = stop_cell
        self._made: "dict[bytes, _Made]" = {}
        self._made_keys: "list[bytes]" = []
        self.last_order = 0  # event of the newest order: a start waits until it is durable

    def handle(self, request: "Request", writable: bool, starts: str) -> Reply:
        """Answer one order verb. `starts` says what an accepted order's start waits for, "" for nothing."""
        args = request.args
        verb = request.verb
        order_id = args.get("order_id")
        if (
            not isinstance(order_id, str)
            or not 0 < len(order_id) <= 64
            or not _only(order_id, _ID_CHARACTERS)
        ):
            return self._no(request, BAD_ORDER, "order_id is 1..64 of A-Z a-z 0-9 . _ -; give one")
        if not writable:
            return self._no(request, no.JOURNAL_UNWRITABLE)
        if verb == "order.submit":
            return self._submit(request, order_id, starts)
        job = self._context.book.find(order_id)
        if job is None or job.cleared:
            return self._no(request, UNKNOWN_ORDER, "there is no order %s" % order_id)
        if verb == "order.update":
            return self._update(request, job)
        return self._turn(request, job)

    def _no(self, request: "Request", code: int, text: str = "", name: str = "") -> Reply:
        return Reply(request.token, request.id, code, text, None, 0, name)

    def _submit(self, request: "Request", order_id: str, starts: str) -> Reply:
        args: "dict[str, Any]" = request.args
        problem = _shape_problem(args)
        if problem:
            code = BAD_COUNT if problem.startswith("count") else BAD_ORDER
            return self._no(request, code, problem)
        options = _pairs(args.get("options", {}))
        content = _content(args, options)
        book = self._context.book
        known = book.find(order_id)
        if known is not None:
            if known.content != content:
                return self._no(
                    request, ID_USED, "order id %s was used for a different order; give a new id" % order_id
                )
            return self._accepted(request, known, starts, True)
        product = args["product"]
        recipe = self._production.recipe(str(product))
        if recipe is None:
            offered = ", ".join([head[0] for head in self._production.versions()])
            return self._no(
                request, UNKNOWN_PRODUCT, "there is no product %s; this cell makes: %s" % (product, offered)
            )
        if len(book.open_jobs()) >= book.most_open:
            text = "the cell keeps %d open orders; order again later" % book.most_open
            return self._no(request, TOO_MANY, text)
        made = self._made_of(recipe, options)
        if isinstance(made, tuple):
            return self._no(request, NOT_OFFERED, made[1], made[0])
        order = {
            "order_id": order_id,
            "product": product,
            "count": args.get("count", 1),
            "options": [[pair[0], _plain(pair[1])] for pair in options],
            "carriers": args.get("carriers", []),
            "issuer": request.issuer,
            "priority": args.get("priority", 5),
            "due": args.get("due", 0),
            "control": codec.Packed(made.packed),
            "hash": made.hash,
            "content": content,
            "estimate_ms": made.estimate_ms,
            "allowed": 0 if args.get("allowed") is False else 1,
        }
        number = book.last_job + 1
        carried = codec.pack(order)
        order["control"] = made.control
        self.last_order = self._context.emit(ev.ORDER_STORED, 0, number, 0, carried, order)
        job = book.job(number)
        return self._accepted(request, job, starts, False) if job else self._no(request, BAD_ORDER)

    def _made_of(self, recipe: "dict[str, Any]", options: "list[list[Any]]") -> "_Made | tuple[str, str]":
        """What these options make of the recipe, or (name, text) of why not; the last ones are remembered."""
        key = codec.pack([recipe["product"], recipe["version"], _safe(options)])
        made = self._made.get(key)
        if made is not None:
            return made
        control, refused = resolve(recipe, options)
        if control is None:
            return refused[0], refused[1]
        made = _Made(control, estimate.item_ms(self._spec, self._phases, control))
        self._made[key] = made
        self._made_keys.append(key)
        if len(self._made_keys) > (1 if self._context.book.lean else _REMEMBERED):
            del self._made[self._made_keys.pop(0)]
        return made

    def _accepted(self, request: "Request", job: orders.Job, starts: str, again: bool) -> Reply:
        book = self._context.book
        begin, end = book.ahead_ms(job.number)
        count = "%d %s" % (job.count, job.product)
        if not job.is_open():
            when = "it is %s, %d good" % (orders.STATE_NAMES[job.state], job.good)
        elif job.state == orders.NOT_ALLOWED:
            when = "waits to be allowed to start, then about %d s" % ((end - begin + 500) // 1000)
        elif starts:
            when = "%s, then about %d s" % (starts, (end - begin + 500) // 1000)
        elif begin <= 0:
            when = "starts now, about %d s" % ((end + 500) // 1000)
        else:
            when = "starts in about %d s, done in about %d s" % ((begin + 500) // 1000, (end + 500) // 1000)
        text = "%s %s: %s, %s" % ("known already" if again else "accepted", job.order_id, count, when)
        data = {
            "order_id": job.order_id,
            "known": again,
            "state": orders.STATE_NAMES[job.state],
            "count": job.count,
            "good": job.good,
            "starts_in_s": (begin + 500) // 1000,
            "done_in_s": (end + 500) // 1000,
            "made": describe(job.control) if job.control else job.product,
            "hash": job.hash,
        }
        return Reply(request.token, request.id, no.ACCEPTED, text, data, self._context.last_seq, "", True)

    def _update(self, request: "Request", job: orders.Job) -> Reply:
        args = request.args
        if job.state > orders.ALLOWED:
            return self._wrong_state(request, job)
        for key in sorted(args):
            if key not in ("order_id", "priority", "due"):
                return self._no(request, BAD_ORDER, "order.update changes priority and due, not %s" % key)
        if "priority" not in args and "due" not in args:
            return self._no(request, BAD_ORDER, "give priority (0..9) or due (epoch seconds)")
        if "priority" in args and not is_whole(args["priority"], 0, 9):
            return self._no(request, BAD_ORDER, "priority is a whole number of 0..9, 9 is made first")
        if "due" in args and not is_whole(args["due"], 0, (1 << 31) - 1):
            return self._no(request, BAD_ORDER, "due is a time in epoch seconds, 0 for none")
        if "priority" in args:
            self._context.emit(ev.ORDER_CHANGED, orders.PRIORITY, job.number, _number(args["priority"]))
        if "due" in args:
            self._context.emit(ev.ORDER_CHANGED, orders.DUE, job.number, _number(args["due"]))
        place = [entry.number for entry in self._context.book.open_jobs()].index(job.number) + 1
        text = "%s is number %d in the queue" % (job.order_id, place)
        return Reply(
            request.token, request.id, no.ACCEPTED, text, {"place": place}, self._context.last_seq, "", True
        )

    def _turn(self, request: "Request", job: orders.Job) -> Reply:
        """The verbs without arguments."""
        verb = request.verb[6:]
        state = job.state
        made = job.good + job.scrapped
        if verb == "start" and state in (orders.NOT_ALLOWED, orders.ALLOWED):
            return self._moved(request, job, orders.ALLOWED)
        if verb == "revoke_start" and state in (orders.NOT_ALLOWED, orders.ALLOWED):
            return self._moved(request, job, orders.NOT_ALLOWED)
        if verb == "cancel" and state in (orders.NOT_ALLOWED, orders.ALLOWED) and not job.started:
            return self._moved(request, job, orders.CLOSED)
        if verb == "clear" and state > orders.INTERRUPTED:
            self._context.emit(ev.ORDER_CHANGED, orders.CLEARED, job.number, 1)
            return self._said(request, "%s is cleared from the list" % job.order_id)
        if verb == "resume" and job.paused == orders.UNKNOWN:
            return self._go_on_from_backup(request, job)
        if verb == "pause" and state == orders.RUNNING and job.paused != orders.ENDS:
            self._context.emit(ev.ORDER_CHANGED, orders.PAUSED, job.number, orders.PAUSES)
            return self._said(request, "%s pauses after the item in work" % job.order_id)
        if verb == "resume" and job.paused == orders.PAUSES and state in (orders.RUNNING, orders.INTERRUPTED):
            self._context.emit(ev.ORDER_CHANGED, orders.PAUSED, job.number, 0)
            return self._said(request, "%s goes on" % job.order_id)
        in_work = self._context.book.item is not None
        if verb == "stop" and (state == orders.RUNNING or (state == orders.INTERRUPTED and in_work)):
            self._context.emit(ev.ORDER_CHANGED, orders.PAUSED, job.number, orders.ENDS)
            text = "%s ends after the item in work, %d of %d made" % (job.order_id, made, job.count)
            return self._said(request, text)
        if verb == "stop" and state == orders.INTERRUPTED:
            return self._moved(request, job, orders.CLOSED)
        if verb == "abort" and state <= orders.INTERRUPTED:
            return self._abort(request, job)
        return self._wrong_state(request, job)

    def _go_on_from_backup(self, request: "Request", job: orders.Job) -> Reply:
        """A person has looked: `good` says how many good items there are. Not said is not looked, and made twice."""
        good = request.args.get("good")
        if not is_whole(good, job.good, job.count):
            text = "say how many good items of %s there are, %d..%d: cellctl order resume %s --made N" % (
                job.order_id,
                job.good,
                job.count,
                job.order_id,
            )
            return self._no(request, BAD_COUNT, text)
        if good != job.good:
            self._context.emit(ev.ORDER_CHANGED, orders.MADE, job.number, _number(good))
        self._context.emit(ev.ORDER_CHANGED, orders.PAUSED, job.number, 0)
        return self._said(request, "%s goes on, %d of %d are made" % (job.order_id, job.good, job.count))

    def _abort(self, request: "Request", job: orders.Job) -> Reply:
        item = self._context.book.item
        if item is not None and item.job == job.number:
            self._stop_cell(request)
            self._production.sequencer.close()
            self._production.end_item(ev.SCRAP)
        elif job.state == orders.RUNNING:
            self._stop_cell(request)
        return self._moved(request, job, orders.ABORTED)

    def _moved(self, request: "Request", job: orders.Job, state: int) -> Reply:
        if job.state != state:
            self._context.emit(ev.ORDER_STATE, state, job.number, 0)
        return self._said(request, "%s is %s" % (job.order_id, orders.STATE_NAMES[state]))

    def _said(self, request: "Request", text: str) -> Reply:
        return Reply(request.token, request.id, no.ACCEPTED, text, None, self._context.last_seq, "", True)

    def _wrong_state(self, request: "Request", job: orders.Job) -> Reply:
        text = "%s is %s; %s does not fit" % (job.order_id, orders.STATE_NAMES[job.state], request.verb)
        return self._no(request, WRONG_JOB_STATE, text)


def _only(text: str, characters: str) -> bool:
    return all(letter in characters for letter in text)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _shape_problem(args: "dict[str, Any]") -> str:
    """What is wrong with the form of an order, "" if nothing; whether it can be made is another question."""
    for key in sorted(args):
        if key not in _KNOWN:
            return "an order has no member %s; it has: %s" % (key[:40], ", ".join(_KNOWN))
    if not isinstance(args.get("product"), str):
        return "product is missing; give its name"
    if not is_whole(args.get("count", 1), 1, MOST_COUNT):
        return "count is a whole number of 1..%d" % MOST_COUNT
    options = args.get("options", {})
    if not isinstance(options, dict) or len(options) > MOST_OPTIONS:
        return "options is an object of at most %d members" % MOST_OPTIONS
    if not is_whole(args.get("priority", 5), 0, 9):
        return "priority is a whole number of 0..9, 9 is made first"
    if not is_whole(args.get("due", 0), 0, (1 << 31) - 1):
        return "due is a time in epoch seconds"
    carriers = args.get("carriers", [])
    if not isinstance(carriers, list) or len(carriers) > MOST_COUNT:
        return "carriers is a list of carrier numbers"
    for carrier in carriers:
        if not is_whole(carrier, 1, (1 << 29) - 1):
            return "carriers is a list of carrier numbers, 1 or more"
    if carriers and len(carriers) != args.get("count", 1):
        return "carriers has %d entries for a count of %d; give one for each item" % (
            len(carriers),
            args.get("count", 1),
        )
    if args.get("allowed", True) is not True and args.get("allowed", True) is not False:
        return "allowed is true or false"
    return ""


def _pairs(options: "dict[str, Any]") -> "list[list[Any]]":
    return [[key, options[key]] for key in sorted(options)]


def _plain(value: "Any") -> "Any":
    """An option's value as it is kept: a decimal stays a list that `resolve` reads again."""
    return list(value) if isinstance(value, tuple) else value


def _content(args: "dict[str, Any]", options: "list[list[Any]]") -> str:
    """What makes an order this order, for telling a repeat from another order under the same id."""
    plain = [[pair[0], _safe(pair[1])] for pair in options]
    value = [
        args["product"],
        args.get("count", 1),
        plain,
        args.get("due", 0),
        args.get("priority", 5),
        args.get("carriers", []),
        1 if args.get("allowed", True) else 0,
    ]
    return control_hash({"content": value})[:32]


def _safe(value: "Any") -> "Any":
    """Anything an order may carry, in a form that has canonical bytes."""
    if value is None:
        return "null"
    if value is True or value is False:
        return ["true" if value else "false"]  # 1 and true pack alike and are not the same
    if isinstance(value, (list, tuple)):
        return [_safe(entry) for entry in value]
    if isinstance(value, dict):
        return [[key, _safe(value[key])] for key in sorted(value)]
    return value
