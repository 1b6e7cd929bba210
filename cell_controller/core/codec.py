"""One value, one sequence of bytes: the canonical form of what is journalled and hashed (bencode with text).

Values are int (-2**63 .. 2**63-1), str (UTF-8), lists and dicts with str keys, nested at most MAX_DEPTH deep.
Dict keys are written in sorted order, so equal values give equal bytes on both runtimes. True and False are
written as 1 and 0, tuples as lists.
"""

MAX_DEPTH = 16
_HIGHEST = (1 << 63) - 1
_LOWEST = -(1 << 63)
_LONGEST_INTEGER = 20  # characters of -2**63
_LONGEST_LENGTH = 9  # digits; a record never comes near a gigabyte


class CodecError(ValueError):
    """The bytes are not a canonical value; do not guess, treat the record as damaged."""


def utf8_fault(raw: bytes) -> int:
    """Offset of the first byte that is not UTF-8 (overlong, surrogate, beyond U+10FFFF, cut off), or -1.

    MicroPython's own decode lets overlong forms and surrogates pass, so neither runtime's is relied on here.
    """
    at = 0
    end = len(raw)
    while at < end:
        head = raw[at]
        if head < 0x80:
            at += 1
            continue
        low = 0x80  # bounds of the second byte; they exclude overlong forms and surrogates
        high = 0xBF
        if 0xC2 <= head <= 0xDF:
            size = 2
        elif 0xE0 <= head <= 0xEF:
            size = 3
            if head == 0xE0:
                low = 0xA0
            elif head == 0xED:
                high = 0x9F
        elif 0xF0 <= head <= 0xF4:
            size = 4
            if head == 0xF0:
                low = 0x90
            elif head == 0xF4:
                high = 0x8F
        else:
            return at
        if at + size > end or not low <= raw[at + 1] <= high:
            return at
        for place in range(at + 2, at + size):
            if raw[place] & 0xC0 != 0x80:
                return at
        at += size
    return -1


def decode(raw: bytes) -> "str | None":
    """The text of `raw`, or None where it is not UTF-8."""
    try:
        value = raw.decode()
    except UnicodeError:
        return None
    if len(value) != len(raw) and utf8_fault(raw) >= 0:
        return None
    return value


