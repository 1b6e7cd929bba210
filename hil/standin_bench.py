"""A cell on a stand-in board, in the bench's words: the same test file runs on it with `--cell-board standin`.

The application is built and flashed as a technician would do it, once for each cell; every test then begins with a
copy of that board's flash. Requests go over the console of the board, looks go to the plant behind its pins.
"""

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from board.remote import Observer
from cell_controller.core import codec
from cell_controller.core import events as ev
from cell_controller.micropython import loader
from cell_controller.micropython.flash_journal import FlashJournal
from hil.asked_bench import WAIT_S, AskedBench
from hil.bench import BenchError
from hil.nor_flash import NorFlash
from hil.standin import StandIn
from host_tools.board_console import Lines, wait_healthy
from host_tools.build import build
from host_tools.cellfile import compile_cell
from host_tools.flash import flash
from host_tools.serial_port import SerialPort

Record = dict[str, Any]
SPEED = 10.0
HEAP_KB = 400  # twice that of a Pico W: words have 64 bits here


class StandInBench(AskedBench):
    """One stand-in board with the cell of `directory` on it; `flash` is the file that is its flash."""

    def __init__(
        self,
        directory: Path,
        flash_file: Path,
        speed: float = SPEED,
        heap_kb: int = HEAP_KB,
        start_ms: int = 0,
    ) -> None:
        spec = compile_cell(directory, "pico_w").spec
        self.flash_file = flash_file
        self.stand_in = StandIn(
            flash_file, heap_kb=heap_kb, speed=speed, cell=directory, start_ms=start_ms
        ).open()
        self._asked = 0
        self.said: list[Record] = []
        self._port = SerialPort(self.stand_in.port)
        self._lines = Lines(self._port)
        super().__init__(Observer(self.stand_in.observer), [str(entry["name"]) for entry in spec["outputs"]])
        try:
            self.wait_up()
        except BaseException:
            self.close()
            raise

    def wait_up(self) -> None:
        """Until the application says that it is well. Raises BenchError with what the board said instead."""
        present = wait_healthy(self._port, WAIT_S, lambda about: bool(about.get("safe_mode")))
        if not present.about.get("healthy"):
            raise BenchError(f"the application is not well: {present}")

    def ask(self, verb: str, **args: Any) -> Record:
        self._asked += 1
        number = f"b{self._asked}"
        body = {"id": number, "issuer": "bench", "verb": verb, **args}
        self._port.write(json.dumps(body).encode() + b"\n")
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            value = self._lines.next(deadline - time.monotonic())
            if value is not None and value.get("id") == number:
                return value
            if value is not None:
                self.said.append(value)
        raise BenchError(f"no reply to {verb} {args}; the board said: {self._lines.said[-2000:]!r}")

    def restart(self) -> "StandInBench":
        """Cut the board's power and let it come up again; the plant goes on as it was."""
        self.stand_in.power_cut()
        self._lines.forget()
        self.wait_up()
        return self

    @property
    def records(self) -> list[Record]:
        """The as-built records in the journal, read from a copy of the flash as it is now."""
        content = self.flash_file.read_bytes()
        first = loader.FS_SECTORS * loader.SECTOR
        area = content[first : first + loader.JOURNAL_SECTORS * loader.SECTOR]
        journal = FlashJournal(NorFlash(loader.JOURNAL_SECTORS, area), lambda: 0, lambda: "0" * 16)
        found: list[Record] = []
        for _, _, record in journal.replay():
            if ev.fields(record)[2] == ev.ITEM_END:
                built: Any = codec.unpack(record[ev.SIZE :])
                found.append(built)
        return found

    def close(self) -> None:
        """Let go of the board and switch it off."""
        self.observer.close()
        self._port.close()
        self.stand_in.close()


class Flashed:
    """The flash of a board with the application of a cell on it, made once for each cell directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[Path, Path] = {}
        self._lock = threading.Lock()

    def copy(self, directory: Path, to: Path) -> Path:
        """A fresh copy for one board. Raises BenchError where the application cannot be flashed."""
        with self._lock:
            if directory not in self._made:
                self._made[directory] = self._make(directory, len(self._made))
        shutil.copyfile(self._made[directory], to)
        return to

    def _make(self, directory: Path, number: int) -> Path:
        file = self._folder / f"flash-{number}.bin"
        built = build(directory, "rp2", out=self._folder / f"cell-{number}.cell")
        with StandIn(file, heap_kb=HEAP_KB, cell=directory) as board:
            outcome = flash(board.port, built.bundle)
            if not outcome.ok:
                raise BenchError(f"the stand-in board was not flashed: {outcome.text}")
        return file
