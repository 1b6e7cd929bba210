"""The interrupted item: what is asked, and what each answer makes of it."""

from typing import Any

import pytest

from hil.bench import Bench

GREEN: dict[str, Any] = {"colour": "green"}


def _second_coat(cell: Bench) -> Bench:
    """A bonnet of two green coats, cut in its second one."""
    cell.order("bonnet", **GREEN).run_until(lambda: cell.view["item"].get("mark") == 1, "one coat")
    return cell.run_to_output("valve_green").run_for(1)


@pytest.mark.parametrize(
    ("answer", "coats", "counts"),
    [
        ("resume", {"green": 3}, (1, 0)),  # the coat that was cut and the one that replaces it
        ("repeat", {"green": 4}, (1, 0)),
        ("done", {"green": 2}, (1, 0)),
    ],
)
def test_each_answer_does_what_it_says(
    cell: Bench, answer: str, coats: dict[str, int], counts: tuple[int, int]
) -> None:
    _second_coat(cell).command("abort")
    cell.run_to("Aborted")
    assert cell.question == "item 0001 interrupted in spray, coat 2 of 2: resume | repeat | scrap | done?"
    assert cell.answer(answer)["ok"]
    cell.make_ready()
    record = cell.run()
    assert (cell.counts, cell.made[0]["coats"]) == (counts, coats)
    assert record["answers"] == [[1, answer, [record["answers"][0][2][0], "bench"]]]
    assert record["steps"][1]["said_done"] == (1 if answer == "done" else 0)
    # an interrupted item is clamped again before it goes on
    assert record["steps"][0]["begun"] == 2
    assert cell.damage == []


def test_a_scrapped_item_is_made_again(cell: Bench) -> None:
    _second_coat(cell).command("stop")
    cell.run_to("Stopped")
    assert cell.answer("scrap")["ok"]
    assert cell.command("reset")["ok"]
    cell.run()
    assert cell.counts == (1, 1)
    assert [record["serial"] for record in cell.records] == [1, 2]
    assert cell.damage == []


def test_only_the_four_answers_are_taken_and_only_once(cell: Bench) -> None:
    assert cell.answer("resume")["name"] == "no_question"
    _second_coat(cell).command("abort")
    cell.run_to("Aborted")
    assert cell.answer("maybe")["name"] == "bad_answer"
    assert cell.ask("answer", item=7, answer="resume")["name"] == "no_question"
    assert cell.ask("answer", item=1, answer="resume")["ok"]
    assert cell.answer("scrap")["name"] == "no_question"
    cell.make_ready()
    cell.run()
    assert cell.damage == []


def test_nothing_starts_until_the_question_is_answered(cell: Bench) -> None:
    _second_coat(cell).command("abort")
    cell.run_to("Aborted")
    assert cell.command("clear")["ok"]
    cell.run_to("Stopped")
    reply = cell.command("reset")
    assert (reply["name"], reply["text"]) == ("question_open", cell.question)
    cell.run_for(30)
    assert cell.state == "Stopped"
    assert cell.answer("resume")["ok"]
    assert cell.command("reset")["ok"]
    cell.run()
    assert cell.damage == []


def test_a_restart_says_that_it_was_not_clean_and_comes_up_aborted(cell: Bench) -> None:
    _second_coat(cell).restart()
    assert cell.state == "Aborted"
    assert cell.reason == "the controller was not stopped cleanly (killed, or lost power) in Execute"
    assert cell.output("valve_green") == 0
    assert cell.job_state("ord-1") == "Interrupted"
    cell.answer("resume")
    cell.make_ready()
    cell.run()
    assert cell.damage == []


def test_a_recipe_that_changes_is_taken_over_between_two_items(cell: Bench) -> None:
    cell.order("bonnet", 2, colour="primer").run_to_step("spray")
    changed = {**cell.spec["recipes"][0], "text": "with another text"}
    changed["params"] = [
        {**entry, "default": 2000} if entry["name"] == "dwell_ms" else entry for entry in changed["params"]
    ]
    adopted = cell.controller.offer_recipe(changed)
    assert adopted is not None
    assert adopted["version"] == 5
    cell.run()
    dwell = [dict(record["params"])["dwell_ms"] for record in cell.records]
    assert ([record["version"] for record in cell.records], dwell) == ([4, 5], [4500, 2000])
    assert cell.controller.offer_recipe(changed) is None
    assert cell.damage == []
