"""PackML as the reference file states it, computed another way than the package does: what the tests compare with."""

import json
from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "reference" / "packml.json").read_text())
PROFILES = (2015, 2022)
NUMBER: dict[str, int] = {state["name"]: state["number"] for state in FACTS["states"]}
NAME: dict[int, str] = {number: name for name, number in NUMBER.items()}
COMMAND: dict[str, int] = {name: number for number, name in enumerate(FACTS["commands"])} | {"SC": 11}
COMMAND_NAME: dict[int, str] = {number: name for name, number in COMMAND.items()}
OPTIONAL = tuple(s["number"] for s in FACTS["states"][1:] if s["name"] not in FACTS["never_disabled"])


def mask(names: list[str]) -> int:
    return sum(1 << NUMBER[name] for name in names)


def legal_disabled_sets() -> Iterator[frozenset[int]]:
    """Every set of states that a mode may leave out; the same order as counting in binary over OPTIONAL."""
    for number in range(1 << len(OPTIONAL)):
        yield frozenset(state for bit, state in enumerate(OPTIONAL) if number >> bit & 1)


def hold_sets(profile: int) -> Iterator[frozenset[int]]:
    """Every choice of further states that allow Hold, in the same order."""
    states = sorted(NUMBER[name] for name in FACTS["optional_hold"][str(profile)])
    sets = chain.from_iterable(combinations(states, size) for size in range(len(states) + 1))
    yield from sorted((frozenset(s) for s in sets), key=lambda s: sum(1 << n for n in s))


def _transitions(profile: int) -> list[tuple[int, int, int]]:
    return [(NUMBER[a], COMMAND[on], NUMBER[b]) for a, on, b in FACTS["transitions"][str(profile)]]


_ARCS = {profile: _transitions(profile) for profile in PROFILES}
_COMPLETED_BY = {
    profile: {source: target for source, command, target in _ARCS[profile] if command == COMMAND["SC"]}
    for profile in PROFILES
}
_IMPLIED = [(NUMBER[rule["acting"]], NUMBER[rule["when"]]) for rule in FACTS["implied_disabled"]]


def table(profile: int, disabled: frozenset[int], hold_in: frozenset[int] = frozenset()) -> bytes:
    """Next states, 12 columns a state, by the skip rule: a disabled acting state is passed over."""
    gone = disabled | {acting for acting, wait in _IMPLIED if wait in disabled}
    cells = bytearray(len(NUMBER) * 12)
    extra = [(state, COMMAND["Hold"], NUMBER["Holding"]) for state in hold_in]
    for source, command, target in _ARCS[profile] + extra:
        reached = target
        if target in gone:
            reached = _COMPLETED_BY[profile].get(target, 0)
        cells[source * 12 + command] = 0 if reached in gone else reached
    return bytes(cells)


def allowed(profile: int, state: int, command: int) -> int:
    """The next state where nothing is disabled, 0 where there is none."""
    return table(profile, frozenset())[state * 12 + command]
