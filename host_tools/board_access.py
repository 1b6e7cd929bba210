"""The way to the slot writer of a board: past its application, which is asked, to the prompt."""

from collections.abc import Mapping
from typing import Any

from host_tools import board_console as console
from host_tools.flash_outcome import BoardRefusedError, UnfitError
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import LineTimeoutError, SerialPort
from host_tools.slot_session import SlotSession, probe

PROMPT_S = 15.0
STANDING = ("Stopped", "Aborted")


def check_state(about: Mapping[str, Any], name: str) -> None:
    """Raise BoardRefusedError unless the application may be interrupted: nothing moves and nothing is in work."""
    state = str(about.get("state", "unknown"))
    cell = about.get("cell", "the cell")
    if state in STANDING or (state == "Idle" and not about.get("has_item")):
        return
    if state == "Idle":
        raise BoardRefusedError(
            f"{name}: {cell} is Idle with an item in work; end or scrap it, then try again"
        )
    raise BoardRefusedError(
        f"{name}: {cell} is in {state}; it is changed only when Stopped, Aborted, or Idle without an item: "
        "stop it first"
    )


def stop_application(port: SerialPort, about: Mapping[str, Any]) -> None:
    """Have the application end and the board come back at its prompt, outputs at the abort values."""
    check_state(about, port.name)
    reply = console.ask(port, "repl")
    if reply is None:
        raise LineTimeoutError(
            f"{port.name}: the application did not answer; look at the board, then try again"
        )
    if not reply.get("ok"):
        raise BoardRefusedError(f"{port.name}: the cell refused: {reply.get('text') or reply.get('name')}")
    if not console.wait_prompt(port, PROMPT_S):
        raise LineTimeoutError(
            f"{port.name}: the board did not come back at its prompt within {PROMPT_S:g} s"
        )


def open_session(
    port: SerialPort, *, slots: bool = True, history: bool = False
) -> tuple[SlotSession, dict[str, Any]]:
    """The slot writer on a board at its prompt, and the board's facts.

    slots: whether the firmware must be able to run applications from slots; raises UnfitError with what it lacks.
    history: whether the requests of history_writer.py are wanted.
    """
    repl = RawRepl(port)
    for _ in range(2):
        repl.enter()
        firmware = probe(repl)
        missing = [name for name in firmware.missing if slots or name not in ("vfs", "vfs.VfsRom", "deflate")]
        if missing:
            repl.leave()
            raise UnfitError(
                f"{port.name}: the firmware ({firmware.platform} {firmware.version}) has no {', '.join(missing)}; "
                "put the firmware on it that docs/flash.md names: the application runs from a ROM file system"
            )
        session = SlotSession(repl, deflated="deflate" not in firmware.missing, history=history)
        facts: dict[str, Any] = session.ask("facts")
        if not facts["mounted"]:
            return session, facts
        session.ask("stay")  # code of a slot is in use; a fresh start leaves both slots alone
        session.reset()
        if not console.wait_prompt(port, PROMPT_S):
            break
    raise LineTimeoutError(f"{port.name}: the board did not come back at its prompt within {PROMPT_S:g} s")
