"""A board of a Linux machine: faults of its lines by name, and all its lines recorded into one folder."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from board.contract import Device, DevicePlan, Services
from board.linux_board import LinuxBoard
from board.wire_trace import LineTrace
from cell_controller.errors import BoardError, FaultNameError
from tests.board import desk_device
from tests.board.line_peer import Peer, join, read_all

DRIVERS = {"desk": "tests.board.test_line_recording"}


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """A driver that asks for a line for each device and leaves it to the test."""
    for plan in plans:
        board.line(plan.name, str(plan.settings["address"]))
    return desk_device.make(plans, board)


def board_at(peer: Peer, line_faults: bool = False) -> LinuxBoard:
    """A board with one device, `io1`, at the peer; not opened."""
    plan = DevicePlan("io1", "desk", {"address": peer.address}, ())
    return LinuxBoard("desk", [plan], Path(), line_faults=line_faults, drivers=DRIVERS)


def test_every_line_is_recorded_under_its_device(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "lines"
    with Peer("tcp", lambda data: b"!") as peer:
        board = board_at(peer, line_faults=True)
        board.record_to(folder)
        board.open({"inputs": [], "outputs": []}, {})
        seam = board.seams["io1"]
        join(peer, seam)
        seam.write(b"?")
        assert read_all(seam.read, 1) == b"!"
        board.fault("io1.drop", True)
        seam.close()
        board.close()
        board.close()
    found = LineTrace(folder / "io1.line")
    assert [entry.letter for entry in found] == ["H", "O", "W", "R", "F", "C", "E"]
    assert (found.about["device"], found.about["address"]) == ("io1", peer.address)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Peer("tcp") as peer, pytest.raises(BoardError) as caught:
        board_at(peer).record_to(tmp_path / "file" / "lines")
    assert str(caught.value) == (
        f"lines cannot be recorded to {tmp_path}/file/lines: Not a directory; give another --line-trace"
    )


def test_a_file_that_cannot_be_made_is_said_when_the_board_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    with Peer("tcp") as peer:
        board = board_at(peer)
        board.record_to(folder)
        folder.rmdir()
        with pytest.raises(
            BoardError, match=r"lines cannot be recorded to .*: No such file or directory; give"
        ):
            board.open({"inputs": [], "outputs": []}, {})


def test_faults_of_lines_are_there_only_where_they_were_allowed() -> None:
    with Peer("tcp") as peer:
        for allowed in (False, True):
            board = board_at(peer, line_faults=allowed)
            board.open({"inputs": [], "outputs": []}, {})
            assert ("io1.unplug" in board.faults()) is allowed
            if not allowed:
                with pytest.raises(FaultNameError):
                    board.fault("io1.unplug", True)
            board.close()
