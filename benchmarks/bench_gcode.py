"""Lines of G-code a second that reach a machine, beside what its line can carry at most: 115 200 bit/s, 10 bits a byte.

The machines are simulated and carry everything out at once; bytes to them take the time that they take on a real line.
"""

import hashlib
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import hil.serial_device
from benchmarks.timing import row
from board import grbl, marlin
from board.contract import Device, DevicePlan
from board.gcode_job import key_of
from hil.grbl_device import GrblDevice
from hil.marlin_device import MarlinDevice
from hil.serial_device import SerialDevice
from tests.board.rigs import grbl as grbl_rig
from tests.board.rigs import marlin as marlin_rig
from tests.board.rigs.gcode import Bench, Driven, points

BAUD = 115_200
BYTE_S = 10 / BAUD
LINES = 2000
TURN_S = 0.0002


class _Paced(SerialDevice):
    """Bytes come in as fast as the line carries them."""

    arriving: deque[tuple[float, int]]
    taken = 0

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice."""
        now = time.perf_counter()
        at = max(now, self.arriving[-1][0]) if self.arriving else now
        for byte in data:
            at += BYTE_S
            self.arriving.append((at, byte))
        return self._arrived(now)

    def tick(self, now_ms: int) -> bytes:
        """See SerialDevice."""
        return super().tick(now_ms) + self._arrived(time.perf_counter())

    def _arrived(self, now: float) -> bytes:
        data = bytearray()
        while self.arriving and self.arriving[0][0] <= now:
            data.append(self.arriving.popleft()[1])
        self.taken += len(data)
        return super().handle(bytes(data)) if data else b""


class _Printer(_Paced, MarlinDevice):
    pass


class _Router(_Paced, GrblDevice):
    pass


def _measure(
    machine: _Printer | _Router, make: Callable[..., list[Device]], kind: str, settings: dict[str, object]
) -> float:
    """Lines a second over what the line could carry of the same bytes."""
    machine.arriving = deque()
    with tempfile.TemporaryDirectory() as folder, machine:
        leave_out = () if kind == "marlin" else ("nozzle", "bed", "nozzle_set", "bed_set")
        plan = DevicePlan("it", kind, settings | {"address": machine.address}, points(leave_out))
        made = make([plan], Bench(Path(folder)))
        cell = Driven(made[0])
        cell.device.open()
        try:
            cell.until("link", lambda: cell.get("link") == 1)
            cell.rearm()
            cell.set(enable=1, home=1)
            cell.until("ready", lambda: cell.get("ready") == 1)
            text = "".join(
                f"G1 X{k % 200}.{k % 997:03d} Y{k % 180}.5 Z{k / 100:.2f} F3000\n" for k in range(LINES)
            )
            Path(folder, "jobs", "job").write_text(text)
            bytes_before = machine.taken
            began = time.perf_counter()
            cell.set(job=key_of(hashlib.sha256(text.encode()).hexdigest()))
            cell.until("done", lambda: cell.get("state") in (5, 6), 60)
            took = time.perf_counter() - began
            assert len(machine.carried_out) == LINES, cell.device.link.status()
            return (machine.taken - bytes_before) * BYTE_S / took
        finally:
            cell.device.close()


def run() -> list[dict[str, object]]:
    """Each machine once."""
    hil.serial_device.TURN_S = TURN_S
    one = _Printer(boot_ms=10, speed=1000.0, most_move_ms=0.5)
    named = _Printer(boot_ms=10, speed=1000.0, most_move_ms=0.5, advanced_ok=True)
    router = _Router(speed=1000.0, most_move_ms=0.5)
    settings = marlin_rig.SETTINGS | {"ack_ms": 5000}
    peer = f"what the line carries at {BAUD} bit/s, {LINES} lines"
    return [
        row(
            "G-code to Marlin, one line in flight",
            _measure(one, marlin.make, "marlin", settings),
            "x",
            ">= 0.5",
            peer,
        ),
        row(
            "G-code to Marlin with ADVANCED_OK, four in flight",
            _measure(named, marlin.make, "marlin", settings | {"window": 4}),
            "x",
            ">= 0.7",
            peer,
        ),
        row("G-code to GRBL", _measure(router, grbl.make, "grbl", grbl_rig.SETTINGS), "x", ">= 0.7", peer),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
