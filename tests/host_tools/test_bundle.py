"""A bundle is read whole and verified, or refused with the reason."""

import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host_tools import bundle as module
from host_tools.bundle import BundleError, crc32, image_entry, read_bundle, sha256, write_bundle

IMAGE = bytes(range(256)) * 9
FILES = {"image.romfs": IMAGE}
MANIFEST: dict[str, Any] = {
    "cell": "booth-1",
    "board": "pico_w",
    "target": "rp2",
    "controller_sha256": "1" * 64,
    "cell_sha256": "2" * 64,
    "versions": {"package": "0.1.0"},
    "image": image_entry(IMAGE),
}
PI = {**{key: value for key, value in MANIFEST.items() if key != "image"}, "target": "rpi"}
PI_FILES = {
    "requirements.txt": b"six==1\n",
    "wheels/six-1-py3-none-any.whl": b"PK",
    "cell/recipes/türen.toml": b"x",
}


def raw_bundle(path: Path, members: list[tuple[str, bytes]], kind: int = zipfile.ZIP_STORED) -> Path:
    """A zip with exactly these members, whatever they are called."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = kind
            info.filename = name  # as it stands, also where zipfile would have mended it
            archive.writestr(info, content)
    return path


def manifest_for(files: dict[str, bytes], **changes: Any) -> bytes:
    entries = {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in files.items()}
    return json.dumps({**PI, "format": 1, "files": entries, **changes}).encode()


def refusal_of(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is written ---


@pytest.mark.parametrize(("manifest", "files"), [(MANIFEST, FILES), (PI, PI_FILES)], ids=["image", "wheels"])
def test_what_was_written_is_read(tmp_path: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    written = write_bundle(tmp_path / "a.cell", manifest, files)
    found = read_bundle(tmp_path / "a.cell")
    assert found == written
    assert found.files == files
    assert found.manifest["format"] == 1
    assert found.manifest["files"] == {
        name: {"bytes": len(content), "sha256": sha256(content)} for name, content in files.items()
    }


def test_manifest_comes_first_and_can_be_read_with_unzip(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.cell", PI, PI_FILES)
    with zipfile.ZipFile(tmp_path / "a.cell") as archive:
        assert archive.namelist() == ["manifest.json", *sorted(PI_FILES)]
        assert archive.testzip() is None


def test_order_umask_and_time_do_not_show(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.cell", PI, PI_FILES)
    before = os.umask(0o077)
    try:
        turned = {name: PI_FILES[name] for name in reversed(PI_FILES)}
        write_bundle(tmp_path / "b.cell", {key: PI[key] for key in reversed(PI)}, turned)
    finally:
        os.umask(before)
    assert (tmp_path / "a.cell").read_bytes() == (tmp_path / "b.cell").read_bytes()


def test_image_is_known_by_length_crc_and_sha256(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.cell", MANIFEST, FILES)
    found = read_bundle(tmp_path / "a.cell")
    assert found.image == IMAGE
    assert found.manifest["image"] == {
        "file": "image.romfs",
        "bytes": len(IMAGE),
        "crc32": crc32(IMAGE),
        "sha256": sha256(IMAGE),
    }
    assert crc32(b"") == "00000000"


def test_bundle_for_a_pi_has_no_image(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is for target rpi, which has no image; deploy it"):
        _ = write_bundle(tmp_path / "a.cell", PI, PI_FILES).image


@pytest.mark.parametrize(
    ("manifest", "files", "reason"),
    [
        ({**MANIFEST, "cell": ""}, FILES, "has no cell"),
        ({**MANIFEST, "target": "avr"}, FILES, "is for target 'avr', known are rp2, esp32, unix, rpi"),
        ({**MANIFEST, "image": image_entry(b"other")}, FILES, "image.romfs is not what manifest.json says"),
        (PI, {"../x": b""}, "which is no name for a file of a bundle"),
        (PI, {"manifest.json": b"{}"}, "has manifest.json twice"),
        (PI, {"cell/Roof.toml": b"", "cell/roof.toml": b""}, "has cell/roof.toml twice"),
    ],
)
def test_what_would_not_be_read_is_not_written(
    tmp_path: Path, manifest: dict[str, Any], files: dict[str, bytes], reason: str
) -> None:
    path = tmp_path / "a.cell"
    path.write_bytes(b"the one before")
    with pytest.raises(BundleError, match=reason):
        write_bundle(path, manifest, files)
    assert path.read_bytes() == b"the one before"


def test_full_disk_leaves_the_bundle_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.cell"
    path.write_bytes(b"the one before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(path, MANIFEST, FILES)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.cell"]
    assert path.read_bytes() == b"the one before"


# --- what was damaged ---


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = write_bundle(tmp_path / "a.cell", MANIFEST, FILES).path.read_bytes()
    cut = tmp_path / "cut.cell"
    for length in [*range(0, len(whole), 41), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        refusal_of(cut)


def test_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "a.cell", MANIFEST, FILES)
    whole = written.path.read_bytes()
    path = tmp_path / "b.cell"
    chance = random.Random(7)
    refused = 0
    for _ in range(200):
        place = chance.randrange(len(whole) * 8)
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read_bundle(path)
        except BundleError:
            refused += 1
        else:
            assert (found.manifest, found.files) == (written.manifest, written.files), f"bit {place}"
    assert refused > 150  # the dates of members are among the few bits that may change


def test_swapped_content_is_refused(tmp_path: Path) -> None:
    """The zip's own checksum is right, the manifest's is not."""
    path = raw_bundle(tmp_path / "a.cell", [("manifest.json", manifest_for({"a": b"1"})), ("a", b"2")])
    assert "a is not what manifest.json says it is" in refusal_of(path)


# --- what is foreign or hostile ---


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "a/",
        "./a",
        "C:/x",
        "..\\x",
        "a\nb",
        " a",
        "a ",
        "x" * 201,
        "",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    files = {name: b"1"}
    path = raw_bundle(tmp_path / "a.cell", [("manifest.json", manifest_for(files)), (name, b"1")])
    assert "is no name for a file of a bundle" in refusal_of(path)


def deflated(path: Path) -> Path:
    return raw_bundle(path, [("manifest.json", b"{}"), ("big", bytes(1 << 20))], zipfile.ZIP_DEFLATED)


def overlapping(path: Path) -> Path:
    """Two directory entries that claim the bytes of one member."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", b"{}")
        archive.writestr("a", bytes(5000))
        info = archive.getinfo("a")
        again = zipfile.ZipInfo("b")
        for key in ("header_offset", "compress_size", "file_size", "CRC"):
            setattr(again, key, getattr(info, key))
        archive.filelist.append(again)
    return path


