"""Makes what a guest boots from: Debian's kernel for arm64, and a file system with Python and little else.

    python -m hil.gpio_guest.image [--kernel PACKAGE] [--fresh]

Everything comes from Debian's packages and PyPI's wheels, into .cache/gpio-guest/. It is made again when something here
that decides what is in it changes; for newer packages, say `--fresh`.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import re
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hil.gpio_guest.bytecode import compiled, same_version
from hil.gpio_guest.cpio import FILE, PROGRAM, Archive
from hil.gpio_guest.errors import GuestError
from hil.gpio_guest.packages import AptRoot, members, wheels

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "gpio-guest"
SITE = "usr/lib/python-site"

KERNEL = os.environ.get("GPIO_GUEST_KERNEL", "linux-image-6.12-arm64")
"""Another by the environment, or by --kernel. Debian 12 has this one beside its older linux-image-arm64: it is of the
generation that Raspberry Pi OS has, in which a parameter decides whether a line of a BCM2835 that is let go stays an
output."""

KEPT = 3
"""How many images stay in the cache, some 70 MB each."""

REQUIREMENTS = ("gpiod>=2.3", "pyserial>=3.5", "smbus2>=0.4.3")

LIBRARIES = (
    "libc",
    "libm",
    "libpthread",
    "libdl",
    "librt",
    "libgcc_s",
    "libexpat",
    "libz",
    "libffi",
    "libcrypto",
)
"""Of these the guest has the shared library; `_ssl`, `_sqlite3` and others that need more are left out."""

PACKAGES_OF_LIBRARIES = ("libc6", "libgcc-s1", "libexpat1", "zlib1g", "libffi", "libssl3")

LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|lib2to3|turtledemo|tkinter|ensurepip|distutils|pydoc_data|venv|curses|dbm|wsgiref|xmlrpc|msilib|"
    r"__pycache__|config-[^/]*|encodings/(cp|mac|iso|koi|big|euc|gb|hz|shift|johab|jis|ptcp|tis|uu|kz)[^/]*)(/|\.py$|$)"
)
"""Parts of the standard library that nothing in a cell needs."""

EXTENSIONS = (
    *(
        "_asyncio",
        "_contextvars",
        "_ctypes",
        "_decimal",
        "_hashlib",
        "_json",
        "_multiprocessing",
        "_posixshmem",
    ),
    *("_queue", "_typing", "_zoneinfo", "mmap", "resource", "termios"),
)
"""The standard library's modules in C that the guest has, besides those inside its interpreter."""

MODULES = (
    "i6300esb",
    "i2c-dev",
    *("usb-common", "usbcore", "usbip-core", "vhci-hcd", "i2c-tiny-usb"),
)
"""Modules of the kernel that tests may load, each after what it needs: a watchdog, and I2C by USB. 0.9 MB."""

MODULE_FOLDER = "lib/modules"


@dataclass(frozen=True)
class Image:
    """Files to boot from, and what they were made of."""

    kernel: Path
    dtb: Path
    initrd: Path
    python: str
    """Version of the guest's Python, "3.11"."""
    release: str
    """Version of the guest's kernel, "6.12.117+deb12-arm64"."""
    downloaded_mb: float
    """What was fetched for it, package lists included."""
    build_s: float

    @property
    def kernel_version(self) -> tuple[int, int]:
        """The kernel's, for example (6, 12)."""
        major, minor = self.release.split(".")[:2]
        return int(major), int(minor)


def build(kernel: str = KERNEL, fresh: bool = False, say: Callable[[str], None] = lambda line: None) -> Image:
    """The image with the kernel of the Debian package `kernel`; made first where it is not there, or when `fresh`.

    `say` is told each step. Raises GuestError.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"image-{_key(kernel)}"
    with _alone(CACHE / "lock"):
        if fresh or not (folder / "image.json").is_file():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as made:
                _make(kernel, Path(made), say)
                shutil.rmtree(folder, ignore_errors=True)
                (Path(made) / "image").rename(folder)
                _prune()
    facts = json.loads((folder / "image.json").read_text())
    return Image(folder / "Image", folder / "rpi-3-b.dtb", folder / "root.cpio", **facts)


def _prune() -> None:
    """Remove all but the newest images: those of former sources are not asked for again."""
    images = sorted(CACHE.glob("image-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in images[KEPT:]:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time builds."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key(kernel: str) -> str:
    """A hash of what decides the content: the sources that make it, the kernel's name, the Python that compiles."""
    here = Path(__file__).parent
    sources = [(here / f"{name}.py").read_bytes() for name in ("image", "cpio", "bytecode", "packages")]
    text = f"{kernel} {sys.version_info[:2]}".encode()
    return hashlib.sha256(b"\0".join([*sources, text])).hexdigest()[:12]


