"""`cellctl deploy`, `backup`, `restore`, `swap`: applications and histories onto machines, by SSH or by cable."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from host_tools import commands_board
from host_tools.commands_common import Parser, add_command, seconds
from host_tools.output import DONE, Output, ToolError

PATIENCE = "seconds until the new application must be well (60)"


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The commands for a Raspberry Pi or another Debian machine."""
    _add_deploy(group)
    _add_backup(group)
    _add_restore(group)
    _add_swap(group)


def _add_deploy(group: "argparse._SubParsersAction[Parser]") -> None:
    deploy = add_command(
        group,
        "deploy",
        "Put an application onto machines over SSH; what ran before stays until the new one is well.",
        run_deploy,
        target=False,
        examples=[
            "cellctl deploy pi@paint-1 paint-1-rpi.cell",
            "cellctl deploy pi@paint-1 paint-1-rpi.cell --broker 10.0.0.2:1883",
            "cellctl deploy pi@form-1 pi@form-2 form-rpi.cell --dry-run",
        ],
        more="""
        Only while the cell is Stopped, Aborted or Idle without an item. It comes up Aborted with its outputs safe. If
        it does not get well, or the connection is cut, what ran before runs on. The machine needs no internet.
        """,
    )
    deploy.add_argument(
        "words", metavar="HOST ... BUNDLE", nargs="+", help="machines, such as pi@paint-1, then the bundle"
    )
    deploy.add_argument("--dry-run", action="store_true", help="say what would be done and change nothing")
    _add_service(deploy)
    _add_ssh(deploy)


def _add_backup(group: "argparse._SubParsersAction[Parser]") -> None:
    backup = add_command(
        group,
        "backup",
        "Keep everything that makes a controller this one, in one file; it may run meanwhile.",
        run_backup,
        target=False,
        examples=[
            "cellctl backup pi@paint-1 paint-1.cellbackup",
            "cellctl backup --local /media/card paint-1.cellbackup",
            "cellctl backup --port /dev/ttyACM0 paint-1.cellbackup",
        ],
        more="""
        The file holds the broker's password where there is one: keep it where only you can read it. A microcontroller
        (--port) is stopped for it and started again, only while Stopped, Aborted, or Idle without an item.
        """,
    )
    backup.add_argument(
        "words", metavar="[HOST] FILE", nargs="+", help="the machine, and where the backup goes"
    )
    backup.add_argument("--local", metavar="DIR", type=Path, help="a mounted SD card, or a cell directory")
    backup.add_argument("--cell", metavar="NAME", help="which cell, where there are several")
    commands_board.add_port(backup)
    backup.add_argument(
        "--retire",
        action="store_true",
        help="with --port: the board's last state; it starts no application any more",
    )
    _add_ssh(backup)


def _add_restore(group: "argparse._SubParsersAction[Parser]") -> None:
    restore = add_command(
        group,
        "restore",
        "Put a backup onto a machine that has the application already and whose cell does not run.",
        run_restore,
        target=False,
        examples=[
            "cellctl restore paint-1.cellbackup pi@paint-1",
            "cellctl restore paint-1.cellbackup --local mycell",
            "cellctl restore paint-1.cellbackup --port /dev/ttyACM0",
        ],
    )
    restore.add_argument("words", metavar="FILE [HOST]", nargs="+", help="the backup, and the machine")
    restore.add_argument("--local", metavar="DIR", type=Path, help="a cell directory on this machine")
    commands_board.add_port(restore)
    _add_history(restore)
    _add_ssh(restore)


