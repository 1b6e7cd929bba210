"""A simulated device at the end of a serial line or TCP connection: its answers, and what goes wrong with it.

A device is a subclass of SerialDevice with `handle`. It runs in a thread of its own, and misbehaves on demand, always
by the same names: late, nonsense, for_another, flood, power_cycle, unplug. All of them are off at first.
"""

import argparse
import contextlib
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from board import device_link
from hil.serial_ends import PtyEnd, TcpEnd

TURN_S = 0.002
LATE_MS = 600
OPENED_MS = 20
"""What it says to being opened comes so much later: a program forgets what comes while it is still opening."""
MOST_QUEUED = 1 << 16
"""Bytes on their way to the controller; further ones are lost, as on a line that nobody reads."""
FLOOD = b"9" * 4096
SWITCHES = ("late", "nonsense", "for_another", "flood")


class SerialDevice:
    """The base of simulated devices. `with` starts and stops one; `self.lock` guards what it shares with a test.

    A subclass has its state in attributes that `power_on` sets, so that switching off loses them.
    """

    own_port = False
    """The serial port is in the device (a printer on USB): it goes away when the device is switched off."""

    def __init__(self, address: str = "pty", late_ms: int = LATE_MS, seed: int = 1) -> None:
        """`address`: "pty" (a path of its own), a path that shall lead to the pty, or "tcp" or "tcp://127.0.0.1:PORT".

        `late_ms`: how late a late answer is.
        """
        self.late_ms = late_ms
        self.lock = threading.RLock()
        self.switched: dict[str, bool] = dict.fromkeys(SWITCHES, False)
        self.powered = True
        self._cabled = True
        self._random = random.Random(seed)
        self._end = TcpEnd(address) if address.startswith("tcp") else PtyEnd(address)
        self._queue: list[tuple[int, bytes]] = []  # when it leaves, what
        self._queued = 0
        self._rest = b""
        self._attached = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    # --- what a device is ---

    def handle(self, data: bytes) -> bytes:
        """What the device answers to `data`, which is a piece of the stream: half a line, or three."""
        raise NotImplementedError

    def tick(self, now_ms: int) -> bytes:
        """What the device says by itself; called every few milliseconds while it is switched on."""
        return b""

    def power_on(self) -> bytes:
        """It was switched on: sets the state it begins with, and says what it says then."""
        return b""

    def opened(self) -> bytes:
        """Somebody opened the line; what it says to that. A printer that resets then calls `power_on` here."""
        return b""

    def foreign(self, answer: bytes) -> bytes:
        """What comes in place of `answer` when it is the answer to another request, or of another device."""
        return b"OTHER\r\n"

    # --- life ---

    @property
    def address(self) -> str:
        """What a wiring file calls it: a path, or tcp://HOST:PORT. Stays the same when it is plugged in again."""
        return self._end.address

    def start(self) -> None:
        """Plug it in, switch it on, run it."""
        with self.lock:
            self._connect()
            self._say(self.power_on())
        self._thread.start()

    def stop(self) -> None:
        """End it; the line is gone. A second call does nothing."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)
        with self.lock:
            self._end.unplug()
            self._end.remove()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    # --- what goes wrong, by name ---

    def late(self, on: bool) -> None:
        """Whatever it says leaves `late_ms` later."""
        self._switch("late", on)

    def nonsense(self, on: bool) -> None:
        """It says random bytes instead, as many."""
        self._switch("nonsense", on)

    def for_another(self, on: bool) -> None:
        """It says well-formed things that do not belong here."""
        self._switch("for_another", on)

    def flood(self, on: bool) -> None:
        """It sends without end, as fast as the line takes it."""
        self._switch("flood", on)

    def power(self, on: bool) -> None:
        """Switch it on or off. Off, it is silent and forgets its state; a TCP connection or its own port is gone."""
        with self.lock:
            if on == self.powered:
                return
            self.powered = on
            self._forget()
            self._connect()
            if on:
                self._say(self.power_on())

    def power_cycle(self) -> None:
        """Off, and on again."""
        self.power(False)
        self.power(True)

    def unplug(self) -> None:
        """The cable is out, at the controller's end; the device works on."""
        with self.lock:
            self._cabled = False
            self._connect()
            self._forget()

    def plug(self) -> None:
        """The cable is in again."""
        with self.lock:
            self._cabled = True
            self._connect()

    # --- the thread ---

    def _connect(self) -> None:
        """The line is there with its cable, and with the device's power where it comes out of the device."""
        needs_power = self.own_port or isinstance(self._end, TcpEnd)
        if self._cabled and (self.powered or not needs_power):
            self._end.plug()
        else:
            self._end.unplug()

    def _switch(self, name: str, on: bool) -> None:
        with self.lock:
            self.switched[name] = on
            if name == "flood" and not on:
                self._forget()

    def _forget(self) -> None:
        self._queue.clear()
        self._queued = 0
        self._rest = b""

    def _run(self) -> None:
        while not self._stopping.is_set():
            waits = self._end.waits
            if waits:
                with contextlib.suppress(OSError, ValueError):  # it was unplugged meanwhile
                    select.select(waits, [], [], TURN_S)
            else:
                time.sleep(TURN_S)
            with self.lock:
                self._turn()

    def _turn(self) -> None:
        now = device_link.now_ms()
        attached = self._end.attached()
        if attached and not self._attached and self.powered:
            self._forget()
            self._say(self.opened(), OPENED_MS)
        self._attached = attached
        data = self._end.read()
        if not self.powered:
            return
        if data:
            self._say(self.handle(data))
        self._say(self.tick(now))
        if self.switched["flood"] and not self._rest:
            self._rest = FLOOD
        self._send(now)

    def _say(self, data: bytes, after_ms: int = 0) -> None:
        if not data or self._queued + len(data) > MOST_QUEUED:
            return
        if self.switched["for_another"]:
            data = self.foreign(data)
        if self.switched["nonsense"]:
            data = self._random.randbytes(len(data))
        due = device_link.now_ms() + after_ms + (self.late_ms if self.switched["late"] else 0)
        self._queue.append((due, data))
        self._queued += len(data)

    def _send(self, now: int) -> None:
        while self._queue and self._queue[0][0] <= now and len(self._rest) < MOST_QUEUED:
            _, data = self._queue.pop(0)
            self._queued -= len(data)
            self._rest += data
        if not self._attached:
            self._rest = b""  # nobody listens
        elif self._rest:
            self._rest = self._rest[self._end.write(self._rest) :]


