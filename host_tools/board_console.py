"""Talking to the application on a board: one JSON object a line each way, over the same cable that flashes it.

To somebody who is no such application a request is a line of text: at MicroPython's prompt it is a dict that is shown
again, and nothing happens.
"""

import getpass
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from host_tools.raw_repl import LEAVE, PROMPT
from host_tools.serial_port import LineLostError, PortError, SerialPort, until

APPLICATION, AT_PROMPT, SILENT, OTHER = "application", "prompt", "silent", "other"
ASK_AGAIN_S = 0.7
WHO_S = 2.0
ANSWER_S = 5.0
QUIET_S = 0.03
LONGEST = 65_536  # of a line that a board says


@dataclass
class Present:
    """Who is at the other end. about: what the application says of itself; said: what else was heard."""

    kind: str
    about: dict[str, Any] = field(default_factory=dict)
    said: bytes = b""


class Lines:
    """What a board says, line by line; chatter is kept as `said`, JSON objects are handed out."""

    def __init__(self, port: SerialPort) -> None:
        self.port = port
        self.said = b""
        self._rest = b""

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next JSON object, None if none came in time."""
        left = until(timeout_s)
        looked = False
        while True:
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                value = _object(line)
                if value is not None:
                    return value
            rest = left()
            data = self.port.read(rest) if rest or not looked else b""
            looked = True
            if not data:  # or the time is over: who talks without end is not listened to without end
                return None
            self.said = (self.said + data)[-LONGEST:]
            self._rest = (self._rest + data)[-LONGEST:]

    @property
    def at_prompt(self) -> bool:
        """Whether the last thing said was a prompt."""
        return self.said.endswith(PROMPT)

    def forget(self) -> None:
        """Begin to hear anew."""
        self.said = self._rest = b""


def _object(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _request(verb: str) -> tuple[str, bytes]:
    number = f"{time.monotonic_ns() % 10**12:x}"
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, in a container
        user = "cellctl"
    body = {"id": number, "issuer": f"{user[:24]}@cable", "verb": verb}
    return number, json.dumps(body).encode()


def who(port: SerialPort, within_s: float = WHO_S) -> Present:
    """Ask who is there, twice where it must be. Interrupts nothing: at most it ends a raw prompt somebody left."""
    lines = Lines(port)
    left = until(within_s)
    while left():
        number, line = _request("about")
        port.write(LEAVE + b"\r\n" + line + b"\r\n")
        answer_by = until(min(ASK_AGAIN_S, left()))
        while answer_by():
            value = lines.next(QUIET_S)
            if value is not None and value.get("id") == number and isinstance(value.get("data"), dict):
                return Present(APPLICATION, value["data"], lines.said)
            if value is None and lines.at_prompt and b"'verb': 'about'" in lines.said:
                return Present(AT_PROMPT, said=lines.said)
    if lines.at_prompt:
        return Present(AT_PROMPT, said=lines.said)
    return Present(OTHER if lines.said else SILENT, said=lines.said)


def ask(port: SerialPort, verb: str, within_s: float = ANSWER_S) -> dict[str, Any] | None:
    """The application's reply to a request without arguments; None if it does not answer."""
    lines = Lines(port)
    number, line = _request(verb)
    port.write(b"\r\n" + line + b"\r\n")
    left = until(within_s)
    while left():
        value = lines.next(left())
        if value is not None and value.get("id") == number:
            return value
    return None


def wait_prompt(port: SerialPort, within_s: float) -> bool:
    """Wait for the prompt of a board that resets; its port may go away and come back. False if it does not come."""
    lines = Lines(port)
    left = until(within_s)
    poke = until(ASK_AGAIN_S)
    while left():
        try:
            value = lines.next(QUIET_S)
            if value is None and lines.at_prompt:
                return True
            if not poke():  # what a USB board says before the port is open again nobody hears
                poke = until(ASK_AGAIN_S)
                port.write(b"\r\n")
        except LineLostError:
            try:
                port.reopen(left())
            except PortError:
                return False
            lines.forget()
    return False


def wait_healthy(
    port: SerialPort,
    within_s: float,
    enough: Callable[[dict[str, Any]], bool] | None = None,
) -> Present:
    """Wait for an application that says it is well, or for a prompt; the last who was there when the time is over.

    The port may go away and come back meanwhile. enough(about): hear of an application that is not well yet and say
    whether to wait no longer.
    """
    lines = Lines(port)
    left = until(within_s)
    last = Present(SILENT)
    asked = until(0)
    prompts = 0
    while left():
        try:
            if not asked():
                asked = until(min(ASK_AGAIN_S, max(left(), 0.05)))
                port.write(b"\r\n" + _request("about")[1] + b"\r\n")
            value = lines.next(min(asked() + 0.01, left()))
        except LineLostError:
            try:
                port.reopen(left())
            except PortError:
                break
            lines.forget()
            continue
        last.said = lines.said[-2000:]
        if value is None:
            # a prompt twice: the first may be that of the writer, before its reset
            prompts = prompts + 1 if lines.at_prompt else 0
            if prompts >= 2:
                return Present(AT_PROMPT, last.about, last.said)
            continue
        health = value.get("health")
        about = health if isinstance(health, dict) else value.get("data")
        if not isinstance(about, dict) or "image_sha256" not in about:
            continue
        prompts = 0
        last = Present(APPLICATION, about, last.said)
        well = isinstance(health, dict) or (about.get("healthy") and not about.get("trial"))
        if well or (enough is not None and enough(about)):
            return last
    return last
