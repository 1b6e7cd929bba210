"""The board of a Linux machine, a Raspberry Pi for one: devices by name behind one clock, one image and one policy.

Each kind of device is a driver in a file of its own; DRIVERS says which. A driver gets all devices of its kind at once,
because several may share a line.
"""

import importlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from board.contract import HOLD_LAST, Device, DevicePlan, Point, Services, Spec, Wiring
from board.device_link import NEVER, DeviceStatus, now_ms
from board.machine_identity import identity
from board.seam import FAULTS, Seam
from board.transport import SerialSettings, Transport, transport
from board.watchdog_device import HardwareWatchdog
from board.wire_trace import LineTraceWriter, about_line
from cell_controller.core.signals import KEEP, WORD_BITS, InputImage, OutputImage
from cell_controller.core.ticks import MASK, diff
from cell_controller.errors import BoardError, FaultNameError

DRIVERS = {
    "gpio": "board.gpio_lines",
    "pulse": "board.gpio_edges",
    "pwm": "board.gpio_pwm",
    "i2c": "board.i2c_devices",
    "spi": "board.spi_devices",
    "modbus": "board.modbus_line",
    "instrument": "board.instrument",
    "marlin": "board.marlin",
    "grbl": "board.grbl",
}
"""Kind of device -> module with `make(plans, files) -> list[Device]`."""

NO_SETTINGS: Mapping[str, Any] = {}

FIRST_READING_S = 1.0
"""How long `open` waits for devices to answer, so that a start finds good inputs where they can be had."""

WRITE_S = 0.2
"""How long `make_safe` waits for a write that another thread is in."""


class LinuxBoard:
    """A board made of `plans`; see host_tools.linux_wiring for how a wiring file becomes them."""

    def __init__(
        self,
        name: str,
        plans: Sequence[DevicePlan],
        directory: Path,
        settings: Mapping[str, Any] = NO_SETTINGS,
        line_faults: bool = False,
        drivers: Mapping[str, str] = DRIVERS,
    ) -> None:
        """`name`: the wiring file's. `directory`: the cell's. `settings`: its [board].

        `line_faults`: whether faults of lines may be turned on at all.
        """
        self.name = name
        self.simulated = False
        self.on_death = str(settings.get("on_death", HOLD_LAST))
        self._plans = plans
        self._directory = directory
        self._drivers = drivers
        self._devices: list[Device] = []
        self._line_faults = line_faults
        self.seams: dict[str, Seam] = {}
        self._recordings: Path | None = None
        watchdog = settings.get("watchdog")
        self._watchdog = HardwareWatchdog(watchdog, settings.get("watchdog_s", 10)) if watchdog else None
        self._origin_ms = now_ms()
        self._writing = threading.Lock()
        self._ended = False

    # --- life ---

    def open(self, spec: Spec, wiring: Wiring) -> None:
        """See Board.open."""
        self._origin_ms = now_ms()
        self._ended = False
        kinds: dict[str, list[DevicePlan]] = {}
        for plan in self._plans:
            kinds.setdefault(plan.kind, []).append(plan)
        try:
            for kind, plans in kinds.items():
                self._devices += _driver(self._drivers, kind)(plans, self)
            self._places = [_Places(device, spec) for device in self._devices]
            for device in self._devices:
                device.open()
            if self._watchdog is not None:
                self._watchdog.open()
        except BaseException:
            self.close()
            raise
        deadline = time.monotonic() + FIRST_READING_S
        while time.monotonic() < deadline and any(entry.answered_ms == NEVER for entry in self.devices()):
            time.sleep(0.01)

    def close(self) -> None:
        """See Board.close."""
        devices, self._devices = self._devices, []
        for device in reversed(devices):
            device.close()
        for seam in self.seams.values():
            seam.end_record()
        if self._watchdog is not None:
            self._watchdog.close()

    # --- the scan ---

    def read(self, image: InputImage) -> None:
        """See Board.read."""
        for device, places in zip(self._devices, self._places, strict=True):
            device.refresh()
            places.fill(image, device.latest)

    def write(self, image: OutputImage) -> None:
        """See Board.write. Does nothing after `make_safe`: a scan that comes late must not undo it."""
        with self._writing:
            if self._ended:
                return
            for device, places in zip(self._devices, self._places, strict=True):
                if places.outputs:
                    device.drive(places.counts(image))

    def make_safe(self, values: Sequence[int]) -> None:
        """See Board.make_safe. All devices are told before any is waited for; from any thread."""
        self._ended = True
        told = self._writing.acquire(timeout=WRITE_S)  # a write that hangs is not waited for
        try:
            wanted = [
                (device, places.counts_of(values))
                for device, places in zip(self._devices, self._places, strict=True)
                if places.outputs
            ]
            for device, counts in wanted:
                device.drive(counts)
        finally:
            if told:
                self._writing.release()
        for device, counts in wanted:
            device.make_safe(counts)

    def rearm(self) -> None:
        """See Board.rearm."""
        for device in self._devices:
            device.link.rearm()

    def feed(self) -> None:
        """See Board.feed: the hardware watchdog of [board]."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def tick(self) -> int:
        """See Board.tick."""
        return (now_ms() - self._origin_ms) & MASK

    def sleep_until(self, tick: int) -> None:
        """See Board.sleep_until."""
        ahead = diff(tick, self.tick())
        if ahead > 0:
            time.sleep(ahead / 1000)

    # --- what drivers and people ask for ---

    def random(self, count: int) -> bytes:
        """See Board.random."""
        return os.urandom(count)

    def folder(self, name: str) -> Path:
        """See Board.folder."""
        return self._directory / name

    def identity(self) -> Mapping[str, str]:
        """See Board.identity."""
        return identity()

    def devices(self) -> list[DeviceStatus]:
        """See Board.devices."""
        return [device.link.status() for device in self._devices]

    def line(self, name: str, address: str, settings: SerialSettings | None = None) -> Transport:
        """See Services.line."""
        seam = Seam(name, transport(address, settings))
        if self._recordings is not None:
            try:
                about = about_line(name, address, settings)
                seam.record(LineTraceWriter(self._recordings / f"{name}.line", about))
            except OSError as error:
                raise _not_recorded(self._recordings, error) from error
        self.seams[name] = seam
        return seam

    def record_to(self, folder: Path) -> None:
        """Record every line to `folder`/DEVICE.line; before `open`. Raises BoardError where that cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_recorded(folder, error) from error
        self._recordings = folder

    def fault(self, name: str, on: bool) -> None:
        """See Board.fault: "DEVICE.drop" and the like."""
        if name not in self.faults():
            raise FaultNameError(
                f"no fault '{name}' on this board; known: {', '.join(self.faults()) or 'none'}"
            )
        line, _, kind = name.rpartition(".")
        self.seams[line].fault(kind, on)

    def faults(self) -> list[str]:
        """See Board.faults."""
        return sorted(f"{line}.{kind}" for line in self.seams for kind in FAULTS) if self._line_faults else []


