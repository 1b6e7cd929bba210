"""`cellctl new`: a cell directory that works at once, to be changed into one's own."""

import re
from pathlib import Path

from cell_controller.errors import CellError
from host_tools.cellfile import recipe_files
from host_tools.compile_cell import CELL_NAME

PURPOSES = (
    ("cell.toml", "what is there: signals, what outputs do when things stop, process interlocks"),
    ("wiring/sim.toml", "the simulated board: which plant stands behind the signals"),
    ("wiring/rpi.toml", "a Raspberry Pi: which pin or channel each signal is on"),
    ("wiring/pico_w.toml", "a Raspberry Pi Pico W: the same for a microcontroller"),
    ("wiring/esp32.toml", "an ESP32: the same for a microcontroller"),
    ("equipment.py", "what it can do: one function for each phase"),
)
RECIPE_PURPOSE = "what is made of it: parameters, options, steps of one product"
TEST_PURPOSE = "a test sheet on the simulated board: run pytest"

EXAMPLE_NAME = "paint_cell"
EXAMPLE_CELL = "paint-1"


class NewCellError(CellError, OSError):
    """The directory could not be made into a cell; choose another directory or name."""


def example_directory() -> Path:
    """Where the example cell is: in a clone beside the packages, else inside the installed one."""
    here = Path(__file__).resolve().parent
    for place in (here.parent / "examples" / EXAMPLE_NAME, here / "example_cell"):
        if (place / "cell.toml").is_file():
            return place
    raise NewCellError("the example cell is not part of this installation; install the package again")


def new(directory: str | Path, name: str) -> list[tuple[Path, str]]:
    """Make the cell `name` in `directory`: [(file, what it is for)].

    `name`: letters, digits, - _ . at most 40, a letter or digit first. Raises NewCellError before anything is written
    if the name is not right or the directory is there and not empty.
    """
    directory = Path(directory)
    if not CELL_NAME.fullmatch(name):
        raise NewCellError(
            f"'{name}' is not a name for a cell; use letters, digits, - _ . (a letter or digit first), at most 40"
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise NewCellError(
            f"{directory} is there already and not empty; choose a directory that does not exist"
        )
    example = example_directory()
    files = [(source, source, purpose) for source, purpose in PURPOSES]
    for path in recipe_files(example):
        files.append((f"recipes/{path.name}", f"recipes/{path.name}", RECIPE_PURPOSE))
    test = f"test_{re.sub('[^a-z0-9]', '_', name.lower())}.py"
    files.append((f"test_{EXAMPLE_NAME}.py", test, TEST_PURPOSE))
    texts = []
    for source, target, purpose in files:
        path = example / source
        try:
            texts.append((directory / target, path.read_text("utf-8"), purpose))
        except OSError as error:
            raise NewCellError(
                f"the example's {source} cannot be read: {error.strerror}; install the package again"
            ) from error
    for path, text, _ in texts:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_renamed(text, name), "utf-8")
        except OSError as error:
            raise NewCellError(
                f"{path} cannot be written: {error.strerror}; choose another directory"
            ) from error
    return [(path, purpose) for path, _, purpose in texts]


def _renamed(text: str, name: str) -> str:
    """The example's text with the new cell's name; products, signals and phases keep theirs."""
    return text.replace(EXAMPLE_CELL, name)
