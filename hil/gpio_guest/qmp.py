"""Asks a running QEMU about itself: its monitor protocol, lines of JSON over a local socket."""

import json
import socket
from typing import Any

from hil.gpio_guest.errors import GuestError

MACHINE = "/machine"
DEPTH = 4
"""A device of a board is this near to MACHINE: /machine/soc/peripherals/gpio."""
SMALL_PARTS = ("child<irq>", "child<memory-region>", "child<bus>")


class Qmp:
    """A connection to the monitor. Used by one thread."""

    def __init__(self, connection: socket.socket) -> None:
        """`connection`: to QEMU's `-qmp` socket. Raises GuestError where QEMU does not greet."""
        self._connection = connection
        self._events: list[str] = []
        self._file = connection.makefile("rw", encoding="utf-8")
        self._receive()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """The result of `command`. Raises GuestError with QEMU's words."""
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            answer = self._receive()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise GuestError(f"QEMU refused {command} {arguments}: {answer['error']['desc']}")

    def events(self) -> list[str]:
        """The names of all events until now, "WATCHDOG" for one, in order."""
        self.execute("query-status")  # QEMU tells what happened before it answers
        return list(self._events)

    def device(self, kind: str) -> str:
        """The path of the first device of `kind`, for example "pl061". Raises GuestError where there is none."""
        places = [MACHINE]
        for _ in range(DEPTH):
            inside = []
            for place in places:
                for item in self.execute("qom-list", path=place):
                    path = f"{place}/{item['name']}"
                    if item["type"] == f"child<{kind}>":
                        return path
                    if item["type"].startswith("child<") and item["type"] not in SMALL_PARTS:
                        inside.append(path)
            places = inside
        raise GuestError(f"this QEMU's board has no device '{kind}'")

    def _receive(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise GuestError("QEMU closed its monitor")
        message: dict[str, Any] = json.loads(line)
        if "event" in message:
            self._events.append(message["event"])
        return message

    def close(self) -> None:
        """Hang up; QEMU goes on."""
        self._file.close()
        self._connection.close()
