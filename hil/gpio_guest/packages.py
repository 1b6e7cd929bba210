"""Fetches packages of another architecture without telling this machine's package manager about it."""

import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hil.gpio_guest.errors import GuestError

ARCHITECTURE = "arm64"
WHEEL_PLATFORM = "manylinux2014_aarch64"


class AptRoot:
    """A package manager's state of its own in `root`, for arm64, with the package sources of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for name in ("lists/partial", "archives/partial"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "status").write_text("")

    def update(self) -> int:
        """Fetch the lists of packages, about 9 MB; how many bytes that was. Raises GuestError."""
        fetched = re.search(r"^Fetched ([\d.,]+) (k|M|)B", self._run(["apt-get", "update"]), re.MULTILINE)
        if fetched is None:
            return 0
        return int(float(fetched[1].replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6}[fetched[2]])

    def depends(self, package: str) -> list[str]:
        """The names `package` depends on, of every choice the first. Raises GuestError where it is not known."""
        shown = self._run(["apt-cache", "show", "--no-all-versions", package])
        lines = re.findall(r"^(?:Pre-)?Depends: (.*)$", shown, re.MULTILINE)
        return re.findall(r"(?:^|, )([a-z0-9][a-z0-9+.-]*)", "\n".join(lines), re.MULTILINE)

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Fetch the newest of each of `packages` into `folder`. Raises GuestError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._run(["apt-get", "download", *packages], folder)
        return sorted(folder.glob("*.deb"))

    def _run(self, command: list[str], folder: Path | None = None) -> str:
        root = self._root.resolve()
        options = {
            "Dir::State": root,
            "Dir::State::lists": root / "lists",
            "Dir::State::status": root / "status",
            "Dir::Cache": root,
            "Dir::Cache::archives": root / "archives",
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Sandbox::User": "root",  # the default user may not write here
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        }
        given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return run([command[0], *given, *command[1:]], folder)


def run(command: list[str], folder: Path | None = None) -> str:
    """What `command` printed. Raises GuestError with its last words, or where the program is missing."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise GuestError(f"{command[0]} is not there: a Debian machine has it") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-5:]
        what = [word for word in command if "::" not in word and word != "-o"]
        raise GuestError("\n".join([f"{' '.join(what)} ended with {done.returncode}:", *words]))
    return done.stdout


def members(deb: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The members of a package whose name, without a leading "./", is `wanted`, each with its content."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                member.name = member.name.removeprefix("./")
                if not member.isdir() and wanted(member.name):
                    content = archive.extractfile(member) if member.isfile() else None
                    yield member, content.read() if content else b""
        process.communicate()
    if process.returncode:
        raise GuestError(f"dpkg-deb could not read {deb.name}")


def wheels(requirements: Sequence[str], python: str, folder: Path) -> list[Path]:
    """Fetch wheels for Python `python`, for example "3.11", on arm64 into `folder`. Raises GuestError."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = ["--only-binary=:all:", "--no-deps", "--platform", WHEEL_PLATFORM, "--python-version", python]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    run([*pip, *kind, "--dest", str(folder), *requirements])
    return sorted(folder.glob("*.whl"))
