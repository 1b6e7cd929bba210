"""The test sheet of the paint cell: the real controller on the simulated board, in virtual time.

Run it with `pytest` in this directory. `cell` is the cell of this directory, just switched on; every test may turn the
board's faults on and off (`cellctl fault --help` lists them) and ends with nothing broken and nobody hurt.
"""

SPRAYING = ["valve_burgundy", "valve_green", "valve_primer"]


def test_an_order_is_made_as_it_was_ordered(cell):
    # given a cell that was just switched on, when a burgundy bonnet is ordered
    record = cell.order("bonnet", colour="burgundy").run()

    # then it got its three coats, was baked, and the record says so
    assert record["result"] == "good"
    assert [step["name"] for step in record["steps"]] == ["clamp", "spray", "cure", "pinstripe", "release"]
    assert cell.board.plant.made[0].coats["burgundy"] == 3
    assert cell.board.plant.made[0].hottest >= 60
    assert cell.damage == []


def test_a_jammed_clamp_holds_the_cell_and_the_item_is_finished_afterwards(cell):
    # given a jammed clamp
    cell.fault("clamp.jam")

    # when a bonnet is ordered, then the cell holds, says why, and every output is safe
    cell.order("bonnet", colour="burgundy").run_to("Held")
    assert cell.reason == "clamp did not close within 2 s"
    assert cell.output("clamp") == 0
    assert cell.output("booth_fan") == 1

    # and when the jam is cleared and somebody gives Unhold, the same item is finished
    cell.fault("clamp.jam", on=False)
    assert cell.command("unhold")["ok"]
    record = cell.run()
    assert (record["serial"], record["result"]) == (1, "good")
    assert cell.damage == []


def test_an_opened_door_shuts_the_gun_in_the_same_scan(cell):
    # given a bonnet that is being sprayed
    cell.order("bonnet", colour="green").run_until(lambda: cell.output("valve_green"), "paint")

    # when the door is opened, then not one more scan is sprayed
    cell.fault("door.open").scan()
    assert [cell.output(valve) for valve in SPRAYING] == [0, 0, 0]
    cell.run_to("Held")
    assert cell.reason == "spraying needs air and a closed door"

    # and Unhold is refused for as long as the door is open
    reply = cell.command("unhold")
    assert (reply["name"], reply["ok"]) == ("cause_stands", False)
    cell.fault("door.open", on=False)
    cell.command("unhold")
    assert cell.run()["result"] == "good"
    assert cell.damage == []


def test_the_emergency_stop_stops_at_once_and_its_return_moves_nothing(cell):
    # given a bonnet under the lamp
    cell.order("bonnet", colour="burgundy").run_until(lambda: cell.output("cure_lamp") > 50, "a bright lamp")

    # when somebody presses the emergency stop, then the outputs have their abort values in that scan
    cell.fault("estop.open").scan()
    assert cell.output("cure_lamp") == 0
    cell.run_to("Aborted")

    # and when it is released nothing moves, until Clear, Reset and the order's own Start
    cell.fault("estop.open", on=False).run_for(5)
    assert cell.state == "Aborted"
    assert cell.command("start")["name"] == "not_allowed_in_state"
    cell.make_ready()
    assert cell.run()["result"] == "good"
    assert cell.damage == []


def test_a_power_cut_asks_about_the_coat_that_nobody_saw_and_the_count_stays_exact(cell):
    # given a bonnet with one of its three coats
    cell.order("bonnet", colour="burgundy").run_until(lambda: cell.view["item"].get("mark") == 1, "one coat")
    cell.run_until(lambda: cell.output("valve_burgundy"), "the second coat")

    # when the controller loses power and comes back
    cell.restart()

    # then it is Aborted, nothing is driven, and it asks
    assert cell.state == "Aborted"
    assert cell.output("valve_burgundy") == 0
    assert cell.question == "item 0001 interrupted in spray, coat 2 of 3: resume | repeat | scrap | done?"

    # and one answer later the order ends with one good bonnet
    cell.answer("resume")
    cell.make_ready()
    assert cell.run()["answers"][0][1] == "resume"
    assert (cell.view["good"], cell.view["scrapped"]) == (1, 0)
    assert cell.damage == []


def test_a_recipe_refuses_what_it_does_not_offer(cell):
    reply = cell.ask(
        "order.submit", order_id="a", product="bonnet", options={"colour": "primer", "finish": "gloss"}
    )
    assert reply["text"].endswith("primer has no gloss: order it satin")
    reply = cell.ask("order.submit", order_id="a", product="bonnet", options={"colour": "pink"})
    assert not reply["ok"]
