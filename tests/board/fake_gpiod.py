"""A kernel with GPIO chips, for tests: what lies below the Python part of gpiod is exchanged, that part itself runs.

Lines have names, levels, settings and consumers as in the kernel, requests are refused for the kernel's reasons, and a
chip can be unplugged. Debouncing and bias are kept and told, not simulated.
"""

import errno
import os
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import gpiod
import pytest
from gpiod import _ext
from gpiod.line import Value

from board import gpio_chips

MOST_ATTRIBUTES = 10
MOST_CONSUMER = 31
EVENTS_A_LINE = 16


def failed(number: int) -> OSError:
    """The error that the kernel's `number` becomes."""
    return OSError(number, os.strerror(number))


@dataclass
class FakeLineSettings:
    """See _ext.LineSettings: plain numbers of the kernel's interface."""

    direction: int
    edge_detection: int
    bias: int
    drive: int
    active_low: bool
    debounce_period: int
    event_clock: int
    output_value: int

    @property
    def flags(self) -> tuple[int, ...]:
        """What the kernel keeps in the flags of a line."""
        return (self.direction, self.edge_detection, self.bias, self.drive, int(self.active_low))


class FakeLineConfig:
    """See _ext.LineConfig."""

    def __init__(self) -> None:
        self.lines: dict[int, FakeLineSettings] = {}

    def add_line_settings(self, offsets: list[int], settings: FakeLineSettings) -> None:
        """See _ext.LineConfig."""
        self.lines.update(dict.fromkeys(offsets, settings))

    def set_output_values(self, global_output_values: list[Value]) -> None:
        """See _ext.LineConfig."""
        for settings, value in zip(self.lines.values(), global_output_values, strict=False):
            settings.output_value = value.value

    def attributes(self) -> int:
        """How many attributes the kernel needs for what differs between the lines."""
        each = self.lines.values()
        outputs = any(line.direction == _ext.DIRECTION_OUTPUT for line in each)
        periods = {line.debounce_period for line in each if line.debounce_period}
        return int(outputs) + len(periods) + len({line.flags for line in each}) - 1


@dataclass
class FakeLine:
    """One line. `level`: at the terminal; `history`: every level that it was driven to as an output."""

    name: str
    level: int = 0
    consumer: str = ""
    settings: FakeLineSettings | None = None
    history: list[int] = field(default_factory=list)
    seqno: int = 0
    request: "FakeRequest | None" = None

    @property
    def is_output(self) -> bool:
        return self.settings is not None and self.settings.direction == _ext.DIRECTION_OUTPUT


class FakeChip:
    """A GPIO chip, plugged in. What tests hold in their hands."""

    def __init__(self, path: Path, label: str, names: list[str]) -> None:
        self.path = path
        self.label = label
        self.lines = [FakeLine(name) for name in names]
        self.requests: list[FakeRequest] = []
        self.calls = 0
        self.plug()

    def __getitem__(self, name: str) -> FakeLine:
        return next(line for line in self.lines if line.name == name)

    @property
    def plugged(self) -> bool:
        return self.path.exists()

    def unplug(self) -> None:
        """It is gone: its file, and every request with it."""
        self.path.unlink()
        for request in self.requests:
            request.gone()

    def plug(self) -> None:
        """It is there (again), as after its power-on."""
        for line in self.lines:
            line.consumer, line.settings, line.request = "", None, None
        self.requests = []
        self.path.touch()

    def edge(self, name: str, level: int, at_ms: float) -> None:
        """The line goes to `level`; an event is kept for who asked for that edge, as long as there is room."""
        line = self[name]
        line.level = level
        wanted = line.settings.edge_detection if line.settings is not None else _ext.EDGE_NONE
        rising = _ext.EDGE_EVENT_TYPE_RISING if level else _ext.EDGE_EVENT_TYPE_FALLING
        if line.request is not None and wanted in (
            _ext.EDGE_BOTH,
            _ext.EDGE_RISING if level else _ext.EDGE_FALLING,
        ):
            line.seqno += 1
            line.request.add(rising, int(at_ms * 1e6), self.lines.index(line), line.seqno)

    def call(self, number: int = errno.ENODEV) -> None:
        """A system call on this chip."""
        self.calls += 1
        if not self.plugged:
            raise failed(number)


