"""Power cuts on one order of three: cut, look, start again, answer, let it finish, count what the journal says."""

import random
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from cell_controller.core import events as ev
from cell_controller.core import orders
from cell_controller.cpython.journal_file import connect_reader, verify
from tests.service.process import GaveUpError, Service, edit

COUNT = 3
ORDER = "cut-1"
ANSWERS = ("resume", "repeat", "scrap", "done")
HELD_BY_NOBODY = ("light_", "horn", "heartbeat")  # what a lamp shows is no movement
Record = dict[str, Any]


def make_quick(cell_dir: Path) -> None:
    """Shorten the bonnet's times, so that one takes a few seconds of the plant's clock; its steps stay."""
    recipe = cell_dir / "recipes" / "bonnet.toml"
    edit(recipe, "burgundy = { coats = 3 }", "burgundy = { coats = 2, cure_degc = 45, cure_s = 1 }")
    edit(recipe, "default = 4500", "default = 1000")
    edit(cell_dir / "equipment.py", "FLASH_OFF_MS = 2000", "FLASH_OFF_MS = 500")


def facts(journal: Path) -> Iterator[tuple[int, int, int, int]]:
    """(kind, source, a, b) of every durable event, oldest first. The journal must be whole."""
    verify(journal)
    with closing(connect_reader(journal)) as connection:
        for (record,) in connection.execute("SELECT record FROM facts ORDER BY seq"):
            yield ev.fields(record)[2:]


def audit(journal: Path) -> None:
    """What must hold of the whole history, whatever was cut: each serial once, none lost, exactly the ordered count."""
    begun: list[int] = []
    ended: list[int] = []
    good = 0
    stored = 0
    completed = 0
    for kind, source, a, _ in facts(journal):
        if kind == ev.ITEM_START:
            assert begun == ended, f"item {a} was begun while {begun[-1]} is in work"
            begun.append(a)
        elif kind == ev.ITEM_END:
            ended.append(a)
            good += source == ev.GOOD
        elif kind == ev.ORDER_STORED:
            stored += 1
        elif kind == ev.ORDER_STATE and source == orders.COMPLETED:
            completed += 1
    assert begun == ended == list(range(1, len(begun) + 1)), f"begun {begun}, ended {ended}"
    assert (stored, completed, good) == (1, 1, COUNT), f"{stored} stored, {completed} completed, {good} good"


class Drill:
    """One cut and all that follows, in a folder of its own. `seed` chooses the answers and the second cuts."""

    def __init__(self, cell_dir: Path, seed: int, **settings: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cut-"))
        shutil.copytree(cell_dir, self.folder / "c")
        self.rng = random.Random(seed)
        self.service = Service(self.folder / "c", self.folder, **settings)
        self.questions = 0
        self._taking = False
        self.cuts = 0

    @property
    def journal(self) -> Path:
        return self.folder / "c" / ".run" / "journal"

    def submit(self) -> bool:
        """Order three; whether that was acknowledged before the process died."""
        try:
            reply = self.service.ask(
                "order.submit", order_id=ORDER, product="bonnet", count=COUNT, options={"colour": "burgundy"}
            )
        except GaveUpError:
            return False
        assert reply["ok"], reply["text"]
        return True

    def cut_at(self, point: str) -> bool:
        """Run the order with a cut at a durable call ("3", "3:after"); False if the order was made before it came."""
        self.service.start(wait=False, CELL_CUT_AT=point)
        return self._until_cut()

    def cut_after(self, seconds: float) -> bool:
        """Run the order and kill the process `seconds` after its start; False if the order was made before."""
        self.service.start(wait=False)
        killer = threading.Timer(seconds, self.service.running.signal, (signal.SIGKILL,))
        killer.start()
        try:
            return self._until_cut()
        finally:
            killer.cancel()

    def _until_cut(self) -> bool:
        acknowledged = False
        with suppress(GaveUpError):
            self.service.wait_up()
            acknowledged = self.submit()
            self.make_all()
            self.service.running.signal(signal.SIGTERM)
        code = self.service.running.wait_end()
        self.service.disconnect()
        came = code == -signal.SIGKILL
        assert came or code == 0, f"it ended by itself with {code}"
        if came:
            self.cuts += 1
            self.recover(acknowledged)
            self.make_all()
            code = self.service.terminate()
        assert code == 0
        audit(self.journal)
        return came

    def recover(self, acknowledged: bool) -> None:
        """Start again: the book is right, nothing moves, a second cut changes nothing, the question is answered."""
        service = self.service
        service.auto = False
        service.start()
        self.look(acknowledged)
        asked = service.question
        if asked and self.rng.random() < 0.5:
            service.kill().start()
            self.cuts += 1
            self.look(acknowledged)
            assert service.question == asked
        assert self.submit()
        if asked:
            self.questions += 1
            assert service.command("clear")["ok"]
            service.run_to("Stopped")
            refused = service.command("reset")
            assert refused["name"] == "question_open", refused
            assert asked in refused["text"]
            self.nothing_moves()
            answered = service.answer(self.rng.choice(ANSWERS))
            assert answered["ok"], answered["text"]
            assert service.command("reset")["ok"]
        else:
            service.make_ready()

    def look(self, acknowledged: bool) -> None:
        """Aborted, outputs safe; an order that was acknowledged is there, any other completely or not at all."""
        assert self.service.state == "Aborted"
        self.nothing_moves()
        found = self.service.query("orders")["orders"]
        assert len(found) == 1 or (not found and not acknowledged), f"orders {found}"
        for order in found:
            assert (order["order_id"], order["product"], order["count"]) == (ORDER, "bonnet", COUNT)
            assert order["options"] == {"colour": "burgundy"}

    def nothing_moves(self) -> None:
        """Every output but lamps and heartbeat has its safe value."""
        outputs = self.service.view["outputs"]
        moved = {
            name: value
            for name, value in outputs.items()
            if not name.startswith(HELD_BY_NOBODY) and value != (1 if name == "booth_fan" else 0)
        }
        assert not moved, f"moves without an answer: {moved}"

    def make_all(self) -> None:
        """Let the order be made to its end."""
        self.service.run_until(self._made, "the order completed", 60)
        self.service.run_to("Idle", 60)

    def _made(self) -> bool:
        self._take_part()
        found = self.service.query("order", order_id=ORDER)
        return bool(found["state"] == "Ended/Completed")

    def _take_part(self) -> None:
        """Who said that a part had left that had not takes it off when the cell says so: its sensor goes off."""
        still_there = self.service.reason == "the last item's part is still on the stand"
        if still_there != self._taking:
            self._taking = still_there
            self.service.fault("part.missing", still_there)

    def close(self) -> None:
        self.service.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def drill(cell_dir: Path, seed: int, what: str, **settings: Any) -> Iterator[Drill]:
    """A drill that is cleaned up; a failure says which cut it was."""
    made = Drill(cell_dir, seed, **settings)
    try:
        yield made
    except (AssertionError, OSError, ValueError) as error:
        raise AssertionError(f"cut {what}, seed {seed}: {error}\n{made.service.log}") from error
    finally:
        made.close()
