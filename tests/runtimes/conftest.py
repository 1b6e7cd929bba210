"""The fixtures of the tests that run on several runtimes."""

import pytest

from tests.runtimes.runtimes import NAMES, Runtime, missing


def _runtime(name: str) -> Runtime:
    reason = missing(name)
    if reason:
        pytest.skip(f"runtime {name}: {reason}")
    return Runtime(name)


@pytest.fixture(params=NAMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each of the runtimes in turn."""
    return _runtime(request.param)


@pytest.fixture(params=NAMES[1:])
def micropython(request: pytest.FixtureRequest) -> Runtime:
    """Each of the MicroPython runtimes in turn."""
    return _runtime(request.param)
