"""A controller between two scans as bytes, and back: where a segment of a trace, or a replay from the middle, begins.

Only a quiet controller has one: a generator cannot be stored, so no phase or routine may live, no item may be in work
and no request may wait. Everything else that a later scan can depend on is listed here by name. Replies are not part of
it: they go to those who asked, and nothing in the core waits for them.
"""

import struct

from . import codec
from . import packml as pm
from .alarms import Alarm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .controller import Controller

VERSION = 2
QUIET_STATES = pm.WAIT | 1 << pm.EXECUTE  # between two items nothing lives in Execute either

# part of the controller -> what of it changes after it was made; "" is the controller itself
STATE = (
    (
        "",
        (
            "mode",
            "control",
            "auto_start",
            "entered",
            "mode_entered",
            "suspended_by_person",
            "durable",
            "writable",
            "_restoring_since",
            "_changeover",
            "_faulted",
            "_long",
        ),
    ),
    ("context", ("now", "last_seq", "_reading")),
    ("book", ("last_tick", "clean", "booted")),
    ("machine", ("state", "abort", "stop", "pending")),
    ("alarms", ("first_out", "first_out_value", "demand")),
    ("input_image", ("words", "analog", "quality")),
    (
        "inputs",
        (
            "value",
            "quality",
            "bad_changed",
            "_words",
            "_raw",
            "_board_quality",
            "_limit_lo",
            "_limit_hi",
            "_lines",
        ),
    ),
    ("output_image", ("words", "analog")),
    (
        "outputs",
        (
            "want_words",
            "want_analog",
            "locked",
            "_locked_words",
            "_locked_analog",
            "saved_words",
            "saved_analog",
            "_open",
            "_blocked",
            "_blocked_analog",
            "own_value",
            "values_words",
            "values_analog",
        ),
    ),
    ("interlocks", ("active", "_since", "_bad_terms", "_tripped", "_ripe", "_changed", "due")),
    (
        "ledger",
        (
            "seconds",
            "rest_ms",
            "state_seconds",
            "state_rest_ms",
            "energy",
            "energy_direct",
            "energy_idle",
            "_since",
            "_meter",
            "_class",
            "_state",
            "direct",
        ),
    ),
    ("lamps", ("lights", "_phase", "_beat")),
    ("production", ("recipes", "_offered", "version", "_missing_since", "_after")),
    ("desk", ("last_order",)),
    ("sequencer", ("_current", "_held_at", "crash")),
    ("routine", ("state", "crash", "_since", "_stuck")),
)


class SnapshotError(ValueError):
    """The bytes are no snapshot of a controller of this cell; start from the journal instead."""


def is_quiet(controller: "Controller") -> bool:
    """Whether a snapshot holds all there is: nothing is in work, asked or unanswered."""
    if not QUIET_STATES >> controller.machine.state & 1:
        return False
    return controller.book.item is None and not controller.sequencer.running and not controller.requests


def take(controller: "Controller") -> bytes:
    """The state of a quiet controller. Raises SnapshotError if it is not quiet."""
    if not is_quiet(controller):
        raise SnapshotError("a controller at work has no snapshot; wait until its item is finished")
    told: "list[Any]" = [VERSION]
    for name, attributes in STATE:
        part = _part(controller, name)
        told.append([_plain(getattr(part, attribute)) for attribute in attributes])
    alarms = []
    for entry in controller.alarms.entries:
        alarms.append(
            [
                entry.id,
                entry.consequence,
                entry.value,
                entry.tick,
                1 if entry.active else 0,
                1 if entry.acknowledged else 0,
            ]
        )
    told.append(alarms)
    told.append([term[5] for term in controller.interlocks._terms])
    book = controller.book.dump()
    return struct.pack("<I", len(book)) + book + codec.pack(told)


def restore(controller: "Controller", data: bytes) -> None:
    """Make a controller that was just made, of the same cell, the one that `take` was told of.

    Raises SnapshotError or CodecError if the bytes do not fit; the controller is of no use then.
    """
    if len(data) < 4:
        raise SnapshotError("the snapshot ends too early")
    size = struct.unpack("<I", data[:4])[0]
    told: "Any" = codec.unpack(data[4 + size :])
    if not isinstance(told, list) or len(told) != len(STATE) + 3 or told[0] != VERSION:
        raise SnapshotError("the snapshot is of another version")
    controller.book.load(data[4 : 4 + size])
    controller.outputs.set_lock()  # makes what a lock keeps; whether it holds comes with the rest
    for i in range(len(STATE)):
        name, attributes = STATE[i]
        part = _part(controller, name)
        values = told[i + 1]
        if not isinstance(values, list) or len(values) != len(attributes):
            raise SnapshotError("the snapshot of %s is of another version" % (name or "the controller"))
        for k in range(len(attributes)):
            _put(part, attributes[k], values[k])
    controller.machine.use(controller._tables[controller.mode])
    alarms = controller.alarms
    for fields in told[len(STATE) + 1]:
        alarm = Alarm(fields[0], fields[1], fields[2], fields[3], fields[4] != 0)
        alarm.acknowledged = fields[5] != 0
        alarms.entries.append(alarm)
    terms = controller.interlocks._terms
    violated = told[len(STATE) + 2]
    if len(violated) != len(terms):
        raise SnapshotError("the snapshot is of a cell with other interlocks")
    for k in range(len(terms)):
        terms[k][5] = violated[k]


def _part(controller: "Controller", name: str) -> "Any":
    return getattr(controller, name) if name else controller


def _plain(value: "Any") -> "Any":
    return list(value) if isinstance(value, bytearray) else value


def _put(part: "Any", attribute: str, value: "Any") -> None:
    """Lists are filled in place: phases and boards hold on to some of them."""
    present = getattr(part, attribute)
    if present is True or present is False:
        setattr(part, attribute, value != 0)
    elif isinstance(present, bytearray):
        if len(present) != len(value):
            raise SnapshotError("the snapshot is of a cell with other signals")
        present[:] = bytes(value)
    elif isinstance(present, list):
        present[:] = value
    else:
        setattr(part, attribute, value)
