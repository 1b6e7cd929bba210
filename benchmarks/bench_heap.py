"""The heap that core, example cell and link keep on a microcontroller's 32-bit objects, by gc.mem_alloc.

Core: every module that a booted controller imports; the link's session and the reader of requests are none of them.
Cell: equipment.py, the compiled tables, the controller with its images and its first scans. Link: session, MQTT client
and what carries one to the other, made but not connected. Buffers of the network and of TLS are not Python's.
"""

import shutil
from pathlib import Path

from benchmarks.timing import row
from cell_controller.core import codec
from host_tools.build_image import (
    EQUIPMENT_OPTIMISATION,
    START,
    BuildError,
    compile_all,
    compile_controller,
    find_cross,
    needed_modules,
)
from host_tools.cellfile import compile_cell
from host_tools.romfs import image
from tests.runtimes.runtimes import ROOT, Runtime, RuntimeMissingError, missing

CELL = ROOT / "examples" / "paint_cell"
EQUIPMENT = CELL / "equipment.py"
WORK = ROOT / ".cache" / "heap"
SCRIPT = "benchmarks/portable/cell_heap.py"
BAR_KB = 80
LINK_BAR_KB = 100
PARTS = ("core", "tables and phases", "controller", "journal", "link", "console and views")


def sources() -> dict[str, Path]:
    """The controller's modules on a board, by their path there."""
    return needed_modules(ROOT, [START])


def compiled() -> dict[str, bytes]:
    """Byte code as `cellctl build` makes it, by its path on the board."""
    try:
        cross = find_cross()
    except BuildError as error:
        raise RuntimeMissingError(str(error)) from error
    equipment = EQUIPMENT.read_bytes()
    own = compile_all(cross, {EQUIPMENT.name: (equipment, EQUIPMENT_OPTIMISATION)})
    return {**compile_controller(cross, sources(), [equipment]), **own}


def prepare() -> dict[str, list[str]]:
    """Three forms of the core and the cell below the root of the project, each with the paths of its files."""
    shutil.rmtree(WORK, ignore_errors=True)
    form: dict[str, list[str]] = {"py": [], "mpy": [], "rom": ["rom/cell.romfs"]}
    flash = compiled()
    for name, code in flash.items():
        form["mpy"].append(f"mpy/{name}")
        _write(f"mpy/{name}", code)
    for name, path in {**sources(), EQUIPMENT.name: EQUIPMENT}.items():
        form["py"].append(f"py/{name}")
        _write(f"py/{name}", path.read_bytes())
    spec = codec.pack(compile_cell(CELL).spec)
    _write("rom/cell.romfs", image({**flash, "cell.bin": spec}))
    _write("spec", spec)
    return form


def _write(name: str, content: bytes) -> None:
    path = WORK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def heap_kb(runtime: str, form: str, files: list[str], parts: str = "cell") -> list[float]:
    """KB of each of PARTS on a runtime in a form; `parts`: "cell", "link" (the others are 0) or "all"."""
    below = WORK.relative_to(ROOT).as_posix()
    where = f"{below}/{files[0]}" if form == "rom" else f"{below}/{form}"
    paths = tuple(f"{below}/{name}" for name in [*files, "spec"])
    said = Runtime(runtime).run(SCRIPT, where, f"{below}/spec", parts, paths=paths)
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
        ("compiled files", "wasm", "mpy"),
        ("source files", "wasm", "py"),
    ):
        core, cell, controller = heap_kb(runtime, kind, form[kind])[:3]
        port = "1.24.1" if runtime == "wasm" else "newest"
        peer = f"32-bit port {port}: core {core:.1f}, tables and phases {cell:.1f}, controller {controller:.1f} KB"
        rows.append(
            row(f"heap, core and example cell, {what}", core + cell + controller, "KB", f"<= {BAR_KB}", peer)
        )
    # with the journal before it the link would find names and room there that are not its own
    figures = dict(zip(PARTS, heap_kb("wasm_newest", "rom", form["rom"], "link"), strict=True))
    peer = (
        "32-bit port newest: "
        + ", ".join(f"{part} {kb:.1f}" for part, kb in figures.items() if kb > 1)
        + " KB"
    )
    what = "heap, core, example cell and link, byte code in flash"
    rows.append(row(what, sum(figures.values()), "KB", f"<= {LINK_BAR_KB}", peer))
    figures = dict(zip(PARTS, heap_kb("wasm_newest", "rom", form["rom"], "all"), strict=True))
    peer = "32-bit port newest: " + ", ".join(f"{part} {kb:.1f}" for part, kb in figures.items()) + " KB"
    rows.append(
        row("heap, the same with journal, console and views", sum(figures.values()), "KB", None, peer)
    )
    if not missing("unix"):
        wide = dict(zip(PARTS, heap_kb("unix", "rom", form["rom"], "all"), strict=True))
        peer = "64-bit Unix port: " + ", ".join(f"{part} {kb:.1f}" for part, kb in wide.items()) + " KB"
        rows.append(row("heap, all of these on 64-bit objects", sum(wide.values()), "KB", None, peer))
    return rows


if __name__ == "__main__":
    for line in run():
        print(line)
