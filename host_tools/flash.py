"""Puts an application onto a microcontroller over its serial line; at any moment one whole application is there.

The image goes into the slot that does not run; one rename switches; the board tries it and goes back by itself if it
does not say that it is well. What is on its way when the cable, the power or this tool goes is left where it is: the
former application is untouched, and the board starts it again.
"""

import threading
import time
from collections.abc import Mapping
from importlib import resources
from typing import Any

from cell_controller.errors import CellError
from cell_controller.micropython import loader
from host_tools import board_console as console
from host_tools.board_access import check_state, open_session, stop_application
from host_tools.board_console import Present
from host_tools.bundle import Bundle, sha256
from host_tools.flash_outcome import (
    BoardRefusedError,
    Outcome,
    UnfitError,
    code_of,
    is_well,
    last_line,
    named,
    sectors,
    slot_of,
    version,
    who,
)
from host_tools.flash_plan import Plan, digests_from, plan, unfit_byte_code
from host_tools.flash_progress import Quiet, Tell
from host_tools.output import DONE, REFUSED, TIMED_OUT
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import CancelledError, LineLostError, SerialPort
from host_tools.slot_session import SlotSession

SECTOR = loader.SECTOR
HEALTH_S = 60.0
BACK_S = 20.0  # a board that hears nothing for 10 s resets, then boots
MAIN = b"import loader\nloader.start()\n"
PLATFORMS = {"rp2": "rp2", "esp32": "esp32", "unix": "linux"}


def loader_source() -> bytes:
    """The loader as it lies on a board."""
    package = resources.files("cell_controller.micropython")
    return (package / "loader.py").read_bytes()


def install_loader(session: SlotSession, tell: Tell) -> bool:
    """The loader and what starts it, where they are not there; the loader first, so that each start finds it."""
    wrote = False
    for path, content in (("/loader.py", loader_source()), ("/main.py", MAIN)):
        if session.ask("digest", path) != sha256(content):
            tell.step(session.port.name, f"installing {path}")
            session.write_file(path, content)
            wrote = True
    return wrote


