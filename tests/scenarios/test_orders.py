"""Orders on the example cell: made as they were ordered, in the right order, and in exactly the right number."""

from typing import Any

from cell_controller.core import events as ev
from hil.bench import Bench

GREEN: dict[str, Any] = {"colour": "green"}
TARTAN: dict[str, Any] = {"colour": "tartan", "pattern": "5f" * 32}


def test_a_roof_in_paint_gets_its_coats_and_its_heat(cell: Bench) -> None:
    cell.order("roof", colour="burgundy", finish="gloss").run()
    assert cell.made[0]["coats"] == {"burgundy": 3}
    assert int(cell.made[0]["hottest_degc"]) >= 70
    assert cell.damage == []


def test_a_roof_in_tartan_is_wrapped_and_never_sprayed(cell: Bench) -> None:
    record = cell.order("roof", **TARTAN).run()
    assert [step["name"] for step in record["steps"]] == ["clamp", "wrap", "set_film", "pinstripe", "release"]
    assert ["film_code", 0x5F5F5F, 1] in record["steps"][1]["actual"]
    assert (cell.made[0]["coats"], cell.made[0]["wraps"]) == ({}, 1)
    assert cell.damage == []


def test_a_bonnet_in_primer_is_not_baked(cell: Bench) -> None:
    record = cell.order("bonnet", colour="primer").run()
    assert [step["name"] for step in record["steps"]] == ["clamp", "spray", "pinstripe", "release"]
    assert cell.made[0]["coats"] == {"primer": 1}
    assert cell.damage == []


def test_a_pinstripe_is_drawn_letter_by_letter(cell: Bench) -> None:
    cell.order("bonnet", **GREEN, pinstripe="Isabella").run()
    assert 8 * 400 <= int(cell.made[0]["drawn_ms"]) <= 8 * 400 + 100
    assert cell.damage == []


def test_different_products_follow_each_other_without_anybody(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).order("roof", **TARTAN).order("bonnet", colour="primer").run()
    assert [record["product"] for record in cell.records] == ["bonnet", "roof", "bonnet"]
    assert cell.counts == (3, 0)
    assert cell.damage == []


def test_an_order_of_three_ends_with_three(cell: Bench) -> None:
    cell.order("bonnet", 3, colour="primer").run()
    assert [record["serial"] for record in cell.records] == [1, 2, 3]
    assert cell.job_state("ord-1") == "Ended/Completed"
    assert len(cell.made) == 3
    assert cell.damage == []


def test_a_paused_order_waits_between_two_items_and_goes_on_when_resumed(cell: Bench) -> None:
    cell.order("bonnet", 2, colour="primer").run_to_step("spray")
    assert cell.order_verb("pause", "ord-1")["ok"]
    cell.run_to("Suspended").run_for(30)
    assert (cell.reason, cell.counts) == ("the order is paused", (1, 0))
    assert cell.job_state("ord-1") == "Interrupted"
    assert cell.order_verb("resume", "ord-1")["ok"]
    cell.run()
    assert cell.counts == (2, 0)
    assert cell.damage == []


def test_a_stopped_order_ends_after_the_item_in_work(cell: Bench) -> None:
    cell.order("bonnet", 3, colour="primer").run_to_step("spray")
    assert cell.order_verb("stop", "ord-1")["ok"]
    cell.run()
    assert (cell.counts, cell.job_state("ord-1")) == ((1, 0), "Ended/Closed")
    assert cell.damage == []


def test_an_order_that_was_told_to_end_is_neither_paused_nor_resumed_any_more(cell: Bench) -> None:
    cell.order("bonnet", 3, colour="primer").run_to_step("spray")
    assert cell.order_verb("stop", "ord-1")["ok"]
    assert cell.order_verb("pause", "ord-1")["name"] == "wrong_job_state"
    assert cell.order_verb("resume", "ord-1")["name"] == "wrong_job_state"
    cell.run()
    assert (cell.counts, cell.job_state("ord-1")) == ((1, 0), "Ended/Closed")
    assert cell.damage == []


def test_the_carriers_of_an_order_may_come_in_any_order_but_each_only_once(cell: Bench) -> None:
    cell.make_ready()
    reply = cell.ask(
        "order.submit",
        order_id="a",
        product="bonnet",
        count=3,
        options={"colour": "primer"},
        carriers=[1003, 1001, 1002],
    )
    assert reply["ok"]
    cell.run()
    assert [record["carrier"] for record in cell.records] == [1001, 1002, 1003]
    assert cell.damage == []


