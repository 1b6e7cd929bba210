"""The benchmark runner: what counts as a missed bar, what is kept, what makes it fail."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as runner
from benchmarks.timing import half_quartiles, paired, row


@pytest.mark.parametrize(
    ("value", "bar", "expected"),
    [
        (2.5, "<= 2.5", "met"),
        (2.6, "<= 2.5", "MISSED"),
        (30, ">= 30", "met"),
        (29.9, ">= 30", "MISSED"),
        (1, None, ""),
    ],
)
def test_a_bar_is_met_or_missed(value: float, bar: str | None, expected: str) -> None:
    assert runner.verdict(row("x", value, "x", bar)) == expected


@pytest.mark.parametrize(
    "wrong", [{"name": "x"}, {"name": "x", "value": "1"}, {"name": "x", "value": 1, "extra": 2}]
)
def test_a_row_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="benchmark row"):
        runner.checked(wrong)


def test_a_bar_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="write it as"):
        runner.checked(row("x", 1, "x", "about 3"))


def bench(folder: Path, name: str, body: str) -> None:
    package = folder / "benchmarks"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / f"bench_{name}.py").write_text(f"def run():\n    {body}\n")


def one_row(name: str, value: float, bar: str | None = None) -> str:
    return f"return [{row(name, value, 'x', bar)!r}]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runner, "HERE", tmp_path / "benchmarks")
    return tmp_path


def test_a_missed_bar_is_loud_and_no_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench(folder, "slow", one_row("speed", 1.0, ">= 2"))
    assert runner.main([]) == 0
    assert "*** BAR MISSED: speed: 1 x" in capsys.readouterr().out
    assert json.loads((folder / "benchmarks/results.json").read_text()) == [row("speed", 1.0, "x", ">= 2")]
    assert "| speed | 1 |  | x | >= 2 | MISSED |" in (folder / "benchmarks/results.md").read_text()


def test_a_benchmark_that_raises_fails_the_run_and_spares_the_others(folder: Path) -> None:
    bench(folder, "bad", "raise RuntimeError('no disk')")
    bench(folder, "good", one_row("speed", 3.0))
    assert runner.main([]) == 1
    assert [entry["name"] for entry in json.loads((folder / "benchmarks/results.json").read_text())] == [
        "speed"
    ]


def test_only_one_benchmark_keeps_the_results_of_the_others(folder: Path) -> None:
    bench(folder, "one", one_row("one", 1.0))
    bench(folder, "two", one_row("two", 2.0))
    assert runner.main([]) == 0
    bench(folder, "one", one_row("one", 1.5))
    assert runner.main(["--only", "one"]) == 0
    stored = json.loads((folder / "benchmarks/results.json").read_text())
    assert {entry["name"]: entry["value"] for entry in stored} == {"one": 1.5, "two": 2.0}


def test_pairs_are_measured_in_turn_and_the_ratio_is_of_pairs() -> None:
    order: list[str] = []

    def measure(name: str, value: float) -> float:
        order.append(name)
        return value

    result = paired(lambda: measure("a", 6.0), lambda: measure("b", 2.0), rounds=4)
    assert (result.first, result.second, result.ratio, result.spread) == (6.0, 2.0, 3.0, 0.0)
    assert order[2:] == ["b", "a", "a", "b", "b", "a", "a", "b"]


def test_spread_is_half_of_the_distance_of_the_quartiles() -> None:
    assert half_quartiles([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0]) == 1.5
