"""What the text of an instrument is as raw counts, and the other way. Pure, and exact: no floats.

A value that is not what its description says is refused with the reason, never cut, rounded into range or guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from board.instrument_frames import shown
from cell_controller.errors import DeviceError

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?")
_DIGITS = {10: re.compile(r"[0-9]{1,40}"), 16: re.compile(r"[0-9A-Fa-f]{1,40}")}


@dataclass(frozen=True)
class Rule:
    """How one point's count stands in a text.

    `name`: for messages, as "scale:weight". `kind`: "digital", "analog", "counter" or "identity". `group`: of the
    pattern. `low`, `high`: least and greatest count. `words`: texts that stand for a count. `resolution`: of an analog
    value, in decimal digits. `decimal`: the decimal point or comma. `base`: 10 or 16, of whole numbers. `sign_group`,
    `unit_group`: "" where there is none; `unit` is what the latter must say. `digits`: a shorter number is sent with
    zeros before it.
    """

    name: str
    kind: str = "digital"
    group: str = ""
    low: int = 0
    high: int = 1
    words: Mapping[str, int] = field(default_factory=dict)
    resolution: str = "1"
    decimal: str = "."
    base: int = 10
    sign_group: str = ""
    unit_group: str = ""
    unit: str = ""
    digits: int = 0

    @staticmethod
    def of(name: str, settings: Mapping[str, Any]) -> "Rule":
        """From the plain settings of a point, which may have further keys."""
        known = {key: settings[key] for key in Rule.__dataclass_fields__ if key in settings}
        return Rule(**{**known, "name": name})

    def count(self, groups: Mapping[str, str | None]) -> int:
        """The count in the groups of a pattern. Raises DeviceError with the reason."""
        text = (groups.get(self.group) or "").strip(" ")
        unit = (groups.get(self.unit_group) or "").strip(" ") if self.unit_group else self.unit
        if unit != self.unit:
            raise DeviceError(
                f"{self.name} is in {shown(unit)}, not in '{self.unit}'; switch the device back"
            )
        if text in self.words:
            return self.words[text]
        if self.kind == "digital":
            raise DeviceError(f"{self.name}: {shown(text)} is none of {', '.join(self.words)}")
        negative = self.sign_group and (groups.get(self.sign_group) or "").strip(" ") == "-"
        count = self._analog(text) if self.kind == "analog" else self._whole(text)
        count = -count if negative else count
        if not self.low <= count <= self.high:
            raise DeviceError(f"{self.name}: {shown(text)} is {self._bounds()}")
        return count

    def text(self, count: int) -> str:
        """What is sent for `count`."""
        for word, meant in self.words.items():
            if meant == count:
                return word
        return self._number(count).rjust(self.digits, "0")

    def _analog(self, text: str) -> int:
        plain = re.sub(r"^([+-]) +", r"\1", text)
        other = "." if self.decimal == "," else ","
        plain = plain.replace(other, "?").replace(self.decimal, ".")
        if not _NUMBER.fullmatch(plain):
            raise DeviceError(f"{self.name}: {shown(text)} is not a number with '{self.decimal}'")
        scaled = _EXACT.divide(Decimal(plain), Decimal(self.resolution))
        if not self.low - 1 < scaled < self.high + 1:
            raise DeviceError(f"{self.name}: {shown(text)} is {self._bounds()}")
        return int(scaled.to_integral_value(ROUND_HALF_EVEN))

    def _whole(self, text: str) -> int:
        plain = text.replace(" ", "")
        if not _DIGITS[self.base].fullmatch(plain):
            raise DeviceError(f"{self.name}: {shown(text)} is not a whole number of base {self.base}")
        return int(plain, self.base)

    def _number(self, count: int) -> str:
        value = _EXACT.multiply(Decimal(count), Decimal(self.resolution))
        return f"{value:f}".replace(".", self.decimal)

    def _bounds(self) -> str:
        return f"outside {self._number(self.low)}..{self._number(self.high)}; it is refused, not cut"
