"""`sys` as on an RP2: the port's own under another name, and a console that tells text from bytes.

A board ends each line of text with CR LF and sends what goes through `sys.stdout.buffer` as it is. The port sends both
alike, so bytes are announced to the host, which turns the line ends of everything else.
"""

import sys as _sys
from collections import namedtuple
from io import IOBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    implementation: Any

_port: "Any" = _sys
for _name in dir(_port):
    if _name[0] != "_" and _name != "executable":
        globals()[_name] = getattr(_port, _name)

MACHINE = "Raspberry Pi Pico W with RP2040"
_FIELDS = ("name", "version", "_machine", "_mpy", "_build", "_thread")
_tuple_of: "Any" = namedtuple
_Implementation = _tuple_of("_Implementation", _FIELDS)
_own: "Any" = _port.implementation
_facts = (_own[0], _own[1], MACHINE, _own._mpy, "RPI_PICO_W", "unsafe")
implementation = _Implementation(*_facts)
platform = "rp2"
version = "3.4.0; MicroPython v%d.%d.%d" % tuple(_own[1][:3])
maxsize = 0x7FFFFFFF

_MOST = 0xFFFF
_MP_STREAM_GET_FILENO = 10
_real = _port.stdout
_bytes = _port.stdout.buffer
_announce = bytearray()
_digits = b"0123456789abcdef"


def begin(mark: bytes) -> None:
    """`mark`: what announces bytes; their number follows in four hex digits."""
    _announce.extend(mark + b"0000")


class _Bytes(IOBase):
    def write(self, data: "Any") -> int:
        size = len(data)
        if size > _MOST:
            return sum([self.write(data[i : i + _MOST]) for i in range(0, size, _MOST)])
        for place in range(4):
            _announce[-1 - place] = _digits[size >> 4 * place & 15]
        _bytes.write(_announce)
        _bytes.write(data)
        return size

    def flush(self) -> None:
        pass

    def ioctl(self, request: int, argument: int) -> int:
        return 1 if request == _MP_STREAM_GET_FILENO else 0


class _Text(IOBase):
    buffer = _Bytes()

    def write(self, data: "Any") -> int:
        return _real.write(data)  # type: ignore[no-any-return]

    def flush(self) -> None:
        pass

    def ioctl(self, request: int, argument: int) -> int:
        return 1 if request == _MP_STREAM_GET_FILENO else 0


stdout = _Text()
