"""A simulated reader of carriers: decimal lines (model "line_reader"), or frames of EM4100 tags (model "rfid_em4100").

    python -m hil.reader_device --address /tmp/reader --frames

It sends by itself, again and again while a carrier is there. Lines typed into it: `show 1234`, `show 0`, and the
misbehaviours of every simulated device (hil/serial_device.py).
"""

import sys

from hil.serial_device import SerialDevice, parser_of, serve

LINE_MS = 500
FRAME_MS = 65
VERSION = 0x01


class ReaderDevice(SerialDevice):
    """`frames`: STX, five bytes in hex digits, their exclusive-or in two, ETX; else decimal lines with CR LF."""

    def __init__(self, address: str = "pty", frames: bool = False, **options: int) -> None:
        super().__init__(address, **options)
        self.frames = frames
        self._number = 0
        self._next_at = 0

    def show(self, number: int | str) -> None:
        """Put the carrier of this number in front of it; 0 takes it away."""
        with self.lock:
            self._number = int(number)
            self._next_at = 0

    def say(self, data: bytes) -> None:
        """Let it send `data` once, whatever that is: a label that nobody expects, half a line."""
        with self.lock:
            self._say(data)

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice.handle: it does not listen."""
        return b""

    def foreign(self, answer: bytes) -> bytes:
        """See SerialDevice.foreign: a label with other things on it."""
        return b"EAN 4006381333931\r\n"

    def tick(self, now_ms: int) -> bytes:
        """See SerialDevice.tick. It says once that nothing is there any more, if it sends lines."""
        if now_ms < self._next_at:
            return b""
        self._next_at = now_ms + (FRAME_MS if self.frames else LINE_MS)
        if self.frames:
            return em4100_frame(self._number) if self._number else b""
        return b"%d\r\n" % self._number


def em4100_frame(number: int) -> bytes:
    """What an RDM6300 sends for the tag with this number (below 2**32)."""
    data = bytes([VERSION]) + number.to_bytes(4, "big")
    check = 0
    for byte in data:
        check ^= byte
    return b"\x02" + (data + bytes([check])).hex().upper().encode("ascii") + b"\x03"


def main(arguments: list[str] | None = None) -> int:
    """Print the address and be a reader, until SIGTERM or SIGINT."""
    parser = parser_of("hil.reader_device", "A reader of carriers that is not there.")
    parser.add_argument(
        "--frames", action="store_true", help="frames of EM4100 tags instead of decimal lines"
    )
    options = parser.parse_args(arguments)
    reader = ReaderDevice(options.address, options.frames)
    return serve(reader, {"show": reader.show})


if __name__ == "__main__":
    sys.exit(main())