def test_an_order_stopped_while_its_cell_is_held_ends_after_the_item_in_work(cell: Bench) -> None:
    cell.order("bonnet", 3, colour="primer").run_to_step("spray")
    cell.command("hold")
    cell.run_to("Held")
    assert cell.order_verb("stop", "ord-1")["ok"]
    cell.command("unhold")
    cell.run()
    assert (cell.counts, cell.job_state("ord-1")) == ((1, 0), "Ended/Closed")
    assert cell.damage == []


def test_a_paused_order_that_is_stopped_ends_and_the_next_one_is_made(cell: Bench) -> None:
    cell.order("bonnet", 3, colour="primer").order("bonnet", **GREEN).run_to_step("spray")
    cell.order_verb("pause", "ord-1")
    cell.run_to("Suspended")
    assert cell.order_verb("stop", "ord-1")["ok"]
    cell.run()
    assert (cell.counts, cell.job_state("ord-1")) == ((2, 0), "Ended/Closed")
    assert cell.job_state("ord-2") == "Ended/Completed"
    assert cell.damage == []


def test_an_aborted_order_stops_the_cell_and_its_item_is_scrap(cell: Bench) -> None:
    cell.order("bonnet", 2, colour="green").run_to_output("valve_green")
    assert cell.order_verb("abort", "ord-1")["ok"]
    assert cell.output("valve_green") == 0
    cell.run_to("Stopped")
    assert (cell.counts, cell.job_state("ord-1"), cell.question) == ((0, 1), "Aborted", "")
    cell.order("bonnet", colour="primer").command("reset")
    cell.run_to("Suspended")
    assert cell.reason == "the last item's part is still on the stand"  # the next item must not be made on it
    cell.take_part()
    cell.run()
    assert cell.counts == (1, 1)
    assert cell.damage == []


def test_the_scrapped_part_is_remembered_through_a_power_cut(cell: Bench) -> None:
    cell.order("bonnet", 2, colour="green").run_to_output("valve_green")
    cell.order_verb("abort", "ord-1")
    cell.run_to("Stopped").restart()
    cell.order("bonnet", colour="primer").run_to("Suspended")
    assert cell.reason == "the last item's part is still on the stand"


def test_a_cut_right_after_an_item_has_ended_does_not_forget_its_part(cell: Bench) -> None:
    cell.order("bonnet", 2, **GREEN).run_to_output("valve_green")
    cell.order_verb("abort", "ord-1")
    kinds = [ev.fields(data)[2] for data in cell.journal]
    del cell.journal[kinds.index(ev.ITEM_END) + 1 :]  # what came after it had not reached the disk
    cell.restart()
    cell.make_ready().run_to("Suspended")
    assert cell.reason == "the last item's part is still on the stand"


def test_a_sensor_that_cannot_tell_does_not_say_that_the_part_is_gone(cell: Bench) -> None:
    cell.order("bonnet", 2, **GREEN).run_to_output("valve_green")
    cell.fault("part.missing").run_to("Held")
    cell.fault("part_present.stale").run_for(1)  # the last it read was that there is none
    assert cell.input("part_present") == 0
    cell.order_verb("abort", "ord-1")
    cell.run_for(1)
    assert cell.controller.book.part_left


def test_a_part_that_was_said_to_have_left_is_not_made_into_the_next_item(cell: Bench) -> None:
    cell.order("bonnet", 2, **GREEN).run_to_step("release")
    cell.command("stop")
    cell.run_to("Stopped")
    assert cell.answer("done")["ok"]  # it is still there
    cell.command("reset")
    cell.run_to("Suspended")
    assert (cell.counts, cell.reason) == ((1, 0), "the last item's part is still on the stand")
    cell.take_part()
    cell.run()
    assert cell.counts == (2, 0)


def test_a_carrier_that_has_its_item_does_not_get_a_second_one(cell: Bench) -> None:
    cell.board.plant.next_carriers[:] = [17, 17, 18]  # type: ignore[attr-defined]  # the paint plant's
    cell.take_part()
    reply = cell.ask(
        "order.submit", order_id="o", product="bonnet", count=2, carriers=[17, 18], options=GREEN
    )
    assert reply["ok"]
    cell.make_ready().run_until(lambda: cell.counts == (1, 0), "the first item")
    cell.run_to("Suspended")
    cell.run_until(lambda: cell.reason.startswith("carrier 17"), "the carrier that came back")
    cell.take_part()
    cell.run()
    assert [record["carrier"] for record in cell.records] == [17, 18]


