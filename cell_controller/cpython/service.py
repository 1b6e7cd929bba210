"""The controller as a process: `cell-controller DIR` for systemd, and what `cellctl run` calls.

SIGTERM and SIGINT are Stop, bounded, then the abort values; exit code 0. Whatever ends it, a start comes up Aborted.
"""

import argparse
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from board.contract import Board
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.recover import recover
from cell_controller.core.render import render
from cell_controller.core.session import Session
from cell_controller.cpython.journal import SqliteJournal
from cell_controller.cpython.local_socket import LocalServer, register, running_cells, socket_path, unregister
from cell_controller.cpython.runtime import Runtime
from cell_controller.cpython.supervisor import Supervisor
from cell_controller.errors import BoardError, BrokerError, CellError, CellFileError, JournalError

if TYPE_CHECKING:
    from host_tools.cellfile import CompiledCell

Say = Callable[[str], None]
Observe = Callable[[Runtime, list[bytes]], None]
SWITCH_S = 0.0005  # how soon another thread gives the interpreter back to the scan
SUPERVISOR_S = 1.0


def open_board(
    name: str, cell: "CompiledCell", speed: float, line_faults: bool = False, line_trace: Path | None = None
) -> Board:
    """The board that `--board` names, opened: sim, remote:HOST:PORT, or a wiring file for a Linux machine.

    `line_faults`: whether faults of its lines may be switched. `line_trace`: folder in which they are recorded. Raises
    BoardError where there is no such board or it does not open.
    """
    board: Board
    if name == "sim":
        from board.sim import SimBoard

        board = SimBoard(speed=speed)
    elif name.startswith("remote:"):
        from board.remote import RemoteBoard

        board = RemoteBoard(name.removeprefix("remote:"))
    else:
        board = _linux_board(name, cell, line_faults, line_trace)
    board.open(cell.spec, cell.wiring)
    return board


def _linux_board(name: str, cell: "CompiledCell", line_faults: bool, line_trace: Path | None) -> Board:
    settings = cell.wiring.get("board", {})
    target = settings.get("target")
    if target != "linux":
        said = (
            "does not say for what" if target is None else f"is for target = '{target}', not for this machine"
        )
        raise BoardError(
            f'wiring/{name}.toml {said}; write target = "linux" in its [board], or use --board sim or remote:HOST:PORT'
        )
    from board.linux_board import LinuxBoard

    board = LinuxBoard(name, cell.plans, cell.directory, settings, line_faults)
    if line_trace is not None:
        board.record_to(line_trace)
    return board


def run(
    directory: str | Path,
    board: str = "sim",
    broker: str | None = None,
    speed: float = 1.0,
    journal: str | Path | None = None,
    on_line: Say = print,
    auto: bool = True,
    own_broker: bool = True,
    trace: str | Path | None = None,
    line_faults: bool = False,
    line_trace: Path | None = None,
) -> int:
    """Run the cell of `directory` until SIGTERM or SIGINT; the exit code comes back.

    broker: "host:port", or None to start one here (`own_broker`) or to run without. journal: its file, by default
    .run/journal in the directory. auto: on a simulated board, Clear and Reset are given without a person.
    line_faults, line_trace: see `open_board`. Raises CellFileError, BoardError, BrokerError, JournalError before
    anything moves.
    """
    from host_tools.cellfile import compile_cell

    directory = Path(directory)
    cell = compile_cell(directory, "sim" if board.startswith("remote:") else board)
    equipment = cell.load_equipment()
    name = cell.spec["name"]
    _refuse_a_second(name)
    with ExitStack() as stack:
        say = on_line
        base = f"{cell.spec['path']}/{name}"
        journal_file = Path(journal) if journal else directory / ".run" / "journal"
        store = _journal(journal_file)
        stack.callback(store.close)
        if os.environ.get("CELL_CUT_AT"):
            from hil.cuts import install_from_environment

            install_from_environment(store)
        book = recover(store, Book())
        the_board = open_board(board, cell, speed, line_faults, line_trace)
        stack.callback(the_board.close)
        host, port = _broker(broker, own_broker, stack, say)
        controller = Controller(cell.spec, equipment.phases, equipment.states, book, store.last_seq)
        requests: queue.Queue[Request] = queue.Queue(maxsize=256)
        runtime = Runtime(
            controller, the_board, store, requests, say, _recorder(trace, controller, store, directory, stack)
        )
        server = LocalServer(socket_path(name), requests)
        stack.callback(server.stop)
        server.start()
        runtime.answers["local"] = server
        if host:
            _link(cell.spec, base, store, host, port, runtime, stack)
        register(name, directory.resolve(), server.path, host, port, base)
        stack.callback(unregister, name)
        say(f"{name}: process {os.getpid()}, board {board}, scan {cell.spec['scan_ms']} ms")
        if not the_board.simulated:
            machine = the_board.identity()
            say(f"machine: {machine['model']}, serial {machine['serial'] or 'unknown'}")
        say(f"topics under {base}" if host else "no broker: local commands only")
        if store.opened:
            say(f"journal: {store.opened}")
        for warning in cell.warnings:
            say(f"warning: {warning}")
        runtime.make_ready = auto and the_board.simulated
        if runtime.make_ready:
            say("simulated board: Clear and Reset are given by themselves; on a real one a person gives them")
        return _serve(runtime, directory, stack)


