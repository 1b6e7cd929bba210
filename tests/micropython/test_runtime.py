"""The loop of a microcontroller's cell, here on CPython with the simulated board in virtual time."""

from typing import Any

import pytest

from board.sim import SimBoard
from cell_controller.core import events as ev
from cell_controller.core import packml as pm
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.recover import recover
from cell_controller.cpython.memory_journal import MemoryJournal
from cell_controller.micropython.flash_journal import FlashJournal
from cell_controller.micropython.runtime import HEALTHY_SCANS, Runtime
from hil.nor_flash import NorFlash
from host_tools.cellfile import compile_cell
from tests.service.process import ROOT

CELL = ROOT / "examples" / "paint_cell"
Record = dict[str, Any]


class Clock:
    """Microseconds that go on by `step_us` with every look."""

    def __init__(self) -> None:
        self.now = 0
        self.step_us = 10

    def us(self) -> int:
        self.now += self.step_us
        return self.now

    def us_since(self, begun: int) -> int:
        return self.us() - begun

    def wall_ms(self) -> int:
        return 1_700_000_000_000


class SliceJournal(MemoryJournal):
    """A journal that writes in slices, as that on flash does; `erases` are the slices in which it might erase."""

    def __init__(self) -> None:
        super().__init__()
        self.slices = 0
        self.erases = 0
        self.refuse = False
        self.snapshot_wanted = False
        self.rest_wanted = False
        self.closed = False

    def close(self, timeout_s: float = 5.0) -> bool:
        self.closed = True
        return True

    def append(self, record: bytes) -> int:
        if self.refuse:
            raise OSError("full")
        return super().append(record)

    def work(self, now_ms: int, may_erase: bool) -> bool:
        self.slices += 1
        self.erases += may_erase
        return False


class Board(SimBoard):
    """The simulated board with a watchdog that counts its food. `late_ms`: what the next sleep lasts too long."""

    def __init__(self) -> None:
        super().__init__()
        self.fed = 0
        self.late_ms = 0

    def feed_watchdog(self) -> None:
        self.fed += 1

    def sleep_until(self, tick: int) -> None:
        super().sleep_until(tick + self.late_ms)
        self.late_ms = 0


class Plant:
    """Stands in for the link: what it was offered, by name."""

    def __init__(self) -> None:
        self.offered: dict[str, list[Any]] = {}
        self.replies: list[Record] = []
        self.may_block: list[bool] = []
        self.status = self
        self.connected, self.backlog, self.last_error = True, 0, ""

    def step(self, now_ms: int, wall_ms: int | None, may_block: bool) -> bool:
        self.may_block.append(may_block)
        return False

    def offer_reply(self, token: object, reply: Record) -> None:
        self.replies.append(reply)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("offer_"):
            raise AttributeError(name)
        return self.offered.setdefault(name.removeprefix("offer_"), []).append


class Cell:
    """The example cell on that loop."""

    def __init__(self, journal: Any = None) -> None:
        compiled = compile_cell(CELL)
        equipment = compiled.load_equipment()
        self.board = Board()
        self.board.open(compiled.spec, compiled.wiring)
        self.journal = SliceJournal() if journal is None else journal
        self.clock = Clock()
        self.told: list[str] = []
        controller = Controller(
            compiled.spec, equipment.phases, equipment.states, recover(self.journal, Book(lean=True))
        )
        self.runtime = Runtime(
            controller,
            self.board,
            self.journal,
            self.clock,
            lambda: self.told.append("healthy"),
            lambda: self.told.append("calm"),
        )
        self.runtime.boot()
        self.link = Plant()
        self.runtime.link = self.link
        self.asked = 0

    def scans(self, count: int) -> "Cell":
        """Exactly so many rounds of the loop."""
        runtime = self.runtime
        last = runtime.scans + count
        original = runtime.scan

        def scan(now: int) -> None:
            original(now)
            runtime.leaving = runtime.scans >= last

        runtime.leaving = False
        runtime.scan = scan  # type: ignore[method-assign]
        try:
            runtime.run()
        finally:
            runtime.scan = original  # type: ignore[method-assign]
        return self

    def ask(self, verb: str, **args: Any) -> Record:
        request = Request("local")
        self.asked += 1
        request.id = f"r{self.asked}"
        request.issuer = "test"
        request.verb = verb
        request.args = args
        assert self.runtime.take(request, "link")
        for _ in range(100):
            found = [reply for reply in self.link.replies if reply["id"] == request.id]
            if found:
                return found[0]
            self.scans(1)
        raise AssertionError(f"no reply to {verb} {args}")

    @property
    def state(self) -> int:
        return self.runtime.controller.machine.state

    def run_to(self, state: int, most: int = 2000) -> "Cell":
        for _ in range(most):
            if self.state == state:
                return self
            self.scans(1)
        raise AssertionError(f"not in {pm.STATES[state]} after {most} scans, but in {pm.STATES[self.state]}")

    def make_ready(self) -> "Cell":
        assert self.ask("command", command="clear")["ok"]
        self.run_to(pm.STOPPED)
        assert self.ask("command", command="reset")["ok"]
        return self.run_to(pm.IDLE)

    def order(self, count: int = 1) -> "Cell":
        reply = self.ask(
            "order.submit", order_id="a", product="bonnet", count=count, options={"colour": "primer"}
        )
        assert reply["ok"], reply
        return self


