"""The state model against the reference file: every state x command x profile x legal set of disabled states."""

import itertools
from typing import Any

import pytest
import transitions

from cell_controller.core import packml
from cell_controller.core.packml_modes import DEFAULT_DISABLED, mode_name
from cell_controller.core.refusals import (
    ACCEPTED,
    MODE_ENTERING_NOT_ALLOWED,
    MODE_LEAVING_NOT_ALLOWED,
    MODE_NOT_ENABLED,
    MODE_UNKNOWN,
    NOT_ALLOWED_IN_STATE,
    NOT_KNOWN_IN_MODE,
    STATE_NOT_IN_MODE,
    UNKNOWN_COMMAND,
)
from tests.core import packml_oracle as oracle
from tests.core.packml_oracle import COMMAND, FACTS, NUMBER, PROFILES

REAL_STATES = range(1, 18)


def bits(states: frozenset[int]) -> int:
    return sum(1 << state for state in states)


def test_states_and_commands_have_the_standard_numbers() -> None:
    assert list(packml.STATES) == [state["name"] for state in FACTS["states"]]
    assert list(packml.COMMANDS) == FACTS["commands"]
    assert (packml.ABORTED, packml.COMPLETE, packml.CMD_COMPLETE, packml.SC) == (9, 17, 10, 11)
    for name, number in NUMBER.items():
        assert getattr(packml, name.upper()) == number
    for name, number in list(COMMAND.items())[1:-1]:
        assert getattr(packml, "CMD_" + name.upper()) == number


@pytest.mark.parametrize(
    ("constant", "key", "value"),
    [
        ("WAIT", "kind", "wait"),
        ("ACTING", "kind", "acting"),
        ("CLEARED", "superstate", "cleared"),
        ("RUNNING", "superstate", "running"),
    ],
)
def test_kinds_and_superstates_are_the_reference_s(constant: str, key: str, value: str) -> None:
    names = [state["name"] for state in FACTS["states"] if state[key] == value]
    assert getattr(packml, constant) == oracle.mask(names)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_cell_of_every_table_is_the_reference_s(profile: int) -> None:
    for disabled in oracle.legal_disabled_sets():
        compiled = packml.compile_table(profile, bits(disabled))
        assert compiled == oracle.table(profile, disabled), f"disabled {sorted(disabled)}"


@pytest.mark.parametrize("profile", PROFILES)
def test_hold_may_be_allowed_where_the_profile_leaves_it_open(profile: int) -> None:
    for states in oracle.hold_sets(profile):
        assert packml.compile_table(profile, 0, bits(states)) == oracle.table(profile, frozenset(), states)


@pytest.mark.parametrize("profile", PROFILES)
def test_hold_is_refused_as_an_option_anywhere_else(profile: int) -> None:
    optional = [NUMBER[name] for name in FACTS["optional_hold"][str(profile)]]
    for state in set(range(18)) - set(optional):
        with pytest.raises(ValueError, match=f"{packml.STATES[state]} in the {profile} profile"):
            packml.compile_table(profile, 0, 1 << state)


def test_masks_of_2022_are_the_published_defaults() -> None:
    table = packml.compile_table(2022)
    for key, command in (("hold_allowed_in", "Hold"), ("complete_allowed_in", "Complete")):
        states = sum(1 << s for s in range(18) if table[s * packml.COLUMNS + COMMAND[command]])
        assert states == int(FACTS["masks_2022"][key], 16)
    assert int(FACTS["masks_2022"]["mode_change_allowed_in"], 16) == packml.MODE_CHANGE_STATES
    assert oracle.mask(FACTS["mode_change_states"]) == packml.MODE_CHANGE_STATES


