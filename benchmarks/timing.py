"""Paired timing: two things measured in turn, many short rounds, so that a slow moment of the machine hits both."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Paired(NamedTuple):
    """Medians over the rounds. ratio: of the pairs (first / second). spread: half of ratio's interquartile range."""

    first: float
    second: float
    ratio: float
    spread: float


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, s."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def paired(first: Callable[[], float], second: Callable[[], float], rounds: int = 9) -> Paired:
    """Run both measurements `rounds` times in turn, changing which goes first; each returns its figure (> 0)."""
    first()
    second()
    pairs = []
    for number in range(rounds):
        if number % 2:
            one = first()
            other = second()
        else:
            other = second()
            one = first()
        pairs.append((one, other))
    ratios = [one / other for one, other in pairs]
    return Paired(
        median(one for one, _ in pairs),
        median(other for _, other in pairs),
        median(ratios),
        half_quartiles(ratios),
    )


def half_quartiles(values: list[float]) -> float:
    """Half of the distance between the quartiles: how far a usual round lies from the median."""
    ordered = sorted(values)
    if len(ordered) < 4:
        return (ordered[-1] - ordered[0]) / 2
    quarter = len(ordered) // 4
    return (ordered[-1 - quarter] - ordered[quarter]) / 2


def row(
    name: str, value: float, unit: str, bar: str | None = None, peer: str = "", spread: float | None = None
) -> dict[str, object]:
    """One line of results: bar is "<= 2.5", ">= 30" or None; peer says what it was measured against."""
    return {"name": name, "value": value, "unit": unit, "bar": bar, "peer": peer, "spread": spread}
