"""One step of the state machine against `transitions.Machine` that was fed the same declaration, on the same walk."""

import time
from collections.abc import Callable
from typing import Any

import transitions
from transitions import Machine

from benchmarks.timing import paired, row
from cell_controller.core.packml import (
    ABORTED,
    CMD_ABORT,
    CMD_CLEAR,
    CMD_COMPLETE,
    CMD_HOLD,
    CMD_RESET,
    CMD_START,
    CMD_STOP,
    CMD_SUSPEND,
    CMD_UNHOLD,
    CMD_UNSUSPEND,
    COLUMNS,
    SC,
    STATES,
    StateMachine,
    command_name,
    compile_table,
    declaration,
)

# A day of a cell in one round: each command moves, and the last brings it back to Aborted.
WALK = (
    *(CMD_CLEAR, SC, CMD_RESET, SC, CMD_START, SC, CMD_HOLD, SC, CMD_UNHOLD, SC, CMD_SUSPEND, SC),
    *(CMD_UNSUSPEND, SC, CMD_COMPLETE, SC, CMD_RESET, SC, CMD_STOP, SC, CMD_ABORT, SC),
)
TABLE_ROUNDS = 2_000
PEER_ROUNDS = 100


class Model:
    """What the peer moves; it adds one method for each command."""

    state: str


def peer_calls() -> tuple[Model, list[Callable[[], bool]]]:
    """The peer and its bound methods in the order of the walk, looked up beforehand in its favour."""
    model = Model()
    declared: dict[str, Any] = declaration(2022)
    Machine(model, auto_transitions=False, **declared)
    return model, [getattr(model, command_name(command)) for command in WALK]


def states_agree() -> bool:
    """True if all three ways give the same state after each command of the walk."""
    model, calls = peer_calls()
    table = compile_table(2022)
    machine = StateMachine(table)
    state = ABORTED
    for command, call in zip(WALK, calls, strict=True):
        call()
        machine.request(command)
        machine.step()
        state = table[state * COLUMNS + command]
        if not model.state == STATES[machine.state] == STATES[state]:
            return False
    return state == ABORTED


def peer_ns() -> float:
    """Nanoseconds of one transition of the peer."""
    _, calls = peer_calls()
    start = time.perf_counter_ns()
    for _ in range(PEER_ROUNDS):
        for call in calls:
            call()
    return (time.perf_counter_ns() - start) / (PEER_ROUNDS * len(WALK))


def step_ns() -> float:
    """Nanoseconds of one command put up and served, with latches and priorities."""
    machine = StateMachine(compile_table(2022))
    request = machine.request
    step = machine.step
    start = time.perf_counter_ns()
    for _ in range(TABLE_ROUNDS):
        for command in WALK:
            request(command)
            step()
    return (time.perf_counter_ns() - start) / (TABLE_ROUNDS * len(WALK))


def lookup_ns() -> float:
    """Nanoseconds of the bare lookup of the next state."""
    table = compile_table(2022)
    state = ABORTED
    start = time.perf_counter_ns()
    for _ in range(TABLE_ROUNDS):
        for command in WALK:
            state = table[state * COLUMNS + command]
    return (time.perf_counter_ns() - start) / (TABLE_ROUNDS * len(WALK))


def run() -> list[dict[str, object]]:
    """Ratios first; each pair is measured in turn, so that both see the same machine."""
    if not states_agree():
        raise RuntimeError("the state machines disagree; run tests/core/test_packml.py first")
    step = paired(peer_ns, step_ns)
    lookup = paired(peer_ns, lookup_ns)
    peer = f"transitions.Machine {transitions.__version__}, {step.first / 1_000:.2f} us"
    return [
        row("state machine, full step", step.ratio, "x faster", ">= 20", peer, step.spread),
        row("state machine, table lookup", lookup.ratio, "x faster", ">= 100", peer, lookup.spread),
        row("state machine, full step, absolute", step.second / 1_000, "us"),
        row("state machine, table lookup, absolute", lookup.second / 1_000, "us"),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
