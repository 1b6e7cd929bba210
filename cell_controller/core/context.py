"""What the parts of the core share in a scan: time, inputs, alarms, and the one way to say what happened."""

from . import events as ev
from .signals import GOOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .alarms import Alarms
    from .orders import Book
    from .signals import Inputs


class Context:
    """`emit` makes an event, numbers it, folds it into the order book and puts it up for the journal."""

    def __init__(self, inputs: "Inputs", alarms: "Alarms", book: "Book", energy: int, last_seq: int) -> None:
        self.inputs = inputs
        self.alarms = alarms
        self.book = book
        self.now = 0
        self.last_seq = last_seq
        self.records: "list[bytes]" = []  # not yet given to the journal
        self._energy = energy
        self._reading = -1

    def emit(
        self, kind: int, source: int, a: int, b: int, carried: bytes = b"", value: "object | None" = None
    ) -> int:
        """Say what happened; the sequence number of the event comes back, to wait for its durability.

        `value`: what `carried` unpacks to, where it is at hand and long.
        """
        self.last_seq += 1
        self.records.append(ev.record(self.last_seq, self.now, kind, source, a, b, carried))
        self.book.apply(self.now, kind, source, a, b, carried, value)
        return self.last_seq

    def energy(self) -> int:
        """The meter's last good reading in steps of its resolution; -1 before the first, 0 without a meter."""
        i = self._energy
        if i < 0:
            return 0
        if self.inputs.quality[i] == GOOD:
            self._reading = self.inputs.value[i]
        return self._reading
