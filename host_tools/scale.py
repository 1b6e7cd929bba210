"""Engineering values to the integers of the core, exactly: value = quantity * per_unit, per_unit = 1 / resolution."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

LIMIT = 1 << 30
"""Every integer of the core, and every product on the way to one, stays below this (31-bit small integers)."""

VALUE_LIMIT = (1 << 29) - 1
"""Values themselves stay below 2**29: its negative is the mark KEEP for outputs."""

KEEP = -(1 << 29)
"""An output's value when things stop: leave it as it is."""


class ScaleError(ValueError):
    """The value has no exact integer; the message says why and what to write instead."""


@dataclass(frozen=True)
class Quantity:
    """A number as somebody wrote it: exact value, and the unit if one was given with it ("4 m3/min")."""

    value: Decimal
    unit: str = ""

    def __str__(self) -> str:
        return f'"{plain(self.value)} {self.unit}"' if self.unit else plain(self.value)


def plain(value: Decimal) -> str:
    """`value` as a person writes it: no trailing zeros, and no exponent unless it is absurd."""
    if value and not -20 < value.adjusted() < 20:
        return str(value)
    text = format(value if value else Decimal(0), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: object) -> Quantity:
    """What the file says as a Quantity: an int, a Decimal or text such as "4 m3/min". Raises ScaleError."""
    if isinstance(value, Quantity):
        return value
    if isinstance(value, bool):
        raise ScaleError("is not a number")
    if isinstance(value, int):
        return Quantity(Decimal(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ScaleError("is not a finite number")
        return Quantity(value)
    if isinstance(value, str):
        number, _, unit = value.strip().partition(" ")
        try:
            parsed = Decimal(number)
        except ArithmeticError:
            parsed = Decimal("nan")
        if parsed.is_finite() and unit.strip():
            return Quantity(parsed, unit.strip())
    raise ScaleError('is not a number, nor a number and its unit as in "4 m3/min"')


def per_unit(resolution: Quantity) -> int:
    """How many integer steps make one unit. Raises ScaleError unless 1 / resolution is a whole number."""
    if resolution.unit:
        raise ScaleError("is a plain number; it has the unit of the signal")
    if not Decimal("1e-9") <= resolution.value <= 1:
        raise ScaleError("is outside 0.000000001..1; take 1, 0.1, 0.01, 0.5 ...")
    steps = 1 / Fraction(resolution.value)
    if steps.denominator != 1:
        raise ScaleError("does not divide 1; take 1, 0.5, 0.25, 0.1, 0.01 ...")
    return steps.numerator


def to_integer(value: Quantity, steps: int, unit: str) -> int:
    """`value` in steps of 1 / `steps` of `unit`.

    Raises ScaleError for another unit, for a fraction of a step, and for what no integer of the core can hold.
    """
    if value.unit and value.unit != unit:
        raise ScaleError(
            f"is in {value.unit}, not in {unit or 'a plain number'}; write it in {unit or 'no unit'}"
        )
    if value.value.adjusted() > 12:  # before any arithmetic: 1e999999 must cost nothing
        raise ScaleError(f"is too large; its integer must stay below {VALUE_LIMIT}")
    if value.value and value.value.adjusted() < -12:
        raise ScaleError(f"is not a multiple of the resolution {resolution_text(steps)}")
    scaled = Fraction(value.value) * steps
    if scaled.denominator != 1:
        raise ScaleError(
            f"is not a multiple of the resolution {resolution_text(steps)}; round it or refine the resolution"
        )
    if abs(scaled.numerator) > VALUE_LIMIT:
        raise ScaleError(
            f"is {scaled.numerator} steps of {resolution_text(steps)}, more than {VALUE_LIMIT}; coarsen the resolution"
        )
    return scaled.numerator


def resolution_text(steps: int) -> str:
    """The resolution that gives `steps` to a unit, as a decimal."""
    return plain(Decimal(1) / Decimal(steps))


def decimal_text(value: int, steps: int) -> str:
    """The integer `value` in engineering units, exact: decimal_text(450, 100) is "4.5"."""
    return plain(Decimal(value) / Decimal(steps))


def range_text(lo: int, hi: int, steps: int, unit: str = "") -> str:
    """A range as people read it: "1..4", "0..12 m3/min"."""
    text = f"{decimal_text(lo, steps)}..{decimal_text(hi, steps)}"
    return f"{text} {unit}" if unit else text
