"""The test sheet of the form cell: the real controller on the simulated board, in virtual time.

Run it with `pytest` in this directory. `cell` is the cell of this directory, just switched on; every test may turn the
board's faults on and off (`cellctl fault --help` lists them). A test ends with nothing broken and nobody hurt, but for
one: it shows what only hard wiring can stop.
"""

import pytest

HEATER = ("heater", "heater_contactor")
LINERS = [
    {"material": "abs", "edge": "trimmed", "thickness_mm": 2},
    {"material": "abs", "edge": "raw", "thickness_mm": 4},
    {"material": "petg", "edge": "trimmed", "thickness_mm": 4},
    {"material": "hdpe", "edge": "trimmed", "thickness_mm": 4},
]
COVERS = [
    {"material": "abs", "fit": "easy"},
    {"material": "abs", "fit": "snug"},
    {"material": "hdpe", "fit": "easy"},
]


def heater(cell):
    """What the controller drives on the heater and its contactor."""
    return [cell.output(name) for name in HEATER]


def power(cell):
    """Percent of power that really flow in the plant."""
    return cell.board.plant.state()["power_percent"]


def sheet_degc(cell):
    """How hot the sheet really is."""
    return cell.board.plant.state()["sheet_degc"]


def recover(cell):
    """What a person does about an aborted cell whose item goes on by itself or was asked for."""
    if cell.question:
        cell.answer("resume")
    return cell.make_ready().run()


# --- what is made ---


@pytest.mark.parametrize(
    ("product", "options"),
    [("arch_liner", options) for options in LINERS] + [("battery_cover", options) for options in COVERS],
    ids=lambda value: value if isinstance(value, str) else "-".join(str(part) for part in value.values()),
)
def test_every_product_and_option_is_made_as_it_was_ordered(cell, product, options):
    record = cell.order(product, **options).run()
    assert record["result"] == "good"
    told = {name: value for step in record["steps"] for name, value, _ in step["actual"]}
    set_to = {name: value for step in record["steps"] for name, value in step["set"]}
    (part,) = cell.made
    assert abs(part["hottest_degc"] - set_to["soak_degc"]) <= 3
    assert part["drawn_degc"] >= set_to["draw_degc"]
    assert part["vacuum_mbar"] >= set_to["draw_mbar"]
    assert told["cooled_degc"] <= set_to["cool_degc"]
    assert (part["sprung"], part["cuts"]) == (False, 0 if options.get("edge") == "raw" else 1)
    assert cell.damage == []


@pytest.mark.parametrize(
    ("product", "options", "said"),
    [
        (
            "arch_liner",
            {"material": "petg", "edge": "raw"},
            "PETG splits when it is cut by hand: order it trimmed",
        ),
        (
            "battery_cover",
            {"material": "hdpe", "fit": "snug"},
            "HDPE shrinks too much for a snug fit: order ABS, or an easy fit",
        ),
        ("battery_cover", {"material": "petg"}, "petg"),
        ("arch_liner", {"material": "abs", "thickness_mm": 5}, "5"),
    ],
)
def test_what_the_recipe_does_not_offer_is_refused(cell, product, options, said):
    reply = cell.ask("order.submit", order_id="a", product=product, options=options)
    assert not reply["ok"]
    assert said in reply["text"]


def test_the_thicker_sheet_is_soaked_for_longer(cell):
    cell.order("arch_liner", material="abs", thickness_mm=2).run()
    cell.order("arch_liner", material="abs", thickness_mm=4).run()
    thin, thick = (record["steps"][1] for record in cell.records)
    longer_ms = thick["end_ms"] - thick["start_ms"] - (thin["end_ms"] - thin["start_ms"])
    assert 5000 <= longer_ms <= 7000  # 2 mm at 3 s


# --- the heater ---


def test_a_heater_that_heats_nothing_is_noticed(cell):
    # given a heater without current, when a liner is ordered, then it is held after twice the time for a rise
    cell.fault("heater.dead").order("arch_liner", material="abs").run_to_step("heat").run_to("Held", 20)
    assert cell.reason == "the sheet does not get warmer within 8 s"
    assert heater(cell) == [0, 0]

    # and with current again the same item is finished
    cell.fault("heater.dead", on=False)
    assert cell.command("unhold")["ok"]
    assert cell.run()["interruptions"] == 0
    assert cell.damage == []


