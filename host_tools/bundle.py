"""A bundle: the one file that `cellctl build` writes and `cellctl flash` and `cellctl deploy` put on a controller.

A zip of stored members, first `manifest.json`, which has the sha256 of every other one. What is read is verified as
a whole before any of it is used: a bundle comes by mail, by USB stick, from a colleague.
"""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cell_controller.errors import CellError
from host_tools.toml_file import one_line

FORMAT = 1
TARGETS = ("rp2", "esp32", "unix", "rpi")
MICROCONTROLLERS = ("rp2", "esp32", "unix")
"""The targets whose application is one image; the stand-in board's `unix` is built like a microcontroller's."""

MANIFEST = "manifest.json"
IMAGE = "image.romfs"
MAX_BUNDLE_BYTES = 256 << 20
MAX_MANIFEST_BYTES = 1 << 20
MAX_MEMBERS = 2000
MAX_NAME = 200
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3  # file modes are those of Unix, also when built elsewhere


class BundleError(CellError, ValueError):
    """The file is no bundle, or not the one that was built; nothing of it was used, build or copy it again."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and verified. `files`: content by name with /, the manifest not among them."""

    path: Path
    manifest: dict[str, Any]
    files: dict[str, bytes] = field(repr=False)

    @property
    def target(self) -> str:
        """One of TARGETS."""
        return str(self.manifest["target"])

    @property
    def image(self) -> bytes:
        """The application of a microcontroller. Raises BundleError if the bundle is for a Raspberry Pi."""
        if "image" not in self.manifest:
            raise BundleError(
                f"{self.path}: is for target {self.target}, which has no image; deploy it instead"
            )
        return self.files[str(self.manifest["image"]["file"])]


def sha256(content: bytes) -> str:
    """The digest as it stands in manifests, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def crc32(content: bytes) -> str:
    """The checksum as it stands in manifests and in a board's slot file, 8 hex digits."""
    return f"{zlib.crc32(content):08x}"


def digest_of(files: Mapping[str, bytes]) -> str:
    """One sha256 over the names and digests of `files`: equal exactly where all names and contents are."""
    lines = [f"{sha256(files[name])}  {name}\n" for name in sorted(files)]
    return sha256("".join(lines).encode())


