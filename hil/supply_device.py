"""A simulated power supply with SCPI commands on a resistor: model "scpi_supply".

    python -m hil.supply_device --address tcp

Lines typed into it: the misbehaviours of every simulated device (hil/serial_device.py).
"""

import sys
from decimal import Decimal, InvalidOperation

from hil.serial_device import SerialDevice, parser_of, serve, split_lines

MOST_V = Decimal(60)
LOAD_OHM = Decimal(40)


class SupplyDevice(SerialDevice):
    """Knows *IDN?, VOLT, VOLT?, OUTP, OUTP?, MEAS:VOLT?, MEAS:CURR?; it does not answer what it does not know."""

    def __init__(self, address: str = "pty", identity: str = "ACME,PS1,0001,1.0", **options: int) -> None:
        super().__init__(address, **options)
        self.identity = identity
        self.volts = Decimal(0)
        self.on = False
        self._buffer = bytearray()

    def power_on(self) -> bytes:
        """See SerialDevice.power_on: it comes up at 0 V and off."""
        self.volts = Decimal(0)
        self.on = False
        self._buffer.clear()
        return b""

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice.handle."""
        self._buffer += data
        return b"".join(self._answer(line.decode("latin-1")) for line in split_lines(self._buffer))

    def foreign(self, answer: bytes) -> bytes:
        """See SerialDevice.foreign: the answer to a question about errors."""
        return b'-113,"Undefined header"\n'

    def _answer(self, line: str) -> bytes:
        word, _, value = line.partition(" ")
        measured = self.volts if self.on else Decimal(0)
        numbers = {"VOLT?": self.volts, "MEAS:VOLT?": measured, "MEAS:CURR?": measured / LOAD_OHM}
        if word in numbers:
            return f"{float(numbers[word]):+.8E}\n".encode("ascii")
        if word == "*IDN?":
            return f"{self.identity}\n".encode("ascii")
        if word == "OUTP?":
            return b"1\n" if self.on else b"0\n"
        if word == "OUTP" and value in ("ON", "OFF", "1", "0"):
            self.on = value in ("ON", "1")
        if word == "VOLT":
            self._set_volts(value)
        return b""

    def _set_volts(self, text: str) -> None:
        try:
            volts = Decimal(text)
        except InvalidOperation:
            return
        if 0 <= volts <= MOST_V:
            self.volts = volts


def main(arguments: list[str] | None = None) -> int:
    """Print the address and be a power supply, until SIGTERM or SIGINT."""
    parser = parser_of("hil.supply_device", "A power supply with SCPI commands that is not there.")
    return serve(SupplyDevice(parser.parse_args(arguments).address))


if __name__ == "__main__":
    sys.exit(main())
