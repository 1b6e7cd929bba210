"""Registers become counts and counts registers: types, word order, scale, and what is no value."""

import math
import struct
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from board.modbus_values import FORMATS, Value

WIDE: dict[str, Any] = {"low": -(1 << 29), "high": (1 << 29) - 1}
HALF_UP = Fraction(1, 2)


@pytest.mark.parametrize(
    ("kind", "little", "words", "count"),
    [
        ("u16", False, [0xFFFE], 65534),
        ("i16", False, [0xFFFE], -2),
        ("u32", False, [0x0001, 0x0002], 65538),
        ("u32", True, [0x0002, 0x0001], 65538),
        ("i32", False, [0xFFFF, 0xFFFE], -2),
        ("i32", True, [0xFFFE, 0xFFFF], -2),
        ("u64", False, [0, 0, 0x0001, 0x0002], 65538),
        ("u64", True, [0x0002, 0x0001, 0, 0], 65538),
        ("f32", False, [0x4366, 0x8000], 230),  # 230.5, ties to even
        ("f32", True, [0x8000, 0x4366], 230),
        ("bit", False, [0x0001], 1),
    ],
)
def test_each_type_in_both_word_orders(kind: str, little: bool, words: list[int], count: int) -> None:
    assert Value(kind, little=little, **WIDE).count(words) == count


def test_a_bit_of_a_register_is_alone() -> None:
    bit = Value(bit=9)
    assert bit.count([0x0200]) == 1
    assert bit.count([0xFDFF]) == 0
    assert bit.mask == 0x0200


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 3.4e38])
def test_a_float_that_is_no_number_of_the_range_is_no_value(number: float) -> None:
    words = list(struct.unpack(">HH", struct.pack(">f", number)))
    assert Value("f32", num=1000, **WIDE).count(words) is None


def test_a_count_outside_the_range_is_no_value() -> None:
    value = Value("u16", low=0, high=27648)
    assert value.count([27648]) == 27648
    assert value.count([27649]) is None
    assert Value("u64", **WIDE).count([0xFFFF] * 4) is None


@given(
    st.sampled_from(["u16", "i16", "u32", "i32", "u64"]),
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.data(),
)
def test_scaling_rounds_to_the_nearest_count(kind: str, num: int, den: int, data: st.DataObject) -> None:
    value = Value(kind, num=num, den=den, low=-(1 << 80), high=1 << 80)
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=value.length, max_size=value.length))
    packed = b"".join(word.to_bytes(2, "big") for word in words)
    (raw,) = struct.unpack(FORMATS[kind], packed)
    assert value.count(words) == math.floor(Fraction(raw * num, den) + HALF_UP)


@given(
    st.sampled_from([*FORMATS]), st.booleans(), st.integers(1, 100), st.integers(-(1 << 15), (1 << 15) - 1)
)
def test_what_is_written_reads_as_the_count_it_was(kind: str, little: bool, num: int, count: int) -> None:
    """One step of the register is `num` counts or less, so no count is lost on the way."""
    signed = kind in ("i16", "i32", "f32")
    count = count if signed else abs(count)
    value = Value(kind, little=little, num=1, den=num if kind != "u16" and kind != "i16" else 1, **WIDE)
    assert value.count(value.words(count)) == count


@given(st.sampled_from([*FORMATS]), st.booleans(), st.integers())
def test_no_count_can_be_too_large_to_be_written(kind: str, little: bool, count: int) -> None:
    limits = {
        "u16": (0, 100),
        "i16": (-100, 100),
        "u32": (0, 100),
        "i32": (-9, 100),
        "u64": (0, 9),
        "f32": (-9, 9),
    }
    low, high = limits[kind]
    value = Value(kind, little=little, low=low, high=high)
    assert value.count(value.words(count)) == max(low, min(high, count))
