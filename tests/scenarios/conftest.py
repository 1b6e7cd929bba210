"""On another board than the simulated one, a scenario that needs the bench itself is left out and says so."""

import pytest

from tests.scenarios.words import bench_words, faults_without_pin


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what the chosen board cannot do."""
    board = config.getoption("--cell-board")
    if board == "sim":
        return
    for item in items:
        if isinstance(item, pytest.Function) and item.function.__module__.startswith("tests.scenarios."):
            words = bench_words(item.function.__code__)
            faults = faults_without_pin(item.function)
            reason = f"not with --cell-board {board}: "
            if words:
                reason += f"needs {', '.join(words)} of the simulated board's bench"
                item.add_marker(pytest.mark.skip(reason=reason))
            elif faults:
                item.add_marker(pytest.mark.skip(reason=f"{reason}no pin shows {', '.join(faults)}"))