def _add_swap(group: "argparse._SubParsersAction[Parser]") -> None:
    swap = add_command(
        group,
        "swap",
        "Replace a dead controller: its application, journal, serial numbers, calibration onto another machine.",
        run_swap,
        target=False,
        examples=[
            "cellctl swap pi@paint-1 paint-1-rpi.cell --from backups/",
            "cellctl swap pi@paint-1 paint-1-rpi.cell --from /media/card",
            "cellctl swap --port /dev/ttyACM0 paint-1-pico.cell --from backups/",
        ],
        more="""
        From the dead machine's SD card everything goes on where it was. From a backup, what was made after it is not
        known: nothing starts before a person has looked and said `cellctl order resume` or `abort` for each open order.
        """,
    )
    swap.add_argument(
        "words",
        metavar="[HOST] BUNDLE",
        nargs="+",
        help="the replacement, such as pi@paint-1, and the application, made by cellctl build",
    )
    commands_board.add_port(swap)
    swap.add_argument(
        "--from",
        dest="source",
        metavar="PATH",
        type=Path,
        required=True,
        help="a backup, a folder of backups (the newest counts), or the mounted card of the dead machine",
    )
    swap.add_argument("--dry-run", action="store_true", help="say what would be done and change nothing")
    _add_history(swap)
    _add_service(swap)
    _add_ssh(swap)


def _add_history(parser: Parser) -> None:
    parser.add_argument(
        "--complete", action="store_true", help="I know that nothing was made after the backup was taken"
    )
    parser.add_argument(
        "--replace", action="store_true", help="keep a journal that is there aside instead of refusing"
    )


def _add_service(parser: Parser) -> None:
    service = parser.add_argument_group("how it is started")
    service.add_argument("--board", metavar="NAME", help="the board, as for cellctl run (default: as before)")
    service.add_argument("--broker", metavar="HOST:PORT", help="the plant's MQTT broker (default: as before)")
    service.add_argument("--health", metavar="S", type=seconds, default=60.0, help=PATIENCE)
    service.add_argument(
        "--confirm",
        metavar="S",
        type=seconds,
        default=20.0,
        help="seconds it waits for this program's word (20)",
    )


def _add_ssh(parser: Parser) -> None:
    ssh = parser.add_argument_group("how the machine is reached")
    ssh.add_argument(
        "--accept-new", action="store_true", help="trust a host that is not known yet, and remember it"
    )
    ssh.add_argument(
        "--identity", metavar="FILE", type=Path, action="append", default=[], help="a private key"
    )
    ssh.add_argument("--known-hosts", metavar="FILE", type=Path, help="instead of ~/.ssh/known_hosts")
    ssh.add_argument("--ssh-config", metavar="FILE", type=Path, help="instead of ~/.ssh/config")
    ssh.add_argument(
        "--systemctl", metavar="PROGRAM", default="systemctl", help="what starts and stops services there"
    )
    ssh.add_argument(
        "--prefix", metavar="DIR", default="", help="a folder there instead of /, for containers"
    )


def _options(args: argparse.Namespace) -> Any:
    from host_tools.deploy import DeployOptions
    from host_tools.slots_linux import Places
    from host_tools.ssh import SshOptions

    known = {"known_hosts": args.known_hosts} if args.known_hosts is not None else {}
    return DeployOptions(
        ssh=SshOptions(args.accept_new, tuple(args.identity), config=args.ssh_config, **known),
        places=Places.under(args.prefix, args.systemctl),
        board=getattr(args, "board", None),
        broker=_broker(getattr(args, "broker", None)),
        dry_run=getattr(args, "dry_run", False),
        health_s=getattr(args, "health", 60.0),
        confirm_s=getattr(args, "confirm", 20.0),
    )


def _broker(text: str | None) -> str | None:
    from host_tools.commands_common import host_and_port

    return None if text is None else "{}:{}".format(*host_and_port(text))


def _two(args: argparse.Namespace, usage: str) -> list[str]:
    """The two words, or the one beside --local."""
    words: list[str] = args.words
    if len(words) != (1 if args.local is not None else 2):
        raise ToolError(f"give {usage}, or --local DIR or --port P instead of the machine; see --help")
    return words


def run_deploy(args: argparse.Namespace, out: Output) -> int:
    """Deploy to each machine; the exit code is the worst of theirs."""
    from host_tools.deploy import Application, deploy_all
    from host_tools.deploy_progress import Progress
    from host_tools.ssh import Target

    if len(args.words) < 2:
        raise ToolError("give machines and a bundle: cellctl deploy pi@paint-1 paint-1-rpi.cell")
    targets = [Target.parse(word) for word in args.words[:-1]]
    if len({target.text for target in targets}) != len(targets):
        raise ToolError("a machine is named twice")
    application = Application(args.words[-1], args.board)
    with Progress([target.text for target in targets], out) as progress:
        outcomes = asyncio.run(deploy_all(targets, application, _options(args), progress.told))
    return _end(out, outcomes)


