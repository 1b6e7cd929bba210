"""A Marlin session against a simulated printer in virtual time: order, disturbance, loss, stops."""

import random

import pytest

from board.gcode_job import CANCELLED, DONE, FAILED, HALTED, IDLE, INTERRUPTED, LOCKED, PAUSED, RUNNING
from board.marlin_session import MarlinSettings
from tests.board.marlin_world import World, job_of, moves_of


def started(world: World, moves: list[str]) -> World:
    world.known()
    world.session.start(job_of(moves), world.now)
    return world


def test_a_job_is_carried_out_and_proven() -> None:
    moves = moves_of(60)
    world = started(World(), moves)
    world.run("done", lambda: world.session.state == DONE)
    assert world.device.carried_out == moves
    assert world.session.done_key == job_of(moves).key
    assert (world.session.progress, world.session.unreset) == (1000, True)


def test_done_is_not_said_before_the_last_move_has_ended() -> None:
    world = started(World(), moves_of(10))
    while world.session.state != DONE:
        before = len(world.device.carried_out)
        world.step()
    assert before == 10


@pytest.mark.parametrize("advanced", [False, True])
@pytest.mark.parametrize("ok_after_resend", [False, True])
def test_disturbed_lines_are_sent_again_and_carried_out_once(advanced: bool, ok_after_resend: bool) -> None:
    world = World(
        MarlinSettings(ack_ms=800, window=4 if advanced else 1),
        advanced_ok=advanced,
        ok_after_resend=ok_after_resend,
    )
    moves = moves_of(120)
    started(world, moves)
    dice = random.Random(7)
    disturbed = 0

    def flip(data: bytes) -> bytes:
        nonlocal disturbed
        if len(data) < 12 or dice.random() > 0.1:
            return data
        disturbed += 1
        place = dice.randrange(8, len(data) - 1)
        return data[:place] + bytes([data[place] ^ 1 << dice.randrange(7)]) + data[place + 1 :]

    world.device.noise = flip
    world.run("done", lambda: world.session.state == DONE)
    assert disturbed > 5
    assert world.said.count(b"Resend:") >= 5
    assert world.device.carried_out == moves


@pytest.mark.parametrize("seed", range(8))
def test_answers_that_are_lost_cost_time_only(seed: int) -> None:
    moves = moves_of(20)
    world = started(World(), moves)
    dice = random.Random(seed)
    world.noise_out = lambda data: b"" if dice.random() < 0.1 else data
    world.run("done", lambda: world.session.state == DONE, 300_000)
    assert world.device.carried_out == moves


def test_more_lines_are_in_flight_where_each_ok_names_its_line() -> None:
    world = started(World(MarlinSettings(ack_ms=800, window=4), advanced_ok=True), moves_of(60))
    most = 0
    while world.session.state != DONE:
        world.step()
        most = max(most, len(world.session.flow.in_flight))
    assert most == 4


def test_plain_oks_keep_one_line_in_flight() -> None:
    world = started(World(MarlinSettings(ack_ms=800, window=4)), moves_of(60))
    while world.session.state != DONE:
        world.step()
        assert len(world.session.flow.in_flight) <= 1


def test_a_long_move_with_busy_is_not_sent_again() -> None:
    world = World(MarlinSettings(ack_ms=1500), speed=1.0)
    world.known()
    world.run("set up", lambda: not world.session.is_busy_telling)
    world.session.home()
    world.run("homed", lambda: world.session.homed, 10_000)
    assert b"busy" in world.said
    assert b"Resend" not in world.said[world.said.index(b"busy") :]


# --- the line is lost ---


@pytest.mark.parametrize("seed", range(40))
def test_random_cuts_never_lose_or_double_a_move(seed: int) -> None:
    run_with_cuts(seed)


@pytest.mark.soak
def test_very_many_random_cuts() -> None:
    for seed in range(1000, 3000):
        run_with_cuts(seed)


