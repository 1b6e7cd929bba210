"""The whole application of the example cell onto a board, against `mpremote cp -r` of its files to the same one.

The board is the stand-in: on a free line as USB is one, and at 115,200 baud. Ours is timed from opening the port of a
blank board to the switch, loader, comparison and reading back included; mpremote as the command that a person types,
into a second file system of the board that is large enough. Nothing changed: the whole command, interpreter included.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from benchmarks.timing import half_quartiles, row
from hil.standin.board import StandIn
from host_tools.build import build
from host_tools.bundle import Bundle, write_bundle
from host_tools.device.slot_writer import SECTOR
from host_tools.flash import flash
from host_tools.flash_plan import contents
from host_tools.output import INTERRUPTED
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import SerialPort
from host_tools.slot_session import SlotSession
from tests.host_tools.flash_bench import application, board_with, bundle_of
from tests.runtimes.runtimes import ROOT

CELL = ROOT / "examples" / "paint_cell"
BAUD = 115_200
ROUNDS = 3
BOARDS = 8
CELLCTL = [sys.executable, "-m", "host_tools.cellctl"]
# Where the slots are, so that mpremote has room: the board's own file system holds a seventh of the application.
BOOT = f"""
import vfs, rp2
area = rp2.Flash(start=68 * {SECTOR}, len=144 * {SECTOR})
try:
    files = vfs.VfsLfs2(area, progsize=256)
except OSError:
    vfs.VfsLfs2.mkfs(area, progsize=256)
    files = vfs.VfsLfs2(area, progsize=256)
vfs.mount(files, "/big")
"""


class UntilSwitched:
    """Takes the time of the switch; what comes after it is the application's."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self.at = 0.0

    def step(self, port: str, text: str) -> None:
        if text.startswith("waiting until"):
            self.at = time.perf_counter()
            self.cancel.set()

    def part(self, port: str, done: int, total: int) -> None:
        pass


def transfer_s(port: str, bundle: Bundle) -> float:
    """From opening the port to the switch, s. Raises RuntimeError with the reason where it is not reached."""
    tell = UntilSwitched()
    begun = time.perf_counter()
    outcome = flash(port, bundle, tell=tell, cancel=tell.cancel, back_s=0)
    if outcome.code != INTERRUPTED or not tell.at:
        raise RuntimeError(outcome.text)
    return tell.at - begun


@contextmanager
def blank_boards(count: int, baud: int) -> Iterator[list[StandIn]]:
    """Boards as they come out of the shop."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield [
            stack.enter_context(StandIn(Path(folder, f"flash{number}"), baud=baud)) for number in range(count)
        ]


def ours_s(bundle: Bundle, baud: int, count: int = 1) -> float:
    """Time of the slowest of `count` boards that are flashed at once, s."""
    with blank_boards(count, baud) as boards:
        took: list[float] = []
        threads = [
            threading.Thread(target=lambda board=board: took.append(transfer_s(board.port, bundle)))
            for board in boards
        ]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(took) != count:
            raise RuntimeError(f"{count - len(took)} of {count} boards were not flashed")
        return time.perf_counter() - begun if count > 1 else took[0]


def mpremote_s(folder: Path, baud: int) -> float:
    """Time of `mpremote cp -r` of a folder, s."""
    flash_file = Path(folder.parent, "mpremote.flash")
    with StandIn(flash_file) as board, SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        session = SlotSession(repl)
        session.write_file("/boot.py", BOOT.encode())
        session.leave()
    with StandIn(flash_file, baud=baud) as board:
        mpremote = str(Path(sys.executable).parent / "mpremote")
        command = [mpremote, "connect", board.port, "cp", "-r", f"{folder}/", ":/big/"]
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took = time.perf_counter() - begun
    flash_file.unlink()
    return took


def unchanged_s(baud: int) -> float:
    """The command for a board that runs the bundle already, s."""
    with tempfile.TemporaryDirectory() as folder:
        made = bundle_of(application(size=160_000))
        bundle = write_bundle(Path(folder, "same.bundle"), made.manifest, made.files)
        with board_with(Path(folder), made.image, baud=baud) as board:
            command = [*CELLCTL, "flash", "--port", board.port, str(bundle.path)]
            before = board.flash_operations
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
            took = time.perf_counter() - begun
            if board.flash_operations != before:
                raise RuntimeError("flashing the same again wrote to the flash")
            return took


def in_turn(first: Callable[[], float], second: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Both, ROUNDS times, changing which goes first."""
    one: list[float] = []
    other: list[float] = []
    for number in range(ROUNDS):
        for work, kept in ((first, one), (second, other))[:: 1 if number % 2 else -1]:
            kept.append(work())
    return one, other


def compared(name: str, bar: str, bundle: Bundle, folder: Path, baud: int) -> list[dict[str, object]]:
    """Rows for one kind of line."""
    slow, quick = in_turn(lambda: mpremote_s(folder, baud), lambda: ours_s(bundle, baud))
    ratios = [one / other for one, other in zip(slow, quick, strict=True)]
    peer = f"mpremote cp -r of the same {len(bundle.image)} bytes in {median(slow):.1f} s"
    return [
        row(f"flash transfer, {name}, times as fast", median(ratios), "x", bar, peer, half_quartiles(ratios)),
        row(f"flash transfer, {name}", median(quick), "s", spread=half_quartiles(quick)),
    ]


def run() -> list[dict[str, object]]:
    """Some minutes, most of them mpremote's. Raises where a board is not flashed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "application")
        built = build(CELL, "rp2", out=Path(name, "paint.bundle"))
        for path, content in contents(built.bundle.image):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        rows = compared("free line", ">= 20", built.bundle, folder, 0)
        rows += compared("115,200 baud", ">= 2.5", built.bundle, folder, BAUD)
        one, eight = in_turn(lambda: ours_s(built.bundle, BAUD), lambda: ours_s(built.bundle, BAUD, BOARDS))
    ratios = [many / single for many, single in zip(eight, one, strict=True)]
    peer = f"one board in {median(one):.1f} s"
    rows.append(
        row(
            "flash, eight boards at 115,200 baud, times one",
            median(ratios),
            "x",
            "<= 1.5",
            peer,
            half_quartiles(ratios),
        )
    )
    for line, baud in (("free line", 0), ("115,200 baud", BAUD)):
        took = [unchanged_s(baud) for _ in range(ROUNDS)]
        rows.append(
            row(f"flash, nothing changed, {line}", median(took), "s", "<= 2", spread=half_quartiles(took))
        )
    return rows


if __name__ == "__main__":
    for line in run():
        print(line)
