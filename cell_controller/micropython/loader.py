"""Lies in the board's own file system as /loader.py and starts the application of one of two slots; it never changes.

/slot says which slot runs, /slot.try which one shall be tried at the next start (the switch is that file's rename),
/slot.trying which one is being tried now. What was tried and not confirmed by the application is not tried again:
the next start goes back to /slot and says why in /slot.failed. /stay: stay at the prompt once, nothing is started.

Each of the slot files is one line: slot a or b, bytes, CRC-32 and SHA-256 of the image in hexadecimal digits.
"""

import binascii
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECTOR = 4096
FS_SECTORS = 36
JOURNAL_SECTORS = 32
XIP = 0x10000000  # where an RP2 shows its flash
RP2_FLASH = (2 << 20, 4 << 20, 8 << 20, 16 << 20)
PIECE = 8192
COLLECT_BYTES = 8192
ROM = "/app"
ROOT = ""  # where the files lie; a test has them elsewhere


class Part:
    """A run of sectors of a block device, as a block device of its own."""

    def __init__(self, device: "Any", first: int, count: int) -> None:
        self.device = device
        self.first = first
        self.count = count

    def readblocks(self, block: int, buf: "Any", off: int = 0) -> None:
        self.device.readblocks(self.first + block, buf, off)

    def writeblocks(self, block: int, buf: "Any", off: int = 0) -> None:
        self.device.writeblocks(self.first + block, buf, off)

    def ioctl(self, op: int, arg: int = 0) -> "Any":
        if op == 4:
            return self.count
        if op == 5:
            return SECTOR
        if op == 6:
            return self.device.ioctl(6, self.first + arg)
        return 0


def areas() -> "dict[str, Any]":
    """The raw areas of this board's flash by name: journal, slot_a, slot_b. Raises OSError where there are none."""
    try:
        import rp2
    except ImportError:
        return _esp32_areas()
    whole = rp2.Flash()
    blocks = whole.ioctl(4, 0)
    slot = (blocks - FS_SECTORS - JOURNAL_SECTORS) // 2
    first = FS_SECTORS
    found = {}
    for name, count in (("journal", JOURNAL_SECTORS), ("slot_a", slot), ("slot_b", slot)):
        found[name] = Part(whole, first, count)
        first += count
    return found


def _esp32_areas() -> "dict[str, Any]":
    from esp32 import Partition

    journal = Partition.find(Partition.TYPE_DATA, label="journal")
    rom = Partition.find(Partition.TYPE_DATA, label="romfs")
    if not journal or not rom:
        raise OSError("no partitions 'journal' and 'romfs': this firmware has no room for the application")
    half = rom[0].ioctl(4, 0) // 2
    return {
        "journal": journal[0],
        "slot_a": Part(rom[0], 0, half),
        "slot_b": Part(rom[0], half, half),
    }


def mapped(part: "Any", length: int) -> "Any":
    """The first `length` bytes of a slot where the processor sees them. Raises OSError where it does not."""
    try:
        import rp2
    except ImportError:
        import vfs

        start = part.first * SECTOR
        return memoryview(vfs.rom_ioctl(2, 0))[start : start + length]
    import uctypes

    storage = rp2.Flash().ioctl(4, 0) * SECTOR
    sample = bytearray(min(length, 256))
    part.readblocks(0, sample, 0)
    for size in RP2_FLASH:
        seen = uctypes.bytearray_at(XIP + size - storage + part.first * SECTOR, length)
        if seen[: len(sample)] == sample:
            return seen
    raise OSError("the flash is not where an RP2 shows it")


def exists(path: str) -> bool:
    try:
        os.stat(ROOT + path)
    except OSError:
        return False
    return True


def read(path: str) -> str:
    """What is in a small file, without white space at the end; "" if there is none or it is no text."""
    try:
        with open(ROOT + path) as file:
            return file.read(2048).strip()
    except (OSError, ValueError):
        return ""


