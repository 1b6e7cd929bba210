"""A simulated weighing scale with MT-SICS commands: model "scale_sics".

    python -m hil.scale_device --address /tmp/scale

A load swings in for `settle_ms`, and is told as unstable meanwhile. Lines typed into it: `load 123.45`, `unit lb`, and
the misbehaviours of every simulated device (hil/serial_device.py).
"""

import sys
from decimal import Decimal

from board.device_link import now_ms
from hil.serial_device import SerialDevice, parser_of, serve, split_lines

SETTLE_MS = 300
SWING = Decimal("0.37")
GRAMS_OF = {"g": Decimal(1), "kg": Decimal(1000), "lb": Decimal("453.59237")}
MOST_G = Decimal(6200)
LEAST_G = Decimal(-100)


class ScaleDevice(SerialDevice):
    """Knows SI, TI, ZI, I4 and @; all else is answered ES. `@` and the mains reset its tare, and it says who it is."""

    def __init__(self, address: str = "pty", serial_number: str = "B021002593", **options: int) -> None:
        super().__init__(address, **options)
        self.serial_number = serial_number
        self.unit = "g"
        self.gross_g = Decimal(0)
        self.tare_g = Decimal(0)
        self.tares = 0
        """How often it was tared since it was made; switching it off does not set it back."""
        self._steady_at = 0
        self._buffer = bytearray()

    def load(self, grams: Decimal | str) -> None:
        """Put a load on the pan, in place of what was there."""
        with self.lock:
            self.gross_g = Decimal(grams)
            self._steady_at = now_ms() + SETTLE_MS

    def switch_unit(self, unit: str) -> None:
        """Somebody presses its key for units: "g", "kg" or "lb"."""
        with self.lock:
            self.unit = unit if unit in GRAMS_OF else self.unit

    def power_on(self) -> bytes:
        """See SerialDevice.power_on: it zeroes itself and says its serial number."""
        self.tare_g = Decimal(0)
        self._buffer.clear()
        return self._identity()

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice.handle."""
        self._buffer += data
        return b"".join(self._answer(line) for line in split_lines(self._buffer))

    def foreign(self, answer: bytes) -> bytes:
        """See SerialDevice.foreign: what it says when another asks for its date."""
        return b"DAT A 26 07 2026\r\n"

    def _answer(self, line: bytes) -> bytes:
        if line == b"SI":
            return self._weight(b"S")
        if line == b"TI":
            answer = self._weight(b"TI")
            if b" +" not in answer[:5] and b" -" not in answer[:5]:
                self.tare_g = self._now_g()
                self.tares += 1
                return b"TI " + self._state() + self._shown(self.tare_g)
            return answer
        if line == b"ZI":
            self.tare_g = self._now_g()
            return b"ZI " + self._state() + b"\r\n"
        if line == b"I4":
            return self._identity()
        if line == b"@":
            return self.power_on()
        return b"ES\r\n"

    def _weight(self, name: bytes) -> bytes:
        grams = self._now_g()
        if grams > MOST_G:
            return name + b" +\r\n"
        if grams < LEAST_G:
            return name + b" -\r\n"
        return name + b" " + self._state() + self._shown(grams - self.tare_g)

    def _now_g(self) -> Decimal:
        """What the load cell has: the load, and the swing of one that was just put on."""
        return self.gross_g + (0 if self._steady() else SWING * ((now_ms() // 20) % 3 - 1))

    def _steady(self) -> bool:
        return now_ms() >= self._steady_at

    def _state(self) -> bytes:
        return b"S" if self._steady() else b"D"

    def _shown(self, grams: Decimal) -> bytes:
        value = grams / GRAMS_OF[self.unit]
        return f" {value:10.2f} {self.unit}\r\n".encode("ascii")

    def _identity(self) -> bytes:
        return f'I4 A "{self.serial_number}"\r\n'.encode("ascii")


def main(arguments: list[str] | None = None) -> int:
    """Print the address and be a scale, until SIGTERM or SIGINT."""
    parser = parser_of("hil.scale_device", "A weighing scale with MT-SICS commands that is not there.")
    options = parser.parse_args(arguments)
    scale = ScaleDevice(options.address)
    return serve(scale, {"load": scale.load, "unit": scale.switch_unit})


if __name__ == "__main__":
    sys.exit(main())
