"""What the rigs of printers and routers have alike: points, a board that is only services, job files, waiting."""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from board.contract import Device, Point
from board.gcode_job import MOST_KEY, key_of
from board.seam import Seam
from board.transport import SerialSettings, Transport, transport

DIGITAL_IN = ("link", "ready", "unreset")
IDENTITY_IN = ("last_job", "done_job")
ANALOG_IN = ("state", "progress", "nozzle", "bed", "x", "y", "z")
DIGITAL_OUT = ("enable", "resume", "pause", "home")
ANALOG_OUT = ("job", "nozzle_set", "bed_set")


def points(leave_out: Sequence[str] = ()) -> tuple[Point, ...]:
    """A signal on every point, named like it."""
    found: list[Point] = []

    def add(names: Sequence[str], kind: str, is_output: bool) -> None:
        place = 0
        for name in names:
            if name in leave_out:
                continue
            index = sum(point.is_output == is_output for point in found)
            low, high = (0, 1) if kind == "digital" else (0 if is_output else -MOST_KEY, MOST_KEY)
            stays = int(name == "enable")  # as in docs/gcode.md: a lost line shall not be an emergency stop
            found.append(
                Point(name, index, place, kind, is_output, name, low=low, high=high, safe=stays, abort=stays)
            )
            place += 1

    add(DIGITAL_IN, "digital", False)
    add(IDENTITY_IN, "identity", False)
    add(ANALOG_IN, "analog", False)
    add(DIGITAL_OUT, "digital", True)
    add(ANALOG_OUT, "analog", True)
    return tuple(found)


class Bench:
    """board.contract.Services, with a folder of job files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seams: dict[str, Seam] = {}
        (folder / "jobs").mkdir(exist_ok=True)

    def random(self, count: int) -> bytes:
        """See Files."""
        return os.urandom(count)

    def folder(self, name: str) -> Path:
        """See Files."""
        return self._folder / name

    def line(self, name: str, address: str, settings: SerialSettings | None = None) -> Transport:
        """See Services."""
        self.seams[name] = Seam(name, transport(address, settings))
        return self.seams[name]

    def job(self, name: str, text: str) -> int:
        """Put a job file there; its key."""
        (self._folder / "jobs" / name).write_text(text)
        return key_of(hashlib.sha256(text.encode()).hexdigest())


class Driven:
    """A device in the hands of a test, scanned as a board would."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.wanted = {point.at: point.safe for point in device.outputs}

    def set(self, **counts: int) -> None:
        """What the outputs shall be."""
        self.wanted |= counts
        self.device.drive([self.wanted[point.at] for point in self.device.outputs])

    def get(self, name: str) -> int:
        """The count of an input."""
        self.device.link.begin_scan()
        return dict(zip((p.at for p in self.device.inputs), self.device.latest, strict=True))[name][0]

    def quality(self, name: str) -> int:
        """Its quality."""
        self.device.link.begin_scan()
        entry = dict(zip((p.at for p in self.device.inputs), self.device.latest, strict=True))[name]
        return self.device.link.quality(entry[1], self.device.link.clock())

    def rearm(self) -> None:
        """The cell goes through Resetting."""
        self.device.link.rearm()

    def until(self, what: str, met: Callable[[], bool], within_s: float = 5) -> None:
        """Wait for `met`."""
        deadline = time.monotonic() + within_s
        while not met():
            if time.monotonic() > deadline:
                entries = {p.at: e[0] for p, e in zip(self.device.inputs, self.device.latest, strict=True)}
                raise AssertionError(
                    f"not within {within_s} s: {what}; {entries}, {self.device.link.status()}"
                )
            self.device.link.begin_scan()
            time.sleep(0.005)
