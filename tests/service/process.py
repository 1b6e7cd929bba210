"""The service as a process of its own, and the words a scenario uses about it: those of the bench, in real time.

All of it waits for what it wants to see, never for a time, and gives up after a bound with the log of the process.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from board.remote import Observer
from host_tools.client import CellClient

ROOT = Path(__file__).resolve().parents[2]
NAME = "paint-1"
BASE = "coachworks/leeds/body/paint/paint-1"
WAIT_S = 20.0
LOOK_S = 0.005
Record = dict[str, Any]


class GaveUpError(AssertionError):
    """What a test waited for did not come; the message has the log of the process."""


def users_environment() -> dict[str, str]:
    """The environment of a person at a terminal: nothing that keeps Python from being as quick as it is for them."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}


class Child:
    """A process of the project with its output in a file; ended by its own number, never by name."""

    def __init__(self, words: list[str], log: Path, environment: Mapping[str, str], cwd: Path = ROOT) -> None:
        self._log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**users_environment(), "PYTHONPATH": str(ROOT), **environment},
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """Everything it has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if not self.ended:
            os.kill(self.process.pid, number)

    def wait_end(self, within_s: float = WAIT_S) -> int:
        """Its exit code; negative for the signal that ended it. Raises GaveUpError with its log."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise GaveUpError(f"it did not end within {within_s} s; its log:\n{self.log}") from None

    def wait_for(self, there: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
        """Look until `there()`. Raises GaveUpError saying `what` was wanted, at once if the process has ended."""
        deadline = time.monotonic() + within_s
        pause = threading.Event()
        while not there():
            if self.ended:
                if there():
                    return
                raise GaveUpError(
                    f"waited for {what}, but it ended with {self.process.returncode}:\n{self.log}"
                )
            if time.monotonic() >= deadline:
                raise GaveUpError(f"waited {within_s} s for {what}; its log:\n{self.log}")
            pause.wait(LOOK_S)

    def wait_line(self, text: str, within_s: float = WAIT_S) -> None:
        """Look until it has printed `text`."""
        self.wait_for(lambda: text in self.log, f"the line {text!r}", within_s)

    def close(self) -> None:
        """End it if it still runs."""
        if not self.ended:
            self.signal(signal.SIGKILL)
            self.process.wait(WAIT_S)


class LocalPlug:
    """A connection to the cell's Unix socket, one request at a time."""

    def __init__(self, path: Path) -> None:
        self._plug = socket.socket(socket.AF_UNIX)
        self._plug.settimeout(WAIT_S)
        try:
            self._plug.connect(str(path))
        except OSError:
            self._plug.close()
            raise
        self._lines = self._plug.makefile("rb")

    def ask(self, request: Record) -> Record:
        """The reply. Raises OSError where the cell has gone."""
        self._plug.sendall(json.dumps(request).encode() + b"\n")
        line = self._lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the cell closed its socket")
        reply: Record = json.loads(line)
        return reply

    def close(self) -> None:
        self._lines.close()
        self._plug.close()


class Service:
    """One cell's service process on `directory`; `start` it, `kill` it, start it again on the same journal.

    broker: "host:port" or None. board: "sim", or "remote:HOST:PORT" of a board server. auto: Clear and Reset are given
    by the service after a start, as on any simulated board.
    """

    def __init__(
        self,
        directory: Path,
        run_dir: Path,
        *,
        speed: float = 10.0,
        broker: str | None = None,
        board: str = "sim",
        auto: bool = True,
    ) -> None:
        self.directory = directory
        self.run_dir = run_dir
        self.speed = speed
        self.broker = broker
        self.board_name = board
        self.auto = auto
        self.trace: Path | None = None
        self.child: Child | None = None
        self.plug: LocalPlug | None = None
        self.plant: CellClient | None = None
        self.observer: Observer | None = None
        self._asked = 0
        self._orders = 0
        self._trouble = ""

    # --- the process ---

    def start(self, wait: bool = True, **environment: str) -> "Service":
        """Start the process and wait until it answers."""
        words = ["-m", "cell_controller.cpython.service", str(self.directory)]
        words += ["--speed", str(self.speed), "--board", self.board_name]
        words += ["--broker", self.broker] if self.broker else []
        words += [] if self.auto else ["--no-auto"]
        words += ["--trace", str(self.trace)] if self.trace else []
        environment = {"XDG_RUNTIME_DIR": str(self.run_dir), **environment}
        self.child = Child(words, self.run_dir / "service.log", environment)
        if wait:
            self.wait_up()
        return self

    def wait_up(self) -> None:
        """Wait until the process answers on its socket."""
        try:
            self.running.wait_for(self.connect, "a connection to the local socket")
        except GaveUpError as error:
            there = sorted(path.name for path in self.run_dir.iterdir())
            raise GaveUpError(f"{error}\nlast: {self._trouble}; {self.run_dir} has {there}") from error

    def connect(self) -> bool:
        """Whether there is a connection to this process; makes it where it can be made."""
        if self.plug is None:
            try:
                registered = json.loads((self.run_dir / f"{NAME}.json").read_text())
                if registered["pid"] != self.running.process.pid:
                    self._trouble = f"process {registered['pid']} is registered"
                    return False
                self.plug = LocalPlug(Path(registered["socket"]))
            except (OSError, ValueError) as error:
                self._trouble = repr(error)
                return False
        return True

    @property
    def running(self) -> Child:
        """The process. Raises AssertionError before the first start."""
        assert self.child is not None, "the service was not started"
        return self.child

    @property
    def log(self) -> str:
        return self.running.log

    def disconnect(self) -> None:
        """Let go of the connections to the process."""
        for connection in (self.plug, self.plant):
            if connection is not None:
                connection.close()
        self.plug = self.plant = None

    def kill(self) -> "Service":
        """SIGKILL, as a power cut does to a process."""
        self.running.signal(signal.SIGKILL)
        self.running.wait_end()
        self.disconnect()
        return self

    def terminate(self, number: int = signal.SIGTERM, within_s: float = WAIT_S) -> int:
        """SIGTERM (or another) and wait for the end; the exit code."""
        self.running.signal(number)
        code = self.running.wait_end(within_s)
        self.disconnect()
        return code

    def restart(self) -> "Service":
        """Kill it and start it again on the same journal."""
        return self.kill().start()

    def close(self) -> None:
        """End of the test: nothing is left."""
        self.disconnect()
        if self.observer is not None:
            self.observer.close()
        if self.child is not None:
            self.child.close()

    # --- asking ---

    def ask(self, verb: str, **args: Any) -> Record:
        """A request over the local socket and its reply, accepted or refused."""
        self._asked += 1
        request = {
            "id": f"t{self.running.process.pid}-{self._asked}",
            "issuer": "bench",
            "verb": verb,
            **args,
        }
        if self.plug is None:
            self.wait_up()
        assert self.plug is not None
        try:
            return self.plug.ask(request)
        except OSError as error:
            raise GaveUpError(f"no reply to {verb} {args}: {error}; its log:\n{self.log}") from error

    def over_mqtt(self, verb: str, **args: Any) -> Record:
        """A request as a plant's system sends it, and its reply."""
        if self.plant is None:
            assert self.broker, "this service has no broker"
            host, _, port = self.broker.rpartition(":")
            self.plant = CellClient.mqtt(host, int(port), BASE, WAIT_S)
        try:
            return self.plant.request(verb, **args)
        except (TimeoutError, OSError) as error:
            raise GaveUpError(
                f"no reply to {verb} {args} over MQTT: {error}; its log:\n{self.log}"
            ) from error

    def order(self, product: str, count: int = 1, order_id: str = "", **options: Any) -> "Service":
        """Order as the plant does, over MQTT where there is a broker. Raises AssertionError if it is refused."""
        self._orders += 1
        order_id = order_id or f"ord-{self._orders}"
        if self.state == "Aborted":
            self.run_until(lambda: self.state in ("Idle", "Execute"), "Idle")
        send = self.over_mqtt if self.broker else self.ask
        reply = send("order.submit", order_id=order_id, product=product, count=count, options=options)
        assert reply["ok"], reply["text"]
        return self

    def command(self, name: str, **args: Any) -> Record:
        """A command as the person at the machine."""
        return self.ask("command", command=name, **args)

    def answer(self, answer: str) -> Record:
        """Answer the question about the interrupted item."""
        return self.ask("answer", answer=answer)

    def fault(self, name: str, on: bool = True) -> "Service":
        """Turn a named fault of the simulated board on or off."""
        reply = self.ask("fault", name=name, on=on)
        assert reply["ok"], reply["text"]
        return self

    def make_ready(self) -> "Service":
        """Clear and Reset, each given once the state allows it, until the cell is Idle or works."""
        self.run_to("Aborted")
        assert self.command("clear")["ok"]
        self.run_to("Stopped")
        assert self.command("reset")["ok"]
        return self.run_until(lambda: self.state in ("Idle", "Starting", "Execute"), "Idle")

    # --- waiting and looking ---

    def run_until(self, condition: Callable[[], bool], what: str, within_s: float = WAIT_S) -> "Service":
        """Look until `condition()`; GaveUpError with the log if it does not come in real time."""
        self.running.wait_for(condition, what, within_s)
        return self

    def run_to(self, state: str, within_s: float = WAIT_S) -> "Service":
        return self.run_until(lambda: self.state == state, f"state {state}", within_s)

    def run_to_step(self, step: str, within_s: float = WAIT_S) -> "Service":
        return self.run_until(lambda: self.step == step, f"step {step}", within_s)

    def run(self, within_s: float = 60.0) -> Record:
        """Until every open order is made; the record of the last item."""
        self.run_until(lambda: self.view["queue"] == 0, "every order made", within_s)
        return self.records[-1]

    def query(self, what: str, **args: Any) -> Record:
        reply = self.ask("query", what=what, **args)
        assert reply["ok"], reply["text"]
        data: Record = reply["data"]
        return data

    @property
    def view(self) -> Record:
        return self.query("state")

    @property
    def state(self) -> str:
        return str(self.view["state"])

    @property
    def reason(self) -> str:
        return str(self.view["reason"])

    @property
    def question(self) -> str:
        return str(self.view["question"].get("text", ""))

    @property
    def step(self) -> str:
        return str(self.view["item"].get("step", ""))

    def output(self, name: str) -> float:
        """What the controller says it drives, in units."""
        return float(self.view["outputs"][name])

    @property
    def records(self) -> list[Record]:
        """The as-built records, oldest first."""
        items: list[Record] = self.query("items")["items"]
        return items

    @property
    def alarms(self) -> list[str]:
        return [str(entry["text"]) for entry in self.query("alarms")["alarms"]]

    @property
    def damage(self) -> list[str]:
        """What the plant suffered, as its board server saw it; nothing can be said of a board inside the service."""
        return list(self.observer.observe()["damage"]) if self.observer is not None else []


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old` in a text file, at once as an editor does. Raises AssertionError if it is not there."""
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    half = path.with_suffix(".half")
    half.write_text(text.replace(old, new))
    with suppress(FileNotFoundError):
        half.replace(path)
