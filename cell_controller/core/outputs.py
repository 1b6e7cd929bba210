"""Outputs: what phases want, what stops replace it with, what interlocks block, and what the board is told.

`want` is the image that phases write. Hold, Suspend, Stop and Abort replace it in the scan that accepts them; the abort
image also locks it. Blocks come after everything, and the lamps and the heartbeat, which no phase owns, last.
"""

from .signals import KEEP, WORD_BITS, WORD_MASK, OutputImage, word_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Outputs:
    """The outputs of a cell; indices are those of spec["outputs"]."""

    def __init__(self, spec: "dict[str, Any]", image: OutputImage) -> None:
        self.image = image
        outputs = spec["outputs"]
        self.place: "list[int]" = [0] * len(outputs)  # digital: bit number; analog: -1 - place
        bits = 0
        others = 0
        for i in range(len(outputs)):
            if outputs[i]["kind"] == "digital":
                self.place[i] = bits
                bits += 1
            else:
                self.place[i] = -1 - others
                others += 1
        self.words = word_count(bits)
        self._word = [place // WORD_BITS if place >= 0 else 0 for place in self.place]
        self._bit = [1 << place % WORD_BITS if place >= 0 else 0 for place in self.place]
        self.safe: "list[int]" = [entry["safe"] for entry in outputs]
        self.want_words = [0] * self.words
        self.want_analog = [0] * others
        self._span: "list[list[int]]" = [entry["raw"] for entry in outputs if entry["kind"] != "digital"]
        self._images = [
            self._replacement(outputs, "on_hold"),
            self._replacement(outputs, "on_stop"),
            self._replacement(outputs, "on_abort"),
            self._replacement(outputs, "safe"),
        ]
        self.locked = False
        self.saved_words: "list[int]" = []  # what phases wanted when Hold or Suspend came
        self.saved_analog: "list[int]" = []
        self._open = [WORD_MASK] * self.words  # bits that no interlock blocks
        self._blocked = [0] * self.words  # safe values of those it does
        self._blocked_analog = bytearray(others)
        self._safe_analog = [self.safe[i] for i in range(len(outputs)) if outputs[i]["kind"] != "digital"]
        self.own_mask = [0] * self.words  # lamps and heartbeat
        self.own_value = [0] * self.words
        self._free = [WORD_MASK] * self.words
        self.values_words = [0] * self.words  # last written, before the raw conversion
        self.values_analog = [KEEP] * others  # not written yet
        self.replace(SAFE)
        self.write()

    def _replacement(
        self, outputs: "list[dict[str, Any]]", key: str
    ) -> "tuple[list[int], list[int], list[int]]":
        """(bits that stay, bits that are set, analog values or KEEP) of one kind of stop."""
        keep = [0] * self.words
        value = [0] * self.words
        analog = []
        for i in range(len(outputs)):
            wanted = outputs[i][key]
            place = self.place[i]
            if place < 0:
                analog.append(wanted)
            elif wanted == KEEP:
                keep[place // WORD_BITS] |= 1 << place % WORD_BITS
            elif wanted:
                value[place // WORD_BITS] |= 1 << place % WORD_BITS
        return keep, value, analog

    def replace(self, which: int) -> None:
        """Put the image of a stop (ON_HOLD, ON_STOP, ON_ABORT, SAFE) in place of what phases wrote; "keep" keeps."""
        keep, value, analog = self._images[which]
        for w in range(self.words):
            self.want_words[w] = (self.values_words[w] & keep[w]) | value[w]
        for k in range(len(analog)):
            self.want_analog[k] = self.values_analog[k] if analog[k] == KEEP else analog[k]

    def save(self) -> None:
        """Remember what phases want, for the way back from Hold or Suspend."""
        self.saved_words = list(self.want_words)
        self.saved_analog = list(self.want_analog)

    def restore(self) -> None:
        """What phases wanted when they were stopped comes back."""
        if self.saved_words:
            self.want_words[:] = self.saved_words
            self.want_analog[:] = self.saved_analog
        self.forget()

    def forget(self) -> None:
        """Nothing comes back any more."""
        self.saved_words = []
        self.saved_analog = []

    def set_lock(self) -> None:
        """Lock the image to the abort values; whatever writes `want` from now on is discarded."""
        self.replace(ON_ABORT)
        self._locked_words = list(self.want_words)
        self._locked_analog = list(self.want_analog)
        self.locked = True
        self.forget()

    def unlock(self) -> None:
        """The abort is cleared: phases and routines may write again, starting from the abort values."""
        if self.locked:
            self.discard()
        self.locked = False

    def discard(self) -> None:
        """Undo what was written behind a lock."""
        for w in range(self.words):
            self.want_words[w] = self._locked_words[w]
        for k in range(len(self._locked_analog)):
            self.want_analog[k] = self._locked_analog[k]

    def get(self, i: int) -> int:
        """The value of output `i` as last driven."""
        place = self.place[i]
        if place < 0:
            return self.values_analog[-1 - place]
        return 1 if self.values_words[self._word[i]] & self._bit[i] else 0

    def _wanted(self, i: int, words: "list[int]", analog: "list[int]") -> int:
        place = self.place[i]
        if place < 0:
            return analog[-1 - place]
        return 1 if words[self._word[i]] & self._bit[i] else 0

    def any_on(self, indices: "list[int]") -> bool:
        """Whether one of these outputs is on or wanted: differs from its safe value."""
        for i in indices:
            safe = self.safe[i]
            if self._wanted(i, self.want_words, self.want_analog) != safe or self.get(i) != safe:
                return True
        return False

    def any_wanted(self, indices: "list[int]") -> bool:
        """Whether one of these outputs is on or wanted, or would be again after Unholding."""
        if self.any_on(indices):
            return True
        if self.saved_words:
            for i in indices:
                if self._wanted(i, self.saved_words, self.saved_analog) != self.safe[i]:
                    return True
        return False

    def block_nothing(self) -> None:
        """From now on no output is blocked."""
        for w in range(self.words):
            self._open[w] = WORD_MASK
            self._blocked[w] = 0
        for k in range(len(self._blocked_analog)):
            self._blocked_analog[k] = 0

    def block(self, indices: "list[int]") -> None:
        """From now on block these outputs as well."""
        for i in indices:
            bit = self._bit[i]
            if not bit:
                self._blocked_analog[-1 - self.place[i]] = 1
                continue
            self._open[self._word[i]] &= ~bit
            if self.safe[i]:
                self._blocked[self._word[i]] |= bit

    def own(self, i: int) -> None:
        """Take digital output `i` away from phases: a lamp or the heartbeat."""
        self.own_mask[self._word[i]] |= self._bit[i]
        self._free[self._word[i]] &= ~self._bit[i]

    def show(self, i: int, on: bool) -> None:
        """Drive an owned output."""
        if on:
            self.own_value[self._word[i]] |= self._bit[i]
        else:
            self.own_value[self._word[i]] &= ~self._bit[i]

    def write(self) -> None:
        """Compute the image the board drives."""
        if self.locked:
            self.discard()
        words = self.image.words
        for w in range(self.words):
            value = self.want_words[w] & self._open[w] | self._blocked[w]
            value = value & self._free[w] | self.own_value[w]
            self.values_words[w] = value
            words[w] = value
        k = 0
        for wanted in self.want_analog:
            value = self._safe_analog[k] if self._blocked_analog[k] else wanted
            if value != self.values_analog[k]:
                self.values_analog[k] = value
                span = self._span[k]
                self.image.analog[k] = (
                    span[0] + (value - span[2]) * (span[1] - span[0]) // (span[3] - span[2])
                    if span
                    else value
                )
            k += 1


ON_HOLD = 0
ON_STOP = 1
ON_ABORT = 2
SAFE = 3
