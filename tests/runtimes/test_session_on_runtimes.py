"""The session says the same bytes on every runtime."""

import pytest

from tests.runtimes.runtimes import Runtime


@pytest.fixture(scope="module")
def on_cpython() -> str:
    return Runtime("cpython").run("session_table.py")


def test_a_scripted_day_gives_the_same_messages_as_on_cpython(micropython: Runtime, on_cpython: str) -> None:
    assert micropython.run("session_table.py") == on_cpython
