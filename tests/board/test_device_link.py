"""The link to a device: how old a value may be, what a loss does to inputs and outputs, and when it is over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.contract import HOLD_LAST
from board.device_link import CLOSED, FAULTED, MOST_TEXT, NEVER, READY, DeviceLink
from cell_controller.core.signals import BAD, GOOD, STALE

ABORT = [7, 0]
IMAGE = [1, 1]


class Rig:
    """A link with a clock in the hands of the test, as ms."""

    def __init__(self, abort: list[int] = ABORT) -> None:
        self.now = 1000
        self.link = DeviceLink("io1", "hold_last", abort, stale_ms=200, bad_ms=1000, clock=lambda: self.now)

    def scan(self, measured_at: int) -> int:
        """The quality that a scan finds."""
        self.link.begin_scan()
        return self.link.quality(measured_at, self.now)

    def run(self) -> "Rig":
        """The device answers, and the cell went through Resetting."""
        self.link.opened()
        self.link.answered()
        self.scan(self.now)
        self.link.rearm()
        return self

    @property
    def driven(self) -> list[int]:
        return self.link.wanted()[1]


@pytest.fixture
def rig() -> Rig:
    return Rig()


# --- quality ---


@pytest.mark.parametrize(
    ("age_ms", "quality"), [(0, GOOD), (199, GOOD), (200, STALE), (999, STALE), (1000, BAD), (5000, BAD)]
)
def test_a_value_is_good_then_stale_then_bad(rig: Rig, age_ms: int, quality: int) -> None:
    rig.run()
    measured = rig.now
    rig.now += age_ms
    rig.link.answered()  # about something else
    assert rig.scan(measured) == quality


def test_a_value_that_was_never_measured_is_bad(rig: Rig) -> None:
    rig.run()
    assert rig.scan(NEVER) == BAD


def test_a_device_that_was_not_opened_is_bad(rig: Rig) -> None:
    assert rig.link.status().state == CLOSED
    assert rig.scan(rig.now) == BAD


def test_silence_of_bad_ms_is_a_loss(rig: Rig) -> None:
    rig.run()
    measured = rig.now
    rig.now += 999
    assert rig.scan(measured) == STALE
    assert rig.link.status().losses == 0
    rig.now += 1
    assert rig.scan(measured) == BAD
    status = rig.link.status()
    assert (status.state, status.losses) == (FAULTED, 1)
    assert status.fault == "io1 has not answered for 1000 ms"


def test_a_device_that_never_answers_is_lost_after_bad_ms(rig: Rig) -> None:
    rig.link.opened()
    assert rig.link.status().state == READY
    rig.now += 999
    rig.scan(NEVER)
    assert rig.link.status().state == READY
    rig.now += 1
    rig.scan(NEVER)
    assert rig.link.status().state == FAULTED


def test_a_loss_makes_everything_bad_at_once_whatever_its_age(rig: Rig) -> None:
    rig.run()
    rig.link.lost("pulled out")
    assert rig.scan(rig.now) == BAD


def test_a_loss_that_is_over_before_the_next_scan_is_still_seen_by_one(rig: Rig) -> None:
    """Else a device that was switched off and on between two scans would never trip anything."""
    rig.run()
    rig.link.lost("switched off and on")
    rig.link.opened()
    rig.link.answered()
    assert rig.scan(rig.now) == BAD
    assert rig.scan(rig.now) == GOOD


def test_a_failed_exchange_alone_costs_nothing_but_age(rig: Rig) -> None:
    rig.run()
    rig.link.failed("nonsense: b'xyz'")
    assert rig.scan(rig.now) == GOOD
    assert rig.driven == ABORT
    assert rig.link.status().losses == 0
    assert rig.link.status().fault == "nonsense: b'xyz'"


# --- outputs ---


def test_a_device_begins_with_its_abort_values_until_the_cell_was_reset(rig: Rig) -> None:
    rig.link.want(IMAGE)
    assert rig.driven == ABORT
    assert rig.link.status().waits_for_reset
    rig.link.rearm()  # it does not answer yet
    assert rig.driven == ABORT
    rig.link.opened()
    rig.link.rearm()
    assert rig.driven == ABORT
    rig.link.answered()
    assert rig.driven == ABORT
    rig.link.rearm()
    assert rig.driven == IMAGE
    assert not rig.link.status().waits_for_reset


def test_a_loss_brings_the_abort_values_and_coming_back_does_not_end_them(rig: Rig) -> None:
    rig.run().link.want(IMAGE)
    assert rig.driven == IMAGE
    rig.link.lost("pulled out")
    assert rig.driven == ABORT
    rig.link.opened()
    rig.link.answered()
    rig.link.want([1, 0])
    assert rig.driven == ABORT
    rig.scan(rig.now)
    rig.link.rearm()
    assert rig.driven == [1, 0]


def test_silence_brings_the_abort_values_too(rig: Rig) -> None:
    rig.run().link.want(IMAGE)
    rig.now += 1000
    rig.link.begin_scan()
    assert rig.driven == ABORT


def test_a_reset_while_the_device_is_away_leaves_it_waiting_for_the_next(rig: Rig) -> None:
    rig.run().link.want(IMAGE)
    rig.link.lost("pulled out")
    rig.link.rearm()
    rig.link.opened()
    rig.link.answered()
    assert rig.driven == ABORT
    assert rig.link.status().fault == "pulled out"


def test_a_device_without_outputs_never_waits_for_a_reset() -> None:
    rig = Rig([])
    assert not rig.link.status().waits_for_reset
    rig.link.lost("pulled out")
    assert not rig.link.status().waits_for_reset
    assert rig.driven == []


def test_what_is_wanted_has_a_new_number_only_when_it_changed(rig: Rig) -> None:
    rig.run().link.want(IMAGE)
    number, _ = rig.link.wanted()
    rig.link.want(IMAGE)
    assert rig.link.wanted()[0] == number
    rig.link.want([0, 0])
    assert rig.link.wanted() == (number + 1, [0, 0])
    rig.link.lost("pulled out")
    after = rig.link.wanted()[0]
    assert after == number + 2
    rig.link.lost("again")
    rig.link.want(IMAGE)  # latched: nothing changes for the device
    assert rig.link.wanted()[0] == after


def test_who_got_what_is_wanted_cannot_change_it(rig: Rig) -> None:
    rig.run().link.want(IMAGE)
    rig.driven[0] = 99
    rig.link.lost("pulled out")
    rig.driven[0] = 99
    assert rig.driven == ABORT
    assert IMAGE == [1, 1]


# --- what people are told ---


def test_the_first_fault_is_kept_until_the_reset(rig: Rig) -> None:
    rig.run()
    rig.link.failed("first")
    rig.link.lost("second")
    assert rig.link.status().fault == "first"
    rig.link.opened()
    rig.link.answered()
    assert rig.link.status().fault == "first"
    rig.scan(rig.now)
    rig.link.rearm()
    assert rig.link.status().fault == ""


def test_a_loss_is_counted_once_until_the_device_has_answered_again(rig: Rig) -> None:
    rig.run()
    for _ in range(3):
        rig.link.lost("cannot be opened")
    assert rig.link.status().losses == 1
    rig.link.opened()
    rig.link.lost("again")
    assert rig.link.status().losses == 1
    rig.link.opened()
    rig.link.answered()
    rig.link.lost("another")
    assert rig.link.status().losses == 2


def test_the_age_of_the_last_answer_is_told(rig: Rig) -> None:
    assert rig.link.status().answered_ms == NEVER
    rig.run()
    rig.now += 42
    assert rig.link.status().answered_ms == 42


def test_a_long_text_is_cut(rig: Rig) -> None:
    rig.link.failed("x" * 1000)
    assert rig.link.status().fault == "x" * MOST_TEXT


def test_a_device_that_was_let_go_of_is_closed_and_bad(rig: Rig) -> None:
    rig.run().link.closed()
    assert rig.link.status().state == CLOSED
    assert rig.scan(rig.now) == BAD


# --- any order of events ---

EVENTS = ("opened", "answered", "failed", "lost", "rearm", "scan", "want", "wait")


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
@settings(max_examples=100, deadline=None)
def test_no_order_of_events_drives_a_lost_device_or_hides_a_loss(events: list[str]) -> None:
    """Against a model: a reset arms a device that answers and has no untold loss; any loss disarms it."""
    rig = Rig()
    armed, answers, alive, gone, unseen = False, False, False, False, False
    heard_at, image = 0, ABORT
    for number, event in enumerate(events):
        if event == "wait":
            rig.now += 400
        elif event == "want":
            image = [number, number]
            rig.link.want(image)
        elif event == "scan":
            if alive and rig.now - heard_at >= rig.link.bad_ms:
                armed, answers, alive, gone, unseen = False, False, False, True, True
            assert rig.scan(rig.now) == (GOOD if alive and not unseen else BAD)
            unseen = False
        elif event == "failed":
            rig.link.failed("no answer")
        elif event == "lost":
            rig.link.lost("pulled out")
            unseen = unseen or not gone
            armed, answers, alive, gone = False, False, False, True
        elif event == "opened":
            rig.link.opened()
            answers, alive, heard_at = False, not gone, rig.now
        elif event == "answered":
            rig.link.answered()
            answers, alive, gone, heard_at = True, True, False, rig.now
        else:
            rig.link.rearm()
            armed = armed or (answers and not unseen)
        assert rig.driven == (image if armed else ABORT)


def test_a_value_from_before_a_loss_is_bad_however_young_it_is() -> None:
    clock = [1_000]
    link = DeviceLink("io", HOLD_LAST, (), clock=lambda: clock[0])
    link.opened()
    link.answered()
    clock[0] += 10
    link.lost("was reset")
    clock[0] += 10
    link.answered()
    link.begin_scan()
    link.begin_scan()
    assert link.quality(1_000, clock[0]) == BAD
    assert link.quality(1_020, clock[0]) == GOOD


def test_what_a_thread_tells_after_the_end_changes_nothing() -> None:
    link = DeviceLink("io", HOLD_LAST, (0,))
    link.opened()
    link.closed()
    link.answered()
    assert link.status().state == CLOSED
    link.lost("late")
    assert (link.status().state, link.status().losses) == (CLOSED, 0)


def test_the_same_counts_in_a_tuple_are_no_change() -> None:
    link = DeviceLink("io", HOLD_LAST, (0,))
    link.opened()
    link.answered()
    link.rearm()
    link.want([1])
    before = link.wanted()
    link.want((1,))
    assert link.wanted() == before
