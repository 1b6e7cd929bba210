"""On the cell's machine: where things lie there, and the two slots in which an application is made ready.

This file and the other `…_linux.py` travel over SSH and run on the cell with nothing but its own Python: standard
library only.
"""

import grp
import hashlib
import json
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

SLOTS = ("a", "b")
GROUPS = ("gpio", "i2c", "spi", "dialout")
"""Whose members may open pins, buses and serial lines; a machine need not have all of them."""

STANDING = ("Stopped", "Aborted")
ROOM = 3  # a bundle needs about this many times its size while it is installed
ANSWER_S = 5.0
PIP = "pip-*.whl"


class RefusedError(Exception):
    """The machine does not do what was asked; the text says why and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Places:
    """Where a cell lies on its machine. `user` is "" where the service runs as whoever deploys (containers, tests)."""

    slots: Path = Path("/opt/cell")
    units: Path = Path("/etc/systemd/system")
    state: Path = Path("/var/lib")
    run: Path = Path("/run/cell")
    systemctl: str = "systemctl"
    user: str = "cell"

    @classmethod
    def under(cls, prefix: str, systemctl: str) -> "Places":
        """The usual places, or all of them below `prefix`."""
        if not prefix:
            return cls(systemctl=systemctl)
        slots, units, state, run = (
            Path(f"{prefix}{path}") for path in (cls.slots, cls.units, cls.state, cls.run)
        )
        return cls(slots, units, state, run, systemctl, "")

    @classmethod
    def read(cls, said: dict[str, str]) -> "Places":
        """Out of `said`."""
        slots, units, state, run = (Path(said[name]) for name in ("slots", "units", "state", "run"))
        return cls(slots, units, state, run, said["systemctl"], said["user"])

    def said(self) -> dict[str, str]:
        """The same as JSON has it."""
        return {name: str(getattr(self, name)) for name in self.__dataclass_fields__}

    def root(self, cell: str) -> Path:
        return self.slots / cell

    def journal(self, cell: str) -> Path:
        return self.state / f"cell-{cell}" / "journal"

    def unit(self, cell: str) -> str:
        return f"cell@{cell}.service"

    @property
    def unit_file(self) -> Path:
        return self.units / "cell@.service"


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all, also when the power goes."""
    half = path.with_name(f".{path.name}.new")
    with half.open("wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Names in a directory are on the disk when this returns."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file says; {} where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


# --- the running cell ---


def started(pid: int) -> str:
    """What tells a process from a later one with the same number; "" if it does not live."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def running(places: Places, cell: str) -> dict[str, Any]:
    """How the running process of a cell has registered itself; {} if none runs."""
    found = read_json(places.run / f"{cell}.json")
    pid = found.get("pid")
    return found if isinstance(pid, int) and started(pid) and started(pid) == found.get("started") else {}


def state_of(places: Places, cell: str) -> dict[str, Any]:
    """The state view of the running cell, asked over its local socket. Raises OSError or ValueError without answer."""
    question = {"id": f"deploy-{os.getpid()}", "issuer": "deploy", "verb": "query", "what": "state"}
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(ANSWER_S)
        plug.connect(str(running(places, cell).get("socket") or places.run / f"{cell}.sock"))
        plug.sendall(json.dumps(question).encode() + b"\n")
        with plug.makefile("rb") as lines:
            reply = json.loads(lines.readline() or b"null")
    if not isinstance(reply, dict) or not reply.get("ok") or not isinstance(reply.get("data"), dict):
        raise ValueError(f"the cell answered {str(reply)[:200]}")
    data: dict[str, Any] = reply["data"]
    return data


def standing(places: Places, cell: str) -> str:
    """ "" where the cell stands still, or does not run; else what it does that must not be cut off."""
    if not running(places, cell):
        return ""
    try:
        view = state_of(places, cell)
    except (OSError, ValueError) as error:
        return (
            f"does not answer ({error}); look at it, stop it with {places.systemctl} stop {places.unit(cell)}"
        )
    state = view.get("state")
    item = (view.get("item") or {}).get("serial")
    if state in STANDING or (state == "Idle" and item is None):
        return ""
    has = f" with item {int(item):04d}" if isinstance(item, int) else ""
    return f"is in {state}{has}; stop it first: cellctl command stop"


# --- the slots ---


def current(places: Places, cell: str) -> str:
    """The slot whose application starts, "" without one."""
    try:
        name = os.readlink(places.root(cell) / "current")
    except OSError:
        return ""
    return name if name in SLOTS else ""


def ready(places: Places, cell: str, slot: str) -> str:
    """The sha256 of the bundle that lies in a slot complete, else ""."""
    said = read_json(places.root(cell) / slot / "ready.json") if slot else {}
    return str(said.get("bundle_sha256", ""))


def changed_files(slot: Path) -> list[str]:
    """Files of the cell directory in a slot that are not those of its bundle any more."""
    listed = read_json(slot / "manifest.json").get("files") or {}
    wanted = {name: entry["sha256"] for name, entry in listed.items() if name.startswith("cell/")}
    found = {}
    for path in sorted((slot / "cell").rglob("*")):
        name = path.relative_to(slot).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and "/.run/" not in name:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sorted(name for name in {**wanted, **found} if wanted.get(name) != found.get(name))


def look(places: Places, cell: str) -> dict[str, Any]:
    """Everything a plan needs to know about this machine; changes nothing."""
    root = places.root(cell)
    slot = current(places, cell)
    above = next(path for path in (root, *root.parents) if path.exists())
    disk = os.statvfs(above)
    manifest = read_json(root / slot / "manifest.json") if slot else {}
    return {
        "machine": platform.machine(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "uid": os.getuid(),
        "can_write": os.access(above, os.W_OK),
        "slot": slot,
        "ready": {name: ready(places, cell, name) for name in SLOTS},
        "manifest": {key: manifest.get(key) for key in ("cell_sha256", "controller_sha256", "versions")},
        "changed": changed_files(root / slot) if slot else [],
        "settings": read_json(root / "settings.json"),
        "unit_sha256": digest(places.unit_file),
        "running": bool(running(places, cell)),
        "moves": standing(places, cell),
        "trial": read_json(root / "trial.json"),
        "free_bytes": disk.f_bavail * disk.f_frsize,
        "cells": sorted(path.name for path in places.slots.glob("*") if (path / "current").exists()),
        "journal": places.journal(cell).exists(),
    }


def digest(path: Path) -> str:
    """The sha256 of a file, "" where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def receive(places: Places, cell: str, slot: str, sha256: str, content: bytes) -> None:
    """Unpack a bundle into a slot that is not the current one."""
    if slot == current(places, cell) or slot not in SLOTS:
        raise RefusedError(f"slot {slot!r} is in use; deploy again")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RefusedError("the bundle came damaged; deploy again")
    place = places.root(cell) / slot
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with zipfile.ZipFile(BytesIO(content)) as archive:
        for name in archive.namelist():
            if name.startswith("/") or ".." in name.split("/"):
                raise RefusedError(f"the bundle has a file {name!r}; build it again")
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))