def test_an_order_is_cancelled_only_before_its_start(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).order("bonnet", **GREEN).run_to_step("spray")
    assert cell.order_verb("cancel", "ord-1")["name"] == "wrong_job_state"
    assert cell.order_verb("cancel", "ord-2")["ok"]
    cell.run()
    assert (cell.counts, cell.job_state("ord-2")) == ((1, 0), "Ended/Closed")
    assert cell.damage == []


def test_priority_then_due_date_then_arrival_decide_what_is_made_next(cell: Bench) -> None:
    cell.order("bonnet", colour="primer").run_to("Execute")
    for order_id, priority, due in (("late", 5, 2000), ("never", 5, 0), ("soon", 5, 1000), ("first", 9, 0)):
        reply = cell.ask(
            "order.submit",
            order_id=order_id,
            product="bonnet",
            options={"colour": "primer"},
            priority=priority,
            due=due,
        )
        assert reply["ok"]
    assert cell.order_verb("update", "never", priority=6)["text"] == "never is number 3 in the queue"
    cell.run()
    made = [record["order_id"] for record in cell.records]
    assert made == ["ord-1", "first", "never", "soon", "late"]
    assert cell.damage == []


def test_an_order_that_is_stored_waits_until_it_is_allowed_to_start(cell: Bench) -> None:
    cell.make_ready()
    cell.ask("order.submit", order_id="a", product="bonnet", options=GREEN, allowed=False)
    cell.run_for(10)
    assert (cell.state, cell.job_state("a")) == ("Idle", "NotAllowedToStart")
    assert cell.order_verb("start", "a")["ok"]
    cell.run()
    assert cell.job_state("a") == "Ended/Completed"
    assert cell.damage == []


def test_the_same_order_twice_is_made_once_and_another_content_is_refused(cell: Bench) -> None:
    cell.order("bonnet", order_id="a", **GREEN)
    again = cell.ask("order.submit", order_id="a", product="bonnet", count=1, options=GREEN)
    assert again["text"].startswith("known already a: 1 bonnet")
    other = cell.ask("order.submit", order_id="a", product="bonnet", count=2, options=GREEN)
    assert (other["ok"], other["name"]) == (False, "id_used")
    cell.run()
    late = cell.ask("order.submit", order_id="a", product="bonnet", count=1, options=GREEN)
    assert late["text"] == "known already a: 1 bonnet, it is Ended/Completed, 1 good"
    cell.run_for(5)
    assert cell.counts == (1, 0)
    assert cell.damage == []


def test_scrapped_items_are_made_again_until_the_count_is_good(cell: Bench) -> None:
    cell.order("bonnet", 2, colour="primer")
    for _ in range(2):
        cell.run_to_output("valve_primer")
        cell.command("abort")
        cell.run_to("Aborted")
        assert cell.answer("scrap")["ok"]
        cell.make_ready()
        cell.run_until(lambda: cell.output("valve_primer") == 0, "the end of the coat")
    cell.run()
    assert cell.counts == (2, 2)
    assert [record["result"] for record in cell.records] == ["scrap", "scrap", "good", "good"]
    assert cell.job_state("ord-1") == "Ended/Completed"
    assert cell.damage == []


def test_the_estimate_is_honest_once_an_item_was_made(cell: Bench) -> None:
    for product, options in (("bonnet", GREEN), ("roof", TARTAN)):
        cell.order(product, **options).run()
        promised = cell.ask("order.submit", order_id=product, product=product, count=1, options=options)
        start = cell.board.tick()
        cell.run()
        took_s = (cell.board.tick() - start) / 1000
        assert abs(promised["data"]["done_in_s"] - took_s) <= 0.1 * took_s + 1
    assert cell.damage == []


def test_even_the_first_estimate_is_within_a_third(cell: Bench) -> None:
    cell.make_ready()
    promised = cell.ask("order.submit", order_id="a", product="bonnet", options={"colour": "burgundy"})
    took_s = cell.run()["duration_ms"] / 1000
    assert abs(promised["data"]["done_in_s"] - took_s) <= took_s / 3
    assert cell.damage == []
