"""On the cell's machine: everything that makes this controller this one, as one archive, and putting it on another.

Standard library only, like the other `…_linux.py`.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Mapping
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from host_tools.slots_linux import (
    Places,
    RefusedError,
    current,
    give_to_user,
    prepare_user,
    read_json,
    ready,
    running,
    standing,
    sync,
    write,
)

FORMAT = 1
JOURNAL = "journal.sqlite"
LOG = "journal.sqlite-wal"  # only beside a journal that could not be read where it lay
SETTINGS = "settings.json"
SECRET_WORDS = ("password", "key", "token")


def take(places: Places, cell: str) -> bytes:
    """The archive of a cell as it is now, running or not. Raises RefusedError where there is nothing to take."""
    root = places.root(cell)
    slot = current(places, cell)
    if not slot:
        raise RefusedError(f"no cell {cell} is installed here; name one that is with --cell")
    manifest = read_json(root / slot / "manifest.json")
    about = {
        "bundle_sha256": ready(places, cell, slot),
        "controller_sha256": manifest.get("controller_sha256", ""),
        "cell_sha256": manifest.get("cell_sha256", ""),
    }
    settings = read_json(root / SETTINGS)
    return collect(cell, places.journal(cell), root / slot / "cell", settings, about)


def collect(
    cell: str, journal: Path, directory: Path, settings: dict[str, Any], about: dict[str, Any]
) -> bytes:
    """The archive of what lies in these places."""
    files, runs = copy_journal(journal)
    files[SETTINGS] = json.dumps(settings, indent=1, sort_keys=True).encode()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and not name.startswith(".run/"):
            files[f"cell/{name}"] = path.read_bytes()
    manifest = {
        "kind": "linux",
        "cell": cell,
        "serial": str(settings.get("serial", "")),
        "taken_ms": time.time_ns() // 1_000_000,
        "running": runs,
        "secrets": secrets_of(settings),
        **about,
    }
    return pack(manifest, files)


def secrets_of(settings: object, where: str = SETTINGS) -> list[str]:
    """Names of settings that nobody else should read."""
    found: list[str] = []
    if isinstance(settings, dict):
        for name in sorted(settings):
            if any(word in str(name).lower() for word in SECRET_WORDS) and settings[name]:
                found.append(f"{where}: {name}")
            else:
                found += secrets_of(settings[name], f"{where}: {name}")
    return found


def pack(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """A zip of stored members, the manifest with the sha256 of every other one first."""
    listed = {
        name: {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
        for name in sorted(files)
    }
    whole = {**manifest, "format": FORMAT, "files": listed}
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as members:
        members.writestr("manifest.json", json.dumps(whole, indent=1, sort_keys=True))
        for name in sorted(files):
            members.writestr(name, files[name])
    return archive.getvalue()


# --- the journal ---


def copy_journal(path: Path) -> tuple[dict[str, bytes], bool]:
    """The journal as one file, consistent also while its controller writes; and whether one does.

    A running one is read by SQLite's online backup, through a connection that only reads. One at rest is copied with
    its log first, so that nothing is made or changed beside it. One that cannot be read is taken as it lies.
    """
    if not path.exists():
        return {}, False
    with tempfile.TemporaryDirectory(prefix="cell-backup-") as name:
        copy = Path(name) / JOURNAL
        lock = _lock(path)
        try:
            runs = lock is None
            source = path
            if not runs:
                source = Path(name) / "journal"
                for suffix in ("", "-wal"):
                    with suppress(FileNotFoundError):
                        shutil.copyfile(f"{path}{suffix}", f"{source}{suffix}")
            try:
                _online_backup(source, copy, runs)
            except sqlite3.Error:
                return _as_it_lies(path), runs
        finally:
            if lock is not None:
                lock.close()
        return {JOURNAL: copy.read_bytes()}, runs


def _lock(path: Path) -> "IO[bytes] | None":
    """The journal's lock, held: no controller starts while it is. None if one runs."""
    try:
        lock = path.with_name(path.name + ".lock").open("rb")
    except OSError:
        return BytesIO()  # never used, or a card that is mounted to be read only
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _online_backup(source: Path, target: Path, runs: bool) -> None:
    where = source.absolute().as_uri() + ("?mode=ro" if runs else "")
    with closing(sqlite3.connect(where, uri=True)) as read, closing(sqlite3.connect(target)) as written:
        read.execute("PRAGMA mmap_size=0")
        read.backup(written)
        if written.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the copy is malformed")


def _as_it_lies(path: Path) -> dict[str, bytes]:
    found = {}
    for suffix, name in (("", JOURNAL), ("-wal", LOG)):
        with suppress(FileNotFoundError):
            found[name] = path.with_name(path.name + suffix).read_bytes()
    return found


def restored_from(path: Path) -> str:
    """The id of the backup that a journal goes on from, "" if it is none or cannot be read."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT value FROM about WHERE name = 'restored'").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


# --- onto another machine ---


def put(places: Places, cell: str, asked: dict[str, Any], payload: bytes) -> dict[str, Any]:
    """Put journal and cell files in their place before the first start. Raises RefusedError where a cell lives."""
    journal = places.journal(cell)
    slot = str(asked.get("slot") or current(places, cell))
    if not slot:
        raise RefusedError(f"no cell {cell} is installed here; use cellctl swap, which installs and restores")
    if journal.exists() and restored_from(journal) == asked["restored"]:
        return {"journal": "restored before"}
    if running(places, cell):
        moves = standing(places, cell) or "runs here"
        raise RefusedError(f"{cell} {moves}: this is no replacement; stop the service first if it is one")
    if journal.exists() and not asked.get("replace"):
        raise RefusedError(
            f"{cell} has made things here, {journal} says; --replace moves that aside as …replaced-TIME"
        )
    prepare_user(places)
    with zipfile.ZipFile(BytesIO(payload)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    target = places.root(cell) / slot / "cell"
    for name in sorted(files):
        if name.startswith("cell/"):
            path = target / name.removeprefix("cell/")
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, files[name])
    said = "none in the backup"
    if JOURNAL in files:
        place_journal(places, journal, files[JOURNAL])
        said = "restored"
    os.sync()
    return {"journal": said}


def place_journal(places: Places, journal: Path, content: bytes) -> None:
    """The journal in its place; one that was there is moved aside. Raises RefusedError if a controller has it."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    give_to_user(places, journal.parent)
    lock = _lock(journal)
    if lock is None:
        raise RefusedError(f"a controller runs on {journal}; stop it first")
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    try:
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path = journal.with_name(journal.name + suffix)
                path.replace(path.with_name(f"{journal.name}.replaced-{stamp}{suffix}"))
        write(journal, content, 0o600)
        give_to_user(places, journal)
        sync(journal.parent)
    finally:
        lock.close()
