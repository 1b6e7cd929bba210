"""A simulated router with GRBL 1.1: a receive buffer of 128 bytes, real-time bytes, a planner, holds, alarms, homing.

    python -m hil.grbl_device

prints the port. It answers as GRBL 1.1h built with its defaults and homing enabled.
"""

import re
from collections.abc import Callable
from typing import Any

from hil.printer_body import Planner, words_of
from hil.serial_device import SerialDevice, parser_of, serve

RX_BYTES = 128
MOST_LINE = 79
HOMING_MS = 3000
MODAL = (0, 1, 17, 20, 21, 54, 90, 91, 94, 3, 5, 7, 8, 9, 2, 30)
_BLOCK = re.compile(r"(?:[A-Z][-+]?\d*\.?\d+|[A-Z][-+]?\d+\.)+")
REALTIME = b"?!~\x18"


class GrblDevice(SerialDevice):
    """See SerialDevice. `carried_out` is what its motors did, in order: it outlives resets, for tests."""

    def __init__(
        self, address: str = "pty", speed: float = 1.0, most_move_ms: float = float("inf"), **base: Any
    ) -> None:
        """`speed`: how much faster than real it moves."""
        super().__init__(address, **base)
        self.speed = speed
        self.most_move_ms = most_move_ms
        self.carried_out: list[str] = []
        self.resets = 0
        self.dropped = 0
        self.errors: list[int] = []
        self._now = 0
        self._stepped = 0
        self.planner = Planner(most_ms=most_move_ms)
        self.state = "Alarm"
        self._out = bytearray()
        self._clear()

    def _clear(self) -> None:
        """What a reset does: the position stays, the modes do not."""
        self.planner.drop()
        self.planner.feed, self.planner.relative = 0.0, False
        self.tool, self.spindle = 0, 5
        self.needs_reset = False
        self._rx = bytearray()
        self._line = bytearray()
        self._waits: Callable[[], bool] | None = None
        self._wait_text = "ok"
        self._asked = False

    # --- SerialDevice ---

    def power_on(self) -> bytes:
        """See SerialDevice."""
        self.resets += 1
        self.planner = Planner(most_ms=self.most_move_ms)
        self._clear()
        self._out.clear()
        self.state = "Alarm"
        self._banner()
        return self._said()

    def foreign(self, answer: bytes) -> bytes:
        """A printer's report."""
        return b" T:22.00 /0.00 B:22.00 /0.00 @:0 B@:0\r\n"

    def handle(self, data: bytes) -> bytes:
        """See SerialDevice."""
        for byte in data:
            if byte in REALTIME:
                self._realtime(byte)
            elif len(self._rx) < RX_BYTES:
                self._rx.append(byte)
            else:
                self.dropped += 1
        self._work()
        return self._said()

    def tick(self, now_ms: int) -> bytes:
        """See SerialDevice."""
        ms, self._stepped, self._now = int((now_ms - self._stepped) * self.speed), now_ms, now_ms
        if self.state == "Run":
            self.carried_out += self.planner.step(ms)
            if not self.planner.blocks:
                self.state = "Idle"
        self._work()
        return self._said()

    # --- what people and tests do to it ---

    def limit(self) -> None:
        """A limit switch is hit."""
        with self.lock:
            self.planner.drop()
            self.state, self.needs_reset = "Alarm", True
            self._tell("ALARM:1", "[MSG:Reset to continue]")

    # --- real time ---

    def _realtime(self, byte: int) -> None:
        if byte == 0x18:
            moved = self.state in ("Run", "Home")
            alarm = self.state == "Alarm" or moved
            self._clear()
            if moved:
                self._tell("ALARM:3")
            self.state = "Alarm" if alarm else "Idle"
            self._banner()
        elif byte == ord("?"):
            if self.state == "Home":
                self._asked = True  # it looks after its switches only, and says it when it is home
            else:
                self._tell(self._status())
        elif byte == ord("!") and self.state == "Run":
            self.state = "Hold"
        elif byte == ord("~") and self.state == "Hold":
            self.state = "Run" if self.planner.blocks else "Idle"

    def _status(self) -> str:
        x, y, z = (self.planner.actual[axis] for axis in "XYZ")
        state = "Hold:0" if self.state == "Hold" else self.state
        room = RX_BYTES - len(self._rx)
        blocks = self.planner.size - 1 - len(self.planner.blocks)
        return f"<{state}|MPos:{x:.3f},{y:.3f},{z:.3f}|Bf:{blocks},{room}|FS:0,0>"

    # --- lines ---

    def _work(self) -> None:
        while self.state != "Hold" and not self.needs_reset:
            if self._waits is not None:
                if not self._waits():
                    return
                self._waits = None
                self._tell("ok")
                continue
            if not self._rx:
                return
            byte = self._rx.pop(0)
            if byte not in b"\r\n":
                if byte > 32:
                    self._line.append(byte)
                continue
            text = self._line.decode("latin-1").upper()
            self._line.clear()
            self._answer(self._carry_out(text))

    def _answer(self, error: int) -> None:
        if error:
            self.errors.append(error)
            self._tell(f"error:{error}")
        elif self._waits is None:
            self._tell("ok")

    def _carry_out(self, text: str) -> int:
        if len(text) > MOST_LINE:
            return 11
        if text.startswith("$"):
            return self._system(text)
        if not text:
            return 0
        if self.state == "Alarm":
            return 9
        if not _BLOCK.fullmatch(text):
            return 1
        letters = re.findall(r"[A-Z]", text)
        if any(letters.count(letter) > 1 for letter in "XYZFTP"):
            return 25
        return self._block(text)

    def _block(self, text: str) -> int:
        words = words_of(text)
        codes = [int(float(code)) for code in re.findall(r"G([\d.]+)", text)]
        if any(code not in MODAL and code != 4 for code in codes):
            return 20
        moves = any(axis in words for axis in "XYZ")
        if moves and 1 in codes and not words.get("F", self.planner.feed):
            return 22
        self.tool = int(words.get("T", self.tool)) & 0xFF
        for code in codes:
            if code in (90, 91):
                self.planner.relative = code == 91
        if "M" in words:
            self.spindle = int(words["M"])
        if 4 in codes:
            self._wait(1000 * words.get("P", 0), lambda: None)
        elif moves:
            if self.planner.is_full:
                self._waits = lambda: not self.planner.is_full and self._plan(text, words)
            else:
                self._plan(text, words)
        return 0

    def _plan(self, text: str, words: dict[str, float]) -> bool:
        feed = self.planner.feed
        rapid = words.get("G") == 0
        self.planner.add(re.sub(r"T\d+$", "", text), words | ({"F": 5000.0} if rapid else {}))
        if rapid:
            self.planner.feed = words.get("F", feed)
        self.state = "Run"
        return True

    def _system(self, text: str) -> int:
        if text == "$":
            self._tell("[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]")
        elif text == "$G":
            self._tell(
                f"[GC:G0 G54 G17 G21 G90 G94 M{self.spindle} M9 T{self.tool} F{self.planner.feed:.0f} S0]"
            )
        elif text == "$X":
            if self.state == "Alarm":
                self._tell("[MSG:Caution: Unlocked]")
                self.state = "Idle"
        elif text == "$H":
            if self.state not in ("Idle", "Alarm"):
                return 8
            self.state = "Home"
            self._wait(HOMING_MS, self._homed)
        else:
            return 3
        return 0

    def _wait(self, ms: float, then: Callable[[], None]) -> None:
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

        self._waits = done

    def _homed(self) -> None:
        self.state = "Idle"
        for place in (self.planner.planned, self.planner.actual):
            place.update(X=-1.0, Y=-1.0, Z=-1.0)
        if self._asked:
            self._asked = False
            self._tell(self._status())

    # --- what it says ---

    def _banner(self) -> None:
        self._tell("", "Grbl 1.1h ['$' for help]")
        if self.state == "Alarm":
            self._tell("[MSG:'$H'|'$X' to unlock]")

    def _tell(self, *lines: str) -> None:
        for line in lines:
            self._out += line.encode("latin-1") + b"\r\n"

    def _said(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data


def main() -> int:
    """Run one until a signal."""
    parser = parser_of("hil.grbl_device", "A simulated router with GRBL 1.1.")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than real it moves")
    options = parser.parse_args()
    device = GrblDevice(options.address, speed=options.speed)
    return serve(device, {"limit": device.limit})


if __name__ == "__main__":
    raise SystemExit(main())
