"""The simulated board in a process of its own, so that a dead controller leaves its hardware alive.

    python -m hil.board_server examples/paint_cell --port 0

Between the controller and the plant stand what stands there in a cabinet: what the outputs do when nobody drives them
any more (`on_death`), and a watchdog relay that drops the outputs wired through it when the heartbeat stops.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from board import frames
from board.contract import DEVICE_FALLBACK, HOLD_LAST, ON_DEATH, RELEASE
from board.sim import SimBoard
from cell_controller.core.signals import KEEP, InputImage, OutputImage
from cell_controller.errors import BoardError, CellError, FaultNameError
from hil.output_stage import OutputStage
from hil.plant import PlantFactory

TURN_S = 0.002
"""How often the server looks at its clock when nobody asks anything."""
SEND_TIMEOUT_S = 0.2
MOST_CONNECTIONS = 16

LINK_FAULTS = {
    "link.cut": "the cable to the controller is out",
    "link.silent": "the board takes outputs but answers no reading",
}


class Connection:
    """One accepted connection."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.reader = frames.FrameReader()
        self.role = -1

    def send(self, kind: int, number: int, payload: bytes) -> None:
        """Send one frame. Raises OSError, also when the other side does not take it within 0.2 s."""
        self.stream.sendall(frames.frame(kind, number, payload))


