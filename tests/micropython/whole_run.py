"""One order from the plant to the end on a stand-in board whose link is over TLS, and what it took of the board."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.bench import BenchError
from hil.standin import StandIn
from hil.standin_bench import HEAP_KB, SPEED, StandInBench
from host_tools.client import CellClient
from host_tools.provision import CERTIFICATE, SETTINGS, provision, read_certificate, read_settings
from tests.micropython.tls_broker import Secured
from tests.service.process import BASE, ROOT

CELL = ROOT / "examples" / "paint_cell"
WAIT_S = 30.0
ITEM_S = 120.0
Record = dict[str, Any]


def give_settings(flash: Path, text: str, certificate: Path | None = None) -> None:
    """Put settings (TOML) and a certificate onto the board of `flash`, as `cellctl provision` does."""
    settings = flash.with_suffix(".toml")
    settings.write_text(text)
    files = {SETTINGS: read_settings(settings)}
    if certificate is not None:
        files[CERTIFICATE] = read_certificate(certificate)
    with StandIn(flash, heap_kb=HEAP_KB, speed=SPEED) as board:
        outcome = provision(board.port, files)
    if not outcome.ok:
        raise BenchError(f"the board did not take its settings: {outcome.text}")


def give_tls(flash: Path, secured: Secured) -> None:
    """The settings for a broker that wants TLS, a user and a password."""
    lines = ['serial = "tls-1"', "[wifi]", 'ssid = "hall 3"', 'password = "correct horse"', "[broker]"]
    lines += [
        'host = "localhost"',
        f"port = {secured.port}",
        'user = "cell"',
        'password = "right"',
        "tls = true",
    ]
    give_settings(flash, "\n".join(lines), secured.ca)


def give_plain(flash: Path, secured: Secured) -> None:
    """The settings for the same broker's port without TLS."""
    lines = ["[broker]", 'host = "127.0.0.1"', f"port = {secured.plain_port}", 'user = "cell"']
    give_settings(flash, "\n".join([*lines, 'password = "right"']))


@contextmanager
def plant(secured: Secured) -> Iterator[CellClient]:
    """Somebody at the same broker who needs no TLS."""
    host, port = secured.broker.host, secured.plain_port
    with CellClient.mqtt(host, port, BASE, WAIT_S, username="cell", password="right") as client:
        yield client


class Heard:
    """What a cell publishes from now on, by topic; leave it by `close`."""

    def __init__(self, client: CellClient) -> None:
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._said: list[tuple[str, Any]] = []
        self._at: list[float] = []
        self._thread = threading.Thread(target=client.watch, args=(self._hear, self._stop), daemon=True)
        self._thread.start()

    def _hear(self, topic: str, value: Any) -> None:
        with self._changed:
            self._said.append((topic, value))
            self._at.append(time.perf_counter())
            self._changed.notify_all()

    def wait_for(self, topic: str, wanted: Callable[[Any], bool], within_s: float = WAIT_S) -> Any:
        """The first value of a topic that is `wanted`. Raises BenchError with the topics that came instead."""

        def found() -> list[Any]:
            return [value for name, value in self._said if name == topic and wanted(value)]

        with self._changed:
            if not self._changed.wait_for(found, within_s):
                raise BenchError(
                    f"no such {topic} within {within_s} s; heard {sorted({t for t, _ in self._said})}"
                )
            return found()[0]

    def first_at(self, topic: str) -> float:
        """When the first value of a topic came, by `time.perf_counter`."""
        return next(at for (name, _), at in zip(self._said, self._at, strict=True) if name == topic)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(WAIT_S)


@dataclass
class Run:
    """What one run showed."""

    item: Record
    damage: list[str]
    free_at_boot: int
    free_after: int
    state: Record
    crashes: Record


def whole_run(flash: Path, secured: Secured, heap_kb: int = HEAP_KB, speed: float = SPEED) -> Run:
    """Order over the broker, wait for the item there. Raises BenchError with what the board said instead."""
    bench = StandInBench(CELL, flash, speed, heap_kb)
    try:
        free = int(bench.ask("about")["data"]["heap_free"])
        bench.run_until(lambda: bool(bench.view["link"]["connected"]), "the link over TLS")
        bench.make_ready()
        with plant(secured) as client, plant(secured) as watcher:
            heard = Heard(watcher)
            try:
                options = {"colour": "burgundy", "pinstripe": "Ada"}
                reply = client.request(
                    "order.submit", order_id="ord-1", product="bonnet", count=1, options=options
                )
                if not reply["ok"]:
                    raise BenchError(f"order refused: {reply['text']}")
                item = heard.wait_for(
                    "items", lambda item: item["order_id"] == "ord-1", WAIT_S + ITEM_S / speed
                )
            finally:
                heard.close()
        bench.run_until(lambda: bool(bench.view["queue"] == 0), "every order made")
        about = bench.ask("about")["data"]
        return Run(item, bench.damage, free, int(about["heap_free"]), bench.view, about["crashes"])
    except BenchError as error:
        crashes = bench.ask("about")["data"]["crashes"]
        raise BenchError(f"{error}; crashes {crashes['in_a_row']}: {crashes['last']}") from None
    finally:
        bench.close()


def seconds_to_state(flash: Path, secured: Secured, heap_kb: int) -> tuple[float, float]:
    """From power-on, in real time, to the application's word that it is well, and to its state at the broker."""
    with plant(secured) as watcher:
        heard = Heard(watcher)
        try:
            begun = time.perf_counter()
            bench = StandInBench(CELL, flash, 1.0, heap_kb)
            try:
                well = time.perf_counter() - begun
                heard.wait_for("state", lambda state: state["state"] == "Aborted")
                return well, heard.first_at("state") - begun
            finally:
                bench.close()
        finally:
            heard.close()
