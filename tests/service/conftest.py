"""Services, board servers and brokers for tests, each ended with the test by its own process number."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from board.remote import Observer
from cell_controller.cpython.broker import Broker, installed, start_broker
from tests.service.process import ROOT, Child, Service

EXAMPLE = ROOT / "examples" / "paint_cell"


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A private directory of running cells; short, because a Unix socket's name is."""
    with tempfile.TemporaryDirectory(prefix="cell-") as name:
        yield Path(name)


@pytest.fixture
def cell_dir(tmp_path: Path) -> Path:
    """A copy of the example cell."""
    target = tmp_path / "cell"
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("__pycache__", ".run"))
    return target


@pytest.fixture(scope="module")
def mosquitto() -> Iterator[Broker]:
    """The real mosquitto of Debian on a free port."""
    if "mosquitto" not in installed():
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    broker = start_broker("mosquitto")
    yield broker
    broker.stop()


@pytest.fixture
def start_service(cell_dir: Path, run_dir: Path) -> Iterator[Callable[..., Service]]:
    """Makes services on the copied cell: start_service(speed=20, broker="127.0.0.1:1883"); up when it returns."""
    made: list[Service] = []

    def start(up: bool = True, **settings: Any) -> Service:
        service = Service(cell_dir, run_dir, **settings)
        made.append(service)
        return service.start() if up else service

    yield start
    for service in made:
        service.close()


@pytest.fixture
def board_server(cell_dir: Path, run_dir: Path) -> Iterator[Callable[..., tuple[str, Observer]]]:
    """Starts board servers: address, observer = board_server(speed=10)."""
    made: list[tuple[Child, Observer | None]] = []

    def start(speed: float = 10.0) -> tuple[str, Observer]:
        words = ["-m", "hil.board_server", str(cell_dir), "--speed", str(speed)]
        child = Child(words, run_dir / f"board{len(made)}.log", {})
        made.append((child, None))
        child.wait_for(lambda: "\n" in child.log, "the address of the board server")
        address = child.log.split()[0]
        observer = Observer(address)
        made[-1] = (child, observer)
        return address, observer

    yield start
    for child, observer in made:
        if observer is not None:
            observer.close()
        child.close()
