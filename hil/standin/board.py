"""The stand-in board: its life from boot to boot, its cable, its power."""

import contextlib
import os
import selectors
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cell_controller.errors import CellError
from hil.standin.child import Child
from hil.standin.chip import Chip
from hil.standin.console import OPEN, PROMPTING, REBOOT, STARTING, Console
from hil.standin.device import layout
from hil.standin.parts import Shared, StandInError, device_image, memory_file, open_flash
from hil.standin.wire import Line, Port, read, write

if TYPE_CHECKING:
    from hil.standin.cabinet import Cabinet

TURN_S = 0.005
"""How often the board looks after its watchdog when nothing else happens."""
STUCK_S = 0.5
"""How long a board waits for a host that does not read before it throws its output away, as an RP2 does."""
FULL_S = 0.001
INTERRUPT_S = 0.02
"""Ctrl-C again within this time is the same interrupt."""
ANSWER_S = 10.0


class StandIn:
    """A Pico W that is not there. A context manager: the board runs, and has booted once, inside the `with`."""

    def __init__(
        self,
        flash: str | os.PathLike[str],
        *,
        heap_kb: int = 400,
        baud: int = 0,
        speed: float = 1.0,
        cell: str | os.PathLike[str] | None = None,
        serial: int = 0x2D,
        start_ms: int = 0,
        link: str | os.PathLike[str] | None = None,
        hangs_up: bool = False,
    ) -> None:
        """`flash`: the file that keeps its flash from one run to the next, made where there is none.

        `heap_kb`: what the application finds of the heap; objects take twice a Pico's room in it. `baud`: bits a second
        each way, 0 for as fast as it goes, as USB does. `speed`: how many times as fast its clock runs. `cell`: a cell
        directory whose plant it is wired to. `serial`: the last byte of its unique id, 0..255. `start_ms`: what its
        ticks show at power-on. `link`: where the port shall be found; without it in a folder of its own.
        `hangs_up`: a reset, not a soft one, takes the port away for a moment, as on a board with USB of its own.
        """
        if speed <= 0 or baud < 0 or heap_kb < 16:
            said = f"speed = {speed}, baud = {baud}, heap_kb = {heap_kb}"
            raise StandInError(f"{said}: want above 0, 0 or more, 16 or more")
        self.speed = speed
        self.observer = ""
        self._cabinet: Cabinet | None = None
        self._cell = cell
        self._heap_bytes = heap_kb * 1024
        self._flash_path = Path(flash)
        self._link = Path(link) if link is not None else None
        self._serial = serial
        self._start_ms = start_ms
        self._hangs_up = hangs_up
        self._up, self._down = Line(baud), Line(baud)  # to the board, to the host
        self.boots = 0
        self._child: Child | None = None
        self._raw = False
        self._interrupted_at = 0.0
        self._stuck_at = 0.0
        self._orders: list[tuple[Callable[[], None], threading.Event]] = []
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    # --- life ---

    def open(self) -> Self:
        """Switch the board on. Raises StandInError where something is missing or it does not boot."""
        image = device_image()
        self._flash = open_flash(self._flash_path)
        self._shared = Shared()
        self._chip = Chip(self._shared, self.speed, self._serial, self._start_ms)
        if self._cell is not None:
            self._wire_to(self._cell)
        self._folder = Path(tempfile.mkdtemp(prefix="stand-in-"))
        self._port = Port(self._link or self._folder / "port")
        self._rom, self._rom_bytes = memory_file("stand-in-rom", image), len(image)
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._plug()
        self._thread = threading.Thread(target=self._run, name=f"stand-in {self.port}", daemon=True)
        self._thread.start()
        try:
            self.wait_boot(1)
        except StandInError:
            with contextlib.suppress(StandInError):
                self.close()
            raise
        return self

    def _wire_to(self, cell: str | os.PathLike[str]) -> None:
        from hil.standin.cabinet import Cabinet  # reads cell files, which a bare board does without

        try:
            self._cabinet = Cabinet(Path(cell), self._shared, self.speed)
        except CellError:
            self._shared.close()
            os.close(self._flash)
            raise
        self._cabinet.start()
        self.observer = self._cabinet.address

    def close(self) -> None:
        """Switch it off and let go of everything; a second call does nothing. Raises what had stopped it before."""
        if self._thread is None:
            return
        self._stopping = True
        os.write(self._wake_in, b"!")
        self._thread.join()
        self._thread = None
        with contextlib.ExitStack() as rest:
            rest.callback(self._let_go)
            if self._cabinet is not None:
                self._cabinet.stop_and_wait()
        if self._failure is not None:
            raise self._stopped() from self._failure

    def _let_go(self) -> None:
        self._selector.close()
        self._port.unplug()
        self._shared.close()
        for descriptor in (self._flash, self._rom, self._wake_out, self._wake_in):
            os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what a person can do with it ---

    @property
    def port(self) -> str:
        """The path that serial tools open; the same after `unplug` and `plug`."""
        return str(self._port.link)

    @property
    def wire_bytes(self) -> int:
        """How many bytes the cable has carried, both ways together."""
        return self._up.carried + self._down.carried

    @property
    def flash_operations(self) -> int:
        """How many pages were programmed and sectors erased so far."""
        return self._chip.operations

    @property
    def violations(self) -> int:
        """How many programs would have set a bit that only an erase can set; each raised OSError on the board."""
        return self._chip.violations

    def reset(self) -> None:
        """The reset button: cold, and the clock starts again; returns when it has booted."""
        self._do(lambda: self._restart(layout.PWRON_RESET, power=False))

    def power_cut(self) -> None:
        """The power goes and comes back; returns when it has booted."""
        self._do(lambda: self._restart(layout.PWRON_RESET))

    def cut_at(self, operation: int, how: str = "before") -> None:
        """The power goes in the n-th program of a page or erase of a sector from now, 1 is the next; then it boots.

        `how`: "before" it, "half" of it done, or "garbage": what it touches is anything between old and new.
        """
        self._chip.cut_at(operation, how)

    def unplug(self) -> None:
        """Take the cable out: the host's tool gets a hang-up, the board runs on."""
        self._do(self._unplug, boots=False)

    def plug(self) -> None:
        """Put the cable in again."""
        self._do(self._plug, boots=False)

    def wifi(self, there: bool) -> None:
        """The access point comes or goes."""
        self._chip.wifi(there)

    def i2c(self, address: int, there: bool) -> None:
        """A chip on I2C is there or does not answer: MCP23017 at 0x20..0x27, ADS1115 at 0x48..0x4b."""
        self._chip.i2c(address, there)

    def wait_boot(self, count: int, timeout_s: float = ANSWER_S) -> None:
        """Wait until it has booted `count` times in all: its file system is mounted. Raises StandInError."""
        with self._changed:
            self._changed.wait_for(lambda: self.boots >= count or self._failure is not None, timeout_s)
        if self._failure is not None:
            raise self._stopped() from self._failure
        if self.boots < count:
            raise StandInError(
                f"the stand-in board booted {self.boots} times within {timeout_s} s, not {count}"
            )

    def _stopped(self) -> StandInError:
        return StandInError(f"the stand-in board stopped: {self._failure}")

    def _do(self, order: Callable[[], None], boots: bool = True) -> None:
        """Have the board's own thread do something, and wait for it."""
        before = self.boots
        done = threading.Event()
        self._orders.append((order, done))
        os.write(self._wake_in, b"!")
        if not done.wait(ANSWER_S):
            raise StandInError(f"the stand-in board does not answer: {self._failure}")
        if boots:
            self.wait_boot(before + 1)

    # --- its thread ---

    def _run(self) -> None:
        try:
            self._chip.power_on()
            self._boot(layout.PWRON_RESET)
            while not self._stopping:
                self._turn()
        except BaseException as error:  # noqa: BLE001  told to whoever waits for the board
            self._failure = error
        finally:
            if self._child is not None:
                self._child.close()
            with self._changed:
                self._changed.notify_all()

    def _turn(self) -> None:
        if self._up.full or self._down.full:
            time.sleep(FULL_S)  # the selector would return at once, for what cannot be taken
        now = time.monotonic()
        waits = [wait for wait in (self._up.wait_s(now), self._down.wait_s(now)) if wait is not None]
        for key, _ in self._selector.select(min([TURN_S, *waits])):
            if key.fd == self._wake_out:
                os.read(self._wake_out, 64)
        while self._orders:
            order, done = self._orders.pop(0)
            order()
            done.set()
        self._from_host()
        self._from_board()
        self._resets()
        self._to_board()
        self._to_host()

    @property
    def _running(self) -> Child:
        assert self._child is not None
        return self._child

    # --- boots ---

    def _boot(self, cause: int | None) -> None:
        """Start MicroPython; `cause` where the processor starts too, None for a soft reset."""
        if cause is not None:
            self._raw = False
            self._chip.reset(cause)
        child = Child(
            self._flash, self._shared.descriptor, self._rom, self._rom_bytes, self._heap_bytes, self._raw
        )
        self._child = child
        self._console = Console(self._raw, child.mounted, child.ready, child.announce)
        for descriptor in (child.console, child.control):
            self._selector.register(descriptor, selectors.EVENT_READ)

    def _stop(self) -> None:
        """End MicroPython; what it had printed still reaches the wire."""
        child = self._running
        child.end()
        while data := read(child.console):
            self._down.put(self._console.from_board(data), time.monotonic())
        for descriptor in (child.console, child.control):
            self._selector.unregister(descriptor)
        self._raw = self._console.raw
        child.close()
        self._child = None

    def _restart(self, cause: int, power: bool = True) -> None:
        """The processor starts again; `power`: because the power had gone."""
        self._stop()
        self._up.clear()
        if power:
            self._chip.power_on()
        if self._hangs_up and self._port.descriptor >= 0:
            self._unplug()
            self._boot(cause)
            self._plug()
        else:
            self._boot(cause)

    def _ended(self) -> None:
        """MicroPython ended by itself: a soft reset, or a defect that would have been a hard fault on a board."""
        status = self._running.status()
        started = self._console.stage != STARTING
        said = self._console.said
        self._stop()
        if status < 0 or not started:
            text = said.decode(errors="replace").strip()
            raise StandInError(f"MicroPython ended with status {status}; printed last: {text or 'nothing'}")
        self._down.put(REBOOT, time.monotonic())
        self._boot(None)

    # --- bytes ---

    def _from_host(self) -> None:
        if self._port.descriptor >= 0 and not self._up.full:
            data = self._port.read()
            if data:
                self._up.put(data, time.monotonic())

    def _to_board(self) -> None:
        now = time.monotonic()
        data = self._up.peek(now)
        if not data:
            return
        if not self._console.takes_input and (self._console.stage == STARTING or 3 not in data):
            self._up.drop(0)
            return
        taken = self._interrupt(data, now)
        taken += write(self._running.console, data[taken:])
        if b"\2" in data[:taken]:
            self._console.expect_banner()
        self._up.drop(taken)

    def _interrupt(self, data: bytes, now: float) -> int:
        """Ctrl-C in `data`: how many bytes it swallows."""
        last = data.rfind(b"\3")
        if last < 0 or not self._running.executes():
            return 0
        if now - self._interrupted_at > INTERRUPT_S:
            self._interrupted_at = now
            self._running.interrupt()
        return last + 1

    def _from_board(self) -> None:
        if self._down.full:
            return
        child = self._running
        data = read(child.console)
        if data:
            before = self._console.stage
            shown = self._console.from_board(data)
            if shown:
                self._down.put(shown, time.monotonic())
            self._advanced(before)
        elif data is None:
            self._ended()

    def _resets(self) -> None:
        """What the board asks for itself, or its watchdog."""
        said = read(self._running.control)
        if said == layout.SAY_CUT:
            self._chip.no_cut()
            self._restart(layout.PWRON_RESET)
        elif said or self._chip.bites(time.monotonic()):
            self._restart(layout.WDT_RESET, power=False)

    def _advanced(self, before: int) -> None:
        stage = self._console.stage
        if before == STARTING and stage > STARTING:
            with self._changed:
                self.boots += 1
                self._changed.notify_all()
        if before < PROMPTING <= stage < OPEN and self._console.raw:
            write(self._running.console, b"\1")

    def _to_host(self) -> None:
        now = time.monotonic()
        data = self._down.peek(now)
        if not data:
            self._stuck_at = now
            return
        if self._port.descriptor < 0:
            self._down.drop(len(data))  # nobody is there
            return
        taken = self._port.write(data)
        if taken:
            self._stuck_at = now
        elif now - self._stuck_at > STUCK_S:
            taken = len(data)
        self._down.drop(taken)

    def _plug(self) -> None:
        if self._port.descriptor < 0:
            self._port.plug()
            self._selector.register(self._port.descriptor, selectors.EVENT_READ)

    def _unplug(self) -> None:
        if self._port.descriptor >= 0:
            self._selector.unregister(self._port.descriptor)
        self._port.unplug()
        self._up.clear()
