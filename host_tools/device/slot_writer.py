"""Runs on the board while a command of cellctl talks to it: takes sectors and files, checks, switches.

It is sent once, as text without comments, and never stored. Requests are JSON lists, one a line; replies are JSON
objects, one a line. A stream of frames follows a request that needs one; the tool may send half a window for each ACK.
If nothing comes for SILENCE_MS the board resets and runs what it ran before: nobody has to come back to it.
"""

import binascii
import hashlib
import io
import json
import os
import select
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SECTOR = 4096
SILENCE_MS = 10000
WATCHDOG_MS = 8000  # an RP2 can do 8388
ACK = b"\x06"
RAW, DEFLATED, COPY, END = 0, 1, 2, 3
HISTORY_BITS = 12  # a sector is its own history
DIGEST_BYTES = 6


class Line:
    """The cable. A board gives a read only when all of it is there, so none goes beyond what must be answered first."""

    def __init__(self, window: int) -> None:
        self.half = window // 2
        self.left = self.half
        self.into: "Any" = sys.stdin.buffer
        self.out = sys.stdout.buffer
        self.poll = select.poll()
        self.poll.register(sys.stdin, select.POLLIN)
        self.one = bytearray(1)

    def wait(self) -> None:
        if not self.poll.poll(SILENCE_MS):
            raise OSError(110)

    def request(self) -> "Any":
        text = bytearray()
        while True:
            self.wait()
            self.into.readinto(self.one)
            if self.one[0] == 10:
                return json.loads(bytes(text))
            text.append(self.one[0])

    def reply(self, value: "Any") -> None:
        self.out.write(json.dumps(value).encode() + b"\n")

    def begin(self) -> None:
        self.left = self.half
        self.out.write(ACK + ACK)

    def fill(self, view: "Any") -> None:
        done = 0
        while done < len(view):
            self.wait()
            most = min(len(view) - done, self.left)
            count = self.into.readinto(view[done : done + most])
            done += count
            self.left -= count
            if not self.left:
                self.left = self.half
                self.out.write(ACK)


