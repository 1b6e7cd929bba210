"""Lamps and the heartbeat of a Pi work from the first scan on, in every state, as on every other board."""

from pathlib import Path

import pytest

from board.linux_board import LinuxBoard
from cell_controller.core.controller import Controller
from cell_controller.core.orders import Book
from host_tools.cellfile import compile_cell
from tests.board.fake_gpiod import FakeKernel

ROOT = Path(__file__).resolve().parents[2]


def test_an_aborted_cell_beats_and_shows_red_and_drives_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = compile_cell(ROOT / "examples" / "print_cell", "rpi")
    equipment = cell.load_equipment()
    (tmp_path / "dev").mkdir()
    pi = FakeKernel(tmp_path / "dev", monkeypatch).pi()
    board = LinuxBoard("rpi", [plan for plan in cell.plans if plan.kind == "gpio"], tmp_path)
    board.open(cell.spec, cell.wiring)
    controller = Controller(cell.spec, equipment.phases, equipment.states, Book(), 0)
    board.read(controller.input_image)
    controller.boot(0, False)
    for now in range(10, 1000, 10):
        board.read(controller.input_image)
        controller.scan(now, 1 << 20, True)
        board.write(controller.output_image)
    board.close()
    assert set(pi["GPIO15"].history) == {0, 1}, "the heartbeat"
    assert 1 in pi["GPIO13"].history, "the red lamp"
    assert set(pi["GPIO17"].history) == {0}, "the ejector"
