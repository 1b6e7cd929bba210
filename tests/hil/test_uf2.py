"""A genuine firmware image in an emulator: `pytest --uf2 PATH tests/hil/test_uf2.py`, with rp2040py installed.

Function and heap only: the emulator is not cycle-accurate.
"""

import contextlib
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hil.repl import Repl

NEEDS_UF2 = "needs --uf2 PATH, an RPI_PICO or RPI_PICO_W image of MicroPython, which no package registry has"
BOOT_S = 60.0
_LISTENS = re.compile(rb"listening on (/dev/\S+)")


@contextlib.contextmanager
def emulated(image: Path, kind: str, boot_s: float = BOOT_S) -> Iterator[str]:
    """The port of an emulated Pico that runs `image`. Raises AssertionError with what the emulator said."""
    beside = Path(sys.executable).parent / "rp2040py"
    program = str(beside) if beside.exists() else shutil.which("rp2040py")
    assert program, "rp2040py is not installed: pip install rp2040py"
    command = [program, "micropython", "--pty", "--board", kind, "--image", str(image)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield _port_of(process, boot_s)
    finally:
        process.kill()  # it does not end on SIGTERM while the firmware does nothing
        process.communicate()


def _port_of(process: "subprocess.Popen[bytes]", boot_s: float) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + boot_s
    said = b""
    while not (found := _LISTENS.search(said)):
        left = deadline - time.monotonic()
        ready = left > 0 and select.select([process.stdout], [], [], left)[0]
        data = os.read(process.stdout.fileno(), 4096) if ready else b""
        assert data, f"the emulator opened no port; it said {said.decode(errors='replace')!r}"
        said += data
    return found[1].decode()


@pytest.fixture(scope="module")
def port(request: pytest.FixtureRequest) -> Iterator[str]:
    """The port of the Pico whose firmware `--uf2` names."""
    given = request.config.getoption("--uf2", default=None)
    if not given:
        pytest.skip(NEEDS_UF2)
    image = Path(str(given))
    kind = "pico_w" if "PICO_W" in image.name.upper() else "pico"
    with emulated(image, kind) as port:
        yield port


def test_the_firmware_answers_in_the_raw_repl(port: str) -> None:
    with Repl(port) as repl:
        repl.send(b"\r\x03\x01")
        repl.until(b"raw REPL; CTRL-B to exit\r\n>", BOOT_S)
        said = repl.run("import sys,gc;gc.collect();print(sys.platform,gc.mem_free())")
    platform, free = said.split()
    assert platform == "rp2"
    assert int(free) > 100_000


def test_what_the_emulator_says_is_shown_when_it_opens_no_port(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "print('bad image')"], stdout=subprocess.PIPE)
    with process, pytest.raises(AssertionError, match="bad image"):
        _port_of(process, 10)
