"""How large the example cell's application is for a Pico W, and how long `cellctl build` takes for it."""

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.timing import half_quartiles, row, seconds
from host_tools.build import ROOT, SLOT_BYTES, build
from host_tools.build_image import START, imports_of, needed_modules

CELL = ROOT / "examples" / "paint_cell"
TARGET = "rp2"
ROUNDS = 9


def run() -> list[dict[str, object]]:
    """Sizes in KB of 1024 bytes. Raises BuildError without mpy-cross."""
    modules = needed_modules(ROOT, [START])
    source_kb = sum(path.stat().st_size for path in modules.values()) / 1024
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "bench.cell")
        built = build(CELL, TARGET, out=out)
        times = [seconds(lambda: build_anew(out)) for _ in range(ROUNDS)]
    sizes = {name: size / 1024 for name, size in built.sizes.items()}
    slot = f"a slot of {SLOT_BYTES // 1024} KB"
    source = f"{len(modules)} modules, {source_kb:.0f} KB as source"
    return [
        row("bundle, example cell on rp2: image", sizes["image"], "KB", f"<= {SLOT_BYTES // 1024}", slot),
        row("bundle, example cell on rp2: byte code", sizes["byte code"], "KB", peer=source),
        row("bundle, example cell on rp2: tables", sizes["tables"], "KB"),
        row("bundle, example cell on rp2: file", sizes["bundle"], "KB"),
        row("bundle, example cell on rp2: build", median(times), "s", spread=half_quartiles(times)),
    ]


def build_anew(out: Path) -> None:
    """One build as in a process of its own: what is remembered of the sources is read again."""
    imports_of.cache_clear()
    build(CELL, TARGET, out=out)


if __name__ == "__main__":
    for line in run():
        print(line)
