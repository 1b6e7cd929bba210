"""What is written to an instrument: values, whenever it is not certain that it has them, and commands, once each."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from board.contract import Point
from board.device_link import RUNNING, DeviceLink
from board.instrument_frames import Framing, shown
from board.instrument_talk import Ask, Groups, Talk
from board.instrument_values import Rule
from cell_controller.errors import DeviceError, LinkLostError

RETRY_MS = 500
"""A refused value is written again after this."""
MOST_REFUSED = 3
MOST_DIFFERENT = 2
RISE_MS = 1000
"""A command that could not be sent for so long is not sent any more."""


class Output:
    """One output point: a value that is written, or a command that is sent when it rises."""

    def __init__(self, place: int, point: Point, settings: Mapping[str, Any], name: str) -> None:
        self.place = place
        self.at = point.at
        self.name = f"{name}:{point.at}"
        self.is_command = "on_rise" in settings
        self.template = str(settings["on_rise" if self.is_command else "send"])
        self.rule = Rule.of(self.name, settings)
        self.read_back = str(settings.get("read_back", ""))
        self.ack = ask_of(self.name, settings, b"", "ack") if settings.get("ack") else None
        self.forget()

    def forget(self) -> None:
        """Nothing is known of what the device has."""
        self.written: int | None = None
        self.told: int | None = None  # sent while nobody could have acknowledged it
        self.written_at = 0
        self.retry_at = 0
        self.refused = 0
        self.different = 0
        self.risen_at: int | None = None
        self.confirmed = False


class Outputs:
    """The outputs of one instrument, in the order of its description. `rise` is for the board's thread."""

    def __init__(
        self,
        name: str,
        points: Sequence[Point],
        settings: Mapping[str, Any],
        framing: Framing,
        talk: Talk,
        link: DeviceLink,
        clock: Callable[[], int],
    ) -> None:
        described = settings["points"]
        order = list(described)
        outs = [Output(k, point, described[point.at], name) for k, point in enumerate(points)]
        self._outs = sorted(outs, key=lambda out: order.index(out.at))
        self._rewrite_ms = int(settings["fallback_ms"]) // 3
        self._name = name
        self._framing = framing
        self._talk = talk
        self._link = link
        self._clock = clock
        self._lock = threading.Condition()
        self._driven: list[int] = []
        self._done = -1  # the last change of what is wanted that has been written

    # --- the board's thread ---

    def rise(self, counts: Sequence[int]) -> None:
        """Notes which commands rise; a device that is away, or waits for a Reset, does not get them."""
        if list(counts) == self._driven:
            return
        status = self._link.status()
        ready = status.state == RUNNING and not status.waits_for_reset and bool(self._driven)
        with self._lock:
            for out in self._outs:
                if out.is_command and not counts[out.place]:
                    out.risen_at, out.confirmed = None, False
                elif out.is_command and ready and not self._driven[out.place]:
                    out.risen_at = self._clock()
            self._driven = list(counts)

    def wait_written(self, timeout_s: float) -> None:
        """Return when all that is wanted was written, or the device is away."""
        change, _ = self._link.wanted()
        with self._lock:
            self._lock.wait_for(
                lambda: self._done == change or self._link.status().state != RUNNING, timeout_s
            )

    # --- the line's thread ---

    def forget(self) -> None:
        """The line was opened: all is written again, and no command is repeated."""
        with self._lock:
            for out in self._outs:
                out.forget()

    def confirmed(self, at: str) -> bool:
        """Whether the device took the command at `at` and that is still on, or has the value that is wanted."""
        _, counts = self._link.wanted()
        return any(
            out.confirmed if out.is_command else out.written == counts[out.place]
            for out in self._outs
            if out.at == at
        )

    def write(self) -> bool:
        """Write and send what is to be; True if the device acknowledged something."""
        change, counts = self._link.wanted()
        answered = False
        for out in self._outs:
            answered |= self._command(out) if out.is_command else self._value(out, counts[out.place])
        if all(out.is_command or out.written == counts[out.place] for out in self._outs):
            with self._lock:
                self._done = change
                self._lock.notify_all()
        return answered

    def compare(self, request: str, groups: Groups) -> None:
        """What the device says it has, with what was written. Raises LinkLostError when they differ again."""
        for out in self._outs:
            if out.read_back != request or out.written is None:
                continue
            try:
                found = out.rule.count(groups)
            except DeviceError as error:
                self._link.failed(str(error))
                continue
            out.different = 0 if found == out.written else out.different + 1
            if out.different >= MOST_DIFFERENT:
                raise LinkLostError(
                    f"{out.name} is {out.rule.text(found)}, {out.rule.text(out.written)} was written: "
                    "the device was switched off, or set by hand"
                )

    def _value(self, out: Output, count: int) -> bool:
        now = self._clock()
        fresh = not self._rewrite_ms or now - out.written_at < self._rewrite_ms
        if (out.written == count and fresh) or now < out.retry_at:
            return False
        data = self._framing.wrap(out.template.replace("{value}", out.rule.text(count)))
        if not self._talk.in_step:
            # it may hear although it cannot be heard: an abort value is worth a try. Written again when it answers
            if self._talk.is_known and out.told != count:
                out.told, out.written = count, None
                self._talk.say(data)
            return False
        if out.ack is not None:
            answer = self._talk.ask(replace(out.ack, send=data))
            if answer is None or answer.refusal:
                out.written = None
                if answer is not None:
                    self._refused(out, data, answer.refusal)
                return answer is not None
        else:
            self._talk.say(data)
        out.written = out.told = count
        out.written_at, out.refused, out.different = now, 0, 0
        return out.ack is not None

    def _refused(self, out: Output, data: bytes, why: str) -> None:
        out.refused += 1
        out.retry_at = self._clock() + RETRY_MS
        text = f"{self._name} refused {shown(data)}: {why}"
        if out.refused >= MOST_REFUSED:
            raise LinkLostError(f"{text}; is it in remote control, and the value within its limits?")
        self._link.failed(text)

    def _command(self, out: Output) -> bool:
        """Send a command that rose, while its output is still on; never again by itself."""
        with self._lock:
            risen_at = out.risen_at
            if risen_at is None:
                return False
            late = self._clock() - risen_at >= RISE_MS or self._link.status().waits_for_reset
            if not late and not self._talk.in_step:
                return False
            out.risen_at = None
        data = self._framing.wrap(out.template)
        why = ""
        if late:
            why = "could not be sent in time"
        elif out.ack is None:
            self._talk.say(data)
        else:
            answer = self._talk.ask(replace(out.ack, send=data))
            why = answer.refusal if answer else "not answered"
        if why:
            self._link.failed(
                f"{out.name}, {shown(data)}: {why}; it is not sent again by itself, set it again"
            )
            return False
        with self._lock:
            out.confirmed = bool(self._driven[out.place])
        return out.ack is not None


def ask_of(name: str, settings: Mapping[str, Any], send: bytes, key: str = "answer") -> Ask:
    """A question from plain settings; `key` is where its pattern is."""
    refusals = [(re.compile(pattern), text) for pattern, text in settings.get("refusals", {}).items()]
    timeout_ms, alike = int(settings["timeout_ms"]), bool(settings["alike"])
    return Ask(name, send, re.compile(settings[key]), refusals, timeout_ms, alike)
