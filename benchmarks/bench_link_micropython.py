"""The link of a microcontroller: a round trip to the broker, its slices, and the heap it takes.

Times are those of the Unix port on this machine. A Pico is some 50 times slower, so its slices are compared with what
the same work takes in one piece.
"""

import shutil
import sys
from pathlib import Path

from benchmarks.bench_heap import compiled
from benchmarks.timing import row
from cell_controller.core import codec
from cell_controller.cpython.broker import start_broker
from host_tools.cellfile import compile_cell
from host_tools.romfs import image
from tests.runtimes.runtimes import ROOT, Runtime, RuntimeMissingError, missing

WORK = ROOT / ".cache" / "link"
CELL = ROOT / "examples" / "paint_cell"
LINK = (
    "plant_link",
    "link",
    "small_session",
    "json_slices",
    "unpack_slices",
    "mqtt_client",
    "mqtt_packets",
    "wifi",
    "sntp",
)


def prepare() -> None:
    """The controller as it lies in a board's flash, and the compiled cell."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    (WORK / "link.romfs").write_bytes(image(compiled()))
    (WORK / "spec").write_bytes(codec.pack(compile_cell(CELL).spec))


def heap_bytes() -> tuple[int, int]:
    """Heap of the link's modules, and of one link, on 32-bit objects."""
    below = WORK.relative_to(ROOT).as_posix()
    files = (f"{below}/link.romfs", f"{below}/spec")
    names = [f"cell_controller.micropython.{name}" for name in LINK]
    said = Runtime("wasm_newest").run("benchmarks/portable/link_heap.py", *files, *names, paths=files)
    modules, made = said.split()
    return int(modules), int(made)


def times_us() -> list[int]:
    """One send, two pieces, a slice, view and record in one piece; each us."""
    broker = start_broker()
    try:
        said = Runtime("unix").run(
            "benchmarks/portable/link_rounds.py", broker.port, Path(WORK / "spec"), heap_kb=1024
        )
    finally:
        broker.stop()
    return [int(word) for word in said.split()]


def run() -> list[dict[str, object]]:
    """Raises RuntimeMissingError without a runtime or mpy-cross."""
    for runtime in ("unix", "wasm_newest"):
        if reason := missing(runtime):
            raise RuntimeMissingError(f"runtime {runtime}: {reason}")
    prepare()
    one, two, slices, view, record = times_us()
    modules, made = heap_bytes()
    parts = f"modules {modules / 1024:.1f}, buffers and last values {made / 1024:.1f} KB, 32-bit objects"
    return [
        row(
            "MQTT round trip, QoS 1, MicroPython", one / 1000, "ms", "<= 1", f"{two / 1000:.1f} in two pieces"
        ),
        row(
            "link on MicroPython, 99 of 100 busy slices",
            slices / 1000,
            "ms",
            None,
            f"in one piece: a state view {view / 1000:.2f}, an as-built record {record / 1000:.2f} ms",
        ),
        row("heap of the link, byte code in flash", (modules + made) / 1024, "KB", None, parts),
    ]


if __name__ == "__main__":
    for line in run():
        print(line, file=sys.stdout)