def flash(
    port: str,
    bundle: Bundle,
    *,
    dry_run: bool = False,
    health_s: float = HEALTH_S,
    back_s: float = BACK_S,
    tell: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Bring the application of `bundle` onto the board at `port` and wait until it says that it is well.

    health_s: how long it may take to do so. back_s: how long to look for the former application after a failure.
    Never raises for what a board, a cable or a bundle can do: the outcome says it.
    """
    job = _Job(port, bundle, dry_run, health_s, back_s, tell or Quiet(), cancel or threading.Event())
    begun = time.monotonic()
    outcome = job.run()
    outcome.facts.setdefault("seconds", round(time.monotonic() - begun, 3))
    return outcome


class _Job:
    """One board, one bundle."""

    def __init__(
        self,
        name: str,
        bundle: Bundle,
        dry_run: bool,
        health_s: float,
        back_s: float,
        tell: Tell,
        cancel: threading.Event,
    ) -> None:
        self.name = name
        self.bundle = bundle
        self.dry_run = dry_run
        self.health_s = health_s
        self.back_s = back_s
        self.tell = tell
        self.cancel = cancel
        self.stopped = False  # the former application does not run because of us
        self.facts: dict[str, Any] = {"dry_run": True} if dry_run else {}

    def run(self) -> Outcome:
        try:
            self.image = self.bundle.image
            entry = self.bundle.manifest["image"]
            self.digest, self.crc = str(entry["sha256"]), str(entry["crc32"])
            with SerialPort(self.name, cancel=self.cancel) as port:
                return self._with_port(port)
        except CellError as error:
            return self._outcome(code_of(error), str(error))

    def _outcome(self, code: int, text: str, changed: bool = False) -> Outcome:
        return Outcome(self.name, code, text, changed, self.facts)

    def _with_port(self, port: SerialPort) -> Outcome:
        self.port = port
        self.tell.step(self.name, "asking who is there")
        present = console.who(port)
        try:
            if present.kind == console.APPLICATION:
                return self._replace(present.about)
            return self._at_prompt()
        except CellError as error:
            if self.stopped and not isinstance(error, CancelledError):
                return self._failed(error)
            raise

    # --- the application runs ---

    def _replace(self, about: Mapping[str, Any]) -> Outcome:
        self.facts["before"] = who(about)
        if about.get("image_sha256") == self.digest:
            if about.get("trial"):
                return self._wait()
            return self._outcome(DONE, f"{self.name}: nothing to do, it runs {self._what()}")
        target = about.get("target")
        if target and target != self.bundle.target:
            raise UnfitError(
                f"{self.name}: the board runs target {target}, the bundle is for {self.bundle.target}; "
                f"build it with --target {target}"
            )
        check_state(about, self.name)
        if self.dry_run:
            text = f"would stop {named(about)} ({about.get('state')}) and put {self._what()} in its place"
            return self._outcome(DONE, f"{self.name}: {text}; at most {len(self.image)} bytes to send")
        self.tell.step(self.name, f"stopping {named(about)}")
        self.stopped = True
        stop_application(self.port, about)
        return self._at_prompt()

    # --- at the prompt ---

    def _at_prompt(self) -> Outcome:
        self.tell.step(self.name, "looking at the board")
        session, facts = open_session(self.port)
        if self.stopped:
            return self._transfer(session, facts)
        try:
            return self._transfer(session, facts)
        except UnfitError:
            session.leave()
            raise

    def _transfer(self, session: SlotSession, facts: dict[str, Any]) -> Outcome:
        self._check_board(facts)
        if facts["slot.restoring"]:
            raise BoardRefusedError(
                f"{self.name}: a restore was cut off here, so its history is not a whole one; "
                "type that cellctl restore or swap again"
            )
        active = slot_of(facts["slot"])
        there = facts["slot"].split()
        if active and there[3] == self.digest and not facts["slot.try"] and not facts["slot.trying"]:
            if self.dry_run:
                return self._dry(session, f"it has {self._what()} and would only start it")
            session.reset()
            return self._wait()
        if self.dry_run and not session.ask("digest", "/loader.py"):
            return self._dry(session, f"would install the loader and all of {self._what()}")
        if not self.dry_run:
            self._install(session)
        slot = "b" if active == "a" else "a"
        made = self._plan(session, slot, active)
        if self.dry_run:
            return self._dry(session, f"would put {self._what()} into slot {slot}: to send {sectors(made)}")
        return self._write(session, slot, made)

    def _dry(self, session: SlotSession, text: str) -> Outcome:
        session.leave()
        return self._outcome(DONE, f"{self.name}: {text}")

    def _check_board(self, facts: Mapping[str, Any]) -> None:
        """Refuse a board on which the image cannot run, before anything is written."""
        platform = facts["platform"]
        wanted = PLATFORMS.get(self.bundle.target)
        if platform != wanted:
            fits = next((target for target, name in PLATFORMS.items() if name == platform), None)
            remedy = f"build it with --target {fits}" if fits else "no target fits this board"
            raise UnfitError(
                f"{self.name}: the bundle is for {self.bundle.target}, the board is {platform}; {remedy}"
            )
        problem = unfit_byte_code(self.image, int(facts["mpy"]), facts["maxsize"].bit_length())
        if problem:
            raise UnfitError(f"{self.name}: {problem}")
        if "storage" in facts:
            whole = loader.FS_SECTORS * SECTOR
            if facts["fs"] > whole:
                raise UnfitError(
                    f"{self.name}: the firmware's file system takes {facts['fs'] // 1024} KB of the flash, "
                    f"not {whole // 1024}, so there is no room for slots; put the firmware of docs/flash.md on it"
                )
            self._fits((facts["storage"] - loader.FS_SECTORS - loader.JOURNAL_SECTORS) // 2)
        elif not ("journal" in facts and "romfs" in facts):
            raise UnfitError(
                f"{self.name}: the firmware has no partitions 'journal' and 'romfs'; "
                "put the firmware on it that docs/flash.md names"
            )

    def _fits(self, sectors: int) -> None:
        if len(self.image) > max(sectors, 0) * SECTOR:
            raise UnfitError(
                f"{self.name}: the image has {len(self.image)} bytes, a slot of this board {max(sectors, 0) * SECTOR}; "
                "leave out what the cell does not need, or take a board with more flash"
            )

    def _install(self, session: SlotSession) -> None:
        """What starts an application; from here on a failure leaves a board that has to start again."""
        if install_loader(session, self.tell):
            self.stopped = True

    def _plan(self, session: SlotSession, slot: str, active: str) -> Plan:
        self.tell.step(self.name, "comparing")
        sizes = session.ask("sizes")
        self._fits(sizes["slot_" + slot])
        count = -(-len(self.image) // SECTOR)
        there = digests_from(session.ask("digests", slot, count))
        other: list[bytes] = []
        if active and plan(self.image, there, []).sent:
            other = digests_from(session.ask("digests", active, sizes["slot_" + active]))
        made = plan(self.image, there, other)
        self.facts |= {
            "slot": slot,
            "image_sha256": self.digest,
            "sectors": made.total,
            "kept": len(made.kept),
            "copied": len(made.copied),
            "sent": len(made.sent),
            "wire_bytes": len(made.frames),
        }
        return made

    def _write(self, session: SlotSession, slot: str, made: Plan) -> Outcome:
        self.stopped = True
        begun = time.monotonic()
        session.ask("begin")
        self.tell.step(self.name, f"sending {sectors(made)}")
        written = session.stream(
            "sectors",
            slot,
            frames=made.frames,
            progress=lambda done, total: self.tell.part(self.name, done, total),
        )
        if written != made.writes:
            raise BoardRefusedError(f"{self.name}: the board wrote {written} sectors of {made.writes}")
        self.tell.step(self.name, "reading back, switching")
        session.ask("switch", slot, len(self.image), self.crc, self.digest)
        self.facts["transfer_s"] = round(time.monotonic() - begun, 3)
        session.reset()
        return self._wait(f"; slot {slot}, sent {sectors(made)}")

    # --- the board has been reset ---

    def _wait(self, how: str = "") -> Outcome:
        self.stopped = True
        self.tell.step(self.name, "waiting until it is well")
        present = console.wait_healthy(self.port, self.health_s, self._enough)
        about = present.about
        if present.kind == console.APPLICATION and about.get("image_sha256") == self.digest:
            if is_well(about):
                return self._well(about, how)
            return self._back(self._send_back(), "it did not say that it was well")
        if present.kind == console.AT_PROMPT and self._can_go_back():
            return self._back(
                console.wait_healthy(self.port, self.health_s, self._enough), "it did not start"
            )
        return self._back(present, "")

    @staticmethod
    def _enough(about: Mapping[str, Any]) -> bool:
        return bool(about.get("safe_mode"))

    def _well(self, about: Mapping[str, Any], how: str) -> Outcome:
        self.facts["after"] = who(about)
        state = about.get("state")
        if state != "Aborted":
            text = (
                f"{self.name}: {self._what()} runs, but came up in {state}, not Aborted; look at the machine"
            )
            return self._outcome(REFUSED, text, True)
        return self._outcome(DONE, f"{self.name}: {self._what()} runs, Aborted, outputs safe{how}", True)

    def _can_go_back(self) -> bool:
        """Reset a board at its prompt that has a former application to start; False where it has none."""
        repl = RawRepl(self.port)
        repl.enter()
        if repl.run(_HAS_FORMER).strip() != "1":
            repl.leave()
            return False
        self.tell.step(self.name, "it did not start; going back")
        repl.start("import machine\nmachine.reset()\n")
        return True

    def _send_back(self) -> Present:
        """The new application answers, but is not well: a reset without its word leads to the former one."""
        self.tell.step(self.name, "it is not well; going back")
        console.ask(self.port, "restart", 2.0)
        return console.wait_healthy(self.port, self.health_s, self._enough)

    def _back(self, present: Present, why: str) -> Outcome:
        """What runs instead of what was wished, and why."""
        about = present.about
        if present.kind == console.APPLICATION and about.get("image_sha256") != self.digest:
            self.facts["after"] = who(about)
            why = str(about.get("failed") or why or "it was not started")
            last = last_line(about)
            runs = f"{named(about)} runs again, {about.get('state')}"
            return self._outcome(REFUSED, f"{self.name}: went back: {why}{last}; {runs}")
        if present.kind == console.AT_PROMPT:
            why = self._reasons() or why or "no application started"
            return self._outcome(
                REFUSED, f"{self.name}: {why}; no application runs, the board is at its prompt"
            )
        heard = f"; it said {present.said[-80:]!r}" if present.said else ""
        why = why or f"nothing was heard of an application within {self.health_s:g} s"
        return self._outcome(
            TIMED_OUT,
            f"{self.name}: {why}{heard}; switch the board off and on: it starts the former application, if it had one",
        )

    def _reasons(self) -> str:
        """What a board at its prompt has written down about a start that failed."""
        try:
            repl = RawRepl(self.port)
            repl.enter()
            said = repl.run(_REASONS)
            repl.leave()
        except CellError:
            return ""
        failed, crash = [*said.split("\0"), "", ""][:2]
        parts = [failed.strip(), *crash.strip().splitlines()[-1:]]
        return "; ".join(part for part in parts if part)

    def _failed(self, error: CellError) -> Outcome:
        """Something went wrong after the former application was stopped: look who runs now."""
        self.tell.step(self.name, "failed; waiting for the former application")
        code, reason = code_of(error), str(error)
        reason = reason.removeprefix(f"{self.name}: ")
        try:
            if isinstance(error, LineLostError):
                self.port.reopen(self.back_s)
            elif isinstance(error, UnfitError):
                self._restart()
            present = console.wait_healthy(self.port, self.back_s, self._enough)
        except CellError:
            present = Present(console.SILENT)
        if present.kind == console.APPLICATION:
            self.facts["after"] = who(present.about)
            runs = f"{named(present.about)} runs, {present.about.get('state')}"
        elif present.kind == console.AT_PROMPT:
            runs = "the board is at its prompt; a reset starts what it has"
        else:
            runs = "the board starts its former application by itself; it does not answer here now"
        return self._outcome(code or REFUSED, f"{self.name}: {reason}; {runs}")

    def _restart(self) -> None:
        """The writer waits for requests; have it reset now instead of after its time."""
        self.port.write(b'["reset"]\n')

    def _what(self) -> str:
        manifest = self.bundle.manifest
        return f"{manifest['cell']} {version(manifest)} ({self.digest[:8]})"


_HAS_FORMER = """
import os
print(int("slot" in os.listdir("/")))
"""
_REASONS = """
for n in ("/slot.failed","/crash.txt"):
 try:
  print(open(n).read()[-1500:],end="\\0")
 except OSError:
  print("",end="\\0")
"""
