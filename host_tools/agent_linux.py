"""What runs on the cell's machine for one step of a deployment: one JSON question in, one JSON line out."""

import json
import sys
from pathlib import Path
from typing import Any

from host_tools import backup_linux, slots_linux, trial_linux
from host_tools.slots_linux import Places, RefusedError


def answer(question: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Carry out one step; (its answer, bytes that follow it). Raises RefusedError with the reason."""
    places = Places.read(question["places"])
    cell = str(question["cell"])
    verb = question["do"]
    if verb == "look":
        restored = backup_linux.restored_from(places.journal(cell))
        return {**slots_linux.look(places, cell), "restored": restored}, b""
    if verb == "result":
        return trial_linux.news(places, cell, question["id"], question["known"]), b""
    if verb == "confirm":
        return trial_linux.confirm(places, cell, question["id"]), b""
    if verb == "backup":
        return {}, backup_linux.take(places, cell)
    with trial_linux.locked(places.root(cell)):
        if verb == "receive":
            slots_linux.receive(places, cell, question["slot"], question["sha256"], payload)
        elif verb == "install":
            slots_linux.install(places, cell, question["slot"], question["sha256"], question["board"])
            _leave_agent(places, cell, payload)
        elif verb == "restore":
            return backup_linux.put(places, cell, question, payload), b""
        elif verb == "try":
            return {"id": trial_linux.begin(places, cell, question)}, b""
        else:
            raise RefusedError(f"there is no step {verb!r}; use the cellctl of the bundle")
    return {}, b""


def _leave_agent(places: Places, cell: str, archive: bytes) -> None:
    """What the unit runs before each start: this program, as one file."""
    root = places.root(cell)
    slots_linux.write(root / "agent.pyz", archive)
    slots_linux.write(root / "places.json", json.dumps(places.said()).encode())


def main() -> None:
    """The question is the last word; what came on standard input behind this program is its payload."""
    try:
        reply, more = answer(json.loads(sys.argv[-1]), sys.stdin.buffer.read())
        reply = {"ok": True, **reply}
    except RefusedError as error:
        reply, more = {"ok": False, "text": str(error)}, b""
    except OSError as error:
        reply, more = (
            {"ok": False, "text": f"{error.filename or 'the machine'}: {error.strerror or error}"},
            b"",
        )
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n" + more)
    sys.stdout.buffer.flush()
    if not reply["ok"]:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(trial_linux.settle_main(Path(sys.argv[0]).resolve().parent))
