"""Runs inside the guest: a USB adapter for I2C, as the kernel sees one in a socket, with chips on its bus.

The adapter is an i2c-tiny-usb; its own driver of the kernel drives it, by the kernel's USB over a local connection (the
protocol of usbip). So pulling it is for the kernel what pulling a cable is. `serve` obeys the host line by line.
"""

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.gpio_guest.i2c_chips import Chip, Converter, Expander

MODULES = ("usb-common", "usbcore", "usbip-core", "vhci-hcd", "i2c-tiny-usb", "i2c-dev")
EXPANDER, CONVERTER = 0x20, 0x48

_CONTROLLER = Path("/sys/devices/platform/vhci_hcd.0")
_ADAPTERS = Path("/sys/bus/i2c/devices")
_FULL_SPEED = 2
_FREE = "004"
_PLUG_S = 10.0
_SOON_S = 0.1

_HEAD = struct.Struct(">5I5i8s")
_SUBMIT, _ANSWER = 1, 2
"""A request to transfer, and how much higher the number of the answer to a request is than its own."""
_STALL, _PROTOCOL_ERROR = -32, -71
_IN = 0x80

_DEVICE = struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0110, 0xFF, 0, 0, 8, 0x1C40, 0x0534, 0x0201, 0, 0, 0, 1)
_INTERFACE = bytes((9, 4, 0, 0, 0, 0xFF, 0, 0, 0))
_CONFIGURATION = struct.pack("<BBHBBBBB", 9, 2, 9 + len(_INTERFACE), 1, 1, 0, 0x80, 50) + _INTERFACE
_DESCRIPTORS = {1: _DEVICE, 2: _CONFIGURATION}

_GET_DESCRIPTOR = 6
_FUNC, _STATUS, _TRANSFER = 1, 3, 4
_I2C_AND_EMULATED_SMBUS = 0x0EFF_0001
_READ = 1
_ACKNOWLEDGED, _NOT = 1, 2


class Adapter:
    """The adapter and what is on its bus. `plug` and `pull` are for one thread, the rest happens in another."""

    def __init__(self, chips: Mapping[int, Chip]) -> None:
        self.chips = dict(chips)
        self.silent: set[int] = set()
        """Addresses at which nothing answers."""
        self._status = 0
        self._pulled = threading.Event()
        self._line: socket.socket | None = None
        self._server: threading.Thread | None = None

    def plug(self) -> int:
        """Into its socket; the number of its bus. Raises TimeoutError."""
        _until(
            lambda: _FREE in (_CONTROLLER / "status").read_text().splitlines()[1], "its socket is not free"
        )
        self._pulled.clear()
        self._line, far = socket.socketpair()
        self._server = threading.Thread(target=self._serve, args=(self._line,), daemon=True)
        self._server.start()
        (_CONTROLLER / "attach").write_text(f"0 {far.fileno()} 1 {_FULL_SPEED}")
        far.close()
        _until(lambda: bool(_numbers()), "no bus of it came up")
        return _numbers()[0]

    def pull(self) -> None:
        """Out of its socket, in the middle of a transfer where there is one soon."""
        assert self._line is not None
        assert self._server is not None
        self._pulled.set()
        self._server.join(_SOON_S)
        with contextlib.suppress(OSError):  # it is down already
            self._line.shutdown(socket.SHUT_RDWR)
        self._server.join()
        self._line.close()

    def _serve(self, line: socket.socket) -> None:
        """Answer until it is pulled; a transfer that this ends has its error at once, as a controller tells it."""
        while head := _received(line, _HEAD.size):
            command, number, _, is_in, _, _, length, *_, setup = _HEAD.unpack(head)
            status, answer, done = 0, b"", 0
            if command == _SUBMIT:
                data = b"" if is_in or not length else _received(line, length)
                status, answer = self._answer(setup, data, bool(is_in), length)
                done = len(answer) if is_in else len(data)
            reply = _HEAD.pack(command + _ANSWER, number, 0, 0, 0, status, done, 0, 0, 0, b"")
            with contextlib.suppress(OSError):  # it was pulled meanwhile
                line.sendall(reply + answer)
                if self._pulled.is_set():
                    line.shutdown(socket.SHUT_RDWR)

    def _answer(self, setup: bytes, data: bytes, is_in: bool, length: int) -> tuple[int, bytes]:
        """Status and data of one request."""
        if self._pulled.is_set():
            return _PROTOCOL_ERROR, b""
        found = self._control(setup, data)
        if found is None:
            return _STALL, b""
        return 0, found[:length] if is_in else b""

    def _control(self, setup: bytes, data: bytes) -> bytes | None:
        """What the adapter answers; None where it does not know the request."""
        kind, request, value, index, length = struct.unpack("<BBHHH", setup)
        if kind & 0x60 == 0:
            if kind & _IN == 0:
                return b""
            return _DESCRIPTORS.get(value >> 8) if request == _GET_DESCRIPTOR else bytes(length)
        if request == _FUNC:
            return _I2C_AND_EMULATED_SMBUS.to_bytes(4, "little")
        if request == _STATUS:
            return bytes((self._status,))
        if request & _TRANSFER:
            return self._transfer(index, value & _READ, data, length)
        return b""

    def _transfer(self, address: int, reads: int, data: bytes, count: int) -> bytes:
        """One message on the bus."""
        chip = self.chips.get(address)
        if chip is None or address in self.silent:
            self._status = _NOT
            return bytes(count)
        self._status = _ACKNOWLEDGED
        if reads:
            return chip.read(count)
        chip.write(data)
        return b""


def _received(line: socket.socket, count: int) -> bytes:
    """So many bytes; none at the end of the line."""
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def _numbers() -> list[int]:
    found = _ADAPTERS.glob("i2c-*")
    return [int(path.name[4:]) for path in found if (path / "name").read_text().startswith("i2c-tiny-usb")]


def _until(what: Any, trouble: str) -> None:
    deadline = time.monotonic() + _PLUG_S
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{trouble} within {_PLUG_S} s")
        time.sleep(0.01)


def serve() -> None:
    """An expander at EXPANDER and a converter at CONVERTER; each line of the host is answered with one of JSON.

    `plug` (the bus's number), `pull`, `outside PINS`, `millivolts INPUT MV`, `silent ADDRESS`, `heard`, `power_cycle`,
    `driven`, `driven_ever`.
    """
    expander, converter = Expander(), Converter()
    adapter = Adapter({EXPANDER: expander, CONVERTER: converter})
    for line in sys.stdin:
        verb, *numbers = line.split()
        given = [int(number, 0) for number in numbers]
        answer: Any = None
        if verb == "plug":
            answer = adapter.plug()
        elif verb == "pull":
            adapter.pull()
        elif verb == "outside":
            expander.outside = given[0]
        elif verb == "millivolts":
            converter.millivolts[given[0]] = given[1]
        elif verb == "silent":
            adapter.silent.add(given[0])
        elif verb == "heard":
            adapter.silent.clear()
        elif verb == "power_cycle":
            expander.power_cycle()
            converter.power_cycle()
        else:
            answer = getattr(expander, verb)
        print(json.dumps(answer), flush=True)
