"""What the codec writes, reads and refuses; prints one line a row, the same on every runtime."""

from cell_controller.core import codec

VALUES: "list[object]" = [
    0,
    -1,
    True,
    (1 << 63) - 1,
    -(1 << 63),
    1 << 63,
    "",
    "\u00e9\u20ac\U0001f600",
    chr(0xD800),
    [],
    {},
    (1, [2, {"b": 1, "a": "x", "\u00e9": [], "ab": {}}]),
    {1: 2},
    {"a": 1, 2: 1},
    None,
    1.5,
    b"x",
]

DAMAGED = [
    b"i-0e",
    b"i01e",
    b"ie",
    b"i-e",
    b"i 1e",
    b"i1_0e",
    b"i1",
    b"i9223372036854775808e",
    b"01:a",
    b"1:",
    b"-1:a",
    b"1_0:aaaaaaaaaa",
    b"9999999999:",
    b":",
    b"2:\xc0\x80",
    b"3:\xed\xa0\x80",
    b"1:\xff",
    b"1:\x80",
    b"lee",
    b"d1:bi1e1:ai1ee",
    b"d1:ai1e1:ai1ee",
    b"di1ei1ee",
    b"d1:ae",
    b"l",
    b"d",
    b"e",
    b"",
    b"4:\xf4\x90\x80\x80",
    b"l" * 17 + b"e" * 17,
    b"l" * 5000,
    b"3:\xe0\x80\x80",
]


def main() -> None:
    """Print what becomes of every value and of every damaged record."""
    for place, value in enumerate(VALUES):
        try:
            data = codec.pack(value)
            print(place, list(data), codec.pack(codec.unpack(data)) == data)
        except codec.CodecError as error:
            print(place, "refused", error)
    for data in DAMAGED:
        try:
            print("ACCEPTED", data, codec.unpack(data))
        except codec.CodecError as error:
            print(list(data[:8]), "refused", error)


if __name__ == "__main__":
    main()
