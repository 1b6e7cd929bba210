"""What goes on around the scan, in one process and in virtual time: pruning, a disk that fills, a clock that jumps."""

import json
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from board.sim import SimBoard
from cell_controller.core import jsonwrite
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.recover import recover
from cell_controller.cpython import runtime as runtime_module
from cell_controller.cpython.journal import SqliteJournal
from cell_controller.cpython.runtime import Runtime
from cell_controller.errors import JournalError
from host_tools.cellfile import compile_cell
from tests.service.process import ROOT

HOUR_NS = 3_600 * 1_000_000_000
MOST_SCANS = 60_000


class Answers:
    """Keeps the replies that leave."""

    def __init__(self) -> None:
        self.replies: list[dict[str, Any]] = []

    def offer_reply(self, token: object, reply: dict[str, Any]) -> None:
        self.replies.append(reply)


class Desk:
    """A runtime with its journal in `folder` and nobody around it."""

    def __init__(self, folder: Path) -> None:
        compiled = compile_cell(ROOT / "examples" / "paint_cell", "sim")
        equipment = compiled.load_equipment()
        self.board = SimBoard()
        self.board.open(compiled.spec, compiled.wiring)
        self.journal = SqliteJournal(folder / "journal", keep_rows=50)
        controller = Controller(
            compiled.spec,
            equipment.phases,
            equipment.states,
            recover(self.journal, Book()),
            self.journal.last_seq,
        )
        self.said: list[str] = []
        self._asked = 0
        self.requests: queue.Queue[Request] = queue.Queue()
        self.runtime = Runtime(controller, self.board, self.journal, self.requests, self.said.append)
        self.answers = Answers()
        self.runtime.answers["local"] = self.answers
        self.runtime.make_ready = True
        self.runtime.boot()

    def ask(self, verb: str, **args: Any) -> dict[str, Any]:
        """A request and its reply."""
        before = len(self.answers.replies)
        self.post(verb, **args)
        self.scan_until(lambda: len(self.answers.replies) > before, f"a reply to {verb}")
        return self.answers.replies[-1]

    def post(self, verb: str, **args: Any) -> None:
        """A request, without waiting for its reply."""
        self._asked += 1
        request = Request("local")
        request.id = f"r{self._asked}"
        request.issuer = "test"
        request.verb = verb
        request.args = args
        self.requests.put(request)

    def scan_until(self, done: Callable[[], bool], what: str) -> None:
        for _ in range(MOST_SCANS):
            if done():
                return
            self.board.sleep_until(self.board.tick() + 10)
            self.runtime.scan(self.board.tick())
            # virtual time must not run away from the disk, which is real
            self.journal.wait_durable(self.journal.last_seq, 5.0)
        raise AssertionError(f"no {what} within {MOST_SCANS} scans; said: {self.said}")

    def make(self, order_id: str, count: int = 1) -> dict[str, Any]:
        """Order primed bonnets and make them all; the reply."""
        args = {"product": "bonnet", "count": count, "options": {"colour": "primer"}}
        reply = self.ask("order.submit", order_id=order_id, **args)
        assert reply["ok"], reply["text"]
        self.scan_until(lambda: not self.runtime.controller.book.open_jobs(), "made order")
        return reply

    def close(self) -> bool:
        """Let go of the journal; whether all of it is durable."""
        return self.journal.close()


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Callable[[], Desk]]:
    """Opens desks on one journal, one after the other."""
    made: list[Desk] = []

    def start() -> Desk:
        made.append(Desk(tmp_path))
        return made[-1]

    yield start
    for desk in made:
        desk.close()


@pytest.fixture
def every_scan_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views and chores in every scan instead of a few times a real second."""
    monkeypatch.setattr(runtime_module, "VIEW_S", 0.0)


@pytest.mark.usefixtures("every_scan_shows")
def test_without_a_broker_the_journal_is_pruned_and_a_start_still_knows_everything(
    open_desk: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_module, "SNAPSHOT_EVERY", 100)
    desk = open_desk()
    for number in range(8):
        desk.make(f"o{number}")
    assert desk.journal.wait_idle(5.0)
    kept = [seq for seq, _, _ in desk.journal.replay()]
    last = desk.journal.last_seq
    assert desk.close()
    assert len(kept) < last - 50, f"{len(kept)} of {last} records are still there"
    again = open_desk()
    assert again.runtime.controller.book.good == 8
    assert again.runtime.controller.book.last_serial == 8
    assert again.make("o9")["ok"]


@pytest.mark.usefixtures("every_scan_shows")
def test_a_disk_that_gets_full_is_said_once_before_it_is(
    open_desk: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_module, "ROOM_S", 0.0)
    desk = open_desk()
    desk.make("o1")
    assert desk.runtime.state_view()["journal"]["little_room"] is False
    desk.journal.limit_bytes = 5_500_000
    desk.make("o2")
    desk.make("o3")
    told = [line for line in desk.said if "left for the journal" in line]
    assert told == ["warning: 5 MB are left for the journal; make room before the cell must hold"]
    assert desk.runtime.state_view()["journal"]["little_room"] is True


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS])
def test_a_wall_clock_that_jumps_an_hour_changes_nothing_that_is_made(
    jump_ns: int, open_desk: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time_ns
    offset = [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + offset[0])
    desk = open_desk()
    desk.make("before")
    offset[0] = jump_ns
    desk.make("after")
    first, second = (json.loads(jsonwrite.encode(item)) for item in desk.runtime.items)
    assert abs(first["duration_s"] - second["duration_s"]) < 5
    assert (first["serial"], second["serial"]) == (1, 2)
    assert desk.runtime.controller.alarms.entries == []


def test_records_that_the_journal_cannot_take_wait_and_so_does_the_answer_to_the_order(
    open_desk: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk()
    desk.make("o1")
    with monkeypatch.context() as full:

        def refuse(record: bytes) -> int:
            raise JournalError("65536 records wait to be written")

        full.setattr(desk.journal, "append", refuse)
        answered = len(desk.answers.replies)
        desk.post("order.submit", order_id="o2", product="bonnet", options={"colour": "primer"})
        scans = iter(range(50))
        desk.scan_until(lambda: next(scans, None) is None, "fifty scans")
        assert len(desk.answers.replies) == answered, "nothing is acknowledged that is not durable"
        refused = desk.ask("order.submit", order_id="o3", product="bonnet", options={"colour": "primer"})
        assert refused["name"] == "journal_unwritable"
    desk.scan_until(lambda: len(desk.answers.replies) == answered + 2, "the answer to the first order")
    assert desk.answers.replies[-1]["ok"]
    assert desk.journal.last_seq == desk.runtime.controller.context.last_seq
