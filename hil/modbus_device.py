"""Simulated Modbus devices on one line: TCP, or RTU on a pseudo terminal.

    python -m hil.modbus_device examples/form_cell --board io
    python -m hil.modbus_device --model demo_io --address tcp://127.0.0.1:1502

The first serves every Modbus device of a cell's wiring where the wiring has it, with the cell's simulated machine
behind it; see hil.modbus_serve.

pymodbus reads and makes the frames. Its own server is not used: it answers for units that are not there, and cannot be
late, dead or wrong for one of them.
"""

import logging
import sys
from collections.abc import Sequence

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from hil.modbus_slave import ILLEGAL_FUNCTION, ILLEGAL_VALUE, READS, WRITES, ModbusSlave
from hil.serial_device import LATE_MS, SerialDevice

logging.getLogger("pymodbus").setLevel(
    logging.CRITICAL
)  # a request that cannot be read is answered, not logged

MOST_BYTES = 300
"""Longer than any request: what is not one by then never will be."""
MBAP_BYTES = 7


class ModbusDevice(SerialDevice):
    """One line with its slaves; see hil.serial_device for what can go wrong with it, and ModbusSlave.dead."""

    def __init__(
        self, slaves: Sequence[ModbusSlave], address: str = "tcp", late_ms: int = LATE_MS, seed: int = 1
    ) -> None:
        """`address`: see SerialDevice; on a pty the frames are RTU, else those of Modbus TCP."""
        super().__init__(address, late_ms, seed)
        self.slaves = {slave.unit: slave for slave in slaves}
        self._rtu = not address.startswith("tcp")
        self._framer = (FramerRTU if self._rtu else FramerSocket)(DecodePDU(True))
        self.connections = 0
        """How often the line was opened."""
        self._buffer = b""

    # --- see SerialDevice ---

    def power_on(self) -> bytes:
        """See SerialDevice: every device forgets what it was told."""
        for slave in self.slaves.values():
            slave.power_on()
        return b""

    def opened(self) -> bytes:
        """See SerialDevice: half a request of before is none."""
        self.connections += 1
        self._buffer = b""
        return b""

    def tick(self, now_ms: int) -> bytes:
        """See SerialDevice."""
        for slave in self.slaves.values():
            slave.tick()
        return b""

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice."""
        self._buffer += data
        answers = b""
        while self._buffer:
            try:
                used, question = self._framer.handleFrame(self._buffer, 0, 0)
            except ModbusException:
                answers += self._refuse()
                self._buffer = b""
                break
            self._buffer = self._buffer[used:]
            if question is None:
                break
            answers += self._answer(question)
        if len(self._buffer) > MOST_BYTES:
            self._buffer = b""
        return answers

    def foreign(self, answer: bytes) -> bytes:
        """See SerialDevice: the answer to another question (TCP), or of another unit (RTU)."""
        if self._rtu:
            body = bytes([answer[0] % 247 + 1]) + answer[1:-2]
            return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")
        return bytes([answer[0] ^ 0x55]) + answer[1:]

    # --- the protocol ---

    def _answer(self, question: ModbusPDU) -> bytes:
        slave = self.slaves.get(question.dev_id)
        if slave is None or slave.dead:
            return b""
        return self._framer.buildFrame(slave.answer(question))

    def _refuse(self) -> bytes:
        """A frame whose request cannot be read; on TCP its sender can be told."""
        if self._rtu or len(self._buffer) <= MBAP_BYTES:
            return b""
        function = self._buffer[MBAP_BYTES]
        code = ILLEGAL_VALUE if function in READS or function in WRITES else ILLEGAL_FUNCTION
        answer = ExceptionResponse(function & 0x7F, code)
        answer.transaction_id = int.from_bytes(self._buffer[:2], "big")
        answer.dev_id = self._buffer[MBAP_BYTES - 1]
        return self._framer.buildFrame(answer)


if __name__ == "__main__":
    from hil.modbus_serve import main

    sys.exit(main())
