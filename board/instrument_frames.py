"""Where a message of an instrument begins and ends, and whether its checksum is right. Pure: bytes in, texts out.

Whatever comes, a Framer keeps at most one message of `most` bytes, never raises, and gives out only whole messages.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ANY_END = "any"
"""End of a line: CR, LF, or both; the LF behind a CR ends nothing."""
SHOWN = 60


def shown(data: bytes | str) -> str:
    """`data` as it may stand in a message to people: printable, in quotes, shortened."""
    text = data.decode("latin-1") if isinstance(data, bytes) else data
    short = text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
    return "'" + "".join(c if c.isascii() and c.isprintable() else f"\\x{ord(c):02x}" for c in short) + "'"


# --- checksums ---


def xor(data: bytes) -> bytes:
    """All bytes exclusive-or; one byte."""
    value = 0
    for byte in data:
        value ^= byte
    return bytes([value])


def sum8(data: bytes) -> bytes:
    """The sum modulo 256; one byte."""
    return bytes([sum(data) & 0xFF])


def lrc(data: bytes) -> bytes:
    """What makes the sum 0 modulo 256; one byte."""
    return bytes([-sum(data) & 0xFF])


def crc16_modbus(data: bytes) -> bytes:
    """The CRC of Modbus RTU (polynomial 0xA001, from 0xFFFF); two bytes, low one first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "xor": xor,
    "sum8": sum8,
    "lrc": lrc,
    "crc16_modbus": crc16_modbus,
}


@dataclass(frozen=True)
class Checksum:
    """How a message is checked.

    `hex_coded`: it is sent as hex digits, two a byte. `of_hex_pairs`: it is of the bytes that pairs of hex digits stand
    for. `after_end`: it comes behind the end bytes, and these count. `skip`: so many bytes at the beginning and at the
    end of what stands before it do not count.
    """

    kind: str
    hex_coded: bool = False
    of_hex_pairs: bool = False
    after_end: bool = False
    skip: tuple[int, int] = (0, 0)

    @property
    def size(self) -> int:
        """Bytes it takes on the line."""
        return len(CHECKSUMS[self.kind](b"")) * (2 if self.hex_coded else 1)

    def of(self, before: bytes) -> bytes | None:
        """The checksum as it is sent, of what stands before it; None where that has none."""
        covered = before[self.skip[0] : len(before) - self.skip[1]]
        if self.of_hex_pairs:
            if not _is_hex(covered):
                return None
            covered = bytes.fromhex(covered.decode("ascii"))
        value = CHECKSUMS[self.kind](covered)
        return value.hex().upper().encode("ascii") if self.hex_coded else value

    def fits(self, before: bytes, sent: bytes) -> bool:
        """Whether `sent` is the checksum of `before`; hex digits may be of either case."""
        return self.of(before) == (sent.upper() if self.hex_coded else sent)


def _is_hex(data: bytes) -> bool:
    return len(data) % 2 == 0 and all(byte in b"0123456789abcdefABCDEF" for byte in data)


# --- frames ---


@dataclass(frozen=True)
class Framing:
    """How messages stand on the line. A line has an `end`; a frame has a `start`, and an `end` or a length or both.

    `length`: of the whole frame, all counted. `length_at`: place of a byte that gives it less `length_adds`.
    `most`: the longest message in bytes. `alone`: bytes that are a message by themselves where one could begin.
    `hex_payload`: messages are given and taken as hex digits.
    """

    kind: str
    start: bytes = b""
    end: bytes = b""
    any_end: bool = False
    length: int = 0
    length_at: int = -1
    length_adds: int = 0
    most: int = 80
    alone: bytes = b""
    hex_payload: bool = False
    ascii_only: bool = True
    checksum: Checksum | None = None

    @staticmethod
    def of(settings: Mapping[str, Any]) -> "Framing":
        """From plain settings: bytes are texts of characters below 256."""
        values = dict(settings)
        for key in ("start", "end", "alone"):
            values[key] = values.get(key, "").encode("latin-1")
        check = values.get("checksum")
        if check is not None:
            values["checksum"] = Checksum(**{**check, "skip": tuple(check["skip"])})
        return Framing(**values)

    def wrap(self, text: str) -> bytes:
        """`text` as it is sent: a line as it is, a frame with its start, length, checksum and end.

        Raises ValueError for what cannot be sent so.
        """
        if self.kind == "line":
            return text.encode("latin-1")
        body = bytes.fromhex(text) if self.hex_payload else text.encode("latin-1")
        if self.length_at >= 0:
            size = (
                len(self.start) + 1 + len(body) + len(self.end) + (self.checksum.size if self.checksum else 0)
            )
            place = self.length_at - len(self.start)
            body = body[:place] + bytes([(size - self.length_adds) & 0xFF]) + body[place:]
        whole = self.start + body
        if self.checksum is None:
            return whole + self.end
        if self.checksum.after_end:
            whole += self.end
        check = self.checksum.of(whole)
        if check is None:
            raise ValueError(f"{shown(whole)} is not pairs of hex digits, which its checksum is of")
        return whole + check + (b"" if self.checksum.after_end else self.end)


