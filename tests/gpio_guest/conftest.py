"""Guests for tests. The first test that needs one lets all boot that this session needs, two at a time."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from hil.gpio_guest.guest import Guest, why_not
from hil.gpio_guest.image import Image, build
from hil.gpio_guest.lines import Pl061Lines
from hil.gpio_guest.machines import RASPI3B, VIRT
from hil.gpio_guest.qtest import Wire

KINDS = {
    "virt": (VIRT, ""),
    "pi": (RASPI3B, "pinctrl_bcm2835.persist_gpio_outputs=0"),
    "pi_that_persists": (RASPI3B, "pinctrl_bcm2835.persist_gpio_outputs=1"),
}
"""Fixture -> its machine and words for its kernel."""

PERSISTING = (6, 10)
"""The first kernel that can be told what becomes of a BCM2835 line that is let go."""

AT_A_TIME = 2
PRELOADED = ("tests.gpio_guest.inside", "tests.gpio_guest.cell_process")


Guests = dict[str, "Future[Guest]"]


@pytest.fixture(scope="session")
def image() -> Image:
    """What guests boot from; the first time it is fetched and made, some ten seconds."""
    if reason := why_not():
        pytest.skip(reason)
    return build(say=print)


def booted(image: Image, name: str) -> Guest:
    machine, append = KINDS[name]
    guest = Guest(machine, image, append)
    guest.start()
    if isinstance(guest.lines, Pl061Lines):
        guest.lines.watch()
    for module in PRELOADED:
        guest.preload(module)
    print(f"{name}: first line of Python {guest.boot_s:.1f} s after the start; {guest.facts}")
    return guest


@pytest.fixture(scope="session")
def guests(request: pytest.FixtureRequest, image: Image) -> Iterator[Guests]:
    """The guests that any test of this session asks for, in the order of the tests."""
    asked = [name for item in request.session.items for name in getattr(item, "fixturenames", ())]
    needed = list(dict.fromkeys(name for name in asked if name in KINDS))
    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="boot") as pool:
        futures = {name: pool.submit(booted, image, name) for name in needed}
        yield futures
        for future in futures.values():
            if not future.cancel() and future.exception() is None:
                future.result().stop()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves running, one that failed above all, must not hold lines that the next one wants."""
    yield
    if "guests" in request.fixturenames:
        guests: Guests = request.getfixturevalue("guests")
        for name, future in guests.items():
            if name in request.fixturenames and future.exception() is None:
                future.result().end_programs()


@pytest.fixture(scope="session")
def virt(guests: Guests) -> Guest:
    """A machine with a PL061."""
    return guests["virt"].result()


@pytest.fixture(scope="session")
def pi(guests: Guests) -> Guest:
    """A Raspberry Pi 3 B with the kernel's own default: a line that is let go becomes an input."""
    return guests["pi"].result()


@pytest.fixture(scope="session")
def pi_that_persists(image: Image, guests: Guests) -> Guest:
    """The same with the default of Raspberry Pi OS: an output that is let go stays one."""
    if image.kernel_version < PERSISTING:
        pytest.skip(f"kernel {image.release} knows no persist_gpio_outputs")
    return guests["pi_that_persists"].result()


@pytest.fixture
def wire(virt: Guest) -> Wire:
    """Every change of a line's level on `virt`."""
    return Wire(virt.qtest)
