"""The simulated Modbus devices do what they claim, also for mbpoll, whose code is neither ours nor pymodbus's."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from tests.board.modbus_plans import shape_of

MBPOLL = shutil.which("mbpoll") or ""
TIMEOUT_S = 0.15


def slave_of(
    unit: int = 1, clock: list[int] | None = None, comms_timeout_ms: int | None = None
) -> ModbusSlave:
    found = shape_of(
        "io", model="demo_io", address="tcp://127.0.0.1:1", unit=unit, comms_timeout_ms=comms_timeout_ms
    )
    return ModbusSlave(found.settings, *([lambda: clock[0]] if clock else []))


@pytest.fixture
def line() -> Iterator[ModbusDevice]:
    with ModbusDevice([slave_of(1), slave_of(2)], late_ms=250) as made:
        yield made


@pytest.fixture
def client(line: ModbusDevice) -> Iterator[Any]:
    """pymodbus's own; its connect and close are not typed."""
    port = int(line.address.rpartition(":")[2])
    with ModbusTcpClient("127.0.0.1", port=port, timeout=TIMEOUT_S, retries=0) as made:
        yield made


# --- by mbpoll ---


@pytest.fixture(params=["tcp", "rtu"])
def polled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModbusDevice]:
    if not MBPOLL:
        pytest.skip("needs mbpoll: apt-get install mbpoll")
    address = "tcp" if request.param == "tcp" else str(tmp_path / "line")
    with ModbusDevice([slave_of(1), slave_of(2)], address) as made:
        yield made


def mbpoll(line: ModbusDevice, options: str, written: Sequence[int] = ()) -> str:
    """What it prints when it reads, or writes `written`; on a pty with even parity, each time anew."""
    port = line.address.rpartition(":")[2]
    tcp = line.address.startswith("tcp")
    place = ["-m", "tcp", "-p", port, "127.0.0.1"] if tcp else ["-m", "rtu", "-b", "19200", line.address]
    command = [MBPOLL, "-0", "-1", *options.split(), *place, *map(str, written)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout + done.stderr


def values_of(printed: str) -> dict[int, int]:
    return {int(at): int(value) for at, value in re.findall(r"^\[(\d+)\]:\s+(\d+)", printed, re.MULTILINE)}


def test_mbpoll_reads_every_table(polled: ModbusDevice) -> None:
    slave = polled.slaves[1]
    for name, count in (("di2", 1), ("do3", 1), ("ai1", 777), ("ao1", 888)):
        slave.put(name, count)
    assert values_of(mbpoll(polled, "-t 1 -r 0 -c 4")) == {0: 0, 1: 0, 2: 1, 3: 0}
    assert values_of(mbpoll(polled, "-t 0 -r 2 -c 2")) == {2: 0, 3: 1}
    assert values_of(mbpoll(polled, "-t 3 -r 0 -c 2")) == {0: 0, 1: 777}
    assert values_of(mbpoll(polled, "-t 4 -r 1 -c 1")) == {1: 888}


def test_mbpoll_writes_one_and_many(polled: ModbusDevice) -> None:
    slave = polled.slaves[2]
    assert "Written 1 references" in mbpoll(polled, "-a 2 -t 4 -r 0", [1234])
    assert "Written 2 references" in mbpoll(polled, "-a 2 -t 4 -r 0", [1235, 99])
    assert "Written 1 references" in mbpoll(polled, "-a 2 -t 0 -r 7", [1])
    assert "Written 3 references" in mbpoll(polled, "-a 2 -t 0 -r 1", [1, 0, 1])
    assert [slave.get(name) for name in ("ao0", "ao1", "do7", "do1", "do2", "do3")] == [1235, 99, 1, 1, 0, 1]
    assert sum(polled.slaves[1].requests.values()) == 0
    assert {function: slave.requests[function] for function in (5, 6, 15, 16)} == {5: 1, 6: 1, 15: 1, 16: 1}


def test_mbpoll_is_told_what_is_not_there(polled: ModbusDevice) -> None:
    assert "Illegal data address" in mbpoll(polled, "-t 3 -r 4 -c 1")
    assert "Illegal data address" in mbpoll(polled, "-t 4 -r 5", [1])
    assert "Connection timed out" in mbpoll(polled, "-a 7 -t 3 -r 0 -o 0.1")


# --- the comms time-out ---


def test_outputs_fall_back_after_the_comms_time_out_and_only_writing_outputs_feeds_it() -> None:
    clock = [5000]
    slave = slave_of(clock=clock, comms_timeout_ms=300)
    line = ModbusDevice([slave])
    send(line, write_register(100, 30))
    send(line, write_register(0, 700))
    assert slave.timeout_ms == 300
    for _ in range(3):
        clock[0] += 99
        send(line, read_register(0))
        send(line, write_register(100, 30))
        slave.tick()
    assert slave.get("ao0") == 700
    clock[0] += 3
    slave.tick()
    assert slave.get("ao0") == 0
    assert slave.fallen_back
    send(line, write_register(0, 800))
    assert slave.get("ao0") == 800
    line.stop()


def test_a_device_that_is_switched_off_forgets_its_comms_time_out_and_its_outputs() -> None:
    slave = slave_of()
    line = ModbusDevice([slave])
    send(line, write_register(100, 30))
    send(line, write_register(0, 700))
    line.power_on()
    assert (slave.timeout_ms, slave.get("ao0")) == (0, 0)
    line.stop()


def read_register(address: int) -> bytes:
    return bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, address, 0, 1])


