"""What can become of a board that is flashed or provisioned, in words, for tools, and as an exit code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cell_controller.errors import CellError
from host_tools.flash_plan import Plan
from host_tools.output import DONE, INTERRUPTED, NOT_REACHABLE, REFUSED, TIMED_OUT, USAGE
from host_tools.raw_repl import NotMicroPythonError
from host_tools.serial_port import CancelledError, LineLostError, LineTimeoutError, PortError


class BoardRefusedError(CellError, RuntimeError):
    """The board, or the cell on it, is not in a state to be changed; do what the message says and try again."""


class UnfitError(CellError, ValueError):
    """The bundle, or the firmware, does not fit the board; nothing was written."""


@dataclass
class Outcome:
    """What became of one board. facts: for --json, such as slot, image_sha256, wire_bytes, seconds."""

    port: str
    code: int
    text: str
    changed: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the board is as it was wished."""
        return self.code == DONE


def code_of(error: CellError) -> int:
    """The exit code that belongs to an error of talking to a board."""
    kinds: list[tuple[type[CellError], int]] = [
        (CancelledError, INTERRUPTED),
        (PortError, NOT_REACHABLE),
        (LineLostError, NOT_REACHABLE),
        (NotMicroPythonError, NOT_REACHABLE),
        (LineTimeoutError, TIMED_OUT),
        (UnfitError, USAGE),
    ]
    return next((code for kind, code in kinds if isinstance(error, kind)), REFUSED)


def version(manifest: Mapping[str, Any]) -> str:
    """The version of the package that built a bundle."""
    versions = manifest.get("versions") or {}
    return str(versions.get("package") or manifest.get("version") or "")


def slot_of(line: str) -> str:
    """The slot that a slot file names, "" if it is none."""
    words = line.split()
    return words[0] if len(words) == 4 and words[0] in ("a", "b") else ""


def named(about: Mapping[str, Any]) -> str:
    """An application as people are told of it."""
    digest = str(about.get("image_sha256") or "")[:8]
    return f"{about.get('cell', 'the cell')} {about.get('version', '')} ({digest})".replace("  ", " ")


def who(about: Mapping[str, Any]) -> dict[str, Any]:
    """An application as --json has it."""
    keys = ("cell", "version", "target", "serial", "slot", "image_sha256", "state")
    return {key: about.get(key) for key in keys}


def is_well(about: Mapping[str, Any]) -> bool:
    """Whether these are the words of an application that was confirmed; a health line has no `healthy: false`."""
    return not about.get("trial") and about.get("healthy", True) is not False and not about.get("safe_mode")


def last_line(about: Mapping[str, Any]) -> str:
    """The end of the last traceback, in brackets."""
    crashes = about.get("crashes")
    last = str(crashes.get("last") or "").strip() if isinstance(crashes, Mapping) else ""
    return f" ({last.splitlines()[-1]})" if last else ""


def sectors(made: Plan) -> str:
    """A plan in words."""
    parts = [f"{len(made.sent)} of {made.total} sectors in {len(made.frames)} bytes"]
    if made.copied:
        parts.append(f"{len(made.copied)} copied on the board")
    if made.kept:
        parts.append(f"{len(made.kept)} were there")
    return ", ".join(parts)
