"""Starts a link on a runtime in a process of its own, and says what it printed."""

import json
import os
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from cell_controller.core import codec
from host_tools.cellfile import compile_cell
from tests.cpython.link_bench import WAIT_S, wait_for
from tests.runtimes.runtimes import ROOT, unix_program

SCRIPT = "tests/micropython/portable/link_run.py"
BASE = "coachworks/leeds/body/paint/paint-1"


@lru_cache(maxsize=1)
def spec_bytes() -> bytes:
    """The compiled example cell."""
    return codec.pack(compile_cell(ROOT / "examples" / "paint_cell").spec)


class LinkProcess:
    """link_run.py with these settings; `said` while it runs, `result` when it has ended."""

    def __init__(self, folder: Path, runtime: str, broker: dict[str, Any], **plan: Any) -> None:
        folder.mkdir(exist_ok=True)
        spec = folder / "cell.bin"
        spec.write_bytes(spec_bytes())
        settings: dict[str, Any] = {"broker": broker, "time": plan.pop("time", {"host": ""})}
        settings["run"] = {"spec": str(spec), "limit_ms": 12000, "until": "connected", **plan}
        path = folder / "settings.json"
        path.write_text(json.dumps(settings))
        environment = dict(os.environ)
        if runtime == "unix":
            environment["MICROPYPATH"] = f".frozen:{ROOT}"
            words = [str(unix_program()), "-X", f"heapsize={plan.get('heap_kb', 1024)}K"]
        else:
            environment["PYTHONPATH"] = str(ROOT)
            words = [sys.executable, "-W", "error"]
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [*words, SCRIPT, str(path)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line.rstrip("\n"))

    def wait_until_up(self, times: int = 1) -> None:
        wait_for(lambda: self.said.count('{"say": "up"}') >= times, lambda: self.said)

    def result(self) -> dict[str, Any]:
        """What it measured, when it ends by itself."""
        try:
            self._process.wait(WAIT_S + 5)
        except subprocess.TimeoutExpired:
            self.close()
            raise AssertionError(f"the link did not end; it said {self.said}") from None
        self._reader.join(WAIT_S)
        assert self._process.returncode == 0, "\n".join(self.said)
        found: dict[str, Any] = json.loads(self.said[-1])
        return found

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
