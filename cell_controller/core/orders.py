"""The order book: ISA-95 job orders and the item in work, as the fold of the event stream.

`apply` is the only way anything changes, live and when the journal is read back, so what a restart finds is what was
there.
"""

from . import codec
from . import events as ev
from .as_built import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# ISA-95 job states
NOT_ALLOWED = 1
ALLOWED = 2
RUNNING = 3
INTERRUPTED = 4
COMPLETED = 5  # Ended/Completed
CLOSED = 6  # Ended/Closed: ended before its count was made
ABORTED = 7
STATE_NAMES = (
    "",
    "NotAllowedToStart",
    "AllowedToStart",
    "Running",
    "Interrupted",
    "Ended/Completed",
    "Ended/Closed",
    "Aborted",
)

PRIORITY = 1  # source of ORDER_CHANGED
DUE = 2
CLEARED = 3
PAUSED = 4
MADE = 5

PAUSES = 1  # values of `paused`: no further item for now, or none at all
ENDS = 2
UNKNOWN = 3  # from a backup older than the end of its controller: a person looks at what was made since

MOST_OPEN = 200
REMEMBERED = 1000  # ended orders whose ids are still known; an older id would be taken as new
LEAN_OPEN = 8  # the same on a microcontroller: every open order has its control recipe in the heap
LEAN_REMEMBERED = 64
_NEVER = (1 << 30) - 1


class Job:
    """One job order: `order` as it was accepted, its state, and what was made of it."""

    def __init__(self, number: int, order: "dict[str, Any]") -> None:
        self.number = number
        self.order_id: str = order["order_id"]
        self.product: str = order["product"]
        self.count: int = order["count"]
        self.options: "list[list[Any]]" = order["options"]
        self.carriers: "list[int]" = order["carriers"]
        self.issuer: str = order["issuer"]
        self.priority: int = order["priority"]
        self.due: int = order["due"]
        self.control: "dict[str, Any]" = order["control"]
        self.hash: str = order["hash"]
        self.content: str = order["content"]
        self.estimate_ms: int = order["estimate_ms"]
        self.state: int = ALLOWED if order["allowed"] else NOT_ALLOWED
        self.good = 0
        self.scrapped = 0
        self.started = 0  # items begun
        self.made_on: "list[int]" = []  # carriers that have their good item
        self.paused = 0
        self.cleared = 0

    def is_open(self) -> bool:
        return self.state <= INTERRUPTED

    def shrink(self) -> None:
        """It has ended and the heap is small: its id, its content's hash and its counts are kept, nothing else."""
        self.control = {}
        self.options = []
        self.carriers = []
        self.made_on = []
        self.hash = ""

    def is_before(self, other: "Job") -> bool:
        """Whether it is made earlier, as `rank` says, without a tuple: an idle cell asks in every scan."""
        if self.priority != other.priority:
            return self.priority > other.priority
        mine = self.due if self.due else _NEVER
        its = other.due if other.due else _NEVER
        return mine < its or (mine == its and self.number < other.number)

    def rank(self) -> "tuple[int, int, int]":
        """Smaller is made earlier: priority 9 first, then the due date, then the order they came in."""
        return -self.priority, self.due if self.due else _NEVER, self.number

    def dump(self) -> "list[Any]":
        order = {
            "order_id": self.order_id,
            "product": self.product,
            "count": self.count,
            "options": self.options,
            "carriers": self.carriers,
            "issuer": self.issuer,
            "priority": self.priority,
            "due": self.due,
            "control": self.control if self.is_open() else {},
            "hash": self.hash,
            "content": self.content,
            "estimate_ms": self.estimate_ms,
            "allowed": 1,
        }
        return [
            self.number,
            order,
            self.state,
            self.good,
            self.scrapped,
            self.started,
            self.paused,
            self.cleared,
            self.made_on,
        ]


