"""A GRBL session against a simulated router in virtual time: order, loss, holds, alarms."""

import random
import time

import pytest

from board.gcode_job import CANCELLED, DONE, FAILED, HALTED, IDLE, INTERRUPTED, LOCKED, PAUSED, RUNNING
from board.grbl_lines import check, report
from tests.board.grbl_world import GrblWorld, job_of, moves_of


def started(world: GrblWorld, moves: list[str]) -> GrblWorld:
    world.homed()
    world.session.start(job_of(moves), world.now)
    return world


def test_a_job_is_carried_out_and_proven() -> None:
    moves = moves_of(80)
    world = started(GrblWorld(), moves)
    while world.session.state != DONE:
        before = len(world.device.carried_out)
        world.step()
    assert before == 80  # not said before the last move has ended
    assert world.device.carried_out == moves
    assert world.session.done_key == job_of(moves).key


def test_the_receive_buffer_is_used_and_never_overrun() -> None:
    world = started(GrblWorld(speed=1.0), moves_of(80))
    fullest = 0
    for _ in range(3000):
        world.step()
        fullest = max(fullest, len(world.device._rx))
    assert 90 < fullest <= 116
    assert world.device.dropped == 0


@pytest.mark.parametrize("seed", range(40))
def test_random_cuts_never_lose_or_double_a_move(seed: int) -> None:
    run_with_cuts(seed)


@pytest.mark.soak
def test_very_many_random_cuts() -> None:
    for seed in range(1000, 3000):
        run_with_cuts(seed)


def run_with_cuts(seed: int) -> None:
    dice = random.Random(seed)
    world = GrblWorld(most_move_ms=dice.choice([50.0, 2000.0, 20_000.0]))
    moves = moves_of(dice.randrange(1, 300))
    job = job_of(moves)
    started(world, moves)
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
        world.plug()
        world.known()
        if world.session.state == INTERRUPTED:
            world.session.start(job, world.now, go_on=True)
        assert world.device.resets == resets or world.session.state in (FAILED, DONE), f"seed {seed}"
    world.run(f"the end, seed {seed}", lambda: world.session.state in (DONE, FAILED), 400_000)
    if world.session.state == DONE:
        assert world.device.carried_out == moves, f"seed {seed}"
    else:
        early = any("cannot go on" in text for text in world.session.troubles) and world.session._carried < 0
        assert world.device.resets > resets or early, f"seed {seed}: {world.session.troubles}"


def test_a_lost_line_lets_the_job_wait_until_it_is_told_to_go_on() -> None:
    moves = moves_of(300)
    world = started(GrblWorld(), moves)
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.unplug(random.Random(1))
    for _ in range(5000):
        world.step()
    world.plug()
    world.known()
    assert (world.session.state, world.session.unreset) == (INTERRUPTED, True)
    count = len(world.device.carried_out)
    world.session.start(job_of(moves), world.now, go_on=True)
    world.run("done", lambda: world.session.state == DONE)
    assert count < len(moves)
    assert world.device.carried_out == moves


def test_a_piece_of_a_line_is_not_carried_out() -> None:
    world = started(GrblWorld(), moves_of(300))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.unplug(random.Random(1))
    world._down = [(world.now, b"G1X9")]  # the rest, 9.5Y1F600 T9, is lost
    for _ in range(4000):
        world.step()
    world.plug()
    world.known()
    assert "G1X9" not in world.device.carried_out
    assert 1 in world.device.errors


def test_a_reset_in_the_gap_fails_the_job_though_nobody_heard_the_banner() -> None:
    world = started(GrblWorld(), moves_of(300))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.unplug(random.Random(1))
    world.reset()
    for _ in range(50):
        world.step()
    world.plug()
    world.known()
    assert (world.session.state, world.session.unreset) == (FAILED, False)


def test_an_error_fails_the_job_with_its_line_and_stops_what_was_sent() -> None:
    moves = [*moves_of(20), "G99", *moves_of(200)]
    world = started(GrblWorld(speed=1.0), moves)
    world.run("failed", lambda: world.session.state == FAILED)
    assert "line 21: error:20 (the command is not supported)" in world.session.troubles[0]
    count = len(world.device.carried_out)
    for _ in range(3000):
        world.step()
    assert len(world.device.carried_out) == count


