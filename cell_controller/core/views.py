"""What the cell shows of itself: dicts of the present, for a link, a screen or a test. Reading changes nothing."""

from . import alarms as al
from . import events as ev
from . import ledgers, orders, texts
from . import packml as pm
from .jsonwrite import Decimal
from .recipes import catalogue as _catalogue
from .recipes import describe
from .signals import GOOD
from .stack_light import light_names
from .ticks import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .controller import Controller


def state(cell: "Controller") -> "dict[str, Any]":
    """The state of the cell as it is published."""
    book = cell.book
    machine = cell.machine
    return {
        "cell": cell.spec["name"],
        "state": pm.STATES[machine.state],
        "state_number": machine.state,
        "state_requested": pm.STATES[pm.state_requested(machine.table, machine.state)],
        "mode": cell.mode_name(),
        "mode_number": cell.mode,
        "state_s": diff(cell.context.now, cell.entered) // 1000,
        "mode_s": diff(cell.context.now, cell.mode_entered) // 1000,
        "profile": cell.profile,
        "control": cell.control,
        "allowed": cell.allowed_names(),
        "allowed_mask": pm.allowed_mask(machine.table, machine.state),
        "reason": reason(cell),
        "stop_reason": {"id": cell.alarms.first_out, "value": cell.alarms.first_out_value},
        "stack_light": list(light_names(cell.lamps.lights)),
        "order": _order(cell),
        "item": _item(cell),
        "waiting_for": waiting_for(cell),
        "question": _question(cell),
        "queue": len(book.open_jobs()),
        "jobs_total": book.last_job,
        "good": book.good,
        "scrapped": book.scrapped,
        "energy_wh": meter(cell, max(0, cell.context.energy())),
        "outputs": outputs(cell),
        "alarms": [texts.alarm(cell.spec, entry.id, entry.value) for entry in cell.alarms.entries],
        "recipes": recipes(cell),
    }


def recipes(cell: "Controller") -> "dict[str, int]":
    """The version in use of each product."""
    return {head[0]: head[1] for head in cell.production.versions()}


def meter(cell: "Controller", reading: int) -> Decimal:
    """A reading or a difference of the energy meter, in its unit."""
    i = cell.spec["energy"]
    return Decimal(reading, cell.spec["inputs"][i]["per_unit"] if i >= 0 else 1)


def outputs(cell: "Controller") -> "dict[str, Decimal]":
    """Every output as last driven, in its unit; a digital one is 0 or 1."""
    names = cell.spec["outputs"]
    return {names[i]["name"]: Decimal(cell.outputs.get(i), names[i]["per_unit"]) for i in range(len(names))}


def signals(cell: "Controller") -> "list[tuple[str, int, int, str, int]]":
    """(name, value, quality, unit, steps a unit) of every signal, inputs first."""
    count = len(cell.spec["inputs"]) + len(cell.spec["outputs"])
    return [signal(cell, i) for i in range(count)]


def signal(cell: "Controller", i: int) -> "tuple[str, int, int, str, int]":
    """One of `signals`, by its place there."""
    inputs = cell.spec["inputs"]
    if i < len(inputs):
        entry = inputs[i]
        value, quality = cell.inputs.value[i], cell.inputs.quality[i]
    else:
        i -= len(inputs)
        entry = cell.spec["outputs"][i]
        value, quality = cell.outputs.get(i), GOOD
    return entry["name"], value, quality, entry["unit"], entry["per_unit"]


def reason(cell: "Controller") -> str:
    """Why the cell is not making anything: the first alarm of this stop, or what it waits for from outside."""
    alarms = cell.alarms
    if alarms.first_out:
        return texts.alarm(cell.spec, alarms.first_out, alarms.first_out_value)
    for entry in alarms.entries:
        if entry.active or not entry.acknowledged:
            return texts.alarm(cell.spec, entry.id, entry.value)
    return ""


def _order(cell: "Controller") -> "dict[str, Any]":
    job = cell.book.current()
    if job is None:
        return {}
    return order(cell, job)


def order(cell: "Controller", job: orders.Job) -> "dict[str, Any]":
    """One job order as it stands."""
    begin, end = cell.book.ahead_ms(job.number)
    return {
        "order_id": job.order_id,
        "number": job.number,
        "product": job.product,
        "options": {pair[0]: pair[1] for pair in job.options},
        "made": describe(job.control) if job.control else job.product,
        "state": orders.STATE_NAMES[job.state],
        "count": job.count,
        "good": job.good,
        "scrapped": job.scrapped,
        "priority": job.priority,
        "due": job.due,
        "issuer": job.issuer,
        "starts_in_s": begin // 1000,
        "done_in_s": end // 1000,
        "hash": job.hash,
    }


