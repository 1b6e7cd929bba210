"""The driver against libmodbus, which shares no line of code with it."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.board.libmodbus_server import library
from tests.board.modbus_desk import Desk
from tests.board.modbus_plans import describe, plan_of
from tests.board.pty_line import PtyLine

ROOT = Path(__file__).resolve().parents[2]
DEVICE = """
[device]
name = "what libmodbus serves"
gap = 4
[points]
di3 = { table = "discrete", address = 3 }
di9 = { table = "discrete", address = 9 }
ai0 = { table = "input", address = 0, type = "u16" }
power = { table = "input", address = 4, type = "f32", resolution = 0.5, range = [-1000, 1000], unit = "W" }
do2 = { table = "coil", address = 2, access = "out" }
do3 = { table = "coil", address = 3, access = "out" }
ao5 = { table = "holding", address = 5, type = "i32", word_order = "little", range = [-70000, 70000], access = "out" }
beyond = { table = "input", address = 30, type = "u16" }
"""
POINTS = ("link", "di3", "di9", "ai0", "power", "do2", "do3", "ao5")
FRAMING: dict[str, dict[str, Any]] = {
    "tcp": {},
    "8N1": {"baud": 9600},
    "8E1": {"baud": 19200, "parity": "even"},
}

pytestmark = pytest.mark.skipif(library() is None, reason="needs libmodbus: apt-get install libmodbus5")


class Libmodbus:
    """The server in a process of its own."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "tests.board.libmodbus_server", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "libmodbus_server ended"
        return line

    def ask(self, command: str) -> str:
        """Its answer to a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self._line().strip()

    def holds(self, table: str, first: int, *values: int) -> bool:
        """Whether its memory has these values."""
        return [int(self.ask(f"get {table} {first + k}")) for k in range(len(values))] == [*values]

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(5)
        self.process.stdout.close()


@pytest.fixture(params=[*FRAMING])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Libmodbus, Desk]]:
    describe(tmp_path, "theirs", DEVICE)
    table = {"model": "theirs", "answer_ms": 200, **FRAMING[request.param]}
    with PtyLine(tmp_path) as line:
        if request.param == "tcp":
            server = Libmodbus(["tcp"])
            address = f"tcp://127.0.0.1:{server.port}"
        else:
            parity = "E" if "parity" in table else "N"
            server = Libmodbus(["rtu", line.far, str(table["baud"]), parity])
            address = line.near
        points = (*POINTS, "beyond") if "not_there" in request.node.name else POINTS
        try:
            desk = Desk([plan_of("io1", points, tmp_path, address=address, **table)])
            yield server, desk
            desk.close()
        finally:
            server.close()


def test_every_table_and_type_goes_there_and_back(there: tuple[Libmodbus, Desk]) -> None:
    server, desk = there
    desk.arm()
    for command in ("set discrete 9 1", "set input 0 60000", "set input 4 49903", "set input 5 16384"):
        server.ask(command)  # 0xC2EF4000 is -119.625
    desk.until("read", lambda: desk.value("io1:power") == -239)
    assert (desk.value("io1:di3"), desk.value("io1:di9"), desk.value("io1:ai0")) == (0, 1, 60_000)
    desk.drive("io1:do3", 1)
    desk.drive("io1:ao5", -65_537)
    desk.until("written", lambda: server.holds("holding", 5, 0xFFFF, 0xFFFE))
    assert server.holds("coil", 2, 0, 1)
    desk.drive("io1:do2", 1)
    desk.drive("io1:do3", 0)
    desk.until("written", lambda: server.holds("coil", 2, 1, 0))
    assert desk.status("io1").fault == ""


def test_what_is_not_there_is_refused_in_words(there: tuple[Libmodbus, Desk]) -> None:
    _, desk = there
    desk.until("refused", lambda: "illegal data address" in desk.status("io1").fault)
    desk.until("good", lambda: desk.good("io1:di3"))
    assert desk.bad("io1:beyond")


@pytest.mark.parametrize("there", ["tcp"], indirect=True)
def test_a_connection_that_it_closes_is_opened_again(there: tuple[Libmodbus, Desk]) -> None:
    server, desk = there
    desk.arm()
    desk.drive("io1:do2", 1)
    desk.until("written", lambda: server.holds("coil", 2, 1))
    server.ask("drop")
    desk.until("lost", lambda: desk.status("io1").losses == 1)
    desk.until("back and safe", lambda: server.holds("coil", 2, 0))
    desk.until("good", lambda: desk.good("io1:di3"))