@pytest.mark.parametrize("name", [*FACTS["never_disabled"], "Undefined"])
def test_a_required_state_cannot_be_disabled(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be disabled"):
        packml.compile_table(2022, 1 << NUMBER[name])


def test_bits_that_are_no_state_cannot_be_disabled() -> None:
    with pytest.raises(ValueError, match=r"bits 1\.\.17"):
        packml.compile_table(2022, 1 << 18)


def test_an_unknown_profile_is_an_error() -> None:
    with pytest.raises(ValueError, match="2008 is not known; use 2022 or 2015"):
        packml.compile_table(2008)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("with_options", [False, True])
def test_transitions_accepts_the_declaration_and_agrees_with_the_table(
    profile: int, with_options: bool
) -> None:
    hold_in = oracle.mask(FACTS["optional_hold"][str(profile)]) if with_options else 0
    declared: Any = packml.declaration(profile, hold_in)
    machine = transitions.Machine(model=None, send_event=True, auto_transitions=False, **declared)
    model = type("Model", (), {})()
    machine.add_model(model)
    assert model.state == "Aborted"
    assert list(machine.states) == [state["name"] for state in FACTS["states"][1:]]
    table = packml.compile_table(profile, 0, hold_in)
    for state, command in itertools.product(REAL_STATES, range(1, packml.COLUMNS)):
        machine.set_state(packml.STATES[state], model)
        trigger = packml.command_name(command)
        expected = table[state * packml.COLUMNS + command]
        if trigger not in machine.events:
            assert not expected
        elif expected:
            model.trigger(trigger)
            assert NUMBER[model.state] == expected
        else:
            with pytest.raises(transitions.MachineError):
                model.trigger(trigger)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_state_is_reached_from_aborted_and_can_be_aborted(profile: int) -> None:
    table = packml.compile_table(profile)
    reached = {packml.ABORTED}
    while True:
        more = {table[s * packml.COLUMNS + c] for s in reached for c in range(packml.COLUMNS)} - {0} - reached
        if not more:
            break
        reached |= more
    assert reached == set(REAL_STATES)
    for state in reached - {packml.ABORTING, packml.ABORTED}:
        assert table[state * packml.COLUMNS + packml.CMD_ABORT] == packml.ABORTING


@pytest.mark.parametrize("profile", PROFILES)
def test_no_set_of_disabled_states_takes_abort_away(profile: int) -> None:
    for disabled in oracle.legal_disabled_sets():
        table = packml.compile_table(profile, bits(disabled))
        for state in set(REAL_STATES) - {packml.ABORTING, packml.ABORTED}:
            reached = table[state * packml.COLUMNS + packml.CMD_ABORT]
            assert reached in (packml.ABORTING, packml.ABORTED)


def test_the_published_mask_is_what_the_state_allows() -> None:
    for profile, state in itertools.product(PROFILES, range(18)):
        expected = sum(1 << c for c in range(1, 11) if oracle.allowed(profile, state, c))
        assert packml.allowed_mask(packml.compile_table(profile), state) == expected


@pytest.mark.parametrize("profile", PROFILES)
def test_the_requested_state_is_the_wait_state_or_execute(profile: int) -> None:
    table = packml.compile_table(profile)
    waits = {"Execute"} | {state["name"] for state in FACTS["states"] if state["kind"] == "wait"}
    for state in REAL_STATES:
        name = packml.STATES[state]
        on_the_way_to = oracle.allowed(profile, state, COMMAND["SC"])
        assert packml.state_requested(table, state) == (state if name in waits else on_the_way_to)


def test_a_refused_command_says_whether_state_or_mode_forbids_it() -> None:
    manual = packml.compile_table(2022, DEFAULT_DISABLED[3])
    assert packml.command_refusal(manual, packml.EXECUTE, packml.CMD_HOLD) == NOT_KNOWN_IN_MODE
    assert packml.command_refusal(manual, packml.IDLE, packml.CMD_HOLD) == NOT_ALLOWED_IN_STATE
    assert packml.command_refusal(manual, packml.IDLE, packml.CMD_START) == ACCEPTED


@pytest.mark.parametrize("command", [-1, packml.NO_COMMAND, packml.SC, 12, 1 << 31])
def test_state_complete_and_made_up_numbers_are_unknown_commands(command: int) -> None:
    table = packml.compile_table(2022)
    assert packml.command_refusal(table, packml.RESETTING, command) == UNKNOWN_COMMAND


def test_complete_is_an_unknown_command_in_2015() -> None:
    table = packml.compile_table(2015)
    assert packml.command_refusal(table, packml.EXECUTE, packml.CMD_COMPLETE, 2015) == UNKNOWN_COMMAND


def test_modes_have_the_standard_names_and_default_states() -> None:
    assert [mode_name(number) for number in range(32)] == FACTS["modes"]
    for number in (1, 2, 3):
        present = oracle.mask(FACTS["mode_states"][mode_name(number)])
        assert packml.all_disabled(DEFAULT_DISABLED[number]) == 0x3FFFE & ~present


MODES_1_TO_4 = 0b11110


@pytest.mark.parametrize("target", [-1, 0, 32, 1 << 40])
def test_a_mode_outside_1_to_31_is_unknown(target: int) -> None:
    assert packml.mode_change_refusal(1, target, packml.IDLE, MODES_1_TO_4, {}, {}) == MODE_UNKNOWN


def test_a_mode_changes_only_in_the_states_both_modes_flag() -> None:
    for state in REAL_STATES:
        code = packml.mode_change_refusal(1, 3, state, MODES_1_TO_4, {}, {})
        flagged = packml.STATES[state] in FACTS["mode_change_states"]
        assert code == (ACCEPTED if flagged else MODE_LEAVING_NOT_ALLOWED)
    only_stopped = {3: 1 << packml.STOPPED}
    assert packml.mode_change_refusal(1, 3, packml.STOPPED, MODES_1_TO_4, {}, only_stopped) == ACCEPTED
    entering = packml.mode_change_refusal(1, 3, packml.IDLE, MODES_1_TO_4, {}, only_stopped)
    assert entering == MODE_ENTERING_NOT_ALLOWED
    leaving = packml.mode_change_refusal(3, 1, packml.IDLE, MODES_1_TO_4, {}, only_stopped)
    assert leaving == MODE_LEAVING_NOT_ALLOWED


def test_a_mode_that_is_not_declared_is_not_entered() -> None:
    assert packml.mode_change_refusal(1, 5, packml.STOPPED, MODES_1_TO_4, {}, {}) == MODE_NOT_ENABLED


def test_a_mode_without_the_present_state_is_not_entered() -> None:
    anywhere = {1: 0x3FFFE, 3: 0x3FFFE}
    disabled = {3: 1 << packml.HELD}
    for state in (packml.HELD, packml.HOLDING, packml.UNHOLDING):
        code = packml.mode_change_refusal(1, 3, state, MODES_1_TO_4, disabled, anywhere)
        assert code == STATE_NOT_IN_MODE
    assert packml.mode_change_refusal(1, 3, packml.EXECUTE, MODES_1_TO_4, disabled, anywhere) == ACCEPTED


def first_of(pending: int) -> int:
    order = [COMMAND[name] for name in FACTS["priority"]]
    waiting = [command for command in range(1, packml.COLUMNS) if pending >> command & 1]
    return min(waiting, key=lambda c: (order.index(c) if c in order else 99, c), default=0)


def test_priority_in_one_scan_is_abort_stop_hold_state_complete() -> None:
    for pending in range(1 << packml.COLUMNS):
        assert packml.prioritise(pending & ~1) == first_of(pending)


@pytest.mark.parametrize("profile", PROFILES)
def test_one_step_serves_the_first_command_the_state_allows(profile: int) -> None:
    table = oracle.table(profile, frozenset())
    machine = packml.StateMachine(packml.compile_table(profile))
    for state in REAL_STATES:
        allowed = sum(1 << c for c in range(packml.COLUMNS) if table[state * packml.COLUMNS + c])
        for pending in range(0, 1 << packml.COLUMNS, 2):
            machine.state = state
            for command in range(1, packml.COLUMNS):
                if pending >> command & 1:
                    machine.request(command)
            command = first_of(pending & allowed)
            after = table[state * packml.COLUMNS + command] if command else state
            assert (machine.step(), machine.state) == (command, after)
            assert machine.step() == 0, "what was not served is forgotten"
            machine.state = state


def test_an_abort_that_comes_with_anything_else_wins() -> None:
    machine = packml.StateMachine(packml.compile_table(), packml.EXECUTE)
    for command in range(1, packml.COLUMNS):
        machine.request(command)
    assert machine.step() == packml.CMD_ABORT
    assert machine.state == packml.ABORTING
    assert machine.step() == 0, "commands given before an abort are forgotten"


def test_another_mode_s_table_is_taken_without_leaving_the_state() -> None:
    machine = packml.StateMachine(packml.compile_table(), packml.IDLE)
    machine.use(packml.compile_table(2022, 1 << packml.STARTING))
    assert machine.state == packml.IDLE
    machine.request(packml.CMD_START)
    machine.step()
    assert machine.state == packml.EXECUTE


@pytest.mark.parametrize("command", range(1, packml.COLUMNS))
def test_a_step_is_needed_only_while_a_command_waits(command: int) -> None:
    machine = packml.StateMachine(packml.compile_table())
    assert not machine.step_needed()
    machine.request(command)
    assert machine.step_needed()
    machine.step()
    assert not machine.step_needed()
