"""The booth behaves like one: things take time, parts come and go, and damage is noticed."""

import pytest

from hil.plant import approach, slew
from host_tools.cellfile import CompiledCell
from tests.hil.bench_plant import DrivenPlant


def clamped(booth: DrivenPlant) -> DrivenPlant:
    booth.drive(clamp=1, booth_fan=1)
    booth.run(5000)
    booth.drive(clamp=0)
    return booth


def test_a_part_stands_ready_at_the_start(booth: DrivenPlant) -> None:
    assert booth.read("part_present") == 1
    assert booth.read("carrier") == 1001
    assert (booth.read("clamp_closed"), booth.read("clamp_open")) == (0, 1)
    assert (booth.read("door_closed"), booth.read("emergency_stop_ok"), booth.read("roller_home")) == (
        1,
        1,
        1,
    )


def test_the_clamp_takes_its_time_and_stays_without_either_coil(booth: DrivenPlant) -> None:
    booth.drive(clamp=1)
    booth.run(400)
    assert (booth.read("clamp_closed"), booth.read("clamp_open")) == (0, 0)
    assert 300 <= booth.time_until("clamp_closed", 1) <= 450
    booth.drive(clamp=0)
    booth.run(60_000)
    assert booth.read("clamp_closed") == 1
    booth.drive(unclamp=1)
    assert booth.time_until("clamp_open", 1) <= 850


def test_a_stroke_of_the_clamp_ends_without_its_coil(booth: DrivenPlant) -> None:
    booth.drive(clamp=1)
    booth.run(100)
    booth.drive(clamp=0)
    assert booth.time_until("clamp_closed", 1) <= 850


def test_air_builds_up_and_dies_away(booth: DrivenPlant) -> None:
    booth.drive(booth_fan=1)
    assert 900 <= booth.time_until("airflow", 400) <= 2500
    booth.run(30_000)
    assert booth.read("airflow") == 600
    booth.drive(booth_fan=0)
    booth.run(30_000)
    assert booth.read("airflow") == 0


@pytest.mark.parametrize("valve", ["valve_burgundy", "valve_green", "valve_primer"])
def test_paint_flows_a_moment_after_its_valve_opens(booth: DrivenPlant, valve: str) -> None:
    clamped(booth).drive(**{valve: 1})
    assert booth.read("paint_flow") == 0
    assert 50 <= booth.time_until("paint_flow", 200) <= 500
    booth.drive(**{valve: 0})
    booth.run(500)
    assert booth.read("paint_flow") == 0


def test_the_panel_heats_under_the_lamp_and_cools_without(booth: DrivenPlant) -> None:
    clamped(booth).drive(cure_lamp=80)
    assert 3000 <= booth.time_until("panel_temp", 60) <= 9000
    booth.run(120_000)
    assert 90 <= booth.read("panel_temp") <= 100
    booth.drive(cure_lamp=0)
    assert 3000 <= booth.time_until("panel_temp", 0, 50) <= 15_000
    booth.run(200_000)
    assert booth.read("panel_temp") == 20


def test_the_carrier_leaves_over_the_lowered_stopper_and_the_next_one_follows(booth: DrivenPlant) -> None:
    booth.drive(stopper=1)
    booth.run(2000)
    assert booth.read("part_present") == 0
    assert booth.read("carrier") == 0
    booth.drive(stopper=0)
    assert 0 < booth.time_until("part_present", 1) <= 2000
    assert booth.read("carrier") == 1002


def test_no_carrier_comes_while_the_stopper_is_down(booth: DrivenPlant) -> None:
    booth.drive(stopper=1)
    booth.run(30_000)
    assert booth.read("part_present") == 0
    assert len(booth.plant.made) == 1


def test_a_clamped_part_does_not_leave(booth: DrivenPlant) -> None:
    clamped(booth).drive(stopper=1)
    booth.run(30_000)
    assert booth.read("part_present") == 1


def test_ordered_carriers_come_first(booth: DrivenPlant) -> None:
    booth.plant.next_carriers[:] = [77, 78]
    seen = []
    for _ in range(3):
        booth.drive(stopper=1)
        booth.run(1000)
        booth.drive(stopper=0)
        booth.run(3000)
        seen.append(booth.read("carrier"))
    assert seen == [77, 78, 1002]


def test_a_removed_part_is_followed_by_the_next(booth: DrivenPlant) -> None:
    booth.plant.remove_part()
    booth.drive()
    assert booth.read("part_present") == 0
    booth.run(3000)
    assert booth.read("carrier") == 1002
    assert booth.plant.made == []