def test_a_heater_that_dies_in_the_soak_is_noticed(cell):
    cell.order("battery_cover", material="abs", soak_s=60).run_to_step("heat").run_for(40)
    assert cell.input("sheet_temp") > 1450
    cell.fault("heater.dead").run_to("Held", 40)
    assert cell.reason == "the sheet does not get warmer within 8 s"
    assert cell.damage == []


def test_a_regulator_with_wrong_numbers_does_not_heat_for_ever(cell):
    pid = cell.equipment.phases["heat"].__globals__["Pid"]
    pid.HOLD, pid.NEAR = 0, 0  # it never gets there, and never gives full power for long
    cell.order("arch_liner", material="abs").run_to("Held", 200)
    assert cell.reason == "the sheet does not stay warm within 8 s"
    assert 1000 < cell.input("sheet_temp") < 1550
    assert heater(cell) == [0, 0]


def test_a_table_without_a_sheet_is_not_heated_for_long(cell):
    # given a sensor that sees a sheet where none is
    cell.order("arch_liner", material="abs").run_to_step("clamp")
    cell.fault("part_present.stuck").fault("sheet.missing").run_to("Held", 30)
    assert cell.reason == "the sheet does not get warmer within 8 s"
    assert power(cell) == 0


def test_a_welded_solid_state_relay_loses_its_contactor(cell):
    # given full power, whatever is asked for
    cell.order("arch_liner", material="hdpe", thickness_mm=4).run_to_step("heat").run_for(20)
    cell.fault("heater.stuck_on").run_to("Held", 60)

    # then the interlock took the contactor, for the relay does not listen, and the sheet is not burnt
    assert cell.reason == "the sheet is too hot"
    assert heater(cell) == [0, 0]
    assert power(cell) == 0
    cell.run_for(1)
    assert sheet_degc(cell) < 215

    # and the heat does not come back before it is well below the limit
    assert cell.command("unhold")["name"] == "cause_stands"
    cell.run_until(lambda: cell.input("sheet_temp") <= 1850, "a cooler sheet")
    assert cell.command("unhold")["ok"]
    assert cell.damage == []


def test_the_sheet_at_its_limit_loses_the_heat_in_the_same_scan(cell):
    cell.order("arch_liner", material="hdpe").run_to_step("heat").fault("heater.stuck_on")
    cell.run_until(lambda: cell.input("sheet_temp") > 2000, "a sheet above 200 degC")
    assert heater(cell) == [0, 0]


def test_when_the_pyrometer_lies_as_well_the_bank_has_a_sensor_of_its_own(cell):
    cell.order("arch_liner", material="abs", soak_s=60).run_to_step("heat")
    cell.run_until(lambda: cell.input("sheet_temp") > 1580, "a warm sheet")
    cell.fault("sheet_temp.stuck").fault("heater.stuck_on").run_to("Aborted", 60)
    assert cell.reason == "the heater bank is too hot"
    assert power(cell) == 0
    assert "heater bank burnt out" not in cell.damage


def test_what_no_controller_can_stop(cell):
    # given a welded relay behind a welded contactor: it stops, it aborts, it says so, and the sheet burns
    cell.order("arch_liner", material="abs").run_to_step("heat").run_for(10)
    cell.fault("heater.stuck_on").fault("contactor.welded").run_to("Aborted", 60)
    assert "heater contactor did not open within 1 s" in cell.describe() + " ".join(cell.log)
    assert heater(cell) == [0, 0]
    cell.run_for(30)
    assert (
        "sheet burnt" in cell.damage
    )  # so there is a limiter in the heater's own circuit, see docs/form-cell.md


@pytest.mark.parametrize("fault", ["sensor.open", "sheet_temp.stale"])
def test_a_sensor_that_is_not_good_takes_the_heat_in_the_same_scan(cell, fault):
    cell.order("arch_liner", material="abs").run_to_step("heat").run_for(10)
    assert power(cell) == 100
    cell.fault(fault).scan()
    assert heater(cell) == [0, 0]
    cell.run_to("Held")
    assert cell.reason == "sheet_temp has no good value"
    assert cell.command("unhold")["name"] == "cause_stands"
    cell.fault(fault, on=False).run_for(1)
    assert cell.command("unhold")["ok"]
    assert cell.run()["result"] == "good"
    assert cell.damage == []


