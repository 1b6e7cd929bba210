"""`cellctl boards`, `flash`, `provision`: microcontrollers at the end of a cable."""

import argparse
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_tools.commands_common import Parser, add_command, seconds
from host_tools.output import DONE, INTERRUPTED, REFUSED, Output, ToolError

if TYPE_CHECKING:
    from host_tools.flash_outcome import Outcome
    from host_tools.flash_progress import Tell

MOST_PORTS = 32


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The commands for boards on a serial line."""
    _add_boards(group)
    _add_flash(group)
    _add_provision(group)


def _add_boards(group: "argparse._SubParsersAction[Parser]") -> None:
    boards = add_command(
        group,
        "boards",
        "List the boards on this machine's serial ports and who they are.",
        list_boards,
        target=False,
        examples=["cellctl boards", "cellctl boards --port /dev/ttyUSB0", "cellctl boards --ask"],
        more="""
        A board that is known by its USB id to run MicroPython is sent one line, which interrupts nothing. What is
        behind a UART bridge may be anything, and opening its port may reset it: it is asked with --port or --ask only.
        """,
    )
    boards.add_argument(
        "--port", metavar="P", action="append", default=[], help="only this port; may be repeated"
    )
    boards.add_argument("--ask", action="store_true", help="ask on every port, whatever hangs on it")


def _add_flash(group: "argparse._SubParsersAction[Parser]") -> None:
    flash = add_command(
        group,
        "flash",
        "Put a bundle's application onto boards, and go back by itself where it is not well.",
        flash_boards,
        target=False,
        examples=[
            "cellctl flash --port /dev/ttyACM0 paint-1.bundle",
            "cellctl flash --port /dev/ttyACM0 --port /dev/ttyACM1 paint-1.bundle",
            "cellctl flash --port /dev/ttyACM0 paint-1.bundle --dry-run",
        ],
        more="""
        A cell is changed only when Stopped, Aborted, or Idle without an item. It comes up Aborted, outputs safe. A cut
        at any moment leaves the former application; the board starts it by itself.
        """,
    )
    flash.add_argument("bundle", metavar="BUNDLE", type=Path, help="what cellctl build made")
    _add_port(flash, several=True)
    flash.add_argument(
        "--dry-run", action="store_true", help="say what would be done; write and interrupt nothing"
    )
    flash.add_argument(
        "--health",
        metavar="S",
        type=seconds,
        default=60.0,
        help="seconds the new application has to say that it is well (60)",
    )


def _add_provision(group: "argparse._SubParsersAction[Parser]") -> None:
    provision = add_command(
        group,
        "provision",
        "Give a board its serial, its Wi-Fi and its broker.",
        provision_board,
        target=False,
        examples=[
            "cellctl provision --port /dev/ttyACM0 --settings paint-1.toml",
            "cellctl provision --port /dev/ttyACM0 --settings paint-1.toml --ca plant-ca.pem",
            "cellctl provision --port /dev/ttyACM0 --show",
        ],
        more="""
        The application is stopped for it and started again, under the same conditions as for flash. Passwords are
        never printed.
        """,
    )
    _add_port(provision, several=False)
    provision.add_argument("--settings", metavar="FILE", type=Path, help="TOML with serial, [wifi], [broker]")
    provision.add_argument(
        "--ca", metavar="FILE", type=Path, help="certificate of the broker's CA, PEM or DER"
    )
    provision.add_argument("--show", action="store_true", help="print what is there, secrets masked")


def _add_port(parser: Parser, several: bool) -> None:
    text = "the board's serial port" + ("; may be repeated" if several else "")
    action = "append" if several else "store"
    parser.add_argument("--port", metavar="P", action=action, required=True, help=text)


def list_boards(args: argparse.Namespace, out: Output) -> int:
    """Print a line for each port."""
    from host_tools.boards import HEAD, find

    found = find(args.port, args.ask)
    out.result({"ok": True, "boards": [entry.as_dict() for entry in found]})
    if not found:
        out.line("no board: no USB serial port is there")
        return DONE
    out.table(HEAD, [entry.row() for entry in found])
    return DONE


def flash_boards(args: argparse.Namespace, out: Output) -> int:
    """Flash every named board at the same time; one result line each."""
    from host_tools.bundle import read_bundle
    from host_tools.flash import flash

    ports = _distinct(args.port)
    bundle = read_bundle(args.bundle)
    cancel = threading.Event()

    def one(port: str, tell: "Tell") -> "Outcome":
        return flash(port, bundle, dry_run=args.dry_run, health_s=args.health, tell=tell, cancel=cancel)

    return each_port(ports, one, cancel, out)


def provision_board(args: argparse.Namespace, out: Output) -> int:
    """Write or show the settings of one board."""
    from host_tools.provision import CERTIFICATE, SETTINGS, provision, read_certificate, read_settings

    if args.show == bool(args.settings or args.ca):
        raise ToolError("give --settings FILE (and --ca FILE) to write, or --show to read; see --help")
    files: dict[str, bytes] = {}
    if args.settings:
        files[SETTINGS] = read_settings(args.settings)
    if args.ca:
        files[CERTIFICATE] = read_certificate(args.ca)
    cancel = threading.Event()

    def one(port: str, tell: "Tell") -> "Outcome":
        return provision(port, files, tell=tell, cancel=cancel)

    def show(outcome: "Outcome") -> None:
        there = outcome.facts.get("settings")
        if there is not None:
            out.line(json.dumps(there, indent=2, ensure_ascii=False))

    return each_port([args.port], one, cancel, out, show)


def _distinct(ports: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(ports))
    if len(found) < len(ports):
        raise ToolError("the same --port is named twice; name each board once")
    if len(found) > MOST_PORTS:
        raise ToolError(f"{len(found)} ports at once; at most {MOST_PORTS}")
    return found


def each_port(
    ports: Sequence[str],
    one: "Callable[[str, Tell], Outcome]",
    cancel: threading.Event,
    out: Output,
    show: "Callable[[Outcome], None] | None" = None,
) -> int:
    """Do it on every port at the same time; print the results in the order of the ports."""
    from host_tools.flash_progress import telling

    with telling(ports, out) as tell, ThreadPoolExecutor(len(ports), "board") as pool:
        futures = [pool.submit(one, port, tell) for port in ports]
        try:
            outcomes = [future.result() for future in futures]
        except KeyboardInterrupt:
            cancel.set()  # each board resets when it hears nothing, and runs what it ran before
            outcomes = [future.result() for future in futures]
    failed = [outcome for outcome in outcomes if not outcome.ok]
    boards: list[dict[str, Any]] = [
        {
            "port": outcome.port,
            "ok": outcome.ok,
            "code": outcome.code,
            "changed": outcome.changed,
            "text": outcome.text,
            **outcome.facts,
        }
        for outcome in outcomes
    ]
    out.result({"ok": not failed, "boards": boards})
    for outcome in outcomes:
        if outcome.ok:
            out.line(outcome.text)
        else:
            out.note(f"cellctl: {outcome.text}")
        if show is not None:
            show(outcome)
    return _code(failed)


def _code(failed: "Sequence[Outcome]") -> int:
    codes = {outcome.code for outcome in failed}
    if INTERRUPTED in codes:
        return INTERRUPTED
    return DONE if not codes else codes.pop() if len(codes) == 1 else REFUSED
