"""The trace: everything that went into the scans of a run, and a digest of everything that came out.

A trace starts with the compiled cell and what the controller started from: the journal as it was at boot, or, for a
later segment of a long trace, a snapshot of the controller between two scans. Then come, in the order they happened,
the input images, requests, recipes and ticks. Replaying it on any runtime must give the same bytes of events and
outputs; a checkpoint every 256 scans tells where it first did not.

Layout: MAGIC, then entries: one letter, the length of the body (4 bytes), the body, the CRC-32 of all that (4 bytes).
Integers are little-endian.
  H  the header in canonical form         K  the order book of the journal's own snapshot, before the records after it
  J  a journal record                     N  a snapshot of the controller; instead of K, J and B
  B  boot: tick, damaged, image           Q  quality bytes, before the B or S they belong to
  S  a scan: tick, durable, flags, image  s  the same, image unchanged
  R  a request as JSON                    P  a recipe in canonical form
  L  told to leave                        E  shut down: tick
  D  a checkpoint: scans so far, 32 bytes of sha256 over the events, 32 over the outputs
"""

import binascii
import hashlib
import struct

from . import codec, snapshot
from . import events as ev
from .controller import Controller
from .orders import Book
from .request_text import request_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAGIC = b"CELLTRACE1\n"
EVERY = 256  # scans a checkpoint
_HEAD = "<BI"  # MicroPython has no "c"
_HEAD_SIZE = 5
_CRC_SIZE = 4
MOST_ENTRY = 1 << 24
TORN = b""
_BOOT_SIZE = 5
_pack = struct.pack  # the recorder works in every scan
_crc32 = binascii.crc32
_SCAN = 0x53  # S
_SAME = 0x73  # s
_SHA = 32
_CHECKPOINT_SIZE = 4 + 2 * _SHA


class TraceError(ValueError):
    """The file is no trace, or is damaged; the message says where."""


def entry(kind: bytes, body: bytes) -> bytes:
    """One entry of a trace."""
    return sealed(struct.pack(_HEAD, kind[0], len(body)) + body)


def sealed(data: bytes) -> bytes:
    """An entry's letter, length and body with their CRC behind them."""
    return data + struct.pack("<I", binascii.crc32(data))


def header(spec: "dict[str, Any]", last_seq: int, equipment_sha256: str, segment: int) -> bytes:
    """The first entry. `last_seq`: of the journal before the first event of this trace."""
    return entry(
        b"H",
        codec.pack({"spec": spec, "last_seq": last_seq, "equipment": equipment_sha256, "segment": segment}),
    )


class Digest:
    """A running digest of what comes out: every event, and the outputs whenever they change."""

    def __init__(self, controller: Controller) -> None:
        self._image = controller.output_image
        self.words = [-1] * len(self._image.words)  # as last folded in
        self.analog = [-1] * len(self._image.analog)
        self._format = "<I%di" % (len(self.words) + len(self.analog))
        self._events: "list[bytes]" = []
        self._outputs: "list[bytes]" = []
        self.events = bytes(_SHA)
        self.outputs = bytes(_SHA)
        self.scans = 0

    def fold(self, now: int, records: "list[bytes]") -> None:
        """What came out of a scan, of a boot or of a shut-down."""
        words = self._image.words
        analog = self._image.analog
        if words != self.words or analog != self.analog:
            self.words = words[:]
            self.analog = analog[:]
            self._outputs.append(_pack(self._format, now, *words, *analog))
        if records:
            self._events.extend(records)

    def close(self) -> bytes:
        """The two digests of everything so far, events first: each one is of the last and what came since."""
        if self._events:
            self.events = hashlib.sha256(self.events + b"".join(self._events)).digest()
            self._events = []
        if self._outputs:
            self.outputs = hashlib.sha256(self.outputs + b"".join(self._outputs)).digest()
            self._outputs = []
        return self.events + self.outputs


