"""A session and a simulated printer in virtual time, with a line between them that can be cut and disturbed."""

import random
from collections.abc import Callable
from typing import Any

from board.gcode_job import Job, key_of
from board.marlin_session import MarlinSession, MarlinSettings
from hil.marlin_device import MarlinDevice

SHA256 = "1234567" + "0" * 57
BASE = 200_000


def job_of(moves: list[str], name: str = "part.gcode", sha256: str = SHA256) -> Job:
    """A checked job of these lines."""
    lines = [move.encode() for move in moves]
    return Job(name, key_of(sha256), sha256, lines, list(range(1, len(lines) + 1)))


def moves_of(count: int, seed: int = 1) -> list[str]:
    """Moves of different lengths, all different."""
    dice = random.Random(seed)
    return [f"G1 X{dice.randrange(200)}.{k % 10} Y{dice.randrange(200)} F{6000 + k}" for k in range(count)]


class World:
    """Advances in steps of 1 ms. `noise_out` disturbs what the printer says; `device.noise` what it hears."""

    def __init__(self, settings: MarlinSettings | None = None, base: int = BASE, **device: Any) -> None:
        self.device = MarlinDevice("tcp", **{"speed": 50.0, "most_move_ms": 2000.0, "boot_ms": 20} | device)
        self.device._end.unplug()
        self.session = MarlinSession(settings or MarlinSettings(ack_ms=800), base)
        self.now = 1_000
        self.cut = False
        self.noise_out: Callable[[bytes], bytes] = bytes
        self.written = bytearray()
        self.said = bytearray()
        self.delay_ms = 1
        self._down: list[tuple[int, bytes]] = []
        self._up: list[tuple[int, bytes]] = []
        self.device.power_on()
        self.session.begin(self.now)

    def step(self) -> None:
        """One millisecond."""
        self.now += 1
        if not self.cut:
            data = self.session.poll(self.now)
            if data:
                self.send(data)
        while self._down and self._down[0][0] <= self.now:
            self._reply(self.device.handle(self._down.pop(0)[1]))
        self._reply(self.device.tick(self.now))
        while self._up and self._up[0][0] <= self.now:
            heard = self._up.pop(0)[1]
            self.said += heard
            self.session.heard(heard, self.now)

    def send(self, data: bytes) -> None:
        """Bytes of the session on their way."""
        self.written += data
        self._down.append((self.now + self.delay_ms, data))

    def _reply(self, data: bytes) -> None:
        if data and not self.cut:
            self._up.append((self.now + self.delay_ms, self.noise_out(data)))

    def run(self, what: str, met: Callable[[], bool], within_ms: int = 60_000) -> None:
        """Advance until `met`."""
        end = self.now + within_ms
        while not met():
            if self.now >= end:
                session = self.session
                raise AssertionError(
                    f"not within {within_ms} ms: {what}; state {session.state}, {session.troubles},"
                    f" {vars(getattr(session, 'flow', session))}, said ...{bytes(self.said[-300:])!r}"
                )
            self.step()

    def unplug(self, dice: random.Random) -> None:
        """The line is cut, in the middle of whatever is on its way."""
        self.cut = True
        whole = b"".join(data for _, data in self._down)
        self._down = [(self.now, whole[: dice.randrange(len(whole) + 1)])] if whole else []
        self._up = []

    def plug(self) -> None:
        """The line is there again and was opened."""
        self.cut = False
        self.session.begin(self.now)

    def reset(self) -> None:
        """The printer is switched off and on."""
        self.device.power_on()
        self._down = []

    def known(self) -> None:
        """Advance until the printer is identified."""
        self.run("known", lambda: self.session.is_known)
