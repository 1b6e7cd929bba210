"""The fixture `cell`: which cell it takes, on which board, and that it costs those who do not use it nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "paint_cell"
pytest_plugins = ["pytester"]

ASKS = "def test_it(cell):\n    assert cell.spec['name'] == '{name}'\n"


def _cell(directory: Path, name: str) -> Path:
    """A directory with the example cell under another name."""
    for file in ("equipment.py", "wiring/sim.toml", "recipes/bonnet.toml"):
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text((EXAMPLE / file).read_text())
    text = (EXAMPLE / "cell.toml").read_text().replace('name = "paint-1"', f'name = "{name}"')
    (directory / "cell.toml").write_text(text)
    return directory


def test_a_test_beside_a_cell_gets_that_cell(pytester: pytest.Pytester) -> None:
    _cell(pytester.path, "own")
    pytester.makepyfile(ASKS.format(name="own"))
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_marker_names_another_cell(pytester: pytest.Pytester) -> None:
    _cell(pytester.path, "own")
    _cell(pytester.path / "other", "marked")
    head = "import pytest\npytestmark = pytest.mark.cell_dir('other')\n"
    pytester.makepyfile(head + ASKS.format(name="marked"))
    pytester.runpytest_inprocess("--strict-markers").assert_outcomes(passed=1)


def test_the_ini_option_is_for_tests_that_lie_elsewhere(pytester: pytest.Pytester) -> None:
    _cell(pytester.path / "cells" / "one", "from-ini")
    pytester.makeini("[pytest]\ncell_dir = cells/one\n")
    pytester.makepyfile(ASKS.format(name="from-ini"))
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_without_a_cell_it_says_where_it_looked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ASKS.format(name="none"))
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no cell.toml in *examples/paint_cell*cell_dir(path)*"])


def test_a_board_that_is_not_known_is_refused_with_those_that_are(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it():\n    pass\n")
    result = pytester.runpytest_inprocess("--cell-board", "moon")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--cell-board moon: there is no such board; known: sim*"])


def test_loading_it_imports_nothing_heavy() -> None:
    program = (
        "import sys, hil.pytest_plugin\n"
        "print([n for n in ('pydantic', 'transitions', 'paho', 'hil.bench', 'cell_controller') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
