"""Driver for Modbus devices, RTU and TCP: the devices of one line share it, and a dead one does not hold the others up.

Once a device has failed, it is asked only between two rounds: so between two turns of a device that answers lies at
most one time-out, however many others are dead. After three failures in a row it gets at most a tenth of the line.
"""

import threading
from collections.abc import Callable, Sequence

from board.contract import Device, DevicePlan, Services
from board.device_link import now_ms
from board.line_worker import LineWorker
from board.modbus_client import LineClient
from board.modbus_points import serial_of
from board.modbus_unit import ModbusUnit
from board.transport import SerialSettings, Transport
from cell_controller.errors import BoardError, DeviceError, LinkLostError

TRIES = 3
"""So many failures in a row are tried again in the next turn."""
SHARE = 9
"""After more of them the device is left alone for so many times what the try cost."""
MOST_PAUSE_MS = 2000
"""It is asked at least so often, unless a single try costs more than its share of that."""
REOPEN_MS = 3000
"""A line on which nobody answers for so long is opened again: a half-open connection would not notice a return."""
MOST_WAIT_S = 0.1


class _Seat:
    """A device on the line: when its turn is, and how often in a row it did not answer."""

    def __init__(self, unit: ModbusUnit) -> None:
        self.unit = unit
        self.due_at = 0
        self.served_at = 0
        self.failures = 0


class ModbusLine:
    """One line and its devices."""

    def __init__(
        self, line: Transport, serial: SerialSettings | None, clock: Callable[[], int] = now_ms
    ) -> None:
        """`serial`: how the line is set, None for a TCP connection."""
        self._line = line
        self._clock = clock
        self._client = LineClient(line, serial)
        self._seats: list[_Seat] = []
        self._worker: LineWorker | None = None
        self._news = threading.Event()
        self._failed_at = 0
        self._heard_at = 0

    def add(self, unit: ModbusUnit) -> None:
        """A further device."""
        self._seats.append(_Seat(unit))

    # --- what devices ask for, in the board's thread ---

    def start(self) -> None:
        """See SharedLine.start."""
        if self._worker is None:
            self._worker = LineWorker(self._line, [seat.unit.link for seat in self._seats], self)
            self._worker.start()

    def hurry(self) -> None:
        """See SharedLine.hurry."""
        self._news.set()

    def stop(self) -> None:
        """See SharedLine.stop."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._news.set()
            worker.stop()

    # --- the line's thread ---

    def line_opened(self) -> None:
        """See Exchange.line_opened: every device gets its turn at once."""
        self._heard_at = self._clock()
        self._failed_at = 0
        for seat in self._seats:
            seat.unit.opened()
            seat.due_at = seat.served_at = seat.failures = 0

    def turn(self) -> None:
        """See Exchange.turn: the turn of one device, or a wait until one is due."""
        now = self._clock()
        seat = self._next(now)
        if seat is None:
            due_at = min(seat.due_at for seat in self._seats)
            self.wait(min(max(0, due_at - now) / 1000, MOST_WAIT_S))
            return
        seat.served_at = now
        try:
            seat.unit.turn(self._client)
        except LinkLostError:
            raise
        except DeviceError:
            self._fail(seat, now)
        else:
            self._heard_at = self._clock()
            seat.failures = 0
            seat.due_at = now + seat.unit.poll_ms

    def wait(self, seconds: float) -> None:
        """Until there is something to write, or so long."""
        self._news.wait(seconds)
        self._news.clear()

    def _next(self, now: int) -> _Seat | None:
        """Whose turn it is. One that failed waits until everybody else who is due had a turn since the last failure."""
        due = [
            seat for seat in self._seats if seat.due_at <= now or (not seat.failures and seat.unit.has_news)
        ]
        well = [seat for seat in due if not seat.failures]
        ill = [seat for seat in due if seat.failures]
        if ill and all(seat.served_at >= self._failed_at for seat in well):
            return min(ill, key=lambda seat: seat.served_at)
        return min(well, key=lambda seat: seat.served_at) if well else None

    def _fail(self, seat: _Seat, began: int) -> None:
        now = self._clock()
        seat.failures += 1
        self._failed_at = now
        cost_ms = now - began
        seat.due_at = began + seat.unit.poll_ms
        if seat.failures >= TRIES and len(self._seats) > 1:
            pause_ms = min(cost_ms << min(seat.failures - TRIES, 16), MOST_PAUSE_MS)
            seat.due_at = now + max(SHARE * cost_ms, pause_ms)
        silent_ms = now - self._heard_at
        if silent_ms >= REOPEN_MS:
            raise LinkLostError(
                f"{self._line.name}: nobody has answered for {silent_ms} ms; opening it again"
            )


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """The devices of `plans`; those with the same address share a line. Raises BoardError where they disagree on it."""
    lines: dict[str, tuple[ModbusLine, SerialSettings | None, str]] = {}
    names: dict[tuple[str, int], str] = {}
    found: list[Device] = []
    for plan in plans:
        address, number = str(plan.settings["address"]), int(plan.settings["unit"])
        serial = serial_of(plan.settings)
        if address not in lines:
            line = ModbusLine(board.line(plan.name, address, serial), serial)
            lines[address] = line, serial, plan.name
        line, first, name = lines[address]
        if serial != first:
            raise BoardError(
                f"{plan.name} and {name} are on the line {address} with different baud, parity or stop_bits; "
                "write the same for both"
            )
        other = names.setdefault((address, number), plan.name)
        if other != plan.name:
            raise BoardError(
                f"{plan.name} and {other} are both unit {number} on {address}; correct one of them"
            )
        unit = ModbusUnit(plan, line)
        line.add(unit)
        found.append(unit)
    return found
