"""What makes one board differ from another: its serial, its Wi-Fi, its broker. Written by `cellctl provision`."""

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from cell_controller.errors import CellError, CellFileError
from host_tools import board_console as console
from host_tools.board_access import open_session, stop_application
from host_tools.bundle import sha256
from host_tools.flash import HEALTH_S
from host_tools.flash_outcome import Outcome, code_of
from host_tools.flash_progress import Quiet, Tell
from host_tools.models import Table
from host_tools.output import DONE, TIMED_OUT, USAGE
from host_tools.serial_port import LineTimeoutError, SerialPort
from host_tools.slot_session import SlotSession
from host_tools.toml_file import Problems, model_of, read_toml

SETTINGS = "/settings.json"
CERTIFICATE = "/ca.der"
SECRETS = ("password",)
MASK = "********"
MOST_SETTINGS = 2048  # bytes; a board reads them as a whole
MOST_CERTIFICATE = 8192

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s*(.*?)\s*-----END CERTIFICATE-----", re.DOTALL)

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class WifiTable(Table):
    """[wifi]: the network the board joins."""

    ssid: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    password: str = ""

    @field_validator("password")
    @classmethod
    def _length(cls, value: str, _: ValidationInfo) -> str:
        if value and not 8 <= len(value) <= 63:
            raise ValueError("has a length outside 8..63, as WPA2 wants; an open network has none")
        return value


class BrokerTable(Table):
    """[broker]: where the cell publishes and takes orders from."""

    host: Name
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    user: Annotated[str, StringConstraints(max_length=64)] = ""
    password: Annotated[str, StringConstraints(max_length=128)] = ""
    tls: bool = False


class TimeTable(Table):
    """[time]: the server that tells the board the time. Without it the broker's host is asked."""

    host: Annotated[str, StringConstraints(max_length=64)]
    port: Annotated[int, Field(ge=1, le=65535)] = 123


class SettingsFile(Table):
    """settings.toml of one board."""

    serial: Name | None = None
    wifi: WifiTable | None = None
    broker: BrokerTable | None = None
    time: TimeTable | None = None


def read_settings(path: Path) -> bytes:
    """The file as a board keeps it, JSON. Raises CellFileError with every problem; none repeats a password."""
    problems = Problems()
    raw = read_toml(path, path.name, problems)
    model = model_of(SettingsFile, raw, path.name, problems) if raw is not None else None
    if problems.errors or model is None:
        raise CellFileError([_without_secrets(line) for line in problems.errors])
    content = json.dumps(model.model_dump(exclude_none=True, exclude_unset=True), sort_keys=True).encode()
    if len(content) > MOST_SETTINGS:
        raise CellFileError([f"{path.name}: has {len(content)} bytes as JSON, a board takes {MOST_SETTINGS}"])
    return content


def _without_secrets(line: str) -> str:
    """A line about a password without its value."""
    return re.sub(r"(: password) = .*?(?= (?:has a length|is longer|is not text))", r"\1", line)


