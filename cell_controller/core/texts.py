"""What people read: the texts of alarms, questions and events. The event stream itself carries numbers only."""

from . import alarms as al
from . import codec
from . import events as ev
from . import packml as pm
from .orders import STATE_NAMES as JOB_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .as_built import Item, Step
    from .controller import Controller
    from .orders import Book

_TEXTS = {
    al.EMERGENCY_STOP: "emergency-stop chain is open",
    al.JOURNAL_STUCK: "the journal cannot be written: free space on its disk",
    al.STARVED: "waiting for a part on the stand",
    al.PART_LEFT: "the last item's part is still on the stand",
    al.NO_CARRIER: "the carrier's number cannot be read",
    al.ORDER_PAUSED: "the order is paused",
    al.JOURNAL_RESTS: "the journal makes room between two items",
    al.HELD_TOO_LONG: "held for longer than the recipe allows",
    al.CLOSED_BADLY: "a phase would not end when it was stopped; its outputs were discarded",
    al.JOURNAL_DAMAGED: "the journal was damaged; its good part was kept",
    al.ROUTINE_FAULT: "a condition was not met in time",
}


def date(minute: int) -> str:
    """Minutes since 1970 as people write a time: 2026-11-24 17:25 UTC."""
    days = minute // 1440 + 719468  # since 1 March of the year 0: the leap day is the last of a year
    era = days // 146097
    day = days - era * 146097
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += era * 400 + (1 if month > 9 else 0)
    month += 3 if month < 10 else -9
    return "%04d-%02d-%02d %02d:%02d UTC" % (year, month, day + 1, minute // 60 % 24, minute % 60)


def seconds(ms: int) -> str:
    """A duration as people write it: 2, 0.5, 1.25."""
    text = "%d" % (ms // 1000)
    rest = ms % 1000
    if rest:
        digits = "%03d" % rest
        while digits.endswith("0"):
            digits = digits[:-1]
        text += "." + digits
    return text


def alarm(spec: "dict[str, Any]", alarm_id: int, value: int) -> str:
    """The text of an alarm, with what it is about and the limit that was passed."""
    if alarm_id >= al.FAULT:
        text = str(spec["faults"][alarm_id - al.FAULT])
        return "%s within %s s" % (text, seconds(value)) if value else text
    if alarm_id >= al.SIGNAL:
        name = spec["inputs"][alarm_id - al.SIGNAL]["name"]
        return "%s has no good value" % name
    if alarm_id >= al.INTERLOCK:
        return str(spec["interlocks"][alarm_id - al.INTERLOCK]["message"])
    if alarm_id == al.UNCLEAN_START:
        return "the controller was not stopped cleanly (killed, or lost power) in %s" % pm.STATES[value]
    if alarm_id == al.WRONG_CARRIER:
        return "carrier %d is on the stand, the order wants another" % value
    if alarm_id == al.PHASE_RAISED:
        where = "step %d" % (value + 1) if value >= 0 else pm.STATES[-value]
        return "the equipment file failed in %s; see the log" % where
    if alarm_id == al.STATE_LIMIT:
        return "%s took longer than its limit" % pm.STATES[value]
    if alarm_id == al.FROM_BACKUP:
        return "from a backup of %s: look at what was made since" % date(value)
    if alarm_id == al.NEED_LOST:
        return "the running step needs %s" % spec["inputs"][value]["name"]
    return _TEXTS.get(alarm_id, "alarm %d" % alarm_id)


def remedy(spec: "dict[str, Any]", alarm_id: int) -> str:
    """What a person does about an alarm."""
    if alarm_id == al.EMERGENCY_STOP:
        return "release the emergency stop, then Clear, Reset and Start"
    if alarm_id in (al.STARVED, al.NO_CARRIER, al.WRONG_CARRIER):
        return "bring the right part; the cell goes on by itself"
    if alarm_id == al.PHASE_RAISED:
        return "mend equipment.py and start the controller again, then Clear"
    if alarm_id == al.UNCLEAN_START:
        return "look at the cell, then Clear and Reset"
    if alarm_id == al.PART_LEFT:
        return "take it off; the cell goes on by itself"
    if alarm_id == al.FROM_BACKUP:
        return "for each open order: cellctl order resume ORDER --made N (the good ones there are), or order abort"
    if alarm_id == al.ORDER_PAUSED:
        return "resume or stop the order"
    if alarm_id == al.JOURNAL_RESTS:
        return "nothing; the cell goes on by itself within seconds"
    if alarm_id >= al.SIGNAL and alarm_id < al.FAULT:
        return "check the sensor and its wiring, then Unhold or Clear"
    return "remove the cause, then Unhold (or Clear, Reset and Start)"


def counts(spec: "dict[str, Any]", phase: str) -> str:
    """The word for a phase's marks, as its equipment file says it; "part" where it says nothing."""
    for entry in spec["phases"]:
        if entry["name"] == phase and entry["counts"]:
            return str(entry["counts"])
    return "part"


def progress(spec: "dict[str, Any]", item: "Item") -> str:
    """Where an item is: "spray, coat 2 of 3"; steps that run at the same time with "and" between them."""
    running = item.running_steps()
    if not running:
        return "between two steps"
    return " and ".join([_step_progress(spec, item, step) for step in running])


def _step_progress(spec: "dict[str, Any]", item: "Item", step: "Step") -> str:
    entry = item.control["steps"][step.number]
    text = str(entry["name"])
    if step.of:
        word = counts(spec, entry["phase"])
        # the mark says how many are finished, so the next one is the one that was cut
        here = step.mark + 1 if step.mark < step.of else step.of
        text += ", %s %d of %d" % (word, here, step.of)
    return text


def question(spec: "dict[str, Any]", item: "Item | None") -> str:
    """What is asked about an interrupted item, with the answers there are."""
    if item is None:
        return ""
    return "item %04d interrupted in %s: resume | repeat | scrap | done?" % (
        item.serial,
        progress(spec, item),
    )


def open_question(spec: "dict[str, Any]", book: "Book") -> str:
    """What a person is asked: first about the item, then about the orders of a backup; "" if nothing."""
    if book.item is not None and book.item.question:
        return question(spec, book.item)
    job = book.unknown()
    if job is None:
        return ""
    return (
        "order %s had %d of %d good in the backup of %s; look what there is: order resume | order abort?"
        % (
            job.order_id,
            job.good,
            job.count,
            date(book.backup_minute),
        )
    )


def start_waits_for(cell: "Controller") -> str:
    """What keeps a new order from being started, for its submitter; "" when it starts by itself."""
    state = cell.machine.state
    item = cell.book.item
    if item is not None and item.question:
        return "starts when someone has answered for item %04d" % item.serial
    if cell.question():
        return "starts when someone has answered for the orders of the backup"
    if state in (pm.IDLE, pm.EXECUTE, pm.STARTING, pm.COMPLETING, pm.COMPLETE, pm.RESETTING):
        if cell.auto_start and cell.control == "auto":
            return ""
        return "" if state in (pm.EXECUTE, pm.STARTING) else "starts when someone gives Start"
    return "starts when the cell, now %s, runs again" % pm.STATES[state]


def event(spec: "dict[str, Any]", kind: int, source: int, a: int, b: int, carried: bytes) -> str:
    """One line for people about one event of the stream."""
    if kind == ev.STATE:
        return "%s -> %s" % (pm.STATES[a], pm.STATES[source])
    if kind == ev.ALARM:
        verb = ("", "", "acknowledged: ", "over: ")[a]
        return verb + alarm(spec, source, b)
    if kind == ev.ORDER_STORED:
        order: "Any" = codec.unpack(carried)
        return "order %s accepted: %d %s" % (order["order_id"], order["count"], order["product"])
    if kind == ev.ORDER_STATE:
        return "job %d is %s" % (a, JOB_STATES[source])
    if kind == ev.ITEM_START:
        return "item %04d begun" % a
    if kind == ev.ITEM_END:
        return "item %04d is %s" % (a, ev.RESULT_NAMES[source])
    if kind == ev.INTERRUPTED:
        return "item %04d interrupted in step %d" % (a, source + 1)
    if kind == ev.ANSWER:
        return "item %04d: %s" % (a, ev.ANSWER_NAMES[source])
    if kind == ev.STEP_START:
        return "item %04d step %d begun" % (a, source + 1)
    if kind == ev.STEP_END:
        return "item %04d step %d done" % (a, source + 1)
    if kind == ev.MARK:
        return "step %d: %d of %d" % (source + 1, a, b)
    if kind == ev.BOOT:
        return ("first start", "started after a clean stop", "started after an unclean stop")[source]
    if kind == ev.RECIPE:
        told: "Any" = codec.unpack(carried)
        return "recipe %s@%d in use" % (told[0], a)
    if kind == ev.COMMAND:
        who: "Any" = codec.unpack(carried)
        name = pm.COMMANDS[source].lower() if source < len(pm.COMMANDS) else "command %d" % source
        verdict = "accepted" if a == 0 else "refused, code %d" % a
        return "%s by %s: %s" % (name, who[1], verdict)
    if kind == ev.RESTORED:
        return "from a backup of %s; the next serial number is %d later" % (date(b), a)
    return ev.KIND_NAMES[kind] if kind < len(ev.KIND_NAMES) else "event %d" % kind
