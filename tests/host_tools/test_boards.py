"""`cellctl boards`: who hangs on which port, without disturbing anybody."""

import json
import os
import pty
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from serial.tools import list_ports

from hil.standin.board import StandIn
from host_tools import boards
from host_tools.boards import HEAD, NOT_ASKED, Found, find
from host_tools.output import DONE
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import PortInfo, SerialPort
from tests.host_tools.flash_bench import application, board_with, to_prompt, typed


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with board_with(tmp_path_factory.mktemp("board"), application("1.0", state="Execute")) as board:
        yield board


@pytest.fixture
def silent() -> Iterator[str]:
    near, far = pty.openpty()
    tty.setraw(far)
    yield os.ttyname(far)
    os.close(near)
    os.close(far)


def test_an_application_says_who_it_is_and_is_not_disturbed(board: StandIn) -> None:
    boots = board.boots
    [found] = find([board.port])
    assert found.row() == [board.port, "terminal", "paint-1", "1.0", "Execute", "sn-7"]
    [again] = find([board.port])
    assert again.about == found.about
    assert board.boots == boots


def test_a_prompt_and_silence_are_told_apart(tmp_path: Path, silent: str) -> None:
    with StandIn(tmp_path / "flash") as board:
        found = find([board.port, silent, "/dev/ttyNOWHERE"])
    assert [entry.state for entry in found[:2]] == ["at the MicroPython prompt", "no answer"]
    assert found[2].state.startswith("there is no such port")
    assert all(not entry.about for entry in found)


def test_a_program_that_talks_is_no_cell_controller(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board:
        with SerialPort(board.port) as port:
            repl = RawRepl(port)
            repl.enter()
            repl.start("import time\nwhile True:\n print('t=21.5')\n time.sleep_ms(20)\n")
            found = Found(port.info, "terminal")
        begun = time.monotonic()
        boards._ask(found)
        assert time.monotonic() - begun < 10, "who talks without end was listened to without end"
        assert found.note == "answers, but is no cell controller"


def test_the_application_answers_again_after_it_was_stopped_and_started(tmp_path: Path) -> None:
    with board_with(tmp_path, application()) as board:
        to_prompt(board)
        assert find([board.port])[0].note == "at the MicroPython prompt"


def listed(name: str, vid: int, pid: int) -> SimpleNamespace:
    return SimpleNamespace(device=name, vid=vid, pid=pid, serial_number="E66164", product="Thing")


USB = [
    listed("/dev/ttyUSB0", 0x10C4, 0xEA60),
    listed("/dev/ttyACM0", 0x2E8A, 0x0005),
    listed("/dev/ttyACM1", 0x303A, 0x4001),
    listed("/dev/ttyACM2", 0x2341, 0x0043),
    listed("/dev/ttyACM3", 0x2E8A, 0x0003),
    SimpleNamespace(device="/dev/ttyS0", vid=None, pid=None, serial_number=None, product=None),
]


@pytest.mark.parametrize(
    ("ask_all", "asked"),
    [
        (False, ["/dev/ttyACM0", "/dev/ttyACM1"]),
        (True, ["/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyACM2", "/dev/ttyACM3", "/dev/ttyUSB0"]),
    ],
)
def test_only_what_is_known_to_run_micropython_is_opened(
    monkeypatch: pytest.MonkeyPatch, ask_all: bool, asked: list[str]
) -> None:
    """Opening the port of something else could reset it."""
    opened: list[str] = []
    monkeypatch.setattr(list_ports, "comports", lambda: USB)
    monkeypatch.setattr(boards, "_ask", lambda entry: opened.append(entry.port.name))
    found = find(ask_all=ask_all)
    assert sorted(opened) == asked
    assert [(entry.port.name, entry.what) for entry in found] == [
        ("/dev/ttyACM0", "Pico, MicroPython"),
        ("/dev/ttyACM1", "ESP32, MicroPython"),
        ("/dev/ttyACM2", "Thing"),
        ("/dev/ttyACM3", "Pico in its boot loader: no MicroPython runs"),
        ("/dev/ttyUSB0", "CP210x bridge"),
    ]
    assert all((entry.note == NOT_ASKED) == (entry.port.name not in asked) for entry in found)


def test_the_list_as_it_is_typed(board: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("boards", "--port", board.port) == DONE
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == list(HEAD)
    assert line.split() == [board.port, "terminal", "paint-1", "1.0", "Execute", "sn-7"]
    assert typed("boards", "--port", board.port, "--json") == DONE
    [entry] = json.loads(capsys.readouterr().out)["boards"]
    assert (entry["port"], entry["about"]["cell"], entry["usb"]) == (board.port, "paint-1", "")


def test_no_board_at_all_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    assert typed("boards") == DONE
    assert capsys.readouterr().out == "no board: no USB serial port is there\n"


def test_a_port_without_an_application_shows_the_serial_number_of_its_usb_device() -> None:
    entry = Found(PortInfo("/dev/ttyACM0", 0x2E8A, 5, "E66164"), "Pico, MicroPython", note="no answer")
    assert entry.row()[-1] == "E66164"
    assert entry.as_dict()["usb"] == "2e8a:0005"
