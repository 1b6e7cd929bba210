"""What a person sees while several machines are worked on: one line each on a terminal, one line a step elsewhere."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from host_tools.output import Output


class Progress:
    """Use it in a `with` block and give `told` to what works. Writes to stderr; nothing with --json."""

    def __init__(self, hosts: Sequence[str], out: Output) -> None:
        self._out = out
        self._lines = dict.fromkeys(hosts, ("", ""))
        self._began = time.monotonic()
        live = not out.as_json and sys.stderr.isatty()
        self._live = Live(console=Console(stderr=True), auto_refresh=False) if live else None

    def told(self, host: str, step: str, remark: str) -> None:
        """A step begins or goes on."""
        before = self._lines.get(host, ("", ""))
        self._lines[host] = (step, remark)
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif step not in ("done", "failed") and step != before[0]:
            took = time.monotonic() - self._began
            self._out.note(f"{host}: {step}" + (f" {remark}" if remark else "") + f" ({took:.1f} s)")

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for host, (step, remark) in self._lines.items():
            table.add_row(host, step, remark if step not in ("done", "failed") else "")
        return table

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