def install(places: Places, cell: str, slot: str, sha256: str, board: str) -> None:
    """Make the environment of a slot from the wheels in it, without a network, and see that the cell compiles there."""
    place = places.root(cell) / slot
    if not (place / "manifest.json").exists():
        raise RefusedError(f"slot {slot} was taken over by another deployment; deploy again")
    wheels = place / "wheels"
    environment = place / "venv"
    shutil.rmtree(environment, ignore_errors=True)
    _run([sys.executable, "-m", "venv", "--without-pip", str(environment)], "the environment cannot be made")
    python = str(environment / "bin" / "python")
    words = [
        *(
            "install",
            "--no-index",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--quiet",
            "--require-hashes",
        ),
        *("--find-links", str(wheels), "--requirement", str(place / "requirements.txt")),
    ]
    _run([python, *_pip(wheels), *words], "the wheels of the bundle do not fit this machine")
    program = (
        "import sys; from host_tools.cellfile import compile_cell; import cell_controller.cpython.service;"
    )
    program += " compile_cell(sys.argv[1], sys.argv[2])"
    _run([python, "-c", program, str(place / "cell"), board], "the cell does not start on this machine")
    shutil.rmtree(wheels)
    os.sync()
    write(place / "ready.json", json.dumps({"bundle_sha256": sha256}).encode())


def _pip(wheels: Path) -> list[str]:
    """How pip is run: from its wheel in the bundle, or from Debian's package."""
    own = sorted(wheels.glob(PIP))
    if own:
        return [str(own[-1] / "pip")]
    try:
        import ensurepip
    except ImportError:
        raise RefusedError(
            "there is no pip in the bundle and none here; on the cell: sudo apt-get install python3-venv"
        ) from None
    kept = sorted((Path(ensurepip.__file__).parent / "_bundled").glob(PIP))
    kept += sorted(Path("/usr/share/python-wheels").glob(PIP))
    if not kept:
        raise RefusedError("ensurepip has no pip here; on the cell: sudo apt-get install python3-venv")
    return [str(kept[-1] / "pip")]


def _run(words: list[str], trouble: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise RefusedError(f"{trouble}: {said}")


# --- what belongs to the service ---


def prepare_user(places: Places) -> None:
    """The user that the service runs as, made where it is missing, and in the groups of GROUPS."""
    user = places.user
    if not user:
        return
    try:
        pwd.getpwnam(user)
    except KeyError:
        _run(["useradd", "--system", "--user-group", user], f"user {user} cannot be made")
    groups = [
        entry.gr_name for entry in grp.getgrall() if entry.gr_name in GROUPS and user not in entry.gr_mem
    ]
    if groups:
        _run(["usermod", "-aG", ",".join(groups), user], f"user {user} cannot join {', '.join(groups)}")


def give_to_user(places: Places, path: Path) -> None:
    """A file or folder below the service's state belongs to its user."""
    if places.user:
        entry = pwd.getpwnam(places.user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def environment_of(settings: dict[str, Any]) -> bytes:
    """The options of `cell-controller`, as the unit reads them."""
    words = ["--board", str(settings.get("board", "sim"))]
    for name in ("broker", "speed"):
        if settings.get(name):
            words += [f"--{name}", str(settings[name])]
    return f"CELL_ARGS={' '.join(words)}\n".encode()
