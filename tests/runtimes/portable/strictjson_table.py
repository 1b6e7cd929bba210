"""What the strict JSON reader accepts and refuses, as a table; run as a script it prints one digest of it.

The digest covers every input with its result (value, or reason and offset), so equal digests mean that two runtimes
read alike.
"""

import hashlib

from cell_controller.core import strictjson

TABLE: "list[tuple[bytes, object]]" = [
    (b"{}", {}),
    (b"[]", []),
    (b" \t\r\n[ 1 , 2 ]\n", [1, 2]),
    (b'{"a": {"b": [true, false, null]}}', {"a": {"b": [True, False, None]}}),
    (b'"plain"', "plain"),
    (b'""', ""),
    (b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\/\b\f\n\r\t'),
    (b'"\\u00e9\\u20AC"', "\u00e9\u20ac"),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"', "\u00e9\u20ac\U0001f600"),
    (b'"\\u0000"', "\0"),
    (b"0", 0),
    (b"-0", 0),
    (b"-0.000", 0),
    (b"0e99999", 0),
    (b"10", 10),
    (b"4.50", ("dec", 45, -1)),
    (b"-4.50", ("dec", -45, -1)),
    (b"4.0", 4),
    (b"1e3", 1000),
    (b"1E+3", 1000),
    (b"1e003", 1000),
    (b"1200e-2", 12),
    (b"1205e-2", ("dec", 1205, -2)),
    (b"0.30000000000000004", ("dec", 30000000000000004, -17)),
    (b"5.551115123125783e-17", ("dec", 5551115123125783, -32)),
    (b"9007199254740992", 9007199254740992),
    (b"-9007199254740992", -9007199254740992),
    (b"9007199254740991.9", ("dec", 90071992547409919, -1)),
    (b"[[[[[[[[8]]]]]]]]", [[[[[[[[8]]]]]]]]),
]

REFUSED: "list[tuple[bytes, str, int]]" = [
    (b"", "text ends too early", 0),
    (b"  ", "text ends too early", 2),
    (b"{", "key expected", 1),
    (b"[", "text ends too early", 1),
    (b"[1", "comma or ] expected", 2),
    (b"[1 2]", "comma or ] expected", 3),
    (b"[1,]", "no value starts like this", 3),
    (b"[,1]", "no value starts like this", 1),
    (b'{"a":1,}', "key expected", 7),
    (b'{"a":1 "b":2}', "comma or } expected", 7),
    (b'{"a" 1}', "colon expected", 5),
    (b'{"a":}', "no value starts like this", 5),
    (b"{1:2}", "key expected", 1),
    (b"{'a':1}", "key expected", 1),
    (b'{"a":1,"a":1}', "key twice", 7),
    (b'{"a":1,"\\u0061":2}', "key twice", 7),
    (b"[1]]", "text after the value", 3),
    (b"1 x", "text after the value", 2),
    (b'{"a":1}{"a":1}', "text after the value", 7),
    (b"[1]\0", "text after the value", 3),
    (b"01", "leading zero", 0),
    (b"-01", "leading zero", 0),
    (b"00", "leading zero", 0),
    (b"+1", "no value starts like this", 0),
    (b".5", "no value starts like this", 0),
    (b"1.", "digit expected", 2),
    (b"1.e2", "digit expected", 2),
    (b"-", "digit expected", 1),
    (b"1e", "digit expected", 2),
    (b"1e+", "digit expected", 3),
    (b"0x10", "text after the value", 1),
    (b"1_000", "text after the value", 1),
    (b"NaN", "no value starts like this", 0),
    (b"Infinity", "no value starts like this", 0),
    (b"-Infinity", "digit expected", 1),
    (b"True", "no value starts like this", 0),
    (b"tru", "no value starts like this", 0),
    (b"nul", "no value starts like this", 0),
    (b"truex", "text after the value", 4),
    (b"9007199254740993", "number beyond 2**53", 0),
    (b"[-9007199254740993]", "number beyond 2**53", 1),
    (b"9007199254740992.5", "number beyond 2**53", 0),
    (b"1e16", "number beyond 2**53", 0),
    (b"1e999999999", "number beyond 2**53", 0),
    (b"1e-999999999", "number finer than can be kept", 0),
    (b"0.123456789012345678", "number finer than can be kept", 0),
    (b"1" * 65, "number longer than 64 characters", 0),
    (b'"a', "text without closing quote", 0),
    (b'["a\\"]', "text without closing quote", 1),
    (b'"a\nb"', "control character in text", 2),
    (b'"a\x00b"', "control character in text", 2),
    (b'"\x1f"', "control character in text", 1),
    (b'"\\x41"', "unknown escape", 1),
    (b'"\\', "unknown escape", 1),
    (b'"\\u12g4"', "escape needs four hexadecimal digits", 1),
    (b'"\\u12', "escape needs four hexadecimal digits", 1),
    (b'"\\ud800"', "lone surrogate", 1),
    (b'"\\ude00"', "lone surrogate", 1),
    (b'"\\ud800\\u0041"', "lone surrogate", 1),
    (b'"\\ud83d\\ud83d"', "lone surrogate", 1),
    (b'"\xff"', "not UTF-8", 1),
    (b'"\xc0\x80"', "not UTF-8", 1),
    (b'"\xe0\x80\x80"', "not UTF-8", 1),
    (b'"\xed\xa0\x80"', "not UTF-8", 1),
    (b'"\xf4\x90\x80\x80"', "not UTF-8", 1),
    (b'"\xf8\x88\x80\x80\x80"', "not UTF-8", 1),
    (b'"\xc3', "not UTF-8", 1),
    (b'"\x80"', "not UTF-8", 1),
    (b"\xef\xbb\xbf{}", "byte order mark", 0),
    (b"\xff\xfe{\x00}\x00", "not UTF-8", 0),
    (b"// note\n1", "no value starts like this", 0),
    (b"[[[[[[[[[9]]]]]]]]]", "more than 8 levels", 8),
    (b"[" * 5000, "more than 8 levels", 8),
    (b"[" + b"0," * 512 + b"0]", "more than 512 entries", 1025),
    (b" " * 16385, "longer than 16384 bytes", 16384),
]


def show(value: object) -> str:
    """One line that says a value, alike on all runtimes (their repr of text is not)."""
    if isinstance(value, str):
        return "s" + str([ord(letter) for letter in value])
    if isinstance(value, list):
        return "l(" + ",".join([show(entry) for entry in value]) + ")"
    if isinstance(value, tuple):
        return "t(" + ",".join([show(entry) for entry in value]) + ")"
    if isinstance(value, dict):
        return "d(" + ",".join([show(key) + "=" + show(value[key]) for key in sorted(value)]) + ")"
    return str(value)


def outcome(data: bytes) -> str:
    """What the reader makes of `data`, in one line."""
    try:
        return "value " + show(strictjson.loads(data))
    except strictjson.JsonError as error:
        return f"refused {error.reason} at {error.at}"


def main() -> None:
    """Print the digest of every input and its outcome."""
    digest = hashlib.sha256()
    for data in [row[0] for row in TABLE] + [row[0] for row in REFUSED]:
        digest.update(data)
        digest.update(outcome(data).encode())
    print("".join([f"{byte:02x}" for byte in digest.digest()]))


if __name__ == "__main__":
    main()
