"""The serial line: what cannot be opened is said with its remedy, and no wait is without an end."""

import errno
import os
import pty
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from host_tools import serial_port
from host_tools.serial_port import (
    CancelledError,
    LineLostError,
    LineTimeoutError,
    PortError,
    PortInfo,
    SerialPort,
    kind_of,
    window_of,
)


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """A pseudo terminal: (the board's side, the name of the tool's side)."""
    board, tool = pty.openpty()
    tty.setraw(tool)
    yield board, os.ttyname(tool)
    for descriptor in (board, tool):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(PortError, match="/dev/ttyNOWHERE: there is no such port; plug the board in"):
        SerialPort("/dev/ttyNOWHERE")


def test_a_file_is_no_port(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("")
    with pytest.raises(PortError, match="is no serial port; `cellctl boards` lists"):
        SerialPort(str(file))


def test_a_port_that_another_program_has_open_is_said_to_be_busy(line: tuple[int, str]) -> None:
    with SerialPort(line[1]), pytest.raises(PortError, match="another program has it open"):
        SerialPort(line[1])


def test_a_port_one_may_not_open_names_the_group(
    line: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(PortError, match="usermod -aG dialout"):
        SerialPort(line[1])


def test_what_comes_behind_the_expected_is_kept(line: tuple[int, str]) -> None:
    with SerialPort(line[1]) as port:
        os.write(line[0], b"hello>rest")
        assert port.read_until(b">") == b"hello>"
        assert port.read() == b"rest"
        assert port.received == 10


def test_a_board_that_says_nothing_ends_in_a_time_out_that_tells_what_was_heard(
    line: tuple[int, str],
) -> None:
    with SerialPort(line[1]) as port:
        os.write(line[0], b"noise")
        with pytest.raises(LineTimeoutError, match=r"no b'OK' within 0.1 s; it said b'noise'"):
            port.read_until(b"OK", 0.1)


def test_a_pulled_cable_ends_a_read(line: tuple[int, str]) -> None:
    with SerialPort(line[1]) as port:
        threading.Timer(0.05, os.close, (line[0],)).start()
        with pytest.raises(LineLostError, match="the line is gone"):
            port.read(5)


def test_a_board_that_takes_nothing_ends_a_write(
    line: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_port, "WRITE_S", 0.1)
    with SerialPort(line[1]) as port, pytest.raises(LineTimeoutError, match="nothing was taken"):
        port.write(bytes(1 << 20))


def test_giving_up_ends_a_wait(line: tuple[int, str]) -> None:
    cancel = threading.Event()
    with SerialPort(line[1], cancel=cancel) as port:
        cancel.set()
        with pytest.raises(CancelledError):
            port.read(60)


def test_a_port_that_comes_back_is_opened_again(line: tuple[int, str], tmp_path: Path) -> None:
    link = tmp_path / "port"
    link.symlink_to(line[1])
    with SerialPort(str(link)) as port:
        link.unlink()
        threading.Timer(0.1, link.symlink_to, (line[1],)).start()
        port.reopen(5)
        os.write(line[0], b"back")
        assert port.read() == b"back"


def test_a_port_that_does_not_come_back_is_given_up(line: tuple[int, str], tmp_path: Path) -> None:
    link = tmp_path / "port"
    link.symlink_to(line[1])
    with SerialPort(str(link)) as port:
        link.unlink()
        begun = time.monotonic()
        with pytest.raises(PortError, match="no such port"):
            port.reopen(0.1)
        assert time.monotonic() - begun < 2


def test_a_usb_board_is_found_again_by_its_serial_number(
    line: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reset it may have another name."""
    before = PortInfo("/dev/ttyACM0", 0x2E8A, 5, "E66164")
    monkeypatch.setattr(serial_port, "info", lambda name: before)
    port = SerialPort(line[1])
    monkeypatch.setattr(serial_port, "ports", lambda: [PortInfo(line[1], 0x2E8A, 5, "E66164")])
    port.reopen(1)
    os.write(line[0], b"it is me")
    assert port.read() == b"it is me"
    port.close()


@pytest.mark.parametrize(
    ("vid", "pid", "what", "window"),
    [
        (0x2E8A, 0x0005, "Pico, MicroPython", 1024),
        (0x303A, 0x4001, "ESP32, MicroPython", 1024),
        (0x303A, 0x9999, "ESP32", 1024),
        (0x10C4, 0xEA60, "CP210x bridge", 240),
        (0x1A86, 0x7523, "CH340 bridge", 240),
        (0x1234, 0x5678, "USB 1234:5678", 240),
    ],
)
def test_a_usb_id_says_what_it_is_and_how_much_may_be_on_the_way(
    vid: int, pid: int, what: str, window: int
) -> None:
    port = PortInfo("/dev/ttyX", vid, pid)
    assert (kind_of(port).what, window_of(port)) == (what, window)


def test_a_plain_serial_port_has_no_flow_control() -> None:
    assert window_of(PortInfo("/dev/ttyS0")) == 240
