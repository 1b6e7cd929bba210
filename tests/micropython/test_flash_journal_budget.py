"""What the page says about wear is what a run of the paint cell costs."""

import re

import pytest

from benchmarks import bench_flash_journal
from benchmarks.bench_flash_journal import CYCLES, ITEMS_A_DAY, SECTORS, Budget, measure
from tests.runtimes.runtimes import ROOT

PAGE = (ROOT / "docs" / "flash-journal.md").read_text("utf-8")


def said(pattern: str) -> list[float]:
    """The numbers of the one place in the page that a pattern with groups finds."""
    found = re.findall(pattern, PAGE)
    assert len(found) == 1, f"{pattern} is {len(found)} times in docs/flash-journal.md"
    numbers = found[0] if isinstance(found[0], tuple) else (found[0],)
    return [float(number.replace(",", "")) for number in numbers]


def table() -> Budget:
    records, size = said(r"records an item \| (\d+), (\d+) bytes")
    (programs,) = said(r"pages written an item \| (\d+)")
    erases, sectors, each = said(r"erased a day at (?:\d+) items \| (\d+) of (\d+), (\d+) times each")
    years_at, cycles, years = said(r"years at (\d+) items a day and ([\d,]+) erases a sector \| ([\d.]+)")
    (between,) = said(r"at least (\d+) items between two such pauses")
    assert (sectors, years_at, cycles) == (SECTORS, ITEMS_A_DAY, CYCLES)
    assert each == round(erases / sectors)
    return Budget(records, size, programs, erases, years, int(between))


def test_the_page_and_a_short_run_agree() -> None:
    """A short run has no or only one snapshot in it, which is a few pages an item."""
    page, run = table(), measure(items=10, warm=2)
    assert page.records == round(run.records)
    assert abs(page.bytes - run.bytes) < 10
    assert run.programs <= page.programs <= run.programs * 1.25, run
    assert run.years * 0.8 <= page.years <= run.years, run
    assert abs(page.erases_a_day / page.programs - run.erases_a_day / run.programs) < 0.5
    assert abs(page.years - CYCLES * SECTORS / page.erases_a_day / 365) < 0.06


@pytest.mark.soak
def test_the_page_has_the_figures_of_a_long_run() -> None:
    page, run = table(), measure()
    assert page.records == round(run.records)
    assert page.bytes == round(run.bytes)
    assert page.programs == round(run.programs)
    assert page.erases_a_day == round(run.erases_a_day)
    assert abs(page.years - run.years) < 0.06
    assert page.items_between == run.items_between


def test_the_benchmark_has_a_line_for_each_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_flash_journal, "measure", lambda: Budget(29, 4418, 37, 1158, 7.6, 6))
    rows = {str(line["name"]): (line["value"], line["bar"]) for line in bench_flash_journal.run()}
    assert rows == {
        "journal on flash, programs per item": (37, "<= 40"),
        "journal on flash, items between two erasing pauses, fewest": (6, None),
        "journal on flash, 500 items a day": (7.6, ">= 5"),
    }
