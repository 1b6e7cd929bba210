"""Starts the Unix port in this process, with the flash and the shared memory where an RP2 has them.

A script, run by `child.py`: SITE HEAP_BYTES ROM_FD ROM_BYTES FLASH_FD SHARED_FD COMMAND. The addresses are
free in a Python process; one that is taken ends it with a message.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
READ, WRITE = 1, 2
SHARED, FIXED = 0x01, 0x100000  # MAP_FIXED_NOREPLACE: refuse rather than overwrite


def main(arguments: list[str]) -> int:
    """Runs MicroPython's REPL to its end, a soft reset."""
    site, heap, rom, rom_bytes, flash, shared, command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # without its host there is no board
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]

    def place(address: int, size: int, fd: str, access: int) -> None:
        if libc.mmap(address, size, access, SHARED | FIXED, int(fd), 0) != address:
            reason = os.strerror(ctypes.get_errno())
            raise SystemExit(f"stand-in: no room for {size} bytes at {address:#x}: {reason}")

    sys.path.append(str(Path(__file__).parent / "device"))
    import layout  # type: ignore[import-not-found]

    place(layout.STORAGE, layout.STORAGE_BYTES, flash, READ)
    place(layout.CELLS, layout.STORAGE_BYTES, flash, READ | WRITE)
    place(layout.SHARED, layout.SHARED_BYTES, shared, READ | WRITE)
    place(layout.ROM, int(rom_bytes), rom, READ)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path.append(site)
    import micropython_run  # type: ignore[import-not-found]

    status: int = micropython_run.run_main(["micropython", "-X", f"heapsize={heap}", "-i", "-c", command])
    return status


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
