"""A consequence becomes the mildest command that the state and the mode know, never a milder one: Hold, Stop, Abort.

The rule as the tests state it: a cell that has done as much already does nothing more; Hold in a waiting state that
does not know it commands nothing, the trip alone blocks Start; everything else climbs until a rung is known.
"""

import itertools
import random
from pathlib import Path

import pytest

from cell_controller.core import alarms as al
from cell_controller.core import packml as pm
from cell_controller.core.escalation import escalate
from hil.bench import Bench
from tests.core.packml_oracle import COMMAND, FACTS, NAME, NUMBER, legal_disabled_sets, table
from tests.core.small_cell import put, small

RUNGS = ["Hold", "Stop", "Abort"]
DONE_ALREADY = {
    "Holding": "Hold",
    "Held": "Hold",
    "Stopping": "Stop",
    "Stopped": "Stop",
    "Aborting": "Abort",
    "Aborted": "Abort",
}
WAITING = {entry["name"] for entry in FACTS["states"] if entry["kind"] == "wait"} - {"Execute"}


def _rule(state: str, wanted: str, known: bytes) -> str:
    """The command that must follow, "" for none."""
    done = DONE_ALREADY.get(state)
    if done is not None and RUNGS.index(done) >= RUNGS.index(wanted):
        return ""
    for rung in RUNGS[RUNGS.index(wanted) :]:
        if known[NUMBER[state] * 12 + COMMAND[rung]]:
            return rung
        if rung == "Hold" and state in WAITING:
            return ""
    raise AssertionError(f"{state} knows no way out of {wanted}")


def test_the_waiting_states_are_those_of_the_standard() -> None:
    assert {"Stopped", "Idle", "Held", "Suspended", "Complete", "Aborted"} == WAITING


@pytest.mark.parametrize("profile", [2015, 2022])
def test_every_state_mode_and_consequence_follows_the_rule(profile: int) -> None:
    sets = list(legal_disabled_sets())
    chosen = [*random.Random(1).sample(sets, 300), frozenset(), sets[-1]]
    for disabled in chosen:
        known = table(profile, disabled)
        ours = pm.compile_table(profile, sum(1 << n for n in disabled))
        for number, consequence in itertools.product(range(1, 18), (al.HOLD, al.STOP, al.ABORT)):
            expected = _rule(NAME[number], RUNGS[consequence - 1], known)
            command = escalate(ours, number, consequence)
            assert (COMMAND[expected] if expected else 0) == command, (NAME[number], consequence, disabled)


# --- and in a live cell: every state it can be in, in every mode ---

KEYS = 'part_present = "shut"\n'
INPUTS = "".join(
    f'[inputs.says_{rung.lower()}]\nkind = "digital"\non_bad = "{rung.lower()}"\n' for rung in RUNGS
)
EQUIPMENT = "@phase\ndef work(cell):\n    yield wait(1000)\n" + "".join(
    f'@state("{entry["name"]}")\ndef in_{entry["name"].lower()}(cell):\n    yield until(cell.ready)\n'
    for entry in FACTS["states"]
    if entry["kind"] == "acting" and entry["name"] != "Execute"
)
PATHS = {
    "Aborted": "",
    "Clearing": "clear",
    "Stopped": "clear",
    "Resetting": "clear reset",
    "Idle": "clear reset",
    "Starting": "clear reset start",
    "Execute": "clear reset start",
    "Holding": "clear reset start hold",
    "Held": "clear reset start hold",
    "Unholding": "clear reset start hold unhold",
    "Suspending": "clear reset start suspend",
    "Suspended": "clear reset start suspend",
    "Unsuspending": "clear reset start suspend unsuspend",
    "Completing": "clear reset start complete",
    "Complete": "clear reset start complete",
    "Stopping": "clear reset stop",
    "Aborting": "clear abort",
}
MODES = ["Production", "Maintenance", "Manual"]


def _in_state(directory: Path, mode: str, state: str) -> "Bench | None":
    """A cell in this state and mode, None where the mode does not have the state."""
    cell = small(directory, EQUIPMENT, '[[step]]\nphase = "work"\n', KEYS, INPUTS)
    cell.command("take_control")
    put(cell, ready=1, shut=0)  # without a part there is no item, and Complete may be given
    cell.command("mode", mode=mode)
    cell.ask("order.submit", order_id="a", product="thing", options={})
    path = PATHS[state].split()
    for place, command in enumerate(path):
        if place == len(path) - 1 and state not in WAITING and state != "Execute":
            put(cell, ready=0)
        if not cell.command(command)["ok"]:
            return None
        cell.scan(3)
    return cell if cell.state == state else None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("state", PATHS)
def test_a_bad_signal_has_its_consequence_in_one_scan(state: str, mode: str, tmp_path: Path) -> None:
    states = FACTS["mode_states"][mode]
    known = table(2022, frozenset(number for name, number in NUMBER.items() if number and name not in states))
    for rung in RUNGS:
        cell = _in_state(tmp_path / rung, mode, state)
        if cell is None:
            assert state not in states
            return
        expected = _rule(state, rung, known)
        put(cell, ready=0)
        cell.fault(f"says_{rung.lower()}.stale").scan()
        if expected:
            assert cell.state == NAME[known[NUMBER[state] * 12 + COMMAND[expected]]]
        else:
            assert cell.state == state
        put(cell, ready=1)
        cell.scan(5)
        # whatever it led to, nothing starts while it stands
        assert cell.controller.alarms.blocks_start()
        for command in ("start", "reset", "clear", "unhold", "unsuspend"):
            assert not cell.command(command)["ok"]