def test_a_part_remembers_what_was_done_to_it(booth: DrivenPlant) -> None:
    clamped(booth)
    for _ in range(3):
        booth.drive(valve_burgundy=1)
        booth.run(4500)
        booth.drive(valve_burgundy=0)
        booth.run(2000)
    booth.drive(pen=1)
    booth.run(1200)
    booth.drive(pen=0, unclamp=1)
    booth.run(1000)
    booth.drive(unclamp=0, stopper=1)
    booth.run(1000)
    (part,) = booth.plant.made
    assert part.state()["coats"] == {"burgundy": 3}
    assert 48 <= part.paint_ul // 1000 <= 58  # 3 x 4.5 s at 240 ml/min
    assert part.drawn_ms == 1200
    assert booth.plant.damage == []


@pytest.mark.parametrize(
    ("driven", "watts"),
    [({}, 120), ({"booth_fan": 1}, 870), ({"booth_fan": 1, "cure_lamp": 50}, 2370)],
)
def test_the_meter_adds_up_the_power(booth: DrivenPlant, driven: dict[str, int], watts: int) -> None:
    booth.drive(**driven)
    before = booth.read("energy")
    booth.run(360_000)
    assert booth.read("energy") - before == pytest.approx(watts, abs=1)  # 0.1 Wh in 0.1 h


def test_the_meter_does_not_depend_on_when_the_plant_is_called(paint_cell: CompiledCell) -> None:
    def after_a_minute(pause_ms: int) -> int:
        booth = DrivenPlant(paint_cell.spec)
        booth.drive(booth_fan=1, cure_lamp=30)
        for _ in range(60_000 // pause_ms):
            booth.run(pause_ms)
            booth.drive()
        return booth.read("energy")

    assert after_a_minute(10) == after_a_minute(60_000)


def test_at_rest_the_plant_is_called_once_a_second(booth: DrivenPlant) -> None:
    booth.run(10_000)
    booth.calls = 0
    booth.run(60_000)
    assert booth.calls == 60


DAMAGE = {
    "sprayed with the door open": ({"valve_green": 1}, "door.open"),
    "sprayed without air": ({"valve_green": 1, "booth_fan": 0}, ""),
    "clamp opened while spraying": ({"valve_green": 1, "unclamp": 1}, ""),
    "sprayed without a part": ({"valve_green": 1}, "gone"),
    "lamp on without air": ({"cure_lamp": 20, "booth_fan": 0}, ""),
    "lamp on with the door open": ({"cure_lamp": 20}, "door.open"),
    "panel burnt": ({"cure_lamp": 130}, ""),
    "part left unclamped while the roller is down": ({"wrap_roller": 1, "unclamp": 1}, ""),
    "both coils of the clamp driven": ({"clamp": 1, "unclamp": 1}, ""),
}


@pytest.mark.parametrize("text", DAMAGE)
def test_damage_is_noticed_once(booth: DrivenPlant, text: str) -> None:
    driven, trouble = DAMAGE[text]
    clamped(booth)
    if trouble == "gone":
        booth.drive(unclamp=1)
        booth.run(1000)
        booth.drive(unclamp=0, stopper=1)
        booth.run(1000)
    elif trouble:
        booth.fault(trouble)
    assert booth.plant.damage == []
    booth.drive(**driven)
    booth.run(60_000)
    assert booth.plant.damage.count(text) == 1


def test_a_booth_that_reacts_at_once_does_no_damage(booth: DrivenPlant) -> None:
    clamped(booth).drive(valve_green=1)
    booth.run(1000)
    booth.fault("door.open")
    booth.run(20)
    booth.drive(valve_green=0)
    booth.run(1000)
    assert booth.plant.damage == []


@pytest.mark.parametrize(
    ("start", "target"), [(0, 6000), (6000, 0), (20_000, 95_200), (95_200, 20_000), (5, 5)]
)
def test_a_lag_arrives_and_never_overshoots(start: int, target: int) -> None:
    value, steps = start, 0
    while value != target:
        moved = approach(value, target, 50, 1200)
        assert min(value, target) <= moved <= max(value, target)
        assert moved != value
        value, steps = moved, steps + 1
        assert steps < 1000


def test_slew_moves_by_at_most_its_step() -> None:
    assert [slew(0, 10, 4), slew(8, 10, 4), slew(10, 0, 4), slew(3, 0, 4), slew(5, 5, 4)] == [4, 10, 6, 0, 5]
