"""The board in another process: what the outputs do when the controller dies, and what a lost link looks like."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from board import frames
from board.remote import Link, Observer, RemoteBoard
from cell_controller.core.signals import BAD, GOOD, STALE
from cell_controller.errors import BoardError, FaultNameError
from hil.board_server import BoardServer
from host_tools.cellfile import CompiledCell
from tests.board.images import EXAMPLE, Terminals

ROOT = EXAMPLE.parents[1]
WATCHDOG_MS = 200


@pytest.fixture
def connect(paint_cell: CompiledCell) -> Iterator[Callable[[str], Terminals]]:
    """Connects controllers: connect(server.address)."""
    boards: list[RemoteBoard] = []

    def start(address: str) -> Terminals:
        board = RemoteBoard(address)
        board.open(paint_cell.spec, paint_cell.wiring)
        boards.append(board)
        return Terminals(board, paint_cell.spec)

    yield start
    for board in boards:
        board.close()


@pytest.fixture
def controller() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts controllers in processes of their own: controller(address, "valve_green", ...); returns when it drives."""
    started: list[subprocess.Popen[str]] = []

    def start(address: str, *outputs: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.board.controller_process", address, str(EXAMPLE), *outputs]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "driving\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(5)
        if process.stdout is not None:
            process.stdout.close()


Serve = Callable[..., BoardServer]
Observe = Callable[[str], Observer]
Controller = Callable[..., "subprocess.Popen[str]"]
Connect = Callable[[str], Terminals]


def test_a_killed_controller_leaves_its_outputs_until_the_relay_drops(
    serve: Serve, observe: Observe, controller: Controller
) -> None:
    server = serve(on_death="hold_last", watchdog_ms=WATCHDOG_MS)
    eye = observe(server.address)
    process = controller(server.address, "valve_green", "light_green")
    seen = eye.wait_for(
        lambda o: o["outputs"]["valve_green"] == 1 and o["relay"] == "closed", "the valve opens"
    )
    os.kill(process.pid, signal.SIGKILL)
    gap = eye.wait_for(lambda o: not o["connected"], "the connection ends")
    assert gap["outputs"]["valve_green"] == 1 or gap["relay"] == "dropped", "hold_last keeps the pin driven"
    dropped = eye.wait_for(lambda o: o["relay"] == "dropped", "the relay drops", 2.0)
    assert dropped["outputs"]["valve_green"] == 0
    assert dropped["outputs"]["booth_fan"] == 1, "the fan is on a normally closed contact"
    assert dropped["outputs"]["light_green"] == 1, "a lamp that is not on the relay stays as the pin was left"
    changes = eye.timeline()
    relay = [change for change in changes if change["name"] == "relay"]
    valve = [change for change in changes if change["name"] == "valve_green"]
    assert [change["value"] for change in relay] == [1, 0]
    assert [change["value"] for change in valve] == [1, 0]
    assert valve[1]["ms"] - relay[1]["ms"] <= 5, "the valve falls with the relay"
    assert relay[1]["ms"] - seen["tick_ms"] <= WATCHDOG_MS + 500


def test_a_stopped_controller_is_caught_by_the_relay_too(
    serve: Serve, observe: Observe, controller: Controller
) -> None:
    server = serve(on_death="hold_last", watchdog_ms=WATCHDOG_MS)
    eye = observe(server.address)
    process = controller(server.address, "valve_green")
    os.kill(process.pid, signal.SIGSTOP)
    seen = eye.wait_for(lambda o: o["relay"] == "dropped", "the relay drops", 2.0)
    assert seen["connected"]
    assert seen["outputs"]["valve_green"] == 0
    os.kill(process.pid, signal.SIGCONT)
    eye.wait_for(lambda o: o["outputs"]["valve_green"] == 1, "the relay closes with the heartbeat", 2.0)


def test_release_drops_every_output_at_once(serve: Serve, observe: Observe, controller: Controller) -> None:
    server = serve(on_death="release", watchdog_ms=0)
    eye = observe(server.address)
    process = controller(server.address, "valve_green", "light_green", "booth_fan")
    os.kill(process.pid, signal.SIGKILL)
    seen = eye.wait_for(lambda o: not o["connected"], "the connection ends")
    assert not any(seen["outputs"].values())


def test_device_fallback_drives_its_own_safe_values_after_its_time_out(
    serve: Serve, observe: Observe, controller: Controller
) -> None:
    server = serve(on_death="device_fallback", watchdog_ms=0, comms_timeout_ms=300)
    eye = observe(server.address)
    process = controller(server.address, "valve_green", "light_green")
    os.kill(process.pid, signal.SIGKILL)
    gap = eye.wait_for(lambda o: not o["connected"], "the connection ends")
    assert gap["outputs"]["valve_green"] == 1
    seen = eye.wait_for(lambda o: o["outputs"]["valve_green"] == 0, "the device falls back", 2.0)
    assert seen["outputs"]["light_green"] == 0
    assert seen["outputs"]["booth_fan"] == 1


def test_nothing_on_the_relay_moves_before_the_first_heartbeat(
    serve: Serve, observe: Observe, connect: Connect
) -> None:
    server = serve(watchdog_ms=WATCHDOG_MS)
    eye = observe(server.address)
    terminals = connect(server.address)
    terminals.drive(valve_green=1, light_green=1)
    seen = eye.wait_for(lambda o: o["outputs"]["light_green"] == 1, "the lamp goes on")
    assert (seen["relay"], seen["outputs"]["valve_green"]) == ("dropped", 0)
    terminals.beat()
    eye.wait_for(lambda o: o["relay"] == "closed" and o["outputs"]["valve_green"] == 1, "the valve opens")


def test_the_next_controller_finds_the_hardware_as_it_was_left(
    serve: Serve, observe: Observe, connect: Connect, controller: Controller
) -> None:
    server = serve(watchdog_ms=WATCHDOG_MS)
    eye = observe(server.address)
    process = controller(server.address, "clamp")
    eye.wait_for(lambda o: o["inputs"]["clamp_closed"] == 1, "the clamp closes")
    os.kill(process.pid, signal.SIGKILL)
    eye.wait_for(lambda o: o["relay"] == "dropped", "the relay drops")
    terminals = connect(server.address)
    assert terminals.read("clamp_closed") == 1
    assert terminals.read("carrier") == 1001


def until(terminals: Terminals, there: Callable[[], bool], what: str, timeout_s: float = 3.0) -> None:
    """Scan until `there()`; says what was read last when it gives up."""
    deadline = time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < deadline, f"{what}; last quality {bytes(terminals.inputs.quality)!r}"
        terminals.pass_time(10)


@pytest.mark.parametrize("fault", ["link.cut", "link.silent"])
def test_a_lost_link_turns_inputs_stale_then_bad_and_comes_back(
    serve: Serve, observe: Observe, connect: Connect, fault: str
) -> None:
    server = serve(watchdog_ms=WATCHDOG_MS)
    eye = observe(server.address)
    terminals = connect(server.address)
    terminals.read("carrier")
    eye.fault(fault)
    seen: list[int] = []

    def is_bad() -> bool:
        seen.append(terminals.quality("airflow"))
        return seen[-1] == BAD

    until(terminals, is_bad, "the inputs go bad")
    assert seen == sorted(seen), "good, then stale, then bad"
    assert STALE in seen
    assert terminals.value("carrier") == 1001, "the last value stays"
    eye.fault(fault, False)
    until(terminals, lambda: terminals.quality("airflow") == GOOD, "the link is made again")


def test_a_scan_ends_in_time_while_the_link_is_lost(serve: Serve, observe: Observe, connect: Connect) -> None:
    server = serve(watchdog_ms=WATCHDOG_MS)
    eye = observe(server.address)
    terminals = connect(server.address)
    eye.fault("link.silent")
    longest = 0.0
    for _ in range(40):
        began = time.monotonic()
        terminals.board.read(terminals.inputs)
        terminals.board.write(terminals.outputs)
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.25


def test_make_safe_is_done_when_it_returns(serve: Serve, observe: Observe, connect: Connect) -> None:
    server = serve(watchdog_ms=0)
    eye = observe(server.address)
    terminals = connect(server.address)
    terminals.drive(valve_green=1)
    eye.wait_for(lambda o: o["outputs"]["valve_green"] == 1, "the valve opens")
    terminals.board.make_safe(terminals.safe_values())
    terminals.board.close()
    assert eye.observe()["outputs"]["valve_green"] == 0


def test_a_second_controller_is_refused(serve: Serve, connect: Connect) -> None:
    server = serve()
    connect(server.address)
    with pytest.raises(BoardError, match="another controller drives it already"):
        connect(server.address)


def test_a_controller_of_another_cell_is_refused(serve: Serve, paint_cell: CompiledCell) -> None:
    other = {**paint_cell.spec, "inputs": paint_cell.spec["inputs"][1:]}
    with pytest.raises(BoardError, match="started with another cell"):
        RemoteBoard(serve().address).open(other, {})


def test_nobody_there_is_an_error_with_the_command_to_type(paint_cell: CompiledCell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(BoardError, match=r"cannot be reached.*python -m hil\.board_server"):
        RemoteBoard(address).open(paint_cell.spec, {})


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:http", "127.0.0.1:99999", ""])
def test_an_address_that_is_none_is_refused(paint_cell: CompiledCell, address: str) -> None:
    with pytest.raises(BoardError, match="neither host:port nor unix:/path"):
        RemoteBoard(address).open(paint_cell.spec, {})


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\xb7\x01\xff\xff\xff\xff\0\0\0\0"]
)
def test_garbage_ends_its_own_connection_only(serve: Serve, connect: Connect, garbage: bytes) -> None:
    server = serve()
    terminals = connect(server.address)
    with frames.connect(server.address, 2.0) as stranger:
        stranger.sendall(garbage)
        assert stranger.recv(100) == b""
    assert terminals.read("carrier") == 1001


def test_frames_in_pieces_are_put_together() -> None:
    whole = frames.frame(frames.READ, 7) + frames.frame(frames.ASK, 8, b"{}")
    reader = frames.FrameReader()
    found = [entry for i in range(len(whole)) for entry in reader.feed(whole[i : i + 1])]
    assert found == [(frames.READ, 7, b""), (frames.ASK, 8, b"{}")]


def test_a_unix_socket_serves_as_well_and_is_removed(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "board"
    server = serve(listen=f"unix:{path}")
    assert connect(server.address).read("carrier") == 1001
    server.stop()
    deadline = time.monotonic() + 3
    while path.exists():
        assert time.monotonic() < deadline, "the socket is still there"


def test_an_observer_sets_faults_carriers_and_takes_parts(serve: Serve, observe: Observe) -> None:
    eye = observe(serve(speed=20.0).address)
    eye.fault("door.open")
    assert eye.observe()["inputs"]["door_closed"] == 0
    assert eye.observe()["faults"] == ["door.open"]
    with pytest.raises(FaultNameError, match=r"did you mean door\.open\?"):
        eye.fault("door.opn")
    eye.next_carriers([42])
    eye.remove_part()
    eye.wait_for(lambda o: o["inputs"]["carrier"] == 42, "the ordered carrier comes")


def test_a_controller_cannot_cut_its_own_cable(serve: Serve, connect: Connect) -> None:
    terminals = connect(serve().address)
    with pytest.raises(FaultNameError, match="from beside the controller"):
        terminals.board.fault("link.cut", True)
    assert "link.cut" not in terminals.board.faults()


def test_an_observer_cannot_drive(serve: Serve, observe: Observe, paint_cell: CompiledCell) -> None:
    server = serve()
    link = Link(server.address, frames.OBSERVER, bytes(32), 2.0)
    with pytest.raises(OSError, match="closed the connection"):
        link.request(frames.READ, frames.INPUTS, b"", 2.0)
    link.close()


def test_a_question_nobody_knows_is_answered_with_the_known_ones(serve: Serve) -> None:
    link = Link(serve().address, frames.OBSERVER, bytes(32), 2.0)
    with pytest.raises(BoardError, match="known: fault, next_carriers, observe"):
        link.ask({"what": "coffee"})
    link.close()


def test_the_command_line_prints_its_address_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "hil.board_server", str(EXAMPLE), "--port", "0", "--speed", "5"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            eye = Observer(address)
            assert json.dumps(eye.observe()["plant"])
            eye.close()
        finally:
            process.terminate()
        assert process.wait(5) == 0


def test_the_command_line_refuses_a_directory_without_a_cell(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hil.board_server", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "cell.toml" in done.stderr
