"""The test sheet of the example cell on the real service, the real mosquitto, and a board in a process of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import examples.paint_cell.test_paint_cell as sheet
from board.remote import Observer
from cell_controller.cpython.broker import Broker
from tests.service.bench import ServiceBench

SPEED = 20.0


@pytest.fixture
def cell(
    cell_dir: Path, run_dir: Path, mosquitto: Broker, board_server: Callable[..., tuple[str, Observer]]
) -> Iterator[ServiceBench]:
    """In place of the bench of the same name."""
    address, observer = board_server(speed=SPEED)
    broker = f"{mosquitto.host}:{mosquitto.port}"
    bench = ServiceBench(cell_dir, run_dir, observer, speed=SPEED, broker=broker, board=f"remote:{address}")
    bench.service.start()
    yield bench
    bench.service.close()


for _name, _test in vars(sheet).items():
    if _name.startswith("test_"):
        globals()[_name] = _test
