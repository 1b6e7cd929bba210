"""What has to be sent so that a slot holds an image: never more than what neither slot has."""

import struct
import zlib
from pathlib import Path

import pytest

from host_tools.device.slot_writer import COPY, DEFLATED, END, HISTORY_BITS, RAW, SECTOR
from host_tools.flash_plan import (
    Plan,
    contents,
    digest_of,
    digests_from,
    file_frames,
    packed,
    plan,
    sectors_of,
    unfit_byte_code,
)
from host_tools.romfs import image
from host_tools.slot_session import small_source

IMAGE = b"".join(bytes([number]) * SECTOR for number in range(1, 5)) + b"the rest"


def carried_out(made: Plan, there: bytes, other: bytes) -> bytes:
    """The slot after a board has done what the frames say."""
    slot = bytearray(there)
    at = 0
    while True:
        kind, number, length = struct.unpack_from("<BHH", made.frames, at)
        at += 5
        if kind == END:
            assert at == len(made.frames)
            return bytes(slot)
        if kind == COPY:
            content = other[length * SECTOR : (length + 1) * SECTOR]
        else:
            content = made.frames[at : at + length]
            at += length
        if kind == DEFLATED:
            content = zlib.decompress(content, -HISTORY_BITS)
        assert len(content) == SECTOR
        slot[number * SECTOR : (number + 1) * SECTOR] = content


def digests(content: bytes) -> list[bytes]:
    return [digest_of(sector) for sector in sectors_of(content)]


BLANK = b"\xff" * (8 * SECTOR)


@pytest.mark.parametrize(
    ("there", "other", "kept", "copied", "sent"),
    [
        (BLANK, b"", 0, 0, 5),
        (IMAGE, b"", 5, 0, 0),
        (BLANK, IMAGE, 0, 5, 0),
        (IMAGE[: 2 * SECTOR], IMAGE, 2, 3, 0),
        (BLANK, IMAGE[2 * SECTOR : 4 * SECTOR], 0, 2, 3),
        (IMAGE[SECTOR:], b"", 0, 0, 5),
    ],
    ids=["blank", "there", "in the other slot", "half there", "elsewhere in the other slot", "shifted"],
)
def test_only_what_neither_slot_has_is_sent(
    there: bytes, other: bytes, kept: int, copied: int, sent: int
) -> None:
    made = plan(IMAGE, digests(there), digests(other))
    assert (len(made.kept), len(made.copied), len(made.sent)) == (kept, copied, sent)
    assert made.writes == copied + sent
    slot = carried_out(made, there.ljust(len(BLANK), b"\xff"), other.ljust(len(BLANK), b"\xff"))
    assert slot[: len(IMAGE)] == IMAGE


def test_a_sector_that_deflating_would_make_longer_goes_as_it_is() -> None:
    import random

    noise = random.Random(1).randbytes(SECTOR)
    assert packed(3, noise) == struct.pack("<BHH", RAW, 3, SECTOR) + noise
    assert len(packed(3, bytes(SECTOR))) < 50


def test_a_file_says_how_many_bytes_each_frame_holds() -> None:
    frames = file_frames(b"x" * 5000)
    kind, number, length = struct.unpack_from("<BHH", frames, 0)
    assert (kind, number) == (DEFLATED, SECTOR)
    assert struct.unpack_from("<BHH", frames, 5 + length)[1] == 5000 - SECTOR
    assert file_frames(b"") == struct.pack("<BHH", END, 0, 0)


def test_digests_come_back_from_base_64() -> None:
    import binascii

    some = digests(IMAGE)
    assert digests_from(binascii.b2a_base64(b"".join(some)).decode()) == some


# --- byte code ---

PICO = 6 | 3 << 8 | 4 << 10  # version 6.3, armv6m


def code(version: int = 6, flags: int = 0, bits: int = 31) -> bytes:
    return bytes([ord("M"), version, flags, bits]) + b"rest"


def test_all_files_of_an_image_are_found() -> None:
    files = {"a.mpy": code(), "b/c/d.mpy": code(), "b/e.bin": b"M\x01"}
    content = image(files)
    assert dict(contents(content)) == files
    assert list(contents(b"")) == list(contents(b"noise" * 9)) == list(contents(content[:-3])) == []


@pytest.mark.parametrize(
    ("content", "mpy", "why"),
    [
        (code(), PICO, ""),
        (code(version=5), PICO, "is byte code of version 5, this firmware runs version 6"),
        (code(), 0, "this firmware runs version none"),
        (code(flags=10 << 2 | 3), PICO, "machine code for another processor"),
        (code(flags=4 << 2 | 3), PICO, ""),
        (code(bits=47), PICO, "small integers of 47 bits"),
        (b"# source", PICO, "is no byte code"),
    ],
)
def test_byte_code_that_a_board_cannot_run_is_named(content: bytes, mpy: int, why: str) -> None:
    said = unfit_byte_code(image({"folder/part.mpy": content}), mpy, 31)
    assert why in said
    assert bool(said) == bool(why)
    assert not said or said.startswith("folder/part.mpy ")


def test_the_writer_is_sent_without_what_a_board_does_not_need() -> None:
    source = small_source()
    assert len(source) < 7500
    assert '"""' not in source
    assert "#" not in source
    assert "TYPE_CHECKING" not in source
    assert "->" not in source
    compile(source, "writer", "exec")
    whole = Path("host_tools/device/slot_writer.py").read_text("utf-8")
    assert "serve(" in source
    assert len(source) < 0.7 * len(whole)
