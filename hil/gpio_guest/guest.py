"""A virtual machine with Linux and Python in it, for as long as a `with` lasts.

    with Guest(VIRT) as guest:
        guest.lines.set_input(3, 1)
        print(guest.python("import gpiod; print(gpiod.Chip('/dev/gpiochip0').get_info())").out)

It needs Debian's qemu-system-arm. Nothing in the guest outlives it, and it does not outlive the process that made it.
"""

import contextlib
import json
import queue
import shutil
import signal as signals
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from hil.gpio_guest.agent import MARK
from hil.gpio_guest.errors import GuestError
from hil.gpio_guest.image import MODULE_FOLDER, Image, build
from hil.gpio_guest.lines import HostLines
from hil.gpio_guest.machines import VIRT, Machine
from hil.gpio_guest.project import write_project
from hil.gpio_guest.qmp import Qmp
from hil.gpio_guest.qtest import Qtest

QEMU = "qemu-system-aarch64"
APT_LINE = "apt-get install --yes --no-install-recommends qemu-system-arm"
BOOT_S = 120.0
LOG_LINES = 200
PANIC = "Kernel panic"
SLOW_AND_UNUSED = (
    *("crypto_kdf108_init", "crypto_algapi_init", "jent_mod_init", "load_system_certificate_list"),
    *("bpf_tcp_ca_kfunc_init", "bpf_dummy_struct_ops_init"),
)
"""Self-tests of ciphers and the like: under emulation a third of the kernel's start."""

KERNEL_WORDS = f"quiet loglevel=4 panic=-1 rodata=off nokaslr initcall_blacklist={','.join(SLOW_AND_UNUSED)}"


def why_not() -> str:
    """Why a guest cannot be started here, with the remedy; empty where it can."""
    missing = [name for name in (QEMU, "apt-get", "dpkg-deb", "setpriv") if shutil.which(name) is None]
    if QEMU in missing:
        return f"{QEMU} is not installed: {APT_LINE}"
    return f"no {', '.join(missing)} here: a guest is made on Debian" if missing else ""


@dataclass(frozen=True)
class Outcome:
    """How a program in the guest ended."""

    exit: int
    """Its exit status; minus the signal that ended it."""
    out: str
    err: str

    def checked(self) -> str:
        """`out` of a program that ended well. Raises GuestError with what it said."""
        if self.exit:
            raise GuestError(f"ended with {self.exit}\n{self.out}{self.err}")
        return self.out


class Program:
    """A program that runs in the guest."""

    def __init__(self, guest: "Guest", ident: int) -> None:
        self._guest = guest
        self._ident = ident
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._unread = ""
        self._out: list[str] = []
        self._err: list[str] = []
        self._exit: int | None = None
        self.pid = 0
        """Its process in the guest."""

    def take(self, message: dict[str, Any]) -> None:
        """What the agent says of it; called by the thread that reads the serial line."""
        self._told.put(message)

    def line(self, timeout_s: float = 10.0) -> str:
        """The next line it prints, without its end. Raises GuestError when none comes or it ended before."""
        deadline = time.monotonic() + timeout_s
        while "\n" not in self._unread:
            if self._exit is not None:
                raise GuestError(
                    f"it ended with {self._exit} before a line\n{''.join(self._out + self._err)}"
                )
            self._next(deadline, "print a line")
        line, self._unread = self._unread.split("\n", 1)
        return line

    def tell(self, text: str, end: bool = False) -> None:
        """`text` to its standard input, and the end of that where `end`."""
        self._guest.send({"do": "input", "id": self._ident, "data": text, "end": end})

    def signal(self, number: int) -> None:
        """A signal to it."""
        self._guest.send({"do": "signal", "id": self._ident, "signal": number})

    def kill(self, timeout_s: float = 10.0) -> None:
        """SIGKILL, and wait until the kernel has taken everything from it."""
        if self._exit is None:
            self.signal(signals.SIGKILL)
            self.wait(timeout_s)

    def wait(self, timeout_s: float = 10.0) -> Outcome:
        """How it ended. Raises GuestError where it has not by then; it is killed and goes on being waited for."""
        deadline = time.monotonic() + timeout_s
        while self._exit is None:
            try:
                self._next(deadline, "end")
            except GuestError:
                with contextlib.suppress(GuestError):
                    self.signal(signals.SIGKILL)
                raise
        return Outcome(self._exit, "".join(self._out), "".join(self._err))

    def started(self) -> "Program":
        """Wait for its process."""
        deadline = time.monotonic() + 10.0
        while not self.pid:
            self._next(deadline, "start")
        return self

    def _next(self, deadline: float, what: str) -> None:
        try:
            message = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            said = "".join(self._out[-20:] + self._err[-20:])
            raise GuestError(f"it did not {what} in time; it said:\n{said}\n{self._guest.log()}") from None
        if "out" in message:
            self._out.append(message["out"])
            self._unread += message["out"]
        elif "err" in message:
            self._err.append(message["err"])
        elif "pid" in message:
            self.pid = message["pid"]
        elif "exit" in message:
            self._exit = message["exit"]
        else:
            raise GuestError(f"the guest is gone\n{self._guest.log()}")


