"""Reaches into a running QEMU's devices: its test protocol, lines of text over a local socket.

It is made for tests without a guest, but QEMU answers it while a guest runs as well. All numbers are taken between two
instructions of the guest's processor, so a register that is read here is what the guest would read.
"""

import queue
import socket
import threading
import time
from dataclasses import dataclass

from hil.gpio_guest.errors import GuestError

ANSWER_S = 10.0


@dataclass(frozen=True)
class WireEvent:
    """An output pin of a device changed its level."""

    pin: int
    level: int
    at_ns: int
    """time.monotonic_ns() of this process when it was told, some microseconds after it happened."""


class Qtest:
    """A connection to `-qtest`. One thread may ask; `wire` grows in another."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers: queue.Queue[str] = queue.Queue()
        self.wire: list[WireEvent] = []
        """Every change of the pins of the device that `watch` named, in order."""
        self._watched = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="qtest", daemon=True)
        self._reader.start()

    def readl(self, address: int) -> int:
        """A register of 32 bit. Raises GuestError."""
        return int(self._ask(f"readl {address:#x}"), 16)

    def writel(self, address: int, value: int) -> None:
        """Write a register of 32 bit. Raises GuestError."""
        self._ask(f"writel {address:#x} {value:#x}")

    def set_irq_in(self, path: str, line: int, level: int) -> None:
        """Drive an unnamed input line of the device at `path` (see Qmp.device). Raises GuestError."""
        self._ask(f"set_irq_in {path} unnamed-gpio-in {line} {level}")

    def watch(self, path: str) -> None:
        """From now on tell every change of the output pins of the device at `path` in `wire`; one device only."""
        if self._watched and self._watched != path:
            raise GuestError(f"{self._watched} is watched already; QEMU watches one device")
        if not self._watched:
            self._ask(f"irq_intercept_out {path}")
            self._watched = path

    def wait_wire(self, count: int, timeout_s: float = ANSWER_S) -> list[WireEvent]:
        """`wire` when it has at least `count` events. Raises GuestError with those there are after `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.wire) >= count, timeout_s):
                raise GuestError(f"{len(self.wire)} of {count} changes in {timeout_s} s: {self.wire}")
            return list(self.wire)

    def settled(self) -> list[WireEvent]:
        """`wire` with all that has happened until now: QEMU tells it before it answers."""
        self._ask("endianness")
        with self._changed:
            return list(self.wire)

    def _ask(self, command: str) -> str:
        self._connection.sendall(command.encode() + b"\n")
        try:
            answer = self._answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise GuestError(f"QEMU did not answer '{command}' in {ANSWER_S} s") from None
        word, _, rest = answer.partition(" ")
        if word != "OK":
            raise GuestError(f"QEMU answered '{command}' with '{answer}'")
        return rest

    def _read(self) -> None:
        received = b""
        while True:
            try:
                data = self._connection.recv(65_536)
            except OSError:
                data = b""
            now = time.monotonic_ns()
            if not data:
                self._answers.put("closed")
                return
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                text = line.decode().strip()
                if text.startswith("IRQ "):
                    _, edge, pin = text.split()
                    with self._changed:
                        self.wire.append(WireEvent(int(pin), int(edge == "raise"), now))
                        self._changed.notify_all()
                else:
                    self._answers.put(text)

    def close(self) -> None:
        """Hang up; QEMU goes on."""
        self._connection.close()


class Wire:
    """The changes of a watched device's pins since a mark."""

    def __init__(self, qtest: Qtest) -> None:
        self._qtest = qtest
        self.mark()

    def mark(self) -> None:
        """From here on."""
        self._seen = len(self._qtest.settled())

    def changes(self) -> list[tuple[int, int]]:
        """Pin and new level of each change since the mark, in order."""
        return [(event.pin, event.level) for event in self._qtest.settled()[self._seen :]]

    def wait(self) -> WireEvent:
        """The first change since the mark. Raises GuestError where none comes."""
        return self._qtest.wait_wire(self._seen + 1)[self._seen]