class Book:
    """Jobs in the order they came, the item in work, and the totals.

    `lean`: for a small heap. Fewer orders are open and remembered, and of one that has ended less is.
    """

    def __init__(self, lean: bool = False) -> None:
        self.lean = lean
        self.most_open = LEAN_OPEN if lean else MOST_OPEN
        self._remembered = LEAN_REMEMBERED if lean else REMEMBERED
        self.jobs: "list[Job]" = []
        self._open: "list[Job]" = []  # of these; ended jobs are remembered by the hundred
        self._by_id: "dict[str, Job]" = {}
        self._ahead: "dict[int, tuple[int, int]]" = {}  # what `ahead_ms` answers, empty after every event
        self.item: "Item | None" = None
        self.last_serial = 0
        self.last_job = 0
        self.good = 0
        self.scrapped = 0
        self.last_tick = 0
        self.last_state = 9
        self.last_product = ""
        self.part_left = False  # the last item ended and its part was still there
        self.left_carrier = 0
        self.clean = True
        self.booted = False
        self.control = ""
        self.backup_minute = 0  # of the backup that this history goes on from, minutes since 1970
        self.just_restored = False
        self.pace: "dict[str, int]" = {}  # product -> real duration in parts per thousand of the estimate
        self.recipe_versions: "dict[str, list[Any]]" = {}  # product -> [version, content hash]

    def job(self, number: int) -> "Job | None":
        for job in self._open:
            if job.number == number:
                return job
        for job in self.jobs:
            if job.number == number:
                return job
        return None

    def find(self, order_id: str) -> "Job | None":
        return self._by_id.get(order_id)

    def open_jobs(self) -> "list[Job]":
        """Open jobs in the order they will be made; the one whose item is in work comes first."""
        started = [job for job in self._open if job.state >= RUNNING]
        waiting = [job for job in self._open if job.state < RUNNING]
        waiting.sort(key=lambda job: job.rank())
        return started + waiting

    def next_job(self) -> "Job | None":
        """The job that the next Start makes, or None: the first of `open_jobs` that may start."""
        best = None
        for job in self._open:
            if job.state >= RUNNING:
                return job
            if job.state == ALLOWED and (best is None or job.is_before(best)):
                best = job
        return best

    def unknown(self) -> "Job | None":
        """The first order of a backup about which nobody has said yet how far it came."""
        if self.backup_minute:
            for job in self._open:
                if job.paused == UNKNOWN:
                    return job
        return None

    def asks(self) -> bool:
        """Whether a person is asked about the item in work or about an order of a backup."""
        return (self.item is not None and self.item.question) or self.unknown() is not None

    def running(self) -> "Job | None":
        for job in self._open:
            if job.state == RUNNING:
                return job
        return None

    def current(self) -> "Job | None":
        """The job between its Start and its end, running or interrupted."""
        for job in self._open:
            if job.state in (RUNNING, INTERRUPTED):
                return job
        return None

    def apply(
        self,
        tick: int,
        kind: int,
        source: int,
        a: int,
        b: int,
        carried: bytes,
        value: "object | None" = None,
    ) -> None:
        """Take one event in. Unknown kinds and events that only tell are passed over."""
        self.clean = False
        if self._ahead:
            self._ahead = {}
        if (kind >= ev.ITEM_START and kind <= ev.ITEM_END) or kind in (
            ev.INTERRUPTED,
            ev.ANSWER,
            ev.HELD_ITEM,
        ):
            self._apply_item(tick, kind, source, a, b, carried)
        elif kind == ev.ORDER_STORED:
            order: "Any" = codec.unpack(carried) if value is None else value
            self._add(Job(a, order))
            self.last_job = a
            self._forget_old()
        elif kind == ev.ORDER_STATE:
            job = self.job(a)
            if job is not None:
                was_open = job.is_open()
                job.state = source
                if job.is_open() != was_open:
                    self._open = [entry for entry in self.jobs if entry.is_open()]
                    if self.lean and not job.is_open():
                        job.shrink()
        elif kind == ev.ORDER_CHANGED:
            self._apply_change(source, a, b)
        elif kind == ev.BOOT:
            self.booted = True
            self.just_restored = False
            if self.item is not None:
                self.item.cut(self.last_tick, tick)
        elif kind == ev.STATE:
            self.last_state = source
            if self.item is not None:
                self.item.meter(b)
        elif kind == ev.STAND_CLEAR:
            self.part_left = source == 1
            self.left_carrier = a
        elif kind == ev.SHUTDOWN:
            self.clean = True
        elif kind == ev.RECIPE:
            told: "Any" = codec.unpack(carried)
            self.recipe_versions[told[0]] = [a, told[1]]
        elif kind == ev.CONTROL:
            self.control = carried.decode()
        elif kind == ev.RESTORED:
            self._apply_restored(a, b)
        self.last_tick = tick

    def _apply_restored(self, skipped: int, minute: int) -> None:
        """What happened after the backup is not known: no serial is given twice, no order goes on by itself."""
        self.last_serial += skipped
        self.backup_minute = minute
        self.just_restored = True
        for job in self._open:
            job.paused = UNKNOWN

    def _apply_change(self, field: int, number: int, value: int) -> None:
        job = self.job(number)
        if job is None:
            return
        if field == PRIORITY:
            job.priority = value
        elif field == DUE:
            job.due = value
        elif field == PAUSED:
            job.paused = value
        elif field == CLEARED:
            job.cleared = 1
        elif field == MADE:
            self.good += value - job.good
            job.good = value

    def _apply_item(self, tick: int, kind: int, source: int, a: int, b: int, carried: bytes) -> None:
        if kind == ev.ITEM_START:
            self.item = Item(a, b, tick, codec.unpack(carried))
            self.last_serial = a
            job = self.job(b)
            if job is not None:
                job.started += 1
                self.last_product = job.product
            return
        item = self.item
        if item is None:
            return
        if kind == ev.ITEM_END:
            self._end_item(tick, source, b)
        else:
            item.apply(tick, kind, source, a, b, carried)

    def _end_item(self, tick: int, result: int, number: int) -> None:
        item = self.item
        job = self.job(number)
        if job is not None and item is not None:
            if result == ev.GOOD:
                job.good += 1
                if job.carriers and item is not None:
                    job.made_on.append(item.carrier)
                self.good += 1
                if item.carrier in job.carriers:
                    job.carriers.remove(item.carrier)  # the others are still to come, in any order
                if job.estimate_ms and not item.interruptions and not item.held_ms:
                    real = item.elapsed(tick) * 1000 // job.estimate_ms
                    known = self.pace.get(job.product, 0)
                    self.pace[job.product] = (known * 3 + real) // 4 if known else real
            else:
                job.scrapped += 1
                self.scrapped += 1
        self.item = None

    def _add(self, job: Job) -> None:
        self.jobs.append(job)
        self._by_id[job.order_id] = job
        if job.is_open():
            self._open.append(job)

    def _forget_old(self) -> None:
        if len(self.jobs) - len(self._open) <= self._remembered:
            return
        ended = [job for job in self.jobs if not job.is_open()]
        while len(ended) > self._remembered:
            old = ended.pop(0)
            self.jobs.remove(old)
            del self._by_id[old.order_id]

    def ahead_ms(self, number: int) -> "tuple[int, int]":
        """(milliseconds until job `number` starts, until it is finished), by what items of its kind took so far."""
        if not self._ahead:
            total = 0
            for job in self.open_jobs():
                left = (job.count - job.good) * self.item_ms(job)
                self._ahead[job.number] = (total, total + left)
                total += left
        return self._ahead.get(number, (0, 0))

    def item_ms(self, job: Job) -> int:
        """What one item of the job is expected to take, in milliseconds."""
        return job.estimate_ms * self.pace.get(job.product, 1000) // 1000

    def dump(self) -> bytes:
        """The book as bytes, for a snapshot; only between two items."""
        pace: "list[list[Any]]" = [[key, self.pace[key]] for key in sorted(self.pace)]
        return codec.pack(
            [
                [job.dump() for job in self.jobs],
                self.last_serial,
                self.last_job,
                self.good,
                self.scrapped,
                self.last_state,
                self.last_product,
                self.control,
                pace,
                [[key, self.recipe_versions[key]] for key in sorted(self.recipe_versions)],
                1 if self.part_left else 0,
                self.left_carrier,
                self.backup_minute,
            ]
        )

    def load(self, data: bytes) -> None:
        """Take a dump over. Raises CodecError when it is damaged."""
        parts = codec.unpack(data)
        if not isinstance(parts, list) or len(parts) not in (12, 13):
            raise codec.CodecError("not a dump of an order book")
        for entry in parts[0]:
            job = Job(entry[0], entry[1])
            job.state, job.good, job.scrapped, job.started, job.paused, job.cleared, job.made_on = entry[2:]
            self._add(job)
        self.last_serial, self.last_job, self.good, self.scrapped = parts[1:5]
        self.last_state, self.last_product, self.control = parts[5:8]
        for entry in parts[8]:
            self.pace[entry[0]] = entry[1]
        for entry in parts[9]:
            self.recipe_versions[entry[0]] = entry[1]
        self.part_left = parts[10] == 1
        self.left_carrier = parts[11]
        if len(parts) == 13:
            self.backup_minute = parts[12]
        self.booted = True
        self.clean = False
