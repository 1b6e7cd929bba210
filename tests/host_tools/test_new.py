"""`new` makes a cell that compiles, says what each file is for, and never overwrites."""

import tomllib
from pathlib import Path

import pytest

from host_tools import new as new_module
from host_tools.cellfile import compile_cell
from host_tools.check import check
from host_tools.new import NewCellError, new
from tests.host_tools.make_cell import make_cell


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small cell in the place of the example."""
    directory = make_cell(tmp_path / "example", ("cell.toml", '"booth-1"', '"paint-1"'))
    for board in ("sim", "pico_w", "esp32"):
        (directory / "wiring" / f"{board}.toml").write_text("", "utf-8")
    (directory / "test_paint_cell.py").write_text('CELL = "paint-1"\n', "utf-8")
    monkeypatch.setattr(new_module, "example_directory", lambda: directory)
    return directory


def test_new_cell_compiles_under_its_own_name(tmp_path: Path, example: Path) -> None:
    new(tmp_path / "mycell", "mycell")
    assert compile_cell(tmp_path / "mycell").spec["name"] == "mycell"
    assert compile_cell(tmp_path / "mycell", "rpi").wiring["door_closed"] == {"channel": "GPIO4"}
    assert (tmp_path / "mycell" / "test_mycell.py").read_text("utf-8") == 'CELL = "mycell"\n'


def test_new_tells_each_file_and_its_purpose(tmp_path: Path, example: Path) -> None:
    made = new(tmp_path / "m", "north-2")
    assert [str(path.relative_to(tmp_path / "m")) for path, _ in made] == [
        "cell.toml",
        "wiring/sim.toml",
        "wiring/rpi.toml",
        "wiring/pico_w.toml",
        "wiring/esp32.toml",
        "equipment.py",
        "recipes/bonnet.toml",
        "test_north_2.py",
    ]
    assert all(path.is_file() and purpose for path, purpose in made)


def test_new_leaves_a_directory_with_something_in_it_alone(tmp_path: Path, example: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep", "utf-8")
    with pytest.raises(NewCellError) as caught:
        new(tmp_path / "mine", "mine")
    assert str(caught.value) == (
        f"{tmp_path / 'mine'} is there already and not empty; choose a directory that does not exist"
    )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_new_takes_an_empty_directory(tmp_path: Path, example: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert new(tmp_path / "empty", "empty")


@pytest.mark.parametrize("name", ["", "my cell", "a/b", "-x", "ä", "x" * 41, "a\nb", "..", "+"])
def test_new_refuses_a_name_that_no_topic_could_carry(tmp_path: Path, example: Path, name: str) -> None:
    with pytest.raises(NewCellError) as caught:
        new(tmp_path / "cell", name)
    assert str(caught.value) == (
        f"'{name}' is not a name for a cell; use letters, digits, - _ . (a letter or digit first), at most 40"
    )
    assert not (tmp_path / "cell").exists()


def test_incomplete_example_writes_nothing(tmp_path: Path, example: Path) -> None:
    (example / "equipment.py").unlink()
    with pytest.raises(
        NewCellError, match=r"^the example's equipment\.py cannot be read: No such file or directory"
    ):
        new(tmp_path / "cell", "cell")
    assert not (tmp_path / "cell").exists()


def test_the_real_example_has_no_error() -> None:
    directory = new_module.example_directory()
    assert [str(finding) for finding in check(directory) if finding.severity == "error"] == []


def test_the_real_example_becomes_a_cell(tmp_path: Path) -> None:
    new(tmp_path / "mycell", "mycell")
    assert tomllib.loads((tmp_path / "mycell" / "cell.toml").read_text("utf-8"))["cell"]["name"] == "mycell"
    assert [str(finding) for finding in check(tmp_path / "mycell") if finding.severity == "error"] == []
