"""Every board keeps the contract: the same tests on simulated boards, fake pins of a microcontroller, a real driver."""

from collections.abc import Callable, Iterator

import pytest

from board.contract import ON_DEATH, Board
from board.remote import RemoteBoard
from board.sim import SimBoard
from cell_controller.core.signals import GOOD, KEEP
from cell_controller.errors import FaultNameError
from hil.board_server import BoardServer
from host_tools.cellfile import CompiledCell
from host_tools.compile_wiring import compile_wiring
from tests.board.images import Terminals
from tests.board.machine_rig import MachineRig
from tests.board.modbus_paint import ModbusPaint, paint_on_modbus

SPEED = 20.0
SIMULATED = ("virtual", "real time", "remote")
MACHINE = "machine"
MODBUS = "modbus"


@pytest.fixture(scope="session")
def modbus_cell(tmp_path_factory: pytest.TempPathFactory) -> CompiledCell:
    """The example cell, wired to a remote I/O."""
    return paint_on_modbus(tmp_path_factory.mktemp("modbus") / "paint_cell")


@pytest.fixture(params=[*SIMULATED, MACHINE, MODBUS])
def board_and_cell(
    request: pytest.FixtureRequest,
    paint_cell: CompiledCell,
    pico_cell: CompiledCell,
    modbus_cell: CompiledCell,
    serve: Callable[..., BoardServer],
) -> Iterator[tuple[Board, CompiledCell]]:
    made: Board
    cell = paint_cell
    if request.param == MACHINE:
        cell = pico_cell
        made = MachineRig(compile_wiring(cell))
    elif request.param == MODBUS:
        cell = modbus_cell
        made = ModbusPaint(cell, SPEED)
    elif request.param == "remote":
        made = RemoteBoard(serve(speed=SPEED, watchdog_ms=0).address)
    else:
        made = SimBoard(speed=0.0 if request.param == "virtual" else SPEED)
    made.open(cell.spec, cell.wiring)
    yield made, cell
    made.close()


@pytest.fixture
def board(board_and_cell: tuple[Board, CompiledCell]) -> Board:
    return board_and_cell[0]


@pytest.fixture
def terminals(board_and_cell: tuple[Board, CompiledCell]) -> Terminals:
    board, cell = board_and_cell
    return Terminals(board, cell.spec)


def test_it_says_what_it_is_and_what_death_does(board: Board) -> None:
    assert board.name
    assert board.on_death in ON_DEATH


def test_every_input_is_read_with_good_quality(board: Board, terminals: Terminals) -> None:
    board.read(terminals.inputs)
    assert set(terminals.inputs.quality) == {GOOD}
    assert terminals.value("part_present") == 1
    assert terminals.value("emergency_stop_ok") == 1
    assert terminals.value("carrier") == 1001
    assert terminals.value("clamp_closed") == 0


def test_an_output_acts_on_the_machine(terminals: Terminals) -> None:
    terminals.drive(clamp=1)
    terminals.pass_until("clamp_closed", 1)
    assert terminals.value("clamp_open") == 0


def test_an_analog_output_acts_on_the_machine(terminals: Terminals) -> None:
    terminals.drive(cure_lamp=terminals.count("cure_lamp", 80))
    terminals.pass_until("panel_temp", 35)


def test_the_clock_reaches_what_was_slept_for_and_never_goes_back(board: Board) -> None:
    before = board.tick()
    for ms in range(10, 200, 10):
        board.sleep_until(before + ms)
        assert board.tick() >= before + ms


def test_make_safe_drives_the_values_and_keeps_the_kept(board: Board, terminals: Terminals) -> None:
    terminals.drive(booth_fan=1, valve_green=1)
    terminals.pass_until("paint_flow", 200)
    terminals.pass_until("airflow", 400)
    values = [KEEP if value == 1 else value for value in terminals.safe_values()]
    board.make_safe(values)
    for _ in range(100):  # readings alone: a whole scan would write the former image again
        board.sleep_until(board.tick() + 100)
        if terminals.read("paint_flow") < 20:
            break
    assert terminals.value("paint_flow") < 20
    assert terminals.value("airflow") > 390


def test_a_fault_acts_and_goes(board: Board, terminals: Terminals) -> None:
    board.fault("door.open", True)
    assert terminals.read("door_closed") == 0
    board.fault("door.open", False)
    assert terminals.read("door_closed") == 1


@pytest.mark.parametrize("board_and_cell", SIMULATED, indirect=True)
def test_faults_are_listed_and_others_refused(board: Board) -> None:
    assert {"clamp.jam", "airflow.stuck", "energy.frozen"} <= set(board.faults())
    assert board.faults() == sorted(board.faults())
    with pytest.raises(FaultNameError, match=r"clamp\.jam"):
        board.fault("clamp.jams", True)


def test_closing_twice_is_harmless(board: Board) -> None:
    board.close()
    board.close()
