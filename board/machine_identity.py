"""Who this Linux machine is, from what its kernel and its firmware say."""

import platform
from pathlib import Path

MODEL = "/proc/device-tree/model"
SERIAL = "/proc/device-tree/serial-number"
MACHINE_ID = "/etc/machine-id"
MOST = 120


def identity(root: Path = Path("/")) -> dict[str, str]:
    """ "model" and "serial" as the firmware has them, "machine_id" as Debian has it, "host"; "" for what is not there.

    `root`: where the files lie, for tests.
    """
    return {
        "model": _text(root, MODEL) or platform.machine(),
        "serial": _text(root, SERIAL),
        "machine_id": _text(root, MACHINE_ID),
        "host": platform.node(),
    }


def _text(root: Path, path: str) -> str:
    try:
        raw = (root / path.lstrip("/")).read_bytes()
    except OSError:
        return ""
    return raw.rstrip(b"\0\n").decode("utf-8", "replace")[:MOST]
