"""A power cut at every boundary of the journal: nothing lost, nothing made twice, and what nobody can know is asked."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from cell_controller.core import events as ev
from hil.bench import Bench
from tests.core.stop_points import compiled, driven, replaced

ORDER: dict[str, Any] = {
    "order_id": "ord-1",
    "product": "bonnet",
    "options": {"colour": "green", "pinstripe": "Al"},
}
LATE = 400  # scans for which nothing that was written becomes durable before the cut
ANSWERS = ("resume", "repeat", "scrap", "done")


class PowerCutError(Exception):
    """The power is gone in this scan."""


def _submit(bench: Bench, count: int) -> None:
    if bench.state == "Aborted":
        bench.make_ready()
    assert bench.ask("order.submit", **ORDER, count=count)["ok"]


@cache
def _length(count: int) -> int:
    bench = Bench(compiled())
    _submit(bench, count)
    bench.run()
    return len(bench.journal)


def _cut(bench: Bench, due: Callable[[], bool], keep: int, late: int, count: int) -> None:
    """Run the order until `due`; from then on only `keep` records last, and `late` scans later the power goes."""
    left = [-1]

    def watch(cell: Bench) -> None:
        if left[0] < 0 and due():
            left[0] = late
            if keep:
                cell.pending = cell.journal[keep:] + cell.pending
                cell.journal = cell.journal[:keep]
            cell.hold_back = True
            cell.flush = lambda: None  # type: ignore[method-assign]  # the disk has stopped taking anything
        elif left[0] > 0:
            left[0] -= 1
        if left[0] == 0:
            raise PowerCutError

    bench.observers.append(watch)
    try:
        _submit(bench, count)
        bench.run_until(lambda: False, "the cut", 1000)
    except PowerCutError:
        pass
    bench.observers.clear()
    del bench.flush
    bench.hold_back = False


def _records(bench: Bench, kind: int) -> list[tuple[int, ...]]:
    rows = [ev.fields(data) for data in bench.journal]
    return [row for row in rows if row[2] == kind]


def _recover(bench: Bench, answer: str, count: int) -> str:
    """What a person and an order desk do afterwards; every promise of the recovery is looked at on the way."""
    promised = [reply for reply in bench.replies if reply["data"].get("order_id")]
    bench.restart()
    stands = driven(bench)
    assert stands == replaced(bench, "on_abort", stands)
    assert not promised or bench.controller.book.find("ord-1") is not None
    bench.scan(50)
    assert (bench.state, driven(bench)) == ("Aborted", stands)
    asked = bench.question
    before = (bench.counts, bench.job_state("ord-1"), asked)
    bench.restart()
    bench.scan(50)
    assert (bench.counts, bench.job_state("ord-1"), bench.question) == before
    if asked:
        bench.command("clear")
        bench.run_to("Stopped")
        assert bench.command("reset")["name"] == "question_open"
        assert bench.answer(answer)["ok"]
        bench.restart()  # an answer that was given is kept
        assert bench.question == ""
    bench.make_ready()
    _submit(bench, count)
    bench.run_until(lambda: _made(bench), "the order made", 1000)
    return asked


def _made(bench: Bench) -> bool:
    """Whether the order is made; who said that a part had left that had not takes it off when the cell says so."""
    if bench.state == "Suspended" and bench.reason == "the last item's part is still on the stand":
        bench.take_part()
    return not bench.controller.book.open_jobs()


def _expect_coats(bench: Bench, asked: str, answer: str) -> None:
    """Nothing is sprayed that nobody knows of: at most the coat that was asked about is there once more."""
    told: Any = bench.board.plant.state()
    first = [*bench.made, told["part"]][
        0
    ]  # it may not have left: a person may say that what was not done is done
    coats = int(first["coats"].get("green", 0))
    if "spray" not in asked:
        assert coats == 2
    elif answer == "resume":
        assert 2 <= coats <= 3


def _expect_exact(bench: Bench, count: int, scrapped: int) -> None:
    assert bench.counts == (count, scrapped)
    ends = _records(bench, ev.ITEM_END)
    assert [row[3] for row in ends].count(ev.GOOD) == count
    assert [row[4] for row in ends] == list(range(1, len(ends) + 1))
    assert len(_records(bench, ev.ORDER_STORED)) == 1
    assert bench.job_state("ord-1") == "Ended/Completed"
    assert bench.damage == []


def _try(due: Callable[[Bench], bool], keep: int, late: int, count: int) -> int:
    """Cut, and recover with every answer there is; how many ways there were."""
    tried = 0
    for answer in ANSWERS:
        bench = Bench(compiled())
        _cut(bench, lambda cell=bench: due(cell), keep, late, count)  # type: ignore[misc]  # bound per turn
        scrapped = bench.counts[1]
        question = _recover(bench, answer, count)
        if answer != "scrap":
            _expect_coats(bench, question, answer)
        asked = any(row[3] in (1, 2, 3, 4) and row[5] == 0 for row in _records(bench, ev.ANSWER))
        _expect_exact(bench, count, scrapped + (1 if asked and answer == "scrap" else 0))
        tried += 1
        if not asked:
            break
    return tried


@pytest.mark.parametrize("late", [0, LATE], ids=["at once", "while the disk lags"])
def test_a_cut_at_every_record_of_an_order_loses_nothing_and_makes_nothing_twice(late: int) -> None:
    tried = 0
    for keep in range(1, _length(1) + 1):
        tried += _try(lambda bench, keep=keep: len(bench.journal) >= keep, keep, late, 1)  # type: ignore[misc]
    assert tried > _length(1) + 15  # some cuts are asked about, and each answer is tried


@pytest.mark.soak
def test_a_cut_at_every_scan_of_an_order_of_two() -> None:
    bench = Bench(compiled())
    _submit(bench, 2)
    bench.run()
    scans = bench.board.tick() // bench.spec["scan_ms"]
    for scan in range(1, scans, 7):
        _try(lambda bench, scan=scan: bench.board.tick() >= 10 * scan, 0, 0, 2)  # type: ignore[misc]


@pytest.mark.soak
@pytest.mark.parametrize("late", [0, LATE])
def test_a_cut_at_every_record_of_an_order_of_three(late: int) -> None:
    for keep in range(1, _length(3) + 1):
        _try(lambda bench, keep=keep: len(bench.journal) >= keep, keep, late, 3)  # type: ignore[misc]
