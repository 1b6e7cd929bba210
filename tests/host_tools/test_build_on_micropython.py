"""The image of the example cell on a real MicroPython: it mounts, everything in it imports, its tables are right."""

import subprocess
from pathlib import Path

import pytest

from cell_controller.core import codec
from host_tools.build import ROOT, Built, build
from host_tools.build_image import BuildError, find_cross
from host_tools.bundle import sha256
from host_tools.cellfile import compile_cell
from tests.runtimes.runtimes import missing, unix_program

PAINT_CELL = ROOT / "examples" / "paint_cell"

# What a board has and the Unix port has not; whatever is asked of these is another one of them.
STUBS = """
import sys

class Stub:
    def __init__(self, *_, **__):
        pass

    def __call__(self, *_, **__):
        return self

    def __getattr__(self, name):
        return Stub

for name in ("machine", "rp2", "esp32", "network"):
    sys.modules[name] = Stub()
"""

MOUNT = """
import sys
import vfs

with open(sys.argv[1], "rb") as file:
    content = file.read()
vfs.mount(vfs.VfsRom(content), "/app")
sys.path[:] = ["/app", ".frozen"]
"""

IMPORT_ALL = (
    STUBS
    + MOUNT
    + """
for name in sys.argv[2:]:
    try:
        __import__(name)
    except Exception as error:
        print(name)
        sys.print_exception(error, sys.stdout)
"""
)

READ_TABLES = (
    MOUNT
    + """
import binascii
import hashlib
import equipment
from cell_controller.core import codec

for name in ("cell.bin", "wiring.bin", "manifest.bin"):
    with open("/app/" + name, "rb") as file:
        table = codec.unpack(file.read())
    print(binascii.hexlify(hashlib.sha256(codec.pack(table)).digest()).decode())
    if name == "cell.bin":
        print(" ".join([entry["name"] for entry in table["phases"] if getattr(equipment, entry["name"])]))
"""
)

RAISE = (
    MOUNT
    + """
import equipment

phase = getattr(equipment, sys.argv[2])
try:
    for _ in phase(None):
        pass
except Exception as error:
    sys.print_exception(error, sys.stdout)
"""
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    if reason := missing("unix"):
        pytest.skip(f"runtime unix: {reason}")
    try:
        find_cross()
    except BuildError as error:
        pytest.skip(str(error))
    return build(PAINT_CELL, "unix", out=tmp_path_factory.mktemp("bundle") / "paint.cell")


def on_micropython(script: str, image: bytes, folder: Path, *words: str) -> str:
    """What the script prints on the Unix port, which finds no file of this project but in the image."""
    (folder / "script.py").write_text(script)
    (folder / "app.romfs").write_bytes(image)
    done = subprocess.run(
        [str(unix_program()), "-X", "heapsize=4M", "script.py", "app.romfs", *words],
        cwd=folder,
        env={"MICROPYPATH": ".frozen"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules_of(built: Built) -> list[str]:
    """The dotted names of the byte code in the image."""
    names = [name for name in built.bundle.manifest["image"]["contents"] if name.endswith(".mpy")]
    return [name.removesuffix(".mpy").removesuffix("/__init__").replace("/", ".") for name in names]


def test_everything_in_the_image_imports(built: Built, tmp_path: Path) -> None:
    names = modules_of(built)
    assert len(names) > 40
    assert on_micropython(IMPORT_ALL, built.bundle.image, tmp_path, *names) == ""


def test_module_that_is_missing_would_be_found(built: Built, tmp_path: Path) -> None:
    said = on_micropython(IMPORT_ALL, built.bundle.image, tmp_path, "cell_controller.core.none")
    assert said.startswith("cell_controller.core.none\n")
    assert "ImportError" in said


def test_tables_are_read_as_they_were_compiled(built: Built, tmp_path: Path) -> None:
    said = on_micropython(READ_TABLES, built.bundle.image, tmp_path).split("\n")
    contents = built.bundle.manifest["image"]["contents"]
    spec = compile_cell(PAINT_CELL, "pico_w").spec
    assert said[0] == contents["cell.bin"]["sha256"] == sha256(codec.pack(spec))
    assert said[1].split() == [phase["name"] for phase in spec["phases"]]
    assert said[2] == contents["wiring.bin"]["sha256"]
    assert said[3] == contents["manifest.bin"]["sha256"]


def test_phase_keeps_its_assertions_and_line_numbers(built: Built, tmp_path: Path) -> None:
    """People change equipment.py: on a board too a crash names the line, and an assertion is looked at."""
    cell = tmp_path / "cell"
    for path in PAINT_CELL.rglob("*.toml"):
        target = cell / path.relative_to(PAINT_CELL)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    source = (PAINT_CELL / "equipment.py").read_text()
    line = len(source.splitlines()) + 6
    added = '\n\n@phase\ndef wipe(cell):\n    yield\n    assert cell is not None, "no cell"\n'
    (cell / "equipment.py").write_text(source + added)
    image = build(cell, "unix", out=tmp_path / "a.cell").bundle.image
    said = on_micropython(RAISE, image, tmp_path, "wipe")
    assert f'File "equipment.py", line {line}, in wipe' in said
    assert "AssertionError: no cell" in said
