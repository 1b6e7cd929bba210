"""`cellctl backup`, `restore` and `swap` with `--port`: the history of a microcontroller at the end of a cable."""

import argparse
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from host_tools.commands_common import Parser
from host_tools.output import DONE, Output, ToolError

if TYPE_CHECKING:
    from host_tools.board_backup import Wish
    from host_tools.flash_outcome import Outcome
    from host_tools.flash_progress import Tell

NOW_LOOK = "now look at what was made, then for each order: cellctl order resume ORDER --made N, or order abort ORDER"


def add_port(parser: Parser) -> None:
    """The option that names a board's port instead of a machine."""
    parser.add_argument(
        "--port", metavar="P", help="a microcontroller on this serial port, instead of a machine"
    )


def _one(args: argparse.Namespace, what: str) -> Path:
    """The one word beside --port."""
    if getattr(args, "local", None) is not None:
        raise ToolError("give --port or --local, not both")
    for name in ("board", "broker"):
        if getattr(args, name, None) is not None:
            raise ToolError(f"--{name} is for a machine with SSH; a board has its settings from the backup")
    if len(args.words) != 1:
        raise ToolError(f"with --port give {what} alone; see --help")
    return Path(args.words[0])


def run_backup(args: argparse.Namespace, out: Output) -> int:
    """Read a board into a file and say what is in it."""
    from host_tools.board_backup import take
    from host_tools.commands_flash import each_port

    file = _one(args, "FILE")
    cancel = threading.Event()

    def one(port: str, tell: "Tell") -> "Outcome":
        return take(port, file, cell=args.cell or "", retire=args.retire, tell=tell, cancel=cancel)

    def show(outcome: "Outcome") -> None:
        if "history" not in outcome.facts:
            return
        known = outcome.facts["history"]
        opened = len(known["open"])
        out.line(f"last serial number {known['last_serial']:04d}, {known['good']} good, {opened} orders open")
        for line in [known["damage"], *outcome.facts["manifest"]["secrets"]]:
            if line:
                out.line(f"note: {line}")

    return each_port([args.port], one, cancel, out, show)


def run_restore(args: argparse.Namespace, out: Output) -> int:
    """A backup onto a board that has the application."""
    from host_tools.backup import read_backup
    from host_tools.board_backup import Wish, restore
    from host_tools.commands_flash import each_port

    wish = Wish.of(read_backup(_one(args, "FILE")), args.complete, args.replace)
    cancel = threading.Event()

    def one(port: str, tell: "Tell") -> "Outcome":
        return restore(port, wish, tell=tell, cancel=cancel)

    return each_port([args.port], one, cancel, out, lambda outcome: _show(outcome, wish, out))


def run_swap(args: argparse.Namespace, out: Output) -> int:
    """Application and history onto a replacement board."""
    from host_tools import backup as bk
    from host_tools.board_backup import Wish, check_bundle, swap
    from host_tools.board_history import KIND
    from host_tools.bundle import read_bundle
    from host_tools.commands_flash import each_port

    bundle = read_bundle(_one(args, "BUNDLE"))
    backup, _ = bk.find(args.source, str(bundle.manifest["cell"]), KIND)
    check_bundle(bundle, backup)
    wish = Wish.of(backup, args.complete, args.replace)
    for line in wish.lines():
        out.line(line)
    if backup.manifest["cell_sha256"] != bundle.manifest["cell_sha256"]:
        out.line("the bundle has another cell than the dead board had, and wins")
    cancel = threading.Event()

    def one(port: str, tell: "Tell") -> "Outcome":
        return swap(port, bundle, wish, dry_run=args.dry_run, health_s=args.health, tell=tell, cancel=cancel)

    return each_port([args.port], one, cancel, out, lambda outcome: _show(outcome, wish, out))


def _show(outcome: "Outcome", wish: "Wish", out: Output) -> None:
    if "kept_as" in outcome.facts:
        out.line(f"what the board had before is in {outcome.facts['kept_as']}")
    if outcome.code == DONE and wish.prepared.unknown and outcome.facts.get("restored"):
        out.line(NOW_LOOK)