class Packed:
    """A value in canonical form already: `pack` takes its bytes over, so that what is long is packed once."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def pack(value: object) -> bytes:
    """The canonical bytes of `value`. Raises CodecError where it has none (float, None, bytes, too deep)."""
    parts: list[bytes] = []
    _pack(value, parts, 0)
    return b"".join(parts)


def _pack(value: object, parts: "list[bytes]", depth: int) -> None:
    if isinstance(value, str):
        _pack_text(value, parts)
    elif value is True or value is False:  # bool is no int on MicroPython
        parts.append(b"i1e" if value else b"i0e")
    elif isinstance(value, int):
        if not _LOWEST <= value <= _HIGHEST:
            raise CodecError("integer beyond 64 bits")
        parts.append(b"i%de" % value)
    elif isinstance(value, (list, tuple)):
        if depth == MAX_DEPTH:
            raise CodecError("nested too deep")
        parts.append(b"l")
        for entry in value:
            _pack(entry, parts, depth + 1)
        parts.append(b"e")
    elif isinstance(value, dict):
        if depth == MAX_DEPTH:
            raise CodecError("nested too deep")
        parts.append(b"d")
        keys = _sorted_keys(value)
        if len(keys) != len(value):
            raise CodecError("key is not text")
        for key in keys:
            if not isinstance(key, str):
                raise CodecError("key is not text")
            _pack_text(key, parts)
            _pack(value[key], parts, depth + 1)
        parts.append(b"e")
    elif isinstance(value, Packed):
        parts.append(value.data)
    else:
        raise CodecError("no canonical form for this type")


def _sorted_keys(table: "dict[str, object]") -> "list[str]":
    """By code point, the same order everywhere; nothing if they cannot be compared."""
    try:
        return sorted(table)
    except TypeError:  # keys of several types
        return []


def _encode(value: str) -> "bytes | None":
    # The errors are raised by the caller: MicroPython warns on stderr about every chained exception.
    try:
        raw = value.encode()
    except UnicodeError:
        return None
    if len(raw) != len(value) and utf8_fault(raw) >= 0:  # MicroPython encodes surrogates without a word
        return None
    return raw


def _pack_text(value: str, parts: "list[bytes]") -> None:
    raw = _encode(value)
    if raw is None:
        raise CodecError("text with a lone surrogate")
    parts.append(b"%d:" % len(raw))
    parts.append(raw)


def unpack(data: bytes) -> object:
    """The value of canonical `data`. Raises CodecError for anything that `pack` would not have written."""
    value, end = _unpack(data, 0, 0)
    if end != len(data):
        raise CodecError("bytes after the value")
    return value


def _head(data: bytes, at: int) -> int:
    if at >= len(data):
        raise CodecError("record ends too early")
    return data[at]


def _unpack(data: bytes, at: int, depth: int) -> "tuple[object, int]":
    head = _head(data, at)
    if 0x30 <= head <= 0x39:
        return _unpack_text(data, at)
    if head == 0x69:  # i
        return _unpack_integer(data, at)
    if head != 0x6C and head != 0x64:
        raise CodecError("no value starts with this byte")
    if depth == MAX_DEPTH:
        raise CodecError("nested too deep")
    at += 1
    if head == 0x6C:  # l
        items: list[object] = []
        while _head(data, at) != 0x65:
            entry, at = _unpack(data, at, depth + 1)
            items.append(entry)
        return items, at + 1
    table: dict[str, object] = {}
    last = None
    while _head(data, at) != 0x65:
        key, at = _unpack_text(data, at)
        if last is not None and key <= last:
            raise CodecError("keys out of order or twice")
        last = key
        table[key], at = _unpack(data, at, depth + 1)
    return table, at + 1


def _unpack_integer(data: bytes, at: int) -> "tuple[int, int]":
    end = data.find(b"e", at + 1, at + 2 + _LONGEST_INTEGER)
    if end < 0:
        raise CodecError("integer without end")
    first = at + 1
    negative = data[first] == 0x2D
    if negative:
        first += 1
    value = _digits(data, first, end)
    if negative:
        if value == 0:
            raise CodecError("minus zero")
        value = -value
    if not _LOWEST <= value <= _HIGHEST:
        raise CodecError("integer beyond 64 bits")
    return value, end + 1


def _unpack_text(data: bytes, at: int) -> "tuple[str, int]":
    if data[at + 1 : at + 2] == b":" and 0x30 <= data[at] <= 0x39:  # most are shorter than ten bytes
        start = at + 2
        end = start + data[at] - 0x30
    else:
        colon = data.find(b":", at, at + 1 + _LONGEST_LENGTH)
        if colon < 0:
            raise CodecError("text without length")
        start = colon + 1
        end = start + _digits(data, at, colon)
    if end > len(data):
        raise CodecError("text runs past the end")
    value = decode(data[start:end])
    if value is None:
        raise CodecError("text is not UTF-8")
    return value, end


def _digits(data: bytes, first: int, end: int) -> int:
    """The number written in data[first:end]: digits only, no leading zero."""
    raw = data[first:end]
    if not raw.isdigit():
        raise CodecError("number is not made of digits")
    if raw[0] == 0x30 and len(raw) > 1:
        raise CodecError("number with a leading zero")
    return int(raw)


def skip(data: "bytes | memoryview", at: int) -> int:
    """Where the value that starts at `at` ends; of bytes that `pack` wrote, nothing is checked."""
    head = data[at]
    if head == 0x69:
        while data[at] != 0x65:
            at += 1
        return at + 1
    if head == 0x6C or head == 0x64:
        at += 1
        while data[at] != 0x65:
            at = skip(data, at)
        return at + 1
    size = 0
    while data[at] != 0x3A:
        size = size * 10 + data[at] - 0x30
        at += 1
    return at + 1 + size
