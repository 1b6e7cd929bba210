"""The one place where bytes of a line are seen, changed, recorded: every line of a LinuxBoard goes through it.

Without a fault and without a recording it hands every call on as it is. docs/wire-trace.md has the faults.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from board.line_faults import FAULT_TEXTS, FAULTS, BadLine
from board.transport import FORGET_MOST, Transport
from board.wire_trace import CLOSED, FAULT, FORGOTTEN, LOST, OPENED, READ, WRITTEN, LineTraceWriter
from cell_controller.errors import FaultNameError, LinkLostError

__all__ = ["FAULTS", "FAULT_TEXTS", "Seam"]

MOST_READ = 4096


class Seam:
    """A transport around a transport. Its device's thread uses it; faults and recordings come from any other."""

    def __init__(self, name: str, line: Transport) -> None:
        """`name`: the device's, for messages."""
        self.name = line.name
        self.device = name
        self._line = line
        self._faults: frozenset[str] = frozenset()  # replaced whole
        self._trace: LineTraceWriter | None = None
        self._bad = BadLine(name)
        self._told = ""

    @property
    def is_open(self) -> bool:
        return self._line.is_open

    def open(self) -> None:
        """See Transport.open."""
        with self._noted():
            if "unplug" in self._faults:
                raise LinkLostError(f"{self.name} cannot be opened: {self._cause('unplug')}")
            self._line.open()
        self._bad.clear()
        self._told = ""
        self._note(OPENED)

    def read(self, most: int, timeout_s: float) -> bytes:
        """See Transport.read."""
        if not (self._faults or self._trace or self._bad.pending):
            return self._line.read(most, timeout_s)
        with self._noted():
            data = self._read_badly(most, timeout_s)
        if data:
            self._note(READ, data)
        return data

    def write(self, data: bytes) -> None:
        """See Transport.write."""
        if not (self._faults or self._trace or self._bad.pending):
            self._line.write(data)
            return
        with self._noted():
            self._stand("unplug")
            self._bad.asked(time.monotonic())
            self._line.write(data)
        self._note(WRITTEN, data)

    def flush_input(self) -> None:
        """See Transport.flush_input. What a fault holds back has not arrived yet and is not forgotten."""
        if not (self._faults or self._trace or self._bad.pending):
            self._line.flush_input()
            return
        forgotten = 0
        with self._noted():
            while forgotten < FORGET_MOST and (data := self._read_badly(MOST_READ, 0)):
                self._note(FORGOTTEN, data)
                forgotten += len(data)

    def close(self) -> None:
        """See Transport.close."""
        was_open = self._line.is_open
        self._line.close()
        if was_open:
            self._note(CLOSED)

    def fault(self, kind: str, on: bool) -> None:
        """Turn a fault on or off; it acts within one read. Raises FaultNameError unless `kind` is one of FAULTS."""
        if kind not in FAULTS:
            raise FaultNameError(f"no fault '{kind}' of a line; known: {', '.join(FAULTS)}")
        self._faults = self._faults | {kind} if on else self._faults - {kind}
        self._note(FAULT, f"{kind} {'on' if on else 'off'}")

    def record(self, writer: LineTraceWriter) -> None:
        """Write down from now on what the device's driver sees: behind the faults, not before them."""
        if self.is_open:
            writer.note(OPENED)
        self._trace = writer

    def end_record(self) -> None:
        """Stop that and end the file."""
        writer, self._trace = self._trace, None
        if writer is not None:
            writer.close()

    def _read_badly(self, most: int, timeout_s: float) -> bytes:
        bad = self._bad
        now = time.monotonic()
        give_up = now + timeout_s
        while True:
            self._stand("unplug", "half_close")
            wait_s = max(0.0, bad.next_due(give_up) - now)
            if bad.full:
                time.sleep(wait_s)
            elif arrived := self._line.read(MOST_READ, wait_s):
                self._stand("unplug", "half_close")
                bad.arrived(arrived, time.monotonic(), self._faults)
            now = time.monotonic()
            data = bad.take(now, most)
            if data or now >= give_up:
                return data

    def _stand(self, *faults: str) -> None:
        """Raises LinkLostError, with the line closed, where one of `faults` has ended it."""
        for kind in faults:
            if kind in self._faults:
                self._line.close()
                raise LinkLostError(f"{self.name} is gone: {self._cause(kind)}")

    def _cause(self, kind: str) -> str:
        return f"fault {self.device}.{kind} is on"

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """What ends the line is written down."""
        try:
            yield
        except LinkLostError as error:
            if str(error) != self._told:  # a device that is away is tried for hours; once is enough
                self._told = str(error)
                self._note(LOST, self._told)
            raise

    def _note(self, letter: str, data: bytes | str = b"") -> None:
        trace = self._trace
        if trace is not None:
            trace.note(letter, data)
