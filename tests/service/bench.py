"""The bench's words for a service process on a board in a third process: a scenario written for one runs on the other.

Orders come over MQTT as from a plant, commands from the machine; outputs and the plant are read at the board.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

from board.remote import Observer
from cell_controller.core import codec
from cell_controller.core import events as ev
from cell_controller.cpython.journal_file import connect_reader
from hil.asked_bench import AskedBench
from host_tools.cellfile import compile_cell
from tests.service.process import Record, Service


class ServiceBench(AskedBench):
    """A service that waits for a person's Clear and Reset, as the bench does."""

    def __init__(self, directory: Path, run_dir: Path, observer: Observer, **settings: Any) -> None:
        spec = compile_cell(directory, "sim").spec
        super().__init__(observer, [str(entry["name"]) for entry in spec["outputs"]])
        self.service = Service(directory, run_dir, auto=False, **settings)

    def ask(self, verb: str, **args: Any) -> Record:
        return self.service.ask(verb, **args)

    def ask_as_plant(self, verb: str, **args: Any) -> Record:
        return self.service.over_mqtt(verb, **args)

    def describe(self) -> str:
        return f"{super().describe()}; its log:\n{self.service.log}"

    def restart(self) -> "ServiceBench":
        """Kill it and start it again on the same journal."""
        self.service.restart()
        return self

    @property
    def records(self) -> list[Record]:
        """The as-built records as they stand in the journal."""
        found: list[Record] = []
        with closing(connect_reader(self.service.directory / ".run" / "journal")) as connection:
            for (record,) in connection.execute("SELECT record FROM facts ORDER BY seq"):
                if ev.fields(record)[2] == ev.ITEM_END:
                    built: Any = codec.unpack(record[ev.SIZE :])
                    found.append(built)
        return found
