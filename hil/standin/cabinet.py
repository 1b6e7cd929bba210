"""The machine that a stand-in board is wired to: the plant of a cell, its watchdog relay, and the wires between.

It is the board server of that cell with pins in place of a controller's connection, so an observer sees and does the
same. The wires are those of the cell's wiring file for the microcontroller, as compiled for the board itself.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cell_controller.core.signals import GOOD, InputImage, OutputImage
from cell_controller.errors import FaultNameError
from hil.board_server import BoardServer
from hil.plant import load_plant
from hil.standin.chip import chip_at
from hil.standin.device import layout
from hil.standin.parts import Shared, StandInError
from hil.wired_plant import WiredPlant
from host_tools.cellfile import compile_cell
from host_tools.compile_wiring import compile_wiring

WIRING = "pico_w"
TURN_S = 0.002
"""How often the plant sees the pins, and the pins the plant."""
SAY_AGAIN = 3
"""A reader of carriers repeats itself this often within the time after which its number is forgotten."""
MCP23017, ADS1115 = 1, 2
UNREADABLE = b"?\r\n"
"""What a reader says that cannot make out the number."""


class Cabinet(BoardServer):
    """A thread of its own from `start` to `stop_and_wait`."""

    def __init__(
        self, directory: str | Path, shared: Shared, speed: float = 1.0, wiring: str = WIRING
    ) -> None:
        """`directory`: a cell with wiring/pico_w.toml, and wiring/sim.toml for its plant. Raises CellError."""
        compiled = compile_cell(directory, board=wiring)
        self._table = compile_wiring(compiled)
        super().__init__(compiled.spec, compiled.wiring, speed, plant=_plant(directory, compiled.wiring))
        self._words = shared.words
        self._bytes = shared.bytes
        self._sensed = InputImage(dict(compiled.spec))
        self._driven = OutputImage(dict(compiled.spec))
        self._seen: tuple[list[int], list[int]] = ([], [])
        self._pulses: dict[int, int] = {}
        self._said: dict[int, tuple[int, float]] = {}
        self._live_zero, self._never = _by_wire(compiled.spec, self._table)
        self._thread = threading.Thread(target=self._run, name="stand-in's plant", daemon=True)
        self._failure: BaseException | None = None
        for device in self._table["devices"]:
            self._bytes[chip_at(device[2]) + layout.CHIP_THERE] = 1
        self._sense()

    def start(self) -> None:
        """Let time pass in the plant."""
        self._thread.start()

    def stop_and_wait(self) -> None:
        """End the thread. Raises StandInError with what had stopped the plant before."""
        self.stop()
        self._thread.join()
        if self._failure is not None:
            raise StandInError(f"the plant of the stand-in board stopped: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            while not self._stopping:
                self.turn(TURN_S)
        except Exception as error:  # noqa: BLE001  told to whoever closes the board
            self._failure = error
        finally:
            self.close()

    def turn(self, wait_s: float) -> None:
        """See BoardServer.turn; then pins to plant and plant to pins."""
        super().turn(wait_s)
        self._read_pins()
        self._sense()

    # --- from the pins ---

    def _read_pins(self) -> None:
        image = self._driven
        words, analog = [0] * len(image.words), [0] * len(image.analog)
        inverted = self._table["invert_out"]
        for pin, word, mask in self._table["pins_out"]:
            if self._bytes[layout.MODE + pin] == layout.OUT:
                level = mask if self._bytes[layout.LATCH + pin] else 0
                words[word] |= level ^ inverted[word] & mask
        for device in self._table["devices"]:
            if device[0] == MCP23017:
                self._read_expander(device, words)
        for pin, _, place in self._table["pwm"]:
            analog[place] = self._words[layout.PWM_DUTY + pin]
        if (words, analog) != self._seen:
            self._seen = (words, analog)
            image.words[:] = words
            image.analog[:] = analog
            self._command(self.board.values_of(image))

    def _read_expander(self, device: list[Any], words: list[int]) -> None:
        at = chip_at(device[2])
        inputs = self._bytes[at] | self._bytes[at + 1] << 8
        latch = self._bytes[at + 0x14] | self._bytes[at + 0x15] << 8
        inverted = self._table["invert_out"]
        for bit, word, mask in device[6]:
            if not inputs & bit:
                words[word] |= (mask if latch & bit else 0) ^ inverted[word] & mask

    # --- to the pins ---

    def _sense(self) -> None:
        image = self._sensed
        self.board.read(image)
        inverted = self._table["invert_in"]
        for pin, _, word, mask in self._table["pins_in"]:
            self._bytes[layout.LEVEL + pin] = 1 if (image.words[word] ^ inverted[word]) & mask else 0
        for device in self._table["devices"]:
            if device[0] == MCP23017:
                self._drive_expander(device, image.words)
            else:
                self._drive_converter(device, image.analog)
        for pin, shift, place in self._table["adc"]:
            count = image.analog[place] << shift
            if count > 0xFFFF and place in self._live_zero:
                count = 0  # beyond its range it cannot show; a broken current loop is below it
            self._words[layout.ADC + pin - 26] = max(0, min(0xFFFF, count))
        for row in self._table["pulse"]:
            self._pulse(row[0], image.analog[row[3]])
        for port, _, _, _, place, signal, keep_ms in self._table["uart"]:
            self._say(port, image.analog[place] if image.quality[signal] == GOOD else -1, keep_ms)

    def _drive_expander(self, device: list[Any], words: list[int]) -> None:
        at = chip_at(device[2])
        level = driven = 0
        inverted = self._table["invert_in"]
        for bit, word, mask in device[5]:
            driven |= bit
            level |= bit if (words[word] ^ inverted[word]) & mask else 0
        for side in range(2):
            self._bytes[at + layout.CHIP_LEVEL + side] = level >> 8 * side & 0xFF
            self._bytes[at + layout.CHIP_DRIVEN + side] = driven >> 8 * side & 0xFF

    def _drive_converter(self, device: list[Any], analog: list[int]) -> None:
        at = chip_at(device[2]) + layout.CHIP_COUNTS
        for config, place, _ in device[3]:
            count = max(-0x8000, min(0x7FFF, analog[place])) & 0xFFFF
            channel = at + 2 * (config >> 12 & 3)
            self._bytes[channel] = count >> 8
            self._bytes[channel + 1] = count & 0xFF

    def _pulse(self, pin: int, count: int) -> None:
        more = max(0, count - self._pulses.get(pin, count))
        self._pulses[pin] = count
        word = layout.EDGES + pin
        self._words[word] = (self._words[word] + more) & 0xFFFFFFFF

    def _say(self, port: int, number: int, keep_ms: int) -> None:
        """A reader sends its number as a line when it changes, and again from time to time; -1: it cannot read it."""
        now = time.monotonic() * self.board.speed
        said, at = self._said.get(port, (-2, 0.0))
        if number == said and now - at < keep_ms / 1000 / SAY_AGAIN:
            return
        self._said[port] = (number, now)
        if not self._words[layout.UART_ON + port]:
            return
        ring = layout.UARTS + 2 * layout.RING_BYTES * port
        head = self._words[layout.RING + 4 * port]
        for byte in b"%d\r\n" % number if number >= 0 else UNREADABLE:
            after = (head + 1) % layout.RING_BYTES
            if after == self._words[layout.RING + 4 * port + 1]:
                break  # nobody reads: the rest is lost
            self._bytes[ring + head] = byte
            head = after
        self._words[layout.RING + 4 * port] = head

    # --- observers ---

    def _all_faults(self) -> list[str]:
        return [name for name in super()._all_faults() if name not in self._never]

    def _fault(self, question: dict[str, Any]) -> dict[str, Any]:
        """As on any board; what no pin can show is refused rather than left without effect."""
        name = str(question["name"])
        if name in self._never:
            raise FaultNameError(f"no fault '{name}' on this board: no level of its pin shows it; try .stuck")
        return super()._fault(question)

    def _observe(self, question: dict[str, Any]) -> dict[str, Any]:
        return super()._observe(question) | {"connected": True}


def _by_wire(spec: Mapping[str, Any], table: Mapping[str, Any]) -> tuple[set[int], set[str]]:
    """Places of converters whose span begins above 0, and the faults that the wires of this table cannot have."""
    inputs = spec["inputs"]
    spans = {place: entry["raw"] for place, entry in enumerate(e for e in inputs if e["kind"] != "digital")}
    names = [entry["name"] for entry in inputs if entry["kind"] != "digital"]
    readers = {inputs[row[5]]["name"] for row in table["uart"]}
    live_zero, never = set(), {f"{e['name']}.stale" for e in inputs if e["name"] not in readers}
    for _, shift, place in table["adc"]:
        low, high = sorted(spans[place][:2])
        if low > 0:
            live_zero.add(place)
        elif high >= 0xFFFF >> shift:
            never.add(f"{names[place]}.out_of_range")
    return live_zero, never


def _plant(directory: str | Path, wiring: Mapping[str, Any]) -> Any:
    """The plant that the wiring names, else that of the simulated board, else one wire an input."""
    for tables in (wiring, compile_cell(directory, board="sim").wiring):
        where = tables.get("board", {}).get("plant")
        if where is not None:
            return load_plant(str(where))
    sim = compile_cell(directory, board="sim").wiring
    return lambda spec: WiredPlant(spec, sim)
