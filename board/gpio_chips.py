"""Which line of which GPIO chip a channel means, and what is said when it cannot be had."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gpiod

from cell_controller.errors import BoardError

DEV = Path("/dev")
PI_LABELS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")
"""Labels of the chip behind the 40 pins: Pi 0 to 3, Pi 4, Pi 5. Offset and number of the pin are the same there."""

PERSISTS = Path("/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs")
"""Whether a Pi's kernel leaves the pins of a process that ended as they were; other kernels do not say."""

MOST_LINES = 64
"""What the kernel takes in one request."""

_PIN = re.compile(r"GPIO(\d{1,3})")
_OFFSET = re.compile(r"(gpiochip\d{1,4}):(\d{1,4})")


@dataclass(frozen=True)
class Line:
    """One line: the path of its chip, its offset there, and what the wiring calls it."""

    chip: str
    offset: int
    at: str


def find_line(at: str) -> Line:
    """The line that `at` means: "GPIO17", "line:NAME" or "gpiochip0:5". Raises BoardError with the remedy."""
    exact = _OFFSET.fullmatch(at)
    if exact:
        path, offset = str(DEV / exact[1]), int(exact[2])
        with _opened(path, at) as chip:
            count = chip.get_info().num_lines
        if offset >= count:
            raise BoardError(f"{at}: {path} has the lines 0..{count - 1}; `gpioinfo` lists them")
        return Line(path, offset, at)
    pin = _PIN.fullmatch(at)
    name = at.removeprefix("line:")
    found = []
    for path in _paths(at):
        with _opened(path, at) as chip:
            info = chip.get_info()
            if pin and info.label in PI_LABELS and int(pin[1]) < info.num_lines:
                return Line(path, int(pin[1]), at)
            offset = _named(chip, name)
            if offset >= 0:
                found.append(Line(path, offset, at))
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(f"{Path(line.chip).name}:{line.offset}" for line in found)
        raise BoardError(f"{at}: several lines are called '{name}'; write one of {places}")
    raise BoardError(f"{at}: no GPIO chip of this machine has a line of that name; `gpioinfo` lists them")


def check_release(name: str) -> None:
    """Raises BoardError where the wiring says that pins are released at death and this kernel keeps them driven."""
    try:
        keeps = PERSISTS.read_text().strip() == "Y"
    except FileNotFoundError:
        return  # not a Pi, or an older kernel
    if keeps:
        raise BoardError(
            f'{name}: on_death = "release", but this kernel leaves the pins of a process that ended as they were '
            f'({PERSISTS.name} = Y); write on_death = "hold_last"'
        )


def refused(error: OSError, lines: list[Line]) -> BoardError:
    """What to say of a request for `lines`, all of one chip, that the kernel refused with `error`."""
    path = lines[0].chip
    names = ", ".join(line.at for line in lines)
    if error.errno == errno.EBUSY:
        taken = _taken(path, lines)
        return BoardError(
            f"{taken or names} is in use; end what uses it, take its overlay out of config.txt, or choose another pin "
            "(`gpioinfo` shows who has a line)"
        )
    if error.errno == errno.E2BIG:
        return BoardError(
            f"{path}: its lines have too many different settings; use at most eight different debounce_ms"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return denied(path, names)
    return BoardError(
        f"{names}: {path} refuses it ({error.strerror}); remove pull, debounce_ms or drive, which not every chip has"
    )


def denied(path: str, names: str) -> BoardError:
    """What to say of a file that this user may not open."""
    return BoardError(
        f"{names}: no permission for {path}; `sudo usermod -aG gpio USER`, then log in again (the group's name is "
        f"shown by `ls -l {path}`)"
    )


def _paths(at: str) -> list[str]:
    """Every chip once: a link such as a Pi 5's gpiochip4 is left out."""
    paths = [str(path) for path in sorted(DEV.glob("gpiochip*")) if not path.is_symlink()]
    if not paths:
        raise BoardError(f"{at}: this machine has no GPIO chip ({DEV}/gpiochip*); is it the right board?")
    return paths


@contextmanager
def _opened(path: str, at: str) -> Iterator[gpiod.Chip]:
    """The chip, for what is asked of it; one on USB may leave meanwhile. Raises BoardError."""
    try:
        with gpiod.Chip(path) as chip:
            yield chip
    except BoardError:
        raise
    except PermissionError as error:
        raise denied(path, at) from error
    except OSError as error:
        raise BoardError(f"{at}: {path}: {error.strerror}; `gpiodetect` lists the chips there are") from error


def _named(chip: gpiod.Chip, name: str) -> int:
    """Offset of the line called `name`, -1 if there is none."""
    try:
        offset = chip.line_offset_from_id(name)
    except (OSError, ValueError):
        return -1
    # the library takes a name that is a number for an offset
    return offset if chip.get_line_info(offset).name == name else -1


def _taken(path: str, lines: list[Line]) -> str:
    """Those of `lines` that somebody has, and who."""
    with _opened(path, lines[0].at) as chip:
        infos = [(line, chip.get_line_info(line.offset)) for line in lines]
    return ", ".join(f"{line.at} ('{info.consumer}')" for line, info in infos if info.used)
