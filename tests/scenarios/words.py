"""Which scenarios run where: only the bench stops time, looks into its controller, and speaks for a remote."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

BENCH_ONLY = {
    *("controller", "flush", "hold_back", "writable", "journal", "replies", "log", "observers", "pending"),
    *("input", "spec", "tick", "next_carriers", "offer_recipe"),
}
HELPERS_OF_THE_BENCH = {"bench", "_remote", "give", "_day"}
REMOTE = "origin"
NO_PIN_SHOWS = re.compile(r"(?!carrier)\w+\.stale|airflow\.out_of_range")
"""Faults of the wire that a microcontroller's pins cannot have; a reader of carriers can say that it cannot read."""


def bench_words(code: CodeType) -> list[str]:
    """What a scenario needs that only the bench has, sorted; [] for one that runs on every board."""
    names = set(code.co_names) & (BENCH_ONLY | HELPERS_OF_THE_BENCH)
    if any(isinstance(value, tuple) and REMOTE in value for value in code.co_consts):
        names.add(REMOTE)
    return sorted(names)


def faults_without_pin(test: Any) -> list[str]:
    """The faults that a scenario, with any of its parameters, wants and that no pin can show, sorted."""
    texts = [value for value in test.__code__.co_consts if isinstance(value, str)]
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            texts += [str(value) for value in mark.args[1]]
    return sorted({text for text in texts if NO_PIN_SHOWS.fullmatch(text)})


def scenarios(pins: bool = False) -> Iterator[tuple[str, Any]]:
    """Every scenario that runs on every board, `pins`: even on a microcontroller's; its name and its function."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        sheet = importlib.import_module(f"tests.scenarios.{path.stem}")
        for name, test in vars(sheet).items():
            if not name.startswith("test_") or bench_words(test.__code__):
                continue
            if not pins or not faults_without_pin(test):
                yield f"{name}_{path.stem}", test
