"""Backups of a controller: read, verified, made from a directory, and turned into the journal that a replacement gets.

One file, a zip of stored members with `manifest.json` first. `kind` says what was backed up: "linux" (journal.sqlite,
settings.json, cell/…) or "microcontroller" (journal.area, files/…; see board_history.py). Whoever has one has the
broker's password.
"""

import hashlib
import json
import os
import sqlite3
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from cell_controller.core import codec
from cell_controller.core import events as ev
from cell_controller.core.orders import Book
from cell_controller.cpython import journal_file as files_of
from cell_controller.errors import CellError, JournalError
from host_tools import backup_linux
from host_tools.backup_linux import FORMAT, JOURNAL, LOG, SETTINGS
from host_tools.deploy import StepRefusedError
from host_tools.output import ToolError
from host_tools.slots_linux import Places, RefusedError

KINDS = ("linux", "microcontroller")
SUFFIX = ".cellbackup"
SKIPPED_SERIALS = 1000
"""Serial numbers that are left out after a restore from a backup older than the end of its controller."""

MAX_BYTES = 1 << 30
MAX_MEMBERS = 5000


class BackupError(CellError, ValueError):
    """The file is no backup, not a whole one, or not of this cell; nothing of it was used, take another one."""


@dataclass(frozen=True)
class Backup:
    """A backup that was read and verified. `files`: content by name, the manifest not among them."""

    path: Path
    manifest: dict[str, Any]
    files: dict[str, bytes] = field(repr=False)
    id: str = ""  # sha256 of the whole file

    @property
    def cell(self) -> str:
        return str(self.manifest["cell"])

    @property
    def settings(self) -> dict[str, Any]:
        """Identity, board, broker."""
        name = SETTINGS if self.manifest["kind"] == "linux" else f"files/{SETTINGS}"
        found = json.loads(self.files.get(name, b"{}"))
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Prepared:
    """The journal a replacement gets; `unknown`: its open orders wait for a person. `said`: what people should know."""

    content: bytes
    unknown: bool
    said: list[str]


# --- reading ---


def read_backup(path: str | Path) -> Backup:
    """The backup at `path`, every byte checked. Raises BackupError with the reason, OSError where it is not there."""
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise BackupError(f"{path}: is over {MAX_BYTES >> 20} MB; this is no backup")
    return parse_backup(path.read_bytes(), path)