def _end(out: Output, outcomes: list[Any], **more: Any) -> int:
    code = max(int(outcome.exit_code) for outcome in outcomes)
    out.result({"ok": code == DONE, **more, "hosts": [outcome.as_json() for outcome in outcomes]})
    for outcome in outcomes:
        say = out.line if outcome.exit_code == DONE else out.note
        say(f"{outcome.host}: {outcome.text}")
    return code


def run_backup(args: argparse.Namespace, out: Output) -> int:
    """Take a backup and say what is in it."""
    from host_tools import backup as bk
    from host_tools.ssh import Target
    from host_tools.swap import take_backup

    if args.port is not None:
        return commands_board.run_backup(args, out)
    if args.retire:
        raise ToolError("--retire is for a board on a cable: give --port")
    words = _two(args, "HOST and FILE")
    if args.local is not None:
        content = bk.take_local(args.local, args.cell or "")
    else:
        content = asyncio.run(take_backup(Target.parse(words[0]), args.cell or "", _options(args)))
    backup = bk.write_backup(words[-1], content)
    known = bk.history(backup)
    out.result({"ok": True, "file": words[-1], "manifest": backup.manifest, "history": known})
    ran = "while it ran" if backup.manifest["running"] else "while it did not run"
    out.line(f"{words[-1]}: {backup.cell}, {len(content):,} bytes, taken {ran}")
    out.line(
        f"last serial number {known['last_serial']:04d}, {known['good']} good, {len(known['open'])} orders open"
    )
    for line in [known["damage"], *backup.manifest["secrets"]]:
        if line:
            out.line(f"note: {line}")
    return DONE


def run_restore(args: argparse.Namespace, out: Output) -> int:
    """Put a backup in its place."""
    from host_tools import backup as bk
    from host_tools.ssh import Target
    from host_tools.swap import restore_onto

    if args.port is not None:
        return commands_board.run_restore(args, out)
    words = _two(args, "FILE and HOST")
    backup = bk.read_backup(words[0])
    if args.complete and backup.manifest["running"]:
        raise ToolError(f"{words[0]} was taken while the controller ran, so it cannot be --complete")
    if args.local is not None:
        prepared = bk.restore_local(backup, args.local, args.complete, args.replace)
        unknown = prepared is not None and prepared.unknown
    else:
        target = Target.parse(words[1])
        said = asyncio.run(restore_onto(target, backup, args.complete, args.replace, _options(args)))
        unknown = said["unknown"]
    out.result({"ok": True, "cell": backup.cell, "unknown": unknown})
    out.line(f"{backup.cell} is restored")
    if unknown:
        out.line("what was made after the backup is not known: cellctl why asks about each open order")
    return DONE


def run_swap(args: argparse.Namespace, out: Output) -> int:
    """Application and history onto the replacement."""
    from host_tools.deploy import Application
    from host_tools.deploy_progress import Progress
    from host_tools.ssh import Target
    from host_tools.swap import plan_swap, swap

    if args.port is not None:
        return commands_board.run_swap(args, out)
    if len(args.words) != 2:
        raise ToolError("give HOST and BUNDLE, or --port P instead of the machine; see --help")
    target = Target.parse(args.words[0])
    plan = plan_swap(Application(Path(args.words[1]), args.board), args.source, args.complete, args.replace)
    for line in plan.lines:
        out.line(line)
    with Progress([target.text], out) as progress:
        outcome = asyncio.run(swap(target, plan, _options(args), progress.told))
    unknown = plan.prepared is not None and plan.prepared.unknown
    code = _end(out, [outcome], unknown=unknown, backup=str(plan.backup.path))
    if code == DONE and unknown and outcome.changed:
        out.line(
            "now look at what was made, then for each order: cellctl order resume ORDER, or order abort ORDER"
        )
    return code
