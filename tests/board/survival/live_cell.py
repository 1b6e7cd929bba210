"""A small real cell on a real board: the core in real time, with the points of a rig as its signals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from board.contract import DevicePlan, Point
from board.linux_board import DRIVERS, LinuxBoard
from cell_controller.core import packml as pm
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.signals import WORD_BITS
from cell_controller.core.ticks import add
from host_tools.cellfile import compile_cell

SCAN_MS = 10


class LiveCell:
    """The cell of some plans: every input stops it when it is not good, and nobody makes anything."""

    def __init__(
        self, directory: Path, plans: Sequence[DevicePlan], drivers: Mapping[str, str] = DRIVERS
    ) -> None:
        """`directory`: where its files go; an equipment.py that is there gives it its routines."""
        (directory / "cell.toml").write_text(cell_text(plans))
        compiled = compile_cell(directory)
        self.spec = compiled.spec
        self.board = LinuxBoard("rig", placed(plans, self.spec), directory, drivers=drivers)
        self.board.open(self.spec, {})
        equipment = compiled.load_equipment()
        self.controller = Controller(self.spec, equipment.phases, equipment.states, Book(), 0)
        self.board.read(self.controller.input_image)
        self.controller.boot(self.board.tick())
        self.board.write(self.controller.output_image)
        self._due = self.board.tick()
        self._seen = 0
        self._asked = 0
        self.longest_ms = 0

    def scan(self) -> None:
        """One scan, in real time, as the runtime does it."""
        controller, board = self.controller, self.board
        self._due = add(self._due, SCAN_MS)
        board.sleep_until(self._due)
        began = board.tick()
        board.read(controller.input_image)
        self._seen += len(controller.take_records())
        controller.scan(began, self._seen, True)
        if controller.machine.state == pm.RESETTING:
            board.rearm()
        board.write(controller.output_image)
        board.feed()
        self.longest_ms = max(self.longest_ms, board.tick() - began)

    def until(self, there: Callable[[], bool], what: str, limit_s: float = 5.0) -> float:
        """Scan until `there()`; how long that took, in seconds. Raises AssertionError with what was seen instead."""
        began = self.board.tick()
        while not there():
            passed = (self.board.tick() - began) / 1000
            if passed > limit_s:
                raise AssertionError(f"{what}: not within {limit_s} s; {self.describe()}")
            self.scan()
        return (self.board.tick() - began) / 1000

    def command(self, name: str) -> dict[str, Any]:
        """Give a command and scan until its answer is there."""
        self._asked += 1
        request = Request("local")
        request.id = f"live-{self._asked}"
        request.issuer = "test"
        request.verb = "command"
        request.args = {"command": name}
        self.controller.request(request)
        found: list[dict[str, Any]] = []

        def answered() -> bool:
            found.extend(reply.as_dict() for reply in self.controller.take_replies())
            return bool(found)

        self.until(answered, f"no reply to {name}")
        return found[0]

    def make_ready(self) -> None:
        """To Idle, as a person would: Clear, then Reset."""
        self.until(lambda: not self.controller.alarms.standing(), "alarms stand", 10)
        for command, from_state in (("clear", pm.ABORTED), ("reset", pm.STOPPED)):
            if self.state == from_state:
                reply = self.command(command)
                assert reply["ok"], reply
                self.until(partial(self._left, from_state), f"{command} does nothing")
        self.until(lambda: self.state == pm.IDLE, "it does not get to Idle")

    def _left(self, state: int) -> bool:
        return self.state != state

    @property
    def state(self) -> int:
        return self.controller.machine.state

    def quality(self, name: str) -> int:
        """The quality of an input, as the cell sees it."""
        return self.controller.inputs.quality[self._index(name)]

    def value(self, name: str) -> int:
        """The count of an input, as the cell sees it."""
        return self.controller.inputs.value[self._index(name)]

    def want(self, point: Point, count: int) -> None:
        """Let the cell want an output, as a phase would."""
        outputs = self.controller.outputs
        place = outputs.place[self._output(point.signal)]
        if place < 0:
            outputs.want_analog[-1 - place] = count
        elif count:
            outputs.want_words[place // WORD_BITS] |= 1 << place % WORD_BITS
        else:
            outputs.want_words[place // WORD_BITS] &= ~(1 << place % WORD_BITS)

    def describe(self) -> str:
        """What there is to see, for messages."""
        qualities = {entry["name"]: self.quality(entry["name"]) for entry in self.spec["inputs"]}
        return (
            f"state {pm.state_names(1 << self.state)}, qualities {qualities}, devices {self.board.devices()}"
        )

    def close(self) -> None:
        """Let go of the board."""
        self.board.close()

    def _index(self, name: str) -> int:
        return [entry["name"] for entry in self.spec["inputs"]].index(name)

    def _output(self, name: str) -> int:
        return [entry["name"] for entry in self.spec["outputs"]].index(name)


def cell_text(plans: Sequence[DevicePlan]) -> str:
    """cell.toml of a cell with one signal a point."""
    lines = ["[cell]", 'name = "rig-1"', f"scan_ms = {SCAN_MS}"]
    for point in (point for plan in plans for point in plan.points):
        side = "outputs" if point.is_output else "inputs"
        lines.append(f"[{side}.{point.signal}]")
        if point.kind == "analog":
            lines.append(f"range = [{point.low}, {point.high}]")
        elif not point.is_output:
            lines.append(f'kind = "{point.kind}"')
        if not point.is_output:
            lines.append('on_bad = "stop"')
        else:
            safe, abort = (
                (point.safe, point.abort) if point.kind == "analog" else (_on(point.safe), _on(point.abort))
            )
            lines += [f"safe = {safe}", f"on_abort = {abort}"]
    return "\n".join(lines) + "\n"


def _on(count: int) -> str:
    return '"on"' if count else '"off"'


def placed(plans: Sequence[DevicePlan], spec: dict[str, Any]) -> list[DevicePlan]:
    """`plans` with each point where `spec` has its signal, whatever places they were made with."""
    return [replace(plan, points=tuple(_placed(point, spec) for point in plan.points)) for plan in plans]


def _placed(point: Point, spec: dict[str, Any]) -> Point:
    entries = spec["outputs" if point.is_output else "inputs"]
    index = [entry["name"] for entry in entries].index(point.signal)
    alike = [e["name"] for e in entries if (e["kind"] == "digital") == (point.kind == "digital")]
    return replace(point, index=index, place=alike.index(point.signal), active_low=False)
