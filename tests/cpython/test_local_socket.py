"""The console on the machine: requests and replies by lines, and tools that behave badly."""

import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cell_controller.core.envelope import Request
from cell_controller.cpython import local_socket
from cell_controller.cpython.local_socket import LocalServer
from cell_controller.errors import BrokerError, CellError, NoSuchCellError
from host_tools import client as client_module
from host_tools.client import CellClient
from tests.cpython.link_bench import WAIT_S, wait_for


@pytest.fixture(autouse=True)
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    return path


class Cell:
    """A server and, when `answering`, somebody who answers its requests with their arguments."""

    def __init__(self, name: str = "paint-1", size: int = 16) -> None:
        self.requests: queue.Queue[Request] = queue.Queue(size)
        self.server = LocalServer(local_socket.socket_path(name), self.requests)
        self.server.start()
        self.done = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def answering(self) -> "Cell":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(WAIT_S)
        assert self.server.stop(WAIT_S)

    def _answer(self) -> None:
        while not self._ending.is_set():
            try:
                request = self.requests.get(timeout=0.05)
            except queue.Empty:
                continue
            self.done += 1
            data: dict[str, object] = {**request.args, "origin": request.origin}
            if request.args.get("what") == "items":
                data["items"] = ["x" * 1000] * 100
            reply = {"ok": True, "code": 0, "name": "accepted", "text": "done", "data": data}
            self.server.offer_reply(request.token, reply)


@pytest.fixture
def make_cell() -> Iterator[Callable[..., Cell]]:
    made: list[Cell] = []

    def make(*args: Any) -> Cell:
        made.append(Cell(*args))
        return made[-1]

    yield make
    for cell in made:
        cell.stop()


@pytest.fixture
def cell(make_cell: Callable[..., Cell]) -> Cell:
    return make_cell().answering()


class Plug:
    """A raw connection to a server."""

    def __init__(self, cell: Cell) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(str(cell.server.path))
        self._lines = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._lines.readline())
        return reply

    def ended(self) -> bool:
        return self._lines.readline() == b""

    def __enter__(self) -> "Plug":
        return self

    def __exit__(self, *more: object) -> None:
        self._lines.close()
        self.socket.close()


def ask(number: int, **members: Any) -> bytes:
    message = {"id": f"q-{number}", "issuer": "me", "verb": "query", "what": "state", **members}
    return json.dumps(message).encode() + b"\n"


def test_requests_are_answered_line_by_line(cell: Cell) -> None:
    with Plug(cell) as plug:
        plug.send(ask(1) + b"\n" + ask(2)[:20])
        assert plug.reply()["id"] == "q-1"
        plug.send(ask(2)[20:])
        reply = plug.reply()
    assert (reply["id"], reply["data"]) == ("q-2", {"what": "state", "origin": "local"})


def test_a_command_needs_no_expiry_here_but_keeps_the_one_it_has(cell: Cell) -> None:
    with Plug(cell) as plug:
        plug.send(ask(1, verb="command", command="stop"))
        assert plug.reply()["ok"] is True
        plug.send(ask(2, verb="command", command="stop", expires_ms=1000))
        assert plug.reply()["name"] == "expired"


def test_a_repeated_command_is_answered_again_and_not_done_again(cell: Cell) -> None:
    with Plug(cell) as plug:
        for _ in range(3):
            plug.send(ask(1, verb="command", command="start"))
            assert plug.reply()["text"] == "done"
    assert cell.done == 1


@pytest.mark.parametrize(
    ("line", "name"), [(b"hello\n", "malformed"), (b"\xff\xfe\n", "malformed"), (b"{}\n", "malformed")]
)
def test_nonsense_is_refused_and_the_next_line_is_read(cell: Cell, line: bytes, name: str) -> None:
    with Plug(cell) as plug:
        plug.send(line + ask(1))
        assert plug.reply()["name"] == name
        assert plug.reply()["id"] == "q-1"


def test_a_line_without_end_is_refused_and_the_tool_is_dropped(cell: Cell) -> None:
    with Plug(cell) as plug:
        plug.send(b"x" * 20_000)
        assert plug.reply()["name"] == "too_long"
        assert plug.ended()


def test_what_does_not_fit_in_the_queue_is_refused_as_busy(make_cell: Callable[..., Cell]) -> None:
    with Plug(make_cell("full", 2)) as plug:
        plug.send(ask(1) + ask(2) + ask(3))
        reply = plug.reply()
    assert (reply["id"], reply["name"]) == ("q-3", "busy")


def test_a_tool_that_does_not_read_disturbs_nobody_and_is_dropped(cell: Cell) -> None:
    with Plug(cell) as deaf, Plug(cell) as other:
        for number in range(20):  # 100 KB of reply each, a megabyte may wait
            with suppress(BrokenPipeError):  # dropped already
                deaf.send(ask(number, what="items"))
            other.send(ask(number))
            assert other.reply()["id"] == f"q-{number}"
        wait_for(lambda: len(cell.server._clients) == 1, lambda: cell.server._clients)
        other.send(ask(99))
        assert other.reply()["id"] == "q-99"


def test_a_tool_that_dies_before_its_reply_disturbs_nobody(make_cell: Callable[..., Cell]) -> None:
    cell = make_cell()
    with Plug(cell) as dead:
        dead.send(ask(1))
        request = cell.requests.get(timeout=WAIT_S)
    cell.server.offer_reply(request.token, {"ok": True})
    cell.answering()
    with Plug(cell) as other:
        other.send(ask(2))
        assert other.reply()["id"] == "q-2"


