"""A dead controller replaced: its application, journal, identity and calibration onto another machine, in one go."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_tools import backup as bk
from host_tools.backup import Backup, BackupError, Prepared
from host_tools.deploy import Application, Deployment, DeployOptions, Machine, Outcome, Restore, Told
from host_tools.output import ToolError
from host_tools.ssh import Target, connect


@dataclass(frozen=True)
class Swap:
    """What a replacement gets, worked out before anything is sent. `lines`: what the technician reads."""

    application: Application
    backup: Backup
    prepared: Prepared | None
    restore: Restore
    lines: list[str]


def plan_swap(application: Application, source: Path, complete: bool, replace: bool) -> Swap:
    """Find the backup and make the journal of it. Raises BackupError, ToolError with the reason.

    `complete`: the person says that nothing was made after the backup; refused for one of a running controller.
    """
    backup, end = bk.find(source, application.cell)
    bk.same_cell(backup, application.cell)
    if complete and backup.manifest["running"]:
        raise BackupError(
            f"{backup.path}: was taken while the controller ran, so it cannot be complete; leave --complete out"
        )
    prepared = bk.prepare(backup, complete or end)
    with_cell = backup.manifest["cell_sha256"] == application.bundle.manifest["cell_sha256"]
    sent = bk.payload(backup, prepared, with_cell)
    restore = Restore(sent, backup.id, backup.settings, replace)
    return Swap(application, backup, prepared, restore, _lines(backup, prepared, application, with_cell))


def _lines(backup: Backup, prepared: Prepared | None, application: Application, with_cell: bool) -> list[str]:
    lines = [f"backup of {backup.cell} taken {_when(backup)}, {backup.path}"]
    if prepared is None:
        lines.append("it has no journal: the cell begins anew, with serial number 1")
    elif prepared.unknown:
        lines.append(
            "what was made after it is not known: no order goes on before you have said how far it came"
        )
        lines += [f"  {text}" for text in prepared.said]
        lines.append(f"serial numbers go on {bk.SKIPPED_SERIALS} later")
    else:
        lines.append("it is complete: every order goes on where it was")
        lines += [f"  {text}" for text in prepared.said]
    if not with_cell:
        names = _different(backup, application)
        if names:
            lines.append(f"the bundle has another cell than the backup and wins: {', '.join(names[:5])}")
    return lines


def _different(backup: Backup, application: Application) -> list[str]:
    """Files of the cell directory that are not the same in the backup and in the bundle."""
    ours = {name: content for name, content in application.bundle.files.items() if name.startswith("cell/")}
    theirs = {name: content for name, content in backup.files.items() if name.startswith("cell/")}
    return sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))


def _when(backup: Backup) -> str:
    from cell_controller.core.texts import date

    return date(backup.manifest["taken_ms"] // 60_000)


async def swap(target: Target, swap: Swap, options: DeployOptions, told: Told) -> Outcome:
    """Deploy and restore; the outcome says how it went."""
    return await Deployment(target, swap.application, options, told, swap.restore).run()


async def take_backup(target: Target, cell: str, options: DeployOptions) -> bytes:
    """The backup of a cell on a machine; `cell` "" = the one that is installed. Raises StepRefusedError, SshError."""
    async with await connect(target, options.ssh) as remote:
        cell = cell or await _only_cell(Machine(remote, options.places, "-"), target)
        _, content = await Machine(remote, options.places, cell).ask("backup", timeout_s=600)
        return content


async def restore_onto(
    target: Target, backup: Backup, complete: bool, replace: bool, options: DeployOptions
) -> dict[str, Any]:
    """Journal and cell files onto a machine that has the application and stands. Raises StepRefusedError, SshError."""
    prepared = bk.prepare(backup, complete)
    async with await connect(target, options.ssh) as remote:
        machine = Machine(remote, options.places, backup.cell)
        seen, _ = await machine.ask("look")
        same = seen["manifest"]["cell_sha256"] == backup.manifest["cell_sha256"]
        put = {"slot": seen["slot"], "restored": backup.id, "replace": replace}
        reply, _ = await machine.ask("restore", bk.payload(backup, prepared, same), 600, args=put)
    return {**reply, "unknown": prepared is not None and prepared.unknown, "cell_restored": same}


async def _only_cell(machine: Machine, target: Target) -> str:
    seen, _ = await machine.ask("look")
    cells: list[str] = seen["cells"]
    if len(cells) != 1:
        there = f"has {', '.join(cells)}; say which with --cell" if cells else "has no cell that was deployed"
        raise ToolError(f"{target.text} {there}")
    return cells[0]