def entries_of(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """What a manifest says about `files`: {name: {"bytes", "sha256"}}."""
    return {name: {"bytes": len(files[name]), "sha256": sha256(files[name])} for name in sorted(files)}


def image_entry(content: bytes) -> dict[str, Any]:
    """What a manifest says about the image of a microcontroller."""
    return {"file": IMAGE, "bytes": len(content), "crc32": crc32(content), "sha256": sha256(content)}


# --- writing ---


def write_bundle(path: str | Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle, whole or not at all; the same manifest and files always give the same bytes.

    `format` and `files` of the manifest are filled in here. Raises BundleError where the manifest does not fit the
    files, OSError where the file cannot be written.
    """
    path = Path(path)
    whole = {**manifest, "format": FORMAT, "files": entries_of(files)}
    _check_names([MANIFEST, *files], str(path))
    _check_manifest(whole, dict(files), str(path))
    text = json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_member(MANIFEST), text.encode())
            for name in sorted(files):
                archive.writestr(_member(name), files[name])
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return Bundle(path, whole, dict(files))


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = _UNIX
    info.external_attr = 0o100644 << 16
    return info


# --- reading ---


def read_bundle(path: str | Path) -> Bundle:
    """The bundle in the file at `path`, every byte of it checked against the manifest.

    Raises BundleError with the reason where a member is missing, added, changed, packed or named dangerously, or the
    manifest is not whole; OSError where the file cannot be read.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_BUNDLE_BYTES:
        raise BundleError(f"{path}: has {size} bytes, more than {MAX_BUNDLE_BYTES}; this is no bundle")
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            members = _members(archive, size, str(path))
            raw = {info.filename: archive.read(info) for info in members}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        UnicodeError,
    ) as error:
        raise BundleError(
            one_line(f"{path}: is not a bundle or was damaged on its way ({error}); build or copy it again")
        ) from error
    manifest = _manifest(raw.pop(MANIFEST), str(path))
    _check_manifest(manifest, raw, str(path))
    return Bundle(path, manifest, raw)


def _members(archive: zipfile.ZipFile, size: int, label: str) -> list[zipfile.ZipInfo]:
    """The members, after refusing all that could make reading them dangerous."""
    members = archive.infolist()
    if not members or members[0].filename != MANIFEST:
        raise BundleError(f"{label}: its first member is not {MANIFEST}; this is no bundle of cellctl build")
    if len(members) > MAX_MEMBERS:
        raise BundleError(f"{label}: has {len(members)} members, more than {MAX_MEMBERS}; this is no bundle")
    _check_names([info.filename for info in members], label)
    for info in members:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise BundleError(
                one_line(
                    f"{label}: {info.filename} is packed; a bundle's members are stored, so that none can swell"
                )
            )
        if info.flag_bits & 1:
            raise BundleError(one_line(f"{label}: {info.filename} is encrypted; a bundle never is"))
    total = sum(info.file_size for info in members)
    if total > size:
        raise BundleError(
            f"{label}: its members claim {total} bytes in a file of {size}; build or copy it again"
        )
    if members[0].file_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{label}: {MANIFEST} is over {MAX_MANIFEST_BYTES} bytes; this is no bundle")
    return members


def _check_names(names: Sequence[str], label: str) -> None:
    """Refuse names that would lead out of a folder, or that one file system or another takes for the same."""
    seen: set[str] = set()
    for name in names:
        _check_name(name, label)
        if name.casefold() in seen:
            raise BundleError(one_line(f"{label}: has {name} twice; build it again"))
        seen.add(name.casefold())


def _check_name(name: str, label: str) -> None:
    parts = name.split("/")
    if (
        len(name.encode("utf-8", "replace")) > MAX_NAME
        or any(part in ("", ".", "..") or part != part.strip() for part in parts)
        or any(not letter.isprintable() or letter in '\\:*?"<>|' for letter in name)
    ):
        raise BundleError(
            one_line(f"{label}: has a member named {name!r}, which is no name for a file of a bundle")
        )


def _manifest(raw: bytes, label: str) -> dict[str, Any]:
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(one_line(f"{label}: {MANIFEST} is not JSON ({error}); build it again")) from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{label}: {MANIFEST} is not an object; build it again")
    return manifest


_TEXTS = ("cell", "board", "target", "controller_sha256", "cell_sha256")


def _check_manifest(manifest: Mapping[str, Any], files: Mapping[str, bytes], label: str) -> None:
    """Refuse a manifest that is not complete or does not fit the files."""
    if manifest.get("format") != FORMAT:
        raise BundleError(
            one_line(
                f"{label}: has format {manifest.get('format')!r}, this cellctl reads {FORMAT}; use its cellctl"
            )
        )
    for key in _TEXTS:
        if not isinstance(manifest.get(key), str) or not manifest[key]:
            raise BundleError(f"{label}: {MANIFEST} has no {key}; build it again")
    if manifest["target"] not in TARGETS:
        known = ", ".join(TARGETS)
        raise BundleError(one_line(f"{label}: is for target {manifest['target']!r}, known are {known}"))
    if not isinstance(manifest.get("versions"), dict):
        raise BundleError(f"{label}: {MANIFEST} has no versions; build it again")
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) != set(files):
        raise BundleError(f"{label}: its members are not those that {MANIFEST} lists; build or copy it again")
    for name, content in files.items():
        if listed[name] != {"bytes": len(content), "sha256": sha256(content)}:
            raise BundleError(
                one_line(f"{label}: {name} is not what {MANIFEST} says it is; build or copy it again")
            )
    _check_image(manifest, files, label)


def _check_image(manifest: Mapping[str, Any], files: Mapping[str, bytes], label: str) -> None:
    entry = manifest.get("image")
    if manifest["target"] not in MICROCONTROLLERS:
        if entry is not None or IMAGE in files:
            raise BundleError(
                f"{label}: has an image, but target {manifest['target']} takes none; build it again"
            )
        return
    if not isinstance(entry, dict) or set(files) != {IMAGE}:
        raise BundleError(
            f"{label}: is for target {manifest['target']} and must hold {IMAGE} alone; build it again"
        )
    said = {key: entry.get(key) for key in ("file", "bytes", "crc32", "sha256")}
    if said != image_entry(files[IMAGE]):
        raise BundleError(f"{label}: {IMAGE} is not what {MANIFEST} says it is; build or copy it again")
