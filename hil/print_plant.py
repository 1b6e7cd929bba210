"""The plant of the print cell: a printer behind a door, with an ejector, a smoke detector and an energy meter.

The printer is seen as its driver shows one: state, progress, temperatures, the key of its file. It works about a
hundred times faster than a real one: a file takes 12 to 16 s, by its key, and a bed cools down in half a minute.
"""

from collections.abc import Sequence

from hil.faults import FaultSet
from hil.plant import PlantSignals, Spec, SteppedPlant, approach, slew

UNKNOWN, NOT_HOMED, IDLE, RUNNING, PAUSED, DONE, FAILED, CANCELLED, INTERRUPTED = range(9)
"""States of a printer as its driver tells them."""


RESTART_MS = 2000
HOME_MS = 3000
PAUSE_MS = 300  # moves that are in the printer's buffer are finished first
PRINT_MS = 12_000
PRINT_SPREAD_MS = 4000
AMBIENT = 20_000  # m-degC
NOZZLE_TAU_MS = 4000
BED_TAU_MS = 6000
COOL_TAU_MS = 20_000
MELTS = 170_000  # below this nothing comes out of the nozzle
STICKS = 45_000  # above this the part does not come off the bed
HOLDS = 35_000  # a bed colder than this lets a half-made part go
RUNAWAY = 330_000
BURNS = 310_000
EJECT_MS = 1500
REACT_MS = 600  # the link, a move that is under way: no damage yet
UNATTENDED_MS = 900_000  # so long a printer may be hot without printing

BASE_W = 15
MOTION_W = 40
NOZZLE_W_PER_100_DEGC = 12
BED_W_PER_100_DEGC = 160
METER_START = 480_000  # 0.1 Wh: a meter that has run before
MJ_PER_COUNT = 360_000  # 0.1 Wh

DEVICE_FAULTS = {
    "door.open": "the door stands open",
    "ejector.jam": "the ejector does not move",
    "estop.open": "somebody pressed the emergency stop",
    "nozzle.runaway": "the nozzle's heater stays on until the printer is switched off",
    "part.sticks": "the part does not come off the bed",
    "printer.cold": "the heaters give no heat",
    "printer.fails": "the printer gives the print up",
    "printer.jam": "the print stands still and the printer does not say so",
    "printer.link": "the printer's cable is off: it keeps its heat and hears nothing",
    "printer.lost": "the printer does not find its home position",
    "printer.nofile": "the printer's driver does not find the file",
    "printer.reset": "the printer starts anew and forgets what it did",
    "smoke.there": "the smoke detector has tripped",
}


