"""A board in another process, over a loopback connection: one round trip a scan, and a lost link shows as quality."""

import json
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from board import frames
from board.contract import HOLD_LAST, Spec, Wiring
from board.device_link import NEVER, DeviceLink, DeviceStatus, now_ms
from board.simulated import Simulated
from cell_controller.core.signals import InputImage, OutputImage
from cell_controller.core.ticks import MASK, diff
from cell_controller.errors import BoardError, FaultNameError

OPEN_TIMEOUT_S = 2.0
SCAN_TIMEOUT_S = 0.2
"""A round trip on one machine takes less than 1 ms, on a very busy one up to 100 ms; past this the link is lost."""
ANSWER_TIMEOUT_S = 1.0
BAD_MS = 300
"""After this long without the link, inputs go from stale to bad."""
RECONNECT_S = 0.2
RECONNECT_TIMEOUT_S = 0.02


class Link:
    """One connection to a board server; requests and their answers, matched by number."""

    def __init__(self, address: str, role: int, digest: bytes, timeout_s: float) -> None:
        """Connects and says hello. Raises BoardError where nobody answers or the server refuses."""
        self._number = 0
        self._reader = frames.FrameReader()
        self._arrived: list[tuple[int, int, bytes]] = []
        self._stream = frames.connect(address, timeout_s)
        try:
            payload = self.request(frames.HELLO, frames.WELCOME, bytes([role]) + digest, timeout_s)
            self.welcome: dict[str, Any] = json.loads(payload)
        except (OSError, ValueError):
            self._stream.close()
            raise

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._stream.close()

    def send(self, kind: int, payload: bytes) -> int:
        """Send one frame; its number. Raises OSError."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._stream.sendall(frames.frame(kind, self._number, payload))
        return self._number

    def request(self, kind: int, answer: int, payload: bytes, timeout_s: float) -> bytes:
        """Send one frame and wait for its answer. Raises BoardError or another OSError; then the link is spoilt."""
        number = self.send(kind, payload)
        deadline = time.monotonic() + timeout_s
        while True:
            while self._arrived:
                got, of, content = self._arrived.pop(0)
                if got == frames.REFUSED:
                    raise BoardError(content.decode("utf-8", "replace"))
                if of == number and got == answer:
                    return content
            left = deadline - time.monotonic()
            if left <= 0:
                raise BoardError(f"no answer from the board within {timeout_s} s")
            self._stream.settimeout(left)
            data = self._stream.recv(65536)
            if not data:
                raise BoardError("the board closed the connection")
            self._arrived.extend(self._reader.feed(data))

    def ask(self, question: Mapping[str, object]) -> dict[str, Any]:
        """A question in JSON and its answer. Raises BoardError, FaultNameError for a fault nobody knows."""
        content = self.request(frames.ASK, frames.TOLD, json.dumps(question).encode(), ANSWER_TIMEOUT_S)
        answer: dict[str, Any] = json.loads(content)
        if answer.get("error") == "fault":
            raise FaultNameError(str(answer.get("text")))
        if "error" in answer:
            raise BoardError(str(answer.get("text")))
        return answer


class RemoteBoard(Simulated):
    """A board behind `address`: "127.0.0.1:PORT" or "unix:/path", as `python -m hil.board_server DIR` prints it.

    A link that is lost makes every input stale, then bad; it is made again as soon as the server can be reached. What
    the outputs do meanwhile is the server's: its `on_death`, and its watchdog relay.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self.name = "remote:" + address
        self.on_death = HOLD_LAST
        self.speed = 1.0
        self._address = address
        self._link: Link | None = None
        self._device = DeviceLink(
            self.name, HOLD_LAST, (), 0, BAD_MS
        )  # a reading that fails is stale at once
        self._read_at = NEVER
        self._tried_at = 0.0
        self._faults: list[str] = []

    def open(self, spec: Spec, wiring: Wiring) -> None:
        """See Board.open. The server must have been started with the same cell."""
        self._layout = frames.Layout(spec)
        self._digest = frames.signals_digest(spec)
        try:
            self._link = Link(self._address, frames.CONTROLLER, self._digest, OPEN_TIMEOUT_S)
        except BoardError as error:
            raise BoardError(f"board {self.name}: {error}") from error
        except OSError as error:
            hint = "start it with python -m hil.board_server DIR"
            raise BoardError(
                f"board {self.name} cannot be reached: {error.strerror or error}; {hint}"
            ) from error
        welcome = self._link.welcome
        self.on_death = str(welcome["on_death"])
        self.speed = float(welcome["speed"])
        self._faults = [str(name) for name in welcome["faults"]]
        self._origin_ns = time.monotonic_ns()
        self._device = DeviceLink(self.name, self.on_death, (), 0, BAD_MS)
        self._device.answered()

    def close(self) -> None:
        """See Board.close."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def read(self, image: InputImage) -> None:
        """See Board.read. Waits at most 200 ms for the board."""
        link = self._link or self._reconnect()
        if link is not None:
            try:
                payload = link.request(frames.READ, frames.INPUTS, b"", SCAN_TIMEOUT_S)
                self._layout.unpack_inputs(payload, image)
                self._device.answered()
                self._read_at = now_ms()
                return
            except (OSError, struct.error) as error:
                self._device.failed(str(error))
                self._lose()
        self._device.begin_scan()
        quality = self._device.quality(self._read_at, now_ms())
        for i in range(len(image.quality)):
            image.quality[i] = quality

    def write(self, image: OutputImage) -> None:
        """See Board.write. Sent every scan, changed or not: the server's comms time-out counts on it."""
        if self._link is None:
            return
        try:
            self._link.send(frames.WRITE, self._layout.pack_outputs(image))
        except OSError:
            self._lose()

    def tick(self) -> int:
        """See Board.tick."""
        return int((time.monotonic_ns() - self._origin_ns) * self.speed) // 1_000_000 & MASK

    def sleep_until(self, tick: int) -> None:
        """See Board.sleep_until."""
        ahead = diff(tick, self.tick())
        if ahead > 0:
            time.sleep(ahead / 1000 / self.speed)

    def make_safe(self, values: Sequence[int]) -> None:
        """See Board.make_safe. Returns when the board has done it, or after 1 s without an answer."""
        link = self._link or self._reconnect()
        if link is None:
            return
        try:
            link.request(frames.SAFE, frames.TOLD, self._layout.pack_values(list(values)), ANSWER_TIMEOUT_S)
        except OSError:
            self._lose()

    def devices(self) -> list[DeviceStatus]:
        """See Board.devices: the other process."""
        return [self._device.status()]

    def fault(self, name: str, on: bool) -> None:
        """See Board.fault. Raises BoardError while the link is lost."""
        if self._link is None:
            raise BoardError(f"board {self.name}: the link is lost, '{name}' cannot be switched")
        try:
            self._link.ask({"what": "fault", "name": name, "on": on})
        except OSError:
            self._lose()
            raise

    def faults(self) -> list[str]:
        """See Board.faults."""
        return list(self._faults)

    def _lose(self) -> None:
        """The link is gone or spoilt: no answer that comes late may be taken for a new one."""
        self.close()
        self._tried_at = time.monotonic()

    def _reconnect(self) -> Link | None:
        """Try again from time to time, with a bounded wait: a scan must not hang on a dead link."""
        now = time.monotonic()
        if now - self._tried_at < RECONNECT_S:
            return None
        self._tried_at = now
        try:
            self._link = Link(self._address, frames.CONTROLLER, self._digest, RECONNECT_TIMEOUT_S)
        except (OSError, ValueError):
            return None
        return self._link


