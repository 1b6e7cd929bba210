"""The lint of the portable core catches each thing it is for, and lets through what is fine."""

import ast
from pathlib import Path

import pytest

from host_tools import lint_core
from host_tools.lint_core import CORE, lint_files, lint_source, main, yields_in_finally

BAD = [
    ("import", "import time"),
    ("import", "import random"),
    ("import", "import os.path"),
    ("import", "import sys"),
    ("import", "import socket"),
    ("import", "import threading"),
    ("import", "from dataclasses import dataclass"),
    ("import", "from enum import Enum"),
    ("import", "from typing import Any"),
    ("import", "def f():\n    import time"),
    ("import", "from host_tools import check"),
    ("import", "from ..cpython import service"),
    ("missing", "x = next(walk, None)"),
    ("effect", "open('x')"),
    ("effect", "print('x')"),
    ("effect", "eval('1')"),
    ("float", "x = 0.5"),
    ("float", "x = 2j"),
    ("float", "x = a / b"),
    ("float", "x /= 2"),
    ("float", "x = float(y)"),
    ("float", "x = '%.1f s' % y"),
    ("float", "def f(within_s=0.5):\n    pass"),
    ("unordered", "for k in d.items():\n    pass"),
    ("unordered", "x = [v for v in d.values()]"),
    ("unordered", "x = list(self.table.keys())"),
    ("unordered", "x = max(d.values())"),
    ("unordered", "d = {}\nfor k in d:\n    pass"),
    ("unordered", "d = dict()\nx = list(d)"),
    ("unordered", "def f(d: 'dict[str, int]'):\n    for k in d:\n        pass"),
    ("unordered", "def f(d: 'dict[str, int] | None' = None):\n    return [k for k in d]"),
    ("unordered", "def f(d: dict):\n    yield from d"),
    ("unordered", "def f(d: dict):\n    return ', '.join(d)"),
    (
        "unordered",
        "class A:\n    def f(self):\n        self.t = {}\n    def g(self):\n        for k in self.t: pass",
    ),
    ("unordered", "for k in {'a': 1}:\n    pass"),
    ("unordered", "x = d.popitem()"),
    ("unordered", "x = a in {1, 2}"),
    ("unordered", "x = {a for a in b}"),
    ("unordered", "x = set(a)"),
    ("unordered", "x = frozenset(a)"),
    ("unordered", "x = hash(a)"),
    ("unordered", "x = id(a)"),
    ("implementation", "x = sys.implementation.name"),
    ("syntax", "match x:\n    case 1: pass"),
    ("syntax", "def f(a, /): pass"),
    ("syntax", "x = [*a, b]"),
    ("syntax", "x = {**a}"),
    ("syntax", "x = a[::-1]"),
    ("syntax", "class A(B, metaclass=C): pass"),
    ("syntax", "class A(B, C): pass"),
    ("syntax", "try:\n    f()\nexcept* OSError:\n    pass"),
    ("f-string", "x = f'{d[\"k\"]}'"),
    ("f-string", "x = f'{f\"{y}\"}'"),
    ("f-string", "x = f'{(lambda: 1)()}'"),
    ("f-string", "x = f'{a[1:2]}'"),
    ("f-string", "x = f'{y:{width}}'"),
    ("async", "async def f(): pass"),
    ("missing", "try:\n    f()\nexcept FileNotFoundError:\n    pass"),
    ("missing", "x = y.zfill(4)"),
    ("missing", "x = y.bit_length()"),
    ("missing", "class A:\n    __slots__ = ('a',)"),
    ("yield-in-finally", "def f():\n    try:\n        yield\n    finally:\n        yield 1"),
]


@pytest.mark.parametrize(("rule", "source"), BAD)
def test_each_rule_catches_what_it_is_for(rule: str, source: str) -> None:
    rules = {finding.rule for finding in lint_source(source, "core/x.py")}
    assert rule in rules


def test_every_rule_of_the_lint_has_a_case_here() -> None:
    assert {rule for rule, _ in BAD} | {"allowed"} == set(lint_core.RULES)


GOOD = [
    "import struct\nfrom . import ticks\nfrom .codec import pack\nimport hashlib",
    "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any\n    import time",
    "x = a // b\ny = '%d of %s' % (x, z)\nw = b'i%de' % x",
    "def f(d: 'dict[str, int]'):\n    for k in sorted(d):\n        yield d[k]",
    "x = sorted(d.items())\nn = len(d.values())",
    "x = f'{name} is {value:04d}'",
    "for x in [1, 2]:\n    pass",
    "def f(names: 'list[str]'):\n    for n in names:\n        pass\ndef g(names: 'dict[str, int]'):\n    pass",
    "def f():\n    try:\n        yield\n    finally:\n        def g():\n            yield 1",
    "x: 'set[int]' = y\n",
]


@pytest.mark.parametrize("source", GOOD)
def test_portable_code_passes(source: str) -> None:
    assert lint_source(source, "core/x.py") == []


def test_an_allowed_rule_passes_in_its_own_file_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_core, "ALLOWED", {("units.py", "float"): "authoring values"})
    assert lint_source("x = 0.5", "core/units.py") == []
    assert [f.rule for f in lint_source("import time\nx = 0.5", "core/units.py")] == ["import"]
    assert [f.rule for f in lint_source("x = 0.5", "core/other.py")] == ["float"]


def test_an_allowance_that_nothing_needs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_core, "ALLOWED", {("units.py", "float"): "authoring values"})
    assert [f.rule for f in lint_source("x = 1", "core/units.py")] == ["allowed"]


def test_allowances_name_files_of_the_core() -> None:
    for file, _ in lint_core.ALLOWED:
        assert (CORE / file).exists(), file


def test_the_core_is_portable() -> None:
    assert [str(finding) for finding in lint_files([CORE])] == []


def test_the_command_names_file_line_and_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clock.py").write_text('"""A clock."""\nimport time\n')
    assert main([str(tmp_path)]) == 1
    assert "clock.py:2: import: import of time" in capsys.readouterr().out
    (tmp_path / "clock.py").write_text('"""No clock."""\n')
    assert main([str(tmp_path)]) == 0


def test_a_yield_anywhere_in_a_finally_is_found_with_its_line() -> None:
    tree = ast.parse(
        "def spray():\n"
        "    try:\n"
        "        yield wait(1)\n"
        "    finally:\n"
        "        if open:\n"
        "            yield wait(2)\n"
        "        yield from close()\n"
    )
    assert yields_in_finally(tree) == [(6, "yield wait(2)"), (7, "yield from close()")]


def test_a_yield_beside_a_finally_is_fine() -> None:
    tree = ast.parse("def spray():\n    try:\n        yield 1\n    finally:\n        off()\n    yield 2\n")
    assert yields_in_finally(tree) == []
