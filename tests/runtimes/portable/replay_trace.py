"""Replays traces: replay_trace.py FILE... prints a line a trace, the same on every runtime.

While it replays, it looks at the cell as a dashboard does and renders every event, so that these are compared as well.
"""

import hashlib
import sys

import examples.paint_cell.equipment as equipment
from cell_controller.core import jsonwrite, packml_modes, render, trace, views
from hil.trouble import troubled

ENTRIES = 2600  # between two collections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO


def functions(spec: "dict[str, Any]") -> "tuple[dict[str, Any], dict[int, Any]]":
    """The functions of the equipment file by what the compiled cell says of it."""
    phases = {entry["name"]: getattr(equipment, entry["name"]) for entry in spec["phases"]}
    states = {entry["state"]: getattr(equipment, entry["function"]) for entry in spec["states"]}
    return troubled(phases, "pinstripe", "pinstripe", "pen"), states


class Replay:
    """One trace on its way."""

    def __init__(self, name: str) -> None:
        folder = "/project/" if "/project" in sys.path else ""  # where the WebAssembly port has its copy
        self.file: "BinaryIO" = open(folder + name, "rb")  # noqa: SIM115  # read over many calls, closed at the end
        trace.read_magic(self.file.read)
        told = trace.read_entry(self.file.read)
        assert told is not None
        self.spec = trace.header_of(told[1])["spec"]
        phases, states = functions(self.spec)
        self.player = trace.Player(phases, states)
        self.player.play(told[0], told[1])
        self.player.listen = self.heard
        self.seen = b""
        self.fold(jsonwrite.encode([packml_modes.mode_name(number) for number in range(32)]))

    def heard(self, records: "list[bytes]") -> None:
        for record in records:
            for topic, body in render.render(self.spec, record, 0):
                self.fold(topic.encode() + jsonwrite.encode(body))

    def fold(self, data: bytes) -> None:
        self.seen = hashlib.sha256(self.seen + data).digest()

    def go_on(self) -> bool:
        """Some more entries; False at the end."""
        more = trace.play_some(self.file.read, self.player, ENTRIES)
        controller = self.player.controller
        if controller is not None:
            for view in (
                views.state(controller),
                views.signals(controller),
                views.order_list(controller),
                views.alarm_list(controller),
                views.why(controller),
            ):
                self.fold(jsonwrite.encode(view))
        return more

    def result(self) -> str:
        player = self.player
        seen = "".join(["%02x" % byte for byte in self.seen])
        events, outputs = player.digests()
        counts = "%d scans %d events %d checkpoints" % (player.scans, player.events, player.checked)
        return "%s differs %d events %s outputs %s views %s" % (
            counts,
            player.different_at,
            events,
            outputs,
            seen,
        )


waiting = sys.argv[1:]
now: "Replay | None" = None


def turn() -> None:
    """The next entries of the trace in work, or the next trace."""
    global now
    if now is None:
        if not waiting:
            return
        now = Replay(waiting.pop(0))
    if not now.go_on():
        print(now.result())
        now.file.close()
        now = None


#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()
#: collect
turn()

assert now is None, "more entries than this script has turns"
assert not waiting, "more traces than this script has turns"
