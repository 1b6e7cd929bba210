"""The Modbus driver on real bytes: what it reads and writes, and what happens when line or device go and come back."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from board.device_link import FAULTED, RUNNING
from tests.board.modbus_desk import POINTS, Desk, Slaves

QUICK: dict[str, Any] = {"answer_ms": 60, "stale_ms": 100, "bad_ms": 300}
"""For tests that wait until something is bad."""
Start = Callable[..., tuple[Desk, Slaves]]


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "line") if getattr(request, "param", "tcp") == "rtu" else "tcp"


both = pytest.mark.parametrize("address", ["tcp", "rtu"], indirect=True)


@pytest.fixture
def start(address: str) -> Iterator[Start]:
    """start(units=..., points=..., KEY=...): devices on a line and an armed board."""
    with ExitStack() as stack:

        def run(
            points: Any = POINTS, line: str = address, armed: bool = True, **more: Any
        ) -> tuple[Desk, Slaves]:
            slaves = Slaves(line, **more)
            stack.enter_context(slaves.line)
            desk = Desk(slaves.plans(points))
            stack.callback(desk.close)
            if armed:
                desk.arm()
            return desk, slaves

        yield run


@both
def test_inputs_are_read_and_outputs_written(start: Start) -> None:
    desk, slaves = start()
    (slave,) = slaves.slaves
    slave.put("di1", 1)
    slave.put("ai0", 12_345)
    desk.until("read", lambda: desk.value("io1:di1") == 1 and desk.value("io1:ai0") == 12_345)
    assert desk.value("io1:di0") == 0
    assert desk.good("io1:link")
    assert desk.value("io1:link") == 1
    desk.drive("io1:do1", 1)
    desk.drive("io1:ao0", 27_000)
    desk.until("written", lambda: slave.get("do1") == 1 and slave.get("ao0") == 27_000)
    assert slave.get("do0") == 0


def test_outputs_have_their_abort_values_until_the_cell_is_reset(start: Start) -> None:
    desk, slaves = start(armed=False)
    desk.drive("io1:do1", 1)
    desk.during(0.1, lambda: slaves.slaves[0].get("do1") == 0)
    desk.arm()
    desk.until("written", lambda: slaves.slaves[0].get("do1") == 1)


def test_what_a_killed_controller_left_is_brought_to_the_abort_values_first(address: str) -> None:
    slaves = Slaves(address)
    (slave,) = slaves.slaves
    with slaves.line:
        slave.put("do0", 1)
        slave.put("ao0", 500)
        desk = Desk(slaves.plans())
        try:
            desk.until("safe", lambda: not any(slave.outputs().values()))
        finally:
            desk.close()


def test_make_safe_returns_when_it_is_done(start: Start) -> None:
    desk, slaves = start()
    desk.drive("io1:do0", 1)
    desk.until("written", lambda: slaves.slaves[0].get("do0") == 1)
    desk.board.make_safe([0, 1, 0, 77])
    assert (slaves.slaves[0].get("do0"), slaves.slaves[0].get("do1"), slaves.slaves[0].get("ao0")) == (
        0,
        1,
        77,
    )


def test_a_turn_asks_as_few_questions_as_there_are_tables(start: Start) -> None:
    desk, slaves = start()
    before = dict(slaves.slaves[0].requests)
    desk.during(0.15, lambda: True)
    asked = {f: n - before.get(f, 0) for f, n in slaves.slaves[0].requests.items()}
    assert set(asked) >= {1, 2, 3, 4}
    assert max(asked[f] for f in (1, 2, 3, 4)) - min(asked[f] for f in (1, 2, 3, 4)) <= 1


@both
def test_the_line_gone_is_bad_at_once_and_comes_back_by_itself(start: Start) -> None:
    desk, slaves = start()
    slave = slaves.slaves[0]
    desk.drive("io1:do0", 1)
    desk.until("written", lambda: slave.get("do0") == 1)
    slaves.line.unplug()
    assert desk.until("bad", lambda: desk.bad("io1:di0") and desk.bad("io1:link")) < 0.5
    assert desk.status("io1").state == FAULTED
    slaves.line.plug()
    desk.until("good", lambda: desk.good("io1:di0"))
    desk.until("safe", lambda: slave.get("do0") == 0)
    assert desk.status("io1").waits_for_reset
    desk.during(0.1, lambda: slave.get("do0") == 0)
    desk.board.rearm()
    desk.until("driven again", lambda: slave.get("do0") == 1)


@both
def test_the_device_switched_off_and_on_keeps_its_outputs_safe_until_reset(start: Start) -> None:
    desk, slaves = start(answer_ms=60)
    slave = slaves.slaves[0]
    desk.drive("io1:do0", 1)
    desk.until("written", lambda: slave.get("do0") == 1)
    desk.during(0.1, lambda: True)  # so that it was read back
    slaves.line.power(False)
    if slaves.line.address.startswith("/"):
        desk.until("no answer", lambda: "no answer" in desk.status("io1").fault)
    slaves.line.power(True)
    desk.until("lost", lambda: desk.status("io1").losses == 1)
    desk.until("back", lambda: desk.good("io1:di0"))
    desk.during(0.1, lambda: slave.get("do0") == 0)
    assert slave.timeout_ms == 1000, "the comms time-out is set again"


@pytest.mark.parametrize(
    ("address", "trouble"),
    [
        *(("tcp", trouble) for trouble in ("late", "nonsense", "for_another", "flood")),
        ("rtu", "late"),
    ],
    indirect=["address"],
)
def test_wrong_answers_are_no_values(start: Start, trouble: str) -> None:
    desk, slaves = start(**QUICK)
    slave = slaves.slaves[0]
    getattr(slaves.line, trouble)(True)
    with slaves.line.lock:
        slave.put("di0", 1)
        slave.put("ai0", 9_999)
    desk.until("bad", lambda: desk.bad("io1:di0") and desk.bad("io1:ai0"))
    assert (desk.value("io1:di0"), desk.value("io1:ai0")) == (0, 0), "the last good value stays"
    getattr(slaves.line, trouble)(False)
    desk.until("good", lambda: desk.good("io1:ai0") and desk.value("io1:ai0") == 9_999)


def test_one_lost_answer_changes_nothing(start: Start) -> None:
    desk, slaves = start(answer_ms=60)
    slave = slaves.slaves[0]
    slave.dead = True
    desk.until("no answer", lambda: "no answer within" in desk.status("io1").fault)
    slave.dead = False
    desk.during(0.15, lambda: not desk.bad("io1:di0"))
    assert desk.status("io1").losses == 0
    assert desk.status("io1").state == RUNNING


def test_an_output_that_somebody_else_changes_is_a_loss(start: Start) -> None:
    desk, slaves = start()
    slave = slaves.slaves[0]
    desk.drive("io1:do0", 1)
    desk.until("written", lambda: slave.get("do0") == 1)
    desk.during(0.1, lambda: True)
    with slaves.line.lock:
        slave.put("do0", 0)
    desk.until("lost", lambda: desk.status("io1").losses == 1)
    assert "coil 0 reads 0 where 1 was written" in desk.status("io1").fault
    desk.during(0.1, lambda: slave.get("do0") == 0)


def test_an_output_that_does_not_become_what_was_written_is_written_again(start: Start) -> None:
    desk, slaves = start()
    slave = slaves.slaves[0]
    slave.stuck = {("coil", 2)}
    desk.drive("io1:do2", 1)
    desk.until("seen", lambda: "coil 2 reads 0 where 1 was written" in desk.status("io1").fault)
    before = slave.requests[5]
    desk.until("tried again", lambda: slave.requests[5] > before + 2)
    assert desk.status("io1").losses == 0
    slave.stuck = set()
    desk.until("written", lambda: slave.get("do2") == 1)


def test_the_comms_time_out_is_written_only_where_it_reads_differently(start: Start) -> None:
    desk, slaves = start(comms_timeout_ms=500)
    slave = slaves.slaves[0]
    assert slave.timeout_ms == 500
    assert slave.requests[6] <= 2, "ao0 and the time-out"
    desk.close()
    desk = Desk(slaves.plans())
    try:
        desk.arm()
        assert slave.writes[("holding", 100)] == 1
    finally:
        desk.close()


def test_a_controller_that_was_held_up_for_the_comms_time_out_does_not_jump_back(start: Start) -> None:
    """As on a machine that was suspended: the outputs fell back meanwhile, and stay safe until the cell is reset."""
    desk, slaves = start(comms_timeout_ms=240, answer_ms=60)
    slave = slaves.slaves[0]
    desk.drive("io1:do0", 1)
    desk.until("written", lambda: slave.get("do0") == 1)
    slave.dead = True
    desk.until("no answer", lambda: "no answer" in desk.status("io1").fault)
    desk.until("fallen back", lambda: slave.fallen_back)
    slave.dead = False
    desk.until("lost", lambda: desk.status("io1").losses == 1)
    desk.during(0.1, lambda: slave.get("do0") == 0)


def test_a_controller_that_hangs_lets_its_device_fall_back(start: Start) -> None:
    """Its process lives, and so does the thread of the line, but no scan comes."""
    desk, slaves = start(comms_timeout_ms=240, answer_ms=60)
    slave = slaves.slaves[0]
    desk.drive("io1:do0", 1)
    desk.until("written", lambda: slave.get("do0") == 1)
    stopped_at = time.monotonic()
    while not slave.fallen_back:
        assert time.monotonic() < stopped_at + 2 * 0.24
        time.sleep(0.005)
    desk.until("lost", lambda: desk.status("io1").losses == 1)
    desk.during(0.1, lambda: slave.get("do0") == 0)


def test_an_exception_is_told_in_words_and_spoils_only_what_was_asked(start: Start) -> None:
    desk, slaves = start(**QUICK)
    with slaves.line.lock:
        slaves.slaves[0].refused = {"input": 2}
    desk.until("bad", lambda: desk.bad("io1:ai0"))
    assert desk.good("io1:di0")
    assert desk.status("io1").fault == "io1: reading input 0: illegal data address (exception 2)"
    assert desk.status("io1").state == RUNNING
    with slaves.line.lock:
        slaves.slaves[0].refused = {}
    desk.until("good", lambda: desk.good("io1:ai0"))