def run_with_cuts(seed: int) -> None:
    """Cut the line at random moments, sometimes with a reset in the gap, sometimes with noise; check every move."""
    dice = random.Random(seed)
    window = dice.choice([1, 4])
    world = World(
        MarlinSettings(ack_ms=400, window=window),
        advanced_ok=window > 1,
        ok_after_resend=dice.random() < 0.5,
        most_move_ms=dice.choice([50.0, 2000.0, 20_000.0]),
    )
    moves = moves_of(dice.randrange(1, 60), seed)
    job = job_of(moves)
    started(world, moves)
    if dice.random() < 0.4:
        rate = dice.choice([0.01, 0.1])
        world.device.noise = lambda data: mangled(data, dice, rate)
        world.noise_out = lambda data: mangled(data, dice, rate)
    was_reset = False
    resets = world.device.resets
    for _ in range(dice.randrange(1, 6)):
        for _ in range(dice.randrange(1, 1500)):
            world.step()
        if world.session.state in (DONE, FAILED):
            break
        world.unplug(dice)
        for _ in range(dice.randrange(1, 800)):
            world.step()
        if dice.random() < 0.2:
            world.reset()
            for _ in range(dice.randrange(1, 200)):
                world.step()
        world.plug()
        world.run("known", lambda: world.session.is_known, 120_000)
        was_reset = world.device.resets > resets
        if world.session.state == INTERRUPTED:
            world.session.start(job, world.now, go_on=True)
        assert not was_reset or world.session.state in (FAILED, DONE), f"seed {seed}: a reset was not seen"
    world.run(f"the end, seed {seed}", lambda: world.session.state in (DONE, FAILED), 400_000)
    if world.session.state == DONE:
        assert world.device.carried_out == moves, f"seed {seed}"
    else:
        assert was_reset or rate_is_noisy(world), (
            f"seed {seed}: failed without a reason: {world.session.troubles}"
        )
        assert len(set(world.device.carried_out)) <= len(moves)


def mangled(data: bytes, dice: random.Random, rate: float) -> bytes:
    """Bits flipped, bytes dropped, bytes doubled, in one of `1 / rate` pieces."""
    if not data or dice.random() > rate:
        return data
    place = dice.randrange(len(data))
    how = dice.randrange(3)
    if how == 0:
        return data[:place] + bytes([data[place] ^ 1 << dice.randrange(7)]) + data[place + 1 :]
    return data[:place] + (data[place : place + 1] * 2 if how == 1 else b"") + data[place + 1 :]


def rate_is_noisy(world: World) -> bool:
    return world.noise_out is not bytes


def test_a_reset_in_the_gap_fails_the_job_though_nobody_heard_the_banner() -> None:
    world = started(World(), moves_of(60))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.unplug(random.Random(1))
    world.reset()
    for _ in range(500):
        world.step()
    assert b"start" not in world.said[50:]
    world.plug()
    world.known()
    assert (world.session.state, world.session.unreset) == (FAILED, False)


def test_another_printer_with_as_many_lines_is_not_taken_for_this_one() -> None:
    world = started(World(), moves_of(60))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    sent = world.session.flow.last - 200_000
    world.unplug(random.Random(1))
    world.device.last_n = 500_000 + sent
    world.plug()
    world.known()
    assert (world.session.state, world.session.unreset) == (FAILED, False)


def test_a_lost_line_lets_the_job_wait_until_it_is_told_to_go_on() -> None:
    moves = moves_of(60)
    world = started(World(), moves)
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.unplug(random.Random(1))
    for _ in range(5000):
        world.step()
    world.plug()
    world.known()
    assert (world.session.state, world.session.unreset) == (INTERRUPTED, True)
    count = len(world.device.carried_out)
    for _ in range(3000):
        world.step()
    assert len(world.device.carried_out) == count < len(moves)
    world.session.start(job_of(moves), world.now, go_on=True)
    world.run("done", lambda: world.session.state == DONE)
    assert world.device.carried_out == moves


def test_going_on_heats_again_first() -> None:
    moves = ["M104 S200", "M109 S200", *moves_of(30)]
    world = started(World(), moves)
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.unplug(random.Random(1))
    world.plug()
    world.known()
    world.run("cold", lambda: world.device.nozzle.degc < 100, 100_000)
    assert world.device.nozzle.target == 0
    count = len(world.device.carried_out)
    world.session.start(job_of(moves), world.now, go_on=True)
    world.run("next move", lambda: len(world.device.carried_out) > count)
    assert world.device.nozzle.degc > 198


def test_a_job_that_was_not_interrupted_cannot_go_on() -> None:
    world = World()
    world.known()
    world.session.start(job_of(moves_of(3)), world.now, go_on=True)
    assert world.session.state == FAILED
    assert "cannot go on" in world.session.troubles[0]


# --- pause, cancel, stops ---


def test_pause_lets_it_stand_and_go_on() -> None:
    moves = moves_of(60)
    settings = MarlinSettings(ack_ms=800, pause_gcode=(b"M117 parked",), resume_gcode=(b"M117 on",))
    world = started(World(settings), moves)
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.session.pause(True)
    world.run("paused", lambda: world.session.state == PAUSED)
    assert not world.device.planner.blocks
    count = len(world.device.carried_out)
    for _ in range(2000):
        world.step()
    assert len(world.device.carried_out) == count < 60
    assert world.device.messages == ["parked"]
    world.session.pause(False)
    world.run("done", lambda: world.session.state == DONE)
    assert world.device.carried_out == moves
    assert world.device.messages == ["parked", "on"]


