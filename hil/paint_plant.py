"""The plant of the example cell: a booth in which bonnets and roofs are clamped, painted, baked, wrapped and let go."""

from collections.abc import Sequence

from hil.faults import FaultSet
from hil.plant import PlantSignals, Spec, SteppedPlant, approach, slew

CLAMP_MS = 800
ROLLER_MS = 600
AIR_TAU_MS = 1200
AIR_FULL = 6000  # l/min; the booth's volume flow in thousandths of a m3/min
AIR_LOW = 2500
FLOW_FULL = 240_000  # ul/min of one open gun
FLOW_LEAK = 60_000
FLOW_PER_MS = 800
AMBIENT = 20_000  # m-degC
HEAT_TAU_MS = 8000
HEAT_PER_PERCENT = 940  # m-degC above ambient that one percent of lamp keeps up
LEAVE_MS = 800
REACT_MS = 400  # paint in the hose runs out, relays fall: no damage yet
ARRIVE_MS = 250  # the next carrier queues right behind
FIRST_CARRIER = 1001
WRONG_BY = 5000

BASE_W = 120
FAN_W = 750
LAMP_W_PER_PERCENT = 30
METER_START = 120_000  # 0.1 Wh: a meter that has run before
MJ_PER_COUNT = 360_000  # 0.1 Wh

COLOURS = ("burgundy", "green", "primer")

DEVICE_FAULTS = {
    "airflow.low": "clogged filter: the fan brings 2.5 m3/min",
    "carrier.wrong": "the carrier on the stand is not the one that was sent",
    "clamp.jam": "the clamp does not move",
    "clamp.open_switch_stuck": "the switch 'clamp open' stays closed",
    "door.open": "the booth door stands open",
    "estop.open": "somebody pressed the emergency stop",
    "lamp.dead": "the lamp gives no heat",
    "paint.empty": "no paint comes",
    "part.missing": "the part was taken off the stand",
    "roller.jam": "the film roller does not move",
    "stand.jam": "the carrier does not leave",
    "valve.leak": "a paint valve does not shut tight",
}


class Part:
    """A part on its carrier and what has really been done to it, whatever the controller believes."""

    def __init__(self, carrier: int) -> None:
        self.carrier = carrier
        self.coats = dict.fromkeys(COLOURS, 0)
        self.paint_ul = 0
        self.hottest = AMBIENT // 1000
        self.wraps = 0
        self.drawn_ms = 0

    def state(self) -> dict[str, object]:
        """The part in plain values: carrier, coats a colour, paint in ml, hottest in degC, wraps, drawn_ms."""
        return {
            "carrier": self.carrier,
            "coats": {colour: count for colour, count in self.coats.items() if count},
            "paint_ml": self.paint_ul // 1000,
            "hottest_degc": self.hottest,
            "wraps": self.wraps,
            "drawn_ms": self.drawn_ms,
        }


