"""A cut anywhere: the cable after any byte, the power in any write. What runs afterwards is whole, the old or the new.

The default run takes some places, `make soak` many.
"""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hil.standin.board import StandIn
from host_tools import flash as flash_module
from host_tools import slot_session
from host_tools.flash_outcome import Outcome
from host_tools.output import DONE, NOT_REACHABLE, TIMED_OUT
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import SerialPort
from tests.host_tools.flash_bench import (
    Steps,
    application,
    board_with,
    digest,
    put,
    runs,
    slot_content,
    to_prompt,
)


def image_of(number: int) -> bytes:
    """Images without an equal sector, so that each flash has all of them to write."""
    return application(f"{number}.0", size=9000, seed=number, files={"a.bin": bytes([number % 256]) * 100})


OLD, NEW = image_of(1), image_of(2)
CABLE_PLACES = 5
POWER_PLACES = 5
HOW = ("half", "garbage", "before")


class ShortCable(SerialPort):
    """A cable that is pulled when it has carried so many bytes towards the board."""

    left = 1 << 30
    pull: Callable[[], object]

    def write(self, data: bytes) -> None:
        kind = type(self)
        if len(data) > kind.left:
            super().write(data[: kind.left])
            kind.left = 1 << 30
            kind.pull()
            return
        kind.left -= len(data)
        super().write(data)


