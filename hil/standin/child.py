"""The process that runs MicroPython for a stand-in board, from one boot to the next."""

import os
import pty
import secrets
import signal
import subprocess
import sys
import termios
from pathlib import Path

from hil.standin.device import layout
from hil.standin.parts import unix_port

LAUNCH = Path(__file__).parent / "launch.py"
OVERHEAD_BYTES = 37_000
"""What the stand-in's own objects take of the heap; added, so that the application has what was asked for."""

LEAVE_S = 2.0
"""How long a process that closed its console takes to be gone."""


class Child:
    """One run of MicroPython. `console` and `control` are descriptors to read from, both non-blocking."""

    def __init__(self, flash: int, shared: int, rom: int, rom_bytes: int, heap_bytes: int, raw: bool) -> None:
        """Starts it; it boots by itself. `raw`: into the raw REPL, so main.py is left out."""
        token = secrets.token_hex(8)
        self.mounted = f"\0mounted {token}\0".encode()
        self.ready = f"\0ready {token}\0".encode()
        self.announce = f"\0{token}".encode()
        self.console, terminal = pty.openpty()
        _plain(terminal)
        self.control, told = os.pipe()
        for descriptor in (self.console, self.control):
            os.set_blocking(descriptor, False)
        marks = (self.mounted, self.ready, self.announce)
        command = (
            "import vfs,uctypes,sys\n"
            f"vfs.mount(vfs.VfsRom(uctypes.bytearray_at({layout.ROM},{rom_bytes})),'/rom')\n"
            "sys.path.append('/rom')\n"
            "from _standin import boot\n"
            f"boot.run(globals(),{told},{raw},{', '.join(repr(mark.decode()) for mark in marks)})"
        )
        arguments = [unix_port(), heap_bytes + OVERHEAD_BYTES, rom, rom_bytes, flash, shared, command]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), *map(str, arguments)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            pass_fds=(flash, shared, rom, told),
            start_new_session=True,
            env={"TERM": "dumb", "PATH": "/usr/bin:/bin"},
        )
        os.close(terminal)
        os.close(told)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def executes(self) -> bool:
        """Whether Ctrl-C interrupts it now: it catches SIGINT only while it runs code and `kbd_intr` allows."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> 1 & 1)

    def interrupt(self) -> None:
        """What Ctrl-C does to a board that executes."""
        self._process.send_signal(signal.SIGINT)

    def status(self) -> int:
        """How it ended by itself: 0 or more, or below 0 the signal; waited for, its console is closed already."""
        try:
            return self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL

    def end(self) -> None:
        """Kill it and wait for it; what it printed before can still be read."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it and let go of everything."""
        self.end()
        os.close(self.console)
        os.close(self.control)


def _plain(terminal: int) -> None:
    """Bytes pass as they are, both ways; Ctrl-C is a byte."""
    mode = termios.tcgetattr(terminal)
    mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON | termios.ISTRIP | termios.BRKINT)
    mode[1] &= ~termios.OPOST
    mode[3] = 0
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
