"""What the loader starts: brings one cell up on a microcontroller, and makes every way out of it a safe one.

The order matters: the board's outputs are at their safe values before a file, a journal or the network is looked at.
A crash drives the abort values, keeps its traceback, and leaves the restart to the watchdog. After three in a row the
controller is not started: outputs safe, link and console up, the reason published.
"""

import gc
import sys

from board.machine_board import MachineBoard
from cell_controller.core import codec
from cell_controller.core import packml as pm
from cell_controller.core.shelf import load_cell
from cell_controller.core.strictjson import loads
from cell_controller.micropython.clock import Clock
from cell_controller.micropython.console import Console, SerialPort
from cell_controller.micropython.crash import Crashes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cell_controller.micropython.loader import Boot

ROM = "/app"
SETTINGS = "/settings.json"
WATCHDOG_MS = 2000
BOOT_MS = 8000  # for each stage of a start; an RP2's watchdog allows 8388
LEAVE_MS = 300  # for the last words on the console before a reset


def table(name: str) -> "Any":
    """A compiled table of the application."""
    with open(ROM + "/" + name, "rb") as file:
        return codec.unpack(file.read())


def in_place(name: str) -> "Any":
    """A table of the application where it lies in flash: what is taken out of it only when it is wanted."""
    with open(ROM + "/" + name, "rb") as file:
        return memoryview(file)  # type: ignore[arg-type]  # a file of a ROM file system is its own memory


