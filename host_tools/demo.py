"""`cellctl demo`: a simulated paint cell makes a dozen customised orders that come over MQTT, as a customer's would.

Everything it starts is a child of this process and ends with it; what it writes is in a temporary directory that is
removed at the end.
"""

import ctypes
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from cell_controller.errors import NoSuchCellError
from host_tools.commands_common import Client, reachable
from host_tools.new import example_directory
from host_tools.output import DONE, NOT_REACHABLE, REFUSED, TIMED_OUT, Output, ToolError, item_table
from host_tools.watch import CellScreen, Feed, show

UP_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
ANSWER_WITHIN_S = 5.0
STUCK_AFTER_S = 20.0
SERVICE = "cell_controller.cpython.service"
PLANNED_S = 12 * 60.0  # generous: what the dozen takes in the cell's time
LABELS = {"airflow": "air", "panel_temp": "panel", "paint_flow": "paint"}
PATTERN = "Ancient Hunting: green 6, navy 4, black 2, red 1, repeat mirrored\n"

PR_SET_PDEATHSIG = 1

Order = tuple[str, dict[str, str]]


def orders() -> list[Order]:
    """The dozen: every product, every colour, two tartan roofs from a customer's pattern, some names."""
    pattern = hashlib.sha256(PATTERN.encode()).hexdigest()
    return [
        ("bonnet", {"colour": "burgundy"}),
        ("bonnet", {"colour": "green", "finish": "gloss"}),
        ("bonnet", {"colour": "burgundy", "pinstripe": "Ada"}),
        ("roof", {"colour": "tartan", "pattern": pattern}),
        ("bonnet", {"colour": "primer"}),
        ("roof", {"colour": "green"}),
        ("bonnet", {"colour": "green", "pinstripe": "No. 7"}),
        ("roof", {"colour": "burgundy", "finish": "gloss"}),
        ("bonnet", {"colour": "burgundy", "finish": "gloss"}),
        ("roof", {"colour": "primer"}),
        ("roof", {"colour": "tartan", "pattern": pattern, "pinstripe": "Flora"}),
        ("bonnet", {"colour": "green"}),
    ]


def base_topic(directory: Path) -> tuple[str, str]:
    """(name of the cell, its topic) out of its cell.toml."""
    with (directory / "cell.toml").open("rb") as file:
        cell = tomllib.load(file)["cell"]
    name = str(cell["name"])
    return name, "/".join(part for part in (str(cell.get("path", "")), name) if part)