@pytest.mark.parametrize("fault", ["door.open", "extraction.clogged"])
def test_without_door_or_air_there_is_no_heat(cell, fault):
    cell.order("arch_liner", material="abs").run_to_step("heat").run_for(10)
    cell.fault(fault)
    cell.run_until(lambda: not power(cell), "no heat", 1)
    cell.run_to("Held")
    assert cell.reason == "heating needs the extraction and a closed door"
    assert cell.damage == []


# --- held ---


def test_held_in_the_soak_it_cools_and_is_soaked_anew(cell):
    # given a sheet in the middle of its soak, when it is held for a minute, then it cools without heat
    cell.order("arch_liner", material="abs", soak_s=5, thickness_mm=4).run_to_step("heat")
    cell.run_until(lambda: cell.input("sheet_temp") > 1570, "a warm sheet").run_for(10)
    cell.command("hold")
    cell.run_to("Held").run_for(60)
    assert power(cell) == 0
    assert sheet_degc(cell) < 60

    # and afterwards it gets the whole soak, and is a good part
    assert cell.command("unhold")["ok"]
    back_at = cell.board.tick()
    cell.run_until(lambda: cell.input("sheet_temp") > 1550, "a warm sheet again")
    warm_at = cell.board.tick()
    cell.run_to_step("draw")
    assert warm_at - back_at > 10_000
    assert 19_000 <= cell.board.tick() - warm_at <= 22_000
    record = cell.run()
    assert (record["result"], record["interruptions"]) == ("good", 0)
    assert cell.made[0]["drawn_degc"] >= 145
    assert cell.damage == []


def test_held_while_it_cools_the_fan_and_the_vacuum_go_on(cell):
    cell.order("arch_liner", material="abs").run_to_step("cool").run_for(1)
    hot = sheet_degc(cell)
    cell.command("hold")
    cell.run_to("Held").run_for(8)
    assert [cell.output(name) for name in ("cooling_fan", "vacuum_pump", "vacuum_valve")] == [1, 1, 1]
    assert sheet_degc(cell) < hot - 40
    cell.command("unhold")
    assert cell.run()["result"] == "good"
    assert not cell.made[0]["sprung"]


def test_a_sheet_that_waited_on_the_way_to_the_mould_is_heated_again(cell):
    cell.order("arch_liner", material="abs").run_to_output("mould_up").run_for(0.5)
    cell.fault("door.open").run_to("Held").run_for(12)
    assert sheet_degc(cell) < 120
    cell.fault("door.open", on=False)
    cell.command("unhold")
    assert cell.run()["interruptions"] == 0
    assert cell.made[0]["drawn_degc"] >= 145
    assert cell.damage == []


def test_a_sheet_held_too_long_while_it_is_drawn_is_asked_for(cell):
    cell.fault("vacuum.leak").order("arch_liner", material="abs").run_to("Held")
    assert cell.reason == "vacuum did not build up within 4 s"
    cell.run_until(lambda: cell.question != "", "a question", 30)
    assert cell.question == "item 0001 interrupted in draw: resume | repeat | scrap | done?"

    # a person looks, presses the sheet down where it leaks, and has it drawn anew: it is heated first
    cell.fault("vacuum.leak", on=False)
    cell.answer("resume")
    assert cell.command("unhold")["ok"]
    assert cell.run()["result"] == "good"
    assert cell.made[0]["drawn_degc"] >= 145


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("clamp.jam", "clamp did not close within 2 s"),
        ("extraction.clogged", "the extraction brings no air within 5 s"),
        ("mould.jam", "mould did not come up within 4 s"),
        ("fan.dead", "part did not cool down within 25 s"),
        ("trim.jam", "trim die did not come down within 2 s"),
        ("stand.jam", "carrier did not leave within 10 s"),
    ],
)
def test_what_jams_holds_the_cell_and_the_item_is_finished_afterwards(cell, fault, reason):
    cell.fault(fault).order("arch_liner", material="petg").run_to("Held")
    assert cell.reason == reason
    assert heater(cell) == [0, 0]
    cell.fault(fault, on=False)
    assert cell.command("unhold")["ok"]
    assert cell.run()["result"] == "good"
    assert cell.damage == []


