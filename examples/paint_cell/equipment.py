"""What the paint cell can do: one function a phase, each reads top to bottom like the job it does."""

from cell_controller import mark, phase, ramp, soak, state, together, until, wait

FLASH_OFF_MS = 2000  # solvent leaves the coat before the next one goes on
LETTER_MS = 400  # what the plotter needs for one letter


@phase
def clamp(cell):
    """Hold the part."""
    cell.unclamp.off()
    cell.clamp.on()
    yield until(cell.clamp_closed, within_s=2, fault="clamp did not close")
    cell.clamp.off()  # the valve is bistable: the part stays held


@phase(needs=("part_present", "clamp_closed"), counts="coat")
def spray(cell, colour, coats, dwell_ms, resume_from=0):
    """One colour on one panel, in coats."""
    cell.booth_fan.on()
    yield until(cell.airflow, min=5, within_s=5, fault="booth air did not build up")
    yield mark(resume_from, of=coats)
    for coat in range(resume_from, coats):
        cell.valve(colour).on()
        yield together(
            wait(dwell_ms),
            until(cell.paint_flow, min=100, within_s=2, fault="paint does not flow"),
        )
        cell.record("flow_ml_min", cell.paint_flow.value)
        cell.valve(colour).off()
        yield mark(coat + 1, of=coats)
        yield wait(FLASH_OFF_MS, held="run")  # paint dries whether we wait or not


@phase(needs=("part_present",))
def cure(cell, cure_degc, cure_s):
    """Bake the paint under the lamp and let the panel cool until a hand can touch it."""
    cell.booth_fan.on()
    yield until(cell.airflow, min=4, within_s=5, fault="booth air did not build up")
    yield ramp(cell.cure_lamp, to=80, over_s=3)
    yield soak(
        cell.panel_temp,
        min=cure_degc,
        for_s=cure_s,
        within_s=50,
        fault="panel did not reach the temperature",
    )
    cell.record("panel_degc", cell.panel_temp.value)
    cell.cure_lamp.off()
    yield until(cell.panel_temp, max=50, within_s=60, fault="panel did not cool down")


@phase(needs=("part_present", "clamp_closed"))
def wrap(cell, pattern, press_ms):
    """Lay the film that was printed from the customer's file and press it on."""
    cell.record("film_code", int(pattern[:6], 16))  # printed on the film's edge: says which file it was
    cell.wrap_roller.on()
    yield until(cell.roller_home, on=False, within_s=2, fault="roller did not come down")
    yield wait(press_ms)
    cell.wrap_roller.off()
    yield until(cell.roller_home, within_s=3, fault="roller did not go up")


@phase(needs=("part_present", "clamp_closed"))
def pinstripe(cell, pinstripe):
    """Draw the customer's line of text along the edge; nothing where none was ordered."""
    if pinstripe:
        cell.pen.on()
        yield wait(LETTER_MS * len(pinstripe))
        cell.pen.off()


@phase
def release(cell):
    """Open the clamp and let the carrier go."""
    cell.clamp.off()
    cell.unclamp.on()
    yield until(cell.clamp_open, within_s=2, fault="clamp did not open")
    cell.unclamp.off()
    cell.stopper.on()
    yield until(cell.part_present, on=False, within_s=10, fault="carrier did not leave")
    cell.stopper.off()


@state("Resetting")
def home(cell):
    """The start position, proven by sensors. The part of an item in work stays held: the item goes on."""
    cell.stopper.off()
    cell.wrap_roller.off()
    yield until(cell.roller_home, within_s=3, fault="roller did not go up")
    if not cell.has_item or not cell.clamp_closed.is_on:
        cell.unclamp.on()
        yield until(cell.clamp_open, within_s=2, fault="clamp did not open")
        cell.unclamp.off()


@state("Aborting")
def make_quiet(cell):
    """Aborted is reached when the guns are shut: the outputs are locked, only the sensors have a say."""
    yield until(cell.paint_flow, max=20, within_s=5, fault="paint still flows")


@state("Stopping")
def settle(cell):
    """Stopped is reached when the roller is up and nobody can be caught by it."""
    cell.wrap_roller.off()
    yield until(cell.roller_home, within_s=3, fault="roller did not go up")
