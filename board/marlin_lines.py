"""Lines to and from a Marlin printer: numbered with a checksum, and what an answer means. No state is kept here."""

import re
from dataclasses import dataclass

MOST_LINE = 95
"""Bytes of a numbered line that Marlin keeps (MAX_CMD_SIZE less one)."""
MOST_NUMBER_ROOM = len("N99999999 *255")

REFUSED = {
    b"M0": "waits for a person at the printer; use a step for a person in the recipe",
    b"M1": "waits for a person at the printer; use a step for a person in the recipe",
    b"M20": "belongs to the printer's own card",
    b"M23": "belongs to the printer's own card",
    b"M24": "belongs to the printer's own card",
    b"M28": "belongs to the printer's own card",
    b"M32": "belongs to the printer's own card",
    b"M928": "belongs to the printer's own card",
    b"M108": "breaks off a wait; take it out",
    b"M111": "may switch the printer to a dry run; take it out",
    b"M112": "is the emergency stop; take it out",
    b"M113": "changes how often the printer says that it is busy; take it out",
    b"M154": "changes what the printer reports by itself; take it out",
    b"M155": "changes what the printer reports by itself; take it out",
    b"M410": "throws planned moves away; take it out",
    b"M524": "belongs to the printer's own card",
    b"M575": "changes the speed of the line; take it out",
    b"M600": "waits for a person at the printer; use a step for a person in the recipe",
    b"M997": "changes the printer's program; take it out",
    b"M999": "restarts a stopped printer; take it out",
}

_WORD = re.compile(rb"([A-Z]) ?(\d+)")
_LAST = re.compile(r"Last Line: ?(-?\d+)")
_RESEND = re.compile(r"(?:Resend: ?|rs N?)(-?\d+)")
_NOZZLE = re.compile(r"\bT0?: ?(-?\d+(?:\.\d+)?) */ ?(-?\d+(?:\.\d+)?)")
_BED = re.compile(r"\bB: ?(-?\d+(?:\.\d+)?) */ ?(-?\d+(?:\.\d+)?)")
_POSITION = re.compile(r"X: ?(-?\d+\.?\d*) ?Y: ?(-?\d+\.?\d*) ?Z: ?(-?\d+\.?\d*)")
_CAPABILITY = re.compile(r"Cap:(\w+):1")
_OK = re.compile(r"ok\b(?: ?N(\d+))?")
TRANSPORT_ERRORS = ("checksum mismatch", "Line Number is not", "No Checksum", "No Line Number")
HALTS = ("Printer halted", "kill() called")
STOPS = ("Printer stopped",)


def numbered(number: int, line: bytes) -> bytes:
    """`line` as it goes over the wire: its number, and the exclusive or of all bytes before the asterisk."""
    head = b"N%d %s" % (number, line)
    checksum = 0
    for byte in head:
        checksum ^= byte
    return b"%s*%d\n" % (head, checksum)


def word_of(line: bytes) -> bytes:
    """The command of a line, b"G1", b"M104"; b"" if it has none."""
    found = _WORD.match(line.upper())
    return b"%s%d" % (found[1], int(found[2])) if found else b""


def check(line: bytes) -> str:
    """What is wrong with a line of a job, "" if nothing."""
    word = word_of(line)
    if word[:1] == b"N":
        return "has a line number of its own; save the file without them"
    if word in REFUSED:
        return REFUSED[word]
    if b"M110" in line or b"*" in line:
        return "has M110 or * in it, which the printer takes for the numbering of lines; take it out"
    if len(line) + MOST_NUMBER_ROOM > MOST_LINE:
        return f"has {len(line)} characters, more than {MOST_LINE - MOST_NUMBER_ROOM}; shorten it"
    if not word and line[:1] not in b"GMT":
        return "is no G-code; is it the right file?"
    return ""


@dataclass(frozen=True)
class Answer:
    """One line of a printer. `kind`: start, ok, resend, error, halt, stop, busy, cold, wait, unknown, text or noise.

    `number`: of the line that an ok names, or the one that shall be sent again; -1 for none. `last`: the last line the
    printer took, where it says so, else -1. Temperatures in 0.1 degC (measured, wanted), position in 0.01 mm.
    """

    kind: str
    text: str
    number: int = -1
    last: int = -1
    nozzle: tuple[int, int] | None = None
    bed: tuple[int, int] | None = None
    position: tuple[int, int, int] | None = None
    capability: str = ""

    @property
    def is_known(self) -> bool:
        """Whether only a Marlin printer says such a thing; a greeting or a chatty text proves nothing."""
        return self.kind not in ("text", "noise") or bool(self.nozzle or self.position or self.capability)


def answer(raw: bytes) -> Answer:
    """What `raw`, a line without its end, means."""
    if not raw.isascii() or not raw.decode("ascii").replace("\t", " ").isprintable():
        return Answer("noise", repr(raw[:40]))
    text = raw.decode("ascii").strip()
    found = _OK.match(text)
    if found:
        number = int(found[1]) if found[1] else -1
        return Answer("ok", text, number, -1, _pair(_NOZZLE, text), _pair(_BED, text))
    if text == "start":
        return Answer("start", text)
    found = _RESEND.match(text)
    if found:
        return Answer("resend", text, int(found[1]))
    if text.startswith(("Error:", "!!")):
        return _error(text)
    if text.startswith(("echo:busy:", "busy:")):
        return Answer("busy", text)
    if text == "wait":
        return Answer("wait", text)
    if "Unknown command:" in text:
        return Answer("unknown", text)
    if "old extrusion prevented" in text:
        return Answer("cold", text)
    capability = _CAPABILITY.match(text)
    return Answer(
        "text",
        text,
        nozzle=_pair(_NOZZLE, text) if text.startswith("T") else None,
        bed=_pair(_BED, text) if text.startswith("T") else None,
        position=_position(text),
        capability=capability[1] if capability else "",
    )


def _error(text: str) -> Answer:
    last = _LAST.search(text)
    number = int(last[1]) if last else -1
    if last or any(part in text for part in TRANSPORT_ERRORS):
        return Answer("transport", text, last=number)
    if any(part in text for part in HALTS):
        return Answer("halt", text)
    if any(part in text for part in STOPS):
        return Answer("stop", text)
    return Answer("error", text)


def _pair(pattern: re.Pattern[str], text: str) -> tuple[int, int] | None:
    found = pattern.search(text)
    return (_tenths(found[1]), _tenths(found[2])) if found else None


def _tenths(text: str) -> int:
    return max(-5000, min(20000, round(float(text) * 10)))


def _position(text: str) -> tuple[int, int, int] | None:
    found = _POSITION.match(text)
    if not found:
        return None
    x, y, z = (max(-(10**8), min(10**8, round(float(part) * 100))) for part in found.groups())
    return x, y, z
