"""Every refusal has one number, one name and one text."""

import pytest

from cell_controller.core import refusals


def test_a_number_keeps_its_meaning() -> None:
    with pytest.raises(ValueError, match="refusal code 13 is 'expired' already"):
        refusals.refusal(13, "late", "too late")
    assert refusals.refusal_name(13) == "expired"


def test_the_same_reason_may_be_named_twice() -> None:
    code, (name, text) = refusals.EXPIRED, refusals.REFUSALS[refusals.EXPIRED]
    assert refusals.refusal(code, name, text) == code


def test_names_are_unique() -> None:
    names = [name for name, _ in refusals.REFUSALS.values()]
    assert len(names) == len(set(names))


def test_a_number_without_a_meaning_is_said_to_be_so() -> None:
    assert refusals.refusal_name(9999) == "unknown"
    assert "9999" in refusals.refusal_text(9999)
