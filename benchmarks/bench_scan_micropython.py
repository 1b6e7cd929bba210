"""One scan of the reference cell on the MicroPython Unix port, against the same cell written by hand, equal outputs.

Both run as byte code, made as `cellctl build` makes it. The script that runs there compares the outputs first. A
microcontroller's own time is not known from this: 64-bit objects on a fast machine; the ratio is what carries over.
"""

import shutil
from statistics import median

from benchmarks.timing import half_quartiles, row
from host_tools.build_image import BuildError, compile_controller, find_cross, needed_modules
from tests.runtimes.runtimes import ROOT, Runtime, RuntimeMissingError, missing

SCRIPT = "benchmarks/portable/scan_rounds.py"
WORK = ROOT / ".cache" / "scan"
CONTROLLER = "cell_controller.core.controller"
OWN = ("benchmarks/__init__.py", "benchmarks/hand_loop.py", "benchmarks/reference_cell.py")
ROUNDS = 301  # of 64 scans each
RUNTIME = "unix"


def prepare() -> None:
    """The byte code of both, below WORK."""
    try:
        cross = find_cross()
    except BuildError as error:
        raise RuntimeMissingError(str(error)) from error
    modules = needed_modules(ROOT, [CONTROLLER, "cell_controller"]) | {name: ROOT / name for name in OWN}
    shutil.rmtree(WORK, ignore_errors=True)
    for name, code in compile_controller(cross, modules, [(ROOT / SCRIPT).read_bytes()]).items():
        path = WORK / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code)


def rounds(count: int) -> list[tuple[int, ...]]:
    """ns a scan in every round: by hand and by the controller with inputs changing, then both with constant ones.

    Raises RuntimeMissingError without the Unix port or mpy-cross, RuntimeFailedError where the outputs differ.
    """
    if reason := missing(RUNTIME):
        raise RuntimeMissingError(f"runtime {RUNTIME}: {reason}")
    prepare()
    said = Runtime(RUNTIME).run(SCRIPT, count, WORK)
    return [tuple(int(part) for part in line.split()) for line in said.splitlines() if line]


def run() -> list[dict[str, object]]:
    """The ratios of the rounds first, then the absolute figure."""
    found = rounds(ROUNDS)
    rows = []
    for what, place in (("inputs changing", 0), ("constant inputs", 2)):
        hand = [line[place] for line in found]
        controlled = [line[place + 1] for line in found]
        ratios = [ours / theirs for ours, theirs in zip(controlled, hand, strict=True)]
        peer = f"straight-line loop there, {median(hand) / 1000:.1f} us"
        name = f"scan on MicroPython, reference cell, {what}"
        rows.append(row(name, median(ratios), "x by hand", "<= 2.5", peer, half_quartiles(ratios)))
        rows.append(row(f"{name}, absolute", median(controlled) / 1000, "us"))
    return rows


if __name__ == "__main__":
    for line in run():
        print(line)
