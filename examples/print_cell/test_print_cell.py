"""The test sheet of the print cell: the real controller on the simulated board, in virtual time.

Run it with `pytest` in this directory. `cell` is the cell of this directory, just switched on; every test may turn the
board's faults on and off (`cellctl fault --help` lists them) and ends with nothing broken and nobody hurt.
"""

import hashlib
import runpy
from pathlib import Path

import pytest

from cell_controller.core.signals import KEEP
from hil.bench import Bench
from host_tools.cellfile import compile_cell
from host_tools.check import check

HERE = Path(__file__).parent
RUNNING, PAUSED, CANCELLED, INTERRUPTED = 3, 4, 7, 8  # of printer_state


def sha256_of(name):
    return hashlib.sha256((HERE / "jobs" / name).read_bytes()).hexdigest()


def step_of(record, phase):
    """The one step of an item's record that ran this phase."""
    (step,) = [step for step in record["steps"] if step["phase"] == phase]
    return step


def actual_of(record, phase):
    """What the phase measured: name -> (value, steps a unit)."""
    return {name: (value, per_unit) for name, value, per_unit in step_of(record, phase)["actual"]}


def half_printed(cell):
    """Run on until half of the file is printed."""
    return cell.run_until(lambda: cell.input("progress") >= 500, "half of the print")


def finish(cell):
    """Run until everything is made; a person writes the label where one is asked for."""

    def made():
        if cell.view["state"] == "Execute" and cell.controller.sequencer.operator():
            cell.ask("confirm", serial=cell.view["item"]["serial"])
        return not cell.controller.book.open_jobs()

    cell.run_until(made, "every order made", within_s=900)
    return cell.records[-1]


# --- what is made ---


