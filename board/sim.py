"""A simulated board inside the controller's process: a plant behind signals, in virtual or in scaled real time."""

import time
from collections.abc import Sequence
from typing import Any

from board.contract import HOLD_LAST, ON_DEATH, RELEASE, Spec, Wiring
from board.simulated import Simulated
from cell_controller.core.signals import KEEP, WORD_BITS, InputImage, OutputImage
from cell_controller.core.ticks import MASK, diff
from cell_controller.errors import BoardError
from hil.faults import FaultSet, WireFaults, wire_faults
from hil.plant import Plant, PlantFactory, load_plant
from hil.wired_plant import WiredPlant

VIRTUAL = 0.0
"""A speed: the clock stands still but for `sleep_until`, which jumps to the time it is asked for."""


class SimBoard(Simulated):
    """The simulated board.

    `board.plant` is the plant once the board is open. With speed=VIRTUAL a run is a function of its inputs and its
    seed; with a speed above 0 the clock runs that many times as fast as the real one.
    """

    def __init__(
        self,
        plant: PlantFactory | None = None,
        seed: int = 1,
        speed: float = VIRTUAL,
        start_tick: int = 0,
        on_death: str = RELEASE,
    ) -> None:
        """`plant`: a class that takes the compiled cell; without one, what the wiring names, or else a WiredPlant.

        `seed`: of the noise.

        `start_tick`: what the clock shows when the board opens, 0..2**29-1. Raises BoardError for a speed below 0.
        """
        if speed < 0:
            raise BoardError(f"speed = {speed} is below 0; 1 is real time, {VIRTUAL} virtual time")
        if on_death not in ON_DEATH:
            raise BoardError(f"on_death = '{on_death}' is none of {', '.join(ON_DEATH)}")
        super().__init__(seed)
        self.name = "sim"
        self.on_death = on_death
        self.speed = speed
        self._factory = plant
        self._random = (seed * 2_654_435_761 + 97) & 0x3FFFFFFF
        self._start_tick = start_tick & MASK
        self._now = 0
        self._origin_ns = 0
        self._call_at = 0
        self._opened = False

    # --- life ---

    def open(self, spec: Spec, wiring: Wiring) -> None:
        """See Board.open. Raises BoardError for a plant that cannot be loaded or does not fit the cell."""
        self.plant: Plant = self._make_plant(spec, wiring)
        self._faults = FaultSet({**wire_faults(spec), **self.plant.faults.known})
        self._wire = WireFaults(spec, self._faults)
        self._bind(spec)
        self._origin_ns = time.monotonic_ns()
        self._now = 0
        self._opened = True
        self._step()

    def _make_plant(self, spec: Spec, wiring: Wiring) -> Plant:
        if self._factory is not None:
            return self._factory(spec)
        where = wiring.get("board", {}).get("plant")
        if where is None:
            return WiredPlant(spec, wiring)
        return load_plant(str(where))(spec)

    def _bind(self, spec: Spec) -> None:
        """Where each signal is in the images, and what its value is in raw counts."""
        self._inputs: Sequence[Any] = spec["inputs"]
        outputs = spec["outputs"]
        self._digital_in = [i for i, entry in enumerate(self._inputs) if entry["kind"] == "digital"]
        self._analog_in = [i for i, entry in enumerate(self._inputs) if entry["kind"] != "digital"]
        self._digital_out = [i for i, entry in enumerate(outputs) if entry["kind"] == "digital"]
        self._analog_out = [i for i, entry in enumerate(outputs) if entry["kind"] != "digital"]
        self._span_in = [list(self._inputs[i]["raw"]) for i in self._analog_in]
        self._span_out = [list(outputs[i]["raw"]) for i in self._analog_out]
        self._noise = [self._noise_of(n, i, bits) for n, (i, bits) in enumerate(self.plant.noise)]
        self.outputs = [max(0, int(entry["safe"])) for entry in outputs]
        self._words_in: list[int] = []
        self._counts: list[int] = []
        self._quality = bytearray(len(self._inputs))
        self._clean = True  # no wire fault is on: every quality is good and the values are the plant's
        self._words_out: list[int] = []
        self._analog_values: list[int] = []

    def _noise_of(self, n: int, i: int, bits: int) -> tuple[int, int, int, int]:
        """Of the n-th noisy signal: its place, which bits of the random number it takes, and their middle."""
        k = self._analog_in.index(i)
        span = self._span_in[k]
        if span:
            bits += (
                max(1, (span[1] - span[0]) // (span[3] - span[2])).bit_length() - 1
            )  # counts are finer than steps
        return k, 9 + n % 3 * 7, (1 << bits) - 1, (1 << bits) >> 1

    def close(self) -> None:
        """See Board.close: what a dead controller leaves behind is what `on_death` says."""
        if not self._opened:
            return
        self._opened = False
        if self.on_death != HOLD_LAST:
            self.drive([0] * len(self.outputs))

    # --- the scan ---

    def read(self, image: InputImage) -> None:
        """See Board.read."""
        if self.speed:
            self._follow_clock()
        if self._now >= self._call_at:
            self._step()
        if not self._clean:
            self._read_faulty(image)
            return
        image.words[:] = self._words_in
        counts = image.analog
        counts[:] = self._counts
        self._random = random = (self._random * 1_103_515_245 + 12_345) & 0x3FFFFFFF
        for k, shift, mask, half in self._noise:
            counts[k] += ((random >> shift) & mask) - half

    def write(self, image: OutputImage) -> None:
        """See Board.write."""
        if image.words != self._words_out or image.analog != self._analog_values:
            self._words_out = list(image.words)
            self._analog_values = list(image.analog)
            self.drive(self.values_of(image))

    def tick(self) -> int:
        """See Board.tick."""
        if self.speed:
            self._follow_clock()
        return (self._start_tick + self._now) & MASK

    def sleep_until(self, tick: int) -> None:
        """See Board.sleep_until; in virtual time it is this that makes time pass."""
        ahead = diff(tick, (self._start_tick + self._now) & MASK)
        if not self.speed:
            if ahead > 0:
                self._now += ahead
            return
        self._follow_clock()
        ahead = diff(tick, (self._start_tick + self._now) & MASK)
        if ahead > 0:  # to the beginning of that tick: the one that runs is partly gone
            due_ns = self._origin_ns + int((self._now + ahead) * 1_000_000 / self.speed)
            time.sleep(max(0, due_ns - time.monotonic_ns()) / 1_000_000_000)

    def make_safe(self, values: Sequence[int]) -> None:
        """See Board.make_safe."""
        if self.speed:
            self._follow_clock()
        self._words_out = []  # the next write is taken whatever it says
        self.drive([old if new == KEEP else new for old, new in zip(self.outputs, values, strict=True)])

    # --- faults ---

    def fault(self, name: str, on: bool) -> None:
        """Turn a fault of a device or of a wire on or off. Raises FaultNameError, listing the names."""
        self._faults.switch(name, on)
        if name in self.plant.faults.known:
            self.plant.faults.switch(name, on)
        self._step()
        self._wire.refresh(self.plant.inputs)
        self._clean = (
            False  # the next read looks at every quality, and finds out whether that is needed again
        )

    def faults(self) -> list[str]:
        """Every fault there is, sorted."""
        return sorted(self._faults.known)

    def fault_texts(self) -> dict[str, str]:
        """Every fault and what it does, in words."""
        return dict(self._faults.known)

    def active_faults(self) -> list[str]:
        """The faults that are on, sorted."""
        return self._faults.active()

    # --- what a relay or a device in front of the outputs needs ---

    def drive(self, values: list[int]) -> None:
        """Let these values act now, one integer an output in the order of the cell."""
        self.outputs = values
        self._step()

    def advance(self) -> None:
        """Let the plant follow to now without a scan, as it does while no controller is there."""
        if self.speed:
            self._follow_clock()
        if self._now >= self._call_at:
            self._step()

    def values_of(self, image: OutputImage) -> list[int]:
        """The integer value of every output in `image`."""
        values = [0] * len(self.outputs)
        for k, i in enumerate(self._digital_out):
            values[i] = image.words[k // WORD_BITS] >> k % WORD_BITS & 1
        for k, i in enumerate(self._analog_out):
            values[i] = _value(image.analog[k], self._span_out[k])
        return values

    # --- inside ---

    def _follow_clock(self) -> None:
        """Real time: bring the board's clock up to date."""
        self._now = max(self._now, int((time.monotonic_ns() - self._origin_ns) * self.speed) // 1_000_000)

    def _step(self) -> None:
        """Let the plant follow to now and take its sensors over."""
        plant = self.plant
        self._call_at = plant.step(self._now, self.outputs)
        if self._call_at <= self._now:
            raise BoardError(
                f"the plant asks to be called at {self._call_at} ms, it is {self._now} ms already"
            )
        self._words_in = self._pack_words(plant.inputs)
        self._counts = [
            _counts(plant.inputs[i], span) for i, span in zip(self._analog_in, self._span_in, strict=True)
        ]

    def _pack_words(self, values: Sequence[int]) -> list[int]:
        words = [0] * max(1, (len(self._digital_in) + WORD_BITS - 1) // WORD_BITS)
        for k, i in enumerate(self._digital_in):
            if values[i]:
                words[k // WORD_BITS] |= 1 << k % WORD_BITS
        return words

    def _read_faulty(self, image: InputImage) -> None:
        """The slow way, while a wire is faulty."""
        values = list(self.plant.inputs)
        self._random = (self._random * 1_103_515_245 + 12_345) & 0x3FFFFFFF
        self._wire.apply(self._now, values, self._quality)
        image.words[:] = self._pack_words(values)
        image.analog[:] = [
            _counts(values[i], span) for i, span in zip(self._analog_in, self._span_in, strict=True)
        ]
        image.quality[:] = self._quality
        self._clean = not self._wire.affected


def _counts(value: int, span: Sequence[int]) -> int:
    """The raw counts that read as `value`, rounded up so that scaling back gives `value` again."""
    if not span:
        return value
    return span[0] - (span[2] - value) * (span[1] - span[0]) // (span[3] - span[2])


def _value(count: int, span: Sequence[int]) -> int:
    if not span:
        return count
    return span[2] + (count - span[0]) * (span[3] - span[2]) // (span[1] - span[0])
