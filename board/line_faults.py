"""What a bad line does to the bytes that come from a device: pure, bytes and times go in, bytes come out when due.

A line knows nothing of frames. An answer, here, begins with the first bytes after something was sent, or after a
silence of QUIET_S; it ends where the next one begins, or with such a silence.
"""

import random
from collections import deque
from collections.abc import Set

FAULT_TEXTS = {
    "corrupt": "one bit of each answer is flipped",
    "delay": "everything from the device comes 400 ms late",
    "drop": "nothing comes from the device; what is sent still arrives there",
    "duplicate": "each answer comes twice",
    "garbage": "noise bytes come before each answer",
    "half_close": "the device's side of the connection ends, again each time it is opened; what is sent still arrives",
    "slow": "the device's bytes come one by one, 33 ms each, as at 300 baud",
    "unplug": "the line is gone, and cannot be opened before the fault is cleared",
}
"""The faults of a line and what they do, for people."""

FAULTS = tuple(FAULT_TEXTS)

DELAY_S = 0.4
BYTE_S = 10 / 300
QUIET_S = 0.03
"""USB adapters hand on what came every 16 ms: a shorter silence is none."""
NOISE_BYTES = 6
MOST_ANSWER = 4096
"""What goes on without a silence is cut into answers of about so many bytes."""
MOST_HELD = 1 << 16


class BadLine:
    """Bytes on their way from a device, in order. Times are in seconds of any clock that does not go back."""

    def __init__(self, seed: str) -> None:
        """`seed`: what the noise follows from, so that a trouble comes again as it was."""
        self._random = random.Random(seed)
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._last_due = 0.0
        self._asked = True
        self._quiet_at = 0.0
        self._answers = 0
        self._copy = b""
        self._copy_late_s = 0.0
        self._copy_byte_s = 0.0

    @property
    def pending(self) -> bool:
        """Whether something is still on its way."""
        return bool(self._held or self._copy)

    @property
    def full(self) -> bool:
        """Whether no more must come in: MOST_HELD bytes are on their way."""
        return self._size >= MOST_HELD

    def clear(self) -> None:
        """The line was opened: what was on its way is gone."""
        self._held.clear()
        self._size = 0
        self._last_due = 0.0
        self._copy = b""
        self._asked = True

    def asked(self, now: float) -> None:
        """Something was sent: what comes next is another answer."""
        self._end_answer(now)
        self._asked = True

    def arrived(self, data: bytes, now: float, faults: Set[str]) -> None:
        """`data` came from the device while `faults` are on; any of FAULTS but half_close and unplug act here."""
        begins = self._asked or now >= self._quiet_at
        if begins:
            self._end_answer(now)
            self._answers += 1
        self._asked = False
        self._quiet_at = now + QUIET_S
        if "drop" in faults:
            return
        if begins and "corrupt" in faults:
            data = flipped(data, self._answers)
        late_s = DELAY_S if "delay" in faults else 0.0
        byte_s = BYTE_S if "slow" in faults else 0.0
        noise = self._random.randbytes(NOISE_BYTES) if begins and "garbage" in faults else b""
        self._hold(noise + data, now + late_s, byte_s)
        if "duplicate" in faults:
            self._copy += data
            self._copy_late_s = late_s
            self._copy_byte_s = byte_s
            if len(self._copy) >= MOST_ANSWER:
                self._end_answer(now)

    def next_due(self, otherwise: float) -> float:
        """When something is next to be taken, at most `otherwise`."""
        if self._held:
            otherwise = min(otherwise, self._held[0][0])
        return min(otherwise, self._quiet_at) if self._copy else otherwise

    def take(self, now: float, most: int) -> bytes:
        """What has arrived by now, at most `most` bytes."""
        if now >= self._quiet_at:
            self._end_answer(now)
        out = b""
        held = self._held
        while held and held[0][0] <= now and len(out) < most:
            due, data = held.popleft()
            room = most - len(out)
            out += data[:room]
            if len(data) > room:
                held.appendleft((due, data[room:]))
        self._size -= len(out)
        return out

    def _end_answer(self, now: float) -> None:
        copy, self._copy = self._copy, b""
        if copy:
            self._hold(copy, now + self._copy_late_s, self._copy_byte_s)

    def _hold(self, data: bytes, due: float, byte_s: float) -> None:
        self._size += len(data)
        due = max(due, self._last_due)
        if not byte_s:
            self._held.append((due, data))
        else:
            for k in range(len(data)):
                due += byte_s
                self._held.append((due, data[k : k + 1]))
        self._last_due = due


def flipped(data: bytes, number: int) -> bytes:
    """`data` with one bit of its middle byte flipped; which one goes round with the `number` of the answer."""
    middle = len(data) // 2
    changed = data[middle] ^ 1 << number % 8
    return data[:middle] + bytes([changed]) + data[middle + 1 :]
