"""From the order book to items: which job, which item, whether its part is there, and when the job is complete."""

from . import alarms as al
from . import codec, orders
from . import events as ev
from .recipes import control_hash, resolve
from .sequencer import GONE_WRONG, ITEM_DONE
from .shelf import find, heads
from .signals import GOOD
from .ticks import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .as_built import Item, Step
    from .context import Context
    from .sequencer import Sequencer
    from .shelf import Shelf

BUSY = 0
SUSPEND = 1  # something from outside is missing
JOB_COMPLETE = 2
WRONG = 3  # a phase raised

PATIENCE_MS = 300  # how long a part may take to show up before the cell says that it waits


class Production:
    """Makes the items of the running job, one after the other, inside Execute."""

    def __init__(self, spec: "dict[str, Any]", context: "Context", sequencer: "Sequencer") -> None:
        self.context = context
        self.sequencer = sequencer
        self.rest_wanted = (
            False  # a journal on flash wants to erase before the next item; its runtime says so
        )
        self.recipes: "list[dict[str, Any]] | Shelf" = spec["recipes"].copy()
        self._offered: "list[dict[str, Any]]" = []
        self._part: int = spec["part_present"]
        self._identity: int = spec["identity"]
        self.version = 0  # counts the changes of what can be ordered
        self._missing_since = -1
        self._after = 0  # the end of the last item: the next one waits until it is durable

    def recipe(self, product: str) -> "dict[str, Any] | None":
        """The newest version of a product's recipe, also one that waits for the item in work to end."""
        for recipe in self._offered:
            if recipe["product"] == product:
                return recipe
        place = find(self.recipes, product)
        return self.recipes[place] if place >= 0 else None

    def versions(self) -> "list[list[Any]]":
        """[product, version in use] of each recipe."""
        return heads(self.recipes)

    def _newest(self, product: str) -> int:
        """The version that `recipe` would give, 0 if there is none."""
        for recipe in self._offered:
            if recipe["product"] == product:
                return int(recipe["version"])
        place = find(self.recipes, product)
        return int(self.versions()[place][1]) if place >= 0 else 0

    def adopt(self, recipe: "dict[str, Any]") -> "dict[str, Any] | None":
        """The recipe under the version it has here, or None if it is the one in use.

        A content that the cell has not seen under this version gets the next one, so that a version means one content,
        also across restarts.
        """
        content = dict(recipe)
        content["version"] = 0
        digest = control_hash(content)
        known = self.context.book.recipe_versions.get(recipe["product"])
        if known is not None:
            if known[1] == digest:
                content["version"] = max(recipe["version"], known[0])
            else:
                content["version"] = recipe["version"] if recipe["version"] > known[0] else known[0] + 1
        else:
            content["version"] = recipe["version"]
        using = self.recipe(recipe["product"])
        return None if using == content else content

    def boot(self) -> None:
        """Give the recipes of the cell directory the versions that the journal knows them by."""
        for i in range(len(self.recipes)):
            adopted = self.adopt(self.recipes[i])
            if adopted is not None:
                self.recipes[i] = adopted
            self._note(i)
        self.version += 1

    def _note(self, place: int) -> None:
        recipe = self.recipes[place]
        content = dict(recipe)
        content["version"] = 0
        known = self.context.book.recipe_versions.get(recipe["product"])
        digest = control_hash(content)
        if known is None or known[0] != recipe["version"] or known[1] != digest:
            carried = codec.pack([recipe["product"], digest])
            self.context.emit(ev.RECIPE, place, recipe["version"], 1, carried)

    def offer(self, recipe: "dict[str, Any]") -> None:
        """A changed recipe: taken over at once between two items, else when the item in work has ended."""
        self._offered = [entry for entry in self._offered if entry["product"] != recipe["product"]]
        self._offered.append(recipe)
        if self.context.book.item is None:
            self.take_over()

    def take_over(self) -> None:
        """Between two items: what was offered is what is made from now on."""
        for recipe in self._offered:
            place = find(self.recipes, recipe["product"])
            if place < 0:
                place = len(self.recipes)
                self.recipes.append(recipe)
            else:
                self.recipes[place] = recipe
            self._note(place)
            self.version += 1
        self._offered = []

    def poll(self, now: int, durable: int) -> int:
        """One scan in Execute: BUSY, SUSPEND, JOB_COMPLETE or WRONG."""
        sequencer = self.sequencer
        if sequencer.item is not None:
            answer = sequencer.poll(now, durable)
            if answer == ITEM_DONE:
                self.end_item(ev.SCRAP if sequencer.item.scrapped else ev.GOOD)
            return WRONG if answer == GONE_WRONG else BUSY
        if self._after > durable:
            return BUSY
        book = self.context.book
        job = book.running()
        if job is None:
            return JOB_COMPLETE  # it was ended while the cell was suspended or starting
        if book.item is not None:
            sequencer.begin(book.item)
            return BUSY
        if job.good >= job.count:
            self.context.emit(ev.ORDER_STATE, orders.COMPLETED, job.number, 0)
            return JOB_COMPLETE
        if job.paused == orders.ENDS:  # stop was asked for: the job ends here
            self.context.emit(ev.ORDER_STATE, orders.CLOSED, job.number, 0)
            return JOB_COMPLETE
        reason = self.obstacle()
        if not reason:
            self._forget_obstacles()
            self._begin_item(job, now)
            return BUSY
        if self._missing_since < 0:
            self._missing_since = now
        if diff(now, self._missing_since) < PATIENCE_MS and reason not in (al.ORDER_PAUSED, al.JOURNAL_RESTS):
            return BUSY
        self._say_obstacle(reason)
        return SUSPEND

    def obstacle(self) -> int:
        """What outside the cell keeps the next item from being begun, as an alarm id; 0 if nothing does."""
        job = self.context.book.current()
        if job is None or self.context.book.item is not None:
            return 0
        if job.paused == orders.PAUSES:
            return al.ORDER_PAUSED
        if self.rest_wanted:
            return al.JOURNAL_RESTS
        inputs = self.context.inputs
        if self.context.book.part_left:
            return al.PART_LEFT
        if self._part >= 0 and (not inputs.value[self._part] or inputs.quality[self._part] != GOOD):
            return al.STARVED
        if self._identity >= 0:
            read = inputs.value[self._identity]
            if inputs.quality[self._identity] != GOOD or not read:
                return al.NO_CARRIER
            if job.carriers and (read not in job.carriers or read in job.made_on):
                return al.WRONG_CARRIER
        return 0

    def _say_obstacle(self, reason: int) -> None:
        value = self.context.inputs.value[self._identity] if reason == al.WRONG_CARRIER else 0
        self.context.alarms.raise_(reason, al.NONE, value, self.context.now, True)

    def _stand_empty(self) -> bool:
        """Whether the sensor says that no part is there; one that is not good says nothing."""
        inputs = self.context.inputs
        return not inputs.value[self._part] and inputs.quality[self._part] == GOOD

    def look_at_stand(self) -> None:
        """The last item's part was left: it is gone when the sensor says so or another carrier came, in any state."""
        inputs = self.context.inputs
        gone = self._stand_empty()
        if self._identity >= 0 and inputs.quality[self._identity] == GOOD:
            read = inputs.value[self._identity]
            gone = gone or read not in (0, self.context.book.left_carrier)
        if gone:
            self.context.emit(ev.STAND_CLEAR, 0, 0, 0)

    def clear_obstacle(self) -> bool:
        """While suspended: True once nothing is missing any more. What is missing now is what is said."""
        reason = self.obstacle()
        if reason and self.context.alarms.find(reason) is not None:
            return False
        self._forget_obstacles()
        if reason:
            self._say_obstacle(reason)
        return not reason

    def _forget_obstacles(self) -> None:
        self._missing_since = -1
        if self.context.alarms.entries:
            for alarm in (
                al.STARVED,
                al.PART_LEFT,
                al.NO_CARRIER,
                al.WRONG_CARRIER,
                al.ORDER_PAUSED,
                al.JOURNAL_RESTS,
            ):
                self.context.alarms.gone(alarm)

    def _begin_item(self, job: orders.Job, now: int) -> None:
        control = job.control
        recipe = None
        if self._newest(job.product) != control["version"]:
            recipe = self.recipe(job.product)
        if recipe is not None:
            options = [
                [pair[0], tuple(pair[1]) if isinstance(pair[1], list) else pair[1]] for pair in job.options
            ]
            newer, _ = resolve(recipe, options)
            if newer is not None:  # what the new version no longer offers is made as it was accepted
                control = newer
        carrier = self.context.inputs.value[self._identity] if self._identity >= 0 else 0
        started = {
            "control": control,
            "hash": control_hash(control),
            "carrier": carrier,
            "version": control["version"],
            "energy": self.context.energy(),
        }
        book = self.context.book
        self.context.emit(ev.ITEM_START, 0, book.last_serial + 1, job.number, codec.pack(started))
        if book.item is not None:
            self.sequencer.begin(book.item)

    def end_item(self, result: int) -> None:
        """The item in work is finished, good or scrap: its record is written and the next one may come."""
        context = self.context
        item = context.book.item
        if item is None:
            return
        job = context.book.job(item.job)
        item.meter(context.energy())
        record: "dict[str, Any]" = {}
        if job is not None:
            record = item.record(context.now, job.order_id, job.product, job.issuer, result)
        # The next item must not be made on this part; said before the item ends, so that no cut comes between. Where
        # carriers have no number, a sensor that stays on may be a magazine's: only scrap is sure to be still there.
        if self._part >= 0 and not self._stand_empty() and (result == ev.SCRAP or self._identity >= 0):
            context.emit(ev.STAND_CLEAR, 1, item.carrier, 0)
        self._after = context.emit(ev.ITEM_END, result, item.serial, item.job, codec.pack(record))
        self.sequencer.item = None
        self.take_over()

    def interrupt_at_boot(self, restored: bool) -> None:
        """The controller was off. `restored`: its journal is a backup, and what it made after that is not known."""
        context = self.context
        asks = context.book.unknown() is not None
        if restored or asks:
            context.alarms.raise_(al.FROM_BACKUP, al.NONE, context.book.backup_minute, context.now, asks)
        self.interrupt(restored)

    def interrupt(self, unknown: bool = False) -> None:
        """The cell stops: the item in work is interrupted, its steps kept, and the policy of each of them asked.

        `unknown`: it is the item of a backup. How far it came since is not known, so a person is asked, always.
        """
        item = self.context.book.item
        self._forget_obstacles()
        if item is None or item.question or (item.interrupted and not unknown):
            return
        running = item.running_steps()
        policies = [_policy(item, step) for step in running]
        scrap = "scrap" in policies and not unknown
        ask = unknown or ("ask" in policies and not scrap)
        here = 0  # between two steps nothing is unknown, yet what is to be done again is
        for step in item.steps:
            if not step.done:
                here = step.number
                break
        if running:
            here = running[policies.index("ask") if "ask" in policies and not scrap else 0].number
        self.context.emit(ev.INTERRUPTED, here, item.serial, 1 if ask else 0)
        by_recipe = codec.pack(["", "recipe"])
        if scrap:
            self.context.emit(ev.ANSWER, ev.SCRAP_IT, item.serial, 0, by_recipe)
            return
        for k in range(len(running)):
            if policies[k] != "ask" and not unknown:
                answer = ev.REPEAT if policies[k] == "repeat" else ev.RESUME
                self.context.emit(ev.ANSWER, answer, item.serial, running[k].number + 1, by_recipe)


def _policy(item: "Item", step: "Step") -> str:
    """What the recipe says of a step that was interrupted; resuming needs a mark to resume from."""
    policy = str(item.control["steps"][step.number]["on_interrupt"])
    return "ask" if policy == "resume" and not step.mark else policy
