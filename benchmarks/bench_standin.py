"""The whole application of the example cell on a stand-in board, TLS and all: its heap, its start, its reaction.

Everything is the Unix port's: objects of 64 bits, which take twice a Pico's room, and this computer's times. The heap
is the smallest with which a board boots, connects over TLS, takes an order from the broker and reports its item there.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from benchmarks.timing import half_quartiles, row
from cell_controller.cpython.broker import start_broker
from hil.bench import BenchError
from hil.standin import StandInError
from hil.standin_bench import HEAP_KB, Flashed
from tests.micropython import tls_broker
from tests.micropython.tls_broker import Secured
from tests.micropython.whole_run import CELL, Run, give_plain, give_tls, seconds_to_state, whole_run

ROUNDS = 5
LEAST_KB, MOST_KB, STEP_KB = 120, HEAP_KB, 10


@contextmanager
def boards() -> Iterator[tuple[Path, Path, Secured]]:
    """A folder, the flash of a provisioned board, and its broker. Raises BenchError where that fails."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        secured = tls_broker.start(folder / "broker", patch, tls=True)
        try:
            flash = Flashed(folder).copy(CELL, folder / "board.bin")
            give_tls(flash, secured)
            yield folder, flash, secured
        finally:
            secured.broker.stop()


def copied(folder: Path, flash: Path) -> Path:
    """A board as it was provisioned, with nothing in its journal."""
    return Path(shutil.copyfile(flash, folder / "run.bin"))


def works(folder: Path, flash: Path, secured: Secured, heap_kb: int) -> bool:
    """Whether the whole run is made with this heap."""
    try:
        run = whole_run(copied(folder, flash), secured, heap_kb)
    except (BenchError, StandInError):
        return False
    return run.item["result"] == "good" and not run.damage and not run.crashes["in_a_row"]


def smallest_kb(folder: Path, flash: Path, secured: Secured) -> int:
    """The smallest heap that works, in steps of STEP_KB. Raises RuntimeError where even the largest does not."""
    low, high = LEAST_KB // STEP_KB, MOST_KB // STEP_KB
    if not works(folder, flash, secured, MOST_KB):
        raise RuntimeError(f"the whole run does not work with {MOST_KB} KB")
    while high - low > 1:
        middle = (low + high) // 2
        if works(folder, flash, secured, middle * STEP_KB):
            high = middle
        else:
            low = middle
    return high * STEP_KB


def start_s(flash: Path, secured: Secured) -> tuple[float, float]:
    """Power-on to health and to the state, at a broker that has nothing retained from the last round."""
    secured.broker.stop()
    secured.broker = start_broker("mosquitto", secured.port)
    return seconds_to_state(flash, secured, HEAP_KB)


def heap_rows(least_kb: int, run: Run) -> list[dict[str, object]]:
    """The heap of the whole run, and what was left of a large one."""
    peer = "objects of 64 bits; TLS, journal, console and all"
    of = f"of {HEAP_KB} KB"
    return [
        row("whole run with TLS, Unix port heap", least_kb, "KB", "<= 200", peer),
        row("whole run with TLS, heap free when healthy", run.free_at_boot / 1024, "KB", peer=of),
        row("whole run with TLS, heap free after an item", run.free_after / 1024, "KB", peer=of),
    ]


def run() -> list[dict[str, object]]:
    """Some minutes. Raises where a board does not do what it should."""
    with boards() as (folder, flash, secured):
        least_kb = smallest_kb(folder, flash, secured)
        made = whole_run(copied(folder, flash), secured, speed=1.0)
        give_plain(
            flash, secured
        )  # over TLS a board first waits up to 10 s for a time server, to judge certificates
        starts = [start_s(copied(folder, flash), secured) for _ in range(ROUNDS)]
    well, told = [one for one, _ in starts], [other for _, other in starts]
    scan = made.state["scan"]
    peer = "retained, mosquitto without TLS; real time"
    rows = heap_rows(least_kb, made)
    rows += [
        row(
            "stand-in, power-on to health",
            median(well),
            "s",
            None,
            "100 scans of 10 ms among it",
            half_quartiles(well),
        ),
        row("stand-in, power-on to state at the broker", median(told), "s", None, peer, half_quartiles(told)),
    ]
    for name, key in (("scan", "scan_max_us"), ("slice", "slice_max_us"), ("collection", "collect_max_us")):
        rows.append(row(f"stand-in, longest {name} of an item", scan[key] / 1000, "ms", None, "Unix port"))
    return rows


if __name__ == "__main__":
    for line in run():
        print(line)