class Observer:
    """Looks at a board from beside the controller: reads what is really driven, sets faults."""

    def __init__(self, address: str) -> None:
        """Raises BoardError or another OSError where nobody answers at `address`."""
        self._link = Link(address, frames.OBSERVER, bytes(32), OPEN_TIMEOUT_S)

    def close(self) -> None:
        """Close the connection; the board stays."""
        self._link.close()

    def observe(self) -> dict[str, Any]:
        """The truth at the terminals, in plain values.

        tick_ms, outputs and inputs by name (engineering steps), relay ("closed", "dropped", "none"), connected,
        faults that are on, damage, plant.
        """
        return self._link.ask({"what": "observe"})

    def fault(self, name: str, on: bool = True) -> None:
        """Turn a fault on or off. Raises FaultNameError."""
        self._link.ask({"what": "fault", "name": name, "on": on})

    def timeline(self, since: int = 0) -> list[dict[str, Any]]:
        """Changes of true outputs and of the relay, oldest first: {"number", "ms", "name", "value"}, number > since."""
        found: list[dict[str, Any]] = self._link.ask({"what": "timeline", "since": since})["changes"]
        return found

    def next_carriers(self, numbers: Sequence[int]) -> None:
        """Which carriers come next. Raises BoardError where the plant has no carriers."""
        self._link.ask({"what": "next_carriers", "numbers": list(numbers)})

    def remove_part(self) -> None:
        """Take the part off the stand. Raises BoardError where the plant has no parts."""
        self._link.ask({"what": "remove_part"})

    def stop_server(self) -> None:
        """End the board's process: the hardware is switched off."""
        self._link.ask({"what": "stop"})

    def wait_for(
        self, there: Callable[[dict[str, Any]], bool], what: str, timeout_s: float = 5.0
    ) -> dict[str, Any]:
        """Look until `there(observe())`; the observation. Raises TimeoutError with `what` and what was seen last."""
        deadline = time.monotonic() + timeout_s
        pause = 0.002
        while True:
            seen = self.observe()
            if there(seen):
                return seen
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{what}: not within {timeout_s} s; last seen {json.dumps(seen)}")
            time.sleep(pause)
