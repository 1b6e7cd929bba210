"""PackML gives the same answers on every runtime, and they are the reference file's."""

import hashlib
import sys

import pytest

from tests.core import packml_oracle as oracle
from tests.runtimes.runtimes import Runtime


@pytest.fixture(scope="module")
def oracle_tables() -> str:
    """The number of tables and one sha256 over all of them, from the reference file alone."""
    digest, count = hashlib.sha256(), 0
    for profile in oracle.PROFILES:
        for disabled in oracle.legal_disabled_sets():
            digest.update(oracle.table(profile, disabled))
            count += 1
        for hold_in in oracle.hold_sets(profile):
            digest.update(oracle.table(profile, frozenset(), hold_in))
            count += 1
    return f"{count} {digest.hexdigest()}"


def test_every_table_is_the_reference_s(runtime: Runtime, oracle_tables: str) -> None:
    assert runtime.run("packml_tables.py").strip() == oracle_tables


@pytest.fixture(scope="module")
def cpython_steps() -> str:
    assert sys.implementation.name == "cpython"
    return Runtime("cpython").run("packml_steps.py")


def test_steps_refusals_lights_and_handshakes_agree_with_cpython(
    micropython: Runtime, cpython_steps: str
) -> None:
    assert micropython.run("packml_steps.py") == cpython_steps


def test_a_step_allocates_nothing(micropython: Runtime) -> None:
    assert micropython.run("packml_heap.py") == "nothing allocated\n"
