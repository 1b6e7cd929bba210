"""What happened, as fixed binary records: the stream that is journalled, traced, replayed and compared.

A record is 20 bytes, little-endian: sequence (1, 2, 3 ...), tick, kind, source, and two values, followed by the
canonical bytes (`codec`) of what only some kinds carry: an order, a control recipe, an as-built record, a name.
"""

import struct

FORMAT = "<IIHHii"
SIZE = 20

# kind                  source          a               b               carried value
BOOT = 1  #             how it ended    last state      -
STATE = 2  #            new state       old state       energy reading
MODE = 3  #             new mode        old mode        -
COMMAND = 4  #          command         refusal code    -               [id, issuer, origin]
ORDER_STORED = 5  #     -               job number      -               the order
ORDER_STATE = 6  #      job state       job number      -
ORDER_CHANGED = 7  #    field           job number      new value
ITEM_START = 8  #       -               serial          job number      control recipe, hash, carrier
STEP_START = 9  #       step            serial          energy reading
MARK = 10  #            step            mark            of
ACTUAL = 11  #          step            value           per unit        name
STEP_END = 12  #        step            serial          energy reading
ITEM_END = 13  #        result          serial          job number      as-built record
INTERRUPTED = 14  #     step            serial          1 = ask
ANSWER = 15  #          answer          serial          step + 1, 0 all [id, issuer]
ALARM = 16  #           alarm id        1/2/3           value           raised, acknowledged, cleared
RECIPE = 17  #          recipe          version         1 = taken over
CONTROL = 18  #         -               -               -               who holds control
SHUTDOWN = 19  #        state           -               -
CONFIRMED = 20  #       step            value           per unit        [id, issuer]
RAISED = 21  #          step or state   1 = in a step   -               what a phase did wrong is in the log
HELD_ITEM = 22  #       step            serial          1 held, 0 goes on
STAND_CLEAR = 23  #     1 = not yet     carrier         -               the last item's part on the stand
RESTORED = 24  #        -               numbers left out minutes        from a backup taken then, since 1970

KIND_NAMES = (
    "",
    "boot",
    "state",
    "mode",
    "command",
    "order_stored",
    "order_state",
    "order_changed",
    "item_start",
    "step_start",
    "mark",
    "actual",
    "step_end",
    "item_end",
    "interrupted",
    "answer",
    "alarm",
    "recipe",
    "control",
    "shutdown",
    "confirmed",
    "raised",
    "held_item",
    "stand_clear",
    "restored",
)

# how the run before this one ended: source of BOOT
FIRST = 0
CLEAN = 1
UNCLEAN = 2

# alarm phases: a of ALARM
ALARM_RAISED = 1
ALARM_ACKNOWLEDGED = 2
ALARM_CLEARED = 3

# results of an item: source of ITEM_END
GOOD = 1
SCRAP = 2
RESULT_NAMES = ("", "good", "scrap")

# what a person said of an interrupted item: source of ANSWER
RESUME = 1
REPEAT = 2
SCRAP_IT = 3
DONE = 4
ANSWER_NAMES = ("", "resume", "repeat", "scrap", "done")


def record(seq: int, tick: int, kind: int, source: int, a: int, b: int, carried: bytes = b"") -> bytes:
    """The bytes of one event; `carried` is a value in canonical form or empty."""
    return struct.pack(FORMAT, seq, tick, kind, source, a, b) + carried


def fields(data: bytes) -> "tuple[int, int, int, int, int, int]":
    """(seq, tick, kind, source, a, b) of a record. Raises ValueError if it is shorter than 20 bytes."""
    if len(data) < SIZE:
        raise ValueError("an event record has 20 bytes")
    return struct.unpack(FORMAT, data[:SIZE])
