"""What the flash tests share: small images with an application that speaks as a cell does, and boards for them."""

import argparse
import functools
import hashlib
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil.standin.board import StandIn
from host_tools import board_console, cellctl, commands_flash
from host_tools.bundle import Bundle, entries_of, image_entry
from host_tools.commands_common import Parser
from host_tools.device.slot_writer import SECTOR
from host_tools.flash import MAIN, flash, loader_source
from host_tools.flash_outcome import Outcome
from host_tools.output import Output, ToolError
from host_tools.raw_repl import RawRepl
from host_tools.romfs import image
from host_tools.serial_port import SerialPort
from host_tools.slot_session import SlotSession

# It does on the console what a real one does, and nothing else. `hold` stands for an item in work.
APPLICATION = """
import json, os, sys, select, machine
from fake_settings import VERSION, STATE, HOLD, WELL
if WELL == "unloadable":
    raise ValueError("the valve has no channel")
def start(boot):
    import micropython
    if WELL == "returns":
        return
    micropython.kbd_intr(-1)
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    def about():
        return {"cell": "paint-1", "board": "pico_w", "target": "rp2", "version": VERSION, "serial": "sn-7",
            "slot": boot.slot, "trial": boot.trial, "state": STATE, "has_item": HOLD, "healthy": WELL == "yes",
            "image_sha256": boot.sha256, "failed": boot.failed}
    def say(value):
        sys.stdout.buffer.write(json.dumps(value).encode() + b"\\r\\n")
    if WELL == "yes":
        boot.confirm()
        say({"health": about()})
    while True:
        line = b""
        while not line.endswith(b"\\n"):
            if poll.poll(20):
                line += sys.stdin.buffer.read(1)
        if line[:1] != b"{":
            continue
        ask = json.loads(line)
        reply = {"id": ask["id"], "ok": True, "text": "", "data": about()}
        if ask["verb"] in ("repl", "restart") and HOLD:
            reply["ok"], reply["text"] = False, "Idle: an item is in work"
        say(reply)
        if ask["verb"] in ("repl", "restart") and reply["ok"]:
            if ask["verb"] == "repl":
                with open("/stay", "w") as file:
                    file.write("once")
            machine.reset()
"""


def application(
    version: str = "1.0",
    *,
    state: str = "Aborted",
    has_item: bool = False,
    well: str = "yes",
    size: int = 20_000,
    seed: int = 1,
    files: dict[str, bytes] | None = None,
) -> bytes:
    """An image with the fake application and about `size` bytes beside it, half of which deflate.

    well: yes, no (it runs, but never says that it is well), returns, unloadable.
    """
    filler = random.Random(seed)
    parts: dict[str, bytes] = {}
    for number in range(max(0, size - 3000) // 2000):
        noise = filler.randbytes(1000)
        parts[f"part_{number:03d}.bin"] = noise + b"cell_controller" * 66 + bytes(10)
    settings = f"VERSION, STATE, HOLD, WELL = {version!r}, {state!r}, {has_item!r}, {well!r}\n"
    return image(
        {
            "cell_controller/__init__.py": b"",
            "cell_controller/micropython/__init__.py": b"",
            "cell_controller/micropython/start.py": APPLICATION.encode(),
            "fake_settings.py": settings.encode(),
            **parts,
            **(files or {}),
        }
    )


def bundle_of(content: bytes, target: str = "rp2", version: str = "1.0") -> Bundle:
    """A bundle as `read_bundle` gives it."""
    files = {"image.romfs": content}
    manifest: dict[str, Any] = {
        "format": 1,
        "target": target,
        "cell": "paint-1",
        "board": "pico_w",
        "versions": {"package": version},
        "controller_sha256": "0" * 64,
        "cell_sha256": "1" * 64,
        "image": image_entry(content),
        "files": entries_of(files),
    }
    return Bundle(Path("paint-1.bundle"), manifest, files)


def digest(content: bytes) -> str:
    """As slot files and `about` have it."""
    return hashlib.sha256(content).hexdigest()


def slot_line(slot: str, content: bytes) -> bytes:
    """A slot file."""
    entry = image_entry(content)
    return f"{slot} {len(content)} {entry['crc32']} {entry['sha256']}\n".encode()


FIRST = {"a": 36 + 32, "b": 36 + 32 + 72}


def slot_content(file: Path, slot: str, length: int) -> bytes:
    """What lies in a slot of a board's flash file."""
    start = FIRST[slot] * SECTOR
    return file.read_bytes()[start : start + length]


def put_slot(file: Path, slot: str, content: bytes) -> None:
    """Put content into a slot of a board that is switched off."""
    whole = bytearray(file.read_bytes())
    start = FIRST[slot] * SECTOR
    whole[start : start + 72 * SECTOR] = content.ljust(72 * SECTOR, b"\xff")
    file.write_bytes(whole)


@functools.cache
def flash_of(content: bytes) -> bytes:
    """The flash of a board that runs `content` in slot a, made once."""
    with tempfile.TemporaryDirectory() as folder:
        return _installed(Path(folder, "flash"), content).read_bytes()


def _installed(file: Path, content: bytes) -> Path:
    with StandIn(file) as board, SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        session = SlotSession(repl)
        session.write_file("/loader.py", loader_source())
        session.write_file("/main.py", MAIN)
        session.write_file("/slot", slot_line("a", content))
        session.leave()
    put_slot(file, "a", content)
    return file


class Steps:
    """Keeps what a job tells; `at` runs something when a step begins with a text."""

    def __init__(self, at: dict[str, Callable[[], object]] | None = None) -> None:
        self.steps: list[str] = []
        self.parts: list[tuple[int, int]] = []
        self._at = dict(at or {})

    def step(self, port: str, text: str) -> None:
        self.steps.append(text)
        for start in [start for start in self._at if text.startswith(start)]:
            self._at.pop(start)()

    def part(self, port: str, done: int, total: int) -> None:
        self.parts.append((done, total))


def board_with(folder: Path, content: bytes, **more: Any) -> StandIn:
    """A board of a test's own that runs `content`; a context manager."""
    file = folder / "flash"
    file.write_bytes(flash_of(content))
    return StandIn(file, **more)


def put(board: StandIn, content: bytes, tell: Steps | None = None, **more: Any) -> Outcome:
    """Flash it, with times for a stand-in."""
    return flash(board.port, bundle_of(content), tell=tell, **{"health_s": 8.0, "back_s": 5.0, **more})


def runs(board: StandIn) -> dict[str, Any]:
    """What the application that runs says of itself."""
    with SerialPort(board.port) as port:
        present = board_console.wait_healthy(port, 10)
    assert present.kind == board_console.APPLICATION, present
    return present.about


def to_prompt(board: StandIn) -> None:
    """Have the application end; the board is at its prompt."""
    with SerialPort(board.port) as port:
        board_console.ask(port, "repl")
        assert board_console.wait_prompt(port, 10)


def typed(*words: str) -> int:
    """Run a command line as cellctl does, once it has these commands."""
    parser = Parser(prog="cellctl")
    commands_flash.add(parser.add_subparsers(required=True))
    out = Output("--json" in words)
    try:
        args: argparse.Namespace = parser.parse_args(words)
    except ToolError as error:
        return out.failure(error)
    return cellctl.run_command(args, out)