def _not_recorded(folder: Path, error: OSError) -> BoardError:
    return BoardError(f"lines cannot be recorded to {folder}: {error.strerror}; give another --line-trace")


class _Places:
    """Where the signals of one device are in the images, and its link's word on their quality."""

    def __init__(self, device: Device, spec: Spec) -> None:
        self._link = device.link
        inputs: Sequence[Point] = device.inputs
        self._digital = [(k, p) for k, p in enumerate(inputs) if p.kind == "digital"]
        self._others = [(k, p) for k, p in enumerate(inputs) if p.kind != "digital"]
        self.outputs = list(device.outputs)
        self._spans = [list(spec["outputs"][p.index]["raw"]) for p in self.outputs]
        self._driven = [p.abort for p in self.outputs]
        own = {spec.get("heartbeat", -1), *spec.get("stack_light", {}).values()}
        device.link.let_free([k for k, p in enumerate(self.outputs) if p.index in own])

    def fill(self, image: InputImage, latest: Sequence[tuple[int, int]]) -> None:
        """The device's latest values into the image."""
        link = self._link
        quality = image.quality
        link.begin_scan()
        now = link.clock()
        for k, point in self._digital:
            value, at = latest[k]
            w, bit = point.place // WORD_BITS, 1 << point.place % WORD_BITS
            if at != NEVER:
                on = bool(value) != point.active_low
                image.words[w] = image.words[w] | bit if on else image.words[w] & ~bit
            quality[point.index] = link.quality(at, now)
        for k, point in self._others:
            value, at = latest[k]
            if at != NEVER:
                image.analog[point.place] = value
            quality[point.index] = link.quality(at, now)

    def counts(self, image: OutputImage) -> list[int]:
        """What the image says of the device's outputs, one count each."""
        found = []
        for point in self.outputs:
            if point.kind == "digital":
                on = image.words[point.place // WORD_BITS] >> point.place % WORD_BITS & 1
                found.append(on ^ 1 if point.active_low else on)
            else:
                found.append(image.analog[point.place])
        self._driven = found
        return found

    def counts_of(self, values: Sequence[int]) -> list[int]:
        """`values` of all outputs of the cell, in steps, as counts of the device's outputs; KEEP keeps."""
        found = []
        for point, span, before in zip(self.outputs, self._spans, self._driven, strict=True):
            value = values[point.index]
            if value == KEEP:
                found.append(before)
            elif point.kind == "digital":
                found.append(value ^ 1 if point.active_low else value)
            else:
                found.append(_count(value, span))
        self._driven = found
        return found


def _count(value: int, span: Sequence[int]) -> int:
    if not span:
        return value
    return span[0] + (value - span[2]) * (span[1] - span[0]) // (span[3] - span[2])


def _driver(
    drivers: Mapping[str, str], kind: str
) -> Callable[[Sequence[DevicePlan], Services], list[Device]]:
    """`make` of the driver of `kind`. Raises BoardError, with the remedy, where a library is missing."""
    try:
        module: Any = importlib.import_module(drivers[kind])
    except ImportError as error:
        raise BoardError(
            f"devices of kind '{kind}' need the package {error.name}: pip install 'cell-controller[devices]'"
        ) from error
    make: Callable[[Sequence[DevicePlan], Services], list[Device]] = module.make
    return make
