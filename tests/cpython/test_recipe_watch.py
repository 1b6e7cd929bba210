"""Recipe files that change while the cell runs."""

import queue
import shutil
from pathlib import Path
from typing import Any

import pytest

from cell_controller.cpython.recipe_watch import RecipeWatch
from host_tools.cellfile import compile_cell

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Path, RecipeWatch, "queue.Queue[dict[str, Any]]", list[str]]:
    directory = tmp_path / "cell"
    shutil.copytree(EXAMPLE, directory)
    said: list[str] = []
    offered: queue.Queue[dict[str, Any]] = queue.Queue()
    watch = RecipeWatch(directory, compile_cell(directory).spec, offered, said.append)
    return directory / "recipes" / "bonnet.toml", watch, offered, said


Watched = tuple[Path, RecipeWatch, "queue.Queue[dict[str, Any]]", list[str]]


def test_a_change_between_compiling_and_the_first_look_is_offered(watched: Watched) -> None:
    path, watch, offered, _ = watched
    path.write_text(path.read_text().replace("coats = { default = 2", "coats = { default = 4"))
    watch.look()
    versions = {recipe["product"]: recipe["version"] for recipe in list(offered.queue)}
    assert versions["bonnet"] == 5


def test_a_file_that_is_what_it_was_is_not_read_twice(watched: Watched) -> None:
    _, watch, offered, said = watched
    watch.look()
    seen = offered.qsize()
    watch.look()
    assert (offered.qsize(), said) == (seen, [])


def test_a_broken_file_is_said_once_and_offers_nothing(watched: Watched) -> None:
    path, watch, offered, said = watched
    watch.look()
    seen = offered.qsize()
    path.write_text(path.read_text().replace("coats = { default = 2", "coats = { default = 9"))
    watch.look()
    watch.look()
    assert offered.qsize() == seen
    assert said[-1] == "recipes/bonnet.toml: refused; what was in use stays in use"
    assert len(said) == 2
