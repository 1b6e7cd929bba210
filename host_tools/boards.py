"""Which boards hang on this machine and who they are: `cellctl boards`.

Listing looks at USB ids only. A board that is known to run MicroPython is sent one line: its application answers, its
prompt shows it again. Opening a port can reset what hangs on it, so what is behind a UART bridge is asked only by name.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cell_controller.errors import CellError
from host_tools import board_console as console
from host_tools.serial_port import PortInfo, SerialPort, info, kind_of, ports

NOT_ASKED = "not asked"


@dataclass
class Found:
    """One port. about: what the application there says of itself, {} without one; note: why nothing is known."""

    port: PortInfo
    what: str
    about: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def state(self) -> str:
        """The cell's state, or what stands in its place."""
        return str(self.about.get("state") or self.note)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        usb = f"{self.port.vid:04x}:{self.port.pid:04x}" if self.port.vid else ""
        return {
            "port": self.port.name,
            "usb": usb,
            "usb_serial": self.port.serial_number,
            "what": self.what,
            "about": self.about or None,
            "note": self.note,
        }

    def row(self) -> list[str]:
        """Its line of the table."""
        about = self.about
        serial = about.get("serial") or self.port.serial_number
        return [
            self.port.name,
            self.what,
            str(about.get("cell", "")),
            str(about.get("version", "")),
            self.state,
            str(serial),
        ]


HEAD = ("port", "what", "cell", "version", "state", "serial")


def find(names: Sequence[str] = (), ask_all: bool = False) -> list[Found]:
    """The boards at `names`, or all USB ports; those that may be asked are asked at the same time.

    ask_all: ask what is behind a UART bridge or an unknown USB id, too.
    """
    listed: Iterable[PortInfo] = [info(name) for name in names] if names else ports()
    found = [Found(port, kind_of(port).what) for port in listed]
    threads = []
    for entry in found:
        if names or ask_all or kind_of(entry.port).board:
            threads.append(threading.Thread(target=_ask, args=(entry,), name=entry.port.name, daemon=True))
            threads[-1].start()
        else:
            entry.note = NOT_ASKED
    for thread in threads:
        thread.join()
    return found


def _ask(entry: Found) -> None:
    try:
        with SerialPort(entry.port.name) as port:
            present = console.who(port)
    except CellError as error:
        entry.note = str(error).removeprefix(f"{entry.port.name}: ")
        return
    entry.about = present.about
    if present.kind == console.AT_PROMPT:
        entry.note = "at the MicroPython prompt"
    elif present.kind == console.SILENT:
        entry.note = "no answer"
    elif present.kind == console.OTHER:
        entry.note = "answers, but is no cell controller"
