"""A microcontroller's board on fake hardware that is wired to a plant: its terminals as the wiring table says."""

from collections.abc import Mapping, Sequence
from typing import Any

from board.contract import Spec, Wiring
from board.machine_board import MachineBoard
from board.simulated import Simulated
from cell_controller.core.signals import WORD_BITS, InputImage, OutputImage
from cell_controller.core.ticks import MASK, diff
from hil.paint_plant import PaintPlant
from hil.plant import PlantFactory
from tests.board.fake_machine import (
    AS_PWM,
    FakeClock,
    FakeConverter,
    FakeExpander,
    FakeMachine,
    World,
)

LINE_EVERY_MS = 1000


class MachineRig(Simulated):
    """Keeps the contract of a board, so that the suites of the simulated boards run on it."""

    def __init__(
        self, table: Mapping[str, Any], start_tick: int = 0, plant: PlantFactory = PaintPlant
    ) -> None:
        """`start_tick`: what the 30-bit counter of the chip shows at the beginning."""
        super().__init__()
        self.table = dict(table)
        self.world = World()
        self.clock = FakeClock(start_tick)
        self.machine = FakeMachine(self.world)
        self._factory = plant
        for kind, _, address, *_ in self.table["devices"]:
            self.world.devices[address] = FakeExpander() if kind == 1 else FakeConverter()

    def open(self, spec: Spec, wiring: Wiring) -> None:
        """See Board.open."""
        self.spec = spec
        self.plant = self._factory(spec)
        self.board = MachineBoard(self.machine, dict(spec), self.table, self.clock)
        self.name = self.board.name
        self.on_death = self.board.on_death
        self._digital_in = [i for i, entry in enumerate(spec["inputs"]) if entry["kind"] == "digital"]
        self._analog_in = [i for i, entry in enumerate(spec["inputs"]) if entry["kind"] != "digital"]
        self._digital_out = [i for i, entry in enumerate(spec["outputs"]) if entry["kind"] == "digital"]
        self._analog_out = [i for i, entry in enumerate(spec["outputs"]) if entry["kind"] != "digital"]
        self._pulses = [self.plant.inputs[self._analog_in[row[3]]] for row in self.table["pulse"]]
        self._line_at = 0
        self._call_at = self.plant.step(0, self.outputs)
        self._sense()
        self.board.open()
        self.step()

    # --- the scan ---

    def read(self, image: InputImage) -> None:
        """See Board.read."""
        self.board.read(image)

    def write(self, image: OutputImage) -> None:
        """See Board.write."""
        self.board.write(image)
        self.step()

    def tick(self) -> int:
        """See Board.tick."""
        return self.board.tick()

    def sleep_until(self, tick: int) -> None:
        """See Board.sleep_until; the plant follows."""
        while diff(tick, self.board.tick()) > 0:
            self.board.sleep_until((self.board.tick() + min(10, diff(tick, self.board.tick()))) & MASK)
            self.step()

    def make_safe(self, values: Sequence[int]) -> None:
        """See Board.make_safe."""
        self.board.make_safe(values)
        self.step()

    def close(self) -> None:
        """See Board.close."""
        self.board.close()
        self.step()

    def faults(self) -> list[str]:
        """Faults of the plant's devices."""
        return sorted(self.plant.faults.known)

    def fault(self, name: str, on: bool) -> None:
        """Switch a fault of the plant."""
        self.plant.faults.switch(name, on)
        self._call_at = self.clock.now
        self.step()

    # --- the wires ---

    @property
    def outputs(self) -> list[int]:
        """What each output really is at its terminal, one integer an output: nothing drives it is 0."""
        spec, table, world = self.spec, self.table, self.world
        values = [0] * len(spec["outputs"])
        for pin, w, mask in table["pins_out"]:
            inverted = 1 if table["invert_out"][w] & mask else 0
            values[self._digital_out[_place(w, mask)]] = world.level(pin) ^ inverted
        for row in table["devices"]:
            if row[0] == 1:
                device = world.devices[row[2]]
                for bits, w, mask in row[6]:
                    inverted = 1 if table["invert_out"][w] & mask else 0
                    level = device.level(bits.bit_length() - 1)
                    values[self._digital_out[_place(w, mask)]] = level ^ inverted
        for pin, _, place in table["pwm"]:
            i = self._analog_out[place]
            span = spec["outputs"][i]["raw"]
            duty = world.duty[pin] if world.mode[pin] == AS_PWM else span[0]
            values[i] = span[2] + -(-(duty - span[0]) * (span[3] - span[2]) // (span[1] - span[0]))
        return values

    def output(self, name: str) -> int:
        """One output by name."""
        return self.outputs[[entry["name"] for entry in self.spec["outputs"]].index(name)]

    def step(self) -> None:
        """Let the plant follow to now."""
        outputs = self.outputs
        if self.clock.now >= self._call_at or outputs != self._last:
            self._call_at = self.plant.step(self.clock.now, outputs)
            self._last = outputs
            self._sense()
        self._send_lines()

    _last: Sequence[int] = ()

    def _sense(self) -> None:
        """The plant's sensors onto the terminals."""
        world, table = self.world, self.table
        for pin, _, w, mask in table["pins_in"]:
            world.outside[pin] = self._level(w, mask)
        for row in table["devices"]:
            device = world.devices[row[2]]
            if row[0] == 1:
                for bits, w, mask in row[5]:
                    device.outside = device.outside & ~bits | (bits if self._level(w, mask) else 0)
            else:
                for config, place, _ in row[3]:
                    device.counts[(config >> 12 & 7) - 4] = self._count(place)
        for pin, shift, place in table["adc"]:
            world.counts[pin] = self._count(place) << shift
        for k, row in enumerate(table["pulse"]):
            value = self.plant.inputs[self._analog_in[row[3]]]
            while self._pulses[k] < value and world.handlers[row[0]] is not None:
                self._pulses[k] += 1
                world.edge(row[0], 1)
                world.edge(row[0], 0)

    def _level(self, w: int, mask: int) -> int:
        inverted = 1 if self.table["invert_in"][w] & mask else 0
        return self.plant.inputs[self._digital_in[_place(w, mask)]] ^ inverted

    def _count(self, place: int) -> int:
        i = self._analog_in[place]
        span = self.spec["inputs"][i]["raw"]
        return int(span[0] - (span[2] - self.plant.inputs[i]) * (span[1] - span[0]) // (span[3] - span[2]))

    def _send_lines(self) -> None:
        """The reader sends its number once a second, and when another carrier comes."""
        for port, _, _, _, _, signal, _ in self.table["uart"]:
            number = self.plant.inputs[signal]
            if self.clock.now >= self._line_at or number != self._number:
                self._number = number
                self._line_at = self.clock.now + LINE_EVERY_MS
                self.world.received[port] += b"%d\r\n" % number

    _number = 0


def _place(w: int, mask: int) -> int:
    return w * WORD_BITS + mask.bit_length() - 1
