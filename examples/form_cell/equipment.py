"""What the thermoforming cell can do: one function a phase, each reads top to bottom like the job it does."""

from cell_controller import phase, soak, state, until, wait

STEP_MS = 500  # how often the power of the heater is thought over
STEPS_A_SECOND = 1000 // STEP_MS
FULL = 100  # % of power

BAND = 50  # a sheet this much below its temperature is not warm yet, in steps of 0.1 degC
COLD = 250  # and one this much below begins its soak again
RISE = 50  # at full power a sheet gets at least this much warmer ...
RISE_S = 8  # ... in this time
NOT_WARM_S = 120  # all in all it may take so long to get and stay warm

UNCLAMP_DEGC = 90  # the sheet is stiff again


class OnOff:
    """A thermostat: full power below its band, none above, inside as it was. Forgiving; the temperature swings a bit.

    It looks ahead, since the bank goes on heating when its power is gone. Whole numbers only: temperatures in steps of
    0.1 degC, power in %. `power` is asked once each STEP_MS.
    """

    HALF_BAND = 10
    AHEAD = 8  # calls

    def __init__(self, wanted):
        self.wanted = wanted
        self.on = False
        self.before = -1

    def power(self, value):
        """What the heater shall give, 0 or FULL, when the sheet has `value`."""
        rise = value - self.before if self.before >= 0 else 0
        self.before = value
        coming = value + self.AHEAD * rise
        if coming <= self.wanted - self.HALF_BAND:
            self.on = True
        elif coming >= self.wanted + self.HALF_BAND:
            self.on = False
        return FULL if self.on else 0


class Pid:
    """Power by how far, for how long and how fast: little swing, but its numbers belong to this bank and sheet.

    Whole numbers only: temperatures in steps of 0.1 degC, power in %. `power` is asked once each STEP_MS.
    """

    MISSING = 400  # thousandths of a % for each step that is missing
    LONG = 2  # the same, added up at each call
    RISING = 4000  # taken away for each step that it rose since the last call
    HOLD = 30  # what keeps it warm, for each step of the temperature
    NEAR = 100  # steps; further away it would save up too much

    def __init__(self, wanted):
        self.wanted = wanted
        self.sum = self.HOLD * wanted
        self.before = -1

    def power(self, value):
        """What the heater shall give, 0..FULL, when the sheet has `value`."""
        missing = self.wanted - value
        rise = value - self.before if self.before >= 0 else 0
        self.before = value
        power = (self.MISSING * missing - self.RISING * rise + self.sum) // 1000
        if -self.NEAR < missing < self.NEAR:
            self.sum += self.LONG * missing
        return max(0, min(FULL, power))


class RiseWatch:
    """Notices a heater that heats nothing: full power for RISE_S, and the sheet did not get warmer by RISE."""

    def __init__(self):
        self.value = 0
        self.steps = 0

    def is_missing(self, value, power):
        """Whether it is time to worry; asked once each STEP_MS."""
        if power < FULL or self.steps == 0 or value >= self.value + RISE:
            self.value = value
            self.steps = 0
        self.value = min(self.value, value)  # it cools while it is held
        self.steps += 1
        return self.steps > RISE_S * STEPS_A_SECOND


def warm(cell, degc, soak_s, control):
    """Bring the sheet to `degc` and keep it there for `soak_s`. What a hold cooled down is made good."""
    wanted = degc * cell.sheet_temp.per_unit
    regulator = OnOff(wanted) if control == "on_off" else Pid(wanted)
    watch = RiseWatch()
    cell.extractor.on()
    yield until(cell.airflow_ok, within_s=5, fault="the extraction brings no air")
    cell.heater_contactor.on()
    yield until(cell.contactor_closed, within_s=1, fault="heater contactor did not close")
    soaked = not_warm = 0
    while soaked < soak_s * STEPS_A_SECOND:
        value = cell.sheet_temp.value
        if value >= wanted - BAND:
            soaked += 1
        else:
            not_warm += 1
            if value < wanted - COLD:
                soaked = 0
        power = regulator.power(value)
        cell.heater.set(power)
        if watch.is_missing(value, power):
            warmer = (watch.value + RISE) // cell.sheet_temp.per_unit
            yield until(cell.sheet_temp, min=warmer, within_s=RISE_S, fault="the sheet does not get warmer")
            watch = RiseWatch()
        elif not_warm > NOT_WARM_S * STEPS_A_SECOND:
            yield until(cell.sheet_temp, min=degc, within_s=RISE_S, fault="the sheet does not stay warm")
            not_warm = 0
        else:
            yield wait(STEP_MS)
    cell.heater.off()
    cell.heater_contactor.off()
    yield until(cell.contactor_closed, on=False, within_s=1, fault="heater contactor did not open")


def lower(cell):
    """Let the air in and take the mould out of the sheet."""
    cell.vacuum_valve.off()
    yield until(cell.vacuum, max=50, within_s=4, fault="the mould was not vented")
    cell.vacuum_pump.off()
    cell.mould_down.on()
    yield until(cell.mould_is_down, within_s=4, fault="mould did not go down")
    cell.mould_down.off()


