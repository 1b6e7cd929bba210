"""The plant of the thermoforming cell: sheets come in frames, are heated, drawn onto a mould, cooled, cut and let go.

The heater is a bank that warms with a lag, and a sheet that warms after it with another one: what a regulator has to
live with. Temperatures are in thousandths of a degree, pressures in thousandths of a mbar below that of the room.
"""

from collections.abc import Sequence

from hil.faults import FaultSet
from hil.plant import PlantSignals, Spec, SteppedPlant, slew

CLAMP_MS = 800
MOULD_MS = 1200
DIE_MS = 500
CONTACTOR_MS = 60
AIR_MS = 1500  # the extraction from standing to its full stream, and back

AMBIENT = 20_000
BANK_PER_PERCENT = 5000  # what one percent of power keeps the bank above the room
BANK_TAU_MS = 10_000
VIEW_PERCENT = 55  # what a sheet gets of the bank's heat in the end
SHEET_TAU_MS = 18_000  # 3 mm of plastic; it cools into still air as slowly
MOULD_TAU_MS = 30_000  # on the mould, in still air
BLOWN_TAU_MS = 9000  # in the air of the fan
EMPTY_TAU_MS = 2000  # without a sheet the pyrometer looks at the table

VACUUM_FULL = 820_000
VACUUM_LEAK = 210_000
VACUUM_OPEN = 60_000  # what a pump makes of a mould without a sheet on it
VACUUM_TAU_MS = 600
DRAWN = 500_000  # with this much vacuum a soft sheet lies on the mould
NEAR = 50  # thousandths: a lag that is so near has arrived
SOFT = 100_000  # above this a sheet changes its shape
FORGETS = 120_000  # above this a formed sheet without its mould is flat again
BURNS = 215_000

LEAVE_MS = 800
ARRIVE_MS = 250  # the next frame queues right behind
REACT_MS = 400  # contactors fall, air dies away: no damage yet
FIRST_CARRIER = 2001
WRONG_BY = 5000

BASE_W = 60
HEATER_W_PER_PERCENT = 40
DRIVEN_W = {"extractor": 120, "cooling_fan": 180, "vacuum_pump": 370}
MJ_PER_WH = 3_600_000
METER_START_MJ = 120_000 * MJ_PER_WH  # a meter that has run before

SENSORS = (
    "clamp_closed",
    "clamp_open",
    "mould_is_up",
    "mould_is_down",
    "die_home",
    "door_closed",
    "airflow_ok",
    "contactor_closed",
    "part_present",
    "emergency_stop_ok",
    "io_link",
    "sheet_temp",
    "bank_temp",
    "vacuum",
    "carrier",
    "energy",
)
DRIVES = (
    "heater",
    "heater_contactor",
    "extractor",
    "cooling_fan",
    "vacuum_pump",
    "vacuum_valve",
    "mould_up",
    "mould_down",
    "clamp",
    "unclamp",
    "trim_die",
    "stopper",
)
FALL_BACK = {**dict.fromkeys(DRIVES, 0), "extractor": 1}

DEVICE_FAULTS = {
    "carrier.wrong": "the frame on the stand is not the one that was sent",
    "clamp.jam": "the clamp frame does not move",
    "contactor.welded": "the heater contactor does not open any more",
    "door.open": "the guard door stands open",
    "estop.open": "somebody pressed the emergency stop",
    "extraction.clogged": "the extraction moves no air",
    "fan.dead": "the cooling fan does not turn",
    "heater.dead": "the heater gives no heat",
    "heater.stuck_on": "the solid-state relay is welded: full power for as long as the contactor is closed",
    "io.silent": "the remote I/O hears nothing and drives its fall-back values",
    "mould.jam": "the mould does not move",
    "sensor.open": "the wire of the pyrometer is broken: it reads above its range",
    "sheet.missing": "the sheet was taken out of its frame",
    "stand.jam": "the frame does not leave",
    "trim.jam": "the trim die does not move",
    "vacuum.leak": "the sheet does not seal against the mould",
}


