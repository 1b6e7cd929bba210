"""On the cell's machine: the switch to another slot, on trial until the one who deploys has seen that it is well.

The trial is a process of its own: it outlives the SSH connection. It stops the service, switches, starts it, and waits
for it to answer and then for a word of confirmation. Without either it goes back to what was there. If the machine
loses its power meanwhile, `settle` goes back before the service starts.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from host_tools.slots_linux import (
    Places,
    RefusedError,
    current,
    environment_of,
    prepare_user,
    read_json,
    ready,
    running,
    standing,
    started,
    state_of,
    write,
)

LOOK_S = 0.1
LOOKS = 3  # so many times in a row it answers well, as one and the same process
OPEN = ("stopping", "starting", "healthy", "back")  # a trial that is not over
COMMAND_S = 60.0
BACK_S = 60.0  # what ran before has at least so long to come up again
NEWS_S = 5.0


@dataclass
class Trial:
    """What is tried, and what was there before. `phase`: stopping, starting, healthy, then kept, or back and failed."""

    id: str
    slot: str
    bundle_sha256: str
    old_slot: str
    old_unit: str  # its text, "" without one
    old_settings: dict[str, Any]
    unit: str
    settings: dict[str, Any]
    outputs: dict[str, float] = field(default_factory=dict)
    health_s: float = 30.0
    confirm_s: float = 20.0
    phase: str = "stopping"
    text: str = ""
    pid: int = 0
    started: str = ""
    boot: str = ""


def boot_id() -> str:
    """Differs after every start of the machine."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def lives(trial: dict[str, Any]) -> bool:
    """Whether the process that conducts a trial is still there."""
    pid = trial.get("pid")
    if not isinstance(pid, int) or trial.get("boot") != boot_id():
        return False
    return bool(started(pid)) and started(pid) == trial.get("started")


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """One deployment at a time. Raises RefusedError while another one works."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError("another deployment or restore works on this machine; wait for it") from None
        trial = read_json(root / "trial.json")
        if trial.get("phase") in OPEN and lives(trial):
            raise RefusedError(f"a deployment is on trial here ({trial['phase']}); wait for its end")
        yield


def begin(places: Places, cell: str, asked: dict[str, Any]) -> str:
    """Start a trial in a process of its own; its id comes back."""
    root = places.root(cell)
    slot = str(asked["slot"])
    if ready(places, cell, slot) != asked["bundle_sha256"]:
        raise RefusedError(f"slot {slot} was taken over by another deployment; deploy again")
    moves = standing(places, cell)
    if moves:
        raise RefusedError(f"{cell} {moves}")
    prepare_user(places)
    old_unit = places.unit_file.read_text() if places.unit_file.exists() else ""
    before = (current(places, cell), old_unit, read_json(root / "settings.json"))
    trial = Trial(
        os.urandom(6).hex(), slot, str(asked["bundle_sha256"]), *before, asked["unit"], asked["settings"]
    )
    trial.outputs = asked.get("outputs") or {}
    trial.health_s = float(asked.get("health_s", trial.health_s))
    trial.confirm_s = float(asked.get("confirm_s", trial.confirm_s))
    (root / "confirm").unlink(missing_ok=True)
    _note(root, trial)
    ready_pipe, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        os.read(ready_pipe, 1)
        os.waitpid(child, 0)
        return trial.id
    _detach(root / "deploy.log")
    trial.pid, trial.started, trial.boot = os.getpid(), started(os.getpid()), boot_id()
    _note(root, trial)
    os.close(told)
    code = 1
    try:
        conduct(places, cell, trial)
        code = 0
    finally:
        os._exit(code)


def _detach(log: Path) -> None:
    """Let go of the connection: a session of its own, and no file of the caller's."""
    os.setsid()
    if os.fork():
        os._exit(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for target, number in ((nowhere, 0), (said, 1), (said, 2)):
        os.dup2(target, number)


def _note(root: Path, trial: Trial) -> None:
    write(root / "trial.json", json.dumps(asdict(trial)).encode())


def conduct(places: Places, cell: str, trial: Trial) -> None:
    """The trial from stop to its end; whatever goes wrong, what was there is there again."""
    root = places.root(cell)
    try:
        why = _switch_and_look(places, cell, trial)
        if not why:
            trial.phase = "healthy"
            _note(root, trial)
            if _confirmed(root, trial):
                trial.phase = "kept"
                _note(root, trial)
                return
            why = f"nobody confirmed it within {trial.confirm_s:g} s: the connection was lost"
    except (OSError, RefusedError, ValueError, subprocess.SubprocessError) as error:
        why = f"{type(error).__name__}: {error}"
    trial.phase, trial.text = "back", why
    _note(root, trial)
    try:
        trial.text += f"; {_go_back(places, cell, trial)}"
    except (OSError, RefusedError, subprocess.SubprocessError) as error:
        trial.text += f"; going back failed: {error}"
    trial.phase = "failed"
    _note(root, trial)


def _switch_and_look(places: Places, cell: str, trial: Trial) -> str:
    """Stop, switch, start, look; "" when the new application is well, else why not."""
    root = places.root(cell)
    unit = places.unit(cell)
    control(places, "stop", unit)
    trial.phase = "starting"
    _note(root, trial)
    _put_service(places, cell, trial.unit, trial.settings)
    point_to(root, trial.slot)
    control(places, "enable", unit)
    if not control(places, "start", unit):
        return f"it did not start; {_tail(places, unit)}"
    why = _wait_well(places, cell, trial)
    return f"{why}; {_tail(places, unit)}" if why else ""


def _put_service(places: Places, cell: str, unit: str, settings: dict[str, Any]) -> None:
    root = places.root(cell)
    write(root / "settings.json", json.dumps(settings, indent=1, sort_keys=True).encode())
    write(root / "settings.env", environment_of(settings))
    if not places.unit_file.exists() or places.unit_file.read_text() != unit:
        places.units.mkdir(parents=True, exist_ok=True)
        write(places.unit_file, unit.encode())
        control(places, "daemon-reload")


def point_to(root: Path, slot: str) -> None:
    """The switch: one rename."""
    half = root / ".current.new"
    half.unlink(missing_ok=True)
    half.symlink_to(slot)
    half.replace(root / "current")
    handle = os.open(root, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def control(places: Places, *words: str) -> bool:
    """systemctl; its words go to the log of the deployment. False if it says no."""
    done = subprocess.run([*places.systemctl.split(), *words], check=False, timeout=COMMAND_S)
    return done.returncode == 0


def _tail(places: Places, unit: str) -> str:
    """The last lines of the service's log."""
    words = [*places.systemctl.split(), "status", "--no-pager", "--lines=12", "--output=cat", unit]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return "its log: " + " / ".join(lines[-12:]) if lines else "it left no log"


def _wait_well(places: Places, cell: str, trial: Trial) -> str:
    """Look until the new process has answered well some times in a row; "" or what was seen last."""
    want = str((places.root(cell) / trial.slot / "cell").resolve())
    why = "it did not answer"
    seen: list[int] = []

    def well() -> bool:
        nonlocal why, seen
        registered = running(places, cell)
        why = _trouble(places, cell, registered, want, trial.outputs)
        seen = [] if why else [*seen, int(registered["pid"])]
        return len(seen) >= LOOKS and len(set(seen[-LOOKS:])) == 1

    if _wait(well, trial.health_s):
        return ""
    return f"not well within {trial.health_s:g} s: {why or 'it starts again and again'}"


def _trouble(
    places: Places, cell: str, registered: dict[str, Any], want: str, outputs: dict[str, float]
) -> str:
    """What is wrong with the running process, "" if it is the new one, Aborted, with its outputs safe."""
    if not registered:
        return "no process of the cell runs"
    if registered.get("dir") != want:
        return f"the process that answers runs {registered.get('dir')}"
    try:
        view = state_of(places, cell)
    except (OSError, ValueError) as error:
        return f"it does not answer ({error})"
    if view.get("state") != "Aborted":
        return f"it is in {view.get('state')}, not Aborted"
    driven = view.get("outputs") or {}
    wrong = sorted(name for name, value in outputs.items() if driven.get(name) != value)
    return f"outputs are not at their abort values: {', '.join(wrong)}" if wrong else ""


def _wait(there: Callable[[], bool], within_s: float) -> bool:
    give_up = time.monotonic() + within_s
    while not there():
        if time.monotonic() >= give_up:
            return False
        time.sleep(LOOK_S)
    return True


def _confirmed(root: Path, trial: Trial) -> bool:
    def said() -> bool:
        with suppress(OSError):
            return (root / "confirm").read_text() == trial.id
        return False

    return _wait(said, trial.confirm_s)


def _go_back(places: Places, cell: str, trial: Trial) -> str:
    """What was there before is there again; says what that is."""
    root = places.root(cell)
    unit = places.unit(cell)
    control(places, "stop", unit)
    if not trial.old_slot:
        (root / "current").unlink(missing_ok=True)
        control(places, "disable", unit)
        return "nothing was installed before, so nothing runs"
    point_to(root, trial.old_slot)
    _put_service(places, cell, trial.old_unit or trial.unit, trial.old_settings or trial.settings)
    control(places, "start", unit)
    want = str((root / trial.old_slot / "cell").resolve())

    def back() -> bool:
        return running(places, cell).get("dir") == want

    if _wait(back, max(BACK_S, trial.health_s)):
        return f"slot {trial.old_slot}, which was there before, runs again"
    return f"slot {trial.old_slot}, which was there before, does NOT run; look at the machine"


def settle(places: Places, cell: str) -> str:
    """Before the service starts: a trial that nobody conducts any more is over, and what was there before starts."""
    root = places.root(cell)
    trial = read_json(root / "trial.json")
    if trial.get("phase") not in OPEN or lives(trial):
        return ""
    old = str(trial.get("old_slot", ""))
    if old:
        point_to(root, old)
        settings = trial.get("old_settings") or {}
        write(root / "settings.json", json.dumps(settings, indent=1, sort_keys=True).encode())
        write(root / "settings.env", environment_of(settings))
    trial["phase"] = "failed"
    trial["text"] = f"the machine was cut off during the trial; slot {old or 'none'} starts again"
    write(root / "trial.json", json.dumps(trial).encode())
    return str(trial["text"])


def news(places: Places, cell: str, trial_id: str, known: str) -> dict[str, Any]:
    """How far a trial is, once it is no longer in the phase that is `known`, or after some seconds."""
    _wait(lambda: result(places, cell, trial_id)["phase"] != known, NEWS_S)
    return result(places, cell, trial_id)


def result(places: Places, cell: str, trial_id: str) -> dict[str, Any]:
    """How far a trial is. Raises RefusedError if it is another one by now."""
    trial = read_json(places.root(cell) / "trial.json")
    if trial.get("id") != trial_id:
        raise RefusedError("another deployment came between; look who else deploys")
    if trial.get("phase") in OPEN and not lives(trial):
        raise RefusedError(f"the trial ended without a word in {trial.get('phase')}; look at the machine")
    return {"phase": trial["phase"], "text": trial["text"]}


def confirm(places: Places, cell: str, trial_id: str) -> dict[str, Any]:
    """The one who deploys has seen that it is well: the new application stays."""
    (places.root(cell) / "confirm").write_text(trial_id)
    _wait(lambda: result(places, cell, trial_id)["phase"] not in OPEN, 10.0)
    return result(places, cell, trial_id)


def settle_main(root: Path) -> int:
    """`ExecStartPre` of the unit: `root` is the cell's directory with its slots."""
    said = read_json(root / "places.json")
    text = settle(Places.read(said) if said else Places(), root.name)
    if text:
        sys.stdout.write(f"{text}\n")
    return 0