class Part:
    """A part and what was really done to it, whatever the controller believes."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.per_mille = 0
        self.coldest = RUNAWAY
        self.hottest = 0

    def state(self) -> dict[str, object]:
        """The part in plain values: key of its file, per_mille that is printed, nozzle in degC while it was."""
        return {
            "key": self.key,
            "per_mille": self.per_mille,
            "coldest_degc": self.coldest // 1000 if self.hottest else 0,
            "hottest_degc": self.hottest // 1000,
        }


class Printer:
    """The printer as its driver shows it. Temperatures in thousandths of a degC, times in ms."""

    def __init__(self, faults: FaultSet) -> None:
        self._fault = faults.is_on
        self.homed = False
        self.outcome = UNKNOWN
        """How the last file ended: DONE, FAILED, CANCELLED, INTERRUPTED; UNKNOWN for none."""
        self.active = False
        self.paused = False
        self.key = 0
        self.done_key = 0
        self.done_ms = 0
        self.begun = 0
        """Files that were begun from their start."""
        self.unreset = False
        self.nozzle = AMBIENT
        self.bed = AMBIENT
        self.enable = self.job = self.home = 0
        self.nozzle_set = self.bed_set = 0
        self._pause = 0
        self._start_ms = 0
        self._home_ms = 0
        self._pause_ms = 0
        self._was_reset = False

    @property
    def state(self) -> int:
        """What the driver tells."""
        if self.active:
            return PAUSED if self.paused else RUNNING
        if self.outcome != UNKNOWN:
            return self.outcome
        return IDLE if self.homed else NOT_HOMED

    @property
    def takes_ms(self) -> int:
        """How long its file takes."""
        return PRINT_MS + self.key % PRINT_SPREAD_MS

    @property
    def progress(self) -> int:
        """Per mille of the file."""
        return self.done_ms * 1000 // self.takes_ms

    @property
    def ready(self) -> bool:
        """Whether it takes a file."""
        return self.homed and not (self.active or self.homing)

    @property
    def starting(self) -> bool:
        """Whether it comes up and does not answer."""
        return self._start_ms > 0

    @property
    def homing(self) -> bool:
        """Whether it looks for its home position."""
        return self._home_ms > 0

    @property
    def moving(self) -> bool:
        """Whether anything but its temperatures changes by itself."""
        return self.state == RUNNING or self._start_ms > 0 or self._home_ms > 0

    def heading(self) -> tuple[int, int]:
        """Where nozzle and bed are heading."""
        if self._fault("nozzle.runaway") and self.enable:
            return RUNAWAY, max(AMBIENT, self.bed_set)
        if self._fault("printer.cold"):
            return AMBIENT, AMBIENT
        return max(AMBIENT, self.nozzle_set), max(AMBIENT, self.bed_set)

    def take(self, wanted: Sequence[int]) -> None:
        """What the driver is told: enable, job, go_on, pause, home, and the temperatures in tenths of a degC."""
        enable, job, go_on, self._pause, home, nozzle_set, bed_set = wanted
        if self.enable and not enable:
            self.restart()
        self.enable = enable
        if self.starting:
            return
        self.nozzle_set, self.bed_set = nozzle_set * 100, bed_set * 100
        if home and not self.home and not self.active:
            self.outcome = UNKNOWN
            self._home_ms = HOME_MS
        if job != self.job:
            self.done_key = 0
            if self.active:
                self._end(CANCELLED)
            if job:
                self._begin(job, bool(go_on))
        self.job, self.home = job, home

    def restart(self) -> None:
        """M112, or a reset: heaters and motors are off, and what it did is forgotten."""
        if self.active or self.outcome == INTERRUPTED:
            self._end(FAILED)
        self.homed = self.unreset = False
        self.job = self.home = 0
        self.nozzle_set = self.bed_set = 0
        self._home_ms = 0
        self._start_ms = RESTART_MS

    def lose_cable(self) -> None:
        """No line of the file comes any more. It keeps its heat."""
        if self.active:
            self._end(INTERRUPTED)

    def _end(self, outcome: int) -> None:
        self.active = self.paused = False
        self.outcome = outcome

    def _begin(self, key: int, go_on: bool) -> None:
        continues = self.unreset and self.outcome == INTERRUPTED and key == self.key
        if self._fault("printer.nofile") or not self.ready or (go_on and not continues):
            self._end(FAILED)
            return
        if not go_on:
            self.key, self.done_ms = key, 0
            self.begun += 1
        self.active, self.unreset = True, True
        self.outcome = UNKNOWN

    def advance(self, dt: int) -> int:
        """Let `dt` ms pass; how many of them it printed."""
        if self._fault("printer.reset") and not self._was_reset:
            self.restart()
        self._was_reset = self._fault("printer.reset")
        nozzle, bed = self.heading()
        self.nozzle = _lag(self.nozzle, nozzle, dt, NOZZLE_TAU_MS)
        self.bed = _lag(self.bed, bed, dt, BED_TAU_MS)
        self._start_ms = max(0, self._start_ms - dt)
        if self._home_ms:
            self._home_ms = max(0, self._home_ms - dt)
            if not self._home_ms:
                self.homed = not self._fault("printer.lost")
        return self._print(dt) if self.active else 0

    def _print(self, dt: int) -> int:
        if self._fault("printer.fails"):
            self._end(FAILED)
            return 0
        self._pause_ms = min(PAUSE_MS, self._pause_ms + dt) if self._pause else 0
        self.paused = self._pause_ms >= PAUSE_MS
        if self.paused or self._fault("printer.jam"):
            return 0
        made = min(dt, self.takes_ms - self.done_ms)
        self.done_ms += made
        if self.done_ms >= self.takes_ms:
            self._end(DONE)
            self.done_key = self.key
        return made


def _lag(value: int, target: int, dt: int, tau_ms: int) -> int:
    if value == target:
        return value
    return approach(value, target, dt, tau_ms if target > value else COOL_TAU_MS)


class PrintPlant(SteppedPlant):
    """The cell's machine. `made`: the parts that were pushed off the bed, in order."""

    step_ms = 100

    def __init__(self, spec: Spec) -> None:
        """Raises BoardError where `spec` lacks a signal of the cell."""
        super().__init__()
        names = PlantSignals(spec, "PrintPlant")
        self.faults = FaultSet(DEVICE_FAULTS)
        self.damage: list[str] = []
        self.made: list[Part] = []
        self.part: Part | None = None
        self.printer = Printer(self.faults)
        self.inputs = [0] * len(spec["inputs"])
        self._bind(names)
        self.noise = [(self._nozzle, 2), (self._bed, 2)]
        self._outputs: list[int] = [0] * len(spec["outputs"])
        self._ejector_pos = 0
        self._energy_mj = 0
        self._danger_ms: dict[str, int] = {}
        self._sense()

    def _bind(self, names: PlantSignals) -> None:
        self._link = names.input("printer_link")
        self._state = names.input("printer_state")
        self._ready = names.input("printer_ready")
        self._job_key = names.input("printer_job")
        self._done_key = names.input("printer_done")
        self._unreset = names.input("printer_unreset")
        self._progress = names.input("progress")
        self._nozzle = names.input("nozzle")
        self._bed = names.input("bed")
        self._door_closed = names.input("door_closed")
        self._no_smoke = names.input("no_smoke")
        self._estop_ok = names.input("emergency_stop_ok")
        self._bed_clear = names.input("bed_clear")
        self._ejector_home = names.input("ejector_home")
        self._meter = names.input("meter")
        self._to_printer = [
            names.output(name)
            for name in ("printer_enable", "job", "go_on", "pause", "home", "nozzle_set", "bed_set")
        ]
        self._ejector = names.output("ejector")

    def remove_part(self) -> None:
        """A person takes the part off the bed."""
        self.part = None
        self._sense()

    def state(self) -> dict[str, object]:
        """The part on the bed, the parts that were made, and what no sensor shows."""
        return {
            "part": self.part.state() if self.part else {},
            "made": [part.state() for part in self.made],
            "ejector_percent": self._ejector_pos * 100 // EJECT_MS,
            "printer_enable": self.printer.enable,
            "nozzle_set_degc": self.printer.nozzle_set // 1000,
            "bed_set_degc": self.printer.bed_set // 1000,
        }

    # what is going on

    def _tell_printer(self) -> None:
        printer = self.printer
        homing, begun = printer.homing, printer.begun
        printer.take([self._outputs[i] for i in self._to_printer])
        if self.part is not None:
            self._happens(printer.homing and not homing, "homed into a part")
            self._happens(printer.begun > begun, "printed onto a part")

    def _take(self, outputs: Sequence[int]) -> None:
        """The printer hears of them while its cable is in."""
        self._outputs = list(outputs)
        if self.faults.is_on("printer.link"):
            self.printer.lose_cable()
        else:
            self._tell_printer()

    def _moving(self) -> bool:
        """Whether anything but the energy meter changes while the outputs stay."""
        printer = self.printer
        still = (
            printer.nozzle,
            printer.bed,
        ) == printer.heading() and self._ejector_pos == self._ejector_end()
        return not still or printer.moving or self.faults.is_on("printer.reset")

    def _ejector_end(self) -> int:
        if self.faults.is_on("ejector.jam"):
            return self._ejector_pos
        return EJECT_MS if self._outputs[self._ejector] else 0

    def _advance(self, dt: int) -> None:
        """Let `dt` ms pass with the outputs as they are."""
        printer = self.printer
        made_ms = printer.advance(dt)
        if made_ms:
            self._grow()
        self._ejector_pos = slew(self._ejector_pos, self._ejector_end(), dt)
        if self._ejector_pos == EJECT_MS and self.part is not None and self._comes_off():
            self.made.append(self.part)
            self.part = None
        self._energy_mj += self._watts() * dt
        self._look_for_damage(dt, made_ms)

    def _grow(self) -> None:
        """Plastic is laid down."""
        printer = self.printer
        if self.part is None:
            self.part = Part(printer.key)
        part = self.part
        part.per_mille = max(part.per_mille, printer.progress)
        part.hottest = max(part.hottest, printer.nozzle)
        part.coldest = min(part.coldest, printer.nozzle)

    def _comes_off(self) -> bool:
        return self.printer.bed <= STICKS and not self.faults.is_on("part.sticks")

    def _watts(self) -> int:
        printer = self.printer
        if not printer.enable:
            return BASE_W
        nozzle, bed = printer.heading()
        heat = (nozzle - AMBIENT) * NOZZLE_W_PER_100_DEGC + (bed - AMBIENT) * BED_W_PER_100_DEGC
        return BASE_W + heat // 100_000 + (MOTION_W if printer.moving else 0)

    def _look_for_damage(self, dt: int, made_ms: int) -> None:
        """What hurts people, machine or product; each is told once for each time it happens."""
        printer = self.printer
        fault = self.faults.is_on
        hot = max(printer.nozzle_set, printer.bed_set) > 0
        prints = made_ms > 0
        self._danger(prints and fault("door.open"), "printed behind an open door", dt, REACT_MS)
        self._danger(printer.homing and fault("door.open"), "homed behind an open door", dt, REACT_MS)
        self._danger(prints and printer.nozzle < MELTS, "printed with a cold nozzle", dt, REACT_MS)
        self._danger(prints and printer.bed < HOLDS, "printed on a cold bed", dt, REACT_MS)
        self._danger(prints and self._ejector_pos > 0, "printed into the ejector", dt, 0)
        self._danger(hot and fault("smoke.there"), "heated into smoke", dt, REACT_MS)
        self._danger(printer.nozzle > BURNS, "nozzle burnt", dt, 0)
        self._danger(hot and not prints, "hot for 15 minutes without printing", dt, UNATTENDED_MS)
        pushes = self._ejector_pos > EJECT_MS // 2 and self.part is not None and printer.bed > STICKS
        self._danger(pushes, "pushed a part that still sticks", dt, 0)

    def _danger(self, there: bool, text: str, dt: int, grace_ms: int) -> None:
        """Note `text` when it was so for longer than `grace_ms`."""
        if not there:
            self._danger_ms.pop(text, None)
            return
        before = self._danger_ms.get(text, 0)
        self._danger_ms[text] = before + dt
        if before <= grace_ms < before + dt:
            self.damage.append(text)

    def _happens(self, there: bool, text: str) -> None:
        if there:
            self.damage.append(text)

    def _sense(self) -> None:
        """What the sensors read, and what the printer's driver knows: with the cable off, nothing new."""
        inputs = self.inputs
        fault = self.faults.is_on
        printer = self.printer
        answers = not fault("printer.link") and not printer.starting
        inputs[self._link] = 1 if answers else 0
        if answers:
            inputs[self._state] = printer.state
            inputs[self._ready] = 1 if printer.ready else 0
            inputs[self._job_key] = printer.key
            inputs[self._done_key] = printer.done_key
            inputs[self._unreset] = 1 if printer.unreset else 0
            inputs[self._progress] = printer.progress
            inputs[self._nozzle] = printer.nozzle // 100
            inputs[self._bed] = printer.bed // 100
        inputs[self._door_closed] = 0 if fault("door.open") else 1
        inputs[self._no_smoke] = 0 if fault("smoke.there") else 1
        inputs[self._estop_ok] = 0 if fault("estop.open") else 1
        inputs[self._bed_clear] = 1 if self.part is None else 0
        inputs[self._ejector_home] = 1 if self._ejector_pos <= 0 else 0
        inputs[self._meter] = METER_START + self._energy_mj // MJ_PER_COUNT