class Sheet:
    """A sheet in its frame and what has really been done to it, whatever the controller believes."""

    def __init__(self, carrier: int) -> None:
        self.carrier = carrier
        self.hottest = AMBIENT
        self.drawn_at = 0  # its temperature when the vacuum took it; 0: it is flat
        self.vacuum = 0  # the most it was drawn with
        self.sprung = False
        self.cuts = 0

    def look(self, temp: int, vacuum: int, mould_is_up: bool) -> None:
        """What temperature and vacuum of this moment make of it."""
        self.hottest = max(self.hottest, temp)
        if temp >= FORGETS and not mould_is_up:
            self.drawn_at = 0
            self.sprung = False
        if temp >= SOFT and mould_is_up and vacuum >= DRAWN:
            self.drawn_at = self.drawn_at or temp
            self.sprung = False
        elif temp >= SOFT and self.drawn_at:
            self.sprung = True
        if self.drawn_at:
            self.vacuum = max(self.vacuum, vacuum)

    def state(self) -> dict[str, object]:
        """The sheet in plain values: carrier, temperatures in degC, vacuum in mbar, sprung, cuts."""
        return {
            "carrier": self.carrier,
            "hottest_degc": self.hottest // 1000,
            "drawn_degc": self.drawn_at // 1000,
            "vacuum_mbar": self.vacuum // 1000,
            "sprung": self.sprung,
            "cuts": self.cuts,
        }


