"""The part of a guest's file system that is made for each boot: this project as it is now, and what runs first."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from hil.gpio_guest.bytecode import compiled_file, same_version
from hil.gpio_guest.cpio import PROGRAM, Archive
from hil.gpio_guest.image import SITE

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "project"
"""Where the project is in the guest, first of its Python path."""

FOLDERS = ("board", "cell_controller", "hil/gpio_guest", "tests/gpio_guest")

PACKAGES = ("hil", "tests")
"""Of these only what makes them packages."""

SUFFIXES = (".py", ".toml", ".json")

INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
export PATH=/bin:/usr/bin HOME=/tmp
export PYTHONPATH=/{PROJECT}:/{SITE} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONUTF8=1
cd /{PROJECT}
for console; do :; done    # the last word: before it comes what the kernel did not understand
exec /usr/bin/python3 -S -m hil.gpio_guest.agent "$console"
"""


def write_project(out: BinaryIO, python: str, extra: Sequence[Path] = ()) -> None:
    """An archive of init, the agent and the project's FOLDERS; `extra` files and folders of the project besides.

    `python`: the guest's version; where it is this one's, byte code goes with each source.
    """
    archive = Archive(out)
    for name in ("dev", "proc", "sys", "tmp", PROJECT):
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.file("init", INIT.encode(), PROGRAM)
    for path in [*(ROOT / name / "__init__.py" for name in PACKAGES), *_files(extra)]:
        name = f"{PROJECT}/{path.relative_to(ROOT)}"
        archive.file(name, path.read_bytes())
        if path.suffix == ".py" and same_version(python):
            pyc = f"{Path(name).parent}/__pycache__/{path.stem}.cpython-{python.replace('.', '')}.pyc"
            archive.file(pyc, compiled_file(path, f"/{name}"))
    archive.close()


def _files(extra: Sequence[Path]) -> list[Path]:
    places = [*(ROOT / name for name in FOLDERS), *extra]
    found = {path for place in places for path in (place.rglob("*") if place.is_dir() else [place])}
    return sorted(path for path in found if path.suffix in SUFFIXES and "__pycache__" not in path.parts)
