"""Texts become counts exactly, or are refused with the reason."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from board.instrument_values import Rule
from cell_controller.errors import DeviceError

MOST = (1 << 29) - 1
WEIGHT = Rule(
    "scale:weight", "analog", "weight", -10_000, 620_000, resolution="0.01", unit_group="unit", unit="g"
)
CODE = Rule("reader:code", "identity", "code", 0, MOST, words={"": 0, "NOREAD": 0})
TAG = Rule("reader:tag", "identity", "tag", 0, MOST, base=16)
STABLE = Rule("scale:stable", "digital", "state", words={"S": 1, "D": 0})
COMMA = Rule(
    "scale:weight", "analog", "weight", -1000, 1000, resolution="0.1", decimal=",", sign_group="sign"
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("100.00", 10_000),
        ("  -0.07 ", -7),
        ("+    12.3", 1230),
        ("- 5", -500),
        (".5", 50),
        ("6200.", 620_000),
        ("+1.19985000E+01", 1200),
        ("0.005", 0),
        ("0.015", 2),
        ("1E3", 100_000),
    ],
)
def test_a_number_is_counted_in_steps_of_its_resolution(text: str, count: int) -> None:
    assert WEIGHT.count({"weight": text, "unit": "g"}) == count


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a number"),
        ("1,5", "is not a number with '.'"),
        ("1.2.3", "is not a number"),
        ("1 2", "is not a number"),
        ("1,234.5", "is not a number"),
        ("nan", "is not a number"),
        ("inf", "is not a number"),
        ("9.9E37", r"outside -100.00..6200.00; it is refused, not cut"),
        ("9E999", "outside"),
        ("6200.01", "outside"),
        ("-100.01", "outside"),
        ("\u0661", "is not a number"),
        ("1" * 30, "is not a number"),
    ],
)
def test_what_is_no_number_or_out_of_range_is_refused(text: str, why: str) -> None:
    with pytest.raises(DeviceError, match=why):
        WEIGHT.count({"weight": text, "unit": "g"})


@pytest.mark.parametrize("unit", ["lb", "kg", "", None, "G"])
def test_another_unit_is_refused(unit: str | None) -> None:
    with pytest.raises(DeviceError, match="not in 'g'; switch the device back"):
        WEIGHT.count({"weight": "1.00", "unit": unit})


def test_a_decimal_comma_and_a_sign_that_stands_apart() -> None:
    assert COMMA.count({"weight": "12,5", "sign": "-"}) == -125
    assert COMMA.count({"weight": "12,5", "sign": " "}) == 125
    assert COMMA.text(-125) == "-12,5"
    with pytest.raises(DeviceError, match="is not a number with ','"):
        COMMA.count({"weight": "12.5", "sign": "+"})


@pytest.mark.parametrize(
    ("text", "number"), [("1234", 1234), (" 12 34 ", 1234), ("", 0), ("NOREAD", 0), (str(MOST), MOST)]
)
def test_an_identity_is_a_whole_number_or_a_word_for_one(text: str, number: int) -> None:
    assert CODE.count({"code": text}) == number


def test_an_identity_that_does_not_fit_is_refused_and_never_cut() -> None:
    assert TAG.count({"tag": "1fffFFFF"}) == MOST
    for rule, group, text in (
        (TAG, "tag", "20000000"),
        (CODE, "code", "4006381333931"),
        (TAG, "tag", "F" * 40),
    ):
        with pytest.raises(DeviceError, match=r"outside 0\.\.536870911; it is refused, not cut"):
            rule.count({group: text})
    with pytest.raises(DeviceError, match="not a whole number of base 16"):
        TAG.count({"tag": "12G4"})


def test_a_word_that_is_not_on_the_list_is_refused() -> None:
    assert [STABLE.count({"state": word}) for word in ("S", "D")] == [1, 0]
    with pytest.raises(DeviceError, match="'I' is none of S, D"):
        STABLE.count({"state": "I"})


@pytest.mark.parametrize(
    ("rule", "count", "text"),
    [
        (Rule("a", "analog", high=9999, digits=4), 25, "0025"),
        (Rule("a", "analog", high=60_000, resolution="0.001"), 12_000, "12.000"),
        (Rule("a", "digital", words={"ON": 1, "OFF": 0, "1": 1, "0": 0}), 0, "OFF"),
        (Rule("a", "analog", high=9999, resolution="5"), 3, "15"),
    ],
)
def test_counts_are_sent_as_the_device_wants_them(rule: Rule, count: int, text: str) -> None:
    assert rule.text(count) == text


@given(st.integers(-10_000, 620_000))
def test_every_count_is_read_back_as_it_was_sent(count: int) -> None:
    assert WEIGHT.count({"weight": WEIGHT.text(count), "unit": "g"}) == count


@given(st.text(max_size=80))
def test_no_text_gives_a_count_out_of_range_or_another_error(text: str) -> None:
    for rule in (WEIGHT, CODE, TAG, STABLE, COMMA):
        try:
            count = rule.count({rule.group: text, "unit": "g", "sign": "+"})
        except DeviceError:
            continue
        assert rule.low <= count <= rule.high
        if rule is WEIGHT:
            assert abs(Decimal(text.strip(" ").replace(" ", "")) - Decimal(count) / 100) <= Decimal("0.005")
