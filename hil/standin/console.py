"""Between MicroPython's console and the wire: hides the machinery of a boot, and knows in which REPL the board is."""

import re

RAW = b"raw REPL; CTRL-B to exit\r\n"
FRIENDLY = b'Type "help()" for more information.\r\n'
REBOOT = b"MPY: soft reboot\r\n"
BANNER = b"MicroPython "
_BANNER = re.compile(rb"MicroPython (\S+) on (\S+); [^\r\n]*\r\n")
_LINE_END = re.compile(rb"(?<!\r)\n")
DIGITS = 4
MACHINE = b"Raspberry Pi Pico W with RP2040"

STARTING, BOOTING, PROMPTING, OPEN = range(4)
"""Before the file system is there; while boot.py and main.py run; until the prompt; afterwards."""


class Console:
    """The console of one boot. `raw`: whether it shall end in the raw REPL; later, whether it is in it.

    `mounted`, `ready`: what the board's boot prints for us. `announce`: what comes before bytes that are no text, with
    their number in four hex digits.
    """

    def __init__(self, raw: bool, mounted: bytes, ready: bytes, announce: bytes) -> None:
        self.raw = raw
        self._boots_raw = raw
        self.stage = STARTING
        self._mounted = mounted
        self._ready = ready
        self._announce = announce
        self._held = b""
        self._bytes_left = 0
        self._tail = b""
        self._after_cr = False
        self._banner_due = True

    @property
    def takes_input(self) -> bool:
        """Whether bytes from the host may go in; before that they would reach the machinery."""
        return self.stage == OPEN or (self.stage == BOOTING and not self._boots_raw)

    @property
    def said(self) -> bytes:
        """What a boot that did not come up printed."""
        return self._held

    def expect_banner(self) -> None:
        """The host asks for the friendly REPL: the next banner is the board's, whatever the port calls itself."""
        self._banner_due = True

    def from_board(self, data: bytes) -> bytes:
        """What of MicroPython's output goes on the wire."""
        self._held += data
        if self.stage == STARTING and self._mounted in self._held:
            self._held = self._held.split(self._mounted, 1)[1]
            self.stage = BOOTING
        out = b""
        if self.stage == BOOTING:
            out, found = self._pass(self._ready)
            if found:
                self.stage = PROMPTING
        if self.stage == PROMPTING:
            start = self._held.find(RAW if self._boots_raw else BANNER)
            if start >= 0 and (self._boots_raw or FRIENDLY in self._held):
                self._held = self._held[start:]
                self.stage = OPEN
        if self.stage == OPEN:
            out += self._pass(b"")[0]
        return out

    def _pass(self, until: bytes) -> tuple[bytes, bool]:
        """Text and bytes out of what is held, up to the mark `until`, and whether it was there."""
        out = b""
        while self._held or self._bytes_left:
            if self._bytes_left:
                shown = self._held[: self._bytes_left]
                if not shown:
                    break
                out += shown
                self._held = self._held[len(shown) :]
                self._bytes_left -= len(shown)
                continue
            size, mark = self._next_mark(until)
            out += self._text(self._held[:size])
            self._held = self._held[size:]
            if not mark:
                break
            if mark == until:
                self._held = self._held[len(mark) :]
                return out, True
            if len(self._held) < len(mark) + DIGITS:
                break
            self._bytes_left = int(self._held[len(mark) : len(mark) + DIGITS], 16)
            self._held = self._held[len(mark) + DIGITS :]
        return out, False

    def _next_mark(self, until: bytes) -> tuple[int, bytes]:
        """How much plain text comes first, and the mark behind it, b"" where none is complete."""
        held = self._held
        marks = [mark for mark in (self._announce, until) if mark]
        found = [(held.find(mark), mark) for mark in marks if mark in held]
        if found:
            return min(found)
        size = len(held) - max(_partial(held, mark) for mark in marks)
        if self._banner_due and self.stage == OPEN:
            size = min(size, _complete_banner(held))
        return size, b""

    def _text(self, data: bytes) -> bytes:
        """Text as a board sends it, with CR LF; notices in passing in which REPL it now is."""
        seen = self._tail + data
        raw, friendly = seen.rfind(RAW), seen.rfind(FRIENDLY)
        if raw != friendly:
            self.raw = raw > friendly
        self._tail = seen[-max(len(RAW), len(FRIENDLY)) + 1 :]
        if self._banner_due and BANNER in data:
            data = _BANNER.sub(rb"MicroPython \1 on \2; " + MACHINE + b"\r\n", data, count=1)
            self._banner_due = False
        if self._after_cr and data.startswith(b"\n"):
            lines = data[:1] + _LINE_END.sub(b"\r\n", data[1:])
        else:
            lines = _LINE_END.sub(b"\r\n", data)
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        return lines


def _complete_banner(data: bytes) -> int:
    """How much of `data` there is before a banner that has not come to the end of its line."""
    start = data.find(BANNER)
    if start < 0:
        return len(data) - _partial(data, BANNER)
    return start if b"\n" not in data[start:] else len(data)


def _partial(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of `mark`."""
    for size in range(min(len(mark) - 1, len(data)), 0, -1):
        if data.endswith(mark[:size]):
            return size
    return 0