class FormPlant(SteppedPlant):
    """The forming machine. A sheet lies ready at the start, leaves over the lowered stopper, and the next one follows.

    `next_carriers`: numbers of the frames to come, first first; when it is empty they count up from 2001.
    `made`: the sheets that left, in order.
    """

    def __init__(self, spec: Spec) -> None:
        """Raises BoardError where `spec` lacks a signal of the machine."""
        super().__init__()
        names = PlantSignals(spec, "FormPlant")
        self._in = {name: names.input(name) for name in SENSORS}
        self._out = {name: names.output(name) for name in DRIVES}
        self._steps = {name: names.per_unit(name) for name in SENSORS}
        self.faults = FaultSet(DEVICE_FAULTS)
        self.damage: list[str] = []
        self.made: list[Sheet] = []
        self.next_carriers: list[int] = []
        self.inputs = [0] * len(spec["inputs"])
        self._given: list[int] = []
        self._cut_off = False
        self._driven = dict.fromkeys(DRIVES, 0)
        self.noise = [(self._in["sheet_temp"], 2), (self._in["bank_temp"], 1), (self._in["vacuum"], 2)]
        self._clamp_pos = 0
        self._clamp_end = 0
        self._mould_pos = 0
        self._die_pos = 0
        self._contactor = 0
        self._air = 0
        self._bank = AMBIENT
        self._temp = AMBIENT
        self._pressure = 0
        self._energy_mj = 0
        self._carrier_next = FIRST_CARRIER
        self.sheet: Sheet | None = self._new_sheet()
        self._leaving_ms = 0
        self._arriving_ms = 0
        self._danger_ms: dict[str, int] = {}
        self._sense()

    def remove_part(self) -> None:
        """A person takes the sheet out, a scrapped one for instance; the next one arrives."""
        self.sheet = None
        self._leaving_ms = 0
        self._arriving_ms = ARRIVE_MS

    def state(self) -> dict[str, object]:
        """The sheet in the frame, what left, and what no sensor shows."""
        return {
            "part": self.sheet.state() if self.sheet else {},
            "made": [sheet.state() for sheet in self.made],
            "mould_percent": self._mould_pos * 100 // MOULD_MS,
            "power_percent": self._power(),
            "bank_degc": self._bank // 1000,
            "sheet_degc": self._temp // 1000,
        }

    # what is going on

    def _new_sheet(self) -> Sheet:
        if self.next_carriers:
            return Sheet(self.next_carriers.pop(0))
        sheet = Sheet(self._carrier_next)
        self._carrier_next += 1
        return sheet

    def _in_frame(self) -> Sheet | None:
        """The sheet in the frame, None while it is taken out."""
        return None if self.faults.is_on("sheet.missing") else self.sheet

    def _take(self, outputs: Sequence[int]) -> None:
        """New outputs act from now on; where the remote I/O hears nothing, its fall-back values do."""
        if outputs == self._given and not self._cut_off and not self.faults.is_on("io.silent"):
            return
        self._given = list(outputs)
        self._cut_off = self.faults.is_on("io.silent")
        cutting = self._driven["trim_die"]
        driven = FALL_BACK if self._cut_off else {name: outputs[i] for name, i in self._out.items()}
        self._driven = driven
        if driven["clamp"] != driven["unclamp"]:
            # the valve is bistable: it stays on the side it was switched to, and the stroke ends without its coil
            self._clamp_end = CLAMP_MS if driven["clamp"] else 0
        sheet = self._in_frame()
        if sheet is not None and driven["trim_die"] and not cutting:
            sheet.cuts += 1

    def _power(self) -> int:
        """Percent of the bank's power that really flow."""
        if self._contactor < CONTACTOR_MS or self.faults.is_on("heater.dead"):
            return 0
        return 100 if self.faults.is_on("heater.stuck_on") else self._driven["heater"]

    def _targets(self) -> tuple[int, ...]:
        """Where clamp, mould, die, contactor, air, bank, sheet and pressure are heading."""
        driven = self._driven
        fault = self.faults.is_on
        clamp = self._clamp_pos if fault("clamp.jam") else self._clamp_end
        mould = self._mould_pos  # a closed centre: it stays where it is unless one coil is driven
        if not fault("mould.jam") and driven["mould_up"] != driven["mould_down"]:
            mould = MOULD_MS if driven["mould_up"] else 0
        die = self._die_pos if fault("trim.jam") else DIE_MS if driven["trim_die"] else 0
        contactor = CONTACTOR_MS if driven["heater_contactor"] else 0
        if fault("contactor.welded"):
            contactor = max(contactor, self._contactor)
        air = AIR_MS if driven["extractor"] and not fault("extraction.clogged") else 0
        bank = AMBIENT + BANK_PER_PERCENT * self._power()
        sheet = AMBIENT
        if self._in_frame() is not None and self._mould_pos == 0:
            sheet += (self._bank - AMBIENT) * VIEW_PERCENT // 100
        pressure = 0
        if driven["vacuum_valve"] and driven["vacuum_pump"]:
            sealed = self._in_frame() is not None and self._mould_pos == MOULD_MS
            pressure = VACUUM_OPEN if not sealed else VACUUM_LEAK if fault("vacuum.leak") else VACUUM_FULL
        return clamp, mould, die, contactor, air, bank, sheet, pressure

    def _sheet_tau_ms(self) -> int:
        if self._in_frame() is None:
            return EMPTY_TAU_MS
        if self._driven["cooling_fan"] and not self.faults.is_on("fan.dead"):
            return BLOWN_TAU_MS
        return MOULD_TAU_MS if self._mould_pos == MOULD_MS else SHEET_TAU_MS

    def _moving(self) -> bool:
        """Whether anything but the energy meter changes while the outputs stay."""
        if self._leaving_ms or self.sheet is None or self._driven["stopper"]:
            return True
        now = (self._clamp_pos, self._mould_pos, self._die_pos, self._contactor, self._air)
        return self._targets() != (*now, self._bank, self._temp, self._pressure)

    def _advance(self, dt: int) -> None:
        """Let `dt` ms pass with the outputs as they are."""
        clamp, mould, die, contactor, air, bank, sheet, pressure = self._targets()
        power = self._power()
        self._clamp_pos = slew(self._clamp_pos, clamp, dt)
        self._mould_pos = slew(self._mould_pos, mould, dt)
        self._die_pos = slew(self._die_pos, die, dt)
        self._contactor = slew(self._contactor, contactor, dt)
        self._air = slew(self._air, air, dt)
        if bank != self._bank:
            self._bank = lag(self._bank, bank, dt, BANK_TAU_MS)
        if sheet != self._temp:
            self._temp = lag(self._temp, sheet, dt, self._sheet_tau_ms())
        if pressure != self._pressure:
            self._pressure = lag(self._pressure, pressure, dt, VACUUM_TAU_MS)
        watts = BASE_W + HEATER_W_PER_PERCENT * power
        for name, driven_w in DRIVEN_W.items():
            watts += driven_w if self._driven[name] else 0
        self._energy_mj += watts * dt
        self._move_sheet(dt)
        self._look_for_damage(dt, power, mould != self._mould_pos)
        sheet_in_frame = self._in_frame()
        if sheet_in_frame is not None:
            sheet_in_frame.look(self._temp, self._pressure, self._mould_pos == MOULD_MS)

    def _move_sheet(self, dt: int) -> None:
        """Frames leave over the lowered stopper and follow each other."""
        lowered = self._driven["stopper"]
        if self.sheet is not None:
            if self._leaving_ms or (lowered and self._clamp_pos == 0 and not self.faults.is_on("stand.jam")):
                self._leaving_ms += dt
                if self._leaving_ms >= LEAVE_MS:
                    self._leaving_ms = 0
                    self.made.append(self.sheet)
                    self.sheet = None
                    self._arriving_ms = ARRIVE_MS
        elif self._arriving_ms > dt:
            self._arriving_ms -= dt
        elif not lowered:
            self._arriving_ms = 0
            self.sheet = self._new_sheet()
            self._temp = AMBIENT

    def _look_for_damage(self, dt: int, power: int, mould_moves: bool) -> None:
        """What hurts people, machine or product; each is told once for each time it happens."""
        driven = self._driven
        sheet = self._in_frame()
        heating = power > 0
        loose = self._clamp_pos < CLAMP_MS
        door_open = self.faults.is_on("door.open")
        pumping = driven["vacuum_valve"] and driven["vacuum_pump"]
        going_up = mould_moves and driven["mould_up"]
        going_down = mould_moves and driven["mould_down"]
        moves = mould_moves or (driven["trim_die"] and self._die_pos < DIE_MS)  # up it goes by its springs
        for there, text, grace_ms in (
            (heating and self._air == 0, "heated without air", REACT_MS),
            (heating and door_open, "heated with the door open", REACT_MS),
            (heating and loose, "heated a loose sheet", REACT_MS),
            (heating and self._mould_pos > 0, "heated with the mould up", REACT_MS),
            (self._temp > BURNS, "sheet burnt", 0),
            (self._bank > 512_000, "heater bank burnt out", 0),
            (pumping and sheet is None, "vacuum on without a sheet", REACT_MS),
            (going_up and loose, "mould moved into a loose sheet", 0),
            (going_down and self._pressure > 200_000, "part torn off the mould", 0),
            (moves and door_open, "moved behind an open door", REACT_MS),
            (mould_moves and self._die_pos > 0, "mould moved under the die", 0),
            (loose and self._temp > SOFT, "hot sheet fell out of its frame", 0),
            (driven["mould_up"] and driven["mould_down"], "both coils of the mould driven", 100),
            (driven["clamp"] and driven["unclamp"], "both coils of the clamp driven", 100),
        ):
            self._danger(bool(there), text, dt, grace_ms)

    def _danger(self, there: bool, text: str, dt: int, grace_ms: int) -> None:
        """Note `text` when it was so for longer than `grace_ms`, the time contactors and air need to react."""
        if not there:
            self._danger_ms.pop(text, None)
            return
        before = self._danger_ms.get(text, 0)
        self._danger_ms[text] = before + dt
        if before <= grace_ms < before + dt:
            self.damage.append(text)

    def _sense(self) -> None:
        """What the sensors read."""
        fault = self.faults.is_on
        sheet = self._in_frame()
        read = {
            "clamp_closed": self._clamp_pos >= CLAMP_MS,
            "clamp_open": self._clamp_pos <= 0,
            "mould_is_up": self._mould_pos >= MOULD_MS,
            "mould_is_down": self._mould_pos <= 0,
            "die_home": self._die_pos <= 0,
            "door_closed": not fault("door.open"),
            "airflow_ok": self._air >= AIR_MS * 7 // 10,
            "contactor_closed": self._contactor >= CONTACTOR_MS,
            "part_present": sheet is not None,
            "emergency_stop_ok": not fault("estop.open"),
            "io_link": True,
            "sheet_temp": 400 * self._steps["sheet_temp"]
            if fault("sensor.open")
            else self._temp * self._steps["sheet_temp"] // 1000,
            "bank_temp": self._bank * self._steps["bank_temp"] // 1000,
            "vacuum": self._pressure * self._steps["vacuum"] // 1000,
            "carrier": 0 if sheet is None else sheet.carrier + (WRONG_BY if fault("carrier.wrong") else 0),
            "energy": (METER_START_MJ + self._energy_mj) * self._steps["energy"] // MJ_PER_WH,
        }
        for name, value in read.items():
            self.inputs[self._in[name]] = int(value)


def lag(value: int, target: int, dt_ms: int, tau_ms: int) -> int:
    """First-order lag in whole thousandths, also for steps as short as a scan: it arrives, and it never jumps."""
    gap = target - value
    if -NEAR <= gap <= NEAR:
        return target
    return value + (gap * dt_ms // tau_ms or 1)
