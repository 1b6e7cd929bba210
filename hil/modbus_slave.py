"""The inside of a simulated Modbus device: its registers, what it answers, and its comms time-out. No line here."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsResponse,
    ReadDiscreteInputsResponse,
    WriteMultipleCoilsResponse,
    WriteSingleCoilResponse,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterResponse,
)

from board.modbus_points import Place, place_of

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
READS: dict[int, tuple[str, type[ModbusPDU]]] = {
    1: ("coil", ReadCoilsResponse),
    2: ("discrete", ReadDiscreteInputsResponse),
    3: ("holding", ReadHoldingRegistersResponse),
    4: ("input", ReadInputRegistersResponse),
}
WRITES = {5: "coil", 6: "holding", 15: "coil", 16: "holding"}


class ModbusSlave:
    """One device with an address on a line, as a description says it (host_tools.devices.modbus), all of it in RAM.

    It reads across holes up to the description's gap, as 0, and refuses every other address. Only writing an output
    feeds its comms time-out: reading does not, as in the more suspicious half of real devices. After it the outputs go
    to their fallback values and stay there until one is written.

    What can be wrong with it: `dead` (it answers nothing and sees nothing), `stuck` (table and address of what does not
    change when it is written), `refused` (the exception code by which it refuses a table).
    """

    def __init__(
        self, settings: Mapping[str, Any], clock: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000
    ) -> None:
        """`clock`: milliseconds."""
        self.unit = int(settings["unit"])
        self.dead = False
        self.stuck: set[tuple[str, int]] = set()
        self.refused: dict[str, int] = {}
        self.requests: Counter[int] = Counter()
        """How many requests of each function there were."""
        self.writes: Counter[tuple[str, int]] = Counter()
        """How often each coil and register was written."""
        self.longest_ms = 0
        """The longest time between two writings of outputs."""
        self._settings = settings
        self._clock = clock
        self._places: dict[str, Place] = {name: place_of(point) for name, point in settings["points"].items()}
        self._is_output = {name: bool(point["is_output"]) for name, point in settings["points"].items()}
        self._writable = {
            (place.block.table, address)
            for name, place in self._places.items()
            if self._is_output[name]
            for address in range(place.block.address, place.block.end)
        }
        self._readable: set[tuple[str, int]] = set()
        self._fill_holes()
        self.power_on()

    def _fill_holes(self) -> None:
        register = self._settings["timeout_register"]
        blocks = sorted({place.block for place in self._places.values()})
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            end = block.end
            if (
                after is not None
                and after.table == block.table
                and after.address - end <= self._settings["gap"]
            ):
                end = after.address
            self._readable |= {(block.table, address) for address in range(block.address, end)}
        if register is not None:
            self._readable.add(("holding", register["address"]))
            self._writable.add(("holding", register["address"]))

    # --- what its owner does with it ---

    def power_on(self) -> None:
        """Switched on: everything is 0, and the comms time-out is none where a register holds it."""
        self._cells = dict.fromkeys(self._readable, 0)
        self._fed_at = self._clock()
        self.fallen_back = True

    def put(self, name: str, count: int) -> None:
        """A sensor reads `count`, or the device changes an output by itself."""
        place = self._places[name]
        self.poke(name, [word & place.value.mask for word in place.value.words(count)])

    def poke(self, name: str, words: Sequence[int]) -> None:
        """As `put`, with what the registers hold."""
        place = self._places[name]
        for address, word in zip(range(place.block.address, place.block.end), words, strict=True):
            before = self._cells[place.block.table, address]
            self._cells[place.block.table, address] = before & ~place.value.mask | word

    def get(self, name: str) -> int | None:
        """The count of a point; None where its registers hold no value of its range."""
        place = self._places[name]
        block = place.block
        return place.value.count([self._cells[block.table, a] for a in range(block.address, block.end)])

    def outputs(self) -> dict[str, int]:
        """What it drives: the count of each output."""
        return {name: self.get(name) or 0 for name, is_output in self._is_output.items() if is_output}

    @property
    def timeout_ms(self) -> int:
        """Its comms time-out now; 0 is none."""
        register = self._settings["timeout_register"]
        if register is None:
            return int(self._settings["comms_timeout_ms"])
        return self._cells["holding", register["address"]] * int(register["step_ms"])

    def tick(self) -> None:
        """Time has passed."""
        if self.fallen_back or not self.timeout_ms or self._clock() - self._fed_at < self.timeout_ms:
            return
        self.fallen_back = True
        for name, is_output in self._is_output.items():
            if is_output:
                self.put(name, int(self._settings["points"][name]["fallback"]))

    # --- the protocol ---

    def answer(self, question: ModbusPDU) -> ModbusPDU:
        """The response to a request; with an exception code where it refuses."""
        function = question.function_code
        self.requests[function] += 1
        if function in READS:
            found = self._read(function, question)
        elif function in WRITES:
            found = self._write(function, question)
        else:
            found = ILLEGAL_FUNCTION
        answer = ExceptionResponse(function, found) if isinstance(found, int) else found
        answer.dev_id, answer.transaction_id = question.dev_id, question.transaction_id
        return answer

    def _read(self, function: int, question: ModbusPDU) -> ModbusPDU | int:
        table, response = READS[function]
        if table in self.refused:
            return self.refused[table]
        most = self._settings["max_registers" if function > 2 else "max_bits"]
        if question.count > most:
            return ILLEGAL_VALUE
        keys = [(table, question.address + k) for k in range(question.count)]
        if any(key not in self._readable for key in keys):
            return ILLEGAL_ADDRESS
        words = [self._cells[key] for key in keys]
        return response(registers=words) if function > 2 else response(bits=[bool(word) for word in words])

    def _write(self, function: int, question: ModbusPDU) -> ModbusPDU | int:
        if not self._settings["write_single" if function in (5, 6) else "write_multiple"]:
            return ILLEGAL_FUNCTION
        table = WRITES[function]
        if table in self.refused:
            return self.refused[table]
        words = [int(word) for word in (question.bits if table == "coil" else question.registers)]
        keys = [(table, question.address + k) for k in range(len(words))]
        if any(key not in self._writable for key in keys):
            return ILLEGAL_ADDRESS
        self.writes.update(keys)
        self._cells.update(
            (key, word) for key, word in zip(keys, words, strict=True) if key not in self.stuck
        )
        register = self._settings["timeout_register"]
        if register is None or keys != [("holding", register["address"])]:
            now = self._clock()
            self.longest_ms = max(self.longest_ms, now - self._fed_at)
            self._fed_at, self.fallen_back = now, False
        address, count = question.address, len(words)
        if function == 5:
            return WriteSingleCoilResponse(address=address, bits=[bool(words[0])])
        if function == 6:
            return WriteSingleRegisterResponse(address=address, registers=words)
        if function == 15:
            return WriteMultipleCoilsResponse(address=address, count=count)
        return WriteMultipleRegistersResponse(address=address, count=count)