@pytest.fixture
def cell() -> Cell:
    return Cell()


def test_it_comes_up_aborted_and_says_that_it_is_well_once(cell: Cell) -> None:
    cell.scans(HEALTHY_SCANS - 1)
    assert (cell.state, cell.told) == (pm.ABORTED, [])
    cell.scans(500)
    assert cell.told == ["healthy"]
    cell.scans(6000)
    assert cell.told == ["healthy", "calm"]


def test_an_order_is_made_and_its_item_can_be_asked_for(cell: Cell) -> None:
    cell.make_ready().order().run_to(pm.EXECUTE)
    cell.run_to(pm.IDLE, 20_000)
    (item,) = cell.ask("query", what="items")["data"]["items"]
    assert (item["serial"], item["result"]) == (1, "good")
    kinds = [ev.fields(data)[2] for _, _, data in cell.journal.replay()]
    assert kinds.count(ev.ITEM_END) == 1


def test_the_watchdog_is_fed_by_a_completed_scan_and_by_nothing_else(cell: Cell) -> None:
    cell.scans(20)
    assert cell.board.fed == cell.runtime.scans == 20

    def broken(now: int, durable: int, writable: bool = True) -> None:
        raise ValueError("a phase that raises where nobody expects it")

    cell.runtime.controller.scan = broken  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="nobody expects"):
        cell.scans(1)
    assert cell.board.fed == 20


def test_a_late_scan_is_counted_and_what_is_lost_is_not_hurried_after(cell: Cell) -> None:
    cell.scans(5)
    cell.board.late_ms = 75
    before = cell.board.tick()
    cell.scans(3)
    assert (cell.runtime.overruns, cell.runtime.late_max_ms) == (1, 75)
    assert cell.board.tick() - before == 10 + 75 + 2 * 10
    assert cell.runtime.state_view()["scan"]["overruns"] == 1


def test_flash_is_erased_and_names_are_resolved_only_while_the_cell_stands(cell: Cell) -> None:
    cell.make_ready().order().run_to(pm.EXECUTE)
    cell.scans(50)
    cell.journal.erases = 0
    cell.link.may_block.clear()
    cell.scans(200)
    assert cell.state == pm.EXECUTE
    assert cell.journal.slices > 200
    assert (cell.journal.erases, any(cell.link.may_block)) == (0, False)
    assert cell.ask("command", command="stop")["ok"]
    cell.run_to(pm.STOPPED).scans(10)
    assert cell.journal.erases > 0


def test_a_journal_that_takes_nothing_holds_the_cell_and_loses_nothing(cell: Cell) -> None:
    cell.make_ready().order().run_to(pm.EXECUTE)
    cell.scans(20)
    cell.journal.refuse = True
    cell.run_to(pm.HELD, 5000)
    cell.journal.refuse = False
    cell.scans(20)
    seqs = [seq for seq, _, _ in cell.journal.replay()]
    assert seqs == list(range(1, cell.runtime.controller.context.last_seq + 1))


def test_a_change_is_shown_soon_and_the_same_is_not_sent_all_the_time(cell: Cell) -> None:
    cell.scans(300)
    states = cell.link.offered["state"]
    still = len(states)
    assert still <= 3
    cell.ask("command", command="clear")
    cell.scans(40)
    assert states[-1]["state"] == "Stopped"
    names = {entry[0] for signals in cell.link.offered["signals"] for entry in signals}
    spec = cell.runtime.controller.spec
    assert names == {entry["name"] for entry in [*spec["inputs"], *spec["outputs"]]}
    assert max(len(signals) for signals in cell.link.offered["signals"]) <= 4
    assert len(cell.link.offered["catalogue"]) == 1


