"""The thread behind a line: it comes back by itself, waits longer while nobody is there, and ends when told."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from board import line_worker
from board.device_link import FAULTED, READY, RUNNING, DeviceLink
from board.line_worker import LineWorker
from board.seam import Seam
from cell_controller.errors import DeviceError, LinkLostError
from tests.board.line_peer import KINDS, Peer, read_all, wait_for


class FakeLine:
    """A line that opens, or not; `opens` counts attempts."""

    name = "/dev/fake"

    def __init__(self) -> None:
        self.is_open = False
        self.there = True
        self.opens: list[float] = []
        self.closes = 0
        self.before_open: Callable[[], object] = lambda: None

    def open(self) -> None:
        """See Transport.open."""
        self.opens.append(time.monotonic())
        self.before_open()
        if not self.there:
            raise LinkLostError(f"{self.name} cannot be opened: nobody there")
        self.is_open = True

    def read(self, most: int, timeout_s: float) -> bytes:
        """See Transport.read."""
        time.sleep(timeout_s)
        return b""

    def write(self, data: bytes) -> None:
        """See Transport.write."""

    def flush_input(self) -> None:
        """See Transport.flush_input."""

    def close(self) -> None:
        """See Transport.close."""
        self.is_open = False
        self.closes += 1


class Driver:
    """What a driver does: `trouble` is raised in its next turn, or in every one while `always`."""

    def __init__(self, link: DeviceLink) -> None:
        self.link = link
        self.opened = 0
        self.turns = 0
        self.trouble: Exception | None = None
        self.trouble_on_open: Exception | None = None
        self.always = False

    def line_opened(self) -> None:
        """See Exchange.line_opened."""
        self.opened += 1
        if self.trouble_on_open is not None:
            raise self.trouble_on_open

    def turn(self) -> None:
        """See Exchange.turn."""
        self.turns += 1
        trouble = self.trouble
        if not self.always:
            self.trouble = None
        if trouble is not None:
            raise trouble
        self.link.answered()
        time.sleep(0.001)


class Rig:
    """A worker on a fake line with two devices; the driver speaks for the first."""

    def __init__(self) -> None:
        self.line = FakeLine()
        self.links = [DeviceLink(name, "hold_last") for name in ("io1", "io2")]
        self.driver = Driver(self.links[0])
        self.worker = LineWorker(self.line, self.links, self.driver)

    def start(self) -> "Rig":
        self.worker.start()
        return self

    def turned(self) -> None:
        """Return after another whole turn."""
        before = self.driver.turns
        wait_for(lambda: self.driver.turns > before + 1, lambda: (self.driver.turns, self.line.opens))

    def states(self) -> list[str]:
        return [link.status().state for link in self.links]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(line_worker, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(line_worker, "MOST_WAIT_S", 0.04)
    made = Rig()
    yield made
    made.worker.stop()
    if made.worker._thread.ident is not None:
        made.worker._thread.join(5)
    assert not made.worker._thread.is_alive()


def test_it_opens_the_line_makes_acquaintance_and_goes_round(rig: Rig) -> None:
    rig.start().turned()
    assert (len(rig.line.opens), rig.driver.opened) == (1, 1)
    assert rig.states() == [RUNNING, READY]


def test_every_device_on_a_line_that_broke_is_lost_and_the_line_opened_again(rig: Rig) -> None:
    rig.start().turned()
    rig.driver.trouble = LinkLostError("/dev/fake is gone: pulled out")
    wait_for(lambda: rig.driver.opened == 2, lambda: rig.driver.opened)
    assert [link.status().losses for link in rig.links] == [1, 1]
    assert {link.status().fault for link in rig.links} == {"/dev/fake is gone: pulled out"}
    rig.turned()
    assert rig.states() == [RUNNING, FAULTED]  # the second says nothing in this test
    assert rig.line.closes == 1


class Pauses(threading.Event):
    """In the place of a worker's event: `taken` has the pauses it made, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        """See Event.wait; a thousand times as fast."""
        self.taken.append(timeout)
        return super().wait(None if timeout is None else timeout / 1000)


def test_a_line_that_stays_away_is_tried_ever_more_rarely_and_comes_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_worker, "FIRST_WAIT_S", 0.5)
    monkeypatch.setattr(line_worker, "MOST_WAIT_S", 3.0)
    rig.worker._stopping = pauses = Pauses()
    rig.line.there = False
    rig.start()
    wait_for(lambda: len(pauses.taken) >= 6, lambda: pauses.taken)
    assert pauses.taken[:6] == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    assert rig.states() == [FAULTED, FAULTED]
    assert rig.links[0].status().losses == 1
    rig.line.there = True
    rig.turned()
    assert rig.states()[0] == RUNNING
    pauses.taken.clear()
    rig.driver.trouble = LinkLostError("gone")
    wait_for(lambda: rig.driver.opened == 2, lambda: rig.driver.opened)
    assert pauses.taken == [0.5]  # short again after a success


