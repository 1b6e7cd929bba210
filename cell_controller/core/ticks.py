"""Time in the core: a millisecond tick that wraps at 2**29, compared only by wrapped difference."""

PERIOD = 1 << 29
HALF = 1 << 28
MASK = PERIOD - 1


def diff(later: int, earlier: int) -> int:
    """Milliseconds from `earlier` to `later`, -2**28 .. 2**28-1; right across the wrap within 3.1 days."""
    return ((later - earlier + HALF) & MASK) - HALF


def add(tick: int, ms: int) -> int:
    """The tick `ms` milliseconds after `tick`; `ms` may be negative."""
    return (tick + ms) & MASK