def settings() -> "dict[str, Any]":
    """Identity, Wi-Fi and broker of this board, as `cellctl provision` wrote them; {} if nobody did."""
    try:
        with open(SETTINGS, "rb") as file:
            found = loads(file.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class Application:
    """One start of the board. `run` comes back only after a reset was asked for."""

    def __init__(self, boot: "Boot", machine: "Any") -> None:
        self.boot = boot
        self.machine = machine
        self.about: "dict[str, Any]" = table("manifest.bin")
        self.spec: "dict[str, Any]" = load_cell(in_place("cell.bin"))
        self.board = MachineBoard(machine, self.spec, table("wiring.bin"))
        self.board.open()
        self.abort_values = [entry["on_abort"] for entry in self.spec["outputs"]]
        self.settings = settings()
        self.clock = Clock()
        self.crashes = Crashes()
        self.board.start_watchdog(BOOT_MS)
        wdt = getattr(machine, "WDT_RESET", -1)
        self.crashes.at_start(machine.reset_cause() == wdt, WATCHDOG_MS)
        self.runtime: "Any" = None
        self.link_error = ""
        self.then = ""  # "repl" or "restart": why the loop is left
        self.safe: "Any" = None
        self.console = Console(SerialPort(), self._take_console, self._own, self.clock.wall_ms)

    def run(self) -> None:
        """The cell, or safe mode, until somebody asks for the prompt or a restart."""
        from cell_controller.micropython.journal_area import open_journal

        self.board.feed_watchdog()
        journal, area = open_journal(self.boot.areas["journal"], self.clock, self.board.feed_watchdog)
        if self.crashes.safe_mode:
            from cell_controller.micropython.safe_mode import SafeMode

            self.safe = SafeMode(self, journal)
            area.opened()
            self.safe.run()
        else:
            self.make_runtime(journal)
            area.opened()
            self.board.start_watchdog(WATCHDOG_MS)
            self.runtime.run()
        self.leave()

    def make_runtime(self, journal: "Any") -> None:
        """The controller on its journal, booted: Aborted. Each stage may take as long as the watchdog allows."""
        feed = self.board.feed_watchdog
        from cell_controller.core.controller import Controller

        feed()
        from cell_controller.core.orders import Book
        from cell_controller.core.recover import recover
        from cell_controller.micropython.runtime import Runtime

        feed()
        equipment = __import__("equipment")
        phases = {}
        for entry in self.spec["phases"]:
            phases[entry["name"]] = getattr(equipment, entry["name"])
        states = {}
        for entry in self.spec["states"]:
            states[entry["state"]] = getattr(equipment, entry["function"])
        book = recover(journal, Book(lean=True))
        feed()
        controller = Controller(self.spec, phases, states, book, journal.last_seq)
        feed()
        runtime = Runtime(controller, self.board, journal, self.clock, self._healthy, self.crashes.calm)
        runtime.console = self.console
        self.runtime = runtime
        runtime.boot()
        feed()
        runtime.link = self.make_link(journal, self._take_link)
        feed()

    def make_link(self, journal: "Any", take: "Any") -> "Any":
        """The link to the broker that the settings name; None without one, or where its certificate is no use."""
        from cell_controller.micropython.plant_link import make_link

        if self.settings.get("broker"):
            # a broker that was never reached is one all the same: what it was not told is kept, and counted when lost
            journal.set_delivered("mqtt", journal.delivered("mqtt"))
        try:
            return make_link(self.spec, self.settings, journal, take, self.clock)
        except (OSError, ValueError) as error:
            # the cell goes on alone, and never without the protection that was asked for
            self.link_error = "no link: %s; `cellctl provision` gives the board its settings" % error
            self.console.say({"say": self.link_error})
            return None

    def leave(self) -> None:
        """The loop was left on purpose: the end goes to the journal, the last words out, then a reset."""
        self.board.make_safe(self.abort_values)
        link = self.safe.link if self.runtime is None else self.runtime.link
        if self.runtime is not None:
            self.runtime.shut_down()
        if link is not None:
            link.leave(self.board.tick(), self.clock.wall_ms())
        if self.then == "restart":
            self.crashes.calm()
        self.crashes.left()
        if self.then == "repl":
            with open("/stay", "w") as file:
                file.write("once")
        self.console.flush()
        self.machine.reset()

    def crashed(self, error: BaseException) -> None:
        """Outputs first, then the record; the watchdog, which nobody feeds any more, restarts the board."""
        self.board.make_safe(self.abort_values)
        self.runtime = None  # what it held is wanted for the record, should the heap have been too small
        gc.collect()
        try:
            self.crashes.crashed(error)
            self.console.say({"say": "crash: " + self.crashes.text.strip().split("\n")[-1]})
            self.console.flush()
        finally:
            begun = self.clock.ms()
            while self.clock.ms_since(begun) < 2 * WATCHDOG_MS:
                self.clock.sleep_ms(10)
            self.machine.reset()  # a board whose watchdog did not bite

    # --- the console's own verbs, and requests ---

    def _take_console(self, request: "Any") -> bool:
        return self._take(request, "console")

    def _take_link(self, request: "Any") -> bool:
        return self._take(request, "link")

    def _take(self, request: "Any", origin: str) -> bool:
        if self.safe is not None:
            return bool(self.safe.take(request, origin))
        return bool(self.runtime.take(request, origin))

    def _own(self, verb: str) -> "tuple[bool, str, dict[str, object]]":
        if verb == "about":
            return True, "", self.describe()
        if self.runtime is not None:
            controller = self.runtime.controller
            if not self.runtime.standing() or controller.book.item is not None:
                what = "an item is in work" if controller.book.item is not None else "it is at work"
                state = pm.STATES[controller.machine.state]
                return False, state + ": " + what + "; stop it and end or scrap the item first", {}
            self.runtime.leaving = True
        else:
            self.safe.leaving = True
        self.then = verb
        return True, "", {}

    def describe(self) -> "dict[str, object]":
        """Who this board is and what it runs."""
        view: "dict[str, object]" = dict(self.about)
        view["serial"] = self.settings.get("serial") or self.board.identity()
        view["board_id"] = self.board.identity()
        view["slot"] = self.boot.slot
        view["trial"] = self.boot.trial
        view["image_sha256"] = self.boot.sha256
        view["failed"] = self.boot.failed
        view["uptime_ms"] = self.clock.uptime_ms()
        view["heap_free"] = gc.mem_free()  # type: ignore[attr-defined]
        view["crashes"] = {"in_a_row": self.crashes.count, "last": self.crashes.text}
        view["safe_mode"] = self.crashes.reason() if self.safe is not None else ""
        view["link_error"] = self.link_error
        view["board_trouble"] = self.board.trouble
        view["healthy"] = self.safe is None and self.runtime.healthy
        if self.runtime is not None:
            controller = self.runtime.controller
            view["state"] = pm.STATES[controller.machine.state]
            view["has_item"] = controller.book.item is not None
        else:
            view["state"] = "Aborted"
            view["has_item"] = False
        return view

    def _healthy(self) -> None:
        """A hundred scans: a new application is confirmed, and whoever flashed it is told."""
        if self.boot.trial:
            self.crashes.calm()  # the crashes were those of the application before
        self.boot.confirm()
        self.console.say({"health": self.describe()})


def start(boot: "Boot") -> None:
    """Called by the loader; every exception ends in safe outputs, a record and a restart."""
    import machine
    import micropython

    if hasattr(micropython, "alloc_emergency_exception_buf"):
        micropython.alloc_emergency_exception_buf(
            100
        )  # an error where nothing may be allocated still has its text
    micropython.kbd_intr(-1)  # a stray Ctrl-C on the line is not an emergency stop
    application = None
    try:
        application = Application(boot, machine)
        application.run()
    except Exception as error:  # whatever a phase or a driver raises ends here
        if application is None:
            _before_anything(error, machine)
        else:
            application.crashed(error)


def _before_anything(error: BaseException, machine: "Any") -> None:
    """The application could not even be made: pins are as after a reset; the record, then a restart."""
    crashes = Crashes()
    gc.collect()
    crashes.crashed(error)
    sys.print_exception(error)  # type: ignore[attr-defined]
    if crashes.safe_mode:
        print("three crashes before the board could be opened: staying at the prompt")
        import micropython

        micropython.kbd_intr(3)
        return
    machine.reset()
