"""What a Raspberry Pi is given: the project's own wheel, the wheels of what it needs, and their hashes.

A cell's machine has no internet, so everything that pip will install there is in the bundle, and `requirements.txt`
lets pip verify each wheel (`--require-hashes`).
"""

import base64
import csv
import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from host_tools.build_image import BuildError
from host_tools.bundle import sha256
from host_tools.toml_file import one_line

if TYPE_CHECKING:
    from host_tools.build import RpiOptions

NAME = "cell-controller"
REQUIREMENTS = "requirements.txt"
DRIVERS = "devices"
"""The extra with the libraries of the drivers; a bundle always has them."""
NO_WHEEL = {"armv7l": ("gpiod",)}
"""What the package index has no wheel of, by machine."""

GLIBC = (
    "manylinux2014",
    "manylinux_2_17",
    "manylinux_2_28",
    "manylinux_2_31",
    "manylinux_2_34",
    "manylinux_2_36",
)
"""What Debian 12 and newer (glibc 2.36) can load."""

SOURCE_DATE = 315532800
"""1980-01-01, the first day a zip can have: for every file of our own wheel."""

_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_HATCH_TIMEOUT_S = 120
_PIP_TIMEOUT_S = 600
_WHEEL = re.compile(r"([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")
_OF_DRIVERS = re.compile(rf"""; *extra == ['"]{DRIVERS}['"]$""")
_REMEDY = "pip install 'cell-controller[build]'"

Say = Callable[[str], None]


def rpi_files(root: Path, options: "RpiOptions", say: Say) -> tuple[dict[str, bytes], dict[str, str]]:
    """(files of the bundle without the cell's, versions for the manifest). Raises BuildError."""
    if not re.fullmatch(r"3\.\d{1,2}", options.python) or int(options.python[2:]) < 11:
        raise BuildError(
            one_line(f"--python {options.python}: this package needs Python 3.11 or newer, as in 3.11")
        )
    name, content, needs = own_wheel(root)
    for missing in NO_WHEEL.get(options.arch, ()):
        needs = [need for need in needs if not need.startswith(missing)]
        say(
            f"warning: there is no wheel of {missing} for {options.arch}: install it on the machine for its pins"
        )
    say(f"own wheel {name}: {len(content):,} bytes")
    wheels = {name: content, **dependency_wheels(needs, options)}
    where = f"from {options.wheels}" if options.wheels is not None else "from the package index"
    say(f"{len(wheels) - 1} wheels of dependencies for {options.arch}, Python {options.python}, {where}")
    files = {f"wheels/{wheel}": content for wheel, content in wheels.items()}
    files[REQUIREMENTS] = requirements_text(wheels).encode()
    return files, {"arch": options.arch, "python": options.python}


def requirements_text(wheels: Mapping[str, bytes]) -> str:
    """The pinned requirements for `pip install --no-index --find-links wheels --require-hashes -r`."""
    lines = []
    for wheel in wheels:
        name, version = name_and_version(wheel)
        lines.append(f"{name}=={version} --hash=sha256:{sha256(wheels[wheel])}")
    return "\n".join(sorted(lines)) + "\n"


def name_and_version(wheel: str) -> tuple[str, str]:
    """What a wheel's file name says, the name as indexes write it. Raises BuildError for another kind of file."""
    match = _WHEEL.fullmatch(wheel)
    if match is None:
        raise BuildError(one_line(f"{wheel} is not named like a wheel; leave only wheels in that directory"))
    return re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]


# --- our own wheel ---


def own_wheel(root: Path) -> tuple[str, bytes, list[str]]:
    """(name, content, requirements of the run time) of this project's wheel; the same from a clone and installed.

    In a clone hatchling builds it; where this package is installed it is made again from the installed files, each of
    which must be as its RECORD says. Raises BuildError.
    """
    if (root / "pyproject.toml").is_file():
        return _wheel_of_clone(root)
    try:
        installed = distribution(NAME)
    except PackageNotFoundError as error:
        raise BuildError(f"{root} is neither a clone nor installed; pip install {NAME}") from error
    return wheel_of_installed(installed)


def _wheel_of_clone(root: Path) -> tuple[str, bytes, list[str]]:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    needs: list[str] = [*project["dependencies"], *project["optional-dependencies"][DRIVERS]]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(SOURCE_DATE)}
        done = _run(command, _HATCH_TIMEOUT_S, environment, root)
        if done.returncode:
            if "No module named" in done.stderr:
                raise BuildError(f"hatchling is not installed, and this clone's wheel needs it; {_REMEDY}")
            raise BuildError(one_line(f"hatchling could not build the wheel: {done.stderr.strip()[-300:]}"))
        path = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
        return path.name, repacked(files), needs