def read_certificate(path: Path) -> bytes:
    """A CA certificate as DER. Raises CellFileError where the file has none, or has several."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CellFileError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    if b"PRIVATE KEY" in raw:
        raise CellFileError([f"{path}: holds a private key; the board needs the certificate of the CA only"])
    found = _PEM.findall(raw)
    if len(found) > 1:
        raise CellFileError([f"{path}: holds {len(found)} certificates; give the CA's alone"])
    if found:
        try:
            raw = base64.b64decode(b"".join(found[0].split()), validate=True)
        except ValueError as error:
            raise CellFileError([f"{path}: its certificate is damaged: {error}; copy it again"]) from error
    if not _is_der(raw):
        raise CellFileError([f"{path}: is no certificate, neither PEM nor DER"])
    if len(raw) > MOST_CERTIFICATE:
        raise CellFileError([f"{path}: has {len(raw)} bytes, a board takes {MOST_CERTIFICATE}"])
    return raw


def _is_der(raw: bytes) -> bool:
    """Whether it is one whole ASN.1 sequence."""
    if len(raw) < 4 or raw[0] != 0x30:
        return False
    if raw[1] < 0x80:
        return len(raw) == 2 + raw[1]
    digits = raw[1] & 0x7F
    return 1 <= digits <= 3 and len(raw) == 2 + digits + int.from_bytes(raw[2 : 2 + digits], "big")


def masked(value: Any) -> Any:
    """Settings as they may be shown."""
    if isinstance(value, Mapping):
        return {key: MASK if key in SECRETS and entry else masked(entry) for key, entry in value.items()}
    return value


def provision(
    port: str,
    files: Mapping[str, bytes],
    *,
    health_s: float = HEALTH_S,
    tell: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Write `files` (by their path on the board) where they differ, then start the application again.

    Without files: read what is there; facts["settings"] then has it, secrets masked. Never raises for a board.
    """
    tell = tell or Quiet()
    facts: dict[str, Any] = {}
    begun = time.monotonic()
    try:
        with SerialPort(port, cancel=cancel) as line:
            outcome = _provision(line, files, health_s, tell, facts)
    except CellError as error:
        outcome = Outcome(port, code_of(error), str(error), facts=facts)
    facts["seconds"] = round(time.monotonic() - begun, 3)
    return outcome


def _provision(
    line: SerialPort, files: Mapping[str, bytes], health_s: float, tell: Tell, facts: dict[str, Any]
) -> Outcome:
    tell.step(line.name, "asking who is there")
    present = console.who(line)
    ran = present.kind == console.APPLICATION
    if ran:
        tell.step(line.name, "stopping the application")
        stop_application(line, present.about)
    session, _ = open_session(line, slots=False)
    written: list[str] = []
    problem = (
        "" if _has_certificate(session, files) else "tls = true needs the CA's certificate: give --ca FILE"
    )
    try:
        for path in sorted(
            files if not problem else ()
        ):  # the certificate before the settings that ask for it
            if session.ask("digest", path) != sha256(files[path]):
                tell.step(line.name, f"writing {path}")
                session.write_file(path, files[path])
                written.append(path)
        facts["written"] = written
        if not files:
            facts["settings"] = _there(session)
    except LineTimeoutError as error:
        raise LineTimeoutError(f"{error}; its files are the old or the new ones, none is torn") from error
    code = USAGE if problem else DONE
    said = problem or _said(written, files)
    if not ran:
        session.leave()
        return Outcome(line.name, code, f"{line.name}: {said}", bool(written), facts)
    session.reset()
    tell.step(line.name, "waiting until the application is well")
    again = console.wait_healthy(line, health_s, lambda about: bool(about.get("safe_mode")))
    if again.kind != console.APPLICATION:
        text = f"{said}, but the application did not answer within {health_s:g} s; look at the board"
        return Outcome(line.name, TIMED_OUT, f"{line.name}: {text}", bool(written), facts)
    text = f"{said}; {again.about.get('cell')} runs, {again.about.get('state')}"
    return Outcome(line.name, code, f"{line.name}: {text}", bool(written), facts)


def _has_certificate(session: SlotSession, files: Mapping[str, bytes]) -> bool:
    """Whether a broker over TLS could be checked: a certificate comes with the settings or is there already."""
    broker = json.loads(files.get(SETTINGS, b"{}")).get("broker") or {}
    return not broker.get("tls") or CERTIFICATE in files or bool(session.ask("digest", CERTIFICATE))


def _there(session: SlotSession) -> dict[str, Any]:
    """What the board has, secrets masked."""
    text = session.ask("text", SETTINGS)
    try:
        settings = json.loads(text) if text else None
    except ValueError:
        settings = "is not JSON; provision the board again"
    return {"settings": masked(settings), "ca_sha256": session.ask("digest", CERTIFICATE)}


def _said(written: list[str], files: Mapping[str, bytes]) -> str:
    if not files:
        return "read"
    return f"wrote {' and '.join(written)}" if written else "nothing to write, it has these settings"
