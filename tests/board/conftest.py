"""Boards for tests: the compiled example cell, and a board server in a thread of its own on a free port."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from board.remote import Observer
from hil.board_server import BoardServer
from host_tools.cellfile import CompiledCell, compile_cell
from tests.board.images import EXAMPLE


@pytest.fixture(scope="session")
def paint_cell() -> CompiledCell:
    """The example cell, compiled for the simulated board."""
    return compile_cell(EXAMPLE, board="sim")


@pytest.fixture(scope="session")
def pico_cell() -> CompiledCell:
    """The example cell, compiled for a Pico W."""
    return compile_cell(EXAMPLE, board="pico_w")


@pytest.fixture
def serve(paint_cell: CompiledCell) -> Iterator[Callable[..., BoardServer]]:
    """Starts board servers: serve(on_death="release", speed=2.0, watchdog_ms=100); they end with the test."""
    running: list[tuple[BoardServer, threading.Thread]] = []

    def start(speed: float = 1.0, listen: str = "127.0.0.1:0", **board_keys: Any) -> BoardServer:
        wiring = {**paint_cell.wiring, "board": {**paint_cell.wiring["board"], **board_keys}}
        server = BoardServer(paint_cell.spec, wiring, speed=speed, listen=listen)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join(5)
        assert not thread.is_alive(), "the board server did not end"


@pytest.fixture
def observe() -> Iterator[Callable[[str], Observer]]:
    """Opens observers: observe(server.address)."""
    opened: list[Observer] = []

    def start(address: str) -> Observer:
        observer = Observer(address)
        opened.append(observer)
        return observer

    yield start
    for observer in opened:
        observer.close()