class Frames:
    """A stream of frames: kind, a number, a length, and as many bytes; an inflated frame fills at most a sector."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.packed = memoryview(bytearray(SECTOR))
        self.plain = memoryview(bytearray(SECTOR))
        self.head = bytearray(5)
        line.begin()

    def next(self) -> "tuple[int, int, int]":
        self.line.fill(memoryview(self.head))
        kind, number, length = struct.unpack("<BHH", self.head)
        if kind == RAW:
            self.line.fill(self.plain[:length])
        elif kind == DEFLATED:
            self.line.fill(self.packed[:length])
            self.inflate(length)
        return kind, number, length

    def inflate(self, length: int) -> None:
        deflate: "Any" = __import__("deflate")

        source = deflate.DeflateIO(io.BytesIO(self.packed[:length]), deflate.RAW, HISTORY_BITS)
        done = 0
        while done < SECTOR:
            count = source.readinto(self.plain[done:])
            if not count:
                break
            done += count


class Writer:
    """The requests, by the names of its methods."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.watchdog: "Any" = None
        self.going = True

    def areas(self) -> "Any":
        return __import__("loader").areas()

    def feed(self) -> None:
        if self.watchdog is not None:
            self.watchdog.feed()

    def facts(self) -> "dict[str, Any]":
        found: "dict[str, Any]" = {"mpy": getattr(sys.implementation, "_mpy", 0), "files": {}}
        about = os.statvfs("/")
        found["fs"] = about[0] * about[2]
        found["free"] = about[0] * about[3]
        found["mounted"] = "app" in os.listdir("/")
        found["platform"] = sys.platform
        found["maxsize"] = sys.maxsize
        try:
            import rp2

            found["storage"] = rp2.Flash().ioctl(4, 0)
        except ImportError:
            pass
        try:
            from esp32 import Partition

            for label in ("journal", "romfs"):
                if Partition.find(Partition.TYPE_DATA, label=label):
                    found[label] = True
        except ImportError:
            pass
        for name in ("slot", "slot.try", "slot.trying", "slot.failed", "slot.restoring", "restored"):
            found[name] = self.text("/" + name)
        return found

    def text(self, path: str, most: int = 1500) -> str:
        """The end of a text file, "" if there is none."""
        try:
            with open(path) as file:
                return file.read(4096)[-most:]
        except OSError:
            return ""

    def digest(self, path: str) -> str:
        """SHA-256 of a file, "" if there is none."""
        state = hashlib.sha256()
        piece = bytearray(512)
        try:
            with open(path, "rb") as file:
                while True:
                    count = file.readinto(piece)
                    if not count:
                        return binascii.hexlify(state.digest()).decode()
                    state.update(memoryview(piece)[:count])
        except OSError:
            return ""

    def sizes(self) -> "dict[str, int]":
        """Sectors of the areas, by the loader that lies on the board."""
        sys.modules.pop("loader", None)
        found = {}
        for name, device in self.areas().items():
            found[name] = device.ioctl(4, 0)
        return found

    def part(self, name: str) -> "Any":
        """An area by its name, a slot by its letter."""
        return self.areas()["slot_" + name if len(name) == 1 else name]

    def digests(self, name: str, count: int) -> str:
        """The beginning of the SHA-256 of the first sectors of a slot or an area, in base 64."""
        device = self.part(name)
        plain = bytearray(SECTOR)
        found = bytearray()
        for sector in range(count):
            self.feed()
            device.readblocks(sector, plain, 0)
            found.extend(hashlib.sha256(plain).digest()[:DIGEST_BYTES])
        return binascii.b2a_base64(found).decode().strip()

    def begin(self) -> None:
        """From here on flash is written: what was to be tried is not, and a board that hangs resets."""
        for name in ("/slot.try", "/slot.trying", "/slot.try~"):
            self.remove(name)
        import machine

        if hasattr(machine, "WDT"):
            self.watchdog = machine.WDT(timeout=WATCHDOG_MS)

    def sectors(self, name: str) -> int:
        """Frames with sectors, or with the number of one in the other slot; each is read back. Returns how many."""
        device = self.part(name)
        other = self.part("b" if name == "a" else "a")
        frames = Frames(self.line)
        check = bytearray(SECTOR)
        blank = b"\xff" * SECTOR
        written = 0
        while True:
            kind, number, length = frames.next()
            if kind == END:
                return written
            self.feed()
            if kind == COPY:
                other.readblocks(length, frames.plain, 0)
            device.readblocks(number, check, 0)
            if check != blank:
                device.ioctl(6, number)
                self.feed()
            device.writeblocks(number, frames.plain, 0)
            device.readblocks(number, check, 0)
            if check != frames.plain:
                raise OSError("sector %d of slot %s does not keep what is written" % (number, name))
            written += 1

    def switch(self, slot: str, length: int, crc: str, digest: str) -> None:
        """Read the whole slot back; if it is the image, the next start tries it."""
        device = self.areas()["slot_" + slot]
        plain = bytearray(SECTOR)
        state = hashlib.sha256()
        for sector in range((length + SECTOR - 1) // SECTOR):
            self.feed()
            device.readblocks(sector, plain, 0)
            state.update(memoryview(plain)[: min(SECTOR, length - sector * SECTOR)])
        if binascii.hexlify(state.digest()).decode() != digest:
            raise OSError("slot %s reads back as something else" % slot)
        self.remove("/stay")
        with open("/slot.try~", "w") as file:
            file.write("%s %d %s %s\n" % (slot, length, crc, digest))
        os.rename("/slot.try~", "/slot.try")

    def file(self, path: str, digest: str) -> None:
        """Frames with the content of a file, which is there whole or not at all."""
        frames = Frames(self.line)
        try:
            with open(path + "~", "wb") as file:
                while True:
                    kind, number, _ = frames.next()
                    if kind == END:
                        break
                    self.feed()
                    file.write(frames.plain[:number])
            if self.digest(path + "~") != digest:
                raise OSError("%s reads back as something else" % path)
            os.rename(path + "~", path)
        except OSError:
            self.remove(path + "~")
            raise

    def remove(self, path: str) -> None:
        try:
            os.remove(path)
        except OSError:
            pass

    def stay(self) -> None:
        """The reset that follows leads to the prompt."""
        with open("/stay", "w") as file:
            file.write("once")

    def leave(self) -> None:
        """Back to the prompt; for who has written nothing."""
        self.going = False

    def reset(self) -> None:
        """What is written by then runs."""
        reset()


def reset() -> None:
    import time

    import machine

    time.sleep_ms(50)  # type: ignore[attr-defined]  # for the last reply to leave
    machine.reset()


def serve(window: int, kind: "type[Writer]" = Writer) -> None:
    """Carry out requests until told to leave; a failed stream, or silence, ends in a reset."""
    import micropython

    line = Line(window)
    writer = kind(line)
    micropython.kbd_intr(-1)  # a 3 in a stream is no Ctrl-C
    line.reply({"ready": 1})
    while writer.going:
        name = ""
        try:
            name, *values = line.request()
            if name == "reset":
                line.reply({"ok": 0})
            method: "Callable[..., Any]" = getattr(writer, name)
            value = method(*values)
            line.reply({"ok": value})
        except Exception as error:  # whatever it is, the tool is told and the old application runs
            line.reply({"wrong": type(error).__name__ + ": " + str(error), "at": name})
            reset()
    micropython.kbd_intr(3)
