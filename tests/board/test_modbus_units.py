"""Several devices on one line, of which one is dead: the others go on, and it comes back by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from board.device_link import FAULTED
from board.linux_board import LinuxBoard
from board.modbus_line import MOST_PAUSE_MS, REOPEN_MS
from cell_controller.errors import BoardError
from tests.board.modbus_desk import Desk, Slaves
from tests.board.modbus_plans import numbered, plan_of, spec_of

UNITS = (1, 2, 3)
POINTS = ("link", "di0", "do0")


@pytest.fixture(params=["tcp", pytest.param("rtu", marks=pytest.mark.soak)])
def slaves(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Slaves]:
    address = "tcp" if request.param == "tcp" else str(tmp_path / "line")
    made = Slaves(address, UNITS, answer_ms=60, stale_ms=250, bad_ms=600)
    with made.line:
        yield made


def test_a_dead_device_takes_nothing_from_the_others_and_comes_back_by_itself(slaves: Slaves) -> None:
    desk = Desk(slaves.plans(POINTS))
    try:
        desk.arm()
        dead = slaves.slaves[1]
        dead.dead = True
        desk.until("bad", lambda: desk.bad("io2:di0"))
        desk.during(0.3, lambda: desk.good("io1:di0") and desk.good("io3:di0"))
        for slave in (slaves.slaves[0], slaves.slaves[2]):
            slave.put("di0", 1)
        took = desk.until("read", lambda: desk.value("io1:di0") == desk.value("io3:di0") == 1)
        assert took < 0.3
        assert desk.status("io2").state == FAULTED
        dead.dead = False
        took = desk.until("good", lambda: desk.good("io2:di0"), MOST_PAUSE_MS / 1000 + 2)
        assert [desk.status(f"io{unit}").losses for unit in UNITS] == [0, 1, 0], desk.board.devices()
    finally:
        desk.close()


def test_each_device_has_outputs_of_its_own(slaves: Slaves) -> None:
    desk = Desk(slaves.plans(POINTS))
    try:
        desk.arm()
        desk.drive("io2:do0", 1)
        desk.until("written", lambda: slaves.slaves[1].get("do0") == 1)
        assert [slave.get("do0") for slave in slaves.slaves] == [0, 1, 0]
    finally:
        desk.close()


@pytest.mark.soak
def test_a_connection_that_leads_nowhere_any_more_is_given_up() -> None:
    """A pulled network cable says nothing, and a device that was switched off has forgotten the connection."""
    slaves = Slaves("tcp", answer_ms=60, stale_ms=100, bad_ms=300)
    with slaves.line:
        desk = Desk(slaves.plans(POINTS))
        try:
            desk.arm()
            connections = slaves.line.connections
            slaves.slaves[0].dead = True
            desk.until("connected anew", lambda: slaves.line.connections > connections, REOPEN_MS / 1000 + 2)
            slaves.slaves[0].dead = False
            desk.until("good", lambda: desk.good("io1:di0"))
        finally:
            desk.close()


def test_devices_that_set_one_line_differently_are_refused(tmp_path: Path) -> None:
    line = str(tmp_path / "line")
    plans = [
        plan_of("io1", POINTS, model="demo_io", address=line, unit=1, baud=9600),
        plan_of("io2", POINTS, model="demo_io", address=line, unit=2, baud=19200),
    ]
    board = LinuxBoard("desk", numbered(plans), Path())
    with pytest.raises(BoardError, match=r"io2 and io1 are on the line .* with different baud"):
        board.open(spec_of(numbered(plans)), {})


def test_two_devices_with_one_address_are_refused() -> None:
    plans = [plan_of(name, POINTS, model="demo_io", address="tcp://127.0.0.1:502") for name in ("io1", "io2")]
    board = LinuxBoard("desk", numbered(plans), Path())
    with pytest.raises(BoardError, match=r"io2 and io1 are both unit 1 on tcp://127.0.0.1:502"):
        board.open(spec_of(numbered(plans)), {})