def test_cancel_ends_with_the_buffer_empty_and_the_heat_off() -> None:
    world = started(World(), ["M104 S200", *moves_of(60)])
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.send(world.session.cancel(world.now))
    world.run("cancelled", lambda: world.session.state == CANCELLED)
    assert not world.device.planner.blocks
    assert world.device.nozzle.target == 0
    assert world.session.done_key == 0


def test_cancel_breaks_off_a_wait_for_heat() -> None:
    world = started(World(speed=1.0), ["M109 S200", "G1 X1"])
    world.run("heating", lambda: world.device.nozzle.target == 200)
    world.run("set up", lambda: "EMERGENCY_PARSER" in world.session._capabilities)
    world.send(world.session.cancel(world.now))
    world.run("cancelled", lambda: world.session.state == CANCELLED, 5_000)
    assert world.device.carried_out == []


def test_emergency_stop_is_understood_while_everything_is_full() -> None:
    world = started(World(speed=1.0, most_move_ms=60_000), ["G1 X200 F100", *moves_of(40)])
    world.run("full", lambda: world.device.planner.is_full, 10_000)
    world.send(world.session.kill())
    for _ in range(5):
        world.step()
    assert world.device.killed
    assert world.session.state == HALTED


def test_runaway_fails_the_job_with_what_the_printer_says() -> None:
    world = started(World(), moves_of(60))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.device.runaway()
    world.run("halted", lambda: world.session.state == HALTED)
    assert world.session.outcome == FAILED
    assert "Thermal Runaway" in world.session.troubles[0]


def test_a_stopped_printer_works_again_after_m999_only() -> None:
    world = started(World(), moves_of(60))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.device.jam()
    world.run("stopped", lambda: world.session.state == HALTED)
    for _ in range(3000):
        world.step()
    assert world.session.state == HALTED
    world.session.run_again()
    world.run("again", lambda: not world.device.stopped)
    assert world.session.state == FAILED


def test_a_cold_extrusion_fails_the_job() -> None:
    world = started(World(), ["G1 X1 E1", *moves_of(5)])
    world.run("failed", lambda: world.session.state == FAILED)
    assert "extru" in world.session.troubles[0]


# --- without a job ---


def test_states_before_and_after_homing() -> None:
    world = World()
    world.known()
    assert (world.session.state, world.session.is_ready) == (LOCKED, False)
    world.session.home()
    world.run("ready", lambda: world.session.is_ready)
    assert world.session.state == IDLE
    world.session.start(job_of(moves_of(3)), world.now)
    assert (world.session.state, world.session.is_ready) == (RUNNING, False)


def test_a_heater_that_somebody_else_turned_on_is_turned_off_again() -> None:
    world = World()
    world.known()
    world.device.bed.target = 60
    world.run("off", lambda: world.device.bed.target == 0, 10_000)


def test_a_ramp_while_the_printer_is_busy_ends_at_its_last_value() -> None:
    world = started(World(speed=1.0), ["M109 S40", "G1 X1 F6000"])
    world.run("heating", lambda: world.device.nozzle.target == 40)
    for tenths in range(1, 500):
        world.session.heat("bed", tenths)
        world.step()
    world.run("done", lambda: world.session.state == DONE)
    world.run("set", lambda: world.device.bed.target == 49.9, 100)
    assert world.written.count(b"M140") < 10


def test_a_job_behind_a_failed_one_does_not_take_its_lines_for_its_own() -> None:
    world = started(World(MarlinSettings(ack_ms=3000), most_move_ms=20_000, speed=1.0), moves_of(40, 1))
    world.run("full", lambda: world.device.planner.is_full)
    world.session.fail("for a test")
    moves = moves_of(5, 2)
    world.session.start(job_of(moves), world.now)
    world.unplug(random.Random(1))
    world._down = []
    world.plug()
    world.device.speed = 50.0
    world.known()
    assert world.session.state == INTERRUPTED
    before = len(world.device.carried_out)
    world.session.start(job_of(moves), world.now, go_on=True)
    world.run("done", lambda: world.session.state == DONE, 200_000)
    assert world.device.carried_out[-5:] == moves
    assert world.device.carried_out[before:].count(moves[0]) == 1


def test_temperatures_and_position_are_reported() -> None:
    world = World()
    world.known()
    world.session.heat("nozzle", 2005)
    world.run("hot", lambda: world.session.temperatures.get("nozzle", (0, 0))[0] > 1995)
    assert world.device.nozzle.target == 200.5
    world.session.start(job_of(["G1 X12.34 Y-5 Z0.2 F6000"]), world.now)
    world.run("there", lambda: world.session.position == (1234, -500, 20))


