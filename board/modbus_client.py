"""A Modbus client on a line of ours: pymodbus makes frames and reads them, the bytes go through a Transport."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pymodbus.client.base import ModbusBaseSyncClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.transport import CommParams, CommType

from board.modbus_plan import Block, character_s, frame_bytes, silence_s
from board.modbus_values import BIT_TABLES
from board.transport import SerialSettings, Transport
from cell_controller.errors import DeviceError, LinkLostError

logging.getLogger("pymodbus").setLevel(
    logging.CRITICAL
)  # every late answer is an error to it; ours is in the link

MOST_BYTES = 600
"""More than two of the longest answers: who sends so much to one question does not answer it."""
MOST_READS = 16
NO_LIMIT_S = 3600.0

SOON = 2
"""On a serial line, so many times the time for an answer after a question in vain, an answer is looked at twice."""
LATEST_S = 0.6
"""So late an answer can be and is still told from that of a question soon after."""

READ_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
WRITE_FUNCTIONS = {("coil", True): 5, ("holding", True): 6, ("coil", False): 15, ("holding", False): 16}
"""(table, single) -> function."""
GATEWAY_SILENCE = (10, 11)
"""Exceptions by which a gateway says that the unit behind it does not answer."""
EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge, it takes longer",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target failed to respond",
}


@dataclass(frozen=True)
class _Owed:
    """Questions to which no answer came: when the last was asked, and the longest time between two of them."""

    asked_at: float
    between_s: float


class LineClient(ModbusBaseSyncClient):
    """Asks the devices on one line, one question at a time. On a serial line frames are RTU, else those of Modbus TCP.

    `heard`: whether the last question was answered at all, be it with an exception.
    """

    def __init__(
        self,
        line: Transport,
        serial: SerialSettings | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`serial`: how the line is set, None for a TCP connection. `clock`: seconds."""
        # SERIAL: pymodbus would close a TCP connection by itself after some lost answers; the line is our worker's
        params = CommParams(
            comm_name=line.name, comm_type=CommType.SERIAL, host=line.name, timeout_connect=NO_LIMIT_S
        )
        framer = FramerType.SOCKET if serial is None else FramerType.RTU
        super().__init__(framer, 0, params, None, None, None)
        self.heard = False
        self._line = line
        self._clock = clock
        self._sleep = sleep
        self._character_s = self._silence_s = 0.0
        if serial is not None:
            self._character_s = character_s(serial)
            self._silence_s = silence_s(serial)
        self._limit_s = 0.0
        self._deadline = 0.0
        self._quiet_at = 0.0
        self._received = 0
        self._asked_at = 0.0
        self._owed: dict[tuple[int, int], _Owed] = {}  # by unit and function

    # --- questions ---

    def read(self, unit: int, block: Block, answer_s: float) -> list[int]:
        """The bits or registers of `block`. Raises DeviceError for a bad or no answer, LinkLostError for a lost line.

        `answer_s`: how long the device may think; what the bytes take on a serial line comes on top.
        """
        ask = {
            "coil": self.read_coils,
            "discrete": self.read_discrete_inputs,
            "holding": self.read_holding_registers,
            "input": self.read_input_registers,
        }[block.table]
        answer = self._ask(
            unit,
            lambda: ask(block.address, count=block.count, device_id=unit),
            READ_FUNCTIONS[block.table],
            self._time_s(block, False, answer_s),
        )
        found = answer.bits if block.table in BIT_TABLES else answer.registers
        least = (block.count + 7) // 8 * 8 if block.table in BIT_TABLES else block.count
        if len(found) != least:
            raise DeviceError(f"answers {len(found)} values where {least} were asked for")
        return [int(value) for value in found[: block.count]]

    def write(self, unit: int, block: Block, values: Sequence[int], single: bool, answer_s: float) -> None:
        """Set the bits or registers of `block`, which is of coils or holding registers. Raises as `read`.

        `single`: with the function for one value; `block` has one then.
        """
        bits = [bool(value) for value in values]
        calls: dict[int, Callable[[], ModbusPDU]] = {
            5: lambda: self.write_coil(block.address, bits[0], device_id=unit),
            6: lambda: self.write_register(block.address, values[0], device_id=unit),
            15: lambda: self.write_coils(block.address, bits, device_id=unit),
            16: lambda: self.write_registers(block.address, list(values), device_id=unit),
        }
        function = WRITE_FUNCTIONS[block.table, single]
        answer = self._ask(unit, calls[function], function, self._time_s(block, True, answer_s))
        told = {5: answer.bits, 6: answer.registers}.get(function, answer.count)
        meant = {5: bits, 6: list(values)}.get(function, block.count)
        if answer.address != block.address or told != meant:
            raise DeviceError(f"confirms another writing than that of {block}")

    def _time_s(self, block: Block, writing: bool, answer_s: float) -> float:
        return answer_s + self._silence_s + sum(frame_bytes(block, writing)) * self._character_s

    def _ask(self, unit: int, call: Callable[[], ModbusPDU], function: int, limit_s: float) -> ModbusPDU:
        self.heard = False
        self._limit_s = limit_s
        self._received = 0
        try:
            answer = call()
        except ModbusException as error:
            self._owe(unit, function)
            limit_ms = round(limit_s * 1000)
            if not self._received:
                raise DeviceError(f"no answer within {limit_ms} ms") from error
            raise DeviceError(
                f"no answer within {limit_ms} ms, but {self._received} bytes that are none"
            ) from error
        if answer.function_code & 0x7F != function:
            self._owe(unit, function)
            raise DeviceError(f"answers function {answer.function_code} where {function} was asked")
        self._make_sure(unit, function)
        self.heard = True
        if answer.isError():
            code = answer.exception_code
            self.heard = code not in GATEWAY_SILENCE
            raise DeviceError(f"{EXCEPTIONS.get(code, 'an unknown exception')} (exception {code})")
        return answer

    def _owe(self, unit: int, function: int) -> None:
        self._owed[unit, function] = self._with_this(unit, function)

    def _with_this(self, unit: int, function: int) -> _Owed:
        before = self._owed.get((unit, function))
        between_s = NO_LIMIT_S if before is None else self._asked_at - before.asked_at
        if before is None or between_s > max(SOON * self._limit_s, LATEST_S):
            return _Owed(self._asked_at, 0.0)
        return _Owed(self._asked_at, max(before.between_s, between_s))

    def _make_sure(self, unit: int, function: int) -> None:
        """RTU frames have no numbers: soon after a question in vain, this may be the late answer to that one.

        So it does not count, also where no further one comes: a device that is busy may not have heard this question.
        The next late answer would come as long after this one as lies between two of the questions. If one comes, all
        that are on their way are waited for, so that the next question finds none.
        """
        between_s = self._with_this(unit, function).between_s
        self._owed.pop((unit, function), None)
        if not between_s or not self._silence_s:
            return
        end = self._clock() + LATEST_S
        late = 0
        while self._clock() < end and self._line.read(4096, between_s + self._limit_s / 2):
            late += 1
        if late:
            raise DeviceError(f"its answers come late: {late} more than questions were asked")
        raise DeviceError("an answer soon after a question in vain may be that question's; it is asked again")

    # --- the line, as pymodbus asks for it ---

    def connect(self) -> bool:
        """Whether the line is open; the line's worker opens it."""
        if not self._line.is_open:
            raise LinkLostError(f"{self._line.name} is not open")
        return True

    def close(self) -> None:
        """Close the line."""
        self._line.close()

    def is_socket_open(self) -> bool:
        """Whether the line is open."""
        return self._line.is_open

    def send(self, request: bytes, addr: tuple[str, int] | None = None) -> int:
        """Send a frame, after the silence that has to be before it; what came unasked is forgotten."""
        for _ in range(MOST_READS):
            if not self._line.read(4096, 0):
                break
            self._quiet_at = self._clock() + self._silence_s
        else:
            raise DeviceError(f"{self._line.name} does not stop talking without being asked")
        wait_s = self._quiet_at - self._clock()
        if wait_s > 0:
            self._sleep(wait_s)
        self._line.write(request)
        self._asked_at = now = self._clock()
        self._deadline = now + self._limit_s
        self._quiet_at = now + len(request) * self._character_s + self._silence_s
        return len(request)

    def recv(self, size: int | None) -> bytes:
        """What comes next of the answer, b"" when its time is over."""
        left_s = self._deadline - self._clock()
        data = self._line.read(4096, left_s) if left_s > 0 else b""
        if data:
            self._quiet_at = self._clock() + self._silence_s
            self._received += len(data)
            if self._received > MOST_BYTES:
                raise DeviceError(f"sends more than {MOST_BYTES} bytes to one question")
        return data
