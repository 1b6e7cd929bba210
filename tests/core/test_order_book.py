"""The order book against the ISA-95 job-order machine of the reference."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from cell_controller.core import codec, orders
from cell_controller.core import events as ev
from cell_controller.core.orders import Book, Job
from cell_controller.core.recipes import control_hash
from hil.bench import Bench
from tests.core.small_cell import put, small

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "reference" / "standards.json").read_text())[
    "isa95_job_order"
]

EQUIPMENT = (
    "@phase\ndef work(cell):\n    cell.valve.on()\n    yield until(cell.ready)\n    cell.valve.off()\n"
)
STEP = '[[step]]\nphase = "work"\non_interrupt = "ask"\n'

STATES = ["NotAllowedToStart", "AllowedToStart", "Running", "Interrupted", "Ended", "Aborted"]
VERBS = ["start", "revoke_start", "update", "cancel", "clear", "pause", "resume", "stop", "abort"]
METHOD = {verb: "".join(word.capitalize() for word in verb.split("_")) for verb in VERBS}

# Where this cell says more or less than the standard's table, and why.
OURS = {
    ("NotAllowedToStart", "revoke_start"): True,  # asked for what is so already: said yes to, nothing changes
    ("AllowedToStart", "start"): True,
    (
        "Interrupted",
        "resume",
    ): False,  # a cell that holds is resumed by Unhold; an order only when it was paused
}


def _allowed(state: str, verb: str) -> bool:
    if (state, verb) in OURS:
        return OURS[(state, verb)]
    if verb == "cancel":
        return state in FACTS["cancel_in"]
    if verb == "clear":
        return state in FACTS["clear_in"]
    return any(row[:2] == [state, METHOD[verb]] for row in FACTS["transitions"])


def _in_state(directory: Path, state: str) -> Bench:
    """A cell with order `a` in this state; nothing goes on by itself."""
    cell = small(directory, EQUIPMENT, STEP)
    cell.make_ready()
    if state in ("NotAllowedToStart", "AllowedToStart"):
        cell.command("take_control")
    cell.ask("order.submit", order_id="a", product="thing", count=2, allowed=state != "NotAllowedToStart")
    if state in ("Running", "Interrupted"):
        cell.run_until(lambda: cell.output("valve") == 1, "the valve")
    if state == "Interrupted":
        cell.command("hold")
        cell.run_to("Held")
    if state == "Ended":
        put(cell, ready=1)
        cell.run()
    if state == "Aborted":
        cell.order_verb("abort", "a")
        cell.scan(3)
    assert cell.job_state("a").split("/")[0] == state
    return cell


def test_the_states_are_those_of_the_standard() -> None:
    ours = {name.split("/")[0] for name in orders.STATE_NAMES if name}
    assert ours == set(FACTS["states"]) == set(STATES)


@pytest.mark.parametrize(("state", "verb"), list(itertools.product(STATES, VERBS)))
def test_every_verb_in_every_state_follows_the_standard(state: str, verb: str, tmp_path: Path) -> None:
    cell = _in_state(tmp_path, state)
    reply = cell.order_verb(verb, "a", **({"priority": 7} if verb == "update" else {}))
    assert reply["ok"] == _allowed(state, verb), reply["text"]
    if not reply["ok"]:
        assert reply["name"] == "wrong_job_state"
        assert cell.job_state("a").split("/")[0] == state


@pytest.mark.parametrize("state", ["Running", "Interrupted"])
def test_a_stop_ends_the_order_as_closed_and_an_abort_as_aborted(state: str, tmp_path: Path) -> None:
    for verb, ended in (("stop", "Ended/Closed"), ("abort", "Aborted")):
        cell = _in_state(tmp_path / verb, state)
        assert cell.order_verb(verb, "a")["ok"]
        put(cell, ready=1).scan(2)
        if cell.state == "Held":
            cell.command("unhold")
        cell.run_until(lambda bench=cell, want=ended: bench.job_state("a") == want, ended)  # type: ignore[misc]


def test_changing_states_only_by_the_transitions_of_the_standard(tmp_path: Path) -> None:
    """A run with every verb in it: each change of an order's state is one the reference knows."""
    cell = small(tmp_path, EQUIPMENT, STEP, keys='part_present = "shut"')
    for name in "abcdef":
        cell.order("thing", 2, order_id=name)
    put(cell, ready=1, shut=1)
    for verb, name in (
        ("revoke_start", "b"),
        ("pause", "a"),
        ("cancel", "c"),
        ("start", "b"),
        ("abort", "f"),
    ):
        cell.order_verb(verb, name)
        cell.scan(5)
    put(cell, shut=0).run_for(2)
    put(cell, shut=1)
    cell.order_verb("resume", "a")
    cell.run_to("Execute")
    cell.command("hold")
    cell.run_to("Held").command("unhold")
    cell.run_until(lambda: not cell.controller.book.open_jobs(), "all orders")
    known = {(row[0], row[2]) for row in FACTS["transitions"]}
    known |= {(a.split(".")[0], b.split(".")[0]) for a, _, b in FACTS["spontaneous"]}
    known |= {(state, "Ended") for state in FACTS["cancel_in"]}
    state_of: dict[int, str] = {}
    for data in cell.journal:
        _, _, kind, source, number, _ = ev.fields(data)
        if kind == ev.ORDER_STORED:
            state_of[number] = FACTS["initial"]["StoreAndStart"]
        elif kind == ev.ORDER_STATE:
            new = orders.STATE_NAMES[source].split("/")[0]
            assert (state_of[number], new) in known
            state_of[number] = new
    assert set(state_of.values()) == {"Ended", "Aborted"}


