"""A whole cell as a process inside the guest: the core in real time on the project's board, on the kernel's lines.

It begins as a person would, Clear, then Reset, then wants every output on, and scans until it is killed. Each state of
the cell is a line for the host.
"""

import base64
import pickle
from pathlib import Path

from board.contract import DevicePlan, Spec
from board.linux_board import LinuxBoard
from cell_controller.core import packml as pm
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.ticks import add
from tests.gpio_guest.driver_process import DRIVERS

COMMANDS = {pm.ABORTED: "clear", pm.STOPPED: "reset"}


class LiveCell:
    """The cell and its board."""

    def __init__(self, spec: Spec, plans: list[DevicePlan]) -> None:
        self._board = LinuxBoard("guest", plans, Path("/tmp"), drivers=DRIVERS)
        self._board.open(spec, {})
        self._scan_ms = spec["scan_ms"]
        self._controller = Controller(dict(spec), {}, {}, Book(), 0)
        self._board.read(self._controller.input_image)
        self._controller.boot(self._board.tick())
        self._board.write(self._controller.output_image)
        self._seen = 0
        self._asked = 0
        self._ready = False

    def run(self) -> None:
        """Scan until killed."""
        controller = self._controller
        due = self._board.tick()
        told = -1
        while True:
            due = add(due, self._scan_ms)
            self._board.sleep_until(due)
            self._scan()
            state = controller.machine.state
            if state != told:
                told = state
                print(pm.state_names(1 << state), flush=True)
                if state in COMMANDS and not self._ready:
                    self._command(COMMANDS[state])
                if state == pm.IDLE and not self._ready:
                    self._ready = True
                    controller.outputs.want_words[0] = (1 << len(controller.outputs.place)) - 1

    def _scan(self) -> None:
        """One scan, as the runtime does it."""
        controller, board = self._controller, self._board
        now = board.tick()
        board.read(controller.input_image)
        self._seen += len(controller.take_records())
        controller.scan(now, self._seen, True)
        controller.take_replies()
        if controller.machine.state == pm.RESETTING:
            board.rearm()
        board.write(controller.output_image)
        board.feed()

    def _command(self, name: str) -> None:
        self._asked += 1
        request = Request("local")
        request.id = f"guest-{self._asked}"
        request.issuer = "test"
        request.verb = "command"
        request.args = {"command": name}
        self._controller.request(request)


def main(packed: str) -> None:
    """`packed`: (spec, plans), pickled, in base64."""
    LiveCell(*pickle.loads(base64.b64decode(packed))).run()