def split_lines(buffer: bytearray, ends: bytes = b"\r\n") -> list[bytes]:
    """Take the complete lines out of `buffer`, without their ends; each byte of `ends` ends one. No empty lines."""
    found: list[bytes] = []
    last = max((buffer.rfind(end) for end in ends), default=-1)
    if last >= 0:
        whole = bytes(buffer[:last])
        del buffer[: last + 1]
        for end in ends[1:]:
            whole = whole.replace(bytes([end]), ends[:1])
        found = [line for line in whole.split(ends[:1]) if line]
    return found


# --- for people ---


def parser_of(prog: str, description: str) -> argparse.ArgumentParser:
    """The options that every simulated device has on its command line; a device adds its own."""
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument(
        "--address", default="pty", help='"pty", a path for one, "tcp" or tcp://127.0.0.1:PORT'
    )
    return parser


def serve(device: SerialDevice, words: Mapping[str, Callable[..., Any]] | None = None) -> int:
    """Print the address, then do what the lines of the standard input say, until SIGTERM or SIGINT; returns 0.

    `late on`, `flood off`, `unplug`, `plug`, `power_cycle`, and the device's own `words`.
    """
    known: dict[str, Callable[..., Any]] = {name: _switch_of(device, name) for name in SWITCHES}
    known |= {"unplug": device.unplug, "plug": device.plug, "power_cycle": device.power_cycle}
    known |= words or {}
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, stack: ended.set())
    with device:
        print(device.address, flush=True)
        threading.Thread(target=_obey, args=(known,), daemon=True).start()
        ended.wait()
    return 0


def _switch_of(device: SerialDevice, name: str) -> Callable[[str], None]:
    def switch(value: str) -> None:
        getattr(device, name)({"on": True, "off": False}[value])

    return switch


def _obey(known: Mapping[str, Callable[..., Any]]) -> None:
    for line in sys.stdin:
        name, *arguments = line.split() or [""]
        try:
            known[name](*arguments)
        except (KeyError, TypeError, ValueError) as error:
            sys.stderr.write(f"{line.strip()}: {error}; known: {', '.join(sorted(known))}\n")
