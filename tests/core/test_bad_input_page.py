"""Every row of docs/bad-input.md names a test that is there, and codes that mean what the page says."""

import re
from pathlib import Path

import pytest

from cell_controller.core import desk, envelope
from cell_controller.core.refusals import REFUSALS, refusal_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bad-input.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| what is wrong")
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_whole_and_its_test_is_there(row: list[str]) -> None:
    assert len(row) == 6
    assert all(row)
    file, _, name = row[5].strip("`").partition("::")
    assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text()


def test_the_codes_on_the_page_are_those_that_are_sent() -> None:
    assert envelope.MALFORMED in REFUSALS
    assert desk.BAD_COUNT in REFUSALS
    named = re.findall(r"\b(\d{1,3}) ([a-z]+_[a-z_]+|malformed|expired|retained|duplicate|busy)\b", PAGE)
    assert len(named) > 20
    for code, name in named:
        assert refusal_name(int(code)) == name