def test_late_answers_make_values_old() -> None:
    world = World(MarlinSettings())
    world.known()
    world.run("asked", lambda: world.session.position is not None)
    assert world.now - world.session.measured["answer"] < 10
    world.delay_ms = 700
    for _ in range(4000):
        world.step()
    ages = set()
    for _ in range(4000):
        world.step()
        ages.add(world.now - world.session.measured["answer"])
    assert min(ages) >= 1400


# --- lines of the wiring file, once each ---

LIFT = MarlinSettings(
    ack_ms=800,
    pause_gcode=(b"G91", b"G1 Z5 F600", b"G90"),
    resume_gcode=(b"G91", b"G1 Z-5 F600", b"G90"),
    cancel_gcode=(b"M5", b"M104 S0"),
)


@pytest.mark.parametrize("cut_after_ms", [0, 3, 6, 9, 12, 15, 20, 30, 60, 400])
def test_a_head_that_was_lifted_in_a_pause_comes_down_once_after_a_lost_line(cut_after_ms: int) -> None:
    moves = moves_of(60)
    world = started(World(LIFT), moves)
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.session.pause(True)
    world.run("pausing", lambda: not world.session.flow.in_flight)
    for _ in range(cut_after_ms):
        world.step()
    world.unplug(random.Random(cut_after_ms))
    for _ in range(1000):
        world.step()
    world.plug()
    world.known()
    world.session.pause(False)
    world.session.start(job_of(moves), world.now, go_on=True)
    world.run("done", lambda: world.session.state == DONE)
    lifts = [line for line in world.device.carried_out if "Z" in line]
    assert lifts in ([], ["G1 Z5 F600", "G1 Z-5 F600"])
    assert [line for line in world.device.carried_out if "Z" not in line] == moves
    assert (world.device.planner.actual["Z"], world.device.planner.relative) == (0.0, False)


@pytest.mark.parametrize("cut_after_ms", [0, 3, 6, 9, 12, 20])
def test_a_head_on_its_way_down_goes_on_from_there_after_a_lost_line(cut_after_ms: int) -> None:
    moves = moves_of(60)
    world = started(World(LIFT), moves)
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.session.pause(True)
    world.run("paused", lambda: world.session.state == PAUSED)
    world.session.pause(False)
    for _ in range(cut_after_ms):
        world.step()
    world.unplug(random.Random(cut_after_ms))
    for _ in range(1000):
        world.step()
    world.plug()
    world.known()
    world.session.start(job_of(moves), world.now, go_on=True)
    world.run("done", lambda: world.session.state == DONE)
    assert [line for line in world.device.carried_out if "Z" in line] == ["G1 Z5 F600", "G1 Z-5 F600"]
    assert (world.device.planner.actual["Z"], world.device.planner.relative) == (0.0, False)


def test_a_job_that_fails_because_its_count_was_lost_is_ended_by_cancel_gcode() -> None:
    world = started(World(LIFT), moves_of(60))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    written = len(world.written)
    world.session.heard(b"Resend: 5\n", world.now)
    world.run("failed", lambda: world.session.state == FAILED)
    world.run("the end of it", lambda: not world.session._cancel_due, 5_000)
    assert world.written[written:].count(b" M5*") == 1


def test_what_ended_a_cancelled_job_is_not_said_again_when_the_line_comes_back() -> None:
    world = started(World(LIFT), moves_of(60))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.send(world.session.cancel(world.now))
    world.run("cancelled", lambda: world.session.state == CANCELLED)
    world.unplug(random.Random(1))
    world.step()
    written = len(world.written)
    world.plug()
    world.known()
    for _ in range(2000):
        world.step()
    assert b" M5*" not in world.written[written:]


def test_a_job_behind_one_that_was_cancelled_among_relative_moves_is_absolute() -> None:
    world = started(World(), ["G91", *moves_of(60)])
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.send(world.session.cancel(world.now))
    world.run("cancelled", lambda: world.session.state == CANCELLED)
    world.session.start(job_of(["G1 X10 Y20 F6000"]), world.now)
    world.run("done", lambda: world.session.state == DONE)
    assert (world.device.planner.actual["X"], world.device.planner.actual["Y"]) == (10, 20)


def test_a_cancel_in_the_last_moment_does_not_hit_the_next_job() -> None:
    world = started(World(), moves_of(3))
    world.run("the proof", lambda: any(sent.tag == "done" for sent in world.session.flow.in_flight))
    world.send(world.session.cancel(world.now))
    world.run("the end", lambda: not world.session.is_active)
    assert (world.session.state, world.session.done_key) == (CANCELLED, 0)
    world.session.start(job_of(moves_of(9)), world.now)
    world.run("done", lambda: world.session.state == DONE)
