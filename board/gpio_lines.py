"""Digital inputs and outputs on GPIO lines of a Linux machine, by the kernel's character device.

All inputs of a chip are one request, all outputs another: one system call reads or writes them together. Reading and
writing do not wait, so there is no thread.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import gpiod
from gpiod.line import Bias, Direction, Drive, Value

from board.contract import RELEASE, Device, DevicePlan, Point, Services
from board.device_link import NEVER, DeviceLink
from board.gpio_chips import MOST_LINES, Line, check_release, find_line, refused
from cell_controller.errors import BoardError

AGAIN_MS = 1000
"""How often outputs that did not change are written all the same, and how often a chip that is away is tried."""

LINK = "link"

_BIAS = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN}
_DRIVE = {
    "push_pull": Drive.PUSH_PULL,
    "open_drain": Drive.OPEN_DRAIN,
    "open_source": Drive.OPEN_SOURCE,
}
_LEVELS = (Value.INACTIVE, Value.ACTIVE)
_ACTIVE = Value.ACTIVE


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """A device for each plan. Settings: `consumer`; of a point: `pull`, `debounce_ms`, `drive`."""
    return [GpioLines(plan) for plan in plans]


class GpioLines:
    """Lines of one or more chips. A chip that is unplugged loses all of them until it is back."""

    def __init__(self, plan: DevicePlan) -> None:
        self.name = plan.name
        self.inputs: Sequence[Point] = [point for point in plan.points if not point.is_output]
        self.outputs: Sequence[Point] = [point for point in plan.points if point.is_output]
        self.latest = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(plan.name, plan.on_death, [point.abort for point in self.outputs])
        self._links = [k for k, point in enumerate(self.inputs) if point.at == LINK]
        self._consumer = str(plan.settings.get("consumer", "cell-controller"))
        self._readers: list[_Request] = []
        self._writers: list[_Request] = []
        self._open = False
        self._again_at = 0
        self._written: list[int] = []
        self._rewrite_at = 0

    def open(self) -> None:
        """See Device.open."""
        if self.link.on_death == RELEASE:
            check_release(self.name)
        self.link.opened()
        self._request([point.safe for point in self.outputs])
        self.refresh()

    def refresh(self) -> None:
        """See Device.refresh."""
        now = self.link.clock()
        if not self._open and not self._reopen(now):
            return
        latest = self.latest
        high, low = (1, now), (0, now)
        try:
            # without inputs the outputs are read back, to see that their chip is there
            for request in self._readers or self._writers:
                values = request.lines.get_values()
                for k, value in zip(request.inputs, values, strict=False):
                    latest[k] = high if value is _ACTIVE else low
                for k, first in request.twins:
                    latest[k] = latest[first]
        except OSError as error:
            self._lose(f"{self.name}: {error.strerror}", now)
            return
        for k in self._links:
            latest[k] = high
        self.link.answered()

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive."""
        self.link.want(counts)
        _, wanted = self.link.wanted()
        now = self.link.clock()
        if not self._open or (wanted == self._written and now < self._rewrite_at):
            return
        try:
            for request in self._writers:
                request.lines.set_values(request.levels(wanted))
        except OSError as error:
            self._lose(f"{self.name}: {error.strerror}", now)
            return
        self._written = wanted
        self._rewrite_at = now + AGAIN_MS

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe."""
        self.drive(counts)

    def close(self) -> None:
        """See Device.close: the lines are given back to the kernel."""
        self._release()
        self.link.closed()

    def _request(self, levels: Sequence[int]) -> None:
        """Take all lines; the outputs start at `levels`. Raises BoardError."""
        inputs = [k for k, point in enumerate(self.inputs) if point.at != LINK]
        try:
            for chunk in _by_chip(self.inputs, inputs):
                self._readers.append(_Request(self._consumer, self.inputs, chunk))
            for chunk in _by_chip(self.outputs, range(len(self.outputs))):
                self._writers.append(_Request(self._consumer, self.outputs, chunk, levels))
        except BoardError:
            self._release()
            raise
        self._open = True

    def _release(self) -> None:
        self._open = False
        self._written = []
        for request in self._readers + self._writers:
            request.lines.release()
        self._readers, self._writers = [], []

    def _lose(self, text: str, now: int) -> None:
        self.link.lost(text)
        self._release()
        self._again_at = now + AGAIN_MS

    def _reopen(self, now: int) -> bool:
        if now < self._again_at:
            return False
        try:
            self._request(self.link.wanted()[1])
        except BoardError as error:
            self._lose(str(error), now)
            return False
        return True


class _Request:
    """Lines of one chip that are read or written together; `places`: which points of the device they are."""

    def __init__(
        self,
        consumer: str,
        points: Sequence[Point],
        chunk: list[tuple[int, Line]],
        levels: Sequence[int] | None = None,
    ) -> None:
        """`levels`: counts of all outputs of the device for the moment they become outputs; None for inputs."""
        self._outputs = [(k, line.offset) for k, line in chunk] if levels is not None else []
        self.inputs: list[int] = []
        self.twins: list[tuple[int, int]] = []  # an input that shares its line, and the first one on it
        firsts: dict[int, int] = {}
        for k, line in chunk:
            first = firsts.setdefault(line.offset, k)
            if first == k and levels is None:
                self.inputs.append(k)
            elif first != k:
                _check_shared(points[k], points[first], levels is None)
                self.twins.append((k, first))
        config: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None] = {
            line.offset: _settings(points[k], None if levels is None else levels[k]) for k, line in chunk
        }
        path = chunk[0][1].chip
        try:
            # the kernel keeps 31 characters of a consumer
            self.lines = gpiod.request_lines(path, config=config, consumer=consumer[:31])
        except OSError as error:
            raise refused(error, [line for _, line in chunk]) from error

    def levels(self, counts: Sequence[int]) -> dict[int | str, Value]:
        """What the lines of this request shall be, of the counts of all outputs."""
        return {offset: _LEVELS[counts[k]] for k, offset in self._outputs}


def _check_shared(point: Point, first: Point, is_input: bool) -> None:
    """Raises BoardError unless both may be on one line."""
    if not is_input:
        raise BoardError(
            f"{point.at} ('{point.signal}') and {first.at} ('{first.signal}') are the same line; choose another for "
            "one of them"
        )
    if point.settings != first.settings:
        raise BoardError(
            f"'{point.signal}' and '{first.signal}' share {point.at}; give both the same pull and debounce_ms"
        )


def _by_chip(points: Sequence[Point], places: Sequence[int]) -> list[list[tuple[int, Line]]]:
    """`places` with their lines, in groups of one chip and at most MOST_LINES."""
    chips: dict[str, list[tuple[int, Line]]] = {}
    for k in places:
        line = find_line(points[k].at)
        chips.setdefault(line.chip, []).append((k, line))
    return [group[i : i + MOST_LINES] for group in chips.values() for i in range(0, len(group), MOST_LINES)]


def _settings(point: Point, level: int | None) -> gpiod.LineSettings:
    """How the kernel shall set up the line of `point`."""
    if level is None:
        return gpiod.LineSettings(
            direction=Direction.INPUT,
            bias=_BIAS.get(str(point.settings.get("pull")), Bias.DISABLED),
            debounce_period=timedelta(milliseconds=int(point.settings.get("debounce_ms", 0))),
        )
    return gpiod.LineSettings(
        direction=Direction.OUTPUT,
        drive=_DRIVE[str(point.settings.get("drive", "push_pull"))],
        output_value=_LEVELS[level],
    )