def parse_backup(content: bytes, path: Path) -> Backup:
    """As `read_backup`, from bytes; `path` is for messages."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            stored = all(info.compress_type == zipfile.ZIP_STORED for info in members)
            if (
                not members
                or members[0].filename != "manifest.json"
                or len(members) > MAX_MEMBERS
                or not stored
            ):
                raise BackupError(f"{path}: is a zip, but no backup of cellctl backup")
            found = {info.filename: archive.read(info) for info in members}
        manifest = json.loads(found.pop("manifest.json"))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, BackupError):
            raise
        raise BackupError(f"{path}: is no backup or was cut short ({error}); take another one") from error
    _check(manifest, found, path)
    return Backup(path, manifest, found, hashlib.sha256(content).hexdigest())


def _check(manifest: Any, found: Mapping[str, bytes], path: Path) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BackupError(f"{path}: its manifest is not of format {FORMAT}; use the cellctl that made it")
    if manifest.get("kind") not in KINDS or not isinstance(manifest.get("taken_ms"), int):
        raise BackupError(f"{path}: is no backup of a controller")
    if not isinstance(manifest.get("cell"), str) or not manifest["cell"]:
        raise BackupError(f"{path}: names no cell")
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) != set(found):
        raise BackupError(f"{path}: its files are not those of its manifest; take another one")
    for name, content in found.items():
        if name.startswith("/") or ".." in name.split("/"):
            raise BackupError(f"{path}: has a file named {name!r}; this is no backup of cellctl")
        if listed[name] != {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}:
            raise BackupError(f"{path}: {name} was changed or damaged; take another one")


def write_backup(path: str | Path, content: bytes) -> Backup:
    """Check what a machine has sent and keep it, whole or not at all, readable by this user only."""
    path = Path(path)
    backup = parse_backup(content, path)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.touch(0o600)
        half.write_bytes(content)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return backup


# --- from a directory ---


def take_local(directory: Path, cell: str = "") -> bytes:
    """The backup of an SD card that is mounted at `directory`, or of a cell directory. Raises ToolError."""
    places = Places.under(str(directory.resolve()), "")
    if (directory / "cell.toml").is_file():
        with (directory / "cell.toml").open("rb") as file:
            name = str(tomllib.load(file).get("cell", {}).get("name", ""))
        if cell and cell != name:
            raise ToolError(f"{directory} is cell {name}, not {cell}")
        journal = directory / ".run" / "journal"
        about = {"bundle_sha256": "", "controller_sha256": "", "cell_sha256": ""}
        return backup_linux.collect(name, journal, directory, {}, about)
    there = sorted(path.parent.name for path in places.slots.glob("*/current"))
    if not there:
        raise ToolError(f"{directory} is neither a cell directory nor the root of a card with opt/cell/NAME")
    if not cell and len(there) > 1:
        raise ToolError(f"{directory} has {', '.join(there)}; say which with --cell")
    try:
        return backup_linux.take(places, cell or there[0])
    except RefusedError as error:
        raise ToolError(str(error)) from error


def find(source: Path, cell: str, kind: str = "linux") -> tuple[Backup, bool]:
    """(backup, whether it is the end of its controller): a file, the newest of this cell in a folder, or a card.

    What lies on the card of a dead machine is complete; a file may be older. Raises BackupError, ToolError.
    """
    if source.is_file():
        return read_backup(source), False
    if (source / "opt" / "cell").is_dir() or (source / "cell.toml").is_file():
        backup = parse_backup(take_local(source, cell), source)
        if backup.manifest["running"]:
            raise ToolError(f"the controller of {source} runs; this is for a dead one")
        return backup, True
    best: Backup | None = None
    for path in sorted(source.glob(f"*{SUFFIX}")):
        try:
            backup = read_backup(path)
        except BackupError:
            continue  # an older one may be whole
        fits = (backup.cell, backup.manifest["kind"]) == (cell, kind)
        if fits and (best is None or backup.manifest["taken_ms"] > best.manifest["taken_ms"]):
            best = backup
    if best is None:
        raise ToolError(f"{source} has no whole backup of {cell} (*{SUFFIX}), and is no card with opt/cell")
    return best, False


# --- the journal that a replacement gets ---


def history(backup: Backup) -> dict[str, Any]:
    """What the journal of a backup says: {"last_serial", "good", "item", "open": [[id, good, count], …], "damage"}."""
    book, _, damage = _fold(backup)
    return {
        "last_serial": book.last_serial,
        "good": book.good,
        "item": book.item.serial if book.item is not None else None,
        "open": [[job.order_id, job.good, job.count] for job in book.open_jobs()],
        "damage": damage,
    }


def _fold(backup: Backup) -> tuple[Book, str, str]:
    """(order book, epoch, what is wrong with the journal or "")."""
    if backup.manifest["kind"] != "linux":
        from host_tools import board_history

        return board_history.fold(backup)
    book = Book()
    if JOURNAL not in backup.files:
        return book, "", ""
    with tempfile.TemporaryDirectory(prefix="cell-backup-") as name:
        contents, rows, damage = _open(backup, Path(name))
        start = 0
        if contents.snapshots:
            start = contents.snapshots[-1][0]
            book.load(contents.snapshots[-1][2])
        for row in rows:
            if row[0] > start:
                _, tick, kind, source, a, b = ev.fields(row[2])
                book.apply(tick, kind, source, a, b, row[2][ev.SIZE :])
    return book, contents.epoch, damage


def _open(backup: Backup, folder: Path) -> tuple[files_of.Contents, Iterator[files_of.Row], str]:
    """What the journal holds, its records, and the damage: then only what is good of it. Raises BackupError."""
    path = folder / "journal"
    path.write_bytes(backup.files[JOURNAL])
    if LOG in backup.files:
        (folder / "journal-wal").write_bytes(backup.files[LOG])
    try:
        return files_of.verify(path), _rows(path), ""
    except files_of.DamagedError as error:
        contents, rows = files_of.salvage(path)
        if not rows and not contents.snapshots:
            raise BackupError(f"{backup.path}: nothing of its journal can be read ({error})") from error
        return contents, iter(rows), str(error)


def _rows(path: Path) -> Iterator[files_of.Row]:
    with closing(files_of.connect_reader(path)) as connection:
        yield from connection.execute("SELECT seq, wall_ms, record, crc FROM facts ORDER BY seq")


def prepare(backup: Backup, complete: bool) -> Prepared | None:
    """The journal for a replacement, None where the backup has none. Raises BackupError where it cannot be used.

    `complete`: nothing was done after it, so everything simply goes on. Else it gets a new epoch, its serial numbers
    skip ahead and its open orders wait for a person.
    """
    if backup.manifest["kind"] != "linux":
        raise BackupError(
            f"{backup.path}: is of a {backup.manifest['kind']}; it goes onto one of the same kind"
        )
    if JOURNAL not in backup.files:
        return None
    try:
        known = history(backup)
        said = [f"{order} had {good} of {count} good" for order, good, count in known["open"]]
        with tempfile.TemporaryDirectory(prefix="cell-restore-") as name:
            path = Path(name) / "new"
            contents, rows, damage = _open(backup, Path(name))
            unknown = not complete or bool(damage)
            if unknown:
                _write_unknown(path, contents, rows, backup.manifest["taken_ms"])
            else:
                path.write_bytes(backup.files[JOURNAL])
            _mark(path, backup.id)
            files_of.verify(path)
            content = path.read_bytes()
    except (codec.CodecError, JournalError, ValueError, sqlite3.Error) as error:
        if isinstance(error, BackupError):
            raise
        raise BackupError(f"{backup.path}: its journal cannot be read ({error}); take another one") from error
    if damage:
        said.append(f"the journal is damaged ({damage}); what is good of it is kept")
    return Prepared(content, unknown, said)


def _write_unknown(
    path: Path, contents: files_of.Contents, rows: Iterator[files_of.Row], taken_ms: int
) -> None:
    """The history of the backup under a new epoch, with the record that says what it is."""
    kept = list(rows)
    tick = ev.fields(kept[-1][2])[1] if kept else 0
    seq = contents.last + 1
    record = ev.record(seq, tick, ev.RESTORED, 0, SKIPPED_SERIALS, taken_ms // 60_000)
    last = (seq, taken_ms, record, files_of.row_crc(seq, taken_ms, record))
    files_of.write_new(path, contents, chain(iter(kept), [last]))


def _mark(path: Path, backup_id: str) -> None:
    """Whoever restores the same backup again finds that it was done, and leaves alone what was made since."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT OR REPLACE INTO about VALUES ('restored', ?)", (backup_id,))
        connection.commit()