class BoardServer:
    """Serves one simulated board to one controller and any number of observers; one thread, `run` until `stop`."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        wiring: Mapping[str, Any],
        speed: float = 1.0,
        seed: int = 1,
        listen: str = "127.0.0.1:0",
        plant: PlantFactory | None = None,
    ) -> None:
        """Opens the board and listens at `listen` ("127.0.0.1:0" takes a free port, or "unix:/path").

        Raises BoardError for what the wiring says wrongly, and OSError where it cannot listen.
        """
        if speed <= 0:
            raise BoardError(
                f"speed = {speed}: a board in its own process runs in real time; give a speed above 0"
            )
        board_table = wiring.get("board", {})
        self.on_death = str(board_table.get("on_death", HOLD_LAST))
        if self.on_death not in ON_DEATH:
            raise BoardError(f"wiring: on_death = '{self.on_death}' is none of {', '.join(ON_DEATH)}")
        self._comms_s = int(board_table.get("comms_timeout_ms", 1000)) / 1000
        self.board = SimBoard(plant, seed=seed, speed=speed, on_death=self.on_death)
        self.board.open(spec, wiring)
        self.stage = OutputStage(spec, wiring, speed)
        self._names_in = [str(entry["name"]) for entry in spec["inputs"]]
        self._layout = frames.Layout(spec)
        self._digest = frames.signals_digest(spec)
        self._inputs = InputImage(dict(spec))
        self._outputs = OutputImage(dict(spec))
        self._link_faults = dict.fromkeys(LINK_FAULTS, False)
        self._controller: Connection | None = None
        self._connections: list[Connection] = []
        self._written_at = 0.0
        self._fallen_back = True
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._open_listener(listen)
        self._drive(self.board.outputs)

    def _open_listener(self, listen: str) -> None:
        if listen.startswith("unix:"):
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(listen[len("unix:") :])
            self._listener.listen(MOST_CONNECTIONS)
            self.address = listen
        else:
            host, _, port = listen.rpartition(":")
            self._listener = socket.create_server((host, int(port)), backlog=MOST_CONNECTIONS)
            self.address = f"{host}:{self._listener.getsockname()[1]}"
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)

    # --- the loop ---

    def run(self) -> None:
        """Serve until `stop`; then every connection is closed."""
        try:
            while not self._stopping:
                self.turn(TURN_S)
        finally:
            self.close()

    def stop(self) -> None:
        """End `run` after the present turn; may be called from a signal handler or another thread."""
        self._stopping = True

    def close(self) -> None:
        """Close every connection and the listener; a second call does nothing."""
        for connection in list(self._connections):
            self._drop(connection)
        self._listener.close()
        self._selector.close()
        if self.address.startswith("unix:") and os.path.exists(self.address[len("unix:") :]):
            os.unlink(self.address[len("unix:") :])

    def turn(self, wait_s: float) -> None:
        """Wait at most `wait_s` for something to answer; let relay, device and plant follow the clock."""
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._accept()
            else:
                self._serve(key.data)
        now = time.monotonic()
        if self._controller is not None and self._link_faults["link.cut"]:
            self._drop(self._controller)
        late = now - self._written_at >= self._comms_s
        if self.on_death == DEVICE_FALLBACK and late and not self._fallen_back:
            self._fallen_back = True
            self._drive(self.stage.safe)
        if self.stage.watch(now):
            self._drive(self.stage.commanded)
        self.board.advance()

    def _accept(self) -> None:
        stream, _ = self._listener.accept()
        stream.settimeout(SEND_TIMEOUT_S)
        if len(self._connections) >= MOST_CONNECTIONS:
            stream.close()
            return
        connection = Connection(stream)
        self._connections.append(connection)
        self._selector.register(stream, selectors.EVENT_READ, connection)

    def _serve(self, connection: Connection) -> None:
        try:
            data = connection.stream.recv(65536)
            if not data:
                self._drop(connection)
                return
            for kind, number, payload in connection.reader.feed(data):
                self._answer(connection, kind, number, payload)
        except (OSError, struct.error, ValueError):
            # a client that is gone, late or not ours: its connection ends, the board goes on
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        self._selector.unregister(connection.stream)
        connection.stream.close()
        if connection is self._controller:
            self._controller = None
            if self.on_death == RELEASE:
                self._drive([0] * len(self.stage.safe))

    def _answer(self, connection: Connection, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.HELLO:
            self._hello(connection, number, payload)
        elif connection.role < 0:
            raise BoardError("no hello")
        elif kind == frames.ASK:
            told = self._told(json.loads(payload), connection.role)
            connection.send(frames.TOLD, number, json.dumps(told).encode())
        elif connection is not self._controller:
            raise BoardError("an observer drives nothing")
        elif kind == frames.WRITE:
            self._layout.unpack_outputs(payload, self._outputs)
            self._command(self.board.values_of(self._outputs))
        elif kind == frames.READ:
            if not self._link_faults["link.silent"]:
                self.board.read(self._inputs)
                connection.send(frames.INPUTS, number, self._layout.pack_inputs(self._inputs))
        elif kind == frames.SAFE:
            values = self._layout.unpack_values(payload)
            pairs = zip(self.stage.commanded, values, strict=True)
            self._command([old if new == KEEP else new for old, new in pairs])
            connection.send(frames.TOLD, number, b"{}")
        else:
            raise BoardError(f"no frame of kind {kind}")

    def _hello(self, connection: Connection, number: int, payload: bytes) -> None:
        role = payload[0] if payload else -1
        refusal = ""
        if role == frames.CONTROLLER:
            if self._link_faults["link.cut"]:
                raise BoardError("the cable is out")
            if payload[1:] != self._digest:
                refusal = "it was started with another cell; start the board server again with this directory"
            elif self._controller is not None:
                refusal = "another controller drives it already; stop that one first"
        elif role != frames.OBSERVER:
            refusal = f"role {role} is neither a controller nor an observer"
        if refusal:
            connection.send(frames.REFUSED, number, refusal.encode())
            raise BoardError(refusal)
        connection.role = role
        if role == frames.CONTROLLER:
            self._controller = connection
        welcome = {
            "on_death": self.on_death,
            "speed": self.board.speed,
            "faults": self.board.faults() if role == frames.CONTROLLER else self._all_faults(),
        }
        connection.send(frames.WELCOME, number, json.dumps(welcome).encode())

    # --- outputs ---

    def _command(self, values: Sequence[int]) -> None:
        """The controller wants `values`."""
        now = time.monotonic()
        self._written_at = now
        self._fallen_back = False
        self.stage.heartbeat(values, now)
        self._drive(values)

    def _drive(self, values: Sequence[int]) -> None:
        """`values` stand at the device; what the relay feeds reaches the plant only while it is closed."""
        before = self.board.outputs
        self.stage.commanded = list(values)
        through = self.stage.through_relay()
        self.board.advance()
        self.stage.log(before, through, self.board.tick())
        if through != before:
            self.board.drive(through)

    # --- observers ---

    def _told(self, question: dict[str, Any], role: int) -> dict[str, Any]:
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "observe": self._observe,
            "fault": self._fault,
            "timeline": lambda asked: {"changes": self.stage.changes_since(int(asked["since"]))},
            "next_carriers": self._next_carriers,
            "remove_part": self._remove_part,
            "stop": self._stop,
        }
        action = actions.get(str(question.get("what")))
        if question.get("name") in LINK_FAULTS and role == frames.CONTROLLER:
            text = f"'{question['name']}' is set from beside the controller: it could not take it back itself"
            return {"error": "fault", "text": text}
        if action is None:
            return {
                "error": "board",
                "text": f"asked for {question.get('what')!r}; known: {', '.join(sorted(actions))}",
            }
        try:
            return action(question)
        except FaultNameError as error:
            return {"error": "fault", "text": str(error)}
        except (CellError, KeyError, TypeError, ValueError) as error:
            return {"error": "board", "text": str(error)}

    def _observe(self, question: dict[str, Any]) -> dict[str, Any]:
        self.board.advance()
        plant = self.board.plant
        return {
            "tick_ms": self.board.tick(),
            "outputs": dict(zip(self.stage.names, self.board.outputs, strict=True)),
            "inputs": dict(zip(self._names_in, plant.inputs, strict=True)),
            "relay": self.stage.relay_text(),
            "connected": self._controller is not None,
            "faults": sorted(
                [*self.board.active_faults(), *(n for n, on in self._link_faults.items() if on)]
            ),
            "damage": list(plant.damage),
            "plant": plant.state(),
        }

    def _all_faults(self) -> list[str]:
        return sorted([*self.board.faults(), *LINK_FAULTS])

    def _fault(self, question: dict[str, Any]) -> dict[str, Any]:
        name = str(question["name"])
        if name in self._link_faults:
            self._link_faults[name] = bool(question["on"])
        else:
            self.board.fault(name, bool(question["on"]))
        return {}

    def _next_carriers(self, question: dict[str, Any]) -> dict[str, Any]:
        coming = getattr(self.board.plant, "next_carriers", None)
        if not isinstance(coming, list):
            raise BoardError("this plant has no carriers")
        coming[:] = [int(number) for number in question["numbers"]]
        return {}

    def _remove_part(self, question: dict[str, Any]) -> dict[str, Any]:
        remove = getattr(self.board.plant, "remove_part", None)
        if remove is None:
            raise BoardError("this plant has no parts")
        remove()
        return {}

    def _stop(self, question: dict[str, Any]) -> dict[str, Any]:
        self.stop()
        return {}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: serve the board of one cell directory until SIGTERM or SIGINT; 0, or 2 for a bad directory."""
    parser = argparse.ArgumentParser(
        prog="python -m hil.board_server",
        description="The simulated board of a cell in a process of its own; a controller drives it with "
        "--board remote:ADDRESS, and stays replaceable.",
    )
    parser.add_argument("directory", help="the cell's directory")
    parser.add_argument(
        "--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 (default) takes a free one"
    )
    parser.add_argument("--unix", default="", metavar="PATH", help="listen on this Unix socket instead")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast as the real clock")
    parser.add_argument("--seed", type=int, default=1, help="of the noise on analog inputs")
    options = parser.parse_args(arguments)
    from host_tools.cellfile import compile_cell  # only the command line reads cell files

    listen = f"unix:{options.unix}" if options.unix else f"127.0.0.1:{options.port}"
    try:
        compiled = compile_cell(options.directory, board="sim")
        server = BoardServer(compiled.spec, compiled.wiring, options.speed, options.seed, listen)
    except (CellError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    signal.signal(signal.SIGTERM, lambda number, stack: server.stop())
    signal.signal(signal.SIGINT, lambda number, stack: server.stop())
    sys.stdout.write(f"{server.address}\n")
    sys.stdout.flush()
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
