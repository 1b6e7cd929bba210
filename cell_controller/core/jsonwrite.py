"""One writer of JSON for everything the cell publishes: the same value gives the same bytes on both runtimes.

Keys are sorted, there is no white space, and an engineering value goes out as a decimal number made with integers:
512 in hundredths becomes 5.12. Floats are refused, because a Pico's are not a PC's.
"""

MAX_DEPTH = 16
_PLACES = 9  # enough for every resolution a cell file may name; more would be noise
_HEX = "0123456789abcdef"
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Decimal:
    """An engineering value: the integer `value` counts steps of 1/`per_unit` (1 and above)."""

    def __init__(self, value: int, per_unit: int) -> None:
        self.value = value
        self.per_unit = per_unit


def encode(value: object) -> bytes:
    """The JSON text of `value` as UTF-8. Raises ValueError for a type without one (float, bytes) or too deep."""
    return dumps(value).encode()


def dumps(value: object) -> str:
    """The JSON text of `value`: None, bool, int, str, list, tuple, dict with str keys, Decimal or ("dec", m, e)."""
    parts: list[str] = []
    _write(value, parts, 0)
    return "".join(parts)


def decimal_text(value: int, per_unit: int) -> str:
    """`value`/`per_unit` as the shortest JSON number, cut after 9 places. Raises ValueError for per_unit < 1."""
    if per_unit < 1:
        raise ValueError(f"per_unit {per_unit} is below 1; a resolution of 0.01 is 100 per unit")
    sign = "-" if value < 0 else ""
    size = -value if value < 0 else value
    whole = size // per_unit
    rest = size - whole * per_unit
    if rest == 0:
        return f"{sign}{whole}"
    digits: list[str] = []
    while rest and len(digits) < _PLACES:
        rest *= 10
        digits.append(str(rest // per_unit))
        rest = rest % per_unit
    while digits and digits[-1] == "0":
        digits.pop()
    if not digits:
        return f"{sign}{whole}" if whole else "0"
    fraction = "".join(digits)
    return f"{sign}{whole}.{fraction}"


def _write(value: object, parts: "list[str]", depth: int) -> None:
    if value is None:
        parts.append("null")
    elif value is True:  # before int: bool is an int on CPython only
        parts.append("true")
    elif value is False:
        parts.append("false")
    elif isinstance(value, str):
        parts.append(_quoted(value))
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, Decimal):
        parts.append(decimal_text(value.value, value.per_unit))
    elif depth >= MAX_DEPTH:
        raise ValueError(f"JSON deeper than {MAX_DEPTH} levels")
    elif isinstance(value, tuple) and len(value) == 3 and value[0] == "dec":
        parts.append(_power_of_ten(value[1], value[2]))
    elif isinstance(value, (list, tuple)):
        mark = "["
        for entry in value:
            parts.append(mark)
            mark = ","
            _write(entry, parts, depth + 1)
        parts.append("[]" if mark == "[" else "]")
    elif isinstance(value, dict):
        _write_object(value, parts, depth)
    else:
        raise ValueError("no JSON for this type; scale floats to integers, write bytes as hex")


def _write_object(value: "dict[str, object]", parts: "list[str]", depth: int) -> None:
    mark = "{"
    for key in sorted(value):  # by code point: the same order everywhere
        if not isinstance(key, str):
            raise ValueError("a JSON key must be text")
        parts.append(mark)
        mark = ","
        parts.append(_quoted(key))
        parts.append(":")
        _write(value[key], parts, depth + 1)
    parts.append("{}" if mark == "{" else "}")


def _power_of_ten(mantissa: int, exponent: int) -> str:
    if exponent >= 0:
        return str(mantissa) + ("0" * exponent if mantissa else "")
    sign = "-" if mantissa < 0 else ""
    digits = str(-mantissa if mantissa < 0 else mantissa)
    places = -exponent
    if len(digits) <= places:
        digits = "0" * (places - len(digits) + 1) + digits
    split = len(digits) - places
    return sign + digits[:split] + "." + digits[split:]


def _quoted(text: str) -> str:
    if not text:
        return '""'
    if min(text) >= " " and max(text) <= "\ud7ff" and '"' not in text and "\\" not in text:
        return '"' + text + '"'
    parts = ['"']
    for char in text:
        short = _SHORT.get(char)
        code = ord(char)
        if short is not None:
            parts.append(short)
        elif code < 0x20:
            parts.append("\\u00" + _HEX[code >> 4] + _HEX[code & 15])
        elif 0xD800 <= code <= 0xDFFF:
            parts.append("\ufffd")  # half a character has no UTF-8
        else:
            parts.append(char)
    parts.append('"')
    return "".join(parts)