def write_register(address: int, value: int) -> bytes:
    return bytes([0, 1, 0, 0, 0, 6, 1, 6, 0, address]) + value.to_bytes(2, "big")


def send(line: ModbusDevice, request: bytes) -> bytes:
    return line.handle(request)


# --- what is wrong with what it is sent ---


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        (b"\x2b\x0e\x01\x00", b"\xab\x01"),  # a function that it does not have
        (b"\x63\x00\x00\x00", b"\xe3\x01"),  # a function that nobody has
        (b"\x03\x00\x00\x00\x00", b"\x83\x03"),  # no register at all
        (b"\x03\x00\x00\x00\x7e", b"\x83\x03"),  # more than a request can have
        (b"\x04\x00\x03\x00\x02", b"\x84\x02"),  # beyond the last
        (b"\x05\x00\x08\xff\x00", b"\x85\x02"),
    ],
)
def test_a_request_that_cannot_be_done_is_refused(pdu: bytes, answer: bytes) -> None:
    line = ModbusDevice([slave_of()])
    request = bytes([0x12, 0x34, 0, 0, 0, len(pdu) + 1, 1]) + pdu
    assert send(line, request) == bytes([0x12, 0x34, 0, 0, 0, 3, 1]) + answer
    line.stop()


def test_requests_that_come_in_pieces_or_together_are_all_answered() -> None:
    line = ModbusDevice([slave_of()])
    one = read_register(0)
    answers = b"".join(send(line, bytes([byte])) for byte in one + one)
    assert answers == send(line, one + one)
    assert len(answers) == 2 * 11
    line.stop()


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_do_harm(data: bytes, rtu: bool) -> None:
    line = ModbusDevice([slave_of()], "/nowhere/line" if rtu else "tcp")
    try:
        send(line, data)
    finally:
        line.stop()


# --- misbehaviours ---


def ask(client: Any, unit: int = 1) -> int | None:
    """What a register reads; None for no answer to this question."""
    try:
        return int(client.read_input_registers(0, count=1, device_id=unit).registers[0])
    except ModbusException:
        return None


def test_a_dead_device_is_silent_and_the_others_are_not(line: ModbusDevice, client: Any) -> None:
    line.slaves[2].dead = True
    line.slaves[1].put("ai0", 5)
    assert ask(client, 2) is None
    assert ask(client, 1) == 5
    line.slaves[2].dead = False
    assert ask(client, 2) == 0


def raw(line: ModbusDevice, wait_s: float) -> tuple[bytes, float]:
    """What comes back for a question within `wait_s`, and after how long."""
    host, _, port = line.address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as stream:
        began = time.monotonic()
        stream.sendall(read_register(0))
        try:
            return stream.recv(1 << 16), time.monotonic() - began
        except TimeoutError:
            return b"", time.monotonic() - began


RIGHT = bytes([0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 0])


def test_late(line: ModbusDevice) -> None:
    assert raw(line, 1.0)[0] == RIGHT
    line.late(True)
    data, took = raw(line, 1.0)
    assert data == RIGHT
    assert took >= 0.24


def test_nonsense(line: ModbusDevice) -> None:
    line.nonsense(True)
    data, _ = raw(line, 1.0)
    assert len(data) == len(RIGHT)
    assert data != RIGHT


def test_for_another(line: ModbusDevice) -> None:
    line.for_another(True)
    data, _ = raw(line, 1.0)
    assert data[2:] == RIGHT[2:]
    assert data[:2] != RIGHT[:2], "well-formed, but not the answer to this question"


def test_for_another_on_a_serial_line_is_another_units_answer() -> None:
    line = ModbusDevice([slave_of()], "/nowhere/line")
    request = b"\x01\x04\x00\x00\x00\x01\x31\xca"
    right = send(line, request)
    wrong = line.foreign(right)
    assert right[:5] == b"\x01\x04\x02\x00\x00"
    assert wrong[:5] == b"\x02\x04\x02\x00\x00"
    assert wrong[-2:] != right[-2:]
    line.stop()


def test_flood(line: ModbusDevice) -> None:
    line.flood(True)
    data, _ = raw(line, 1.0)
    assert len(data) > 1000


def test_stuck_and_refused(line: ModbusDevice, client: Any) -> None:
    line.slaves[1].stuck = {("holding", 0)}
    line.slaves[1].refused = {"input": 6}
    assert not client.write_register(0, 7, device_id=1).isError()
    assert line.slaves[1].get("ao0") == 0
    assert client.read_input_registers(0, count=1, device_id=1).exception_code == 6