def encrypted(path: Path) -> Path:
    raw_bundle(path, [("manifest.json", b"{}")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def text(path: Path) -> Path:
    path.write_text("no bundle at all")
    return path


HOSTILE: list[tuple[Callable[[Path], Path], str]] = [
    (text, "is not a bundle or was damaged on its way"),
    (lambda path: raw_bundle(path, []), "first member is not manifest.json"),
    (lambda path: raw_bundle(path, [("setup.py", b"")]), "first member is not manifest.json"),
    (deflated, "is packed; a bundle's members are stored, so that none can swell"),
    (overlapping, "its members claim 10002 bytes in a file of"),
    (encrypted, "is encrypted"),
    (lambda path: raw_bundle(path, [("manifest.json", b"{}")]), "has format None, this cellctl reads 1"),
    (lambda path: raw_bundle(path, [("manifest.json", b"[1]")]), "is not an object"),
    (lambda path: raw_bundle(path, [("manifest.json", b"\xff{")]), "is not JSON"),
    (lambda path: raw_bundle(path, [("manifest.json", b"[" * 100_000)]), "is not JSON"),
    (
        lambda path: raw_bundle(path, [("manifest.json", b"{}"), ("a", b"1"), ("A", b"2")]),
        "has A twice",
    ),
    (
        lambda path: raw_bundle(path, [("manifest.json", b"{}"), ("a", b"1"), ("a", b"1")]),
        "has a twice",
    ),
    (
        lambda path: raw_bundle(path, [("manifest.json", manifest_for({})), ("a", b"1")]),
        "its members are not those that manifest.json lists",
    ),
    (
        lambda path: raw_bundle(path, [("manifest.json", manifest_for({"a": b"1"}))]),
        "its members are not those that manifest.json lists",
    ),
    (
        lambda path: raw_bundle(path, [("manifest.json", manifest_for({}, format=2))]),
        "has format 2, this cellctl reads 1; use its cellctl",
    ),
    (
        lambda path: raw_bundle(path, [("manifest.json", manifest_for({}, target="rp2"))]),
        "is for target rp2 and must hold image.romfs alone",
    ),
    (
        lambda path: raw_bundle(path, [("manifest.json", manifest_for({}, image={}))]),
        "has an image, but target rpi takes none",
    ),
    (
        lambda path: raw_bundle(path, [("manifest.json", manifest_for({}, versions=1))]),
        "has no versions",
    ),
]


@pytest.mark.parametrize(("make", "reason"), HOSTILE, ids=[reason[:40] for _, reason in HOSTILE])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_no_bundle_is_refused(tmp_path: Path, make: Callable[[Path], Path], reason: str) -> None:
    assert reason in refusal_of(make(tmp_path / "a.cell"))


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("MAX_BUNDLE_BYTES", 100, "more than 100; this is no bundle"),
        ("MAX_MEMBERS", 2, "has 4 members, more than 2"),
        ("MAX_MANIFEST_BYTES", 50, "manifest.json is over 50 bytes"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, reason: str
) -> None:
    path = write_bundle(tmp_path / "a.cell", PI, PI_FILES).path
    monkeypatch.setattr(module, limit, value)
    assert reason in refusal_of(path)


def test_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_bundle(tmp_path / "none.cell")