def _refuse_a_second(name: str) -> None:
    """One process a cell. Looking also clears away what a killed one has left, before its socket's name is used."""
    for cell in running_cells():
        if cell["name"] == name:
            raise CellError(
                f"cell {name} runs already as process {cell['pid']} from {cell['dir']}; stop it first"
            )


def _journal(path: Path) -> SqliteJournal:
    """The journal at `path`, in a directory that is made where it is missing. Raises JournalError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"journal {path}: its directory cannot be made ({error.strerror}); give another with --journal"
        ) from error
    return SqliteJournal(path)


def _serve(runtime: Runtime, directory: Path, stack: ExitStack) -> int:
    """Boot, start the threads around the scan, and scan."""
    from cell_controller.cpython.recipe_watch import RecipeWatch
    from cell_controller.cpython.systemd import Notifier

    sys.setswitchinterval(SWITCH_S)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.signal(number, lambda *_: runtime.stop())
            stack.callback(signal.signal, number, before)
    notifier = Notifier()
    runtime.alive = notifier.feed
    runtime.boot()
    recipes = runtime.controller.production.recipes
    running = {**runtime.controller.spec, "recipes": [recipes[i] for i in range(len(recipes))]}
    watch = RecipeWatch(directory, running, runtime.recipes, runtime.say)
    watch.start()
    stack.callback(watch.stop)
    supervisor = Supervisor(runtime, SUPERVISOR_S)
    supervisor.start()
    stack.callback(supervisor.stop)
    notifier.ready(f"scans every {runtime.controller.spec['scan_ms']} ms")
    try:
        return runtime.run()
    finally:
        notifier.stopping()


def _recorder(
    trace: str | Path | None, controller: Controller, store: SqliteJournal, directory: Path, stack: ExitStack
) -> Observe | None:
    """What writes the trace, if one is wanted."""
    if trace is None:
        return None
    from cell_controller.cpython.recorder import FileRecorder, equipment_sha256, journal_of

    journal, book = journal_of(store)
    recorder = FileRecorder(Path(trace), controller, journal, equipment_sha256(directory), book)
    stack.callback(recorder.close)
    return recorder.observe


def _broker(given: str | None, own: bool, stack: ExitStack, say: Say) -> tuple[str, int]:
    if given:
        host, _, port = given.rpartition(":")
        if not host or not port.isdigit():
            raise BrokerError(f"broker '{given}' is not host:port")
        return host, int(port)
    if not own:
        return "", 0
    from cell_controller.cpython.broker import start_broker

    broker = start_broker()
    stack.callback(broker.stop)
    say(f"broker {broker}")
    return broker.host, broker.port


def _link(
    spec: dict[str, Any],
    base: str,
    store: SqliteJournal,
    host: str,
    port: int,
    runtime: Runtime,
    stack: ExitStack,
) -> None:
    from cell_controller.cpython.mqtt_link import MqttLink

    def rendered(seq: int, wall_ms: int, record: bytes) -> list[tuple[str, dict[str, object]]]:
        return render(spec, record, wall_ms)

    link = MqttLink(Session(base, store.epoch, spec["name"]), store, rendered, host, port, runtime.requests)
    runtime.answers["mqtt"] = link
    runtime.link = link
    stack.callback(link.stop)
    link.start()


def main(argv: list[str] | None = None) -> int:
    """`cell-controller DIR`: one cell, until it is told to stop."""
    parser = argparse.ArgumentParser(
        prog="cell-controller",
        description="Runs one cell, for systemd. People use `cellctl run`.",
        epilog="example: cell-controller /etc/cell/paint-1 --broker 10.0.0.2:1883",
    )
    parser.add_argument("directory", help="the cell's directory: cell.toml, equipment.py, recipes, wiring")
    parser.add_argument(
        "--board", required=True, help="a file of wiring/ for this machine, or sim, or remote:HOST:PORT"
    )
    parser.add_argument(
        "--broker", help="HOST:PORT of the plant's MQTT broker; without it only local commands work"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how fast a simulated board's clock runs")
    parser.add_argument("--journal", help="the journal's file; by default DIR/.run/journal")
    parser.add_argument(
        "--no-auto", action="store_true", help="a simulated board waits for Clear and Reset too"
    )
    parser.add_argument("--trace", help="record every scan into this file, for `cellctl replay`")
    parser.add_argument(
        "--line-trace", type=Path, help="record the bytes of every device's line to this folder"
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")

    def say(line: str) -> None:
        with suppress(OSError):  # a full disk or a reader that left must not end the scan
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            sys.stdout.flush()

    try:
        return run(
            args.directory,
            args.board,
            args.broker,
            args.speed,
            args.journal,
            say,
            not args.no_auto,
            own_broker=False,
            trace=args.trace,
            line_trace=args.line_trace,
        )
    except CellFileError as error:
        for problem in error.problems:
            sys.stderr.write(problem + "\n")
        return 2
    except CellError as error:
        sys.stderr.write(f"{error}\n")
        return 3


if __name__ == "__main__":
    sys.exit(main())
