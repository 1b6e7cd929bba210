"""The console on the machine: a Unix socket that takes the same requests as the broker, one JSON object a line.

Who may open the file may command; nothing else is asked. Any number of tools may be connected (32 at once); one that
is slow, dead or talks nonsense is dropped and disturbs nobody. Beside the socket lies a file that says which cell runs
where, so that a tool finds it without being told.
"""

import json
import logging
import os
import queue
import selectors
import socket
import stat
import tempfile
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cell_controller.core import envelope, jsonwrite
from cell_controller.core.envelope import Desk, Request
from cell_controller.cpython.mqtt_link import Clock, RealClock
from cell_controller.errors import CellError

log = logging.getLogger("cell_controller.local")

MAX_CLIENTS = 32
MAX_UNREAD = 1 << 20  # bytes that may wait for a tool that does not read
READ_BYTES = 65_536


@dataclass
class _Client:
    plug: socket.socket
    number: int
    heard: bytearray = field(default_factory=bytearray)
    unread: bytearray = field(default_factory=bytearray)
    closing: bool = False  # after what is unread


class LocalServer:
    """Serves requests on the Unix socket `path` in a thread of its own; `offer_reply` returns at once.

    requests: where requests go, with origin "local"; what does not fit is refused as busy. Raises CellError if a
    living process has the socket already, OSError if the path cannot be used (it may have about 100 characters).
    """

    def __init__(self, path: Path, requests: "queue.Queue[Request]", clock: Clock | None = None) -> None:
        self.path = path
        self._requests = requests
        self._clock: Clock = clock if clock is not None else RealClock()
        self._desk = Desk()
        self._clients: dict[int, _Client] = {}
        self._next = 1
        self._replies: deque[tuple[object, dict[str, object]]] = deque(maxlen=1024)
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(path)
        self._wake_out, self._wake_in = socket.socketpair()
        for plug in (self._listener, self._wake_out, self._wake_in):
            plug.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="local-socket", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> bool:
        """Send the replies that wait, close and remove the socket; True if that was done within `timeout` seconds."""
        self._stopping = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout)
        elif self._thread.ident is None:  # never started
            self._close()
        return not self._thread.is_alive()

    def offer_reply(self, token: object, reply: dict[str, object]) -> None:
        """Answer the request that carried `token`; without effect if its sender has gone."""
        self._replies.append((token, reply))
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake already; closed: it has ended
            self._wake_in.send(b"!")

    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, mask in self._selector.select():
                    self._serve(key, mask)
                self._hand_out()
            self._hand_out()
        finally:
            self._close()

    def _close(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client)
        with suppress(OSError):
            self.path.unlink()
        for plug in (self._listener, self._wake_out, self._wake_in):
            plug.close()
        self._selector.close()

    def _serve(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.fileobj is self._listener:
            self._accept()
        elif key.fileobj is self._wake_out:
            with suppress(BlockingIOError):
                self._wake_out.recv(4096)
        else:
            client = self._clients.get(key.data)
            if client is not None and mask & selectors.EVENT_READ:
                self._read(client)
            if client is not None and client.number in self._clients and mask & selectors.EVENT_WRITE:
                self._write(client)

    def _accept(self) -> None:
        try:
            plug, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        if len(self._clients) >= MAX_CLIENTS:
            plug.close()
            log.warning("more than %d tools at once on %s; the newest is sent away", MAX_CLIENTS, self.path)
            return
        plug.setblocking(False)
        client = _Client(plug, self._next)
        self._next += 1
        self._clients[client.number] = client
        self._selector.register(plug, selectors.EVENT_READ, client.number)

    def _read(self, client: _Client) -> None:
        try:
            data = client.plug.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        if client.closing:
            return
        client.heard += data
        while not client.closing and (end := client.heard.find(b"\n")) >= 0:
            line = bytes(client.heard[:end])
            del client.heard[: end + 1]
            if line.strip():
                self._line(client, line)
        if (
            len(client.heard) > envelope.MAX_BYTES
        ):  # the end of this line is unknown, so is the next beginning
            self._line(client, bytes(client.heard))
            client.heard.clear()
            client.closing = True
        self._write(client)

    def _line(self, client: _Client, line: bytes) -> None:
        request, reply = self._desk.open(line, "local", self._clock.wall_ms())
        request.token = (client.number, request.key, request.id)
        if reply is None:
            try:
                self._requests.put_nowait(request)
                return
            except queue.Full:
                self._desk.forget(request.key)
                text = f"{request.id} was not taken: too many requests are waiting; send it again in a second"
                reply = envelope.refuse(request, envelope.BUSY, text)
        self._say(client, reply)

    def _hand_out(self) -> None:
        while self._replies:
            token, reply = self._replies.popleft()
            if not isinstance(token, tuple):
                log.error("a reply without the token of its request is lost: %r", reply)
                continue
            number, key, request_id = token
            body = {**reply, "id": request_id}
            if key:
                self._desk.answered(key, body)
            client = self._clients.get(number)
            if client is not None:
                self._say(client, body)
                self._write(client)

    def _say(self, client: _Client, reply: dict[str, object]) -> None:
        try:
            client.unread += jsonwrite.encode(reply) + b"\n"
        except ValueError as error:
            log.error("reply %r is no JSON: %s", reply, error)
            client.closing = True

    def _write(self, client: _Client) -> None:
        if client.unread:
            try:
                sent = client.plug.send(client.unread)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(client)
                return
            del client.unread[:sent]
        if len(client.unread) > MAX_UNREAD:
            log.warning("a tool on %s does not read its replies and is dropped", self.path)
            self._drop(client)
        elif client.closing and not client.unread:
            self._drop(client)
        else:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unread else 0)
            self._selector.modify(client.plug, events, client.number)

    def _drop(self, client: _Client) -> None:
        self._clients.pop(client.number, None)
        self._selector.unregister(client.plug)
        client.plug.close()