def test_a_link_for_which_the_heap_is_too_small_is_given_up_and_the_cell_goes_on(cell: Cell) -> None:
    def step(now_ms: int, wall_ms: int | None, may_block: bool) -> bool:
        raise MemoryError

    cell.make_ready().order().run_to(pm.EXECUTE)
    cell.link.step = step  # type: ignore[method-assign]
    cell.scans(20)
    assert cell.runtime.link is None
    cell.run_to(pm.IDLE, 20_000)
    assert len(cell.runtime.items) == 1


def test_the_longest_slice_and_scan_are_published(cell: Cell) -> None:
    cell.clock.step_us = 700
    cell.scans(10)
    scan = cell.runtime.state_view()["scan"]
    assert scan["scan_max_us"] == 700
    assert scan["slice_max_us"] >= 700
    assert scan["reaction_max_ms"] == 10 + -(-(scan["slice_max_us"] + scan["scan_max_us"]) // 1000)


def test_a_snapshot_follows_between_two_items_and_never_while_one_is_in_work(cell: Cell) -> None:
    cell.make_ready().order().run_to(pm.EXECUTE)
    cell.journal.snapshot_wanted = True
    cell.scans(100)
    assert cell.journal.snapshot_seq == 0
    cell.run_to(pm.IDLE, 20_000).scans(5)
    assert cell.journal.snapshot_seq > 0


def test_a_cell_that_is_held_for_want_of_an_erased_sector_gets_one(cell: Cell) -> None:
    cell.make_ready().order().run_to(pm.EXECUTE)
    cell.scans(20)
    cell.journal.erases = 0
    cell.journal.state = 1
    cell.run_to(pm.HELD, 5000)
    cell.scans(5)
    assert cell.journal.erases > 0
    cell.journal.state = 0
    cell.scans(2)
    before = cell.journal.erases
    cell.scans(20)
    assert (cell.state, cell.journal.erases) == (pm.HELD, before)


def test_a_question_about_an_item_is_said_on_the_console_once(cell: Cell) -> None:
    said: list[Record] = []

    class Console:
        def step(self) -> bool:
            return False

        def say(self, value: Record) -> None:
            said.append(value)

    cell.runtime.console = Console()
    cell.make_ready().order().run_to(pm.EXECUTE)
    for _ in range(3000):
        if cell.runtime.controller.book.item is not None and cell.runtime.controller.sequencer.waits():
            step = cell.ask("query", what="state")["data"]["item"].get("step")
            if step == "spray":
                break
        cell.scans(1)
    assert cell.ask("command", command="abort")["ok"]
    cell.scans(200)
    assert [value["say"] for value in said if "interrupted in spray" in value["say"]] == [
        cell.runtime.controller.question_text()
    ]


def test_the_end_drives_the_abort_values_and_is_in_the_journal(cell: Cell) -> None:
    cell.make_ready()
    cell.runtime.shut_down()
    last = [ev.fields(data) for _, _, data in cell.journal.replay()][-1]
    assert last[2] == ev.SHUTDOWN
    assert cell.journal.closed
    names = [entry["name"] for entry in cell.runtime.controller.spec["outputs"]]
    assert cell.board.outputs[names.index("booth_fan")] == 1


class WatchedFlash(NorFlash):
    """A journal area that notes in which state of the cell it is erased, and whether an item was in work."""

    def __init__(self) -> None:
        super().__init__(32)
        self.cell: Cell | None = None
        self.erased_in: set[tuple[str, bool]] = set()

    def ioctl(self, op: int, arg: int = 0) -> Any:
        if op == 6 and self.cell is not None:
            item = self.cell.runtime.controller.book.item
            self.erased_in.add((pm.STATES[self.cell.state], item is not None))
        return super().ioctl(op, arg)


def test_an_order_that_is_longer_than_the_flash_is_made_with_rests_between_two_items_and_without_anybody() -> (
    None
):
    flash = WatchedFlash()
    journal = FlashJournal(flash, lambda: 0, lambda: "0123456789abcdef")
    cell = flash.cell = Cell(journal)
    cell.link.status.connected = False
    cell.make_ready().order(40)
    seen = set()
    controller = cell.runtime.controller
    for _ in range(400_000):
        if cell.state == pm.IDLE and controller.book.good == 40:
            break
        cell.scans(1)
        seen.add(pm.STATES[cell.state])
    assert controller.book.good == 40, (pm.STATES[cell.state], controller.book.good, journal.error)
    assert "Held" not in seen
    assert ("Suspended", False) in flash.erased_in
    assert flash.erased_in <= {("Suspended", False), ("Idle", False), ("Aborted", False), ("Stopped", False)}