def write(path: str, text: str) -> None:
    """A file that is there whole or not at all, whenever the power goes."""
    with open(ROOT + path + "~", "w") as file:
        file.write(text)
    rename(path + "~", path)


def rename(old: str, new: str) -> None:
    os.rename(ROOT + old, ROOT + new)


def remove(path: str) -> None:
    if exists(path):
        os.remove(ROOT + path)


class Boot:
    """What the loader hands to the application: its areas, its slot, and how it says that it is well."""

    def __init__(self) -> None:
        self.areas: "dict[str, Any]" = {}
        self.slot = ""
        self.bytes = 0
        self.crc = ""
        self.sha256 = ""
        self.trial = False
        self.failed = ""

    def confirm(self) -> None:
        """The application is well: from now on this slot is the one that starts."""
        if self.trial:
            self.trial = False
            rename("/slot.trying", "/slot")
            remove("/slot.failed")

    def take(self, line: str) -> str:
        """Believe a slot file if its image is there; what is wrong with it, or ""."""
        words = line.split()
        if len(words) != 4 or words[0] not in ("a", "b") or not words[1].isdigit():
            return "no slot file"
        part = self.areas["slot_" + words[0]]
        length = int(words[1])
        if not 0 < length <= part.ioctl(4, 0) * SECTOR:
            return "slot " + words[0] + " cannot hold " + words[1] + " bytes"
        view = memoryview(mapped(part, length))
        crc = 0
        for start in range(0, length, PIECE):
            crc = binascii.crc32(view[start : start + PIECE], crc)
        if "%08x" % crc != words[2]:
            return "slot " + words[0] + " is not what was written: CRC %08x instead of " % crc + words[2]
        self.slot, self.bytes, self.crc, self.sha256 = words[0], length, words[2], words[3]
        return ""


def choose(boot: Boot) -> str:
    """Settle which slot runs and take it; what is wrong where there is none."""
    if exists("/slot.trying"):
        if not exists("/slot.failed"):
            write("/slot.failed", "the new application did not say that it was well: it was reset before")
        remove("/slot.trying")
    if exists("/slot.try"):
        rename("/slot.try", "/slot.trying")
        remove("/slot.failed")
        problem = boot.take(read("/slot.trying"))
        if not problem:
            boot.trial = True
            return ""
        write("/slot.failed", problem)
        remove("/slot.trying")
    if exists("/slot.restoring") and not exists("/slot"):
        return "a restore was cut off: restore this board again"
    boot.failed = read("/slot.failed")
    return boot.take(read("/slot"))


def start() -> None:
    """Start the application; comes back only where the prompt is wanted or nothing can be started."""
    if exists("/stay"):
        remove("/stay")
        print("staying at the prompt, once")
        return
    # What is made while starting stays; with garbage left between it the heap would be in pieces for good.
    gc.threshold(COLLECT_BYTES)  # type: ignore[attr-defined]  # MicroPython's takes bytes
    boot = Boot()
    try:
        boot.areas = areas()
        problem = choose(boot)
    except Exception as error:
        problem = "%s: %s" % (type(error).__name__, error)
    if problem:
        print("no application: " + problem)
        return
    import vfs

    vfs.mount(vfs.VfsRom(mapped(boot.areas["slot_" + boot.slot], boot.bytes)), ROM)
    sys.path.insert(0, ROM)
    try:
        from cell_controller.micropython.start import start as run
    except Exception as error:
        give_up(boot, error)
        return
    run(boot)


def give_up(boot: Boot, error: BaseException) -> None:
    """An application that cannot even be loaded: its traceback is kept; a trial ends here, by a reset."""
    import io

    text = io.StringIO()
    sys.print_exception(error, text)  # type: ignore[attr-defined]
    write("/crash.txt", text.getvalue()[-1500:])
    print("the application does not load:")
    print(text.getvalue())
    if boot.trial:
        import machine

        write("/slot.failed", "the new application does not load: %s: %s" % (type(error).__name__, error))
        machine.reset()