def test_without_a_sheet_or_with_the_wrong_one_it_waits(cell):
    cell.fault("sheet.missing").order("arch_liner", material="abs").run_to("Suspended")
    cell.fault("sheet.missing", on=False)
    assert cell.run()["result"] == "good"
    cell.fault("carrier.wrong")
    cell.ask("order.submit", order_id="b", product="arch_liner", options={"material": "abs"}, carriers=[2002])
    cell.run_to("Suspended")
    assert "7002" in cell.reason + str(cell.view)
    cell.fault("carrier.wrong", on=False)
    assert cell.run()["result"] == "good"


# --- aborted, killed, cut off ---


def test_the_emergency_stop_takes_heat_motion_and_vacuum_at_once_and_its_return_moves_nothing(cell):
    cell.order("arch_liner", material="abs").run_to_output("vacuum_valve").run_for(1)
    cell.fault("estop.open").scan()
    moving = (
        "mould_up",
        "mould_down",
        "clamp",
        "unclamp",
        "trim_die",
        "vacuum_pump",
        "vacuum_valve",
        "cooling_fan",
    )
    assert [cell.output(name) for name in (*HEATER, *moving)] == [0] * 10
    assert cell.output("extractor") == 1
    cell.run_to("Aborted")
    assert cell.input("vacuum") < 60
    cell.fault("estop.open", on=False).run_for(5)
    assert cell.state == "Aborted"
    assert recover(cell)["result"] == "good"
    assert not cell.made[0]["sprung"]
    assert cell.damage == []


def test_killed_while_it_heats_nothing_is_driven_at_boot_and_the_recipe_has_the_answer(cell):
    cell.order("arch_liner", material="abs").run_to_step("heat").run_for(15)
    cell.restart()
    assert cell.state == "Aborted"
    assert heater(cell) == [0, 0]
    assert [name for name, value in cell.outputs.items() if value and not name.startswith("light")] == [
        "extractor"
    ]
    cell.run_for(60)
    assert power(cell) == 0
    assert cell.question == ""  # half-heated is not spoilt: heated again
    record = cell.make_ready().run()
    assert (record["result"], record["interruptions"]) == ("good", 1)
    assert cell.damage == []


def test_killed_while_it_draws_it_asks(cell):
    cell.order("arch_liner", material="abs").run_to_output("vacuum_valve").run_for(0.5)
    cell.restart()
    assert cell.question == "item 0001 interrupted in draw: resume | repeat | scrap | done?"
    cell.run_for(30)
    record = recover(cell)
    assert record["result"] == "good"
    assert cell.made[0]["drawn_degc"] >= 145  # heated and drawn anew
    assert cell.damage == []


def test_a_scrapped_sheet_is_cooled_before_the_frame_lets_it_go(cell):
    cell.order("arch_liner", material="abs").run_to_output("vacuum_valve").run_for(0.5)
    cell.command("abort")
    cell.run_to("Aborted")
    cell.answer("scrap")
    cell.make_ready().run()
    assert cell.counts == (1, 1)
    assert [part["cuts"] for part in cell.made] == [0, 1]
    assert cell.damage == []


def test_a_remote_io_that_hears_nothing_takes_the_heat_by_itself_and_the_cell_aborts(cell):
    # given a heater at full power, when the module's cable is out, then the module falls back ...
    cell.order("arch_liner", material="abs").run_to_step("heat").run_for(10)
    cell.fault("io.silent")
    assert power(cell) == 0
    # ... before the controller knows; and the controller aborts, when it does
    cell.fault("io_link.stale").scan()
    assert heater(cell) == [0, 0]
    cell.run_to("Aborted")
    assert cell.reason == "io_link has no good value"

    # its return moves nothing, and Clear is refused until then
    assert cell.command("clear")["name"] == "cause_stands"
    cell.fault("io.silent", on=False).fault("io_link.stale", on=False).run_for(5)
    assert cell.state == "Aborted"
    assert recover(cell)["result"] == "good"
    assert cell.damage == []
