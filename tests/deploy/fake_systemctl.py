"""What of systemctl a deployment uses, for machines without systemd: reads the real unit file, runs the real process.

fake_systemctl.py PREFIX start|stop|enable|disable|daemon-reload|status UNIT. Everything below PREFIX.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STOP_S = 20.0


def unit_of(prefix: Path, name: str) -> dict[str, list[str]]:
    """The settings of a unit, each with all its values, %i put in."""
    instance = name.partition("@")[2].removesuffix(".service")
    text = (
        (prefix / "etc/systemd/system/cell@.service").read_text().replace("\\\n", "").replace("%i", instance)
    )
    settings: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def start(prefix: Path, name: str) -> int:
    settings = unit_of(prefix, name)
    for kind, below in (("StateDirectory", "var/lib"), ("RuntimeDirectory", "run")):
        for directory in settings[kind]:
            (prefix / below / directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = dict(os.environ)
    entries = list(settings["Environment"])
    for file in settings["EnvironmentFile"]:
        entries += Path(file).read_text().splitlines()
    for entry in entries:
        key, _, value = entry.partition("=")
        environment[key] = value
    with (prefix / f"{name}.log").open("ab") as log:
        for before in settings["ExecStartPre"]:
            words = shlex.split(before.removeprefix("+").replace("/usr/bin/python3", sys.executable))
            done = subprocess.run(words, stdout=log, stderr=log, env=environment, check=False)
            if done.returncode:
                return 1
        words = []
        for word in shlex.split(settings["ExecStart"][0]):
            words += environment["CELL_ARGS"].split() if word == "$CELL_ARGS" else [word]
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    (prefix / f"{name}.pid").write_text(str(process.pid))
    return 0


def stop(prefix: Path, name: str) -> int:
    file = prefix / f"{name}.pid"
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        give_up = time.monotonic() + STOP_S
        while alive(pid):
            if time.monotonic() > give_up:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
    file.unlink(missing_ok=True)
    return 0


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> int:
    prefix = Path(sys.argv[1])
    verb, name = sys.argv[2], sys.argv[-1]
    with (prefix / "systemctl.log").open("a") as log:
        log.write(" ".join(sys.argv[2:]) + "\n")
    if verb == "status":
        with suppress(FileNotFoundError):
            sys.stdout.write((prefix / f"{name}.log").read_text()[-2000:])
        return 0
    if verb == "start":
        return start(prefix, name)
    return stop(prefix, name) if verb == "stop" else 0


if __name__ == "__main__":
    sys.exit(main())
