"""A history that goes on from a backup: what was made since is not known, so nothing starts before a person looked."""

from pathlib import Path

import pytest

from cell_controller.core import events as ev
from cell_controller.core import texts
from cell_controller.core.orders import Book
from hil.bench import Bench, bench

ROOT = Path(__file__).resolve().parents[2]
CELL = ROOT / "examples" / "paint_cell"
MINUTE = 29_936_125  # 2026-12-01 23:25 UTC
SKIPPED = 1000


def restored(cell: Bench, keep: int) -> Bench:
    """The cell after its controller was replaced: the first `keep` events are what the backup had."""
    cell.journal = cell.journal[:keep]
    tick = ev.fields(cell.journal[-1])[1]
    cell.journal.append(ev.record(keep + 1, tick, ev.RESTORED, 0, SKIPPED, MINUTE))
    cell.records = []
    cell.log = []
    cell.restart()
    return cell


@pytest.fixture
def half_made() -> Bench:
    """Three bonnets ordered and one made; a backup was taken then, and a second one was made after it."""
    cell = bench(CELL).order("bonnet", 3, order_id="a", colour="burgundy")
    cell.run_until(lambda: len(cell.records) == 1, "the first item")
    keep = len(cell.journal)
    cell.run_until(lambda: len(cell.records) == 2, "the second item")
    return restored(cell, keep)


def test_nothing_starts_by_itself(half_made: Bench) -> None:
    cell = half_made
    assert cell.state == "Aborted"
    assert cell.reason == "from a backup of 2026-12-01 23:25 UTC: look at what was made since"
    assert cell.command("clear")["ok"]
    cell.run_to("Stopped")
    reply = cell.command("reset")
    assert reply["name"] == "question_open"
    assert reply["text"].startswith("order a had 1 of 3 good in the backup of 2026-12-01 23:25 UTC")
    cell.run_for(60)
    assert (cell.state, cell.records) == ("Stopped", [])


def test_a_person_says_how_many_there_are_and_only_the_rest_is_made(half_made: Bench) -> None:
    cell = half_made
    assert cell.order_verb("resume", "a", good=4)["name"] == "bad_count"
    assert cell.order_verb("resume", "a", good=0)["name"] == "bad_count"
    reply = cell.order_verb("resume", "a", good=2)
    assert (reply["ok"], reply["text"]) == (True, "a goes on, 2 of 3 are made")
    assert "backup" not in cell.reason
    cell.make_ready()
    cell.run()
    assert [record["serial"] for record in cell.records] == [2 + SKIPPED]
    assert cell.counts == (3, 0)


def test_without_a_number_an_order_stays_where_it_is(half_made: Bench) -> None:
    cell = half_made
    reply = cell.order_verb("resume", "a")
    assert (reply["name"], reply["text"]) == (
        "bad_count",
        "say how many good items of a there are, 1..3: cellctl order resume a --made N",
    )
    assert cell.question.startswith("order a had 1 of 3")


def test_the_question_is_asked_again_after_the_next_power_cut(half_made: Bench) -> None:
    cell = half_made
    for _ in range(2):
        cell.restart()
        assert cell.question.startswith("order a had 1 of 3")
        assert "backup" in " ".join(cell.view["alarms"])
    assert cell.order_verb("abort", "a")["ok"]
    cell.restart()
    assert cell.question == ""
    assert cell.controller.book.last_serial == 1 + SKIPPED


def test_each_order_waits_for_its_own_answer() -> None:
    cell = bench(CELL).order("bonnet", order_id="a", colour="burgundy")
    cell.order("bonnet", order_id="b", colour="green")
    restored(cell, len(cell.journal))
    if cell.question.startswith("item"):
        assert cell.answer("scrap")["ok"]
    assert cell.order_verb("resume", "a", good=0)["ok"]
    assert cell.question.startswith("order b")
    cell.command("clear")
    cell.run_to("Stopped")
    assert cell.command("reset")["name"] == "question_open"
    assert cell.order_verb("abort", "b")["ok"]
    assert cell.question == ""


@pytest.mark.parametrize("step", ["clamp", "spray", "cure"])
def test_the_item_that_was_in_work_is_always_asked_about(step: str) -> None:
    """Also where the recipe would repeat the step by itself: it may have been finished since."""
    cell = bench(CELL).order("bonnet", order_id="a", colour="burgundy")
    cell.run_to_step(step)
    restored(cell, len(cell.journal))
    assert cell.question.startswith("item 0001 interrupted in")
    assert cell.order_verb("resume", "a", good=0)["ok"]
    assert cell.question.startswith("item 0001 interrupted in")
    cell.restart()
    assert cell.question.startswith("item 0001 interrupted in")
    assert cell.answer("scrap")["ok"]
    cell.make_ready()
    cell.take_part()
    cell.run()
    assert [record["serial"] for record in cell.records] == [1, 1002]


def test_a_snapshot_keeps_that_the_orders_are_unknown(half_made: Bench) -> None:
    loaded = Book()
    loaded.load(half_made.controller.book.dump())
    job = loaded.unknown()
    assert job is not None
    assert (job.order_id, loaded.backup_minute, loaded.last_serial) == ("a", MINUTE, 1 + SKIPPED)


def test_a_dump_of_an_older_controller_is_still_read(half_made: Bench) -> None:
    from cell_controller.core import codec

    parts = codec.unpack(half_made.controller.book.dump())
    assert isinstance(parts, list)
    loaded = Book()
    loaded.load(codec.pack(parts[:12]))
    assert (loaded.backup_minute, loaded.unknown()) == (0, None)


def test_minutes_are_written_as_a_date() -> None:
    assert texts.date(0) == "1970-01-01 00:00 UTC"
    assert texts.date(951_782_400 // 60) == "2000-02-29 00:00 UTC"
    assert texts.date(4_107_542_399 // 60) == "2100-02-28 23:59 UTC"
