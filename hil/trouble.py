"""Phases that misbehave when an order asks them to: what a test needs to see that the controller is the stronger one.

Runs on both runtimes. `troubled` takes the phases of a cell and gives them back with one of them wrapped: a text that
the order carries says what goes wrong, any other text leaves the phase as it was written.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

RAISE = "RAISE"  # raises in the middle
RAISE_AT_ONCE = "RAISE AT ONCE"  # raises before its first wait
CLING = "CLING"  # goes on where it is told to end, and moves outputs while it is being closed
RAISE_IN_CLOSE = "RAISE IN CLOSE"  # raises something else when it is told to end
TROUBLES = (RAISE, RAISE_AT_ONCE, CLING, RAISE_IN_CLOSE)


class TroubleError(ValueError):
    """What a phase of this file raises when an order asks it to."""


def troubled(
    phases: "dict[str, Callable[..., Any]]", name: str, argument: str, output: str
) -> "dict[str, Callable[..., Any]]":
    """The phases with `name` wrapped. `argument` is the one that carries the text, `output` what CLING leaves on."""
    original = phases[name]

    def wrapped(cell: "Any", **given: "Any") -> "Generator[Any, None, None]":
        text = given.get(argument)
        if text == RAISE_AT_ONCE:
            raise TroubleError("before the first wait")
        driven = getattr(cell, output)
        if text == RAISE:
            driven.on()
            yield None
            driven.on()
            raise TroubleError("in the middle")
        if text in (CLING, RAISE_IN_CLOSE):
            try:
                while True:
                    driven.on()
                    yield None
            except GeneratorExit:
                driven.on()
            if text == RAISE_IN_CLOSE:
                raise TroubleError("while it was closed")
            yield None
        yield from original(cell, **given)

    changed = dict(phases)
    changed[name] = wrapped
    return changed
