"""Every scenario of the bench whose words the service has too, on real processes: a long run."""

import importlib
from pathlib import Path
from types import CodeType

import pytest

from tests.service.process import ROOT
from tests.service.test_scenarios import cell

__all__ = ["cell"]

pytestmark = pytest.mark.soak

BENCH_ONLY = {
    *("controller", "flush", "hold_back", "writable", "journal", "replies", "log", "observers", "pending"),
    *("describe", "input", "spec", "take_part", "bench", "tick", "_remote"),
}


def _sheets() -> list[str]:
    return sorted(path.stem for path in Path(ROOT / "tests" / "scenarios").glob("test_*.py"))


def _needs_bench(code: CodeType) -> bool:
    """Whether a scenario uses what only the bench has, or speaks for a remote: here that takes a client of its own."""
    remote = any(isinstance(value, tuple) and "origin" in value for value in code.co_consts)
    return remote or bool(BENCH_ONLY & set(code.co_names))


for _sheet in _sheets():
    for _name, _test in vars(importlib.import_module(f"tests.scenarios.{_sheet}")).items():
        if _name.startswith("test_") and not _needs_bench(_test.__code__):
            globals()[f"{_name}_{_sheet}"] = _test
