"""An order from the plant to the end over MQTT with TLS, on a board that was flashed and provisioned like any other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.standin_bench import Flashed
from tests.micropython import tls_broker
from tests.micropython.tls_broker import Secured
from tests.micropython.whole_run import CELL, give_tls, whole_run

LINK_BYTES = 64 * 1024  # a TLS connection's buffers, and garbage that nobody has collected yet


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secured]:
    made = tls_broker.start(tmp_path / "broker", monkeypatch, tls=True)
    yield made
    made.broker.stop()


def test_an_order_over_tls_is_made_to_the_end_and_leaves_the_heap_as_it_was(
    flashed_boards: Flashed, tmp_path: Path, secured: Secured
) -> None:
    flash = flashed_boards.copy(CELL, tmp_path / "flash.bin")
    give_tls(flash, secured)
    run = whole_run(flash, secured)
    assert (run.item["serial"], run.item["result"], run.damage) == (1, "good", [])
    assert run.state["link"]["connected"]
    assert run.crashes == {"in_a_row": 0, "last": ""}
    assert run.free_after > run.free_at_boot - LINK_BYTES
