"""What is said on the line of an instrument: one question at a time, and no answer is ever taken for another's.

After an answer that did not come in time the line is out of step: that answer may still come, and look like the answer
to the next question. In step again it is when the device has told its identity (whatever was asked before that has been
answered then), or, where it has none to tell, when the late answer came or nothing did for `late_ms`.

A device may also say something twice, or a number because somebody pressed its key. An answer that looks like another
question's counts only when the very next thing that is said is the identity.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from board.instrument_frames import Framer, Framing, shown
from board.transport import Transport
from cell_controller.errors import LinkLostError

Groups = Mapping[str, str | None]

MOST_READ = 4096
FLOOD = 2048
"""So much in one read is more than any instrument sends: what waits is thrown away, the oldest with it."""
MOST_DRAINED = 8
"""Reads after which a line that still has something waiting speaks without end."""
SLICE_MS = 20
JOIN_MS = 50
"""A line that is silent for so long after it was opened is not in the middle of a message."""
GAP_MS = 200
"""The rest of a message that comes later than this is none."""
FLOODED_S = 0.01


@dataclass(frozen=True)
class Ask:
    """A question: what is sent, what the answer looks like, and what an answer looks like that refuses.

    `alike`: the answer could be that of another question.
    """

    name: str
    send: bytes
    answer: re.Pattern[str]
    refusals: Sequence[tuple[re.Pattern[str], str]] = ()
    timeout_ms: int = 200
    alike: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer that came in time: its groups, or the text of the refusal. `at`: when it was asked, in ms."""

    at: int
    groups: Groups
    refusal: str = ""


class Listener(Protocol):
    """Who hears what is no answer."""

    def heard(self, message: str, groups: Groups) -> None:
        """The device sent one of its messages by itself."""

    def doubtful(self, text: str) -> None:
        """Something came that means nothing, or did not come; `text` says what, for people."""


