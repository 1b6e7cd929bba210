"""One Modbus device: its turn on the line, and what the board sees of it."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from board.contract import DevicePlan
from board.device_link import NEVER, DeviceLink
from board.modbus_client import LineClient
from board.modbus_outputs import RESET, SAME
from board.modbus_plan import Block
from board.modbus_points import (
    FAST,
    FOR_EVER_MS,
    ONCE,
    SLOW,
    Place,
    Reading,
    outputs_of,
    places_of,
    readings_of,
)
from cell_controller.errors import DeviceError, LinkLostError

SLOW_MS = 1000
LATE_TENTHS = 9
"""A device whose outputs were not written for so many tenths of its comms time-out may have fallen back."""
MAKE_SAFE_S = 1.0


class SharedLine(Protocol):
    """What a device needs of its line, which others are on too."""

    def start(self) -> None:
        """A device is opened; the first one starts the line."""

    def hurry(self) -> None:
        """There is something to write."""

    def stop(self) -> None:
        """A device is closed; the first one ends the line."""


class ModbusUnit:
    """A device with an address on a line: a board.contract.Device. The line's thread calls `opened` and `turn`."""

    def __init__(self, plan: DevicePlan, line: SharedLine) -> None:
        """`plan.settings`: as host_tools.devices.modbus makes them."""
        settings = plan.settings
        self.name = plan.name
        self.poll_ms = int(settings["poll_ms"])
        self.inputs = [point for point in plan.points if not point.is_output]
        self.outputs = [point for point in plan.points if point.is_output]
        self.latest = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(
            plan.name,
            plan.on_death,
            [point.abort for point in self.outputs],
            settings["stale_ms"],
            settings["bad_ms"],
        )
        self._line = line
        self._unit = int(settings["unit"])
        self._answer_s = settings["answer_ms"] / 1000
        self._timeout_ms = int(settings["comms_timeout_ms"])
        self._register: Mapping[str, Any] | None = settings["timeout_register"]
        self._places = places_of(settings, self.inputs)
        self._driven = outputs_of(settings, self.outputs)
        self._readings = readings_of(settings, self._places, self._driven.readable)
        self._measured = list(self.latest)
        self._known = False
        self._doubt = False
        self._answered_at = NEVER
        self._fed_at = NEVER
        self._driven_at = NEVER
        self._tried = self._settled = NEVER
        self._done = threading.Condition()

    # --- the board's thread ---

    def open(self) -> None:
        """See Device.open."""
        self._line.start()

    def refresh(self) -> None:
        """See Device.refresh."""

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive."""
        self._driven_at = self.link.clock()
        self.link.want(counts)
        if self.has_news:
            self._line.hurry()

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe."""
        self.drive(counts)
        change = self.link.wanted()[0]
        with self._done:
            self._done.wait_for(lambda: self._settled == change, MAKE_SAFE_S)

    def close(self) -> None:
        """See Device.close."""
        self._line.stop()
        self.link.closed()

    # --- the line's thread ---

    @property
    def has_news(self) -> bool:
        """Whether the outputs shall be something that was not tried yet."""
        return bool(self.outputs) and self.link.wanted()[0] != self._tried and not self._hangs()

    def opened(self) -> None:
        """The line is open again, or the device was reset: nothing is known of it."""
        self._driven.forget()
        self._fed_at = NEVER
        self._known = self._doubt = False
        for reading in self._readings:
            reading.due_at = 0

    def turn(self, client: LineClient) -> None:
        """Write what is due, then read what is due.

        Raises DeviceError where the device did not answer at all, and LinkLostError; all else is told to the link.
        """
        began = self.link.clock()
        hangs = self._hangs()
        if not hangs:
            self._watch_timeout()
        try:
            if self._doubt:
                self._look_for_reset(client)
            if not hangs:
                self._write(client)
            known = self._known or self._set_timeout(client)
            self._read_due(client)
        except DeviceError:
            self._doubt = True
            raise
        if known and not self._known:
            self._known = True
            self._answered(began)

    def _look_for_reset(self, client: LineClient) -> None:
        """It did not answer; before anything is written again, see whether it is what it was."""
        if self._known and not self._timeout_reads_right(client):
            self._lose("was reset: its comms time-out is not what was set")
        self._read_due(client)
        self._doubt = False

    def _write(self, client: LineClient) -> None:
        change, counts = self.link.wanted()
        self._tried = change
        self._driven.want(counts)
        all_written = True
        for write in self._driven.due(self.link.clock()):
            now = self.link.clock()
            self._driven.unsure(write.block)
            try:
                client.write(self._unit, write.block, write.words, write.single, self._answer_s)
            except DeviceError as error:
                self._failed(client, f"writing {write.block}", error)
                all_written = False
            else:
                self._driven.wrote(write, now)
                self._fed_at = now
                self._answered(now)
        if all_written:
            with self._done:
                self._settled = change
                self._done.notify_all()

    def _hangs(self) -> bool:
        """No scan comes, though this thread lives: the device shall fall back, as if the controller had died."""
        if not self._timeout_ms or self._driven_at == NEVER:
            return False
        return self.link.clock() - self._driven_at > self._timeout_ms // 2

    def _watch_timeout(self) -> None:
        """Outputs that were not written for too long may be at their fallback values; they must not jump back."""
        if not self._timeout_ms or self._fed_at == NEVER:
            return
        silent_ms = self.link.clock() - self._fed_at
        if 10 * silent_ms >= LATE_TENTHS * self._timeout_ms:
            self._lose(f"was not written for {silent_ms} ms; its comms time-out is {self._timeout_ms} ms")

    def _timeout_reads_right(self, client: LineClient) -> bool:
        register = self._register
        if register is None or not register["read_back"]:
            return True
        block = Block("holding", register["address"])
        try:
            return client.read(self._unit, block, self._answer_s) == [register["count"]]
        except DeviceError as error:
            self._failed(client, f"reading the comms time-out in {block}", error)
            return False

    def _set_timeout(self, client: LineClient) -> bool:
        """Whether the device has the comms time-out that the wiring says; it is written where it reads differently.

        Such registers often lie in a memory that wears out, so they are not written without need.
        """
        register = self._register
        if register is None or (register["read_back"] and self._timeout_reads_right(client)):
            return True
        block, count = Block("holding", register["address"]), register["count"]
        try:
            client.write(self._unit, block, [count], register["single"], self._answer_s)
        except DeviceError as error:
            self._failed(client, f"writing the comms time-out to {block}", error)
            return False
        if self._timeout_reads_right(client):
            return True
        self.link.failed(f"{self.name}: its comms time-out in {block} does not become {count}")
        return False

    def _read_due(self, client: LineClient) -> None:
        for reading in self._readings:
            if self.link.clock() >= reading.due_at:
                self._read(client, reading)

    def _read(self, client: LineClient, reading: Reading) -> None:
        block = reading.block
        asked_at = self.link.clock()
        try:
            words = client.read(self._unit, block, self._answer_s)
        except DeviceError as error:
            self._failed(client, f"reading {block}", error)
            reading.due_at = asked_at if reading.poll == FAST else asked_at + SLOW_MS
            return
        reading.due_at = asked_at + {FAST: 0, SLOW: SLOW_MS, ONCE: FOR_EVER_MS}[reading.poll]
        verdict, text = self._driven.read_back(block, words)
        if verdict == RESET:
            self._lose(f"was reset, or somebody else drives it: {text}")
        elif verdict != SAME:
            self.link.failed(f"{self.name}: {text}")
        for k, place in enumerate(self._places):
            if place is not None and place.poll == reading.poll and block.holds(place.block):
                self._take(k, place, block.part(words, place.block), asked_at)
        self._answered(asked_at)

    def _take(self, k: int, place: Place, words: list[int], at: int) -> None:
        count = place.value.count(words)
        if count is None:
            self.link.failed(f"{self.name}: {self.inputs[k].at} is not a number of its range")
            self._measured[k] = (self._measured[k][0], NEVER)
        else:
            self._measured[k] = (count, at)

    def _publish(self) -> None:
        """A value that is not read in every turn ages from the moment its next reading is due."""
        for k, place in enumerate(self._places):
            count, at = self._measured[k]
            if place is None:
                self.latest[k] = (1, self._answered_at)
            elif at == NEVER or place.poll == FAST:
                self.latest[k] = (count, at)
            else:
                kept_ms = SLOW_MS if place.poll == SLOW else FOR_EVER_MS
                self.latest[k] = (count, max(at, min(self._answered_at, at + kept_ms)))

    # --- its link ---

    def _answered(self, at: int) -> None:
        """It answered what was asked `at`. It runs when its comms time-out is set and everything was read once."""
        if self._known:
            self._answered_at = at
            self._publish()
            self.link.answered()

    def _failed(self, client: LineClient, what: str, error: DeviceError) -> None:
        if isinstance(error, LinkLostError):
            raise error
        self.link.failed(f"{self.name}: {what}: {error}")
        if not client.heard:
            raise error

    def _lose(self, text: str) -> None:
        self.opened()
        self.link.lost(f"{self.name} {text}")