def test_pause_holds_at_once_and_goes_on() -> None:
    moves = moves_of(80)
    world = started(GrblWorld(), moves)
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.session.pause(True)
    world.run("paused", lambda: world.session.state == PAUSED, 500)
    count = len(world.device.carried_out)
    for _ in range(8000):
        world.step()
    assert len(world.device.carried_out) == count
    world.session.pause(False)
    world.run("done", lambda: world.session.state == DONE)
    assert world.device.carried_out == moves


def test_cancel_leaves_a_known_state_with_the_position_kept() -> None:
    world = started(GrblWorld(), moves_of(300))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.send(world.session.cancel(world.now))
    world.run("cancelled", lambda: world.session.state == CANCELLED, 2000)
    assert (world.device.state, world.device.tool) == ("Idle", 0)
    assert world.session.homed
    world.session.start(job_of(["G1X1F100"]), world.now)
    world.run("done", lambda: world.session.state == DONE)


def test_emergency_stop_locks_until_it_is_told() -> None:
    world = started(GrblWorld(), moves_of(300))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.send(world.session.kill())
    world.run("locked", lambda: world.device.state == "Alarm", 20)
    for _ in range(2000):
        world.step()
    assert (world.session.state, world.device.state, world.session.outcome) == (HALTED, "Alarm", FAILED)
    world.session.run_again()
    world.run("unlocked", lambda: world.device.state == "Idle", 1000)


def test_an_alarm_is_said_in_words_and_needs_a_person() -> None:
    world = started(GrblWorld(), moves_of(300))
    world.run("some moves", lambda: len(world.device.carried_out) > 5)
    world.device.limit()
    world.run("halted", lambda: world.session.state == HALTED)
    assert "a limit switch was hit" in world.session.troubles[0]
    assert not world.session.homed
    world.session.run_again()
    world.run("unlocked", lambda: world.device.state == "Idle", 5000)


def test_a_dwell_is_waited_for() -> None:
    world = started(GrblWorld(speed=1.0), ["M3S1000", "G4P8", "G1X1F6000"])
    world.run("done", lambda: world.session.state == DONE, 20_000)


def test_states_before_and_after_homing() -> None:
    world = GrblWorld().known()
    assert world.session.state == LOCKED
    world.homed()
    assert world.session.state == IDLE
    world.session.start(job_of(moves_of(3)), world.now)
    assert world.session.state == RUNNING


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"G1 X1.5 Y-2 F600", ""),
        (b"M30", ""),
        (b"$H", "command to the controller"),
        (b"G1 X1 !", "act at once"),
        (b"T1 M6", "T word"),
        (b"M0", "waits for a person"),
        (b"hello", "no G-code"),
        (b"G1 " + b"X1" * 40, "more than 74"),
    ],
)
def test_lines_of_a_job_are_checked(line: bytes, said: str) -> None:
    found = check(line)
    assert (said in found) if said else not found


def test_reports() -> None:
    found = report(b"<Hold:0|MPos:1.000,-2.500,0.300|Bf:15,128|FS:0,0>")
    assert (found.kind, found.state, found.number, found.position) == ("status", "Hold", 128, (100, -250, 30))
    assert report(b"<Hold:1|MPos:0.000,0.000,0.000|FS:0,0>").state == "Hold:1"
    assert report(b"[GC:G0 G54 G17 G21 G90 G94 M5 M9 T42 F0 S0]").number == 42
    assert report(b"error:9").text == "error:9 (locked: alarm or jog)"
    assert report(b"ALARM:9").text.startswith("ALARM:9 (homing did not find")
    assert report(b"\xff").kind == "noise"
    assert report(b" T:22.00 /0.00").kind == "text"


# --- what must not be believed ---


@pytest.mark.parametrize("killed", [False, True])
def test_a_router_that_was_switched_off_unheard_is_not_homed_any_more(killed: bool) -> None:
    world = GrblWorld().homed()
    if killed:
        world.send(world.session.kill())
    world.unplug(random.Random(1))
    for _ in range(3000):
        world.step()
    world.reset()
    world.device.state = "Idle"  # built without the lock at its start
    world.plug()
    world.run("known", lambda: world.session.is_known)
    world.session.run_again()
    for _ in range(1000):
        world.step()
    assert (world.session.state, world.session.readings()["ready"][0]) == (LOCKED, 0)


