"""The bench's words for a service process on a board in a third process: a scenario written for one runs on the other.

Orders come over MQTT as from a plant, commands from the machine; outputs and the plant are read at the board. What only
virtual time can promise ("in that very scan") is looked at a few scans later here.
"""

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from board.remote import Observer
from cell_controller.core import codec
from cell_controller.core import events as ev
from cell_controller.cpython.journal_file import connect_reader
from host_tools.cellfile import compile_cell
from tests.service.process import WAIT_S, Record, Service

MORE_SCANS = 2  # a query is answered before its scan, and a fault seen in the scan after it came


class ServiceBench(Service):
    """A service that waits for a person's Clear and Reset, as the bench does."""

    def __init__(self, directory: Path, run_dir: Path, observer: Observer, **settings: Any) -> None:
        super().__init__(directory, run_dir, auto=False, **settings)
        self.observer = observer
        self._eyes = observer
        spec = compile_cell(directory, "sim").spec
        self._names = [str(entry["name"]) for entry in spec["outputs"]]

    def order(self, product: str, count: int = 1, order_id: str = "", **options: Any) -> "ServiceBench":
        """Order over MQTT, clearing and resetting the cell first if it has just been started."""
        if self.state == "Aborted" and not [
            a for a in self.query("alarms")["alarms"] if a["consequence"] != "none"
        ]:
            self.make_ready()
        super().order(product, count, order_id, **options)
        return self

    def order_verb(self, verb: str, order_id: str, **args: Any) -> Record:
        """An ISA-95 verb on an order, over MQTT."""
        return self.over_mqtt(f"order.{verb}", order_id=order_id, **args)

    def scan(self, count: int = 1) -> "ServiceBench":
        """At least this many scans: each query is answered in another one."""
        for _ in range(count + MORE_SCANS):
            self.query("faults")
        return self

    def run_for(self, seconds: float) -> "ServiceBench":
        """Until the board's clock has gone on so far."""
        end = self._tick() + seconds * 1000
        self.run_until(lambda: self._tick() >= end, f"{seconds} s of the board's clock", WAIT_S + seconds)
        return self

    def _tick(self) -> int:
        return int(self._eyes.observe()["tick_ms"])

    def run_to_output(self, name: str, at_least: int = 1, within_s: float = WAIT_S) -> "ServiceBench":
        self.run_until(lambda: self.output(name) >= at_least, f"output {name} >= {at_least}", within_s)
        return self

    @property
    def outputs(self) -> dict[str, int]:
        """Every output as it really is at the board, in steps of its resolution."""
        seen: dict[str, int] = self._eyes.observe()["outputs"]
        return {name: seen[name] for name in self._names}

    def output(self, name: str) -> int:
        return self.outputs[name]

    @property
    def records(self) -> list[Record]:
        """The as-built records as they stand in the journal."""
        found: list[Record] = []
        with closing(connect_reader(self.directory / ".run" / "journal")) as connection:
            for (record,) in connection.execute("SELECT record FROM facts ORDER BY seq"):
                if ev.fields(record)[2] == ev.ITEM_END:
                    built: Any = codec.unpack(record[ev.SIZE :])
                    found.append(built)
        return found

    @property
    def counts(self) -> tuple[int, int]:
        view = self.view
        return int(view["good"]), int(view["scrapped"])

    def job_state(self, order_id: str) -> str:
        return str(self.query("order", order_id=order_id)["state"])

    @property
    def made(self) -> list[Record]:
        """The parts that left and what was really done to them."""
        parts: list[Record] = self._eyes.observe()["plant"]["made"]
        return parts

    @property
    def board(self) -> SimpleNamespace:
        """For `cell.board.plant.made`: what has really been done to the parts that left."""
        plant = self._eyes.observe()["plant"]
        made = [SimpleNamespace(**part, hottest=part["hottest_degc"]) for part in plant["made"]]
        return SimpleNamespace(plant=SimpleNamespace(made=made))
