"""Runs every benchmarks/bench_*.py and writes results.md for people and results.json for tools.

    python -m benchmarks [--only NAME]

A missed bar is printed loudly but is no error of the program; a benchmark that raises is.
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIELDS = ("name", "value", "unit", "bar", "peer", "spread")
CHILD = """
import importlib, json, pathlib, sys
rows = importlib.import_module(sys.argv[1]).run()
pathlib.Path(sys.argv[2]).write_text(json.dumps(rows))
"""
Row = dict[str, object]


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write; 0 unless a benchmark could not be run."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("--only", choices=names, metavar="NAME", help=f"one of: {', '.join(names)}")
    chosen = parser.parse_args(arguments).only
    rows: list[Row] = []
    failed = []
    for name in [chosen] if chosen else names:
        print(f"bench_{name} ...", flush=True)
        new = measure(name)
        if new is None:
            failed.append(name)
            continue
        for row in new:
            print(f"  {line(row)}", flush=True)
        rows += new
    write(merged(rows) if chosen or failed else rows)
    missed = [row for row in rows if verdict(row) == "MISSED"]
    for row in missed:
        print(f"\n*** BAR MISSED: {line(row)}")
    for name in failed:
        print(f"\n*** bench_{name} FAILED, see above")
    measured_bars = sum(row["bar"] is not None for row in rows)
    print(
        f"\n{measured_bars - len(missed)} of {measured_bars} bars met; written to {HERE.name}/results.md and .json"
    )
    return 1 if failed else 0


def measure(name: str) -> list[Row] | None:
    """The rows of one benchmark, run in a process of its own so that none leaves threads or heap to the next.

    None if it raised; what it said is on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rows.json")
        command = [sys.executable, "-c", CHILD, f"benchmarks.bench_{name}", str(out)]
        if subprocess.run(command, cwd=HERE.parent, check=False).returncode != 0:
            return None
        rows: list[Row] = json.loads(out.read_text())
    return [checked(row) for row in rows]


def checked(row: Row) -> Row:
    """The row with exactly the fields of the results. Raises ValueError if it is not one."""
    if not set(row) <= set(FIELDS) or not isinstance(row.get("value"), (int, float)) or not row.get("name"):
        raise ValueError(f"benchmark row {row!r}: give {', '.join(FIELDS)}, value a number")
    whole = {field: row.get(field) for field in FIELDS}
    verdict(whole)
    return whole


def verdict(row: Row) -> str:
    """met, MISSED or "" without a bar. Raises ValueError for a bar that is not "<= number" or ">= number"."""
    bar = row["bar"]
    if bar is None:
        return ""
    sign, _, limit = str(bar).partition(" ")
    value = row["value"]
    if not isinstance(value, (int, float)) or sign not in ("<=", ">="):
        raise ValueError(f"bar {bar!r} of {row['name']}: write it as '<= 2.5' or '>= 30'")
    met = value <= float(limit) if sign == "<=" else value >= float(limit)
    return "met" if met else "MISSED"


def number(value: object) -> str:
    """A figure with three significant digits, without exponent."""
    if not isinstance(value, (int, float)):
        return ""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def line(row: Row) -> str:
    """One row as text."""
    spread = f" +-{number(row['spread'])}" if row["spread"] is not None else ""
    bar = f"  (bar {row['bar']}: {verdict(row)})" if row["bar"] is not None else ""
    peer = f"  against {row['peer']}" if row["peer"] else ""
    return f"{row['name']}: {number(row['value'])}{spread} {row['unit']}{bar}{peer}"


def merged(rows: list[Row]) -> list[Row]:
    """The stored results with these rows in place of the ones with the same names."""
    path = HERE / "results.json"
    stored: list[Row] = json.loads(path.read_text()) if path.exists() else []
    new = {row["name"]: row for row in rows}
    kept = [new.pop(row["name"], row) for row in stored]
    return kept + list(new.values())


def write(rows: list[Row]) -> None:
    """Write both result files."""
    (HERE / "results.json").write_text(json.dumps(rows, indent=2) + "\n")
    lines = [
        "# Results of `make bench`",
        "",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {platform.python_implementation()}"
        f" {platform.python_version()}, SQLite {sqlite3.sqlite_version}.",
        "Ratios come first: absolute figures are those of this machine. Spread is half of the interquartile range",
        "over interleaved rounds.",
        "",
        "| what | value | spread | unit | bar | | against |",
        "|---|---:|---:|---|---|---|---|",
    ]
    for row in rows:
        bar = row["bar"] if row["bar"] is not None else ""
        cells = (
            row["name"],
            number(row["value"]),
            number(row["spread"]),
            row["unit"],
            bar,
            verdict(row),
            row["peer"],
        )
        lines.append("| " + " | ".join(str(cell or "") for cell in cells) + " |")
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
