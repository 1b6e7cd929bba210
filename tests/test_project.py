"""What holds for the whole project: readable sizes, nothing left half done, the right files in the wheel."""

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("cell_controller", "board", "host_tools", "hil", "tests", "examples", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
# Spelled in pieces, so that this file does not find itself.
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")))


def long_functions(source: str) -> Iterator[str]:
    """The functions of more than MAX_FUNCTION_LINES lines, as text with their length."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.name} has {lines} lines"


def test_no_file_is_longer_than_one_idea() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {count} lines, at most {MAX_FILE_LINES}"
        for path in SOURCES
        if (count := len(path.read_text().splitlines())) > MAX_FILE_LINES
    ]
    assert long == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in SOURCES
        if path.name != "hand_loop.py"  # the straight line that the scan is measured against
        for text in long_functions(path.read_text())
    ]
    assert long == []


def test_a_function_that_is_too_long_would_be_found() -> None:
    source = "def f():\n" + "    pass\n" * MAX_FUNCTION_LINES
    assert list(long_functions(source)) == [f"f has {MAX_FUNCTION_LINES + 1} lines"]


def test_nothing_is_marked_as_unfinished() -> None:
    marked = [str(path.relative_to(ROOT)) for path in SOURCES if UNFINISHED.search(path.read_text())]
    assert marked == []


def test_the_wheel_has_the_packages_and_no_tests(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling is not installed; `pip install hatchling`")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "cell_controller",
        "board",
        "host_tools",
        "hil",
    }
    assert "host_tools/example_cell/cell.toml" in names
    assert [name for name in names if name.split("/")[0] == "tests" or "__pycache__" in name] == []