def spread(total: int, count: int) -> list[int]:
    """`count` places in 1..total, the first and the last among them."""
    return sorted({1 + (total - 1) * number // (count - 1) for number in range(count)})


@functools.cache
def whole_way(folder: Path) -> tuple[int, int]:
    """(bytes towards the board, flash operations) of one flash that nobody cuts."""
    carried: list[SerialPort] = []

    class Counting(SerialPort):
        def __init__(self, *args: object, **more: object) -> None:
            super().__init__(*args, **more)  # type: ignore[arg-type]
            carried.append(self)

    with board_with(folder, OLD) as board, pytest.MonkeyPatch.context() as patch:
        patch.setattr(flash_module, "SerialPort", Counting)
        before = board.flash_operations
        assert put(board, NEW).code == DONE
        return carried[0].sent, board.flash_operations - before


def whole_and_running(board: StandIn, file: Path, *images: bytes) -> bytes:
    """After a cut: the image that runs; it is one of `images`, and what its slot holds is it."""
    about = runs(board)
    image = {digest(image): image for image in images}[str(about["image_sha256"])]
    assert slot_content(file, str(about["slot"]), len(image)) == image
    return image


def cable_cut(board: StandIn, file: Path, place: int, there: bytes, goal: bytes) -> bytes:
    """Pull the cable after `place` bytes, then take the power; what runs afterwards."""
    ShortCable.left = place
    ShortCable.pull = staticmethod(board.unplug)
    outcome = put(board, goal, back_s=0.1, health_s=2.0)
    assert outcome.code in (DONE, NOT_REACHABLE, TIMED_OUT), (place, outcome.text)
    if outcome.code != DONE:
        board.plug()
    board.power_cut()
    after = whole_and_running(board, file, there, goal)
    assert outcome.code != DONE or after == goal, (place, outcome.text)
    return after


@pytest.fixture
def short_cable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(flash_module, "SerialPort", ShortCable)
    yield
    ShortCable.left = 1 << 30


def cut_cables(folder: Path, places: list[int]) -> None:
    there = OLD
    with board_with(folder, OLD) as board:
        for number, place in enumerate(places, 2):
            there = cable_cut(board, folder / "flash", place, there, image_of(number))


@pytest.mark.usefixtures("short_cable")
def test_a_cable_that_is_pulled_at_some_bytes_leaves_a_whole_application(tmp_path: Path) -> None:
    total, _ = whole_way(tmp_path)
    cut_cables(tmp_path, spread(total - 1, CABLE_PLACES))


@pytest.mark.soak
@pytest.mark.usefixtures("short_cable")
def test_a_cable_that_is_pulled_at_many_bytes_leaves_a_whole_application(tmp_path: Path) -> None:
    total, _ = whole_way(tmp_path)
    cut_cables(tmp_path, spread(total - 1, 150))


def power_cut(board: StandIn, file: Path, place: int, how: str, there: bytes, goal: bytes) -> bytes:
    """The power goes in the `place`-th program or erase of a flash; what runs afterwards.

    Whatever is left of an attempt must not stand in the way of the next one: the same board is used on and on.
    """
    operations = board.flash_operations
    board.cut_at(place, how)
    outcome = put(board, goal, health_s=4.0)
    assert board.flash_operations >= operations + place, f"{place} {how}: nothing was cut"
    after = whole_and_running(board, file, there, goal)
    assert outcome.code != DONE or after == goal, (place, how, outcome.text)
    return after


def cut_power(folder: Path, places: list[tuple[int, str]]) -> set[bool]:
    """Whether the new one ran after a cut, over all places."""
    there = OLD
    reached = set()
    with board_with(folder, OLD) as board:
        for number, (place, how) in enumerate(places, 2):
            goal = image_of(number)
            there = power_cut(board, folder / "flash", place, how, there, goal)
            reached.add(there == goal)
        again = put(board, OLD)
        assert again.code == DONE, again.text
        assert whole_and_running(board, folder / "flash", OLD) == OLD
    return reached


def test_a_power_cut_in_some_writes_leaves_a_whole_application(tmp_path: Path) -> None:
    """Among them the last ones, which are the switch."""
    _, total = whole_way(tmp_path)
    places = spread(total, POWER_PLACES)
    cut_power(tmp_path, [(place, HOW[number % 3]) for number, place in enumerate(places)])


@pytest.mark.soak
@pytest.mark.parametrize("how", ["before", "half", "garbage"])
def test_a_power_cut_in_any_write_leaves_a_whole_application(tmp_path: Path, how: str) -> None:
    """Every write of the way to the slot's first sectors, every one of the switch, each third between them."""
    _, total = whole_way(tmp_path)
    places = [place for place in range(1, total + 1) if place < 20 or place > total - 24 or place % 3 == 0]
    assert cut_power(tmp_path, [(place, how) for place in places]) == {True, False}


def during(step: str, board: StandIn, folder: Path, disturb: Callable[[], object]) -> Outcome:
    """Flash with a disturbance when a step begins."""
    outcome = put(board, NEW, Steps({step: disturb}), back_s=8.0)
    whole_and_running(board, folder / "flash", OLD, NEW)
    return outcome


@pytest.mark.parametrize("step", ["comparing", "sending"])
def test_a_board_that_resets_meanwhile_is_told_not_waited_for(tmp_path: Path, step: str) -> None:
    with board_with(tmp_path, OLD) as board:
        outcome = during(step, board, tmp_path, board.reset)
        assert outcome.code == NOT_REACHABLE, outcome.text
        assert "the board was reset meanwhile" in outcome.text
        assert f"paint-1 1.0 ({digest(OLD)[:8]}) runs" in outcome.text


def test_a_board_that_hears_nothing_more_starts_its_application_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to come back to a board whose cable fell out."""
    source = re.sub(r"SILENCE_MS = \d+", "SILENCE_MS = 400", slot_session.small_source())
    monkeypatch.setattr(slot_session, "small_source", lambda: source)
    with board_with(tmp_path, OLD) as board:
        boots = board.boots
        outcome = put(board, NEW, Steps({"sending": board.unplug}), back_s=0.1)
        assert outcome.code == NOT_REACHABLE
        assert "starts its former application by itself" in outcome.text
        board.wait_boot(boots + 2)  # to the prompt, and back from it
        board.plug()
        assert runs(board)["image_sha256"] == digest(OLD)


def test_a_cable_that_comes_back_shows_that_the_former_application_runs(tmp_path: Path) -> None:
    def shake() -> None:
        board.unplug()
        board.reset()
        board.plug()

    with board_with(tmp_path, OLD) as board:
        outcome = during("sending", board, tmp_path, shake)
        assert outcome.code == NOT_REACHABLE, outcome.text
        assert "the line is gone" in outcome.text
        assert "paint-1 1.0" in outcome.text


def test_a_pointer_to_an_image_that_is_not_there_is_not_tried_twice(tmp_path: Path) -> None:
    """The slot is damaged between the switch and the start."""
    with board_with(tmp_path, OLD) as board:
        to_prompt(board)
        with SerialPort(board.port) as port:
            repl = RawRepl(port)
            repl.enter()
            repl.run(f"f=open('/slot.try','w')\nf.write('b 5000 00000000 {'0' * 64}')\nf.close()\n")
        board.reset()
        about = runs(board)
        assert about["image_sha256"] == digest(OLD)
        assert "slot b is not what was written" in str(about["failed"])


def test_the_places_of_the_cuts_reach_from_the_first_to_the_last() -> None:
    assert spread(100, 5) == [1, 25, 50, 75, 100]
