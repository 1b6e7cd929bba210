"""Looks at the recipe files while the cell runs: a good change is offered to the controller, a broken one is said."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cell_controller.errors import CellFileError
from host_tools.cellfile import compile_recipe, recipe_files

LOOK_EVERY_S = 0.3


class RecipeWatch:
    """A thread that reads a recipe file again when its content changes. What is in use stays until a good one comes."""

    def __init__(
        self,
        directory: Path,
        spec: dict[str, Any],
        offered: "queue.Queue[dict[str, Any]]",
        say: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._offered = offered
        self._say = say
        self._spec = spec
        self._in_use = {recipe["product"]: recipe for recipe in spec["recipes"]}
        self._content: dict[Path, bytes] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recipes", daemon=True)

    def start(self) -> None:
        """Begin to look. The first look reads every file: one may have changed since the cell was compiled."""
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(2.0)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """One look at every file; an editor's half-written file is seen again at the next."""
        for path in recipe_files(self._directory):
            try:
                content = path.read_bytes()
            except OSError:
                continue  # gone between the listing and the reading: the next look decides
            if content and content != self._content.get(path):
                self._content[path] = content
                self._read(path)

    def _read(self, path: Path) -> None:
        try:
            recipe, _ = compile_recipe(path, self._directory, running=self._spec)
            former = self._in_use.get(recipe["product"])
            said: list[str] = []
            if former is not None:
                recipe, said = compile_recipe(path, self._directory, former, running=self._spec)
        except CellFileError as error:
            for problem in error.problems:
                self._say(problem)
            self._say(f"recipes/{path.name}: refused; what was in use stays in use")
            return
        for line in said:
            self._say(line)
        self._in_use[recipe["product"]] = recipe
        self._offered.put(recipe)
