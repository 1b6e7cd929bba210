"""Pulse counters on GPIO lines: the kernel keeps each edge with its time, and every scan takes those that came."""

from collections.abc import Sequence

import gpiod
from gpiod.line import Bias, Direction, Edge

from board.contract import Device, DevicePlan, Point, Services
from board.device_link import NEVER, DeviceLink
from board.gpio_chips import find_line, refused
from cell_controller.errors import BoardError

MOST_EVENTS = 256
"""What one scan takes of one line. At 100 scans a second that is 25 600 pulses a second."""

ROOM = 1024
"""Edges that the kernel keeps for a line while nobody takes them."""

AGAIN_MS = 1000
_BIAS = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN}


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """A device for each plan. Settings: `consumer`; of a point: `pull`, `edge`, `debounce_ms`."""
    return [Pulses(plan) for plan in plans]


class Pulses:
    """Counters, each with a request of its own: what one of them loses is not the others'."""

    def __init__(self, plan: DevicePlan) -> None:
        self.name = plan.name
        self.inputs: Sequence[Point] = plan.points
        self.outputs: Sequence[Point] = ()
        self.latest = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(plan.name, plan.on_death)
        self._consumer = str(plan.settings.get("consumer", "cell-controller"))
        self._counters = [Counter(point) for point in plan.points]
        self._open = False
        self._again_at = 0

    def open(self) -> None:
        """See Device.open: counting begins."""
        self.link.opened()
        self._request()
        self.refresh()

    def refresh(self) -> None:
        """See Device.refresh."""
        now = self.link.clock()
        try:
            if not self._open:
                if now < self._again_at:
                    return
                self._request()
            for k, counter in enumerate(self._counters):
                lost = counter.take()
                if lost:
                    self.link.failed(
                        f"{counter.at}: the kernel had no room for {lost} edges; they come faster than scans"
                    )
                self.latest[k] = (counter.count, now)
        except OSError as error:  # a BoardError is one, with a text of its own
            self._release()
            self._again_at = now + AGAIN_MS
            self.link.lost(f"{self.name}: {error.strerror}" if error.strerror else str(error))
            return
        self.link.answered()

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive: it has no outputs."""

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe: it has no outputs."""

    def close(self) -> None:
        """See Device.close."""
        self._release()
        self.link.closed()

    def _request(self) -> None:
        try:
            for counter in self._counters:
                counter.open(self._consumer)
        except BoardError:
            self._release()
            raise
        self._open = True

    def _release(self) -> None:
        self._open = False
        for counter in self._counters:
            counter.close()


class Counter:
    """One line; `count` starts at its least count with the controller, and after its greatest it is the least again."""

    def __init__(self, point: Point) -> None:
        self.at = point.at
        self.count = point.low
        self._low = point.low
        self._high = point.high
        self._pull = str(point.settings.get("pull"))
        self._edge = Edge.FALLING if point.settings.get("edge") == "falling" else Edge.RISING
        self._calm_ns = int(point.settings.get("debounce_ms", 0)) * 1_000_000
        self._lines: gpiod.LineRequest | None = None
        self._seqno = 0
        self._calm_until = 0

    def open(self, consumer: str) -> None:
        """Let the kernel collect edges from now on. Raises BoardError."""
        line = find_line(self.at)
        settings = gpiod.LineSettings(
            direction=Direction.INPUT,
            edge_detection=self._edge,
            bias=_BIAS.get(self._pull, Bias.DISABLED),
        )
        try:
            self._lines = gpiod.request_lines(
                line.chip, config={line.offset: settings}, consumer=consumer, event_buffer_size=ROOM
            )
        except OSError as error:
            raise refused(error, [line]) from error
        self._seqno = 0

    def take(self) -> int:
        """Count the edges that came, at most MOST_EVENTS; how many the kernel had to drop. Raises OSError."""
        if self._lines is None or not self._lines.wait_edge_events(0):
            return 0
        lost = 0
        pulses = 0
        for event in self._lines.read_edge_events(MOST_EVENTS):
            missing = event.line_seqno - self._seqno - 1
            self._seqno = event.line_seqno
            lost += missing
            if not self._calm_ns:
                pulses += 1 + missing  # the kernel numbers what it drops, so nothing is missing in the count
            elif event.timestamp_ns >= self._calm_until:
                self._calm_until = event.timestamp_ns + self._calm_ns
                pulses += 1
        self.count = self._low + (self.count - self._low + pulses) % (self._high - self._low + 1)
        return lost

    def close(self) -> None:
        """Give the line back; the count stays."""
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.release()
