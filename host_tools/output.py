"""What a command prints and with which exit code it ends: text for people, one JSON object for tools.

Every command ends with one of five codes, so that a script can tell "the cell said no" from "there is no cell".
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

DONE = 0
REFUSED = 1
USAGE = 2
NOT_REACHABLE = 3
TIMED_OUT = 4
INTERRUPTED = 130

EXIT_CODES = """exit codes:
  0  done
  1  the cell refused; the reason is on stderr
  2  wrong usage, or a file with errors
  3  no such cell, or it cannot be reached
  4  no answer in time
  130  ended by Ctrl-C before it was done"""

_NAMES = {REFUSED: "refused", USAGE: "usage", NOT_REACHABLE: "not_reachable", TIMED_OUT: "timed_out"}


class ToolError(ValueError):
    """A command cannot be carried out; `exit_code` says why. The text is one line for the person at the keyboard."""

    def __init__(self, text: str, exit_code: int = USAGE) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ReaderLeft(Exception):
    """Nobody reads what is printed any more (`cellctl watch --plain | head`); end quietly."""


class Output:
    """Where a command writes: lines for people, or with `as_json` exactly one object on stdout when it ends."""

    def __init__(self, as_json: bool = False, out: IO[str] | None = None, err: IO[str] | None = None) -> None:
        self.as_json = as_json
        self._out = out if out is not None else sys.stdout
        self._err = err if err is not None else sys.stderr

    def line(self, text: str = "") -> None:
        """One line for a person on stdout; nothing with --json."""
        if not self.as_json:
            self._write(self._out, text)

    def note(self, text: str) -> None:
        """One line on stderr: progress and remarks that are not the result."""
        if not self.as_json:
            self._write(self._err, text)

    def result(self, value: Mapping[str, Any]) -> None:
        """The object that --json prints; nothing without it."""
        if self.as_json:
            self._write(self._out, json.dumps(value, ensure_ascii=False))

    def reply(self, reply: Mapping[str, Any]) -> int:
        """Print the cell's reply to a request and return the exit code that belongs to it (0 or 1)."""
        self.result(reply)
        if reply.get("ok"):
            self.line(str(reply.get("text", "")))
            return DONE
        self._write(self._err, refusal(reply))
        return REFUSED

    def failure(self, error: ToolError) -> int:
        """Print why the command could not be carried out and return its exit code."""
        self.result(
            {"ok": False, "code": error.exit_code, "name": _NAMES[error.exit_code], "text": str(error)}
        )
        self._write(self._err, f"cellctl: {error}")
        return error.exit_code

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows in columns that fit their widest entry; numbers to the right."""
        cells = [[str(entry) for entry in row] for row in rows]
        widths = [max(len(row[k]) for row in [list(head), *cells]) for k in range(len(head))]
        right = [
            bool(rows) and all(isinstance(row[k], (int, float)) for row in rows) for k in range(len(head))
        ]
        for row in [list(head), *cells]:
            parts = [
                entry.rjust(width) if to_right else entry.ljust(width)
                for entry, width, to_right in zip(row, widths, right, strict=True)
            ]
            self.line("  ".join(parts).rstrip())

    @staticmethod
    def _write(stream: IO[str], text: str) -> None:
        try:
            stream.write(text + "\n")
            stream.flush()
        except BrokenPipeError as error:
            raise ReaderLeft from error


def refusal(reply: Mapping[str, Any]) -> str:
    """The one line that tells a person what the cell refused and why."""
    text = str(reply.get("text") or "no reason given")
    return text if text.startswith("refused") else f"refused: {text}"


def options_text(options: Mapping[str, Any]) -> str:
    """Order options as a person types them, a customer's file by the first digits of its hash."""
    return " ".join(f"{name}={_short(value)}" for name, value in sorted(options.items()))


