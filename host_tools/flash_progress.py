"""How far each board is: a bar a port on a terminal, one line a step where no screen is, nothing for tools."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from host_tools.output import Output


class Tell(Protocol):
    """Where a board's progress goes; called from the thread of that board."""

    def step(self, port: str, text: str) -> None:
        """What is done now."""

    def part(self, port: str, done: int, total: int) -> None:
        """How much of it is done."""


class Quiet:
    """Says nothing."""

    def step(self, port: str, text: str) -> None:
        pass

    def part(self, port: str, done: int, total: int) -> None:
        pass


class Plain:
    """One line a step on stderr, with the port in front."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._lock = threading.Lock()

    def step(self, port: str, text: str) -> None:
        with self._lock:
            self._out.note(f"{port}: {text}")

    def part(self, port: str, done: int, total: int) -> None:
        pass


class Bars:
    """A bar a port."""

    def __init__(self, progress: Progress, ports: Sequence[str]) -> None:
        self._progress = progress
        self._tasks = {port: progress.add_task("waiting", total=None, port=port) for port in ports}

    def step(self, port: str, text: str) -> None:
        self._progress.update(self._tasks[port], description=text)

    def part(self, port: str, done: int, total: int) -> None:
        self._progress.update(self._tasks[port], completed=done, total=total)


@contextmanager
def telling(ports: Sequence[str], out: Output, terminal: bool | None = None) -> Iterator[Tell]:
    """Where the progress of `ports` goes, until the block ends. terminal: None to look whether stderr is one."""
    if out.as_json:
        yield Quiet()
        return
    if not (sys.stderr.isatty() if terminal is None else terminal):
        yield Plain(out)
        return
    columns = (
        TextColumn("{task.fields[port]}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bars(progress, ports)
