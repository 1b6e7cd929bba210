"""What a board lives through while it makes an item: its access point goes and comes, its ticks wrap."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_controller.cpython.broker import Broker, installed, start_broker
from hil.standin_bench import Flashed, StandInBench
from tests.micropython.whole_run import CELL, give_settings

WRAP_MS = 1 << 30
BEFORE_MS = 20_000


@pytest.fixture
def mosquitto() -> Iterator[Broker]:
    if "mosquitto" not in installed():
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    broker = start_broker("mosquitto")
    yield broker
    broker.stop()


def _linked(bench: StandInBench) -> bool:
    return bool(bench.view["link"]["connected"])


def test_a_cell_whose_wifi_goes_makes_its_item_and_finds_the_broker_again(
    flashed_boards: Flashed, tmp_path: Path, mosquitto: Broker
) -> None:
    flash = flashed_boards.copy(CELL, tmp_path / "flash.bin")
    broker = f'[broker]\nhost = "{mosquitto.host}"\nport = {mosquitto.port}\n'
    give_settings(flash, f'[wifi]\nssid = "hall 3"\npassword = "correct horse"\n{broker}')
    bench = StandInBench(CELL, flash)
    try:
        bench.run_until(lambda: _linked(bench), "the link")
        bench.order("bonnet", colour="primer").run_to_step("spray")
        bench.stand_in.wifi(False)
        bench.run_until(lambda: not _linked(bench), "the loss of the link")
        # not joined, and the reason is one that a person understands
        bench.run_until(lambda: "Wi-Fi hall 3: " in bench.view["link"]["error"], "the reason")
        assert bench.run()["result"] == "good"
        assert bench.view["link"]["backlog"] > 0
        bench.stand_in.wifi(True)
        bench.run_until(lambda: _linked(bench) and bench.view["link"]["backlog"] == 0, "everything told")
        assert bench.damage == []
    finally:
        bench.close()


def test_an_item_is_made_through_the_wrap_of_the_ticks(flashed_boards: Flashed, tmp_path: Path) -> None:
    flash = flashed_boards.copy(CELL, tmp_path / "flash.bin")
    bench = StandInBench(CELL, flash, start_ms=WRAP_MS - BEFORE_MS)
    try:
        bench.order("bonnet", colour="burgundy").run_to("Execute")
        assert bench.ask("about")["data"]["uptime_ms"] < BEFORE_MS, "it began after the wrap already"
        record = bench.run()
        assert bench.ask("about")["data"]["uptime_ms"] > BEFORE_MS, "it ended before the wrap"
        assert record["result"] == "good"
        assert 20_000 < record["duration_ms"] < 120_000
        assert bench.view["scan"]["late_max_ms"] < 5_000
        assert bench.damage == []
    finally:
        bench.close()
