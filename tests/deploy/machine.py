"""A machine to deploy to: a real sshd on the loopback, and a folder in place of / with a stand-in for systemctl."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host_tools.deploy import Application, Deployment, DeployOptions, Outcome, Told
from host_tools.slots_linux import Places
from host_tools.ssh import SshOptions, Target
from tests.service.process import LocalPlug, free_port

HERE = Path(__file__).parent
SSHD = Path("/usr/sbin/sshd")
CELL = "paint-1"
WAIT_S = 20.0
CONFIRM_S = 8.0


def keys(path: Path) -> Path:
    """A new key pair; the private one's path."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


class Sshd:
    """sshd as this user: own port, own host key, own authorized_keys; ended by its own process number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.host_key = keys(folder / "host_key")
        self.user_key = keys(folder / "user_key")
        (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.host_key,
            "AuthorizedKeysFile": folder / "authorized_keys",
            "PidFile": "none",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "UsePAM": "no",
            "PermitRootLogin": "prohibit-password",
            "MaxStartups": "100",
            "SetEnv": f'"PATH={path}"',
        }
        (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        words = [str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
        with (folder / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: "listening" in self.log, "sshd", lambda: self.log)
        self.known_hosts = folder / "known_hosts"
        public = (folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    def options(self) -> SshOptions:
        return SshOptions(False, (self.user_key,), self.known_hosts, config=self.empty_config())

    def empty_config(self) -> Path:
        path = self.folder / "ssh_config"
        path.touch()
        return path

    def target(self, port: int = 0) -> Target:
        import getpass

        return Target.parse(f"{getpass.getuser()}@127.0.0.1:{port or self.port}")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_S)


class Pi:
    """A folder in place of / behind that sshd; what a deployment does to it, and what is seen of it."""

    def __init__(self, sshd: Sshd, prefix: Path) -> None:
        self.sshd = sshd
        self.prefix = prefix
        prefix.mkdir(exist_ok=True)
        self.systemctl = f"{sys.executable} {HERE / 'fake_systemctl.py'} {prefix}"
        self.places = Places.under(str(prefix), self.systemctl)
        self._asked = 0

    @property
    def root(self) -> Path:
        return self.places.root(CELL)

    @property
    def options(self) -> DeployOptions:
        return DeployOptions(self.sshd.options(), self.places, health_s=15.0, confirm_s=CONFIRM_S)

    def words(self) -> list[str]:
        """The options of cellctl that lead here."""
        words = ["--known-hosts", str(self.sshd.known_hosts), "--identity", str(self.sshd.user_key)]
        words += ["--ssh-config", str(self.sshd.empty_config())]
        return [*words, "--systemctl", self.systemctl, "--prefix", str(self.prefix)]

    def deploy(self, bundle: Path, told: Told | None = None, port: int = 0, **changed: Any) -> Outcome:
        """Deploy with a short patience; the outcome."""
        options = DeployOptions(**{**vars(self.options), **changed})
        work = Deployment(self.sshd.target(port), Application(bundle), options, told or (lambda *_: None))
        return asyncio.run(work.run())

    # --- what is seen ---

    @property
    def slot(self) -> str:
        try:
            return os.readlink(self.root / "current")
        except OSError:
            return ""

    @property
    def registered(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.places.run / f"{CELL}.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    @property
    def trial(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "trial.json").read_text())
        return found

    def runs_from(self) -> str:
        """The slot whose process lives and answers, "" if none."""
        found = self.registered
        try:
            os.kill(int(found["pid"]), 0)
            self.ask("query", what="state")
        except (OSError, KeyError, AssertionError):
            return ""
        return Path(found["dir"]).parent.name

    def ask(self, verb: str, **args: Any) -> dict[str, Any]:
        """One request to the running cell and its reply."""
        self._asked += 1
        registered = self.registered
        assert registered, f"the cell does not run\n{self.log()}"
        plug = LocalPlug(Path(registered["socket"]))
        try:
            request = {
                "id": f"d{os.getpid()}-{id(self)}-{self._asked}",
                "issuer": "test",
                "verb": verb,
                **args,
            }
            return plug.ask(request)
        finally:
            plug.close()

    @property
    def view(self) -> dict[str, Any]:
        data: dict[str, Any] = self.ask("query", what="state")["data"]
        return data

    def command(self, name: str) -> dict[str, Any]:
        return self.ask("command", command=name)

    def until(self, there: Callable[[], bool], what: str) -> None:
        wait_for(there, what, self.log)

    def make_ready(self) -> None:
        assert self.command("clear")["ok"]
        self.until(lambda: self.view["state"] == "Stopped", "Stopped")
        reply = self.command("reset")
        assert reply["ok"], reply
        self.until(lambda: self.view["state"] in ("Idle", "Starting", "Execute"), "Idle")

    def log(self) -> str:
        files = (self.prefix / f"cell@{CELL}.service.log", self.root / "deploy.log", self.root / "trial.json")
        return "\n".join(f"--- {path}\n{path.read_text()[-3000:]}" for path in files if path.exists())

    def kill(self) -> None:
        """The controller dies as if the power went."""
        pid = int(self.registered["pid"])
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in _state(pid), "the end of the process")

    def close(self) -> None:
        """The service ends; by systemctl, as it was started."""
        subprocess.run([*self.systemctl.split(), "stop", f"cell@{CELL}.service"], check=False)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def wait_for(there: Callable[[], bool], what: str, log: Callable[[], str], within_s: float = WAIT_S) -> None:
    """Look until `there()`; AssertionError with the log if it does not come."""
    give_up = time.monotonic() + within_s
    pause = threading.Event()
    while not there():
        assert time.monotonic() < give_up, f"waited {within_s} s for {what}\n{log()}"
        pause.wait(0.02)