def test_the_book_read_back_from_the_journal_is_the_book_that_was_live(tmp_path: Path) -> None:
    cell = small(tmp_path, EQUIPMENT, STEP)
    put(cell, ready=1)
    cell.order("thing", 3).order("thing", 1).run()
    book = Book()
    for data in cell.journal:
        _, tick, kind, source, a, b = ev.fields(data)
        book.apply(tick, kind, source, a, b, data[ev.SIZE :])
    assert book.dump() == cell.controller.book.dump()
    loaded = Book()
    loaded.load(book.dump())
    assert loaded.dump() == book.dump()


def test_an_unknown_order_a_full_book_and_a_cleared_one_are_refused(tmp_path: Path) -> None:
    cell = small(tmp_path, EQUIPMENT, STEP).make_ready()
    cell.command("take_control")
    assert cell.order_verb("cancel", "nobody")["name"] == "unknown_order"
    for number in range(orders.MOST_OPEN):
        assert cell.ask("order.submit", order_id=f"o{number}", product="thing")["ok"]
    assert cell.ask("order.submit", order_id="more", product="thing")["name"] == "too_many_orders"
    assert cell.order_verb("cancel", "o3")["ok"]
    assert cell.order_verb("clear", "o3")["ok"]
    assert cell.order_verb("update", "o3", priority=9)["name"] == "unknown_order"
    assert cell.ask("order.submit", order_id="more", product="thing")["ok"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no product": ({}, "bad_order"),
    "unknown product": ({"product": "door"}, "unknown_product"),
    "count 0": ({"product": "thing", "count": 0}, "bad_count"),
    "count -1": ({"product": "thing", "count": -1}, "bad_count"),
    "count absurd": ({"product": "thing", "count": 1_000_000}, "bad_count"),
    "count true": ({"product": "thing", "count": True}, "bad_count"),
    "count a text": ({"product": "thing", "count": "2"}, "bad_count"),
    "options a list": ({"product": "thing", "options": []}, "bad_order"),
    "unknown option": ({"product": "thing", "options": {"colour": "pink"}}, "unknown_option"),
    "unknown member": ({"product": "thing", "hurry": 1}, "bad_order"),
    "priority 10": ({"product": "thing", "priority": 10}, "bad_order"),
    "due in the far future": ({"product": "thing", "due": 1 << 40}, "bad_order"),
    "carriers for another count": ({"product": "thing", "count": 2, "carriers": [1]}, "bad_order"),
    "allowed maybe": ({"product": "thing", "allowed": "maybe"}, "bad_order"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_order_that_is_not_right_is_refused_and_leaves_no_trace(what: str, tmp_path: Path) -> None:
    args, name = BAD[what]
    cell = small(tmp_path, EQUIPMENT, STEP).make_ready()
    before = len(cell.journal)
    reply = cell.ask("order.submit", order_id="a", **args)
    assert (reply["ok"], reply["name"]) == (False, name)
    assert len(reply["text"]) > 10
    assert (len(cell.journal), cell.state) == (before, "Idle")


@pytest.mark.parametrize("order_id", ["", "x" * 65, "a/b", "a b", "ä", 7, None])
def test_an_order_id_has_a_form(order_id: object, tmp_path: Path) -> None:
    cell = small(tmp_path, EQUIPMENT, STEP)
    assert cell.ask("order.submit", order_id=order_id, product="thing")["name"] == "bad_order"


def test_orders_are_refused_while_the_journal_cannot_be_written(tmp_path: Path) -> None:
    cell = small(tmp_path, EQUIPMENT, STEP).make_ready()
    cell.writable = False
    assert cell.ask("order.submit", order_id="a", product="thing")["name"] == "journal_unwritable"
    cell.writable = True
    assert cell.ask("order.submit", order_id="a", product="thing")["ok"]


def test_what_the_desk_hands_to_the_book_is_what_the_journal_gives_back(cell: Bench) -> None:
    cell.order("bonnet", 3, colour="burgundy", pinstripe="Ada").order(
        "bonnet", 1, colour="burgundy", pinstripe="Ada"
    )
    cell.order("bonnet", 1, colour="green", coats=1)
    stored = [data for data in cell.journal if ev.fields(data)[2] == ev.ORDER_STORED]
    live = cell.controller.book.jobs
    assert len(stored) == len(live) == 3
    for data, job in zip(stored, live, strict=True):
        again = Job(job.number, codec.unpack(data[ev.SIZE :]))  # type: ignore[arg-type]  # an order
        for name in ("order_id", "count", "options", "carriers", "control", "hash", "content", "estimate_ms"):
            assert getattr(again, name) == getattr(job, name), name
        assert control_hash(job.control) == job.hash


def test_true_is_not_one_also_for_an_order_that_was_just_made(cell: Bench) -> None:
    cell.order("bonnet", colour="burgundy", coats=1)
    reply = cell.ask(
        "order.submit", order_id="o", product="bonnet", options={"colour": "burgundy", "coats": True}
    )
    assert reply["name"] == "not_a_number"