def test_more_tools_than_allowed_are_sent_away(cell: Cell) -> None:
    plugs = [Plug(cell) for _ in range(local_socket.MAX_CLIENTS)]
    wait_for(lambda: len(cell.server._clients) == len(plugs), lambda: len(cell.server._clients))
    with Plug(cell) as late:
        assert late.ended()
    plugs[0].send(ask(1))
    assert plugs[0].reply()["id"] == "q-1"
    for plug in plugs:
        plug.__exit__()


def test_a_reply_that_is_no_json_costs_its_tool_only(make_cell: Callable[..., Cell]) -> None:
    cell = make_cell()
    with Plug(cell) as plug:
        plug.send(ask(1))
        cell.server.offer_reply(cell.requests.get(timeout=WAIT_S).token, {"data": 1.5})
        assert plug.ended()
    assert cell.answering().server._thread.is_alive()


def test_only_this_user_may_open_the_socket(cell: Cell) -> None:
    assert cell.server.path.stat().st_mode & 0o777 == 0o600


def test_a_second_server_on_the_same_socket_is_refused(cell: Cell) -> None:
    with pytest.raises(CellError, match="another process listens"):
        LocalServer(cell.server.path, queue.Queue())


def test_what_a_dead_process_left_is_replaced(run_dir: Path) -> None:
    path = local_socket.socket_path("paint-1")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    cell = Cell("paint-1")
    cell.stop()
    assert not path.exists()


def register(name: str, pid: int | None = None) -> Path:
    path = local_socket.register(
        name, Path("/cells") / name, local_socket.socket_path(name), "127.0.0.1", 1883, f"plant/{name}"
    )
    if pid is not None:
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": pid}))
    return path


def test_a_registered_cell_is_found_until_it_is_unregistered() -> None:
    register("paint-1")
    (found,) = local_socket.running_cells()
    assert found["name"] == "paint-1"
    assert found["pid"] == os.getpid()
    assert (found["broker_port"], found["base"]) == (1883, "plant/paint-1")
    assert client_module.running_cells() == ["paint-1"]
    local_socket.unregister("paint-1")
    local_socket.unregister("paint-1")
    assert local_socket.running_cells() == []


def test_what_a_dead_cell_left_is_removed(run_dir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    local_socket.socket_path("paint-1").touch()
    register("paint-1", pid=child.pid)
    assert local_socket.running_cells() == []
    assert list(run_dir.iterdir()) == []


def test_another_process_with_the_number_of_a_dead_cell_is_not_taken_for_it() -> None:
    register("paint-1", pid=os.getppid())
    assert local_socket.running_cells() == []


def test_files_of_other_programs_are_left_alone(run_dir: Path) -> None:
    other = run_dir / "other.json"
    other.write_text('{"pid": 1}')
    assert local_socket.running_cells() == []
    assert other.exists()


def test_one_cell_runs_once() -> None:
    source = (
        "import threading; from pathlib import Path; from cell_controller.cpython import local_socket as l;"
        " l.register('paint-1', Path('/cells/a'), l.socket_path('paint-1'), 'h', 1, 'b');"
        " print('registered', flush=True); threading.Event().wait()"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "registered\n"
        with pytest.raises(CellError, match=f"runs already as process {child.pid} from /cells/a"):
            register("paint-1")
        child.kill()


def test_a_directory_that_others_may_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    with pytest.raises(CellError, match="only you can write"):
        local_socket.run_dir()


def test_without_a_runtime_directory_there_is_one_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    path = local_socket.run_dir()
    assert path == tmp_path / f"cell-controller-{os.getuid()}"
    assert path.stat().st_mode & 0o777 == 0o700


def test_the_client_finds_the_cell_that_runs(cell: Cell) -> None:
    register("paint-1")
    with CellClient.local() as client:
        assert client.request("fault", name="clamp.jam", on=True)["data"]["name"] == "clamp.jam"
    with CellClient.local("paint-1") as client:
        assert client.request("query", what="state")["ok"] is True


def test_the_client_says_which_cells_there_are() -> None:
    with pytest.raises(NoSuchCellError, match=r"no cell runs on this machine.*cellctl run"):
        CellClient.local()
    register("paint-1")
    register("print-2")
    with pytest.raises(NoSuchCellError, match=r"2 cells run on this machine.*--cell.*paint-1, print-2"):
        CellClient.local()
    with pytest.raises(NoSuchCellError, match=r"no cell 'mill' runs.*paint-1, print-2"):
        CellClient.local("mill")


def test_the_client_says_when_the_cell_does_not_answer(make_cell: Callable[..., Cell]) -> None:
    make_cell()
    register("paint-1")
    with (
        CellClient.local(timeout_s=0.1) as client,
        pytest.raises(TimeoutError, match="paint-1 did not answer within"),
    ):
        client.request("query", what="state")


def test_the_client_says_when_the_cell_has_gone(make_cell: Callable[..., Cell]) -> None:
    cell = make_cell()
    register("paint-1")
    with CellClient.local() as client:
        cell.server.stop(WAIT_S)
        with pytest.raises(BrokerError, match="paint-1 has gone"):
            client.request("query", what="state")
    with pytest.raises(BrokerError, match="does not answer"):
        CellClient.local()


def test_watching_shows_the_state_when_it_changes(cell: Cell) -> None:
    register("paint-1")
    seen: list[Any] = []
    stop = threading.Event()

    def see(topic: str, value: object) -> None:
        seen.append((topic, value))
        stop.set()

    with CellClient.local() as client:
        client.watch(see, stop)
    assert seen == [("state", {"what": "state", "origin": "local"})]