def _short(value: object) -> str:
    text = str(value)
    if len(text) == 64 and all(char in "0123456789abcdef" for char in text):
        return text[:8] + "…"
    return f'"{text}"' if " " in text else text


def seconds_text(seconds: float) -> str:
    """A duration as people say it: 41 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def state_line(view: Mapping[str, Any]) -> str:
    """`paint-1 HELD: clamp did not close within 2 s`."""
    line = f"{view.get('cell', 'cell')} {str(view.get('state', 'unknown')).upper()}"
    if view.get("reason"):
        return f"{line}: {view['reason']}"
    return f"{line}, waits for {view['waiting_for']}" if view.get("waiting_for") else line


def outputs_line(view: Mapping[str, Any]) -> str:
    """`outputs: booth_fan on, lamp 80; off: clamp, horn`: first what is on, because that can hurt."""
    outputs = view.get("outputs") or {}
    live = [f"{name} {'on' if value in (1, True) else value}" for name, value in outputs.items() if value]
    off = [name for name, value in outputs.items() if not value]
    parts = [", ".join(live) or "none on"]
    if off:
        parts.append("off: " + ", ".join(off))
    return "outputs: " + "; ".join(parts)


def item_table(items: Sequence[Mapping[str, Any]], out: Output) -> None:
    """What was made, one item a line: serial, product, options, duration, energy, result."""
    head = ["item", "order", "product", "options", "took", "energy", "result"]
    out.table(head, [item_row(item) for item in items])


def item_row(item: Mapping[str, Any]) -> list[object]:
    """The columns of `item_table` for one item record."""
    return [
        f"{int(item.get('serial', 0)):04d}",
        item.get("order_id", ""),
        item.get("product", ""),
        options_text(options_of(item)),
        seconds_text(float(item.get("duration_s", 0)) - float(item.get("interrupted_s", 0))),
        f"{float(item.get('energy_wh', 0)):.1f} Wh",
        item.get("result", ""),
    ]


def item_lines(item: Mapping[str, Any]) -> list[str]:
    """One item's record: what it is, what became of it, and its steps with set and actual values."""
    recipe = f"{item.get('product', '')}@{item.get('recipe_version', '')}"
    lines = [
        f"item {int(item.get('serial', 0)):04d} {item.get('result', '')}: {options_text(options_of(item))}",
        f"  order {item.get('order_id', '')} by {item.get('commanded_by', '')}, carrier {item.get('carrier', 0)}",
        f"  recipe {recipe}, control recipe {str(item.get('control_recipe_sha256', ''))[:12]}",
        f"  took {seconds_text(float(item.get('duration_s', 0)))}, of it held {item.get('held_s', 0)} s"
        f" and interrupted {item.get('interrupted_s', 0)} s, "
        f"{float(item.get('energy_wh', 0)):.1f} Wh",
    ]
    for answer in item.get("answers") or []:
        lines.append(
            f"  interrupted in step {answer.get('step')}: {answer.get('answer')} by {answer.get('by')}"
        )
    for number, step in enumerate(item.get("steps") or [], start=1):
        end = f"to {step['end_s']} s" if step.get("end_s") is not None else "not ended"
        if step.get("said_done"):
            end = "said to be done"
        text = f"  {number} {step.get('name', '')}: {step.get('start_s', 0)} s {end}, {step.get('energy_wh', 0)} Wh"
        values = options_text({name: value for name, value in (step.get("set") or {}).items() if value != ""})
        if values:
            text += f"; set {values}"
        actual = " ".join(f"{entry.get('name')}={entry.get('value')}" for entry in step.get("actual") or [])
        lines.append(f"{text}; actual {actual}" if actual else text)
    return lines


def options_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an order or a record, which come as an object or as a list of pairs, without the empty ones."""
    options = record.get("options") or {}
    pairs = options.items() if isinstance(options, Mapping) else [(entry[0], entry[1]) for entry in options]
    return {str(name): value for name, value in pairs if value != ""}
