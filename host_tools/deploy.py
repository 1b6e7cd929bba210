"""An application onto the machine of a cell, over SSH: made ready in the slot that is not in use, switched to, kept.

Each step is one command there. Whatever is cut off at any of them, what ran before runs on: a switch is only kept
after a word of confirmation over the same connection (host_tools/trial_linux.py).
"""

import asyncio
import hashlib
import json
import shlex
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from cell_controller.errors import CellError
from host_tools.bundle import Bundle, BundleError, read_bundle
from host_tools.cellfile import compile_cell
from host_tools.deploy_unit import unit
from host_tools.output import DONE, NOT_REACHABLE, REFUSED
from host_tools.slots_linux import ROOM, Places
from host_tools.ssh import Remote, SshError, SshOptions, Target, connect

AGENT = ("agent_linux", "backup_linux", "slots_linux", "trial_linux")
STEPS = ("connect", "look", "send", "install", "restore", "try", "confirm")
INSTALL_S = 900.0  # pip on an SD card is slow
BYTES_A_S = 20_000  # a transfer slower than this is given up

# Puts the agent, which comes first on standard input, into a file without a name, and runs it.
BOOT = (
    "import os,sys\n"
    "if sys.version_info<(3,11):\n"
    ' sys.exit(print(\'{"ok":false,"text":"Python %d.%d is here, 3.11 is needed: Debian 12 or newer"}\''
    "%sys.version_info[:2]))\n"
    "h=os.memfd_create('agent')\n"
    "with open(h,'wb',closefd=False) as f:f.write(sys.stdin.buffer.read(int(sys.argv[1])))\n"
    "sys.path.insert(0,'/proc/self/fd/%d'%h)\n"
    "from host_tools.agent_linux import main;main()"
)

Told = Callable[[str, str, str], object]
"""Hears (host, step, remark) whenever something begins or goes on."""


class StepRefusedError(CellError, ValueError):
    """The machine does not do a step; the text says why and what to do. What ran before runs on."""


@dataclass(frozen=True)
class DeployOptions:
    """How to deploy. `board` and `broker`: what the service is started with, None = as before; times in s."""

    ssh: SshOptions = field(default_factory=SshOptions)
    places: Places = field(default_factory=Places)
    board: str | None = None
    broker: str | None = None
    dry_run: bool = False
    health_s: float = 60.0
    confirm_s: float = 20.0


@dataclass
class Outcome:
    """What became of one machine. `exit_code` as in host_tools.output; `steps`: those that were begun."""

    host: str
    exit_code: int = DONE
    changed: bool = False
    text: str = ""
    steps: list[str] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "ok": self.exit_code == DONE,
            "changed": self.changed,
            "text": self.text,
            "steps": self.steps,
            "plan": self.plan,
        }


@dataclass(frozen=True)
class Restore:
    """What a replacement gets beside the application: `payload` as backup_linux.put takes it, and its settings."""

    payload: bytes
    id: str
    settings: dict[str, Any]
    replace: bool = False


class Application:
    """A bundle that may be deployed: read, verified, and compiled once here. Raises BundleError, CellFileError."""

    def __init__(self, path: str | Path, board: str | None = None) -> None:
        self.bundle: Bundle = read_bundle(path)
        if self.bundle.target != "rpi":
            raise BundleError(
                f"{path}: is for target {self.bundle.target}; a machine with SSH takes `cellctl build --target rpi`"
            )
        missing = [name for name in ("requirements.txt", "cell/cell.toml") if name not in self.bundle.files]
        if missing:
            raise BundleError(f"{path}: has no {' and no '.join(missing)}; build it again")
        self.content = self.bundle.path.read_bytes()
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.cell = str(self.bundle.manifest["cell"])
        self.board = board or str(self.bundle.manifest["board"])
        self.outputs = self._outputs_when_aborted()

    @property
    def wiring(self) -> str:
        """The file of wiring/ that the board needs."""
        kind = self.board.partition(":")[0]
        return "sim" if kind == "remote" else kind

    def _outputs_when_aborted(self) -> dict[str, float]:
        """What each output that no lamp or heartbeat owns must be when the new application comes up, in its unit."""
        with tempfile.TemporaryDirectory(prefix="cell-bundle-") as name:
            for file, content in self.bundle.files.items():
                if file.startswith("cell/"):
                    path = Path(name) / file
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
            spec = compile_cell(Path(name) / "cell", self.wiring).spec
        if spec["name"] != self.cell:
            raise BundleError(f"{self.bundle.path}: is called {self.cell}, the cell in it {spec['name']}")
        owned = {spec["heartbeat"], *spec["stack_light"].values()}
        return {
            entry["name"]: entry["on_abort"] / entry["per_unit"]
            for number, entry in enumerate(spec["outputs"])
            if number not in owned
        }


