"""One strict, bounded reader of JSON (RFC 8259) for everything that comes from outside.

Both runtimes refuse the same things and give the same values: MicroPython's own reader accepts `[1 2]` and `01`, and
floats differ between a Pico and a PC. Objects become dicts, arrays lists, whole numbers int; a number with a
fraction becomes `("dec", mantissa, exponent10)` in lowest terms (4.50 -> ("dec", 45, -1)), never a float. An array is
never a tuple, so the two can't be confused.
"""

from cell_controller.core.codec import decode, utf8_fault

LARGEST = 1 << 53  # the integers that every JSON library agrees on
_LARGEST_MANTISSA = 10**17 - 1  # the shortest form of any double has at most 17 digits
_SMALLEST_EXPONENT = -64
_LONGEST_NUMBER = 64
_PLAIN_ESCAPES = {
    0x22: '"',
    0x5C: "\\",
    0x2F: "/",
    0x62: "\b",
    0x66: "\f",
    0x6E: "\n",
    0x72: "\r",
    0x74: "\t",
}


class JsonError(ValueError):
    """The bytes are not JSON that this reader accepts; refuse the request and quote `reason` and `at`.

    reason: short text. at: offset in bytes of what was refused.
    """

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(f"{reason} at byte {at}")
        self.reason = reason
        self.at = at


def loads(data: bytes, max_bytes: int = 16384, max_depth: int = 8, max_items: int = 512) -> object:
    """The value of one JSON text. Raises JsonError, nothing else, for bytes that are not one.

    max_bytes bounds the text, max_depth the arrays and objects inside each other, max_items the array entries and
    object members of the whole text together. Duplicate keys, a byte order mark, NaN, lone surrogates and numbers
    beyond +-2**53 are refused.
    """
    if len(data) > max_bytes:
        raise JsonError(f"longer than {max_bytes} bytes", max_bytes)
    if data[:3] == b"\xef\xbb\xbf":
        raise JsonError("byte order mark", 0)
    if decode(data) is None:
        raise JsonError("not UTF-8", utf8_fault(data))
    reader = _Reader(data, max_depth, max_items)
    value = reader.value()
    reader.skip_space()
    if reader.at != len(data):
        raise JsonError("text after the value", reader.at)
    return value


