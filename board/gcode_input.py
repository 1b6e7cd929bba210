"""What a printer or a router says, line by line; a flood without line ends is told and thrown away."""

MOST_ANSWER = 512
"""No answer is longer; of a longer line this much is read."""
FLOODED_MS = 300
"""So long after a flood nothing is measured: what arrives is old."""


class AnswerLines:
    """Bytes in, whole lines out: half a line, or three."""

    def __init__(self, troubles: list[str]) -> None:
        """`troubles`: where a flood is told."""
        self._troubles = troubles
        self._rest = b""
        self._skipping = False
        self._flooded_until = 0

    def feed(self, data: bytes, now: int) -> list[bytes]:
        """The lines that `data` completes, without the rest of one that was too long."""
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        found = []
        for line in lines:
            if line and not self._skipping:
                found.append(line[:MOST_ANSWER])
            self._skipping = False
        if len(self._rest) > MOST_ANSWER:
            self._troubles.append(f"more than {MOST_ANSWER} bytes without an end of line")
            self._rest, self._skipping = b"", True
            self._flooded_until = now + FLOODED_MS
        return found

    def forget(self) -> None:
        """What was begun does not end."""
        self._rest = b""

    def is_flooded(self, now: int) -> bool:
        """Whether what arrives now is old."""
        return now < self._flooded_until
