"""A Modbus device made of libmodbus, an implementation that is not ours and not pymodbus's. Debian: libmodbus5.

    python -m tests.board.libmodbus_server tcp | rtu PATH BAUD N|E

It prints its port and then obeys lines: `set TABLE ADDRESS VALUE`, `get TABLE ADDRESS`, `drop` (the connection),
each answered by a line. It has 20 coils, discrete inputs, input registers and holding registers.
"""

import ctypes
import os
import select
import socket
import sys
from ctypes.util import find_library

SIZE = 20
MOST_ADU = 260
ANSWERED_BY_NOBODY = -1


class Mapping(ctypes.Structure):
    """modbus_mapping_t of libmodbus 3.1."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nb_bits", "start_bits", "nb_input_bits", "start_input_bits")),
        *((name, ctypes.c_int) for name in ("nb_input_registers", "start_input_registers")),
        *((name, ctypes.c_int) for name in ("nb_registers", "start_registers")),
        ("coil", ctypes.POINTER(ctypes.c_uint8)),
        ("discrete", ctypes.POINTER(ctypes.c_uint8)),
        ("input", ctypes.POINTER(ctypes.c_uint16)),
        ("holding", ctypes.POINTER(ctypes.c_uint16)),
    ]


def library() -> ctypes.CDLL | None:
    """libmodbus; None where it is not installed."""
    name = find_library("modbus")
    if name is None:
        return None
    found = ctypes.CDLL(name, use_errno=True)
    for function in ("modbus_new_tcp", "modbus_new_rtu"):
        getattr(found, function).restype = ctypes.c_void_p
    found.modbus_new_rtu.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int]
    found.modbus_mapping_new.restype = ctypes.POINTER(Mapping)
    return found


class Server:
    """One context, one connection at a time, and the commands on the standard input."""

    def __init__(self, modbus: ctypes.CDLL, arguments: list[str]) -> None:
        self.modbus = modbus
        self.mapping = modbus.modbus_mapping_new(SIZE, SIZE, SIZE, SIZE)
        self.listener: socket.socket | None = None
        self.stream = -1
        if arguments[0] == "tcp":
            self.listener = socket.create_server(("127.0.0.1", 0))
            port = self.listener.getsockname()[1]
            self.context = ctypes.c_void_p(modbus.modbus_new_tcp(b"127.0.0.1", port))
        else:
            path, baud, parity = arguments[1], int(arguments[2]), arguments[3].encode()
            self.context = ctypes.c_void_p(modbus.modbus_new_rtu(path.encode(), baud, parity, 8, 1))
            modbus.modbus_set_slave(self.context, 1)
            if modbus.modbus_connect(self.context):
                raise OSError(ctypes.get_errno(), f"modbus_connect: {os.strerror(ctypes.get_errno())}")
            self.stream, port = modbus.modbus_get_socket(self.context), 0
        self.say(port)

    def say(self, what: object) -> None:
        """One line."""
        sys.stdout.write(f"{what}\n")
        sys.stdout.flush()

    def run(self) -> None:
        """Serve until the standard input ends."""
        while True:
            waits = [sys.stdin.fileno(), *([self.stream] if self.stream >= 0 else [])]
            if self.listener is not None:
                waits.append(self.listener.fileno())
            ready = select.select(waits, [], [])[0]
            if sys.stdin.fileno() in ready:
                line = os.read(sys.stdin.fileno(), 4096).decode()
                if not line:
                    return
                self.obey(line.split())
            if self.listener is not None and self.listener.fileno() in ready:
                self.drop()
                self.stream = self.listener.accept()[0].detach()
                self.modbus.modbus_set_socket(self.context, self.stream)
            elif self.stream in ready:
                self.serve()

    def serve(self) -> None:
        """One request."""
        request = (ctypes.c_uint8 * MOST_ADU)()
        length = self.modbus.modbus_receive(self.context, request)
        if length > 0:
            self.modbus.modbus_reply(self.context, request, length, self.mapping)
        elif length == ANSWERED_BY_NOBODY and self.listener is not None:
            self.drop()

    def drop(self) -> None:
        """The connection is closed."""
        if self.stream >= 0 and self.listener is not None:
            os.close(self.stream)
            self.stream = -1

    def obey(self, words: list[str]) -> None:
        """One command."""
        if words[0] == "drop":
            self.drop()
            self.say("dropped")
            return
        cells = getattr(self.mapping.contents, words[1])
        if words[0] == "set":
            cells[int(words[2])] = int(words[3])
        self.say(cells[int(words[2])])


def main(arguments: list[str]) -> None:
    """The command line."""
    modbus = library()
    if modbus is None:
        sys.exit("libmodbus is not installed: apt-get install libmodbus5")
    Server(modbus, arguments).run()


if __name__ == "__main__":
    main(sys.argv[1:])
