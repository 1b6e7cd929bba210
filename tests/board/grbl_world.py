"""A session and a simulated router in virtual time, with a line between them that can be cut."""

from typing import Any

from board.grbl_session import GrblSession, GrblSettings
from hil.grbl_device import GrblDevice
from tests.board.marlin_world import World, job_of

__all__ = ["GrblWorld", "job_of", "moves_of"]


def moves_of(count: int) -> list[str]:
    """Moves of different lengths, all different."""
    return [f"G1X{k * 37 % 101}.{k % 10}Y{k * 53 % 97}F{600 + k}" for k in range(count)]


class GrblWorld(World):
    """See World."""

    session: Any
    device: Any

    def __init__(self, **device: Any) -> None:
        super().__init__()
        self.device = GrblDevice("tcp", **{"speed": 50.0, "most_move_ms": 2000.0} | device)
        self.device._end.unplug()
        self.session = GrblSession(GrblSettings(ack_ms=3000))
        self.device.power_on()
        self.session.begin(self.now)

    def known(self) -> "GrblWorld":  # type: ignore[override]
        """Advance until the router is identified."""
        self.run("known", lambda: self.session.is_known)
        return self

    def homed(self) -> "GrblWorld":
        """Advance until it is homed."""
        self.known()
        self.session.home()
        self.run("homed", lambda: self.session.readings()["ready"][0] == 1)
        return self
