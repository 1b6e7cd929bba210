"""Serial instruments: a scale, a reader, a multimeter, a power supply, a dispenser; each is a description, not code.

host_tools.devices.instrument reads the description (docs/instruments.md) and hands it on as plain settings. This module
asks what shall be asked and keeps the latest values. What stands in a text is in `instrument_values`, where a message
ends in `instrument_frames`, which answer belongs to which question in `instrument_talk`.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from board.contract import Device, DevicePlan, Point, Services
from board.device_link import NEVER, DeviceLink, now_ms
from board.instrument_frames import Framing, shown
from board.instrument_outputs import Outputs, ask_of
from board.instrument_talk import Answer, Ask, Groups, Talk
from board.instrument_values import Rule
from board.line_worker import LineWorker
from board.transport import SerialSettings, Transport
from cell_controller.errors import DeviceError

LINK = "link"
IDLE_MS = 20
SAFE_S = 1.0


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """The instruments of a board; each has its line for itself."""
    devices: list[Device] = []
    for plan in plans:
        serial = SerialSettings(**plan.settings["serial"])
        devices.append(Instrument(plan, board.line(plan.name, plan.settings["address"], serial)))
    return devices


class Input:
    """An input point. `source`: the request or message that has its value; "" for `link` and what confirms an output.

    `held`: it keeps its value until the next message, with `keep_ms` at most so long; then there is nothing (0).
    """

    def __init__(self, place: int, point: Point, settings: Mapping[str, Any], name: str) -> None:
        self.place = place
        self.source = str(settings.get("from", ""))
        self.confirms = str(settings.get("confirms", ""))
        self.held = "keep_ms" in settings
        self.keep_ms = int(point.settings.get("keep_ms", settings.get("keep_ms", 0)))
        self.rule = Rule.of(f"{name}:{point.at}", settings)
        self.count = 1 if point.at == LINK else 0
        self.since = 0


class Instrument:
    """See board.contract.Device. The worker's thread talks; the board's thread reads `latest` and drives."""

    def __init__(
        self,
        plan: DevicePlan,
        line: Transport,
        clock: Callable[[], int] = now_ms,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        settings = plan.settings
        self.name = plan.name
        self.inputs = [point for point in plan.points if not point.is_output]
        self.outputs = [point for point in plan.points if point.is_output]
        self.latest: list[tuple[int, int]] = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(
            plan.name,
            plan.on_death,
            [point.abort for point in self.outputs],
            settings["stale_ms"],
            settings["bad_ms"],
            clock,
        )
        self._clock = clock
        framing = Framing.of(settings["framing"])
        points = settings["points"]
        used = {points.get(p.at, {}).get(key) for p in plan.points for key in ("from", "read_back")}
        described = settings["requests"]
        requests = {name: entry for name, entry in described.items() if name in used} or described
        self._requests = {
            name: ask_of(name, entry, framing.wrap(entry["send"])) for name, entry in requests.items()
        }
        self._every_ms = {name: int(entry["every_ms"]) for name, entry in requests.items()}
        self._due = dict.fromkeys(requests, 0)
        self._ins = [Input(k, p, points.get(p.at, {}), plan.name) for k, p in enumerate(self.inputs)]
        self._silent_is_well = not requests and all(point.held for point in self._ins if point.source)
        identity, greeting = settings["identity"], settings["greeting"]
        self._talk = Talk(
            plan.name,
            line,
            framing,
            self,
            clock,
            {name: re.compile(entry["pattern"]) for name, entry in settings["messages"].items()},
            Ask("identity", framing.wrap(identity["send"]), re.compile(identity["answer"]))
            if identity
            else None,
            re.compile(greeting) if greeting else None,
            int(settings["late_ms"]),
            sleep,
        )
        self._outs = Outputs(plan.name, self.outputs, settings, framing, self._talk, self.link, clock)
        self._doubt = False
        self._unasked = set(requests)
        self._worker = LineWorker(line, [self.link], self)

    # --- the board's thread ---

    def open(self) -> None:
        """See Device.open."""
        self._worker.start()

    def refresh(self) -> None:
        """See Device.refresh."""

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive. Commands rise here, where no scan is missed."""
        self._outs.rise(counts)
        self.link.want(list(counts))

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe; a device that is away is not waited for."""
        self.drive(counts)
        self._outs.wait_written(SAFE_S)

    def close(self) -> None:
        """See Device.close."""
        self._talk.stopping = True
        self._worker.stop()
        self.link.closed()

    # --- the line's thread ---

    def line_opened(self) -> None:
        """See Exchange.line_opened. What a reader showed before is not known to be there any more."""
        self._talk.begin()
        self._doubt = False
        self._unasked = set(self._requests)
        self._outs.forget()
        for point in self._ins:
            if point.held:
                point.count = 0

    def turn(self) -> None:
        """See Exchange.turn."""
        if self._outs.write():
            self._answered(self._clock())
        if not self._requests:
            self._talk.listen(IDLE_MS)
            if self._silent_is_well and not self._doubt:
                self._answered(self._clock())
        elif not self._talk.in_step:
            self._talk.settle()
        else:
            self._ask_next()

    def _ask_next(self) -> None:
        """The request that is due next, or hear what comes until then."""
        now = self._clock()
        name = min(self._due, key=lambda name: self._due[name])
        if self._due[name] > now:
            self._talk.listen(min(IDLE_MS, self._due[name] - now))
            return
        self._due[name] = max(self._due[name] + self._every_ms[name], now)
        answer = self._talk.ask(self._requests[name])
        self._unasked.discard(name)
        if answer is None:
            return
        if answer.refusal:
            self.link.failed(f"{self.name} answered {shown(self._requests[name].send)}: {answer.refusal}")
        for point in self._ins:
            if point.source == name and (answer.refusal or not self._publish(point, answer)):
                self.latest[point.place] = (point.count, NEVER)
        if not answer.refusal:
            self._outs.compare(name, answer.groups)
        self._answered(self._clock())

    def _publish(self, point: Input, answer: Answer) -> bool:
        """The value of a point, as old as its question; False where it is refused.

        A group that took no part leaves the point as it is: this answer does not have it, as the weight of some scales
        while they move.
        """
        if answer.groups.get(point.rule.group) is None:
            return True
        try:
            point.count = point.rule.count(answer.groups)
        except DeviceError as error:
            self.link.failed(str(error))
            return False
        self.latest[point.place] = (point.count, answer.at)
        return True

    def heard(self, message: str, groups: Groups) -> None:
        """See Listener.heard."""
        now = self._clock()
        for point in self._ins:
            if point.source == message and not self._publish(point, Answer(now, groups)):
                if point.held:
                    self._begin_doubt()
                    return
                self.latest[point.place] = (point.count, NEVER)
            point.since = now if point.source == message else point.since
        self._doubt = False
        self._answered(now)

    def doubtful(self, text: str) -> None:
        """See Listener.doubtful."""
        self.link.failed(text)
        if not self._requests:
            self._begin_doubt()

    def _begin_doubt(self) -> None:
        """What a silent reader showed is stale from here on, until a good message comes."""
        if not self._doubt:
            self._doubt = True
            for point in self._ins:
                count, at = self.latest[point.place]
                if point.held and at != NEVER:
                    self.latest[point.place] = (count, max(0, self._clock() - self.link.stale_ms))

    def _answered(self, now: int) -> None:
        """It is there: so are its link, what it holds, and what it confirmed. Not before all was asked once."""
        if self._unasked:
            return
        for point in self._ins:
            if point.confirms:
                point.count = int(self._outs.confirmed(point.confirms))
            elif point.held:
                if self._doubt:
                    continue
                if point.keep_ms and now - point.since >= point.keep_ms:
                    point.count = 0
            elif point.source:
                continue
            self.latest[point.place] = (point.count, now)
        self.link.answered()