@phase(needs=("part_present",))
def clamp(cell):
    """Hold the sheet."""
    cell.unclamp.off()
    cell.clamp.on()
    yield until(cell.clamp_closed, within_s=2, fault="clamp did not close")
    cell.clamp.off()  # the valve is bistable: the sheet stays held


@phase(needs=("part_present", "clamp_closed"))
def heat(cell, soak_degc, soak_s, thickness_mm, control):
    """Make the sheet soft, all through: the thicker, the longer."""
    yield from warm(cell, soak_degc, soak_s * thickness_mm, control)
    cell.record("soaked_degc", cell.sheet_temp.value // cell.sheet_temp.per_unit)


@phase(needs=("part_present", "clamp_closed"))
def draw(cell, soak_degc, draw_degc, draw_mbar, draw_ms, control):
    """Mould up into the soft sheet, and out with the air between them."""
    soft = draw_degc * cell.sheet_temp.per_unit
    for _ in range(3):  # again where the sheet had to wait on the mould's way up
        if cell.sheet_temp.value < soft:
            # heated again a sheet forgets what it was drawn to, so it can be drawn anew
            yield from lower(cell)
            yield from warm(cell, soak_degc, 2, control)
        cell.vacuum_pump.on()
        cell.mould_up.on()
        yield until(cell.mould_is_up, within_s=4, fault="mould did not come up")
        cell.mould_up.off()
        if cell.sheet_temp.value >= soft:
            break
    else:
        yield until(cell.sheet_temp, min=draw_degc, within_s=1, fault="the sheet is too cold to be drawn")
    cell.record("drawn_degc", cell.sheet_temp.value // cell.sheet_temp.per_unit)
    cell.vacuum_valve.on()
    yield until(cell.vacuum, min=draw_mbar, within_s=4, fault="vacuum did not build up")
    yield wait(draw_ms, held="run")  # the vacuum is kept while held
    cell.record("drawn_mbar", cell.vacuum.value)


@phase(needs=("clamp_closed",))
def cool(cell, cool_degc):
    """Blow at the part until it keeps its shape. Fan and vacuum go on through a hold."""
    up = cell.mould_is_up.is_on  # a sheet that was never drawn, and is scrap, cools without
    cell.vacuum_pump.set(up)
    cell.vacuum_valve.set(up)
    cell.cooling_fan.on()
    # for a second without a break: one wrong reading of the pyrometer opens no frame on a hot sheet
    yield soak(cell.sheet_temp, max=cool_degc, for_s=1, within_s=25, fault="part did not cool down")
    cell.record("cooled_degc", cell.sheet_temp.value // cell.sheet_temp.per_unit)
    cell.cooling_fan.off()


@phase(needs=("part_present", "clamp_closed", "mould_is_up"))
def trim(cell, press_ms):
    """One cut around the part, on the mould."""
    cell.trim_die.on()
    yield until(cell.die_home, on=False, within_s=2, fault="trim die did not come down")
    yield wait(press_ms, held="restart")  # held, the die lifts: the whole stroke again
    cell.trim_die.off()
    yield until(cell.die_home, within_s=3, fault="trim die did not go up")


@phase(needs=("clamp_closed",))
def demould(cell):
    """Take the mould out of the part."""
    yield from lower(cell)


@phase
def release(cell):
    """Open the frame and let it go."""
    cell.clamp.off()
    cell.unclamp.on()
    yield until(cell.clamp_open, within_s=2, fault="clamp did not open")
    cell.unclamp.off()
    cell.stopper.on()
    yield until(cell.part_present, on=False, within_s=10, fault="carrier did not leave")
    cell.stopper.off()


@state("Resetting")
def home(cell):
    """The start position, proven by sensors. A sheet that is in work stays clamped, and the mould where it is."""
    cell.stopper.off()
    cell.trim_die.off()
    yield until(cell.die_home, within_s=3, fault="trim die did not go up")
    if cell.has_item:
        return
    yield from lower(cell)
    cell.cooling_fan.on()
    yield soak(cell.sheet_temp, max=UNCLAMP_DEGC, for_s=1, within_s=90, fault="the sheet did not cool down")
    cell.cooling_fan.off()
    cell.unclamp.on()
    yield until(cell.clamp_open, within_s=2, fault="clamp did not open")
    cell.unclamp.off()


@state("Holding")
def heat_is_off(cell):
    """Held means that the heater has no power. A contactor that is welded is no hold: it stops, then aborts."""
    yield until(cell.contactor_closed, on=False, within_s=1, fault="heater contactor did not open")


@state("Suspending")
def heat_is_off_too(cell):
    """As for Holding."""
    yield from heat_is_off(cell)


@state("Stopping")
def settle(cell):
    """Stopped is reached when the heater has no power and the die is up."""
    yield until(cell.contactor_closed, on=False, within_s=1, fault="heater contactor did not open")
    yield until(cell.die_home, within_s=3, fault="trim die did not go up")


@state("Aborting")
def make_quiet(cell):
    """Aborted is reached when the heater has no power and no vacuum is left: only the sensors have a say."""
    yield until(cell.contactor_closed, on=False, within_s=1, fault="heater contactor did not open")
    yield until(cell.vacuum, max=50, within_s=5, fault="the mould was not vented")
