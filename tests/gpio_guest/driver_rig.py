"""The host's side of driver_process: a board in the guest, led from here, its lines seen from here."""

import json
from typing import Any

from board.contract import HOLD_LAST
from hil.gpio_guest.guest import Guest

PROCESS = "from tests.gpio_guest.driver_process import main; main()"


def line(at: str, signal: str, is_output: bool, **more: Any) -> dict[str, Any]:
    """A point, for a plan."""
    return {"signal": signal, "kind": "digital", "is_output": is_output, "at": at} | more


def gpio(*points: dict[str, Any]) -> list[Any]:
    """A plan of lines."""
    return ["gpio", {}, list(points)]


class RefusedError(AssertionError):
    """The board could not be opened; the text is its BoardError's."""


class DriverRig:
    """A controller's process in the guest as far as its board goes. Raises RefusedError where that does not open."""

    def __init__(self, guest: Guest, *plans: list[Any], on_death: str = HOLD_LAST, room: int = 1024) -> None:
        self.program = guest.start_python(PROCESS, json.dumps(plans), on_death, str(room))
        told = json.loads(self.program.line())
        if told != "open":
            raise RefusedError(told["refused"])

    def ask(self, *words: str) -> Any:
        """A line to the process; its answer."""
        self.program.tell(" ".join(words) + "\n")
        return json.loads(self.program.line())

    def scan(self, **outputs: int) -> dict[str, tuple[int, int]]:
        """A scan; of each input its value and its quality."""
        told = self.ask("scan", *(f"{name}={count}" for name, count in outputs.items()))
        return {name: (value, quality) for name, (value, quality) in told.items()}

    def begin(self, **outputs: int) -> "DriverRig":
        """What a cell does before it drives: a scan, then Resetting, then a scan with these outputs."""
        self.scan(**outputs)
        self.ask("rearm")
        self.scan(**outputs)
        return self

    def end(self) -> None:
        """End the process as it should be, its board closed."""
        self.ask("close")
        self.program.tell("", end=True)
        self.program.wait().checked()
