"""Lines to and from a GRBL 1.1 controller: what a line of a job may be, what a report means, and errors in words."""

import re
from dataclasses import dataclass

MOST_LINE = 79
"""Characters of a line that GRBL keeps (LINE_BUFFER_SIZE less one)."""
MOST_MARK = len(" T255")

ERRORS = {
    1: "a word has no letter",
    2: "a number is missing or wrong",
    3: "the $ command is not known",
    5: "homing is not enabled ($22=1)",
    8: "the $ command needs an idle machine",
    9: "locked: alarm or jog",
    11: "the line is too long",
    13: "the safety door is open",
    15: "the jog leaves the travel of the machine",
    20: "the command is not supported",
    21: "two commands of one modal group",
    22: "no feed rate (F) is set",
    23: "the command needs a whole number",
    24: "two commands use the axis words",
    25: "a word is there twice",
    26: "axis words are missing",
    28: "P or L is missing",
    30: "G53 needs G0 or G1",
    31: "axis words without a use",
    32: "an arc without axis words in its plane",
    33: "the target of the motion is not valid",
    34: "the radius of the arc is not possible",
    35: "the arc has no offset in its plane",
    36: "words without a use",
    38: "the tool number is too large",
}
ALARMS = {
    1: "a limit switch was hit; the position may be lost, home it",
    2: "the target lies outside the travel of the machine",
    3: "it was reset while it moved; the position may be lost, home it",
    4: "the probe was closed before probing",
    5: "the probe did not touch",
    6: "homing was reset",
    7: "the safety door was opened while homing",
    8: "homing did not get off the limit switch",
    9: "homing did not find the limit switch",
}
_WORD = re.compile(rb"[A-Z] *[-+]?(?:\d+\.?\d*|\.\d+)")
_STATUS = re.compile(r"<([A-Za-z]+(?::\d+)?)\|(.*)>$")
_STANDS = {"Hold:0": "Hold", "Door:0": "Door", "Door:1": "Door"}
_PLACE = re.compile(r"[MW]Pos:(-?\d+\.?\d*),(-?\d+\.?\d*),(-?\d+\.?\d*)")
_BUFFER = re.compile(r"Bf:(\d+),(\d+)")
_TOOL = re.compile(r"\[GC:.*\bT(\d+)\b.*\]$")


def check(line: bytes) -> str:
    """What is wrong with a line of a job, "" if nothing."""
    text = line.upper()
    if text[:1] in (b"$", b"%"):
        return "is a command to the controller, no G-code; take it out"
    if any(sign in line for sign in (b"!", b"~", b"?")):
        return "has !, ~ or ? in it, which act at once wherever they stand; take it out"
    if len(line) + MOST_MARK > MOST_LINE:
        return f"has {len(line)} characters, more than {MOST_LINE - MOST_MARK}; shorten it"
    words = {word.replace(b" ", b"") for word in (found[0] for found in _WORD.finditer(text))}
    if not words or _WORD.sub(b"", text).strip(b" "):
        return "is no G-code; is it the right file?"
    if any(word[:1] == b"T" for word in words):
        return "has a T word, which the controller needs to prove which line was the last; take it out"
    if words & {b"M0", b"M00", b"M1", b"M01"}:
        return "waits for a person at the machine; use a step for a person in the recipe"
    if words & {b"M2", b"M02", b"M30"} and len(words) > 1:
        return "ends the program in the middle of a line; write it on a line of its own"
    return ""


@dataclass(frozen=True)
class Report:
    """One line of GRBL. `kind`: banner, ok, error, alarm, status, modes, message, text or noise.

    `state`: the machine's own word; "Hold:1", "Door:2", "Door:3" while it still moves.
    `number`: of an error or alarm, the tool of modes, free bytes of the receive buffer in a status; -1 for none.
    """

    kind: str
    text: str
    number: int = -1
    state: str = ""
    position: tuple[int, int, int] | None = None


def report(raw: bytes) -> Report:
    """What `raw`, a line without its end, means."""
    if not raw.isascii() or not raw.decode("ascii").isprintable():
        return Report("noise", repr(raw[:40]))
    text = raw.decode("ascii").strip()
    if text == "ok":
        return Report("ok", text)
    if text.startswith("Grbl "):
        return Report("banner", text)
    for kind, start, words in (("error", "error:", ERRORS), ("alarm", "ALARM:", ALARMS)):
        if text.startswith(start) and text[len(start) :].isdigit():
            number = int(text[len(start) :])
            return Report(kind, f"{text} ({words.get(number, 'see the manual')})", number)
    found = _STATUS.match(text)
    if found:
        place, room = _PLACE.search(found[2]), _BUFFER.search(found[2])
        position = tuple(_hundredths(part) for part in place.groups()) if place else None
        assert position is None or len(position) == 3
        return Report("status", text, int(room[2]) if room else -1, _STANDS.get(found[1], found[1]), position)
    found = _TOOL.match(text)
    if found:
        return Report("modes", text, int(found[1]))
    return Report("message" if text.startswith("[") else "text", text)


def _hundredths(text: str) -> int:
    return max(-(10**8), min(10**8, round(float(text) * 100)))