def test_a_device_that_does_not_make_acquaintance_is_lost_and_tried_again(rig: Rig) -> None:
    rig.driver.trouble_on_open = LinkLostError("it is another one")
    rig.start()
    wait_for(lambda: rig.driver.opened >= 3, lambda: rig.driver.opened)
    assert rig.states() == [FAULTED, FAULTED]
    assert rig.driver.turns == 0
    rig.driver.trouble_on_open = None
    rig.turned()
    assert rig.states()[0] == RUNNING


@pytest.mark.parametrize("mistake", [ZeroDivisionError("division by zero"), DeviceError("not caught")])
def test_a_mistake_of_the_driver_is_told_loses_its_devices_and_does_not_end_the_thread(
    rig: Rig, mistake: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    rig.start().turned()
    rig.driver.trouble = mistake
    wait_for(lambda: rig.driver.opened == 2, lambda: rig.driver.opened)
    rig.turned()
    fault = rig.links[0].status().fault
    assert fault == f"driver of /dev/fake: {type(mistake).__name__}: {mistake}"
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "driver of /dev/fake")
    ]
    assert caplog.records[0].exc_info is not None


def test_a_mistake_in_every_turn_does_not_spin(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.driver.trouble, rig.driver.always = ValueError("again"), True
    began = time.monotonic()
    rig.start()
    wait_for(lambda: rig.driver.turns >= 5, lambda: rig.driver.turns)
    assert time.monotonic() - began >= 4 * 0.01
    caplog.clear()


def test_stopping_ends_the_thread_and_closes_the_line(rig: Rig) -> None:
    rig.start().turned()
    seen = [rig.worker.stopping]
    rig.worker.stop()
    seen.append(rig.worker.stopping)
    assert seen == [False, True]
    assert not rig.line.is_open
    turns = rig.driver.turns
    rig.worker.stop()
    assert rig.driver.turns == turns


def test_stopping_does_not_wait_for_a_pause_to_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_worker, "FIRST_WAIT_S", 60.0)
    monkeypatch.setattr(line_worker, "MOST_WAIT_S", 60.0)
    rig.line.there = False
    rig.start()
    wait_for(lambda: len(rig.line.opens) == 1, lambda: rig.line.opens)
    began = time.monotonic()
    rig.worker.stop()
    assert time.monotonic() - began < 4


def test_stopping_what_was_never_started_only_closes_the_line(rig: Rig) -> None:
    rig.worker.stop()
    assert rig.line.closes == 1


def test_stopping_gives_up_on_a_driver_that_does_not_return(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_worker, "JOIN_S", 0.05)
    release = threading.Event()
    rig.line.before_open = lambda: release.wait(5)
    rig.start()
    wait_for(lambda: len(rig.line.opens) == 1, lambda: rig.line.opens)
    began = time.monotonic()
    rig.worker.stop()
    assert time.monotonic() - began < 4
    release.set()


def test_a_line_that_opens_after_the_end_is_closed_and_nothing_is_sent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that takes long to be resolved: what comes of it then must not touch the device any more."""
    monkeypatch.setattr(line_worker, "JOIN_S", 0.05)
    release = threading.Event()
    rig.line.before_open = lambda: release.wait(5)
    rig.start()
    wait_for(lambda: len(rig.line.opens) == 1, lambda: rig.line.opens)
    rig.worker.stop()
    release.set()
    rig.worker._thread.join(5)
    assert (rig.driver.opened, rig.driver.turns) == (0, 0)
    assert not rig.line.is_open


# --- on a real line ---


class Asker:
    """A driver that asks `?` and takes `!` for an answer."""

    def __init__(self, seam: Seam, link: DeviceLink) -> None:
        self.seam = seam
        self.link = link

    def line_opened(self) -> None:
        """See Exchange.line_opened."""

    def turn(self) -> None:
        """See Exchange.turn."""
        self.seam.flush_input()
        self.seam.write(b"?")
        if read_all(self.seam.read, 1, 0.1) == b"!":
            self.link.answered()
        else:
            self.link.failed("no answer within 100 ms")


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_was_unplugged_is_found_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_worker, "FIRST_WAIT_S", 0.01)
    with Peer(kind, lambda data: b"!" * data.count(b"?")) as peer:
        link = DeviceLink("io1", "hold_last")
        seam = Seam("io1", peer.line())
        worker = LineWorker(seam, [link], Asker(seam, link))
        worker.start()
        try:
            for losses in (0, 1, 2):
                wait_for(lambda: link.status().state == RUNNING, link.status)
                assert link.status().losses == losses
                if losses == 0:
                    peer.unplug()
                    wait_for(lambda: link.status().state == FAULTED, link.status)
                    peer.plug()
                elif losses == 1:
                    seam.fault("unplug", True)
                    wait_for(lambda: link.status().state == FAULTED, link.status)
                    seam.fault("unplug", False)
        finally:
            worker.stop()
        assert not seam.is_open