def _listen(path: Path) -> socket.socket:
    """A listening socket on `path`, in place of what a dead process has left there."""
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.settimeout(0.5)
            probe.connect(str(path))
            raise CellError(f"another process listens on {path}; stop it or give this cell another name")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        before = os.umask(0o177)  # only this user may command
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(MAX_CLIENTS)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def run_dir() -> Path:
    """The directory of running cells: $XDG_RUNTIME_DIR, or one of this user under the temporary directory.

    Made if it is missing. Raises CellError if it belongs to somebody else or others may write to it.
    """
    named = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(named) if named else Path(tempfile.gettempdir()) / f"cell-controller-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise CellError(
            f"{path} is not a directory that only you can write to; remove it or set XDG_RUNTIME_DIR"
        )
    return path


def socket_path(name: str) -> Path:
    """Where the cell `name` listens. Raises ValueError for a name that is no file name."""
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise ValueError(f"cell name {name!r} cannot be a file name; use letters, digits and -")
    return run_dir() / f"{name}.sock"


def register(
    name: str, directory: Path, socket_file: Path, broker_host: str, broker_port: int, base: str
) -> Path:
    """Say that this process runs the cell `name`; returns the file. Raises CellError if another living one does."""
    path = socket_path(name).with_suffix(".json")
    running = [cell for cell in running_cells() if cell["name"] == name and cell["pid"] != os.getpid()]
    if running:
        raise CellError(
            f"cell {name} runs already as process {running[0]['pid']} from {running[0]['dir']};"
            " stop it or give this cell another name"
        )
    content = {
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "name": name,
        "dir": str(directory),
        "socket": str(socket_file),
        "broker_host": broker_host,
        "broker_port": broker_port,
        "base": base,
    }
    half = path.with_suffix(".json.new")
    half.write_text(json.dumps(content))
    half.replace(path)
    return path


def unregister(name: str) -> None:
    """This process no longer runs the cell `name`."""
    with suppress(FileNotFoundError):
        socket_path(name).with_suffix(".json").unlink()


def running_cells() -> list[dict[str, Any]]:
    """The registered cells whose process lives, by name; what dead ones have left is removed."""
    cells = []
    for path in sorted(run_dir().glob("*.json")):
        try:
            cell = json.loads(path.read_text())
            lives = _started(int(cell["pid"])) == cell["started"] and bool(cell["name"])
            left_over = Path(cell["socket"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another program's file, or one that has just gone
        if lives:
            cells.append(cell)
            continue
        for file in (path, left_over):
            with suppress(OSError):
                file.unlink()
    return cells


def _started(pid: int) -> str:
    """What tells a process from a later one with the same number; "" if there is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "another user's"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "unknown"  # no /proc on this system: the number alone must do
    return "" if fields[0] == "Z" else fields[19]
