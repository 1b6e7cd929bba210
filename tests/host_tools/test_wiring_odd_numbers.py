"""Numbers and types in a wiring file that nobody means: a line that says so, never a traceback."""

import shutil
from pathlib import Path

import pytest

from host_tools.check import check

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("watchdog_ms = 500", "watchdog_ms = inf"),
        ("watchdog_ms = 500", "watchdog_ms = nan"),
        ("active_low = true", "debounce_ms = -inf"),
        ("active_low = true", "debounce_ms = 1e400"),
        ('target = "linux"', "target = {}"),
        ('target = "linux"', "target = [1]"),
    ],
)
def test_it_is_said_in_a_line(tmp_path: Path, was: str, becomes: str) -> None:
    cell = tmp_path / "cell"
    shutil.copytree(EXAMPLE, cell, ignore=shutil.ignore_patterns(".run", "__pycache__"))
    file = cell / "wiring" / "rpi.toml"
    text = file.read_text()
    assert was in text
    file.write_text(text.replace(was, becomes, 1))
    found = [str(finding) for finding in check(cell)]
    assert any("wiring/rpi.toml" in line and line.startswith("error") for line in found), found