class PaintPlant(SteppedPlant):
    """The booth. Parts stand ready at the start, leave when the stopper is lowered, and the next one follows.

    `next_carriers`: numbers of the carriers to come, first first; when it is empty they count up from 1001.
    `made`: the parts that left, in order.
    """

    def __init__(self, spec: Spec) -> None:
        """Raises BoardError where `spec` lacks a signal of the booth."""
        super().__init__()
        names = PlantSignals(spec, "PaintPlant")
        self.faults = FaultSet(DEVICE_FAULTS)
        self.damage: list[str] = []
        self.made: list[Part] = []
        self.next_carriers: list[int] = []
        self.inputs = [0] * len(spec["inputs"])
        self._bind(names)
        self.noise = [(self._airflow, 3), (self._paint_flow, 3), (self._panel_temp, 1)]
        self._outputs: list[int] = [0] * len(spec["outputs"])
        self._clamp_pos = 0
        self._clamp_end = 0
        self._roller_pos = 0
        self._air = 0
        self._flow = 0
        self._temp = AMBIENT
        self._lamp = 0
        self._energy_mj = 0
        self._carrier_next = FIRST_CARRIER
        self.part: Part | None = self._new_part()
        self._leaving_ms = 0
        self._arriving_ms = 0
        self._danger_ms: dict[str, int] = {}
        self._sense()

    def _bind(self, names: PlantSignals) -> None:
        self._clamp_closed = names.input("clamp_closed")
        self._clamp_open = names.input("clamp_open")
        self._door_closed = names.input("door_closed")
        self._estop_ok = names.input("emergency_stop_ok")
        self._part_present = names.input("part_present")
        self._roller_home = names.input("roller_home")
        self._airflow = names.input("airflow")
        self._air_steps = names.per_unit("airflow")
        self._paint_flow = names.input("paint_flow")
        self._flow_steps = names.per_unit("paint_flow")
        self._panel_temp = names.input("panel_temp")
        self._temp_steps = names.per_unit("panel_temp")
        self._carrier = names.input("carrier")
        self._energy = names.input("energy")
        self._clamp_coil = names.output("clamp")
        self._unclamp_coil = names.output("unclamp")
        self._fan = names.output("booth_fan")
        self._valves = [names.output("valve_" + colour) for colour in COLOURS]
        self._cure_lamp = names.output("cure_lamp")
        self._roller = names.output("wrap_roller")
        self._pen = names.output("pen")
        self._stopper = names.output("stopper")

    def remove_part(self) -> None:
        """A person takes the part off the stand, a scrapped one for instance; the next one arrives."""
        self.part = None
        self._leaving_ms = 0
        self._arriving_ms = ARRIVE_MS

    def state(self) -> dict[str, object]:
        """The part on the stand, what left it, and the positions no sensor shows."""
        return {
            "part": self.part.state() if self.part else {},
            "made": [part.state() for part in self.made],
            "clamp_percent": self._clamp_pos * 100 // CLAMP_MS,
            "roller_percent": self._roller_pos * 100 // ROLLER_MS,
        }

    # what is going on

    def _new_part(self) -> Part:
        if self.next_carriers:
            return Part(self.next_carriers.pop(0))
        part = Part(self._carrier_next)
        self._carrier_next += 1
        return part

    def _take(self, outputs: Sequence[int]) -> None:
        """New outputs act from now on; a valve or a roller that starts counts once."""
        former = self._outputs
        if list(outputs) == former:
            return
        self._outputs = list(outputs)
        if outputs[self._clamp_coil] != outputs[self._unclamp_coil]:
            # the valve is bistable: it stays on the side it was switched to, and the stroke ends without its coil
            self._clamp_end = CLAMP_MS if outputs[self._clamp_coil] else 0
        if self.part is not None:
            for k, i in enumerate(self._valves):
                if outputs[i] and not former[i]:
                    self.part.coats[COLOURS[k]] += 1
            if outputs[self._roller] and not former[self._roller]:
                self.part.wraps += 1
        self._lamp = 0 if self.faults.is_on("lamp.dead") else outputs[self._cure_lamp]

    def _targets(self) -> tuple[int, int, int, int, int]:
        """Where clamp, roller, air, paint and panel are heading."""
        outputs = self._outputs
        fault = self.faults.is_on
        clamp = self._clamp_pos if fault("clamp.jam") else self._clamp_end
        roller = self._roller_pos if fault("roller.jam") else ROLLER_MS if outputs[self._roller] else 0
        air = 0
        if outputs[self._fan]:
            air = AIR_LOW if fault("airflow.low") else AIR_FULL
        flow = 0
        if not fault("paint.empty"):
            for i in self._valves:
                if outputs[i]:
                    flow += FLOW_FULL
            if fault("valve.leak"):
                flow = max(flow, FLOW_LEAK)
        self._lamp = 0 if fault("lamp.dead") else outputs[self._cure_lamp]
        return clamp, roller, air, flow, AMBIENT + HEAT_PER_PERCENT * self._lamp

    def _moving(self) -> bool:
        """Whether anything but the energy meter changes while the outputs stay."""
        outputs = self._outputs
        if (
            self._leaving_ms
            or self._arriving_ms
            or self.part is None
            or outputs[self._stopper]
            or outputs[self._pen]
        ):
            return True
        now = (self._clamp_pos, self._roller_pos, self._air, self._flow, self._temp)
        return self._flow > 0 or self._targets() != now

    def _advance(self, dt: int) -> None:
        """Let `dt` ms pass with the outputs as they are."""
        clamp, roller, air, flow, temp = self._targets()
        self._clamp_pos = slew(self._clamp_pos, clamp, dt)
        self._roller_pos = slew(self._roller_pos, roller, dt)
        if air != self._air:
            self._air = approach(self._air, air, dt, AIR_TAU_MS)
        if flow != self._flow:
            self._flow = slew(self._flow, flow, FLOW_PER_MS * dt)
        if temp != self._temp:
            self._temp = approach(self._temp, temp, dt, HEAT_TAU_MS)
        fan_w = FAN_W if self._outputs[self._fan] else 0
        self._energy_mj += (BASE_W + fan_w + LAMP_W_PER_PERCENT * self._lamp) * dt
        self._move_part(dt)
        self._work_on_part(dt)
        self._look_for_damage(dt)

    def _move_part(self, dt: int) -> None:
        """Carriers leave over the lowered stopper and follow each other."""
        lowered = self._outputs[self._stopper]
        if self.part is not None:
            if self._leaving_ms or (lowered and self._clamp_pos == 0 and not self.faults.is_on("stand.jam")):
                self._leaving_ms += dt
                if self._leaving_ms >= LEAVE_MS:
                    self._leaving_ms = 0
                    self.made.append(self.part)
                    self.part = None
                    self._arriving_ms = ARRIVE_MS
        elif self._arriving_ms > dt:
            self._arriving_ms -= dt
        elif not lowered:
            self._arriving_ms = 0
            self.part = self._new_part()
            self._temp = AMBIENT

    def _work_on_part(self, dt: int) -> None:
        part = self.part
        if part is None:
            return
        part.paint_ul += self._flow * dt // 60_000
        part.hottest = max(part.hottest, self._temp // 1000)
        if self._outputs[self._pen]:
            part.drawn_ms += dt

    def _look_for_damage(self, dt: int) -> None:
        """What hurts people or product; each is told once for each time it happens."""
        spraying = self._flow > FLOW_LEAK
        loose = self._clamp_pos < CLAMP_MS
        door_open = self.faults.is_on("door.open")
        self._danger(spraying and door_open, "sprayed with the door open", dt, REACT_MS)
        self._danger(spraying and self._air < 3500, "sprayed without air", dt, REACT_MS)
        self._danger(spraying and loose, "clamp opened while spraying", dt, REACT_MS)
        self._danger(spraying and self.part is None, "sprayed without a part", dt, REACT_MS)
        self._danger(self._lamp > 0 and self._air < 2000, "lamp on without air", dt, REACT_MS)
        self._danger(self._lamp > 0 and door_open, "lamp on with the door open", dt, REACT_MS)
        self._danger(self._temp > 120_000, "panel burnt", dt, 0)
        self._danger(self._roller_pos > 0 and loose, "part left unclamped while the roller is down", dt, 0)
        both = self._outputs[self._clamp_coil] and self._outputs[self._unclamp_coil]
        self._danger(bool(both), "both coils of the clamp driven", dt, 100)

    def _danger(self, there: bool, text: str, dt: int, grace_ms: int) -> None:
        """Note `text` when it was so for longer than `grace_ms`, the time valves and fans need to react."""
        if not there:
            self._danger_ms.pop(text, None)
            return
        before = self._danger_ms.get(text, 0)
        self._danger_ms[text] = before + dt
        if before <= grace_ms < before + dt:
            self.damage.append(text)

    def _sense(self) -> None:
        """What the sensors read."""
        inputs = self.inputs
        fault = self.faults.is_on
        part = None if fault("part.missing") else self.part
        inputs[self._clamp_closed] = 1 if self._clamp_pos >= CLAMP_MS else 0
        inputs[self._clamp_open] = 1 if self._clamp_pos <= 0 or fault("clamp.open_switch_stuck") else 0
        inputs[self._door_closed] = 0 if fault("door.open") else 1
        inputs[self._estop_ok] = 0 if fault("estop.open") else 1
        inputs[self._part_present] = 1 if part is not None else 0
        inputs[self._roller_home] = 1 if self._roller_pos <= 0 else 0
        inputs[self._airflow] = self._air * self._air_steps // 1000
        inputs[self._paint_flow] = self._flow * self._flow_steps // 1000
        inputs[self._panel_temp] = self._temp * self._temp_steps // 1000
        carrier = part.carrier if part is not None else 0
        inputs[self._carrier] = carrier + WRONG_BY if carrier and fault("carrier.wrong") else carrier
        inputs[self._energy] = METER_START + self._energy_mj // MJ_PER_COUNT
