"""Backups of a microcontroller over its cable, and putting one onto another board.

A board is read and written at its prompt, so its application is stopped as for `cellctl flash`. While a history is
being written the board has no slot file: whatever is cut, no application starts on half of one. The last rename gives
it back.
"""

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cell_controller.core import codec
from cell_controller.core.texts import date
from cell_controller.errors import CellError
from cell_controller.micropython.loader import SECTOR
from host_tools import backup as bk
from host_tools import backup_linux
from host_tools import board_console as console
from host_tools.backup import Backup, Prepared
from host_tools.board_access import check_state, open_session, stop_application
from host_tools.board_history import AREA, FILES, KIND, has_history, prepare
from host_tools.bundle import MICROCONTROLLERS, Bundle, sha256
from host_tools.flash import HEALTH_S, flash, install_loader
from host_tools.flash_outcome import BoardRefusedError, Outcome, UnfitError, code_of, slot_of
from host_tools.flash_plan import digest_of, digests_from, plan, sectors_of
from host_tools.flash_progress import Quiet, Tell
from host_tools.output import DONE, TIMED_OUT
from host_tools.serial_port import SerialPort
from host_tools.slot_session import SlotSession

JOURNAL = "journal"
NOT_ITS_OWN = ("main.py", "loader.py", "boot.py", "stay", "crashes", "crash.txt", "restored")
MOST_BYTES = 64 * 1024  # of a board's own files
RESTORED = "/restored"
TOLD = ("board", "target", "version", "controller_sha256", "cell_sha256", "image_sha256")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass
class _Visit:
    """One talk with a board. `ran`: its application was stopped for it and has to start again."""

    line: SerialPort
    tell: Tell
    health_s: float
    about: dict[str, Any] = field(default_factory=dict)
    ran: bool = False
    session: SlotSession = field(init=False)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.line.name

    def ask(self) -> None:
        """Who is there; nothing is stopped yet."""
        self.tell.step(self.name, "asking who is there")
        present = console.who(self.line)
        if present.kind == console.APPLICATION:
            self.about, self.ran = dict(present.about), True

    def enter(self) -> None:
        """To the prompt and the slot writer; `about` is then what the application, or else its image, says."""
        if self.ran:
            if self.about.get("trial"):
                raise BoardRefusedError(
                    f"{self.name}: its application is still on trial; try again in a minute"
                )
            self.tell.step(self.name, "stopping the application")
            stop_application(self.line, self.about)
        self.session, self.facts = open_session(self.line, history=True)
        if not self.ran:
            self.about = self._in_slot()

    def _in_slot(self) -> dict[str, Any]:
        """What the image in the slot says of itself, {} where there is none."""
        text = self.facts["slot"] or self.facts["slot.restoring"]
        slot = slot_of(text)
        if not slot:
            return {}
        raw = self.session.ask("manifest", slot, int(text.split()[1]))
        found: Any = codec.unpack(base64.b64decode(raw))
        return {**found, "image_sha256": text.split()[3]}

    def leave(self) -> str:
        """As it was: the application starts again, or the board stays at its prompt. What people are told of it."""
        if not self.ran:
            self.session.leave()
            return "the board is at its prompt"
        self.session.reset()
        return self.wait()

    def wait(self) -> str:
        """Until the application is well. Raises nothing: the words say it."""
        self.tell.step(self.name, "waiting until the application is well")
        again = console.wait_healthy(self.line, self.health_s, lambda about: bool(about.get("safe_mode")))
        if again.kind != console.APPLICATION:
            return ""
        self.about = dict(again.about)
        return f"{again.about.get('cell')} runs, {again.about.get('state')}"

    # --- reading ---

    def area(self) -> bytes:
        """The journal as it lies; blank sectors do not go over the line."""
        count = self._sectors()
        blank = b"\xff" * SECTOR
        there = digests_from(self.session.ask("digests", JOURNAL, count))
        wanted = sum(digest != digest_of(blank) for digest in there)
        self.tell.step(self.name, f"reading {wanted} sectors of the journal")
        content: list[bytes] = []
        done = 0
        for number, digest in enumerate(there):
            sector = blank
            if digest != digest_of(blank):
                sector = base64.b64decode(self.session.ask("sector", JOURNAL, number))
                if digest_of(sector) != digest:
                    raise BoardRefusedError(
                        f"{self.name}: sector {number} of the journal reads differently twice"
                    )
                done += 1
                self.tell.part(self.name, done, wanted)
            content.append(sector)
        return b"".join(content)

    def _sectors(self) -> int:
        return int(self.session.ask("sizes")[JOURNAL])

    def files(self) -> dict[str, bytes]:
        """The board's own files: settings, certificate, and what its equipment keeps, such as a calibration."""
        found = {}
        sizes: dict[str, int] = self.session.ask("names")
        own = {name: sizes[name] for name in sorted(sizes) if is_own(name)}
        if sum(own.values()) > MOST_BYTES:
            raise BoardRefusedError(
                f"{self.name}: its files have over {MOST_BYTES // 1024} KB; remove what is not needed"
            )
        for name, size in own.items():
            self.tell.step(self.name, f"reading /{name}")
            content = b"".join(
                base64.b64decode(self.session.ask("piece", f"/{name}", at)) for at in range(0, size, SECTOR)
            )
            if self.session.ask("digest", f"/{name}") != sha256(content):
                raise BoardRefusedError(f"{self.name}: /{name} reads differently twice")
            found[name] = content
        return found

    # --- writing ---

    def write(self, backup: Backup, area: bytes) -> int:
        """The history and the files of a backup; no application starts meanwhile. Returns how many bytes were sent."""
        session = self.session
        session.ask("begin")
        self.tell.step(self.name, "no application starts from here on until all is written")
        session.ask("hold")
        made = plan(area, digests_from(session.ask("digests", JOURNAL, len(area) // SECTOR)), [])
        self.tell.step(self.name, f"writing {len(made.sent)} of {made.total} sectors of the journal")
        session.stream(
            "sectors",
            JOURNAL,
            frames=made.frames,
            progress=lambda done, total: self.tell.part(self.name, done, total),
        )
        there = digests_from(session.ask("digests", JOURNAL, made.total))
        if there != [digest_of(sector) for sector in sectors_of(area)]:
            raise BoardRefusedError(f"{self.name}: the journal reads back as something else")
        for name in sorted(backup.files):
            path = "/" + name.removeprefix(FILES)
            if name.startswith(FILES) and session.ask("digest", path) != sha256(backup.files[name]):
                self.tell.step(self.name, f"writing {path}")
                session.write_file(path, backup.files[name])
        session.write_file(RESTORED, backup.id.encode())
        return len(made.frames)


def is_own(name: str) -> bool:
    """Whether a file makes this board this one; the others come with the application or tell of the last start."""
    return bool(_NAME.fullmatch(name)) and name not in NOT_ITS_OWN and name.split(".")[0] != "slot"


def _talk(
    port: str,
    work: Callable[[SerialPort, dict[str, Any]], Outcome],
    cancel: threading.Event | None,
) -> Outcome:
    """Open the port and do it; whatever a board, a cable or an archive can do becomes an outcome."""
    facts: dict[str, Any] = {}
    begun = time.monotonic()
    try:
        with SerialPort(port, cancel=cancel) as line:
            outcome = work(line, facts)
    except CellError as error:
        text = str(error)
        outcome = Outcome(
            port, code_of(error), text if text.startswith(port) else f"{port}: {text}", facts=facts
        )
    facts["seconds"] = round(time.monotonic() - begun, 3)
    return outcome


# --- backup ---


def take(
    port: str,
    path: Path,
    *,
    cell: str = "",
    retire: bool = False,
    health_s: float = HEALTH_S,
    tell: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Read a board and keep it at `path`, readable by this user only; the application then starts again.

    cell: refuse another one. retire: the board does not start its application any more, so this is its last state.
    """

    def work(line: SerialPort, facts: dict[str, Any]) -> Outcome:
        visit = _Visit(line, tell or Quiet(), health_s)
        visit.ask()
        visit.enter()
        try:
            backup = bk.write_backup(path, _archive(visit, cell, retire))
            known = bk.history(backup)
        except (BoardRefusedError, bk.BackupError, OSError):
            visit.leave()  # after anything else the board, which hears nothing more, starts again by itself
            raise
        facts |= {"file": str(path), "manifest": backup.manifest, "history": known}
        if retire:
            visit.session.ask("retire")
            visit.session.leave()
            after = "the board is retired: it starts no application any more"
        else:
            after = visit.leave()
        if not after:
            text = (
                f"{path} is good, but the application did not answer within {health_s:g} s; look at the board"
            )
            return Outcome(port, TIMED_OUT, f"{port}: {text}", True, facts)
        return Outcome(
            port, DONE, f"{port}: {path}: {backup.cell}, {path.stat().st_size:,} bytes; {after}", True, facts
        )

    return _talk(port, work, cancel)


def _archive(visit: _Visit, cell: str, retire: bool) -> bytes:
    about = visit.about
    if not about.get("cell") or visit.facts["slot.restoring"]:
        raise BoardRefusedError(f"{visit.name}: has no cell of which there is a whole history")
    if cell and cell != about["cell"]:
        raise BoardRefusedError(f"{visit.name}: is cell {about['cell']}, not {cell}")
    area = visit.area()
    own = visit.files()
    files = {AREA: area, **{FILES + name: own[name] for name in own}}
    settings = Backup(Path(visit.name), {"kind": KIND}, files).settings
    manifest = {
        "kind": KIND,
        "cell": str(about["cell"]),
        "serial": str(about.get("serial") or settings.get("serial") or ""),
        "taken_ms": time.time_ns() // 1_000_000,
        "running": visit.ran and not retire,
        "retired": retire,
        "secrets": backup_linux.secrets_of(settings),
        "bundle_sha256": "",
        **{name: str(about.get(name) or "") for name in TOLD},
    }
    return backup_linux.pack(manifest, files)


# --- restore, swap ---


@dataclass(frozen=True)
class Wish:
    """What a board shall go on from. replace: also where it has a history of its own, kept beside `backup` then."""

    backup: Backup
    prepared: Prepared
    replace: bool = False

    @classmethod
    def of(cls, backup: Backup, complete: bool, replace: bool) -> "Wish":
        """The journal made of it. A retired board's is complete. Raises BackupError with the reason."""
        if complete and backup.manifest["running"]:
            raise bk.BackupError(
                f"{backup.path}: the controller ran on after it, so it cannot be complete; leave --complete out"
            )
        return cls(backup, prepare(backup, complete or bool(backup.manifest.get("retired"))), replace)

    def lines(self) -> list[str]:
        """What the technician reads before anything is done."""
        backup = self.backup
        lines = [
            f"backup of {backup.cell} taken {date(backup.manifest['taken_ms'] // 60_000)}, {backup.path}"
        ]
        if not self.prepared.unknown:
            return [*lines, "it is complete: every order goes on where it was", *self._said()]
        lines.append(
            "what was made after it is not known: no order goes on before you have said how far it came"
        )
        return [*lines, *self._said(), f"serial numbers go on {bk.SKIPPED_SERIALS} later"]

    def _said(self) -> list[str]:
        return [f"  {text}" for text in self.prepared.said]


def restore(
    port: str,
    wish: Wish,
    *,
    health_s: float = HEALTH_S,
    tell: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """History and identity onto a board that has the application of the same cell; it comes up Aborted."""

    def work(line: SerialPort, facts: dict[str, Any]) -> Outcome:
        visit = _Visit(line, tell or Quiet(), health_s)
        visit.ask()
        if visit.ran:
            bk.same_cell(wish.backup, str(visit.about.get("cell")))
        visit.enter()
        said = _put(visit, wish, facts, "")
        visit.ran = True
        visit.session.reset()
        after = visit.wait()
        if not after:
            text = f"{said}, but no application answered within {health_s:g} s; look at the board"
            return Outcome(port, TIMED_OUT, f"{port}: {text}", True, facts)
        return Outcome(port, DONE, f"{port}: {said}; {after}", said != AGAIN, facts)

    return _talk(port, work, cancel)


AGAIN = "was restored from this backup before; its history was left alone"


def _put(visit: _Visit, wish: Wish, facts: dict[str, Any], keep_image: str) -> str:
    """Refuse, or write it all. keep_image: in a swap, the image that may start; "" = the one that is there."""
    try:
        again = _may_write(visit, wish, bool(keep_image), facts)
    except (BoardRefusedError, UnfitError, bk.BackupError):
        visit.leave()  # nothing of its history was written
        raise
    if again:
        return AGAIN
    facts["wire_bytes"] = visit.write(wish.backup, wish.prepared.content)
    back = not keep_image or keep_image == visit.about.get("image_sha256")
    visit.session.ask("release", int(back))
    facts |= {"unknown": wish.prepared.unknown, "restored": wish.backup.id}
    return f"{wish.backup.cell} is restored"


def _may_write(visit: _Visit, wish: Wish, swaps: bool, facts: dict[str, Any]) -> bool:
    """True where it was done before. Raises where the board is not one for this backup."""
    name, backup = visit.name, wish.backup
    if not swaps:
        if not visit.about.get("cell"):
            raise UnfitError(f"{name}: has no application; use cellctl swap, which installs and restores")
        bk.same_cell(backup, str(visit.about["cell"]))
    else:
        install_loader(visit.session, visit.tell)
    count = visit._sectors()
    if count * SECTOR != len(wish.prepared.content):
        there = len(wish.prepared.content) // SECTOR
        raise UnfitError(
            f"{name}: has {count} sectors for the journal, the backup {there}; take a board of the same kind"
        )
    if visit.facts["slot.restoring"]:
        return False  # what is there is half of a history, and was let go before
    area = visit.area()
    if not has_history(area):
        return False
    if visit.facts["restored"] == backup.id:
        return True
    if not wish.replace:
        raise BoardRefusedError(
            f"{name}: has made things or has orders, its journal says; --replace keeps that here as a file and goes on"
        )
    facts["kept_as"] = str(_keep(visit, backup.path, area))
    return False


def _keep(visit: _Visit, beside: Path, area: bytes) -> Path:
    """The history that is replaced, as an archive beside the backup; its name is none that a folder is searched for."""
    about = visit.about
    manifest = {
        "kind": KIND,
        "cell": str(about.get("cell") or "unknown"),
        "serial": str(about.get("serial") or ""),
        "taken_ms": time.time_ns() // 1_000_000,
        "running": False,
        "retired": True,
        "secrets": [],
        "bundle_sha256": "",
        **{name: str(about.get(name) or "") for name in TOLD},
    }
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = beside.with_name(f"{beside.name}.replaced-{stamp}")
    bk.write_backup(path, backup_linux.pack(manifest, {AREA: area}))
    return path


def check_bundle(bundle: Bundle, backup: Backup) -> None:
    """Raises UnfitError, BackupError where the bundle is not for a board of this cell."""
    if bundle.target not in MICROCONTROLLERS:
        raise UnfitError(
            f"{bundle.path}: is for target {bundle.target}, no microcontroller; use cellctl swap HOST"
        )
    bk.same_cell(backup, str(bundle.manifest["cell"]))


def swap(
    port: str,
    bundle: Bundle,
    wish: Wish,
    *,
    dry_run: bool = False,
    health_s: float = HEALTH_S,
    tell: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """History, identity and application onto a replacement; the application's first start is on that history."""
    check_bundle(bundle, wish.backup)
    more: Mapping[str, Any] = {"health_s": health_s, "tell": tell, "cancel": cancel}
    if dry_run:
        return flash(port, bundle, dry_run=True, **more)

    def work(line: SerialPort, facts: dict[str, Any]) -> Outcome:
        visit = _Visit(line, tell or Quiet(), health_s)
        visit.ask()
        if visit.ran:
            check_state(visit.about, port)
        visit.enter()
        said = _put(visit, wish, facts, str(bundle.manifest["image"]["sha256"]))
        visit.session.ask("stay")
        visit.session.reset()  # the watchdog that guards the writing ends
        if not console.wait_prompt(line, health_s):
            return Outcome(
                port, TIMED_OUT, f"{port}: {said}, but the board did not come back; swap again", True, facts
            )
        return Outcome(port, DONE, said, said != AGAIN, facts)

    first = _talk(port, work, cancel)
    if not first.ok:
        return first
    second = flash(port, bundle, **more)
    text = second.text if second.ok else f"{second.text} (its history is there: swap again)"
    facts = {**second.facts, **first.facts, "seconds": second.facts["seconds"] + first.facts["seconds"]}
    return Outcome(port, second.code, f"{text}; {first.text}", first.changed or second.changed, facts)