def wheel_of_installed(installed: Distribution) -> tuple[str, bytes, list[str]]:
    """(name, content, requirements) of a distribution's wheel, made from its files. Raises BuildError."""
    remedy = f"pip install --force-reinstall {NAME}"
    files: dict[str, bytes] = {}
    for entry in installed.files or []:
        name = entry.as_posix()
        if name.startswith("..") or name.endswith(".pyc") or _made_by_installer(name):
            continue
        try:
            content = Path(str(entry.locate())).read_bytes()
        except OSError as error:
            raise BuildError(
                f"{name} of this installation cannot be read: {error.strerror}; {remedy}"
            ) from error
        if entry.hash is not None and entry.hash.value != _record_hash(content):
            raise BuildError(
                f"{name} was changed after it was installed, so no wheel can be made of it; {remedy}"
            )
        files[name] = content
    tags = re.findall(r"^Tag: (\S+)$", str(installed.read_text("WHEEL") or ""), re.MULTILINE)
    if not files or len(tags) != 1:
        raise BuildError(f"this installation has no list of its files; {remedy}")
    needs = [
        _bare(need) for need in installed.requires or [] if "extra ==" not in need or _OF_DRIVERS.search(need)
    ]
    return f"{NAME.replace('-', '_')}-{installed.version}-{tags[0]}.whl", repacked(files), needs


def _bare(need: str) -> str:
    """A requirement without the extra that it is of."""
    return _OF_DRIVERS.sub("", need)


def _made_by_installer(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder.endswith(".dist-info") and file in ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")


def repacked(files: Mapping[str, bytes]) -> bytes:
    """A wheel of these files: sorted, stored, with fixed dates and modes, so that no zlib and no umask shows in it."""
    names = sorted(name for name in files if not _made_by_installer(name))
    folder = next(name.partition("/")[0] for name in names if name.partition("/")[0].endswith(".dist-info"))
    record = io.StringIO()
    writer = csv.writer(record, lineterminator="\n")
    for name in names:
        writer.writerow([name, f"sha256={_record_hash(files[name])}", len(files[name])])
    writer.writerow([f"{folder}/RECORD", "", ""])
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name in [*names, f"{folder}/RECORD"]:
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = _UNIX
            info.external_attr = 0o100644 << 16
            archive.writestr(info, files[name] if name in names else record.getvalue().encode())
    return whole.getvalue()


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


# --- the wheels of what it needs ---


def dependency_wheels(needs: list[str], options: "RpiOptions") -> dict[str, bytes]:
    """The wheels that `needs` lead to on that machine, by file name: from a directory, else from the package index.

    Raises BuildError with what is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = _run(download_command(needs, options, folder), _PIP_TIMEOUT_S, _pip_environment(options))
        if done.returncode:
            raise BuildError(_why_not(done.stderr, options))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def download_command(needs: list[str], options: "RpiOptions", folder: str) -> list[str]:
    """pip's command that finds wheels for another machine without running anything of them."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={options.python}"]
    command += [f"--platform={glibc}_{options.arch}" for glibc in GLIBC]
    if options.wheels is not None:
        if not options.wheels.is_dir():
            raise BuildError(f"--wheels {options.wheels}: there is no such directory")
        command += ["--no-index", "--no-cache-dir", f"--find-links={options.wheels.resolve()}"]
    return [*command, f"--dest={folder}", *needs]


def _pip_environment(options: "RpiOptions") -> dict[str, str]:
    """With a directory of wheels nothing else may be found, whatever pip is configured to look at."""
    if options.wheels is None:
        return dict(os.environ)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def _why_not(said: str, options: "RpiOptions") -> str:
    if "No module named pip" in said:
        return "pip is not installed for this Python, and it finds the wheels; python -m ensurepip"
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1] if errors else said.strip()[-200:]
    where = f"in {options.wheels}" if options.wheels is not None else "from the package index"
    return one_line(
        f"not every wheel for {options.arch}, Python {options.python} could be had {where}: {reason}; "
        "with --wheels DIR they are taken from a directory"
    )


def _run(
    command: list[str], timeout_s: float, environment: dict[str, str], folder: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
            cwd=folder,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(one_line(f"{command[2]} did not end well: {error}")) from error