class Guest:
    """A machine that runs from `__enter__` to `__exit__`. Its members are for one thread."""

    lines: HostLines
    """The GPIO lines as they are outside."""
    qtest: Qtest
    qmp: Qmp
    facts: dict[str, Any]
    """What the guest says of itself: python, gpiod, kernel, up_s."""
    boot_s: float
    """From the start of QEMU until Python in the guest could take a program."""

    def __init__(
        self,
        machine: Machine = VIRT,
        image: Image | None = None,
        append: str = "",
        extra: Sequence[Path] = (),
    ) -> None:
        """`image`: what to boot, made where none is given. `append`: further words for the kernel.

        `extra`: files and folders of the project that the guest gets besides project.FOLDERS.
        """
        self._extra = extra
        self.machine = machine
        self.image = image or build()
        self._append = append
        self._programs: dict[int, Program] = {}
        self._count = 0
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._ready = threading.Event()
        self._held = contextlib.ExitStack()

    # --- life ---

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Boot; `stop` must follow, and the thread that calls this must live until then: the machine dies with it.

        Raises GuestError with the last lines of the log.
        """
        if reason := why_not():
            raise GuestError(reason)
        began = time.monotonic()
        try:
            self._boot(Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="gpio-guest-"))))
            if not self._ready.wait(BOOT_S) or not hasattr(self, "facts"):
                took_s = time.monotonic() - began
                raise GuestError(f"{self.machine.name} is not up after {took_s:.1f} s\n{self.log()}")
            self.boot_s = time.monotonic() - began
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _boot(self, folder: Path) -> None:
        initrd = folder / "initrd"
        with initrd.open("wb") as out:
            write_project(out, self.image.python, self._extra)
            with self.image.initrd.open("rb") as root:
                shutil.copyfileobj(root, out)
        words = f"console={self.machine.console} {KERNEL_WORDS} {self.machine.append} {self._append}"
        options = [
            *self.machine.options(self.image),
            *("-accel", "tcg", "-display", "none", "-nodefaults", "-no-reboot"),
            *("-initrd", str(initrd), "-append", f"{words} -- /dev/{self.machine.console}"),
            *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
            *("-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
            *("-qtest", f"unix:{folder / 'qtest'},server=on,wait=off", "-qtest-log", "/dev/null"),
        ]
        self._errors = self._held.enter_context((folder / "errors").open("w+"))
        self._process = self._held.enter_context(
            subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", QEMU, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
            )
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[bytes] = self._process.stdin
        reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="console", daemon=True
        )
        self._held.callback(
            reader.join
        )  # these run from the last to the first: the end of QEMU ends the reader
        self._held.callback(self._process.kill)
        reader.start()
        self.qmp = Qmp(self._connected(folder / "qmp"))
        self._held.callback(self.qmp.close)
        self.qtest = Qtest(self._connected(folder / "qtest"))
        self._held.callback(self.qtest.close)
        self.lines = self.machine.controller(self.qtest, self.qmp)

    def _connected(self, path: Path) -> socket.socket:
        """A connection to a socket that QEMU makes when it has started."""
        deadline = time.monotonic() + BOOT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                time.sleep(0.01)
        raise GuestError(f"{QEMU} did not start\n{self.log()}")

    def stop(self) -> None:
        """End the machine, as a plug pulled. A second call does nothing."""
        self._held.close()

    @property
    def process_id(self) -> int:
        """QEMU's."""
        return self._process.pid

    # --- programs ---

    def python(self, code: str, *args: str, timeout_s: float = 20.0) -> Outcome:
        """Run a script in a process of its own in the guest, forked from one that has gpiod and what was preloaded."""
        return self.start_python(code, *args).wait(timeout_s)

    def run(self, *argv: str, timeout_s: float = 30.0) -> Outcome:
        """Run a program of the guest, for example "python3", "-S", "-m", "module"; its folder is the project's."""
        return self.start_program(*argv).wait(timeout_s)

    def load(self, *modules: str) -> None:
        """Load modules of the kernel, of image.MODULES, each after what it needs; one that is there stays."""
        for module in modules:
            if self.run("busybox", "test", "-e", f"/sys/module/{module.replace('-', '_')}").exit:
                self.run("busybox", "insmod", f"/{MODULE_FOLDER}/{module}.ko").checked()

    def unload(self, module: str) -> None:
        """Take a module out of the kernel. Raises GuestError where something uses it."""
        self.run("busybox", "rmmod", module).checked()

    def preload(self, module: str) -> None:
        """Let scripts that `python` and `start_python` run from now on find `module` imported already."""
        self.send({"do": "import", "module": module})

    def start_python(self, code: str, *args: str) -> Program:
        """Like `python`, without waiting for its end."""
        return self._program({"code": code, "args": list(args)})

    def start_program(self, *argv: str) -> Program:
        """Like `run`, without waiting for its end."""
        return self._program({"argv": list(argv)})

    def end_programs(self) -> None:
        """Kill every program that still runs, and wait until it has let go of its lines."""
        for program in self._programs.values():
            program.kill()
        self._programs.clear()

    def _program(self, what: dict[str, Any]) -> Program:
        self._count += 1
        program = self._programs[self._count] = Program(self, self._count)
        self.send({"do": "start", "id": self._count, **what})
        return program.started()

    def send(self, message: dict[str, Any]) -> None:
        """A message to the agent. Raises GuestError where the machine is gone."""
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[self._input.write(data) :]
        except (OSError, ValueError) as error:  # a ValueError is that of a pipe closed here
            raise GuestError(f"the guest is gone\n{self.log()}") from error

    # --- what it says ---

    def log(self) -> str:
        """The last lines of the kernel, and what QEMU complained of."""
        errors = ""
        if not self._errors.closed:
            self._errors.seek(0)
            errors = self._errors.read()
        return "\n".join([*self._log, errors]).strip()

    def _read(self, console: IO[bytes]) -> None:
        received = b""
        while data := console.read(65_536):
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                before, mark, message = line.decode(errors="backslashreplace").partition(MARK)
                if before.strip():
                    self._log.append(before.rstrip())
                    if PANIC in before:  # not every board's QEMU ends with its kernel
                        self._ready.set()
                if mark:
                    self._dispatch(json.loads(message))
        self._log.append(received.decode(errors="backslashreplace"))
        self._ready.set()
        for program in list(self._programs.values()):
            program.take({"gone": True})

    def _dispatch(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.facts = message["ready"]
            self._ready.set()
        else:
            self._programs[message["id"]].take(message)
