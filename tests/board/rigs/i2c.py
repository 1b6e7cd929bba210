"""The rig of an I2C bus: an expander and a converter, below the library that speaks to the kernel."""

from pathlib import Path

import pytest

from board.contract import DevicePlan, Point
from tests.board.fake_i2c import FakeAds1115, FakeBus, FakeMcp23017

MCP, ADS = 0x20, 0x48


class Rig:
    """See tests/board/survival: two chips, one bus."""

    kind = "i2c"
    bad_within_s = 1.1
    probe = "part"

    def __init__(self, tmp_path: Path) -> None:
        self.plans = [
            DevicePlan(
                f"mcp23017:{MCP:#x}",
                "i2c",
                {"chip": "mcp23017", "address": MCP, "bus": 1},
                (
                    Point("part", 0, 0, "digital", False, "A1", settings={"pull": "up"}),
                    Point("expander", 0, 0, "digital", False, "link"),
                    Point("valve", 0, 0, "digital", True, "A0"),
                    Point("brake", 0, 0, "digital", True, "B7", safe=1, abort=1),
                ),
            ),
            DevicePlan(
                f"ads1115:{ADS:#x}",
                "i2c",
                {"chip": "ads1115", "address": ADS, "bus": 1},
                (Point("airflow", 0, 0, "analog", False, "0", low=-32768, high=32767),),
            ),
        ]
        (tmp_path / "dev").mkdir()
        self._patch = pytest.MonkeyPatch()
        self._bus = FakeBus(tmp_path / "dev", self._patch)
        self._mcp = FakeMcp23017()
        self._ads = FakeAds1115()
        self._bus.chips.update({MCP: self._mcp, ADS: self._ads})

    def start(self) -> None:
        """The bus is there from the beginning."""

    def stop(self) -> None:
        """The real system calls again."""
        self._patch.undo()

    def power_cycle(self) -> None:
        """Both chips lose what they were told."""
        self._mcp.power_cycle()
        self._ads.power_cycle()

    def unplug(self) -> None:
        """The adapter is gone."""
        self._bus.unplug()

    def plug(self) -> None:
        """The adapter is back."""
        self._bus.plug()

    def late(self, on: bool) -> None:
        """A chip holds the clock: every transfer hangs until it is given up."""
        self._bus.hangs = on

    def nonsense(self, on: bool) -> None:
        """Both answer bytes that mean nothing."""
        self._mcp.nonsense = self._ads.nonsense = on

    def for_another(self, on: bool) -> None:
        """Something else sits at each address."""
        chips = (self._ads, self._mcp) if on else (self._mcp, self._ads)
        self._bus.chips.update({MCP: chips[0], ADS: chips[1]})

    def flood(self, on: bool) -> None:
        """A chip on I2C speaks only when it is asked."""

    def outputs(self) -> dict[str, int]:
        """The levels of the expander's outputs."""
        driven = self._mcp.driven
        return {"A0": driven & 1, "B7": driven >> 15}
