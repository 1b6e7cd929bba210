"""A broker for the bench: the first of mosquitto, iotcore and amqtt that is there, on the loopback, as a child process.

For demos, tests and a desk without a plant. A plant runs a broker of its own with access control; see docs/mqtt.md.
"""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cell_controller.errors import BrokerError

HOST = "127.0.0.1"
START_S = 10.0
STOP_S = 5.0
MAX_PAYLOAD = 1 << 20
KINDS = ("mosquitto", "iotcore", "amqtt")
"""What can be started, the best first."""

_PARENT_DIED = 1  # PR_SET_PDEATHSIG of Linux
_TRIES = 3

# The children end with their standard input, so they never outlive the process that started them.
_WATCH_PARENT = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
"""
_IOTCORE = (
    _WATCH_PARENT
    + """
import iotcore
iotcore.Broker(port=int(sys.argv[1]), listen="127.0.0.1", max_payload_size=int(sys.argv[2])).run_forever()
"""
)
_AMQTT = (
    _WATCH_PARENT
    + """
import asyncio, logging, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
from amqtt.broker import Broker
async def serve():
    await Broker({
        "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }).start()
    await asyncio.Event().wait()
asyncio.run(serve())
"""
)
_MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 0
log_dest none
user {user}
"""


@dataclass
class Broker:
    """A broker that was started here. name: one of KINDS. process: ended by `stop`, by its own id."""

    name: str
    host: str
    port: int
    process: "subprocess.Popen[bytes]"
    folder: "tempfile.TemporaryDirectory[str] | None" = None

    def stop(self) -> None:
        """End the broker and wait until its port is free; without effect the second time."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.folder is not None:
            self.folder.cleanup()

    def __str__(self) -> str:
        return f"{self.name} on {self.host}:{self.port}"


def installed() -> list[str]:
    """Which of KINDS can be started here, the best first."""
    found = []
    if _mosquitto_path():
        found.append("mosquitto")
    return found + [kind for kind in KINDS[1:] if importlib.util.find_spec(kind) is not None]


def start_broker(prefer: str | None = None, port: int = 0) -> Broker:
    """Start a broker and wait until it accepts connections; `str()` of the result says which and where.

    prefer: one of KINDS, None takes the first that is installed. port: 0 takes a free one. Call it from a thread that
    lives as long as the broker should. Raises BrokerError if none is installed or it does not come up within 10 s.
    """
    there = installed()
    if prefer is not None and prefer not in KINDS:
        raise BrokerError(f"there is no broker '{prefer}'; choose one of {', '.join(KINDS)}")
    if prefer is not None and prefer not in there:
        raise BrokerError(f"{prefer} is not installed here; installed: {', '.join(there) or 'none'}")
    if not there:
        raise BrokerError(
            "no broker is installed; apt install mosquitto, or pip install 'cell-controller[broker]'"
        )
    kind = prefer or there[0]
    for attempt in range(1, _TRIES + 1):  # somebody may take the free port before the broker does
        try:
            return _start(kind, port or _free_port())
        except BrokerError:
            if port or attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def _start(kind: str, port: int) -> Broker:
    if _accepts(port):
        raise BrokerError(f"port {port} of {HOST} is in use; choose another port or end what listens there")
    folder = None
    if kind == "mosquitto":
        folder = tempfile.TemporaryDirectory(prefix="cell-broker-")
        config = Path(folder.name) / "mosquitto.conf"
        # Run as who we are: a broker that changes its user is no longer ended with its parent.
        user = pwd.getpwuid(os.geteuid()).pw_name
        config.write_text(_MOSQUITTO.format(port=port, host=HOST, user=user))
        command = [_mosquitto_path() or "mosquitto", "-c", str(config)]
    else:
        source = _IOTCORE if kind == "iotcore" else _AMQTT
        command = [sys.executable, "-c", source, str(port), str(MAX_PAYLOAD)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for the cell, which says goodbye to its broker
        preexec_fn=_die_with_parent(),
    )
    broker = Broker(kind, HOST, port, process, folder)
    deadline = time.monotonic() + START_S
    while not _accepts(port):
        if process.poll() is not None:
            broker.stop()
            raise BrokerError(
                f"{kind} ended with status {process.returncode} instead of listening on port {port}"
            )
        if time.monotonic() > deadline:
            broker.stop()
            raise BrokerError(f"{kind} does not accept connections on port {port} within {START_S:g} s")
        time.sleep(0.01)
    if process.poll() is not None:  # it was another process that answered
        broker.stop()
        raise BrokerError(f"port {port} of {HOST} was taken by another process while {kind} started")
    return broker


def _mosquitto_path() -> str | None:
    """mosquitto is in sbin, which is not on everybody's path."""
    return shutil.which(
        "mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=0.5):
            return True
    except OSError:
        return False


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel ends the child when the thread that started it ends; elsewhere only `stop` does."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PARENT_DIED, signal.SIGTERM)
