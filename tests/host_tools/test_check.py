"""`check` catches each thing it is for, says everything at once, and leaves a sound cell alone."""

from pathlib import Path

import pytest

from host_tools import check as check_module
from host_tools.check import Finding, check
from tests.host_tools.make_cell import make_cell

CELL, RPI, EQUIPMENT, RECIPE = "cell.toml", "wiring/rpi.toml", "equipment.py", "recipes/bonnet.toml"

SOUND = [
    "recipe bonnet@3, [parameters]: no step takes 'film_um'; remove it, or set it in a step",
    "recipe bonnet@3, [options.pinstripe]: changes nothing: no step takes it and no value sets anything",
    "recipe bonnet@3, [options.gap]: changes nothing: no step takes it and no value sets anything",
    "recipe bonnet@3, [options.pattern]: changes nothing: no step takes it and no value sets anything",
]
"""What the small cell is warned of as it stands."""


def errors_of(directory: Path) -> list[str]:
    return [finding.text for finding in check(directory) if finding.severity == "error"]


def warnings_of(directory: Path) -> list[str]:
    return [finding.text for finding in check(directory) if finding.severity == "warning"]


def test_sound_cell_has_no_error_and_the_warnings_it_deserves(tmp_path: Path) -> None:
    assert check(make_cell(tmp_path)) == [Finding("warning", text) for text in SOUND]


def test_finding_prints_its_severity_first() -> None:
    assert str(Finding("error", "cell.toml: no")) == "error: cell.toml: no"


def test_everything_is_said_at_once_errors_first(tmp_path: Path) -> None:
    directory = make_cell(
        tmp_path,
        (CELL, "min = 4,", "min = 14,"),
        (RPI, 'channel = "GPIO5"', 'channel = "GPIO4"'),
        (RECIPE, "coats = { default = 2,", "coats = { default = 9,"),
        (EQUIPMENT, "cell.booth_fan.on()", "cell.both_fan.on()"),
    )
    found = check(directory)
    assert [finding.severity for finding in found] == ["error"] * 4 + ["warning"] * len(SOUND)
    assert {finding.text.partition(":")[0] for finding in found[:4]} == {
        "cell.toml, [interlocks.no_spray_without_air]",
        "wiring/rpi.toml, [chain_ok]",
        "recipe bonnet@3, step 2 'spray'",
        "equipment.py",
    }


