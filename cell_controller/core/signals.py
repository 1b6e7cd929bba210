"""Signals: the input image turned into integers with a quality, and the output image with its blocks and locks.

A value is an integer in steps of the signal's resolution (`per_unit` steps make one engineering unit; a digital signal
is 0 or 1). Digital images are words of 24 bits, so that every word is a small integer on a microcontroller.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORD_BITS = 24
WORD_MASK = (1 << WORD_BITS) - 1
KEEP = -(1 << 29)

_NEVER = -(1 << 29)  # below every value and count

GOOD = 0
STALE = 1
BAD = 2
QUALITY_NAMES = ("good", "stale", "bad")


def word_count(bits: int) -> int:
    """How many 24-bit words hold `bits` digital signals; at least one."""
    return (bits + WORD_BITS - 1) // WORD_BITS or 1


def _split(signals: "list[dict[str, Any]]") -> "tuple[list[int], list[int]]":
    """Indices of the digital and of the other signals, in the order of the file."""
    digital = [i for i in range(len(signals)) if signals[i]["kind"] == "digital"]
    other = [i for i in range(len(signals)) if signals[i]["kind"] != "digital"]
    return digital, other


class InputImage:
    """What a board read: `words` (24 digital inputs each), `analog` (raw counts), `quality` (one byte a signal)."""

    def __init__(self, spec: "dict[str, Any]") -> None:
        digital, other = _split(spec["inputs"])
        self.words = [0] * word_count(len(digital))
        self.analog = [0] * len(other)
        self.quality = bytearray(len(spec["inputs"]))


class OutputImage:
    """What a board shall drive: `words` (24 digital outputs each) and `analog` (raw counts)."""

    def __init__(self, spec: "dict[str, Any]") -> None:
        digital, other = _split(spec["outputs"])
        self.words = [0] * word_count(len(digital))
        self.analog = [0] * len(other)


class Inputs:
    """The latest value and quality of every input, and which interlock terms a change touches."""

    def __init__(self, spec: "dict[str, Any]", image: InputImage) -> None:
        self.image = image
        inputs = spec["inputs"]
        count = len(inputs)
        self.value = [0] * count
        self.quality = bytearray(count)
        self.bad_changed = False
        # inputs whose value or quality changed in this scan and that a limit watches: the first of these, so many
        self.touched = [0] * (2 * count)
        self.touched_count = 0
        self._digital, self._other = _split(inputs)
        self._bit = {}
        for k in range(WORD_BITS):
            self._bit[1 << k] = k
        self._words = [0] * len(image.words)
        self._raw: "list[int]" = [_NEVER] * len(self._other)
        self._board_quality = bytearray(count)
        self._lines = [_line(k, self._other[k], inputs[self._other[k]]) for k in range(len(self._other))]
        self._place = {}
        for k in range(len(self._other)):
            self._place[self._other[k]] = k
        # a sensor at the end of its range jitters across it; further out by 2 % it is broken
        self._lo = [entry["lo"] - _margin(entry) for entry in inputs]
        self._hi = [entry["hi"] + _margin(entry) for entry in inputs]
        self._limit_lo = [_NEVER] * count  # what `keep_calm` was told
        self._limit_hi = [-_NEVER] * count
        self.watched = bytearray(count)

    def update(self) -> bool:
        """Take the board's image over; True if a watched value or any quality changed. Call once a scan."""
        self.touched_count = 0
        image = self.image
        if image.words != self._words:
            self._take_words(image.words)
        if image.analog != self._raw:
            self._take_counts(image.analog)
        if image.quality != self._board_quality:
            self._take_quality()
        return self.touched_count > 0

    def _touch(self, i: int) -> None:
        self.touched[self.touched_count] = i
        self.touched_count += 1

    def _take_words(self, words: "list[int]") -> None:
        value = self.value
        watched = self.watched
        digital = self._digital
        bits = self._bit
        for w in range(len(words)):
            new = words[w]
            changed = new ^ self._words[w]
            self._words[w] = new
            while changed:
                low = changed & -changed
                changed ^= low
                place = w * WORD_BITS + bits[low]
                if place < len(digital):
                    i = digital[place]
                    value[i] = 1 if new & low else 0
                    if watched[i]:
                        self._touch(i)

    def _take_counts(self, counts: "list[int]") -> None:
        """Counts changed. Where one does nearly all do, and they stay inside their calm window: no call for these."""
        raw = self._raw
        value = self.value
        for k, i, slope, offset, span, calm_lo, calm_hi in self._lines:
            raw[k] = count = counts[k]
            value[i] = v = (count * slope + offset) // span
            if v < calm_lo or v > calm_hi:
                self._look(i, v)

    def _look(self, i: int, v: int) -> None:
        """An analog value that may be out of range, back in it, or across a limit."""
        quality = BAD if v < self._lo[i] or v > self._hi[i] else self._board_quality[i]
        if self.quality[i] != quality:
            self._set_quality(i, quality)
        elif v < self._limit_lo[i] or v > self._limit_hi[i]:
            self._touch(i)

    def keep_calm(self, i: int, low: int, high: int) -> None:
        """Inside low..high no limit on input `i` changes its answer: it need not be told of."""
        self._limit_lo[i] = low
        self._limit_hi[i] = high
        self._settle(i)

    def _settle(self, i: int) -> None:
        k = self._place.get(i, -1)
        if k < 0:
            return
        line = self._lines[k]
        if self.quality[i] == GOOD:
            line[_CALM_LO] = max(self._lo[i], self._limit_lo[i])
            line[_CALM_HI] = min(self._hi[i], self._limit_hi[i])
        else:
            line[_CALM_LO] = 1
            line[_CALM_HI] = 0

    def _set_quality(self, i: int, quality: int) -> None:
        self.quality[i] = quality
        self.bad_changed = True
        self._settle(i)
        if self.watched[i]:
            self._touch(i)

    def _take_quality(self) -> None:
        """The board's word on each signal; a value out of range stays bad whatever the board says."""
        board = self.image.quality
        for i in range(len(board)):
            if board[i] != self._board_quality[i]:
                self._board_quality[i] = board[i]
                self._set_quality(i, board[i])
        for i in self._other:
            self._look(i, self.value[i])


_CALM_LO = 5
_CALM_HI = 6


def _line(k: int, i: int, entry: "dict[str, Any]") -> "list[int]":
    """How the count at place `k` becomes the value of signal `i`: (count * slope + offset) // counts.

    That is the wiring's (count - raw0) * slope // counts + value0, multiplied out. The last two are the calm window:
    inside it a value changes nothing but itself; it is empty while it is not good. A channel without a wiring span
    gives the value itself.
    """
    low = entry["lo"] - _margin(entry)
    high = entry["hi"] + _margin(entry)
    span: "list[int]" = entry["raw"]
    if not span:
        return [k, i, 1, 0, 1, low, high]
    slope = span[3] - span[2]
    counts = span[1] - span[0]
    common = _common(
        slope, counts
    )  # small factors: what is between stays a small integer on a microcontroller
    slope //= common
    counts //= common
    return [k, i, slope, span[2] * counts - span[0] * slope, counts, low, high]


def _common(a: int, b: int) -> int:
    """The greatest common divisor of two integers that are not both 0; it is positive."""
    while b:
        a, b = b, a % b
    return abs(a)


def _margin(entry: "dict[str, Any]") -> int:
    return (int(entry["hi"]) - int(entry["lo"])) // 50 if entry["kind"] == "analog" else 0