class Talk:
    """The talk with one device; every method may raise LinkLostError."""

    def __init__(
        self,
        name: str,
        line: Transport,
        framing: Framing,
        listener: Listener,
        clock: Callable[[], int],
        messages: Mapping[str, re.Pattern[str]],
        identity: Ask | None = None,
        greeting: re.Pattern[str] | None = None,
        late_ms: int = 500,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`messages`: what it sends by itself. `greeting`: what it says when it is switched on. `late_ms`: no answer
        comes later than this."""
        self._name = name
        self._line = line
        self._framer = Framer(framing)
        self._listener = listener
        self._clock = clock
        self._messages = messages
        self._identity = identity
        self._greeting = greeting
        self._late_ms = late_ms
        self._sleep = sleep
        self.stopping = False
        self.in_step = False
        self.is_known = False
        """Since the line was opened it has told who it is, or has no way to."""
        self._owed: Ask | None = None  # its answer did not come in time
        self._asked_identity = False
        self._echo = ""
        self._heard_at = 0
        self._noise_at = 0
        self._got = 0  # bytes of the last read
        self._noisy = False  # something came that means nothing

    def begin(self) -> None:
        """The line was opened."""
        self._framer.start_afresh()
        data = self._line.read(MOST_READ, JOIN_MS / 1000)
        if data:
            self._framer.start_midway()
            self._framer.feed(data)
            self._framer.take_trouble()
        self.is_known = self._identity is None
        self.in_step = False  # what was asked before the line was lost may be answered now
        self._owed = None
        self._asked_identity = False
        self._heard_at = self._noise_at = self._clock()

    def listen(self, wait_ms: int) -> None:
        """Hear what comes within `wait_ms`; returns with the first of it."""
        for text in self._receive(wait_ms):
            self._other(text)

    def say(self, data: bytes) -> None:
        """Send something that is not answered."""
        self._echo = data.decode("latin-1").strip("\r\n")
        self._line.write(data)

    def ask(self, ask: Ask) -> Answer | None:
        """Ask, and wait for the answer; None where it did not come in time, and then the line is out of step."""
        if not self._drain():
            return None
        at = self._clock()
        self._noisy = False
        self.say(ask.send)
        found: Answer | None = None
        while found is None and not self.stopping:
            left = at + ask.timeout_ms - self._clock()
            if left <= 0:
                self._owed = ask
                self._lose_step(f"no answer to {shown(ask.send)} within {ask.timeout_ms} ms")
                break
            for text in self._receive(min(left, SLICE_MS)):
                answer = _answer(ask, at, text) if found is None else None
                if answer is None:
                    self._other(text, f"no answer to {shown(ask.send)}")
                found = found or answer
        return found if found is None or not ask.alike or self._confirm(ask) else None

    def settle(self) -> None:
        """One turn of getting in step again, about SLICE_MS long."""
        identity = self._identity
        if identity is not None and not self._asked_identity and self._drain():
            self._framer.start_afresh()  # whatever is still to come before the answer does not count
            self.say(identity.send)
            self._asked_identity = True
            self._noise_at = self._clock()
        for text in self._receive(SLICE_MS):
            if identity is not None and self._asked_identity and identity.answer.fullmatch(text):
                self.in_step = self.is_known = True
                self._owed = None
            elif self._owed is not None and _answer(self._owed, 0, text) is not None:
                self.in_step = self.in_step or identity is None
                self._listener.doubtful(
                    f"{self._name} answered {shown(self._owed.send)} late; it does not count"
                )
                self._owed = None
            elif identity is not None:
                self._other(text, f"not what it should say to {shown(identity.send)}; is it another device?")
            else:
                self._other(text)
        if not self.in_step and self._clock() - self._noise_at >= self._late_ms:
            self._give_up_waiting()

    # --- inside ---

    def _confirm(self, ask: Ask) -> bool:
        """Whether the next thing that it says is who it is: then the answer before was that to `ask`."""
        identity = self._identity
        assert identity is not None, "the description of a device with alike answers has an identity"
        self.say(identity.send)
        until = self._clock() + ask.timeout_ms
        told = False
        while not told and not self._noisy and not self.stopping and self._clock() < until:
            for text in self._receive(SLICE_MS):
                if not told and identity.answer.fullmatch(text):
                    told = True
                else:
                    self._other(text, f"more than the answer to {shown(ask.send)}")
        if not told or self._noisy:
            self._lose_step(f"{self._name} did not say who it is right after its answer to {shown(ask.send)}")
            return False
        return True

    def _give_up_waiting(self) -> None:
        """Nothing came for `late_ms`: nothing will come any more of what was asked."""
        if self._identity is None:
            self.in_step = True
            if self._framer.holds_part:
                self._framer.start_midway()
            return
        self._lose_step(
            f"{self._name} does not say who it is (no right answer to {shown(self._identity.send)}); "
            "is it this device, switched on, with this baud rate?"
        )

    def _lose_step(self, why: str) -> None:
        self.in_step = False
        self._asked_identity = False
        self._noise_at = self._clock()
        self._listener.doubtful(why)

    def _drain(self) -> bool:
        """Hear what waits, since it cannot be the answer to what will be asked; False where that has no end."""
        for _ in range(MOST_DRAINED):
            texts = self._receive(0)
            for text in texts:
                self._other(text)
            if not self._got:
                return True
        self._lose_step(f"{self._name} sends without end")
        return False

    def _receive(self, wait_ms: int) -> list[str]:
        """Whole messages of one read."""
        data = self._line.read(MOST_READ, wait_ms / 1000)
        now = self._clock()
        self._got = len(data)
        if not data:
            if self._framer.holds_part and now - self._heard_at >= GAP_MS:
                self._framer.start_midway()
                self._noise(f"{self._name} sent half a message")
            return []
        self._heard_at = now
        if len(data) >= FLOOD:
            self._throw_away()
            return []
        texts = self._framer.feed(data)
        trouble = self._framer.take_trouble()
        if trouble:
            self._noise(f"{self._name} sent {trouble}")
        return texts

    def _throw_away(self) -> None:
        """A flood: it must cost neither memory nor the computer's time, and no value comes out of it."""
        for _ in range(MOST_DRAINED):
            if len(self._line.read(MOST_READ, 0)) < FLOOD:
                break
        self._framer.start_midway()
        self._noise(f"{self._name} sends more than can be read")
        self._sleep(FLOODED_S)

    def _other(self, text: str, what: str = "nothing that is known") -> None:
        """What is no answer to what was asked; `what` it is, for people."""
        if self._greeting is not None and self._greeting.fullmatch(text):
            raise LinkLostError(f"{self._name} was switched off and on: it said {shown(text)}")
        for name, pattern in self._messages.items():
            found = pattern.fullmatch(text)
            if found:
                self._listener.heard(name, found.groupdict())
                return
        if text and text != self._echo:
            self._noise(f"{self._name} sent {shown(text)}, which is {what}")

    def _noise(self, text: str) -> None:
        self._noisy = True
        self._noise_at = self._clock()
        self._listener.doubtful(text)


def _answer(ask: Ask, at: int, text: str) -> Answer | None:
    """`text` as the answer to `ask`, None if it is not one."""
    found = ask.answer.fullmatch(text)
    if found:
        return Answer(at, found.groupdict())
    for pattern, meaning in ask.refusals:
        if pattern.fullmatch(text):
            return Answer(at, {}, meaning)
    return None