def test_the_banner_of_a_router_that_is_switched_on_is_not_that_of_a_reset_before_the_loss() -> None:
    world = GrblWorld().homed()
    world.send(world.session.kill())
    world.unplug(random.Random(1))
    world.step()
    world.plug()
    world.session.heard(world.device.power_on(), world.now)
    assert (world.session.homed, world.session.reset_seen) == (False, True)


@pytest.mark.parametrize("lost_s", [1, 3])
def test_a_router_that_was_not_switched_off_stays_homed_over_a_lost_line(lost_s: int) -> None:
    world = GrblWorld().homed()
    world.send(world.session.kill())
    world.run("its banner", lambda: not world.session._expects_banner)
    world.session.run_again()
    world.run("ready", lambda: world.session.readings()["ready"][0] == 1)
    world.unplug(random.Random(1))
    for _ in range(1000 * lost_s):
        world.step()
    world.plug()
    world.run("ready", lambda: world.session.readings()["ready"][0] == 1)


def test_a_cancel_soon_after_the_start_waits_until_it_says_that_it_stands() -> None:
    world = started(GrblWorld(speed=1.0), moves_of(30))
    world.run("moving, and nobody knows", lambda: world.device.state == "Run")
    assert world.session._machine == "Idle"
    world.send(world.session.cancel(world.now))
    count = world.said.count(b"<")
    written = len(world.written)
    world.run("reset", lambda: b"\x18" in world.written[written:])
    assert world.said.count(b"<Hold:0") >= 1
    assert world.said.count(b"<") > count


def test_it_is_not_called_paused_before_it_says_that_it_stands() -> None:
    world = started(GrblWorld(speed=1.0), moves_of(30))
    world.run("moving, and nobody knows", lambda: world.device.state == "Run")
    world.session.pause(True)
    assert world.session.state == RUNNING
    world.run("paused", lambda: world.session.state == PAUSED)


@pytest.mark.parametrize("door", [0, 1])
def test_an_open_door_lets_the_job_stand_and_it_can_be_cancelled(door: int) -> None:
    world = started(GrblWorld(speed=1.0), moves_of(30))
    world.run("some moves", lambda: len(world.device.carried_out) > 2)
    status, world.device.state = (
        world.device._status,
        "Hold",
    )  # behind the door, as in a hold, nothing is read

    def with_door() -> str:
        return str(status()).replace("Hold:0", f"Door:{door}")

    world.device._status = with_door
    for _ in range(5000):  # longer than ack_ms
        world.step()
    assert (world.session.state, world.session.troubles) == (PAUSED, [])
    world.send(world.session.cancel(world.now))
    world.run("cancelled", lambda: world.session.state == CANCELLED, 2000)


@pytest.mark.parametrize(("word", "state"), [("Hold:0", "Hold"), ("Hold:1", "Hold:1"), ("Door:3", "Door:3")])
def test_what_slows_down_does_not_stand(word: str, state: str) -> None:
    assert report(f"<{word}|MPos:1.0,2.0,3.0|Bf:15,128>".encode()).state == state


def test_a_line_of_megabytes_is_refused_by_its_length_at_once() -> None:
    began = time.process_time()
    assert "shorten it" in check(b"G1X1 " * (1 << 20))
    assert time.process_time() - began < 0.2


def test_a_router_that_homes_says_nothing_and_is_there_all_the_same() -> None:
    world = GrblWorld(speed=0.1).known()  # 30 s
    world.session.home()
    world.run("homing", lambda: world.device.state == "Home")
    oldest = 0
    while world.device.state == "Home":
        world.step()
        oldest = max(oldest, world.now - world.session.readings()["link"][1])
    assert oldest < 600
    world.run("homed", lambda: world.session.homed, 1000)


def test_a_router_that_dies_while_it_homes_is_missed_after_a_minute() -> None:
    world = GrblWorld(speed=0.1).known()
    world.session.home()
    world.run("homing", lambda: world.device.state == "Home")
    world.device._wait(10**9, lambda: None)
    for _ in range(65_000):
        world.step()
    assert world.now - world.session.readings()["link"][1] > 2000