class Recorder:
    """Writes the trace of a controller through `write(bytes)`. Attach it before `boot`; call `scanned` after a scan."""

    def __init__(
        self,
        controller: Controller,
        write: "Callable[[bytes], object]",
        journal: "list[bytes]",
        equipment_sha256: str,
        book: bytes = b"",
    ) -> None:
        """`journal`: the records the controller's book was folded from, after `book`, the journal's own snapshot of it;
        none for a first start."""
        self._equipment = equipment_sha256
        self._segment = 0
        self._controller = controller
        self._context = controller.context
        self._image = controller.input_image
        self._output_image = controller.output_image
        self._count = len(self._image.words) + len(self._image.analog)
        self._format = "<BIIIB%di" % self._count
        self._size = 9 + 4 * self._count
        self._begin(write)
        if book:
            write(entry(b"K", book))
        for record in journal:
            write(entry(b"J", record))
        controller.tap = self.tap

    def _begin(self, write: "Callable[[bytes], object]") -> None:
        controller = self._controller
        self._write = write
        self.digest = Digest(controller)
        self._words: "list[int]" = []  # nothing is known to the reader yet
        self._analog: "list[int]" = []
        self._quality = bytes(len(self._image.quality))
        write(MAGIC)
        write(header(controller.spec, controller.context.last_seq, self._equipment, self._segment))

    def may_turn(self) -> bool:
        """Whether a new segment can begin now: nothing lives that a snapshot cannot hold."""
        return snapshot.is_quiet(self._controller)

    def turn(self, write: "Callable[[bytes], object]") -> None:
        """Go on in a new segment: right after `scanned` and a last `checkpoint` of the old one, and when `may_turn`."""
        self._segment += 1
        self._begin(write)
        write(entry(b"N", snapshot.take(self._controller)))
        self._quality = bytes(self._image.quality)

    def tap(self, kind: bytes, body: bytes) -> None:
        """What the controller was told between scans."""
        controller = self._controller
        if kind == b"b" or kind == b"e":  # a boot or a shut-down is over; nothing came in
            self.digest.fold(controller.context.now, controller.context.records)
            return
        if kind == b"B":
            self._quality = bytes(self._image.quality)
            self._write(entry(b"Q", self._quality))
            body += struct.pack("<%di" % self._count, *self._image.words, *self._image.analog)
        self._write(entry(kind, body))

    def scanned(self, records: "list[bytes]") -> None:
        """After a scan, with the events since the last one (or since boot), before the journal takes them."""
        controller = self._controller
        image = self._image
        if image.quality != self._quality:
            self._quality = bytes(image.quality)
            self._write(entry(b"Q", self._quality))
        flags = 1 if controller.writable else 0
        now = self._context.now
        words = image.words
        analog = image.analog
        if words == self._words and analog == self._analog:
            data = _pack("<BIIIB", _SAME, 9, now, controller.durable, flags)
        else:
            self._words = words[:]
            self._analog = analog[:]
            data = _pack(self._format, _SCAN, self._size, now, controller.durable, flags, *words, *analog)
        self._write(data + _crc32(data).to_bytes(4, "little"))
        digest = self.digest
        out = self._output_image
        if records or out.words != digest.words or out.analog != digest.analog:
            digest.fold(now, records)
        digest.scans += 1
        if not digest.scans % EVERY:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write the digest of what came out so far."""
        self._write(entry(b"D", struct.pack("<I", self.digest.scans) + self.digest.close()))


class Player:
    """Replays a trace, entry by entry, on a fresh controller.

    `scans`, `events` and `checked` (checkpoints) count; `different_at` is the number of scans at the first checkpoint
    that differed, -1 if none did, and `different_in` says what did: events, outputs or both.
    """

    def __init__(self, phases: "dict[str, Any]", states: "dict[int, Any]") -> None:
        self._phases = phases
        self._states = states
        self._book = Book()
        self._header: "Any" = None
        self.controller: "Controller | None" = None
        self._digest: "Digest | None" = None
        self._image_size = 0
        self.scans = 0
        self.events = 0
        self.checked = 0
        self.different_at = -1
        self.different_in = ""
        self.ended_in = 0
        self.torn = False  # the file ends inside an entry
        self.listen: "Callable[[list[bytes]], None] | None" = None  # told of the events of each scan

    def play(self, kind: bytes, body: bytes) -> None:
        """One entry. Raises TraceError where it does not belong, ValueError where it is not as it should be."""
        if kind == b"H":
            if self._header is not None:
                raise TraceError("a second header: two traces in one file")
            self._header = header_of(body)
            return
        if self._header is None:
            raise TraceError("the trace does not start with its header")
        if kind == b"K":
            self._book.load(body)
            return
        if kind == b"J":
            _, tick, event, source, a, b = ev.fields(body)
            self._book.apply(tick, event, source, a, b, body[ev.SIZE :])
            return
        controller = self.controller
        if controller is None:
            controller = self._begin()
        if kind == b"S" or kind == b"s":
            self._scan(controller, kind, body)
        elif kind == b"Q":
            if len(body) != len(controller.input_image.quality):
                raise TraceError("qualities of %d inputs; the cell has others" % len(body))
            controller.input_image.quality[:] = body
        elif kind == b"D":
            self._check(body)
        else:
            self._told(controller, kind, body)

    def _begin(self) -> Controller:
        told = self._header
        controller = Controller(told["spec"], self._phases, self._states, self._book, told["last_seq"])
        image = controller.input_image
        self._image_size = 4 * (len(image.words) + len(image.analog))
        self.controller = controller
        self._digest = Digest(controller)
        return controller

    def _take_image(self, controller: Controller, body: bytes) -> None:
        if len(body) != self._image_size:
            raise TraceError("an input image of %d bytes; the cell has %d" % (len(body), self._image_size))
        image = controller.input_image
        words = len(image.words)
        values = struct.unpack("<%di" % (self._image_size // 4), body)
        image.words[:] = values[:words]
        image.analog[:] = values[words:]

    def _scan(self, controller: Controller, kind: bytes, body: bytes) -> None:
        if len(body) < 9:
            raise TraceError("a scan of %d bytes" % len(body))
        now, durable, flags = struct.unpack("<IIB", body[:9])
        if kind == b"S":
            self._take_image(controller, body[9:])
        controller.scan(now, durable, flags & 1 != 0)
        self._out(controller)
        self.scans += 1

    def _out(self, controller: Controller) -> None:
        """What came out goes into the digest; replies are not part of it."""
        if controller.replies:
            controller.take_replies()
        records = controller.take_records()
        if records:
            self.events += len(records)
            if self.listen is not None:
                self.listen(records)
        if self._digest is not None:
            self._digest.fold(controller.context.now, records)

    def _told(self, controller: Controller, kind: bytes, body: bytes) -> None:
        if kind == b"R":
            controller.request(request_from(body))
        elif kind == b"P":
            recipe: "Any" = codec.unpack(body)
            controller.offer_recipe(recipe)
        elif kind == b"B":
            if len(body) < _BOOT_SIZE:
                raise TraceError("a boot of %d bytes" % len(body))
            now, damaged = struct.unpack("<IB", body[:5])
            self._take_image(controller, body[5:])
            controller.boot(now, damaged != 0)
            self._out(controller)
        elif kind == b"N":
            snapshot.restore(controller, body)
        elif kind == b"L":
            controller.leave()
        elif kind == b"E" and len(body) == 4:
            controller.shut_down(struct.unpack("<I", body)[0])
            self.ended_in = controller.machine.state
            self._out(controller)
        else:
            raise TraceError("there is no such entry")

    def _check(self, body: bytes) -> None:
        if self._digest is None:
            return
        if len(body) != _CHECKPOINT_SIZE:
            raise TraceError("a checkpoint of %d bytes" % len(body))
        self.checked += 1
        here = self._digest.close()
        there = body[4:]
        if here != there and self.different_at < 0:
            self.different_at = struct.unpack("<I", body[:4])[0]
            same_events = here[:_SHA] == there[:_SHA]
            same_outputs = here[_SHA:] == there[_SHA:]
            self.different_in = (
                "outputs" if same_events else "events" if same_outputs else "events and outputs"
            )

    def digests(self) -> "tuple[str, str]":
        """The sha256 of all events and of all outputs, in hex."""
        if self._digest is None:
            return "", ""
        self._digest.close()
        return _hex(self._digest.events), _hex(self._digest.outputs)


def _hex(data: bytes) -> str:
    return "".join(["%02x" % byte for byte in data])


def header_of(body: bytes) -> "dict[str, Any]":
    """What a header says: spec, last_seq, equipment, segment. Raises ValueError for anything else."""
    told: "Any" = codec.unpack(body)
    if not isinstance(told, dict) or sorted(told) != ["equipment", "last_seq", "segment", "spec"]:
        raise TraceError("the header of the trace is of another kind")
    return told


def read_magic(read: "Callable[[int], bytes]") -> None:
    """The first bytes of a trace. Raises TraceError if they are not there."""
    if read(len(MAGIC)) != MAGIC:
        raise TraceError("this is no trace of a cell controller")


def read_entry(read: "Callable[[int], bytes]") -> "tuple[bytes, bytes] | None":
    """The next entry as (letter, body); None at the end, (TORN, what there is) where it was not written to its end.

    Raises TraceError for an entry whose CRC is wrong.
    """
    head = read(_HEAD_SIZE)
    if not head:
        return None
    if len(head) < _HEAD_SIZE:
        return TORN, head
    size = struct.unpack("<I", head[1:])[0]
    if size > MOST_ENTRY:
        raise TraceError("an entry of %d bytes: the trace is damaged" % size)
    rest = read(size + _CRC_SIZE)
    if len(rest) < size + _CRC_SIZE:
        return TORN, rest
    body = rest[:size]
    if struct.unpack("<I", rest[size:])[0] != binascii.crc32(body, binascii.crc32(head)):
        raise TraceError("an entry's check sum is wrong: the trace is damaged")
    return head[:1], body


def play_all(read: "Callable[[int], bytes]", player: Player) -> None:
    """Replay from a file-like `read`. Raises TraceError for what is no trace; a torn last entry ends it quietly."""
    read_magic(read)
    while play_some(read, player, EVERY):
        pass


def play_some(read: "Callable[[int], bytes]", player: Player, most: int) -> bool:
    """Replay the next entries, at most `most`; False at the end. A small heap is tidied between two calls."""
    for _ in range(most):
        told = read_entry(read)
        if told is None:
            return False
        if told[0] == TORN:
            player.torn = True
            return False
        player.play(told[0], told[1])
    return True
