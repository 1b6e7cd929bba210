"""A long life of a journal on simulated flash, cuts and damage included; prints what is there after each start."""

import binascii

from cell_controller.micropython.flash_journal import FlashJournal
from hil.nor_flash import HOW, SECTOR, NorFlash, PowerCut

SIZES = (0, 3, 20, 255, 256, 40, 1300, 31, 5)
chip = NorFlash(8, seed=7)
starts = 0


def record(number: int) -> bytes:
    size = 9000 if number % 200 == 7 else SIZES[number % len(SIZES)]
    return bytes([5, number & 255]) * (size // 2) + b"!" * (size % 2)


def epoch() -> str:
    return "00112233445566%02x" % (starts & 255)


def start() -> FlashJournal:
    """Open, and say everything that can be read."""
    global starts
    starts += 1
    journal = FlashJournal(chip, lambda: 1700000000000 + starts, epoch)
    crc = 0
    first = 0
    for seq, wall_ms, data in journal.replay():
        first = first or seq
        if data != record(seq):
            print("record", seq, "is another")
        crc = binascii.crc32(b"%d %d" % (seq, wall_ms), binascii.crc32(data, crc))
    told = journal.last_snapshot()
    crc = binascii.crc32(b"" if told is None else told[1], crc)
    print(journal.epoch, journal.opened, first, journal.last_seq, journal.snapshot_seq, "%08x" % crc)
    print(journal.delivered("mqtt"), journal.lost_records, journal.cuts, journal.free_bytes(), journal.state)
    return journal


def live(journal: FlashJournal, count: int) -> None:
    """So many records, slices in between, snapshots when they are wanted."""
    for _ in range(count):
        seq = journal.append(record(journal.last_seq + 1))
        while journal.work(seq * 20, seq % 7 == 0):
            pass
        while journal.state:
            if journal.snapshot_wanted:
                journal.snapshot(b"state" * 90)
            journal.work(seq * 20, True)
        if journal.snapshot_wanted:
            journal.snapshot(b"state" * 90)
            journal.prune(seq)
        if seq % 3 == 0:
            journal.set_delivered("mqtt", journal.durable_seq)


journal = start()
for cut in range(12):
    chip.cut_at(1 + cut * 13 % 97, HOW[cut % 3])
    try:  # noqa: SIM105 - there is no contextlib on a board
        live(journal, 45)
    except PowerCut:
        pass
    chip.power_up()
    journal = start()
live(journal, 50)
journal.close()
number = journal.last_seq - 5
place = -1
while place < 0:
    number -= 1
    place = bytes(chip.data).rfind(record(number)) if len(record(number)) == 20 else -1
chip.data[place] ^= 255
journal = start()
live(journal, 30)
journal = start()
for at in range(8 * SECTOR):
    chip.data[at] = at * 7 & 255
start()
print("erases", chip.erases, "programs", chip.programs)
