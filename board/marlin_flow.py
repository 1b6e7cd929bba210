"""How numbered lines get to a Marlin printer exactly once: acknowledgement, sending again, and what to do in doubt.

The printer takes a line only if its number follows on the last one and its checksum is right; else it throws away what
it has read and names the number it wants. So a line may be sent again without harm, and is, whenever nothing is heard.
A plain `ok` does not say of which line it is. After any doubt the printer is told to say a token (M118) in its turn:
what it says is the proof that everything before was carried out, and until then no plain `ok` counts.
"""

from collections import deque
from dataclasses import dataclass

from board.marlin_lines import Answer, numbered

SETTLE_MS = 120
"""After a refused line: what the printer still says about lines in flight comes within this time."""
MOST_IN_FLIGHT = 4
"""Commands that every Marlin can queue (BUFSIZE)."""
MOST_BYTES_IN_FLIGHT = 120
"""Less than the smallest receive buffer, 128 bytes."""


@dataclass
class Sent:
    """A line in flight. `tag`: the caller's word for it. `token`: what the printer says when it carries it out."""

    number: int
    line: bytes
    frame: bytes
    tag: object
    at: int
    token: str = ""
    received: bool = False
    """The printer said that it has it; whether it was carried out is not known yet."""


class Flow:
    """Lines in flight to one printer, since it was last known which line it had."""

    def __init__(self, ack_ms: int, window: int = 1) -> None:
        """`ack_ms`: silence after which a line is sent again.

        `window`: lines in flight, where each ok names its line.
        """
        self.last = 0
        """Number of the last line given out."""
        self.acknowledged = 0
        self.broken = ""
        """Why nothing is certain any more; the caller must find out which line the printer has."""
        self.in_flight: deque[Sent] = deque()
        self._ack_ms = ack_ms
        self._window = min(window, MOST_IN_FLIGHT)
        self._names_lines = False
        self._heard_at = 0
        self._settle_until = -1
        self._wanted = 0
        self._token_ok_until = -1
        self._token_at = 0

    def begin(self, last: int, now: int) -> None:
        """The printer has line `last`, and nothing is in flight."""
        self.last = self.acknowledged = last
        self.broken = ""
        self.in_flight.clear()
        self._settle_until = self._token_ok_until = -1
        self._heard_at = now

    def covers(self, last: int) -> bool:
        """Whether a printer whose last line is `last` can be the one these lines went to."""
        return self.acknowledged <= last <= self.last

    def received(self, last: int) -> list[object]:
        """The printer has lines up to `last`, none behind it, and more may follow: tags of the lines it did not get."""
        lost = [sent.tag for sent in self.in_flight if sent.number > last]
        self.begin(last, self._heard_at)
        return lost

    @property
    def waits_for_token(self) -> bool:
        """Whether the printer still has to say a token."""
        return any(sent.token for sent in self.in_flight)

    def has_room(self, size: int, now: int) -> bool:
        """Whether a line of `size` bytes may be sent now."""
        if self.broken or self._settle_until >= 0 or self.waits_for_token or now < self._token_ok_until:
            return False
        if not self.in_flight:
            return True
        flying = sum(len(sent.frame) for sent in self.in_flight)
        return (
            self._names_lines
            and len(self.in_flight) < self._window
            and flying + size + 16 <= MOST_BYTES_IN_FLIGHT
        )

    def send(self, line: bytes, tag: object, now: int, token: str = "") -> bytes:
        """The bytes of the next line."""
        self.last += 1
        frame = numbered(self.last, line)
        self.in_flight.append(Sent(self.last, line, frame, tag, now, token))
        return frame

    def ask_token(self, tag: object, now: int) -> bytes:
        """Bytes that make the printer say a token in its turn; `tag` is told when it has."""
        token = f"cc{self.last + 1}."
        self._token_at = now
        return self.send(b"M118 " + token.encode(), tag, now, token)

    def heard(self, got: Answer, now: int) -> list[object]:
        """Take an answer; the tags of lines that are done."""
        token = self._tokened(got)
        if token is not None:
            self._heard_at = now
            self._token_ok_until = now + SETTLE_MS
            return self._done(token.number)
        if got.kind == "busy":
            self._heard_at = now
        elif got.kind == "resend":
            self._heard_at = now
            self._refused(got.number, now)
        elif got.kind == "unknown" and self.in_flight and self._is_mangled(got.text):
            self._again_from(self.in_flight[0].number, now)
        elif got.kind == "ok":
            self._heard_at = now
            return self._acknowledged(got, now)
        return []

    def poll(self, now: int) -> bytes:
        """Bytes to send again, or in doubt."""
        if self._settle_until >= 0:
            return self._settle(now)
        if not self.in_flight or self.broken:
            return b""
        if now - max(self._heard_at, self.in_flight[0].at) < self._ack_ms:
            return b""
        self._heard_at = now
        return self.in_flight[0].frame  # the printer takes it, or names the line that it wants

    # --- inside ---

    def _tokened(self, got: Answer) -> Sent | None:
        if got.kind not in ("text", "unknown"):
            return None
        return next((sent for sent in self.in_flight if sent.token and sent.token in got.text), None)

    def _is_mangled(self, text: str) -> bool:
        """The printer read a line without its number: it names a command that was not sent as it stands."""
        return all(f'"{sent.line.decode("ascii")}"' not in text for sent in self.in_flight)

    def _acknowledged(self, got: Answer, now: int) -> list[object]:
        if got.number >= 0:
            self._names_lines = True
            known = [sent.number for sent in self.in_flight if not sent.token]
            return self._done(got.number) if got.number in known else []
        if self._token_ok_until > now and not self.waits_for_token:
            self._token_ok_until = -1
            return []
        if self._settle_until >= 0 or self.waits_for_token or not self.in_flight:
            return []
        return self._done(self.in_flight[0].number)

    def _done(self, number: int) -> list[object]:
        tags = []
        while self.in_flight and self.in_flight[0].number <= number:
            tags.append(self.in_flight.popleft().tag)
        self.acknowledged = max(self.acknowledged, number)
        return tags

    def _refused(self, wanted: int, now: int) -> None:
        """The printer wants line `wanted`, and has all before."""
        if wanted <= self.acknowledged:
            self.broken = (
                f"the printer acknowledged line {self.acknowledged} and asks for line {wanted}: "
                f"something was carried out without its number"
            )
        elif wanted > self.last + 1:
            self.broken = f"the printer asks for line {wanted}, only {self.last} were sent"
        else:
            self._again_from(wanted, now)

    def _again_from(self, wanted: int, now: int) -> None:
        self._settle_until = now + SETTLE_MS
        self._wanted = wanted

    def _settle(self, now: int) -> bytes:
        if now < self._settle_until:
            return b""
        self._settle_until = -1
        self._heard_at = now
        data = b""
        for sent in self.in_flight:
            sent.received = sent.received or sent.number < self._wanted
            if not sent.received:
                data += sent.frame
        tokens = [sent for sent in self.in_flight if sent.token]
        in_doubt = any(sent.received for sent in self.in_flight)
        unsent = any(not sent.received for sent in tokens)
        # its word may have been lost too: asked for again, ever more seldom, so that a queue can hold the questions
        patience = self._ack_ms << min(len(tokens), 10) if tokens else 0
        if in_doubt and not unsent and now - self._token_at >= patience:
            data += self.ask_token(None, now)
        return data