class _Reader:
    def __init__(self, data: bytes, max_depth: int, max_items: int) -> None:
        self.data = data
        self.at = 0
        self.max_depth = max_depth
        self.max_items = max_items
        self.depth = 0
        self.items = 0

    def peek(self) -> int:
        """The next byte, or -1 at the end."""
        return self.data[self.at] if self.at < len(self.data) else -1

    def skip_space(self) -> None:
        while self.peek() in (0x20, 0x0A, 0x0D, 0x09):
            self.at += 1

    def expect(self, byte: int, reason: str) -> None:
        if self.peek() != byte:
            raise JsonError(reason, self.at)
        self.at += 1

    def value(self) -> object:
        self.skip_space()
        head = self.peek()
        if head == 0x22:
            return self.text()
        if head == 0x7B:
            return self.table()
        if head == 0x5B:
            return self.array()
        if head == 0x2D or 0x30 <= head <= 0x39:
            return self.number()
        if head == 0x74:
            return self.word(b"true", True)
        if head == 0x66:
            return self.word(b"false", False)
        if head == 0x6E:
            return self.word(b"null", None)
        if head < 0:
            raise JsonError("text ends too early", self.at)
        raise JsonError("no value starts like this", self.at)

    def word(self, word: bytes, value: object) -> object:
        end = self.at + len(word)
        if self.data[self.at : end] != word:
            raise JsonError("no value starts like this", self.at)
        self.at = end
        return value

    def enter(self) -> None:
        if self.depth == self.max_depth:
            raise JsonError(f"more than {self.max_depth} levels", self.at)
        self.depth += 1
        self.at += 1
        self.skip_space()

    def leave(self) -> None:
        self.depth -= 1
        self.at += 1

    def count(self) -> None:
        self.items += 1
        if self.items > self.max_items:
            raise JsonError(f"more than {self.max_items} entries", self.at)

    def array(self) -> "list[object]":
        self.enter()
        entries: list[object] = []
        while self.peek() != 0x5D:
            if entries:
                self.expect(0x2C, "comma or ] expected")
            self.count()
            entries.append(self.value())
            self.skip_space()
        self.leave()
        return entries

    def table(self) -> "dict[str, object]":
        self.enter()
        members: dict[str, object] = {}
        while self.peek() != 0x7D:
            if members:
                self.expect(0x2C, "comma or } expected")
                self.skip_space()
            self.count()
            start = self.at
            if self.peek() != 0x22:
                raise JsonError("key expected", start)
            key = self.text()
            if key in members:
                raise JsonError("key twice", start)
            self.skip_space()
            self.expect(0x3A, "colon expected")
            members[key] = self.value()
            self.skip_space()
        self.leave()
        return members

    def text(self) -> str:
        data = self.data
        first = self.at
        start = at = first + 1
        parts: list[str] = []
        while at < len(data):
            byte = data[at]
            if byte == 0x22:
                parts.append(data[start:at].decode())
                self.at = at + 1
                return "".join(parts)
            if byte < 0x20:
                raise JsonError("control character in text", at)
            if byte == 0x5C:
                parts.append(data[start:at].decode())
                self.at = at
                parts.append(self.escape())
                start = at = self.at
            else:
                at += 1
        raise JsonError("text without closing quote", first)

    def escape(self) -> str:
        """The character of the escape at the backslash `self.at`; moves behind it."""
        start = self.at
        self.at += 1
        kind = self.peek()
        self.at += 1
        if kind != 0x75:
            plain = _PLAIN_ESCAPES.get(kind)
            if plain is None:
                raise JsonError("unknown escape", start)
            return plain
        code = self.hex4(start)
        if 0xDC00 <= code <= 0xDFFF:
            raise JsonError("lone surrogate", start)
        if 0xD800 <= code <= 0xDBFF:
            if self.data[self.at : self.at + 2] != b"\\u":
                raise JsonError("lone surrogate", start)
            self.at += 2
            low = self.hex4(start)
            if not 0xDC00 <= low <= 0xDFFF:
                raise JsonError("lone surrogate", start)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return chr(code)

    def hex4(self, start: int) -> int:
        value = 0
        for _ in range(4):
            byte = self.peek()
            if 0x30 <= byte <= 0x39:
                digit = byte - 0x30
            elif 0x41 <= byte <= 0x46:
                digit = byte - 0x37
            elif 0x61 <= byte <= 0x66:
                digit = byte - 0x57
            else:
                raise JsonError("escape needs four hexadecimal digits", start)
            value = value * 16 + digit
            self.at += 1
        return value

    def digits(self, start: int) -> bytes:
        """At least one digit, moving behind them."""
        first = self.at
        while 0x30 <= self.peek() <= 0x39:
            self.at += 1
        if self.at == first:
            raise JsonError("digit expected", first)
        if self.at - start > _LONGEST_NUMBER:
            raise JsonError(f"number longer than {_LONGEST_NUMBER} characters", start)
        return self.data[first : self.at]

    def number(self) -> "int | tuple[str, int, int]":
        start = self.at
        negative = self.peek() == 0x2D
        if negative:
            self.at += 1
        whole = self.digits(start)
        if len(whole) > 1 and whole[0] == 0x30:
            raise JsonError("leading zero", start)
        fraction = b""
        if self.peek() == 0x2E:
            self.at += 1
            fraction = self.digits(start)
        exponent = 0
        if self.peek() in (0x65, 0x45):
            self.at += 1
            sign = self.peek()
            if sign in (0x2B, 0x2D):
                self.at += 1
            exponent = int(self.digits(start))
            if sign == 0x2D:
                exponent = -exponent
        mantissa = int(whole + fraction)
        return _normal(-mantissa if negative else mantissa, exponent - len(fraction), start)


def _normal(mantissa: int, exponent: int, start: int) -> "int | tuple[str, int, int]":
    """The one form of mantissa * 10**exponent: an int where it is whole, otherwise in lowest terms."""
    if mantissa == 0:
        return 0
    while mantissa % 10 == 0:
        mantissa //= 10
        exponent += 1
    if exponent >= 0:
        if exponent > 15 or not -LARGEST <= mantissa * 10**exponent <= LARGEST:
            raise JsonError("number beyond 2**53", start)
        whole: int = mantissa * 10**exponent
        return whole
    if exponent < _SMALLEST_EXPONENT or not -_LARGEST_MANTISSA <= mantissa <= _LARGEST_MANTISSA:
        raise JsonError("number finer than can be kept", start)
    # With 17 digits only one decimal leaves room for a whole part beyond 2**53.
    if exponent == -1 and not -LARGEST * 10 <= mantissa <= LARGEST * 10:
        raise JsonError("number beyond 2**53", start)
    return ("dec", mantissa, exponent)