SOURCE_MISTAKES = [
    (
        "yield in finally",
        "        cell.valve(colour).on()\n        yield wait(dwell_ms)\n",
        "        try:\n            yield wait(dwell_ms)\n        finally:\n            yield\n",
        "equipment.py:13: yield in finally: an aborted phase is closed, so this would stop the closing; move it out",
    ),
    (
        "fault built while running",
        'fault="booth air did not build up"',
        'fault="booth air " + colour',
        "equipment.py:8: until: fault must be a text written out: every text is numbered before the cell runs",
    ),
    (
        "no generator",
        "    yield wait(cure_s * 1000)\n",
        "",
        "equipment.py:15: 'cure' never yields, so it would all happen in one scan; add a yield",
    ),
    (
        "unknown signal",
        "cell.booth_fan.on()",
        "cell.both_fan.on()",
        "equipment.py:7: cell.both_fan: no signal of cell.toml has that name; did you mean 'booth_fan'?",
    ),
    (
        "unknown member of a family",
        "cell.valve(colour).on()",
        'cell.valve("gren").on()',
        "equipment.py:10: cell.valve(\"gren\"): no signal valve_gren in cell.toml; did you mean 'green'?",
    ),
    (
        "driven input",
        "cell.booth_fan.on()",
        "cell.door_closed.on()",
        "equipment.py:7: cell.door_closed.on: 'door_closed' is an input; an input cannot be driven",
    ),
    (
        "read output",
        "cell.booth_fan.on()",
        "yield cell.booth_fan.value",
        "equipment.py:7: cell.booth_fan.value: 'booth_fan' is an output; known: on, off, set, name, per_unit",
    ),
    (
        "wait for an output",
        "until(cell.airflow, min=4,",
        "until(cell.lamp, min=4,",
        "equipment.py:8: until(cell.lamp): 'lamp' is an output; wait for the input that proves it",
    ),
    (
        "forgotten yield",
        "yield wait(dwell_ms)",
        "wait(dwell_ms)",
        "equipment.py:11: wait(...) alone waits for nothing; write yield wait(...)",
    ),
    (
        "phase called like a function",
        "    cell.booth_fan.on()",
        "    cure(cell)",
        "equipment.py:7: cure(...) alone does nothing; write yield from cure(...)",
    ),
    (
        "phase yielded like a wait",
        "    cell.booth_fan.on()",
        "    yield cure(cell)",
        "equipment.py:7: yield cure(...) waits for nothing; write yield from cure(...)",
    ),
    (
        "loop without end",
        "    cell.booth_fan.on()",
        "    while True: pass",
        "equipment.py:7: this loop neither yields nor ends, so the scan would never end; yield in it",
    ),
    (
        "limit out of range",
        "min=4,",
        "min=14.5,",
        "equipment.py:8: until(cell.airflow): min = 14.5 is outside the signal's range 0..12 m3/min",
    ),
    (
        "limit between steps",
        "min=4,",
        "min=4.005,",
        "equipment.py:8: until(cell.airflow): min = 4.005 is not a multiple of the resolution 0.01; "
        "round it or refine the resolution",
    ),
    (
        "driven out of range",
        "cell.lamp.set(80)",
        "cell.lamp.set(180)",
        "equipment.py:16: cell.lamp: set = 180 is outside the signal's range 0..100 %",
    ),
    (
        "ramped out of range",
        "cell.lamp.set(80)",
        "yield ramp(cell.lamp, to=180, over_s=3)",
        "equipment.py:16: cell.lamp: ramp to = 180 is outside the signal's range 0..100 %",
    ),
    (
        "ramped switch",
        "cell.lamp.set(80)",
        "yield ramp(cell.booth_fan, to=1, over_s=3)",
        "equipment.py:16: ramp(cell.booth_fan): 'booth_fan' is digital; only an output with a range can be ramped",
    ),
    (
        "word unknown to until",
        "within_s=5,",
        "within=5,",
        "equipment.py:8: until: unknown word 'within'; did you mean 'within_s'?",
    ),
    (
        "held",
        "yield wait(dwell_ms)",
        'yield wait(dwell_ms, held="go")',
        "equipment.py:11: wait: held = 'go' is not one of: 'stop', 'run', 'restart'",
    ),
    (
        "clock",
        "from cell_controller",
        "import time\nfrom cell_controller",
        "equipment.py:2: import time: a phase sees the world through its cell only; yield wait(ms)",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "line"), [case[1:] for case in SOURCE_MISTAKES], ids=[c[0] for c in SOURCE_MISTAKES]
)
def test_mistake_in_a_phase_is_found_without_running_it(
    tmp_path: Path, old: str, new: str, line: str
) -> None:
    assert line in errors_of(make_cell(tmp_path, (EQUIPMENT, old, new)))


def test_wait_without_a_time_limit_is_a_warning(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (EQUIPMENT, ', within_s=5, fault="booth air did not build up"', ""))
    assert "equipment.py:8: until without within_s waits for ever; give it a time and a fault" in warnings_of(
        directory
    )


def test_helper_that_takes_the_cell_is_checked_like_a_phase(tmp_path: Path) -> None:
    helper = "def blow(cell):\n    cell.blower.on()\n\n@phase\ndef cure"
    assert (
        "equipment.py:15: cell.blower: no signal of cell.toml has that name; "
        "known: airflow, door_closed, chain_ok, booth_fan, valve_green, lamp, heartbeat, door, chain, booth, valve"
        in errors_of(make_cell(tmp_path, (EQUIPMENT, "@phase\ndef cure", helper)))
    )