def demo(out: Output, speed: float, serve: bool, plain: bool) -> int:
    """Run the demo; 0 only if every order was made good."""
    directory = example_directory()
    name, base = base_topic(directory)
    with _sigterm_as_interrupt(), tempfile.TemporaryDirectory(prefix="cell-demo-") as scratch:
        from cell_controller.cpython.broker import start_broker
        from host_tools.client import CellClient

        broker = start_broker()
        try:
            out.line(f"MQTT broker: {broker}")
            address = f"{broker.host}:{broker.port}"
            with _Child(directory, address, speed, Path(scratch)) as child:
                out.line(
                    f"cell {name}: process {child.pid}, {speed:g} times as fast as real, topics {base}/#"
                )
                with reachable():

                    def connect(timeout_s: float) -> Client:
                        return CellClient.mqtt(broker.host, broker.port, base, timeout_s)

                    return _Run(out, connect, child, name).run(speed, serve, plain)
        finally:
            broker.stop()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """A polite kill ends the demo like Ctrl-C does, so that nothing is left running."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Child:
    """The controller as a process of its own, as on a real cell; stopped, at worst killed, when the block ends."""

    def __init__(self, directory: Path, broker: str, speed: float, scratch: Path) -> None:
        self._log = scratch / "service.log"
        command = [sys.executable, "-m", SERVICE, str(directory), "--board", "sim"]
        command += ["--speed", f"{speed:g}", "--journal", str(scratch / "journal"), "--broker", broker]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops the cell in order
                preexec_fn=end_with_parent(),
            )
        self.pid = self._process.pid

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raises ToolError if the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise ToolError(f"the cell ended with code {code}: {self.last_words()}", NOT_REACHABLE)

    def last_words(self) -> str:
        """The last line it printed."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def end_with_parent() -> Callable[[], None] | None:
    """What a child runs first so that on Linux it gets a SIGTERM even if this process is killed with -9."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class _Run:
    """One run against a cell that is coming up."""

    def __init__(self, out: Output, connect: Callable[[float], Client], child: "_Child", name: str) -> None:
        self._out = out
        self._connect = connect
        self._child = child
        self._screen = CellScreen(name, LABELS, clock=lambda: time.strftime("%H:%M:%S"))
        self._feed = Feed(self._screen, lambda: connect(ANSWER_WITHIN_S))
        self._orders = orders()
        self._screen.orders = len(self._orders)
        self._failure = ""
        self._progress = ""
        self._moved_at = 0.0
        self._deadline = 0.0

    def run(self, speed: float, serve: bool, plain: bool) -> int:
        """Order, show, report; the exit code."""
        self._wait_until_up()
        client = self._connect(ANSWER_WITHIN_S)
        try:
            for number, (product, options) in enumerate(self._orders, start=1):
                self._submit(client, number, product, options)
        finally:
            client.close()
        self._out.line(f"{len(self._orders)} orders submitted")
        self._show(speed, plain)
        client = self._connect(ANSWER_WITHIN_S)
        try:
            code = self._report(client)
        finally:
            client.close()
        self._out.line()
        for line in next_commands(serving=serve):
            self._out.line(line)
        if serve:
            self._serve()
        return code

    def _wait_until_up(self) -> None:
        limit = time.monotonic() + UP_WITHIN_S
        client = self._connect(1.0)  # short looks, so that a cell that ends instead is noticed soon
        try:
            while True:
                self._child.check()
                try:
                    if client.request("query", what="state").get("ok"):
                        return
                except (TimeoutError, NoSuchCellError):
                    pass  # it is not at the broker yet
                if time.monotonic() > limit:
                    said = self._child.last_words()
                    raise ToolError(
                        f"the cell did not come up within {UP_WITHIN_S:g} s: {said}", NOT_REACHABLE
                    )
        finally:
            client.close()

    def _submit(self, client: Client, number: int, product: str, options: dict[str, str]) -> None:
        reply = client.request(
            "order.submit", order_id=f"shop-{100 + number}", product=product, count=1, options=options
        )
        if not reply.get("ok"):
            raise ToolError(f"order {number}: {reply.get('text')}", REFUSED)

    def _show(self, speed: float, plain: bool) -> None:
        console = Console()
        self._moved_at = time.monotonic()
        self._deadline = self._moved_at + PLANNED_S / speed + STUCK_AFTER_S
        self._feed.start()
        try:
            show(
                [self._screen],
                self._refresh,
                console,
                plain=plain or not console.is_terminal or self._out.as_json,
                line=self._out.line,
                pause=time.sleep,
            )
        finally:
            self._feed.close()

    def _refresh(self) -> bool:
        """Take in what the cell said; False when all is made, or when nothing more will come."""
        self._child.check()
        self._feed.drain()
        screen, wanted = self._screen, len(self._orders)
        good = int(screen.view.get("good", 0))
        if good >= wanted and not screen.view.get("order"):
            return False
        now = time.monotonic()
        progress = f"{screen.headline()} {screen.view.get('scrapped')}"
        if progress != self._progress:
            self._progress, self._moved_at = progress, now
        stuck = now - self._moved_at > STUCK_AFTER_S and screen.view.get("state") != "Execute"
        if stuck or now > self._deadline:
            self._failure = screen.trouble() or f"{screen.title()}: nothing moves"
            return False
        return True

    def _report(self, client: Client) -> int:
        items = [
            dict(item) for item in (client.request("query", what="items").get("data") or {}).get("items", [])
        ]
        good = sum(1 for item in items if item.get("result") == "good")
        done = good >= len(self._orders) and not self._failure
        text = self._failure or f"{good} of {len(self._orders)} made good, {len(items) - good} scrapped"
        self._out.result({"ok": done, "items": items, "text": text})
        self._out.line()
        item_table(items, self._out)
        self._out.line()
        if self._failure:
            self._out.note(f"not all was made: {self._failure}")
            return TIMED_OUT
        self._out.line(text)
        return DONE if done else REFUSED

    def _serve(self) -> None:
        self._out.line()
        self._out.line("the cell stays up; Ctrl-C ends it")
        try:
            while True:
                self._child.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            self._out.line("stopped")


def cellctl_command() -> str:
    """What to type for `cellctl` here: its name if the shell finds it, else its path beside this Python."""
    if shutil.which("cellctl"):
        return "cellctl"
    beside = Path(sys.executable).parent / "cellctl"
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)


def next_commands(serving: bool) -> list[str]:
    """The three commands to try next, each of which works as it stands."""
    command = cellctl_command()
    if serving:
        tries = [
            ("watch", "this cell, live"),
            ("order submit roof colour=green", "one more"),
            ("fault clamp.jam", "let the clamp jam"),
        ]
    else:
        tries = [
            ("new mycell", "a small cell of your own"),
            ("run mycell --board sim", "run it"),
            ("order submit bonnet colour=burgundy", "in a second terminal: order something"),
        ]
    width = max(len(words) for words, _ in tries) + len(command) + 1
    return ["try next:", *[f"  {f'{command} {words}'.ljust(width)}   {why}" for words, why in tries]]
