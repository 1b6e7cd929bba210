"""Runs inside the guest as its first process: starts programs for the host, over one serial line.

Messages are lines of JSON. Those to the host begin with MARK, so that words of the kernel on the same line do no harm.

    host:  {"do": "start", "id": 1, "code": "print(2)", "args": []}    a Python script, in a process forked from here
           {"do": "import", "module": "board.linux_board"}             here, so that scripts need not
           {"do": "start", "id": 2, "argv": ["python3", "-m", "x"]}    any program
           {"do": "input", "id": 2, "data": "text", "end": false}      to its standard input
           {"do": "signal", "id": 2, "signal": 9}
    guest: {"ready": {...}}
           {"id": 1, "pid": 71}   {"id": 1, "out": "2\\n"}   {"id": 1, "err": ""}   {"id": 1, "exit": 0}

A program's exit is told after all it printed; one that a signal ended has minus its number, as in subprocess.
"""

import contextlib
import importlib
import json
import os
import selectors
import signal
import sys
import termios
import traceback
from typing import Any

MARK = "\x1e"
CHUNK_BYTES = 65_536
OUT, ERR = "out", "err"


class Program:
    """A program that runs, and the two pipes it prints to."""

    def __init__(self, ident: int, pid: int, stdin: int, pipes: dict[int, str]) -> None:
        self.ident = ident
        self.pid = pid
        self.stdin = stdin
        self.pipes = pipes
        self.status: int | None = None


class Agent:
    """The loop over the serial line and the programs' pipes."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._selector = selectors.DefaultSelector()
        self._programs: dict[int, Program] = {}
        self._received = b""
        self._selector.register(line, selectors.EVENT_READ, None)
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        self._woken = woken
        self._selector.register(woken, selectors.EVENT_READ, None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def serve(self) -> None:
        """For ever: the host ends the machine."""
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._line:
                    self._hear()
                elif key.fd == self._woken:
                    os.read(self._woken, CHUNK_BYTES)
                    self._reap()
                else:
                    self._forward(key.data, key.fd)

    def tell(self, message: dict[str, Any]) -> None:
        """To the host."""
        data = f"{MARK}{json.dumps(message)}\n".encode()
        while data:
            data = data[os.write(self._line, data) :]

    def _hear(self) -> None:
        self._received += os.read(self._line, CHUNK_BYTES)
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            message = json.loads(line)
            do = message.pop("do")
            if do == "start":
                self._start(**message)
            elif do == "import":
                with contextlib.suppress(ImportError):  # the script that needs it will say so
                    importlib.import_module(message["module"])
            elif message["id"] in self._programs:
                program = self._programs[message["id"]]
                if do == "signal" and program.status is None:
                    os.kill(program.pid, message["signal"])
                elif do == "input":
                    self._put(program, message["data"].encode(), message["end"])

    def _put(self, program: Program, data: bytes, end: bool) -> None:
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(program.stdin, data) :]
        if end:
            os.close(program.stdin)
            program.stdin = -1

    def _start(
        self, id: int, argv: list[str] | None = None, code: str = "", args: list[str] | None = None
    ) -> None:
        """Fork; in the child run `code`, or become `argv`."""
        stdin, to_stdin = os.pipe()
        from_out, stdout = os.pipe()
        from_err, stderr = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            for number, end in enumerate((stdin, stdout, stderr)):
                os.dup2(end, number)
            os.closerange(3, 256)
            _become(argv, code, args or [])
        for end in (stdin, stdout, stderr):
            os.close(end)
        program = Program(id, pid, to_stdin, {from_out: OUT, from_err: ERR})
        self._programs[id] = program
        for end in program.pipes:
            self._selector.register(end, selectors.EVENT_READ, program)
        self.tell({"id": id, "pid": pid})

    def _forward(self, program: Program, end: int) -> None:
        """Tell what the program printed; at the end of both pipes, and not before, how it ended."""
        data = os.read(end, CHUNK_BYTES)
        if data:
            self.tell({"id": program.ident, program.pipes[end]: data.decode(errors="backslashreplace")})
            return
        self._selector.unregister(end)
        os.close(end)
        del program.pipes[end]
        self._tell_end(program)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                for program in self._programs.values():
                    if program.pid == pid and program.status is None:
                        program.status = os.waitstatus_to_exitcode(status)
                        self._tell_end(program)
                        break

    def _tell_end(self, program: Program) -> None:
        if program.status is None or program.pipes:
            return
        del self._programs[program.ident]
        if program.stdin >= 0:
            os.close(program.stdin)
        self.tell({"id": program.ident, "exit": program.status})


def _become(argv: list[str] | None, code: str, args: list[str]) -> None:
    """The child's life; does not return."""
    status = 1
    try:
        if argv is not None:
            os.execvp(argv[0], argv)
        sys.argv = ["script", *args]
        exec(compile(code, "script", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - whatever ends a script is told on its standard error
        traceback.print_exc()
    finally:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _raw(line: int) -> None:
    """No echo and no change of bytes."""
    mode = termios.tcgetattr(line)
    mode[0] = mode[1] = mode[3] = 0
    mode[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
    termios.tcsetattr(line, termios.TCSANOW, mode)


def _facts() -> dict[str, Any]:
    """What the host wants to know of the guest. Imports what scripts would have to import each anew."""
    gpiod = importlib.import_module("gpiod")
    with open("/proc/uptime") as uptime:
        up_s = float(uptime.read().split()[0])
    python = ".".join(str(part) for part in sys.version_info[:3])
    return {"python": python, "gpiod": gpiod.__version__, "kernel": os.uname().release, "up_s": up_s}


def main() -> None:
    """Serve the serial line that the first argument names."""
    line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
    _raw(line)
    agent = Agent(line)
    agent.tell({"ready": _facts()})
    agent.serve()


if __name__ == "__main__":
    main()