def test_outputs_that_nothing_makes_safe_are_named(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (RPI, 'channel = "GPIO23"\nrelay = true', 'channel = "GPIO23"'))
    assert (
        'wiring/rpi.toml: when the controller dies (on_death = "hold_last") nothing makes these safe: valve_green; '
        "put them behind the watchdog relay and write relay = true, or accept it"
    ) in warnings_of(directory)


def test_board_that_lets_go_makes_off_safe_but_not_on(tmp_path: Path) -> None:
    directory = make_cell(
        tmp_path,
        (RPI, "hold_last", "release"),
        (RPI, 'channel = "GPIO23"\nrelay = true', 'channel = "GPIO23"'),
        (RPI, 'channel = "GPIO22"\nrelay = true', 'channel = "GPIO22"'),
    )
    assert (
        'wiring/rpi.toml: when the controller dies (on_death = "release") nothing makes these safe: booth_fan; '
        "put them behind the watchdog relay and write relay = true, or accept it"
    ) in warnings_of(directory)


def test_relay_without_heartbeat_is_an_error(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (CELL, 'heartbeat = "heartbeat"\n', ""))
    assert errors_of(directory) == [
        "wiring/rpi.toml: relay = true (booth_fan, valve_green, lamp), but nothing feeds the relay; "
        "name heartbeat in [cell]"
    ]


def test_unknown_behaviour_on_death_is_an_error(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (RPI, "hold_last", "hold"))
    assert errors_of(directory) == [
        "wiring/rpi.toml, [board]: on_death = 'hold' is not known; did you mean 'hold_last'?"
    ]


def test_cell_without_emergency_stop_is_warned(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (CELL, 'emergency_stop = "chain_ok"\n', ""))
    assert (
        "cell.toml, [cell]: no emergency_stop: the controller cannot follow the chain; "
        "wire a monitoring contact and name it here"
    ) in warnings_of(directory)


def test_phase_that_no_recipe_uses_is_a_warning(tmp_path: Path) -> None:
    more = "\n@phase\ndef wipe(cell):\n    yield wait(10)\n\n@state"
    directory = make_cell(tmp_path, (EQUIPMENT, "\n@state", more))
    assert "equipment.py: no recipe uses phase 'wipe'" in warnings_of(directory)


def test_empty_directory_is_one_error(tmp_path: Path) -> None:
    assert check(tmp_path) == [
        Finding("error", "cell.toml: cannot be read: No such file or directory; the file is needed")
    ]


def test_state_model_that_strands_a_state_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(profile: int) -> dict[str, object]:
        arcs = [{"trigger": "Clear", "source": "Aborted", "dest": "Stopped"}]
        return {"states": ["Aborted", "Stopped", "Idle"], "transitions": arcs, "initial": "Aborted"}

    monkeypatch.setattr(check_module, "declaration", broken)
    assert "state model 2022: state Idle cannot be reached" in errors_of(make_cell(tmp_path))
    assert "state model 2022: state Stopped cannot be left" in errors_of(tmp_path)


def test_state_model_that_transitions_refuses_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(profile: int) -> dict[str, object]:
        return {"states": ["Aborted"], "transitions": [{"trigger": "Clear"}], "initial": "Aborted"}

    monkeypatch.setattr(check_module, "declaration", broken)
    found = errors_of(make_cell(tmp_path))
    assert any(line.startswith("state model 2022: transitions refuses it: ") for line in found)


def test_transition_to_no_state_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(profile: int) -> dict[str, object]:
        arcs = [{"trigger": "Clear", "source": "Aborted", "dest": "Nowhere"}]
        return {"states": ["Aborted"], "transitions": arcs, "initial": "Aborted"}

    monkeypatch.setattr(check_module, "declaration", broken)
    found = errors_of(make_cell(tmp_path))
    assert "state model 2022: from Aborted a transition leads to Nowhere, which is no state" in found