def payload(backup: Backup, prepared: Prepared | None, with_cell: bool) -> bytes:
    """What is sent to the replacement: the journal, and with `with_cell` the cell directory as it was."""
    files = {JOURNAL: prepared.content} if prepared is not None else {}
    if with_cell:
        files.update({name: content for name, content in backup.files.items() if name.startswith("cell/")})
    return backup_linux.pack({}, files)


def restore_local(backup: Backup, directory: Path, complete: bool, replace: bool) -> Prepared | None:
    """Put the journal of a backup into a cell directory that `cellctl run` runs. Raises StepRefusedError."""
    if not (directory / "cell.toml").is_file():
        raise ToolError(
            f"{directory} is no cell directory; restore onto a machine: cellctl restore FILE pi@HOST"
        )
    with (directory / "cell.toml").open("rb") as file:
        name = str(tomllib.load(file).get("cell", {}).get("name", ""))
    same_cell(backup, name)
    journal = directory / ".run" / "journal"
    if journal.exists() and backup_linux.restored_from(journal) == backup.id:
        raise StepRefusedError(f"{journal} was restored from this backup before; nothing was done")
    if journal.exists() and not replace:
        raise StepRefusedError(f"{journal} is there already; --replace moves it aside as …replaced-TIME")
    prepared = prepare(backup, complete)
    if prepared is not None:
        try:
            backup_linux.place_journal(Places.under(str(directory), ""), journal, prepared.content)
        except RefusedError as error:
            raise StepRefusedError(str(error)) from error
    return prepared


def same_cell(backup: Backup, cell: str) -> None:
    """Raises BackupError if the backup is another cell's."""
    if backup.cell != cell:
        raise BackupError(f"{backup.path}: is of cell {backup.cell}, not of {cell}; nothing was restored")
