"""What the print cell can do: one function a phase, each reads top to bottom like the job it does."""

from cell_controller import mark, operator, phase, state, together, until, wait

NOT_HOMED, IDLE, RUNNING, PAUSED, INTERRUPTED = 1, 2, 3, 4, 8  # of printer_state
KEY_DIGITS = 7  # a file's key: the first 28 bits of its sha256
LOOK_MS = 1000


@phase(needs=("door_closed",))
def heat(cell, nozzle_degc, bed_degc):
    """Bring nozzle and bed to the temperature that the material needs."""
    cell.nozzle_set.set(nozzle_degc)
    cell.bed_set.set(bed_degc)
    yield together(
        until(cell.nozzle, min=nozzle_degc - 3, within_s=300, fault="nozzle did not get hot"),
        until(cell.bed, min=bed_degc - 2, within_s=900, fault="bed did not get hot"),
    )


@phase(needs=("door_closed", "ejector_home"), counts="tenth")
def print_part(cell, file, nozzle_degc, bed_degc, still_s, resume_from=0):
    """Print the ordered file, and prove that it was this one and that it came to its end."""
    key = int(file[:KEY_DIGITS], 16)
    meter = cell.meter.value
    if resume_from and is_interrupted(cell, key):
        cell.go_on.on()
    else:
        cell.go_on.off()
        yield until(cell.bed_clear, within_s=2, fault="no empty bed to print on")
        if cell.printer_state.value > IDLE:
            yield from go_home(cell)
    yield from heat(cell, nozzle_degc, bed_degc)
    yield until(cell.printer_ready, within_s=10, fault="printer is not ready")
    cell.job.set(key)
    yield until(
        cell.printer_state, min=RUNNING, max=PAUSED, within_s=60, fault="printer did not take the file"
    )
    yield from follow(cell, still_s)
    yield until(cell.printer_done, min=key, max=key, within_s=5, fault="file was not printed to its end")
    yield until(cell.printer_unreset, within_s=5, fault="printer was reset while it printed")
    cell.record("job_key", key)
    cell.record("meter_ok", 1 if cell.meter.is_good and cell.meter.value > meter else 0)
    cell.go_on.off()
    cell.job.set(0)


def is_interrupted(cell, key):
    """Whether the printer stands in the middle of this very file, and was not reset since."""
    here = cell.printer_state.value == INTERRUPTED and cell.printer_job.value == key
    return here and cell.printer_unreset.is_on


def follow(cell, still_s):
    """Look every second until the file is over: how far it is, how hot the nozzle gets."""
    progress = -1
    hottest = seconds = still = tenth = 0
    while cell.printer_state.value in (RUNNING, PAUSED):
        yield wait(LOOK_MS)
        seconds += 1
        hottest = max(hottest, cell.nozzle.value)
        still = still + 1 if cell.progress.value == progress else 0
        progress = cell.progress.value
        if progress // 100 > tenth:
            tenth = progress // 100
            yield mark(tenth, of=10)
        if still >= still_s:
            yield until(cell.progress, min=(progress + 1) / 10, within_s=60, fault="print did not go on")
    cell.record("progress", cell.progress.value / 10, per_unit=10)
    cell.record("nozzle_degc", hottest / 10, per_unit=10)
    cell.record("seconds", seconds)


@phase
def cool(cell, release_degc):
    """Heat off, until the part lets go of the bed and a hand can touch it."""
    cell.nozzle_set.off()
    cell.bed_set.off()
    yield until(cell.bed, max=release_degc, within_s=3600, fault="bed did not cool down")


@phase(needs=("door_closed",))
def remove(cell):
    """Push the part into the box, and find home over the empty bed. A part that sticks is a person's."""
    cell.ejector.on()
    yield until(cell.bed_clear, within_s=20, fault="part did not come off the bed")
    cell.ejector.off()
    yield until(cell.ejector_home, within_s=20, fault="ejector did not go back")
    yield from go_home(cell)


def go_home(cell):
    """Home position, over an empty bed only: a nozzle that homes into a part breaks both."""
    yield until(cell.bed_clear, within_s=2, fault="no empty bed to home over")
    cell.home.on()
    yield until(
        cell.printer_state, min=IDLE, max=IDLE, within_s=120, fault="printer did not find its home position"
    )
    yield until(cell.printer_ready, within_s=120, fault="printer did not find its home position")
    cell.home.off()


@phase
def label(cell, label):
    """What the customer wants on it is written by hand; nothing where nothing was ordered."""
    if label:
        yield operator("Write the ordered label on the part.")


@state("Resetting")
def get_ready(cell):
    """Ejector back, printer on and homed, proven by what it says. An interrupted print is left as it stands."""
    cell.job.set(0)
    cell.ejector.off()
    yield until(cell.ejector_home, within_s=20, fault="ejector did not go back")
    cell.printer_enable.on()
    yield until(cell.printer_link, within_s=60, fault="printer does not answer")
    yield until(cell.printer_state, min=NOT_HOMED, within_s=60, fault="printer did not come up")
    if not cell.printer_ready.is_on:
        yield from go_home(cell)


@state("Stopping")
def come_to_rest(cell):
    """Stopped is reached when the printer moves no more: it ends the move it is in."""
    while cell.printer_link.is_on and cell.printer_state.value in (RUNNING, PAUSED):
        yield wait(200)