def _item(cell: "Controller") -> "dict[str, Any]":
    item = cell.book.item
    if item is None:
        return {}
    running = item.running_steps()
    view: "dict[str, Any]" = {
        "serial": item.serial,
        "carrier": item.carrier,
        "steps": len(item.steps),
        "made": describe(item.control),
        "work_s": item.elapsed(cell.context.now) // 1000,
        "step": "",
        "step_number": 0,
        "mark": 0,
        "of": 0,
        "counts": "",
        "progress": texts.progress(cell.spec, item),
    }
    if running:
        step = running[0]
        entry = item.control["steps"][step.number]
        view["step"] = entry["name"]
        view["step_number"] = step.number + 1
        view["counts"] = texts.counts(cell.spec, entry["phase"])
        view["mark"] = step.mark
        view["of"] = step.of
    return view


def _question(cell: "Controller") -> "dict[str, Any]":
    item = cell.book.item
    if item is None or not item.question:
        return {}
    return {
        "item": item.serial,
        "text": texts.question(cell.spec, item),
        "answers": list(ev.ANSWER_NAMES[1:]),
    }


def waiting_for(cell: "Controller") -> str:
    """What the cell waits for right now, for people."""
    if cell.question():
        return "an answer: " + cell.question_text()
    state_now = cell.machine.state
    if state_now == pm.EXECUTE:
        return cell.sequencer.waits()
    if state_now == pm.IDLE:
        return "an order" if cell.book.next_job() is None else "Start"
    if pm.ACTING >> state_now & 1:
        return cell.routine.waits()
    return ""


def why(cell: "Controller") -> "dict[str, Any]":
    """Why nothing moves, and what a person does about it: trips, alarms, the question, the next allowed command."""
    lines = []
    state_now = cell.machine.state
    for entry in cell.alarms.entries:
        kind = al.CONSEQUENCE_NAMES[entry.consequence] if entry.consequence else ""
        stands = "still there" if entry.active else "over"
        if entry.id >= al.FAULT:
            stands = (
                "seen again only when it is tried again"  # a time that ran out, not a sensor that can be read
            )
        lines.append(
            {
                "text": texts.alarm(cell.spec, entry.id, entry.value),
                "remedy": texts.remedy(cell.spec, entry.id),
                "consequence": kind,
                "cause": stands,
                "acknowledged": entry.acknowledged,
            }
        )
    for number in cell.interlocks.active:
        entry = cell.spec["interlocks"][number]
        if not cell.outputs.any_wanted(entry["blocks"]):
            continue  # nothing wants what it blocks
        names = [cell.spec["outputs"][i]["name"] for i in entry["blocks"]]
        lines.append(
            {
                "text": "%s are blocked: %s" % (", ".join(names), entry["message"]),
                "remedy": "",
                "consequence": "",
                "cause": "still there",
                "acknowledged": True,
            }
        )
    return {
        "state": pm.STATES[state_now],
        "reason": reason(cell),
        "waiting_for": waiting_for(cell),
        "question": _question(cell),
        "lines": lines,
        "allowed": cell.allowed_names(),
        "control": cell.control,
    }


def order_list(cell: "Controller", ended: int = 20) -> "list[dict[str, Any]]":
    """Open orders in the order they will be made, then the last ended ones that were not cleared."""
    rows = [order(cell, job) for job in cell.book.open_jobs()]
    gone = [job for job in cell.book.jobs if not job.is_open() and not job.cleared]
    for job in gone[-ended:]:
        rows.append(order(cell, job))
    return rows


def alarm_list(cell: "Controller") -> "list[dict[str, Any]]":
    """Alarms, oldest first."""
    rows = []
    for entry in cell.alarms.entries:
        rows.append(
            {
                "id": entry.id,
                "text": texts.alarm(cell.spec, entry.id, entry.value),
                "remedy": texts.remedy(cell.spec, entry.id),
                "consequence": al.CONSEQUENCE_NAMES[entry.consequence],
                "active": entry.active,
                "acknowledged": entry.acknowledged,
                "first_out": entry.id == cell.alarms.first_out,
            }
        )
    return rows


def ledger(cell: "Controller") -> "dict[str, Any]":
    """Time by ISO 22400 class and energy by state; the sums are the uptime and the meter."""
    book = cell.ledger
    book.again(cell.context.now, cell.context.energy())
    seconds, rest = book.total_ms()
    names = ledgers.CLASS_NAMES
    return {
        "time_ms": {names[i]: book.seconds[i] * 1000 + book.rest_ms[i] for i in range(len(names))},
        "uptime_ms": seconds * 1000 + rest,
        "energy": {pm.STATES[i]: meter(cell, book.energy[i]) for i in range(1, 18) if book.energy[i]},
        "energy_direct": meter(cell, book.energy_direct),
        "energy_idle": meter(cell, book.energy_idle),
        "good": cell.book.good,
        "scrapped": cell.book.scrapped,
    }


def catalogue(cell: "Controller") -> "dict[str, Any]":
    """What can be ordered, by the recipes in use."""
    spec = cell.spec
    return _catalogue({"name": spec["name"], "path": spec["path"], "recipes": cell.production.recipes})