class Framer:
    """Takes bytes as they come and gives out the texts of whole messages; what was wrong is in `trouble`."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._buffer = bytearray()
        self._skipping = False  # a line whose beginning is not known, or was too long
        self._after_cr = False
        self._clean = True  # what came before was whole: a message can begin here
        self._trouble = ""

    @property
    def holds_part(self) -> bool:
        """Whether it has the beginning of a message."""
        return bool(self._buffer)

    def take_trouble(self) -> str:
        """What was wrong with the bytes since this was last asked, "" if nothing was; the first of several."""
        trouble, self._trouble = self._trouble, ""
        return trouble

    def start_afresh(self) -> None:
        """Nothing is on the line: what comes next begins a message. The part of one that is there is forgotten."""
        self._buffer.clear()
        self._skipping = False
        self._clean = True

    def start_midway(self) -> None:
        """What comes next is the rest of a message: on a line nothing counts before the next end."""
        self._buffer.clear()
        self._skipping = self._framing.kind == "line"
        self._clean = False

    def feed(self, data: bytes) -> list[str]:
        """Whole messages, oldest first; without start, length, checksum and end."""
        found: list[str] = []
        is_line = self._framing.kind == "line"
        take = self._take_line if is_line else self._take_frame
        if is_line and self._framing.ascii_only and not data.isascii():
            self._not_ascii(data)  # before its end, if it has one
        for place in range(0, len(data), self._framing.most):
            self._buffer += data[place : place + self._framing.most]
            while self._buffer and take(found):
                pass
        return found

    # --- lines ---

    def _take_line(self, found: list[str]) -> bool:
        """Take one message off the buffer, or a byte that means nothing; False when there is none to take."""
        framing, buffer = self._framing, self._buffer
        if self._take_alone(found):
            return True
        if framing.any_end:
            ends = [place for place in (buffer.find(b"\r"), buffer.find(b"\n")) if place >= 0]
            place, size = min(ends, default=-1), 1
        else:
            place, size = buffer.find(framing.end), len(framing.end)
        if place < 0:
            if len(buffer) > framing.most + len(framing.end):
                self._wrong(f"no end of line within {framing.most} bytes")
                del buffer[: len(buffer) + 1 - max(1, len(framing.end))]  # may be the beginning of an end
                self._skipping = True
            return False
        line, end = bytes(buffer[:place]), bytes(buffer[place : place + size])
        del buffer[: place + size]
        skipped, self._skipping = self._skipping, False
        blank = framing.any_end and end == b"\n" and not line and self._after_cr
        self._after_cr = end == b"\r"
        if skipped or blank:
            return True
        if len(line) > framing.most:
            self._wrong(f"a line of {len(line)} bytes, more than {framing.most}")
        elif framing.checksum is None:
            self._give(line, found)
        else:
            size = framing.checksum.size
            self._check(line[:-size], line[-size:], line[:-size], found)
        return True

    # --- frames ---

    def _take_frame(self, found: list[str]) -> bool:
        framing, buffer = self._framing, self._buffer
        if self._take_alone(found):
            return True
        start = buffer.find(framing.start)
        if start < 0:
            keep = len(framing.start) - 1
            if len(buffer) > keep:
                self._wrong(f"{shown(bytes(buffer))} outside of a frame")
                del buffer[: len(buffer) - keep]
            return False
        if start:
            self._wrong(f"{shown(bytes(buffer[:start]))} outside of a frame")
            del buffer[:start]
            return True
        size = self._frame_size()
        if size > framing.most:
            self._wrong(f"a frame of more than {framing.most} bytes")
            del buffer[:1]
            return True
        if not size or len(buffer) < size:
            return False
        self._end_frame(bytes(buffer[:size]), found)
        return True

    def _frame_size(self) -> int:
        """Of the frame that the buffer begins with; 0 while that is not known."""
        framing, buffer = self._framing, self._buffer
        if framing.length:
            return framing.length
        if framing.length_at >= 0:
            if len(buffer) <= framing.length_at:
                return 0
            size = buffer[framing.length_at] + framing.length_adds
            return max(size, len(framing.start) + len(framing.end) + self._check_size())
        end = buffer.find(framing.end, len(framing.start))
        again = buffer.rfind(framing.start, len(framing.start), end if end >= 0 else len(buffer))
        if again >= 0:
            self._wrong(f"{shown(bytes(buffer[:again]))} without its end")
            del buffer[:again]
            end -= again if end >= 0 else 0
        if end < 0:
            return 0 if len(buffer) <= framing.most else framing.most + 1
        after = self._check_size() if framing.checksum is not None and framing.checksum.after_end else 0
        return end + len(framing.end) + after

    def _end_frame(self, whole: bytes, found: list[str]) -> None:
        """Check a frame; what is none leaves the buffer a byte at a time, since a true one may begin within it."""
        framing, check = self._framing, self._framing.checksum
        before = len(found)
        after = check.size if check is not None and check.after_end else 0
        body = whole[: len(whole) - after]
        if not body.endswith(framing.end) or len(body) < len(framing.start) + len(framing.end):
            self._wrong(f"{shown(whole)} does not end as a frame")
        elif check is None:
            self._give(self._payload(body), found)
        elif check.after_end:
            self._check(body, whole[-after:], self._payload(body), found)
        else:
            inner = body[: len(body) - len(framing.end)]
            place = max(len(inner) - check.size, len(framing.start))
            self._check(inner[:place], inner[place:], self._payload(inner[:place] + framing.end), found)
        del self._buffer[: len(whole) if len(found) > before else 1]

    def _payload(self, body: bytes) -> bytes:
        """What stands between start and end, without the length."""
        framing = self._framing
        inner = body[len(framing.start) : len(body) - len(framing.end)]
        place = framing.length_at - len(framing.start)
        return inner if framing.length_at < 0 else inner[:place] + inner[place + 1 :]

    def _check_size(self) -> int:
        return 0 if self._framing.checksum is None else self._framing.checksum.size

    # --- both ---

    def _take_alone(self, found: list[str]) -> bool:
        if self._skipping or not self._clean or self._buffer[0] not in self._framing.alone:
            return False
        self._give(bytes(self._buffer[:1]), found)
        del self._buffer[:1]
        return True

    def _check(self, before: bytes, sent: bytes, payload: bytes, found: list[str]) -> None:
        assert self._framing.checksum is not None
        if self._framing.checksum.fits(before, sent):
            self._give(payload, found)
        else:
            self._wrong(f"wrong checksum {shown(sent)} of {shown(before)}")

    def _give(self, payload: bytes, found: list[str]) -> None:
        self._clean = True
        if self._framing.hex_payload:
            found.append(payload.hex().upper())
        elif self._framing.ascii_only and not payload.isascii():
            self._not_ascii(payload)
        else:
            found.append(payload.decode("latin-1"))

    def _not_ascii(self, data: bytes) -> None:
        self._wrong(f"{shown(data)}, which is not ASCII; are baud rate and parity right?")

    def _wrong(self, text: str) -> None:
        self._clean = False
        self._trouble = self._trouble or text
