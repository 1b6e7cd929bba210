"""A plant driven by name, without a board: for tests of plants and faults."""

from collections.abc import Mapping
from typing import Any

from hil.paint_plant import PaintPlant


class DrivenPlant:
    """The paint plant with outputs and inputs by name, called as a board calls it: at `call_at` and on changes."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.plant = PaintPlant(spec)
        self.now_ms = 0
        self.calls = 0
        self._names_in = [entry["name"] for entry in spec["inputs"]]
        self._names_out = [entry["name"] for entry in spec["outputs"]]
        self.outputs = [0] * len(self._names_out)
        self.call_at = self.plant.step(0, self.outputs)

    def drive(self, **values: int) -> None:
        """Change outputs at the present time."""
        for name, value in values.items():
            self.outputs[self._names_out.index(name)] = value
        self.call_at = self.plant.step(self.now_ms, self.outputs)

    def run(self, ms: int) -> None:
        """Let `ms` pass."""
        end = self.now_ms + ms
        while self.call_at <= end:
            self.now_ms = self.call_at
            self.calls += 1
            self.call_at = self.plant.step(self.now_ms, self.outputs)
        self.now_ms = end

    def read(self, name: str) -> int:
        """What the sensor reads, in steps of its resolution."""
        return self.plant.inputs[self._names_in.index(name)]

    def fault(self, name: str, on: bool = True) -> None:
        """Turn a device's fault on or off; the plant notices at its next step, which is now."""
        self.plant.faults.switch(name, on)
        self.call_at = self.plant.step(self.now_ms, self.outputs)

    def time_until(self, name: str, least: int, most: int = 2**29, limit_ms: int = 120_000) -> int:
        """How long it takes, in steps of 10 ms, until the sensor reads `least`..`most`."""
        start = self.now_ms
        while not least <= self.read(name) <= most:
            self.run(10)
            if self.now_ms - start > limit_ms:
                raise AssertionError(
                    f"{name} reads {self.read(name)} after {limit_ms} ms, not {least}..{most}"
                )
        return self.now_ms - start