def agent() -> bytes:
    """The program that carries out steps on the machine, as one zip that its Python can run; the same every time."""
    archive = BytesIO()
    here = Path(__file__).parent
    sources = {f"host_tools/{name}.py": (here / f"{name}.py").read_bytes() for name in AGENT}
    sources["host_tools/__init__.py"] = b""
    start = "import sys, runpy\nrunpy.run_module('host_tools.agent_linux', run_name='__main__', alter_sys=False)\n"
    sources["__main__.py"] = start.encode()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        for name in sorted(sources):
            members.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), sources[name])
    return archive.getvalue()


class Machine:
    """A machine that carries out steps for one cell."""

    def __init__(self, remote: Remote, places: Places, cell: str) -> None:
        self._remote = remote
        self._places = places
        self.cell = cell
        self._agent = agent()

    async def ask(
        self,
        verb: str,
        payload: bytes = b"",
        timeout_s: float = 60.0,
        sent: Callable[[int], object] | None = None,
        args: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """(answer, bytes behind it) of one step. Raises StepRefusedError with the machine's reason, SshError."""
        question = {"do": verb, "cell": self.cell, "places": self._places.said(), **(args or {})}
        words = ["python3", "-I", "-c", BOOT, str(len(self._agent)), json.dumps(question)]
        command = " ".join(map(shlex.quote, words))
        if self._places.user:
            command = f'$([ "$(id -u)" = 0 ] || echo sudo -n) {command}'
        done = await self._remote.run(command, self._agent + payload, timeout_s, sent)
        line, _, rest = done.out.partition(b"\n")
        try:
            reply = json.loads(line)
        except ValueError:
            reply = {}
        if not isinstance(reply, dict) or not reply:
            raise StepRefusedError(self._no_answer(done.code, done.err))
        if not reply.get("ok"):
            raise StepRefusedError(str(reply.get("text", "no reason given")))
        return reply, rest

    def leave_agent(self) -> bytes:
        """What the unit will run before each start."""
        return self._agent

    def _no_answer(self, code: int, said: str) -> str:
        last = " / ".join(said.strip().splitlines()[-3:])
        if "sudo:" in said:
            who = self._remote.target.user or "the user"
            return (
                f"{who} may not use sudo without a password ({last}). It is needed for {self._places.slots},"
                f" {self._places.units}, {self._places.state} and systemctl: log in as root, or on the machine"
                f" put '{who} ALL=(root) NOPASSWD: /usr/bin/python3' into /etc/sudoers.d/cell"
            )
        if code == 127:
            return f"there is no python3 on the machine ({last})"
        return f"the step ended with {code}: {last or 'without a word'}"


class Deployment:
    """One application onto one machine."""

    def __init__(
        self,
        target: Target,
        application: Application,
        options: DeployOptions,
        told: Told,
        restore: Restore | None = None,
    ) -> None:
        self._application = application
        self._options = options
        self._told = told
        self._restore = restore
        self._target = target
        self.outcome = Outcome(target.text)

    async def run(self) -> Outcome:
        """All steps; never raises for what a machine or a network does, the outcome says it."""
        outcome = self.outcome
        try:
            self._step("connect")
            async with await connect(self._target, self._options.ssh) as remote:
                await self._on(Machine(remote, self._options.places, self._application.cell))
        except StepRefusedError as error:
            outcome.exit_code, outcome.text = REFUSED, str(error)
        except SshError as error:
            outcome.exit_code, outcome.text = NOT_REACHABLE, str(error)
            if outcome.steps[-1] in ("try", "confirm"):
                outcome.text += (
                    "; without a word of confirmation the machine itself goes back to what ran before, within about"
                    f" {self._options.confirm_s + self._options.health_s:g} s; deploy again to see how it stands"
                )
        self._told(outcome.host, "done" if outcome.exit_code == DONE else "failed", outcome.text)
        return outcome

    def _step(self, name: str, remark: str = "") -> None:
        if not self.outcome.steps or self.outcome.steps[-1] != name:
            self.outcome.steps.append(name)
        self._told(self.outcome.host, name, remark)

    async def _on(self, machine: Machine) -> None:
        application = self._application
        self._step("look")
        seen, _ = await machine.ask("look")
        settings = self._settings(seen)
        slot, plan = self._plan(seen, settings)
        self.outcome.plan = plan
        if not plan:
            self.outcome.text = f"{application.cell} runs this bundle already in slot {slot}; nothing to do"
            return
        self._refuse(seen)
        if self._options.dry_run:
            self.outcome.text = f"would do in slot {slot}: {', '.join(plan)}"
            return
        self.outcome.changed = True
        if "send" in plan:
            await self._send(machine, slot)
        if "install" in plan:
            self._step("install")
            args = {"slot": slot, "sha256": application.sha256, "board": application.wiring}
            await machine.ask("install", machine.leave_agent(), INSTALL_S, args=args)
        if "restore" in plan and self._restore is not None:
            self._step("restore")
            put = {"slot": slot, "restored": self._restore.id, "replace": self._restore.replace}
            reply, _ = await machine.ask("restore", self._restore.payload, INSTALL_S, args=put)
            self._step("restore", f"journal: {reply['journal']}")
        await self._try(machine, slot, settings)
        self.outcome.text = (
            f"{application.cell} runs {application.sha256[:12]} in slot {slot}, Aborted, outputs safe"
        )
        if seen["changed"] and self._restore is None:
            names = ", ".join(seen["changed"][:5])
            self.outcome.text += (
                f"; changed on the machine since its last deployment and now replaced: {names}"
            )

    def _settings(self, seen: dict[str, Any]) -> dict[str, Any]:
        """What the service is started with: as before, or as was said now."""
        settings = dict(seen["settings"])
        if self._restore is not None:
            settings.update(self._restore.settings)
        if self._options.board is not None or "board" not in settings:
            settings["board"] = self._application.board
        if self._options.broker is not None:
            settings["broker"] = self._options.broker
        return settings

    def _plan(self, seen: dict[str, Any], settings: dict[str, Any]) -> tuple[str, list[str]]:
        """(slot, steps to do): none where this bundle runs as it should already."""
        sha256 = self._application.sha256
        there = seen["slot"]
        text = unit(self._options.places)
        restored = self._restore is None or seen["restored"] == self._restore.id
        if there and seen["ready"][there] == sha256 and restored:
            same = (
                seen["unit_sha256"] == hashlib.sha256(text.encode()).hexdigest()
                and seen["settings"] == settings
            )
            if same and seen["running"]:
                return there, []
            return there, ["try", "confirm"]
        slot = "b" if there == "a" else "a"
        plan = ["send", "install"] if seen["ready"][slot] != sha256 else []
        plan += [] if restored else ["restore"]
        return slot, [*plan, "try", "confirm"]

    def _refuse(self, seen: dict[str, Any]) -> None:
        """What speaks against it before anything is sent."""
        if seen["moves"]:
            raise StepRefusedError(f"{self._application.cell} {seen['moves']}")
        need = ROOM * len(self._application.content)
        if seen["free_bytes"] < need:
            raise StepRefusedError(
                f"{seen['free_bytes'] >> 20} MB are free, {need >> 20} MB are needed; make room on the machine"
            )
        if not self._options.places.user and not seen["can_write"]:
            raise StepRefusedError(f"{self._options.places.slots} cannot be written by this user")

    async def _send(self, machine: Machine, slot: str) -> None:
        content = self._application.content
        self._step("send", "0 %")

        def sent(count: int) -> None:
            self._told(self.outcome.host, "send", f"{min(100, 100 * count // len(content))} %")

        limit_s = 60.0 + len(content) / BYTES_A_S
        await machine.ask(
            "receive", content, limit_s, sent, {"slot": slot, "sha256": self._application.sha256}
        )

    async def _try(self, machine: Machine, slot: str, settings: dict[str, Any]) -> None:
        options = self._options
        self._step("try", "starting")
        asked = {
            "slot": slot,
            "bundle_sha256": self._application.sha256,
            "unit": unit(options.places),
            "settings": settings,
            "outputs": self._application.outputs,
            "health_s": options.health_s,
            "confirm_s": options.confirm_s,
        }
        reply, _ = await machine.ask("try", args=asked)
        trial = reply["id"]
        phase = ""
        async with asyncio.timeout(120 + 2 * options.health_s):
            while phase not in ("healthy", "failed"):
                reply, _ = await machine.ask("result", args={"id": trial, "known": phase})
                if reply["phase"] != phase:
                    phase = reply["phase"]
                    self._step("try", phase)
        if phase == "healthy":
            self._step("confirm")
            reply, _ = await machine.ask("confirm", args={"id": trial})
        if reply["phase"] != "kept":
            raise StepRefusedError(f"the new application was not kept: {reply['text']}")


async def deploy_all(
    targets: Sequence[Target], application: Application, options: DeployOptions, told: Told
) -> list[Outcome]:
    """One application onto several machines at once; each for itself."""
    return await asyncio.gather(*(Deployment(target, application, options, told).run() for target in targets))
