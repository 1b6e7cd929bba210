"""A slice of the journal with nothing to do allocates nothing; prints how many such slices went by."""

import micropython

from cell_controller.micropython.flash_journal import FlashJournal
from hil.nor_flash import NorFlash

journal = FlashJournal(NorFlash(16), lambda: 0, lambda: "00112233445566aa")
count = 0


def idle() -> None:
    """Slices at many ticks, across the wrap, with and without leave to erase."""
    global count
    micropython.heap_lock()
    try:
        for still in (False, True):
            tick = (1 << 29) - 500
            for _ in range(1000):
                if not journal.work(tick, still):
                    count += 1
                tick = (tick + 1) & ((1 << 29) - 1)
    finally:
        micropython.heap_unlock()


def rest(tick: int) -> None:
    while journal.work(tick, True):
        pass


idle()
for number in range(1, 400):
    journal.append(bytes(number))
    rest(0)
    if journal.snapshot_wanted:
        journal.snapshot(bytes(500))
        journal.prune(journal.last_seq)
rest(40000)
rest(200000)
idle()
journal.set_delivered("mqtt", 390)  # waits for a page, and in no slice is there one
idle()
rest(400000)
print(count, journal.state, journal.durable_seq)

caught = False
journal.append(b"x")
micropython.heap_lock()
try:
    journal.append(b"a new entry takes memory")
except MemoryError:
    caught = True
finally:
    micropython.heap_unlock()
print("the lock catches an allocation:", caught)