def _make(kernel: str, folder: Path, say: Callable[[str], None]) -> None:
    """The image in `folder`/image, from packages fetched into `folder`."""
    start = time.monotonic()
    apt = AptRoot(folder / "apt")
    say("lists of packages")
    fetched_bytes = apt.update()
    python = _python_version(apt)
    names = [*_kernel_packages(apt, kernel), "busybox-static", *_python_packages(apt, python)]
    say(f"packages {' '.join(names)}")
    debs = apt.download(names, folder / "debs")
    say(f"wheels {' '.join(REQUIREMENTS)} for Python {python}")
    fetched = wheels(REQUIREMENTS, python, folder / "wheels")
    made = folder / "image"
    made.mkdir()
    say("kernel and file system")
    release = ""
    with (made / "root.cpio").open("wb") as out:
        archive = Archive(out)
        for deb in debs:
            if deb.name.startswith("linux-image"):
                release = _take_kernel(deb, made, archive) or release
            else:
                _take_programs(deb, python, archive)
        for wheel in fetched:
            _take_wheel(wheel, python, archive)
        archive.close()
    fetched_bytes += sum(path.stat().st_size for path in [*debs, *fetched])
    facts = {
        "python": python,
        "release": release,
        "downloaded_mb": round(fetched_bytes / 1e6, 1),
        "build_s": round(time.monotonic() - start, 1),
    }
    (made / "image.json").write_text(json.dumps(facts))


def _kernel_packages(apt: AptRoot, kernel: str) -> list[str]:
    """The package with the kernel itself, where `kernel` only points at the newest."""
    return [name for name in apt.depends(kernel) if name.startswith("linux-image-")] or [kernel]


def _python_version(apt: AptRoot) -> str:
    for name in apt.depends("python3-minimal"):
        if found := re.fullmatch(r"python(3\.\d+)-minimal", name):
            return found[1]
    raise GuestError(
        "python3-minimal depends on no python3.N-minimal; are this machine's package sources Debian's?"
    )


def _python_packages(apt: AptRoot, python: str) -> list[str]:
    names = [f"python{python}-minimal", f"libpython{python}-minimal", f"libpython{python}-stdlib"]
    needed = {need for name in names for need in apt.depends(name)} | {"libgcc-s1"}
    return names + sorted(need for need in needed if need.startswith(PACKAGES_OF_LIBRARIES))


def _take_kernel(deb: Path, made: Path, archive: Archive) -> str:
    """The kernel, the Raspberry Pi's device tree and MODULES out of `deb`; what the kernel's version is."""
    release = ""
    module = re.compile(rf".*/kernel/.*/({'|'.join(MODULES)})\.ko(\.xz)?")

    def wanted(name: str) -> bool:
        kernel_or_tree = name.startswith("boot/vmlinuz-") or name.endswith("/broadcom/bcm2837-rpi-3-b.dtb")
        return kernel_or_tree or bool(module.fullmatch(name))

    for member, data in members(deb, wanted):
        if found := module.fullmatch(member.name):
            archive.file(f"{MODULE_FOLDER}/{found[1]}.ko", lzma.decompress(data) if found[2] else data)
        elif member.name.startswith("boot/"):
            release = member.name.removeprefix("boot/vmlinuz-")
            (made / "Image").write_bytes(data)
        else:
            (made / "rpi-3-b.dtb").write_bytes(data)
    return release


def _take_programs(deb: Path, python: str, archive: Archive) -> None:
    """Busybox, Python and shared libraries out of `deb`."""
    library = re.compile(
        rf"(usr/)?lib/(aarch64-linux-gnu/)?(ld-linux-aarch64|{'|'.join(LIBRARIES)})(-[\d.]+)?\.so[\d.]*"
    )
    module = re.compile(rf"usr/lib/python{re.escape(python)}/lib-dynload/({'|'.join(EXTENSIONS)})\.cpython.*")
    stdlib = f"usr/lib/python{python}"

    def wanted(name: str) -> bool:
        if name.startswith(f"{stdlib}/"):
            return bool(module.fullmatch(name)) or (name.endswith(".py") and not LEFT_OUT.search(name))
        return name in ("bin/busybox", "usr/bin/busybox", f"usr/bin/python{python}") or bool(
            library.fullmatch(name)
        )

    for member, data in members(deb, wanted):
        name = member.name
        if member.issym():
            archive.link(name, member.linkname)
        elif name.endswith(".py"):
            _take_source(name, data, python, archive)
        elif name.endswith("busybox"):
            archive.file("bin/busybox", data, PROGRAM)
            archive.link("bin/sh", "busybox")
        else:
            archive.file(name, data, PROGRAM if member.mode & 0o100 or ".so" in name else FILE)
            if name == f"usr/bin/python{python}":
                archive.link("usr/bin/python3", f"python{python}")


def _take_source(name: str, source: bytes, python: str, archive: Archive) -> None:
    """A module, as byte code in the place of its source where this Python can make it."""
    if same_version(python):
        archive.file(f"{name}c", compiled(source, f"/{name}"))
    else:
        archive.file(name, source)


def _take_wheel(wheel: Path, python: str, archive: Archive) -> None:
    with zipfile.ZipFile(wheel) as content:
        for name in content.namelist():
            if name.endswith((".so", "/METADATA")):
                archive.file(f"{SITE}/{name}", content.read(name))
            elif name.endswith(".py") and "/tools/" not in name:
                _take_source(f"{SITE}/{name}", content.read(name), python, archive)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the image, telling each step; where it is there already, say what it is."""
    parser = argparse.ArgumentParser(
        prog="python -m hil.gpio_guest.image", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--kernel", default=KERNEL, metavar="PACKAGE", help=f"Debian package, default {KERNEL}"
    )
    parser.add_argument("--fresh", action="store_true", help="make it again, with the newest packages")
    given = parser.parse_args(arguments)
    try:
        image = build(given.kernel, given.fresh, say=lambda line: print(line, flush=True))
    except GuestError as error:
        print(error, file=sys.stderr)
        return 1
    for key, value in asdict(image).items():
        print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
