"""The hardware watchdog's driver, as a process inside the guest that the host leads word by word."""

import select
import sys

from board.watchdog_device import HardwareWatchdog
from cell_controller.errors import BoardError

SCAN_S = 0.01


def main(timeout_s: int) -> None:
    """Open it, say what time it took or why not, and feed it each scan until "close" or the end of the input."""
    watchdog = HardwareWatchdog("/dev/watchdog", timeout_s)
    try:
        watchdog.open()
    except BoardError as error:
        print(f"refused {error}", flush=True)
        return
    print(f"open {watchdog.timeout_s}", flush=True)
    while not select.select([sys.stdin], [], [], SCAN_S)[0]:
        watchdog.feed()
    watchdog.close()
    print("closed", flush=True)
    sys.stdin.readline()