@pytest.mark.parametrize("material", ["pla", "petg"])
@pytest.mark.parametrize("size", ["m", "l"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_an_order_is_printed_from_its_own_file_and_the_record_names_it(cell, side, size, material):
    record = cell.order("bracket", side=side, size=size, material=material).run()

    # the file's whole sha256 is in the record of the item, and its key came back from the printer
    file = sha256_of(f"bracket-{side}-{size}.gcode")
    step = step_of(record, "print_part")
    assert step["name"] == f"print_{side}_{size}"
    assert ["file", file] in step["set"]
    seen = actual_of(record, "print_part")
    assert seen["job_key"] == (int(file[:7], 16), 1)
    assert seen["progress"] == (1000, 10)
    assert seen["seconds"][0] >= 10

    # the part came off the bed, printed to its end, hot enough for its material
    (part,) = cell.made
    assert (record["result"], part["key"], part["per_mille"]) == ("good", int(file[:7], 16), 1000)
    assert part["coldest_degc"] >= {"pla": 200, "petg": 230}[material]
    assert cell.damage == []


def test_a_customers_own_file_is_named_by_its_sha256_in_order_and_record(cell):
    file = hashlib.sha256(b"G1 X10\n").hexdigest()
    record = cell.order("own_part", file=file).run()
    assert ["file", file] in record["options"]
    assert ["file", file] in step_of(record, "print_part")["set"]
    assert actual_of(record, "print_part")["job_key"] == (int(file[:7], 16), 1)
    assert cell.made[0]["key"] == int(file[:7], 16)
    assert cell.damage == []


def test_an_own_part_without_a_file_is_refused(cell):
    reply = cell.ask("order.submit", order_id="a", product="own_part", options={})
    assert reply["text"].endswith("own_part needs the customer's print file")
    reply = cell.ask("order.submit", order_id="a", product="own_part", options={"file": "bracket.gcode"})
    assert reply["text"].endswith("file names a file by its sha256: 64 characters of 0-9 a-f")


def test_a_label_is_written_by_a_person_and_only_where_one_was_ordered(cell):
    cell.order("bracket", side="left", label="Ada 7").run_to_step("label")
    cell.run_for(60)
    assert cell.step == "label"
    assert "Ada 7" in cell.view["item"]["made"]
    assert finish(cell)["options"][0] == ["label", "Ada 7"]


def test_several_parts_are_made_one_after_the_other_without_anybody(cell):
    cell.order("bracket", count=3, side="right").run()
    assert [part["per_mille"] for part in cell.made] == [1000, 1000, 1000]
    assert cell.counts == (3, 0)
    assert cell.damage == []


def test_the_print_files_are_those_that_the_script_makes():
    made = runpy.run_path(str(HERE / "make_jobs.py"))["jobs"]()
    kept = {path.name: path.read_bytes() for path in (HERE / "jobs").glob("*.gcode")}
    assert kept == made


def test_the_files_of_the_cell_are_sound_for_every_board():
    # a desk has no pins, so its emergency-stop contact is simulated behind a line: the one thing to think about
    findings = [str(finding) for finding in check(HERE)]
    assert [text for text in findings if "wiring/desk.toml, [emergency_stop_ok]" not in text] == []


# --- stopped at every yield ---

WITH_LABEL = {"side": "left", "label": "Al"}
OWNED = ("heartbeat", "light_red", "light_amber", "light_green")


@pytest.fixture(scope="module")
def compiled():
    return compile_cell(HERE, "sim")


def place_of(run):
    """The phase, and the line of its yield."""
    generator = run.generator
    while hasattr(generator.gi_yieldfrom, "gi_frame"):
        generator = generator.gi_yieldfrom
    return f"{run.name}, line {generator.gi_frame.f_lineno}"


@pytest.fixture(scope="module")
def yields(compiled):
    """Every yield of every phase, and the scan at which an order without trouble comes to it first."""
    cell = Bench(compiled).order("bracket", **WITH_LABEL)
    found = {}
    scans = 0
    while cell.controller.sequencer.operator() is None:  # the last yield waits for a person
        scans += 1
        cell.scan()
        for run in cell.controller.sequencer.running:
            if run.wait is not None:
                found.setdefault(place_of(run), scans)
    return found


def driven(cell):
    """The outputs that phases write, as the board drives them."""
    return {name: value for name, value in cell.outputs.items() if name not in OWNED}


def stopped(cell, command, ends_in):
    """Give a command, and compare the outputs with what the cell file says of it, at once and for 3 s."""
    before = driven(cell)
    assert cell.command(command)["ok"]
    on_command = {entry["name"]: entry[f"on_{command}"] for entry in cell.spec["outputs"]}
    expected = {name: before[name] if on_command[name] == KEEP else on_command[name] for name in before}
    for _ in range(30):
        assert driven(cell) == expected
        cell.scan()
    cell.run_to(ends_in)


def go_on_after(cell, answer):
    """As a person does: look at the bed, answer the question if there is one, Clear, Reset."""
    if cell.question:
        assert cell.answer(answer)["ok"]
    if cell.state == "Aborted":
        assert cell.command("clear")["ok"]
        cell.run_to("Stopped")
    assert cell.command("reset")["ok"]


def test_every_phase_is_among_the_yields(yields):
    assert {place.split(",")[0] for place in yields} == {"heat", "print_part", "cool", "remove", "label"}
    assert len(yields) >= 15


def test_held_at_any_yield_the_printer_waits_warm_and_the_item_is_finished(compiled, yields):
    for place, scans in yields.items():
        cell = Bench(compiled).order("bracket", **WITH_LABEL).scan(scans)
        stopped(cell, "hold", "Held")
        assert cell.output("pause") == 1, place
        assert cell.command("unhold")["ok"], place
        record = finish(cell)
        assert (record["result"], record["interruptions"], cell.counts) == ("good", 0, (1, 0)), place
        assert cell.damage == [], place


def test_stopped_at_any_yield_the_part_is_scrapped_and_cleared_away_without_a_hand(compiled, yields):
    for place, scans in yields.items():
        cell = Bench(compiled).order("bracket", **WITH_LABEL).scan(scans)
        stopped(cell, "stop", "Stopped")
        printing = place.startswith("print_part")
        assert (cell.question != "") == printing, place
        go_on_after(cell, "scrap")
        finish(cell)
        assert cell.counts == (1, 1 if printing else 0), place
        assert cell.damage == [], place


def test_aborted_at_any_yield_a_hand_clears_the_bed_and_the_item_is_made(compiled, yields):
    for place, scans in yields.items():
        cell = Bench(compiled).order("bracket", **WITH_LABEL).scan(scans)
        stopped(cell, "abort", "Aborted")
        assert (cell.output("printer_enable"), cell.output("nozzle_set"), cell.output("job")) == (0, 0, 0)
        cell.take_part()
        go_on_after(cell, "repeat")
        record = finish(cell)
        assert (record["result"], record["interruptions"], cell.counts) == ("good", 1, (1, 0)), place
        assert cell.damage == [], place


def test_killed_at_any_yield_nothing_is_driven_and_the_item_is_made(compiled, yields):
    for place, scans in yields.items():
        cell = Bench(compiled).order("bracket", **WITH_LABEL).scan(scans)
        cell.restart()
        assert cell.state == "Aborted"
        assert set(driven(cell).values()) == {0}, place
        cell.take_part()
        go_on_after(cell, "repeat")
        finish(cell)
        assert cell.counts == (1, 0), place
        assert cell.damage == [], place


# --- trouble ---

HOLDS = {
    "printer.cold": "nozzle did not get hot within 300 s",
    "printer.nofile": "printer did not take the file within 60 s",
    "printer.jam": "print did not go on within 60 s",
    "ejector.jam": "part did not come off the bed within 20 s",
    "part.sticks": "part did not come off the bed within 20 s",
}


@pytest.mark.parametrize("fault", HOLDS)
def test_a_device_that_fails_holds_the_cell_and_says_why(cell, fault):
    cell.make_ready().fault(fault).order("bracket", side="left").run_to("Held", within_s=500)
    assert cell.reason == HOLDS[fault]
    assert cell.damage == []


@pytest.mark.parametrize("fault", ["printer.cold", "printer.jam", "ejector.jam", "part.sticks"])
def test_what_was_repaired_goes_on_after_unhold(cell, fault):
    cell.make_ready().fault(fault).order("bracket", side="left").run_to("Held", within_s=500)
    cell.fault(fault, on=False)
    assert cell.command("unhold")["ok"]
    assert cell.run()["result"] == "good"
    assert cell.damage == []


def test_a_hand_takes_off_what_the_ejector_cannot(cell):
    cell.fault("part.sticks").order("bracket", side="left").run_to("Held", within_s=200)
    cell.take_part()
    assert cell.command("unhold")["ok"]
    assert cell.run()["result"] == "good"


def test_a_printer_that_gives_up_makes_scrap_and_the_order_another_one(cell):
    half_printed(cell.order("bracket", side="left"))
    cell.fault("printer.fails").run_to("Held")
    assert cell.reason == "file was not printed to its end within 5 s"
    cell.fault("printer.fails", on=False).command("stop")
    cell.run_to("Stopped")
    assert (
        cell.question
        == "item 0001 interrupted in print_left_m, tenth 6 of 10: resume | repeat | scrap | done?"
    )
    go_on_after(cell, "scrap")
    cell.run()
    assert cell.counts == (1, 1)
    assert cell.damage == []


def test_a_printer_that_was_reset_stops_the_cell_and_is_homed_over_an_empty_bed_only(cell):
    half_printed(cell.order("bracket", side="left"))
    cell.fault("printer.reset").run_to("Stopped")
    assert cell.reason == "the printer does not answer"
    assert (cell.output("nozzle_set"), cell.output("job")) == (0, 0)
    cell.fault("printer.reset", on=False).run_for(5)
    assert cell.input("printer_unreset") == 0

    # whoever says resume all the same is asked to clear the bed first: the printer has lost its place
    assert cell.answer("resume")["ok"]
    assert cell.command("reset")["ok"]
    cell.run_to("Stopped")
    assert cell.reason == "no empty bed to home over within 2 s"
    cell.take_part()
    assert cell.command("reset")["ok"]
    cell.run()
    assert (cell.counts, cell.made[0]["per_mille"]) == ((1, 0), 1000)
    assert cell.damage == []


def test_a_print_whose_cable_was_off_goes_on_where_it_was_because_nothing_was_reset(cell):
    half_printed(cell.order("bracket", side="left"))
    at = cell.input("progress")
    cell.fault("printer.link").run_to("Stopped")
    assert cell.reason == "the printer does not answer"
    assert cell.command("reset")["ok"] is False
    cell.fault("printer.link", on=False).run_for(1)
    assert (cell.input("printer_state"), cell.input("printer_unreset")) == (INTERRUPTED, 1)

    go_on_after(cell, "resume")
    cell.run_until(lambda: cell.input("printer_state") == RUNNING, "the print goes on")
    assert cell.input("progress") >= at
    record = cell.run()
    assert (record["result"], record["interruptions"], cell.counts) == ("good", 1, (1, 0))
    assert cell.made[0]["per_mille"] == 1000
    assert cell.damage == []


def test_a_print_that_a_person_repeats_is_not_taken_up_in_its_middle(cell):
    half_printed(cell.order("bracket", side="left"))
    cell.fault("printer.link").run_to("Stopped")
    cell.fault("printer.link", on=False).run_for(1)
    go_on_after(cell, "repeat")
    cell.run_to("Held")
    assert cell.reason == "no empty bed to print on within 2 s"
    cell.take_part()
    assert cell.command("unhold")["ok"]
    cell.run()
    assert cell.counts == (1, 0)
    assert cell.damage == []


def test_an_opened_door_pauses_the_print_warm_and_unhold_waits_for_it(cell):
    half_printed(cell.order("bracket", side="left"))
    cell.fault("door.open").scan(2)
    assert (cell.output("pause"), cell.output("nozzle_set"), cell.output("job") != 0) == (1, 2150, True)
    cell.run_to("Held")
    assert cell.reason == "the running step needs door_closed"
    cell.run_until(lambda: cell.input("printer_state") == PAUSED, "a pause")
    cell.fault("door.open", on=False)
    assert cell.command("unhold")["ok"]
    assert cell.run()["result"] == "good"
    assert cell.damage == []


def test_a_print_that_is_held_for_10_minutes_loses_its_heat(cell):
    half_printed(cell.order("bracket", side="left"))
    cell.command("hold")
    cell.run_for(595)
    assert (cell.state, cell.output("nozzle_set")) == ("Held", 2150)
    cell.run_for(10)
    assert (cell.state, cell.output("nozzle_set"), cell.output("bed_set")) == ("Stopped", 0, 0)
    assert cell.reason == "the printer has stood for 10 minutes: no more heat for this print"
    cell.run_for(1)
    assert cell.input("printer_state") == CANCELLED
    go_on_after(cell, "scrap")
    cell.run()
    assert cell.counts == (1, 1)
    assert cell.damage == []


@pytest.mark.parametrize("fault", ["bed_clear.stale", "printer_ready.stale"])
def test_a_print_that_cannot_begin_does_not_stay_hot_for_ever(cell, fault):
    cell.order("bracket", side="left")
    cell.run_until(lambda: cell.output("nozzle_set") > 0, "heat")
    cell.fault(fault)
    cell.run_to("Held")
    assert cell.output("nozzle_set") == 2150
    cell.run_for(665)
    assert (cell.output("nozzle_set"), cell.output("bed_set")) == (0, 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("estop.open", "emergency-stop chain is open"), ("smoke.there", "there is smoke")],
)
def test_emergency_stop_and_smoke_stop_the_printer_at_once_and_their_end_moves_nothing(cell, fault, reason):
    half_printed(cell.order("bracket", side="left"))
    cell.fault(fault).scan()
    assert (cell.output("printer_enable"), cell.output("nozzle_set"), cell.output("bed_set")) == (0, 0, 0)
    cell.run_to("Aborted")
    assert cell.reason == reason
    cell.fault(fault, on=False).run_for(60)
    assert cell.state == "Aborted"
    assert set(driven(cell).values()) == {0}
    assert cell.damage == []


def test_a_cell_with_smoke_in_it_is_not_started_again(cell):
    cell.fault("smoke.there").command("clear")
    cell.run_to("Stopped").command("reset")
    cell.run_to("Aborted")
    assert cell.reason == "there is smoke"
    assert set(driven(cell).values()) == {0}


def test_smoke_in_a_cell_that_stands_still_aborts_as_well(cell):
    cell.make_ready().run_for(5)
    cell.fault("smoke.there").run_to("Aborted")
    assert cell.output("printer_enable") == 0


def test_a_nozzle_that_runs_away_is_stopped_before_it_burns(cell):
    half_printed(cell.order("bracket", side="left"))
    cell.fault("nozzle.runaway").run_to("Aborted")
    assert cell.reason == "nozzle above 290 or bed above 125 degC"
    cell.run_for(120)
    assert cell.input("nozzle") < 1000
    assert cell.damage == []


def test_a_frozen_meter_stops_nothing_and_the_record_says_so(cell):
    cell.fault("meter.frozen").order("bracket", side="left")
    record = cell.run()
    assert (record["result"], record["energy"]) == ("good", 0)
    assert actual_of(record, "print_part")["meter_ok"] == (0, 1)


def test_a_meter_that_does_not_answer_stops_nothing_and_the_record_says_so(cell):
    cell.fault("meter.stale").order("bracket", side="left")
    assert actual_of(cell.run(), "print_part")["meter_ok"] == (0, 1)


def test_a_good_meter_says_what_the_part_took(cell):
    record = cell.order("bracket", side="left").run()
    assert record["energy"] > 5  # 0.1 Wh
    assert actual_of(record, "print_part")["meter_ok"] == (1, 1)


# --- the first minute ---


def test_at_boot_nothing_is_on_and_reset_proves_the_printers_place(cell):
    assert set(driven(cell).values()) == {0}
    assert cell.input("printer_ready") == 0
    cell.make_ready()
    assert (cell.state, cell.output("printer_enable"), cell.input("printer_ready")) == ("Idle", 1, 1)


def test_a_printer_that_finds_no_home_position_stays_stopped_and_says_so(cell):
    cell.fault("printer.lost").command("clear")
    cell.run_to("Stopped").command("reset")
    cell.run_for(3).run_to("Stopped", within_s=200)
    assert cell.reason == "printer did not find its home position within 120 s"
