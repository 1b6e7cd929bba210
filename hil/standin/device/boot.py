"""What happens before the first line of Python on a board: memory, modules, file system, boot.py, main.py."""

import gc
import os
import sys

import micropython
import vfs

from . import clock, flash, layout, machine, network, pins, rp2_os, rp2_sys
from .shared import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _mount() -> None:
    device = flash.Flash(start=0, len=layout.FS_SECTORS * layout.SECTOR)
    try:
        files = vfs.VfsLfs2(device, progsize=layout.PAGE)
    except OSError:
        vfs.VfsLfs2.mkfs(device, progsize=layout.PAGE)
        files = vfs.VfsLfs2(device, progsize=layout.PAGE)
    vfs.umount("/")
    vfs.umount("/rom")
    vfs.mount(files, "/")
    os.chdir("/")


def _run(name: str, scope: "dict[str, Any]") -> None:
    try:
        with open(name) as file:
            source = file.read()
    except OSError:
        return
    try:
        micropython.kbd_intr(3)
        exec(compile(source, name, "exec"), scope)
        micropython.kbd_intr(-1)
    except SystemExit:
        raise
    except BaseException as error:  # a board prints whatever it is and goes on to the REPL
        micropython.kbd_intr(-1)
        sys.print_exception(error, sys.stdout)  # type: ignore[attr-defined]


def run(scope: "dict[str, Any]", control: int, raw: bool, mounted: str, ready: str, announce: str) -> None:
    """Boot. `control`: the pipe to the host; the texts are what the host waits for and takes out of the output."""
    micropython.kbd_intr(-1)  # until the first line of the application
    host.control = open(control, "wb")  # noqa: SIM115  open as long as the board is on
    modules = sys.modules
    own = [name for name in modules if name.startswith("_standin")]
    for name in own:
        del modules[name]
    modules["machine"] = machine
    modules["rp2"] = flash
    modules["network"] = network
    modules["os"] = modules["uos"] = rp2_os
    modules["sys"] = modules["usys"] = rp2_sys
    modules["time"] = modules["utime"] = clock
    rp2_sys.begin(announce.encode())
    pins.release()
    _mount()
    del sys.argv[:]
    sys.path[:] = ["", ".frozen", "/lib"]
    scope.clear()
    scope["__name__"] = "__main__"
    gc.collect()
    sys.stdout.write(mounted)
    _run("boot.py", scope)
    if not raw:
        _run("main.py", scope)
    sys.stdout.write(ready)
