"""A simulated printer with Marlin: line numbers, checksums, a command queue, a planner, heaters, the emergency parser.

    python -m hil.marlin_device

prints the port. It does what Marlin 2 does where a host can see it: lines are read while the queue of four has room and
answered `ok` when they were carried out or planned; a line with a wrong number or checksum empties the receive buffer.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from hil.printer_body import Heater, Planner, words_of
from hil.serial_device import SerialDevice, parser_of, serve

QUEUE = 4
RX_BYTES = 128
MOST_LINE = 95
KEEPALIVE_MS = 2000
COLD_DEGC = 170
HOMING_MS = 4000
_EMERGENCY = re.compile(rb"^ *(?:N\d+ *)?M(108|112|410)\b")
_QUIET = {17, 82, 83, 106, 107, 117, 73, 201, 203, 204, 205, 220, 221, 300, 92, 21, 900}


class MarlinDevice(SerialDevice):
    """See SerialDevice. `carried_out` is what its motors did, in order: it outlives resets, for tests."""

    def __init__(
        self,
        address: str = "pty",
        speed: float = 1.0,
        resets_on_open: bool = False,
        advanced_ok: bool = False,
        ok_after_resend: bool = False,
        most_move_ms: float = float("inf"),
        boot_ms: int = 100,
        **base: Any,
    ) -> None:
        """`speed`: how much faster than real it moves and heats. `resets_on_open`: opening its line resets it, as
        boards do whose serial adapter is wired so. `ok_after_resend`: as Marlin before 2.0.8."""
        super().__init__(address, **base)
        self.speed = speed
        self.resets_on_open = resets_on_open
        self.advanced_ok = advanced_ok
        self.ok_after_resend = ok_after_resend
        self.most_move_ms = most_move_ms
        self.boot_ms = boot_ms
        self.carried_out: list[str] = []
        self.noise: Callable[[bytes], bytes] = bytes
        """What the line does to bytes that come in; for tests."""
        self.resets = 0
        self.dropped = 0
        self._now = 0
        self._reset()

    def _reset(self) -> None:
        self.nozzle, self.bed = Heater(4.0), Heater(1.5)
        self.planner = Planner(most_ms=self.most_move_ms)
        self.last_n = 0
        self.killed = self.stopped = False
        self.homed = False
        self.messages: list[str] = []
        self._rx = bytearray()
        self._line = bytearray()
        self._early = bytearray()  # the same bytes as the emergency parser sees them
        self._commands: deque[tuple[str, int]] = deque()
        self._waits: Callable[[], bool] | None = None
        self._break_heat = False
        self._out = bytearray()
        self._report_ms = self._position_ms = 0
        self._reported = self._said_busy = self._position_at = self._now
        self._keepalive_ms = KEEPALIVE_MS
        self._boots_until = self._now + self.boot_ms
        self._booted = False
        self._stepped = self._now

    # --- SerialDevice ---

    def power_on(self) -> bytes:
        """See SerialDevice."""
        self.resets += 1
        self._reset()
        return b""

    def opened(self) -> bytes:
        """See SerialDevice."""
        return self.power_on() if self.resets_on_open else b""

    def foreign(self, answer: bytes) -> bytes:
        """A router's report."""
        return b"<Idle|MPos:0.000,0.000,0.000|FS:0,0>\r\n"

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice."""
        if not self._booted or self.killed:
            return b""
        for byte in self.noise(data):
            self._emergency(byte)
            if len(self._rx) == RX_BYTES:
                self._receive()
            if len(self._rx) < RX_BYTES:
                self._rx.append(byte)
            else:
                self.dropped += 1
        self._work()
        return self._said()

    def tick(self, now_ms: int) -> bytes:
        """See SerialDevice."""
        self._now = now_ms
        if not self._booted:
            if now_ms < self._boots_until:
                return b""
            self._booted = True
            self._reported = self._said_busy = self._stepped = now_ms
            self._tell("start", "echo:Marlin 2.1.2", "echo: Free Memory: 4000  PlannerBufferBytes: 1200")
        self._pass(now_ms - self._stepped)
        self._stepped = now_ms
        if not self.killed:
            self._work()
            self._by_itself()
        return self._said()

    # --- what people and tests do to it ---

    def runaway(self) -> None:
        """A heater runs away: it stops with an error."""
        with self.lock:
            self._tell("Error:Thermal Runaway, system stopped! Heater_ID: 0")
            self._kill()

    def jam(self) -> None:
        """It stops itself but can be told to go on (M999)."""
        with self.lock:
            self.stopped = True
            self.nozzle.target = self.bed.target = 0
            self._tell(
                "Error:Printer stopped due to errors. Fix the error and use M999 to restart. (Temperature is reset.)"
            )

    # --- time ---

    def _pass(self, ms: int) -> None:
        ms = int(ms * self.speed)
        self.nozzle.step(ms)
        self.bed.step(ms)
        self.carried_out += self.planner.step(0 if self.killed else ms)

    def _by_itself(self) -> None:
        if self._report_ms and self._now - self._reported >= self._report_ms:
            self._reported = self._now
            self._tell(self._temperatures())
        if self._position_ms and self._now - self._position_at >= self._position_ms:
            self._position_at = self._now
            self._tell(self._position())
        busy = self._waits is not None
        if not busy:
            self._said_busy = self._now
        elif self._keepalive_ms and self._now - self._said_busy >= self._keepalive_ms:
            self._said_busy = self._now
            self._tell("echo:busy: processing")

    # --- lines in ---

    def _emergency(self, byte: int) -> None:
        if byte not in b"\r\n":
            self._early.append(byte)
            return
        found = _EMERGENCY.match(bytes(self._early))
        self._early.clear()
        if found and found[1] == b"112":
            self._kill()
        elif found and found[1] == b"108":
            self._break_heat = True
        elif found:
            self.planner.drop()

    def _receive(self) -> None:
        while self._rx and len(self._commands) < QUEUE and not self.killed:
            byte = self._rx.pop(0)
            if byte not in b"\r\n":
                if len(self._line) < MOST_LINE:
                    self._line.append(byte)
                continue
            text = self._line.decode("latin-1").split(";")[0].strip()
            self._line.clear()
            if text:
                self._accept(text)

    def _accept(self, text: str) -> None:
        number = -1
        if text.startswith("N"):
            m110 = "M110" in text
            place = text.find("N", 4) if m110 else -1
            number = _integer(text[place + 1 :] if place >= 0 else text[1:])
            if number != self.last_n + 1 and not m110:
                return self._line_error("Line Number is not Last Line Number+1, Last Line: ")
            head, star, said = text.rpartition("*")
            if not star:
                return self._line_error("No Checksum with line number, Last Line: ")
            checksum = 0
            for byte in head.encode("latin-1"):
                checksum ^= byte
            if _integer(said) != checksum:
                return self._line_error("checksum mismatch, Last Line: ")
            self.last_n = number
        self._commands.append((text, number))
        return None

    def _line_error(self, text: str) -> None:
        self._tell(f"Error:{text}{self.last_n}")
        self._rx.clear()
        self._line.clear()
        self._tell(f"Resend: {self.last_n + 1}")
        if self.ok_after_resend:
            self._tell("ok")

    # --- carrying out ---

    def _work(self) -> None:
        while not self.killed:
            self._receive()
            if self._waits is not None:
                if not self._waits():
                    return
                self._waits = None
                self._finish()
            elif self._commands:
                self._carry_out(_without_number(self._commands[0][0]))
                if self._waits is None and not self.killed:
                    self._finish()
            else:
                return

    def _finish(self) -> None:
        _, number = self._commands.popleft()
        self._break_heat = False
        named = f" N{number}" if number >= 0 else ""
        free = self.planner.size - 1 - len(self.planner.blocks)
        self._tell(
            f"ok{named} P{free} B{QUEUE - len(self._commands)}" if self.advanced_ok else "ok" + self._ok_more
        )
        self._ok_more = ""

    _ok_more = ""

    def _carry_out(self, command: str) -> None:
        words = words_of(command)
        if command[:1].upper() == "G" and "G" in words:
            self._g(int(words["G"]), command, words)
        elif command[:1].upper() == "M" and "M" in words:
            self._m(int(words["M"]), command, words)
        elif command[:1].upper() != "T":
            self._tell(f'echo:Unknown command: "{command}"')

    def _g(self, code: int, command: str, words: dict[str, float]) -> None:
        if code in (0, 1, 2, 3):
            if self.stopped:
                self._tell("Error:Printer stopped due to errors. Fix the error and use M999 to restart.")
            elif self.planner.is_full:
                self._waits = lambda: not self.planner.is_full and self._plan(command, words)
            else:
                self._plan(command, words)
        elif code == 4:
            self._wait_ms(words.get("P", 0) + 1000 * words.get("S", 0))
        elif code == 28:
            self._wait_ms(HOMING_MS, self._homed)
        elif code in (90, 91):
            self.planner.relative = self.planner.relative_e = code == 91
        elif code == 92:
            self._wait_moves(lambda: self._set_position(words))
        elif code not in (21, 29):
            self._tell(f'echo:Unknown command: "{command}"')

    def _plan(self, command: str, words: dict[str, float]) -> bool:
        if "E" in words and self.nozzle.degc < COLD_DEGC:
            self._tell("echo:Cold extrusion prevented")
            words = {letter: value for letter, value in words.items() if letter != "E"}
        self.planner.add(command, words)
        return True

    def _m(self, code: int, command: str, words: dict[str, float]) -> None:
        heater = self.nozzle if code in (104, 109) else self.bed
        if code in (104, 140, 109, 190):
            heater.target = words.get("S", words.get("R", 0))
            if code in (109, 190):
                self._waits = lambda: heater.is_there or self._break_heat
        elif code == 105:
            self._ok_more = " " + self._temperatures().strip()
        elif code == 114:
            self._tell(self._position())
        elif code == 400:
            self._wait_moves(lambda: None)
        elif code == 118:
            self._tell(command.split(" ", 1)[1] if " " in command else "")
        elif code == 155:
            self._report_ms = int(1000 * words.get("S", 0))
        elif code == 154:
            self._position_ms = int(1000 * words.get("S", 0))
        elif code == 113:
            self._keepalive_ms = int(1000 * words.get("S", 2))
        elif code == 115:
            self._tell(
                "FIRMWARE_NAME:Marlin 2.1.2 PROTOCOL_VERSION:1.0 MACHINE_TYPE:Simulated EXTRUDER_COUNT:1"
            )
            self._tell("Cap:AUTOREPORT_TEMP:1", "Cap:AUTOREPORT_POS:1", "Cap:EMERGENCY_PARSER:1")
        elif code in (18, 84):
            self.homed = self.homed and "S" in words
        elif code == 999:
            self.stopped = False
        elif code in (82, 83):
            self.planner.relative_e = code == 83
        elif code not in _QUIET and code not in (108, 110, 112, 410):
            self._tell(f'echo:Unknown command: "{command}"')
        if code == 117:
            self.messages.append(command[5:])

    def _wait_moves(self, then: Callable[[], None]) -> None:
        def done() -> bool:
            if self.planner.blocks:
                return False
            then()
            return True

        if not done():
            self._waits = done

    def _wait_ms(self, ms: float, then: Callable[[], None] = lambda: None) -> None:
        until: list[float] = []

        def done() -> bool:
            if self.planner.blocks:
                return False
            if not until:
                until.append(self._now + ms / self.speed)
            if self._now < until[0]:
                return False
            then()
            return True

        if not done():
            self._waits = done

    def _homed(self) -> None:
        self.homed = True
        for place in (self.planner.planned, self.planner.actual):
            place.update(X=0.0, Y=0.0, Z=0.0)

    def _set_position(self, words: dict[str, float]) -> None:
        for axis in "XYZE":
            if axis in words:
                self.planner.planned[axis] = self.planner.actual[axis] = words[axis]

    # --- what it says ---

    def _temperatures(self) -> str:
        n, b = self.nozzle, self.bed
        return f" T:{n.degc:.2f} /{n.target:.2f} B:{b.degc:.2f} /{b.target:.2f} @:0 B@:0"

    def _position(self) -> str:
        x, y, z, e = (self.planner.planned[axis] for axis in "XYZE")
        return f"X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X:{x * 80:.0f} Y:{y * 80:.0f} Z:{z * 400:.0f}"

    def _tell(self, *lines: str) -> None:
        for line in lines:
            self._out += line.encode("latin-1") + b"\n"

    def _said(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def _kill(self) -> None:
        self.killed = True
        self.nozzle.target = self.bed.target = 0
        self.planner.drop()
        self._commands.clear()
        self._rx.clear()
        self._waits = None
        self._tell("Error:Printer halted. kill() called!")


def _integer(text: str) -> int:
    found = re.match(r" *(-?\d+)", text)
    return int(found[1]) if found else 0


def _without_number(text: str) -> str:
    text = text.split("*")[0].strip()
    return re.sub(r"^N-?\d+ *", "", text)


def main() -> int:
    """Run one until a signal."""
    parser = parser_of("hil.marlin_device", "A simulated printer with Marlin.")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how much faster than real it moves and heats"
    )
    options = parser.parse_args()
    device = MarlinDevice(options.address, speed=options.speed)
    return serve(device, {"runaway": device.runaway, "jam": device.jam})


if __name__ == "__main__":
    raise SystemExit(main())
