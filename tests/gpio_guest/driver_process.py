"""The project's board with its GPIO drivers, as a process inside the guest that the host leads word by word.

python3 -S -m tests.gpio_guest.driver_process PLANS ON_DEATH ROOM

PLANS is JSON: [[kind, settings, [point, ...]], ...], a point as keys of board.contract.Point. After "open" it answers
each line of the host with one of JSON: `scan NAME=COUNT ...`, `rearm`, `safe NAME=COUNT ...` (others are kept),
`devices`, `close`. A BoardError at the opening is told as {"refused": text}. ROOM: how many edges the kernel keeps for
a counter.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from board import gpio_edges, gpio_lines
from board.contract import DevicePlan, Point
from board.linux_board import LinuxBoard
from cell_controller.core.signals import KEEP, WORD_BITS, InputImage, OutputImage
from cell_controller.errors import BoardError

DRIVERS = {"gpio": gpio_lines.__name__, "pulse": gpio_edges.__name__, "i2c": "board.i2c_devices"}


def plans_of(text: str) -> list[DevicePlan]:
    """The plans that the host described; places in the images are counted here."""
    plans = []
    index = {False: 0, True: 0}
    place: dict[tuple[bool, bool], int] = {}
    for kind, settings, points in json.loads(text):
        made = []
        for keys in points:
            side, digital = keys["is_output"], keys["kind"] == "digital"
            nth = place.get((side, digital), 0)
            made.append(Point(index=index[side], place=nth, **keys))
            index[side] += 1
            place[side, digital] = nth + 1
        plans.append(DevicePlan(kind, kind, settings, tuple(made)))
    return plans


def spec_of(plans: list[DevicePlan]) -> dict[str, Any]:
    """As much of a compiled cell as a board looks at."""
    spec: dict[str, Any] = {"inputs": [], "outputs": []}
    for point in (point for plan in plans for point in plan.points):
        entry = {
            "name": point.signal,
            "kind": point.kind,
            "raw": [],
            "safe": point.safe,
            "on_abort": point.abort,
        }
        spec["outputs" if point.is_output else "inputs"].append(entry)
    return spec


class Led:
    """The board, and what the host may ask of it."""

    def __init__(self, plans: list[DevicePlan], on_death: str) -> None:
        self.points = [point for plan in plans for point in plan.points]
        spec = spec_of(plans)
        self.board = LinuxBoard("guest", plans, Path("/tmp"), {"on_death": on_death}, drivers=DRIVERS)
        self.board.open(spec, {})
        self.inputs = InputImage(spec)
        self.outputs = OutputImage(spec)

    def obey(self, words: list[str]) -> Any:
        """What the host asks; the answer."""
        verb, given = words[0], dict(word.split("=") for word in words[1:])
        if verb == "scan":
            return self.scan(given)
        if verb == "safe":
            names = [point.signal for point in self.points if point.is_output]
            self.board.make_safe([int(given.get(name, KEEP)) for name in names])
        elif verb == "rearm":
            self.board.rearm()
        elif verb == "devices":
            return [dataclasses.asdict(status) for status in self.board.devices()]
        elif verb == "close":
            self.board.close()
        return None

    def scan(self, wanted: dict[str, str]) -> dict[str, list[int]]:
        """One scan, with changes of outputs; each input's value and quality."""
        for point in self.points:
            if point.signal in wanted:
                bit = 1 << point.place % WORD_BITS
                word = point.place // WORD_BITS
                on = int(wanted[point.signal])
                self.outputs.words[word] = self.outputs.words[word] & ~bit | bit * on
        self.board.read(self.inputs)
        self.board.write(self.outputs)
        return {point.signal: self._seen(point) for point in self.points if not point.is_output}

    def _seen(self, point: Point) -> list[int]:
        quality = self.inputs.quality[point.index]
        if point.kind == "digital":
            return [self.inputs.words[point.place // WORD_BITS] >> point.place % WORD_BITS & 1, quality]
        return [self.inputs.analog[point.place], quality]


def main() -> None:
    """See above."""
    gpio_edges.ROOM = int(sys.argv[3])
    try:
        led = Led(plans_of(sys.argv[1]), sys.argv[2])
    except BoardError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
        return
    print(json.dumps("open"), flush=True)
    for line in sys.stdin:
        print(json.dumps(led.obey(line.split())), flush=True)


if __name__ == "__main__":
    main()
