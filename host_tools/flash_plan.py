"""What has to be written into a slot so that it holds an image, and in how few bytes that goes over the line."""

import binascii
import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from host_tools.device.slot_writer import COPY, DEFLATED, DIGEST_BYTES, END, HISTORY_BITS, RAW, SECTOR

LEAST_GAIN = 16  # bytes that deflating must save to be worth the board's time


@dataclass
class Plan:
    """How a slot becomes an image: sectors that are there, that the other slot has, and that must be sent.

    frames: the stream that does it, its end included.
    """

    total: int = 0
    kept: list[int] = field(default_factory=list)
    copied: list[tuple[int, int]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    frames: bytes = b""

    @property
    def writes(self) -> int:
        """Sectors that are erased and programmed."""
        return len(self.copied) + len(self.sent)


def sectors_of(image: bytes) -> list[bytes]:
    """The image in sectors, the rest of the last one as erased flash has it."""
    return [image[start : start + SECTOR].ljust(SECTOR, b"\xff") for start in range(0, len(image), SECTOR)]


def digest_of(sector: bytes) -> bytes:
    """What the board tells of a sector to say what is in it."""
    return hashlib.sha256(sector).digest()[:DIGEST_BYTES]


def digests_from(text: str) -> list[bytes]:
    """The digests of a reply of the board."""
    raw = binascii.a2b_base64(text)
    return [raw[start : start + DIGEST_BYTES] for start in range(0, len(raw), DIGEST_BYTES)]


def plan(image: bytes, there: list[bytes], other: list[bytes]) -> Plan:
    """The least that must be sent. there: digests of the slot to be filled; other: of the one that runs.

    What is there already is left; what the other slot has, wherever it lies, is copied on the board.
    """
    elsewhere = {digest: number for number, digest in reversed(list(enumerate(other)))}
    found = Plan()
    frames: list[bytes] = []
    for number, sector in enumerate(sectors_of(image)):
        found.total += 1
        digest = digest_of(sector)
        if number < len(there) and there[number] == digest:
            found.kept.append(number)
        elif digest in elsewhere:
            found.copied.append((number, elsewhere[digest]))
            frames.append(struct.pack("<BHH", COPY, number, elsewhere[digest]))
        else:
            found.sent.append(number)
            frames.append(packed(number, sector))
    found.frames = b"".join(frames) + struct.pack("<BHH", END, 0, 0)
    return found


def packed(number: int, content: bytes) -> bytes:
    """One frame with content, deflated where that makes it smaller."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -HISTORY_BITS)
    small = squeeze.compress(content) + squeeze.flush()
    if len(small) + LEAST_GAIN <= len(content):
        return struct.pack("<BHH", DEFLATED, number, len(small)) + small
    return struct.pack("<BHH", RAW, number, len(content)) + content


def file_frames(content: bytes) -> bytes:
    """The stream that carries a file; each frame's number says how many bytes it holds."""
    frames = b"".join(
        packed(len(content[start : start + SECTOR]), content[start : start + SECTOR])
        for start in range(0, len(content), SECTOR)
    )
    return frames + struct.pack("<BHH", END, 0, 0)


# --- what is in an image ---


def contents(image: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file in a ROM image; ends where the image is not well formed."""
    try:
        _kind, start, end = _record(image, 0)
        if image[:3] == b"\xd2\xcd\x31" and end <= len(image):
            yield from _files(image, start, end, "")
    except IndexError:
        return


def _number(image: bytes, at: int) -> tuple[int, int]:
    value = 0
    while True:
        value = value << 7 | image[at] & 0x7F
        at += 1
        if not image[at - 1] & 0x80:
            return value, at


def _record(image: bytes, at: int) -> tuple[int, int, int]:
    kind, at = _number(image, at)
    length, at = _number(image, at)
    return kind, at, at + length


def _files(image: bytes, at: int, end: int, folder: str) -> Iterator[tuple[str, bytes]]:
    while at < end:
        kind, start, after = _record(image, at)
        if kind in (4, 5):
            length, start = _number(image, start)
            path = folder + image[start : start + length].decode("utf-8", "replace")
            start += length
            if kind == 4:
                yield from _files(image, start, after, path + "/")
            else:
                _, content, ends = _record(image, start)
                yield path, image[content:ends]
        at = after


def unfit_byte_code(image: bytes, mpy: int, small_ints: int) -> str:
    """Why a board cannot run the image's byte code, "" if it can.

    mpy: its sys.implementation._mpy; small_ints: bits of its small integers.
    """
    version, sub, architecture = mpy & 0xFF, mpy >> 8 & 3, mpy >> 10
    for path, head in contents(image):
        if not path.endswith(".mpy"):
            continue
        if len(head) < 4 or head[:1] != b"M":
            return f"{path} is no byte code; build the bundle again"
        if head[1] != version:
            return (
                f"{path} is byte code of version {head[1]}, this firmware runs version {version or 'none'}; "
                "build with the mpy-cross of the firmware's release, or put a firmware of that release on the board"
            )
        native = head[2] >> 2 & 0xF
        if native and (native != architecture or head[2] & 3 != sub):
            return f"{path} has machine code for another processor; build it without native code"
        if head[3] > small_ints:
            return (
                f"{path} needs small integers of {head[3]} bits, this board has {small_ints}; build it again"
            )
    return ""
