"""The hardware watchdog's driver on the kernel's, with a watchdog whose bite the host sees: it does not reset here."""

import time
from collections.abc import Iterator

import pytest

from hil.gpio_guest.guest import Guest, Program

pytestmark = pytest.mark.gpio_guest

TIMEOUT_S = 1
"""The shortest there is."""
LONGER_S = 1.25
BITE_S = 5.0
BITE = "WATCHDOG"
MODULE = "i6300esb"


class Dog:
    """The watchdog, from outside."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._seen = self._all()

    def bites(self) -> int:
        """How often it would have reset the machine since the test began."""
        return self._all() - self._seen

    def wait(self) -> float:
        """Seconds until it bit, from now."""
        start = time.monotonic()
        while not self.bites():
            if time.monotonic() - start > BITE_S:
                pytest.fail(f"the machine goes on {BITE_S} s later")
            time.sleep(0.01)
        return time.monotonic() - start

    def _all(self) -> int:
        return self._guest.qmp.events().count(BITE)


@pytest.fixture
def dog(virt: Guest) -> Iterator[Dog]:
    virt.qmp.execute("set-action", watchdog="none")
    virt.load(MODULE)
    yield Dog(virt)
    virt.end_programs()
    # the kernel does not let a module go whose watchdog was left running
    virt.python("open('/dev/watchdog', 'w').write('V')").checked()
    virt.unload(MODULE)
    virt.qmp.execute("set-action", watchdog="reset")


def controller(guest: Guest, timeout_s: int = TIMEOUT_S) -> Program:
    return guest.start_python(f"from tests.gpio_guest.watchdog_process import main; main({timeout_s})")


def opened(guest: Guest) -> Program:
    """One that has the watchdog, with the time-out it asked for."""
    process = controller(guest)
    assert process.line() == f"open {TIMEOUT_S}"
    return process


def test_fed_the_machine_stays_up_and_an_orderly_end_stops_the_watchdog(virt: Guest, dog: Dog) -> None:
    """Also where the one that feeds is a restart, in time, of one that was killed."""
    opened(virt).kill()
    process = opened(virt)
    time.sleep(LONGER_S)
    assert dog.bites() == 0
    process.tell("close\n")
    assert process.line() == "closed"
    process.tell("", end=True)
    process.wait().checked()
    time.sleep(LONGER_S)
    assert dog.bites() == 0


def test_a_killed_controller_has_the_machine_reset_and_while_it_lives_a_second_one_is_refused(
    virt: Guest, dog: Dog
) -> None:
    process = opened(virt)
    assert "remove RuntimeWatchdogSec from /etc/systemd/system.conf" in controller(virt).line()
    assert dog.bites() == 0
    process.kill()
    assert dog.wait() > TIMEOUT_S / 2


def test_a_time_that_it_does_not_take_is_refused(virt: Guest, dog: Dog) -> None:
    assert "it does not take watchdog_s = 5000" in controller(virt, 5000).line()


def test_without_the_hardware_the_remedy_is_told(virt: Guest) -> None:
    assert "dtparam=watchdog=on" in controller(virt).line()