class FakeRequest:
    """See _ext.Request."""

    def __init__(self, chip: FakeChip, config: FakeLineConfig, room: int) -> None:
        self._chip = chip
        self._config = config
        self._events: deque[gpiod.EdgeEvent] = deque(maxlen=room)
        self._seqno = 0
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._ready = False

    @property
    def chip_name(self) -> str:
        return self._chip.path.name

    @property
    def offsets(self) -> list[int]:
        return list(self._config.lines)

    @property
    def num_lines(self) -> int:
        return len(self._config.lines)

    def release(self) -> None:
        """See _ext.Request."""
        os.close(self.fd)
        if self in self._chip.requests:
            self._chip.requests.remove(self)
        for offset in self._config.lines:
            line = self._chip.lines[offset]
            if line.request is self:
                line.consumer, line.settings, line.request = "", None, None

    def get_values(self, offsets: list[int], values: list[Value]) -> None:
        """See _ext.Request."""
        self._chip.call()
        for k, offset in enumerate(offsets):
            values[k] = Value(self._chip.lines[offset].level)

    def set_values(self, values: dict[int, Value]) -> None:
        """See _ext.Request."""
        self._chip.call()
        for offset, value in values.items():
            line = self._chip.lines[offset]
            if not line.is_output:
                raise failed(errno.EPERM)
            line.level = value.value
            line.history.append(value.value)

    def reconfigure_lines(self, line_cfg: FakeLineConfig) -> None:
        """See _ext.Request."""
        raise NotImplementedError("no driver changes its lines")

    def read_edge_events(self, max_events: int | None) -> list[gpiod.EdgeEvent]:
        """See _ext.Request. The kernel would block where there are none."""
        self._chip.call()
        assert self._events, "read_edge_events would block"
        found = [self._events.popleft() for _ in range(min(max_events or 64, len(self._events)))]
        if not self._events:
            self._readable(False)
        return found

    def add(self, kind: int, at_ns: int, offset: int, line_seqno: int) -> None:
        """An event; where there is no room the kernel drops the oldest."""
        self._seqno += 1
        self._events.append(gpiod.EdgeEvent(kind, at_ns, offset, self._seqno, line_seqno))
        self._readable(True)

    def gone(self) -> None:
        """The chip was unplugged: who waits is woken."""
        self._readable(True)

    def _readable(self, on: bool) -> None:
        if on and not self._ready:
            os.eventfd_write(self.fd, 1)
        elif self._ready and not on:
            os.eventfd_read(self.fd)
        self._ready = on


class FakeKernel:
    """Chips by the path of their file in `directory`, which stands for /dev."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.chips: dict[str, FakeChip] = {}
        self.forbidden: set[str] = set()
        monkeypatch.setattr(gpio_chips, "DEV", directory)
        monkeypatch.setattr(_ext, "Chip", self._opened)
        monkeypatch.setattr(_ext, "LineConfig", FakeLineConfig)
        monkeypatch.setattr(_ext, "LineSettings", FakeLineSettings)

    def chip(self, name: str, label: str, names: list[str]) -> FakeChip:
        """A new chip."""
        made = FakeChip(self.directory / name, label, names)
        self.chips[str(made.path)] = made
        return made

    def pi(self, label: str = "pinctrl-rp1") -> FakeChip:
        """The chip behind the 40 pins of a Pi."""
        return self.chip("gpiochip0", label, [f"GPIO{n}" for n in range(54)])

    def _opened(self, path: str) -> "FakeOpenChip":
        if path in self.forbidden:
            raise failed(errno.EACCES)
        chip = self.chips.get(path)
        if chip is None or not chip.plugged:
            raise failed(errno.ENOENT)
        return FakeOpenChip(chip)


class FakeOpenChip:
    """See _ext.Chip."""

    def __init__(self, chip: FakeChip) -> None:
        self._chip = chip
        self.path = str(chip.path)
        self.fd = -1

    def close(self) -> None:
        """See _ext.Chip."""

    def get_info(self) -> gpiod.ChipInfo:
        """See _ext.Chip."""
        self._chip.call()
        return gpiod.ChipInfo(self._chip.path.name, self._chip.label, len(self._chip.lines))

    def line_offset_from_id(self, id: str) -> int:
        """See _ext.Chip: the first line of that name."""
        self._chip.call()
        for offset, line in enumerate(self._chip.lines):
            if line.name == id:
                return offset
        raise failed(errno.ENOENT)

    def get_line_name(self, offset: int) -> str | None:
        """See _ext.Chip."""
        self._chip.call()
        return self._chip.lines[offset].name or None

    def get_line_info(self, offset: int, watch: bool) -> gpiod.LineInfo:
        """See _ext.Chip."""
        self._chip.call()
        line = self._chip.lines[offset]
        s = line.settings or FakeLineSettings(_ext.DIRECTION_INPUT, 1, 1, 1, False, 0, 1, 0)
        return gpiod.LineInfo(
            offset,
            line.name,
            bool(line.consumer),
            line.consumer,
            s.direction,
            s.active_low,
            s.bias,
            s.drive,
            s.edge_detection,
            s.event_clock,
            bool(s.debounce_period),
            s.debounce_period,
        )

    def unwatch_line_info(self, line: int) -> None:
        """See _ext.Chip."""
        raise NotImplementedError("no driver watches lines")

    def read_info_event(self) -> Any:
        """See _ext.Chip."""
        raise NotImplementedError("no driver watches lines")

    def request_lines(
        self, line_cfg: FakeLineConfig, consumer: str | None, event_buffer_size: int | None
    ) -> FakeRequest:
        """See _ext.Chip: refused as the kernel refuses it; outputs have their level from this moment on."""
        self._chip.call()
        if len(line_cfg.lines) > gpio_chips.MOST_LINES or line_cfg.attributes() > MOST_ATTRIBUTES:
            raise failed(errno.E2BIG)
        lines = [(self._chip.lines[offset], settings) for offset, settings in line_cfg.lines.items()]
        if any(line.consumer for line, _ in lines):
            raise failed(errno.EBUSY)
        room = event_buffer_size or EVENTS_A_LINE * len(lines)
        request = FakeRequest(self._chip, line_cfg, room)
        for line, settings in lines:
            line.consumer = (consumer or "?")[:MOST_CONSUMER]
            line.settings, line.request, line.seqno = settings, request, 0
            if line.is_output:
                line.level = settings.output_value
                line.history.append(line.level)
        self._chip.requests.append(request)
        return request


def milliseconds(settings: FakeLineSettings | None) -> float:
    """The debounce period of a line, as a person says it."""
    assert settings is not None
    return timedelta(microseconds=settings.debounce_period) / timedelta(milliseconds=1)
