"""Messages are found whole or not at all, whatever bytes come in whatever pieces."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.instrument_frames import Checksum, Framer, Framing, crc16_modbus, lrc, sum8, xor
from hil.reader_device import em4100_frame

LINE = Framing("line", end=b"\r\n", most=20)
ANY = replace(LINE, end=b"", any_end=True)
STX = Framing("frame", start=b"\x02", end=b"\x03", most=20)
EM4100 = replace(STX, checksum=Checksum("xor", hex_coded=True, of_hex_pairs=True, skip=(1, 0)))
BCC = replace(STX, alone=b"\x06\x15", checksum=Checksum("xor", after_end=True, skip=(1, 0)))
SIZED = Framing(
    "frame",
    start=b"\x02",
    end=b"\x03",
    length_at=1,
    length_adds=0,
    hex_payload=True,
    checksum=Checksum("xor", skip=(1, 0)),
)
FIXED = Framing("frame", start=b"\xaa", length=6, hex_payload=True, checksum=Checksum("crc16_modbus"))
NMEA = replace(LINE, most=60, checksum=Checksum("xor", hex_coded=True, skip=(1, 1)))

ALL = {
    "line": LINE,
    "any": ANY,
    "stx": STX,
    "em4100": EM4100,
    "bcc": BCC,
    "sized": SIZED,
    "fixed": FIXED,
    "nmea": NMEA,
}


def texts(framing: Framing, *pieces: bytes) -> list[str]:
    """What comes out of a fresh framer."""
    framer = Framer(framing)
    return [text for piece in pieces for text in framer.feed(piece)]


def test_checksums_are_those_of_published_examples() -> None:
    assert crc16_modbus(bytes.fromhex("010300000001")) == bytes.fromhex("840A")
    assert lrc(bytes.fromhex("010300000001")) == bytes.fromhex("FB")
    assert xor(bytes.fromhex("010063E9AE")) == bytes.fromhex("25")
    assert sum8(bytes([0xFF, 2])) == b"\x01"
    assert texts(NMEA, b"$GPGLL,5300.97914,N,00259.98174,E,125926,A*28\r\n") == [
        "$GPGLL,5300.97914,N,00259.98174,E,125926,A*"
    ]


def test_a_frame_of_a_tag_reader_as_it_is_known_from_the_field() -> None:
    frame = bytes([2, 48, 49, 48, 48, 54, 51, 69, 57, 65, 69, 50, 53, 3])
    assert texts(EM4100, frame) == ["010063E9AE"]
    assert em4100_frame(0x0063E9AE) == frame


@pytest.mark.parametrize("name", ALL)
def test_what_is_wrapped_is_found_again(name: str) -> None:
    framing = ALL[name]
    text = {
        "line": "S 1\r\n",
        "any": "S 1\r\n",
        "nmea": "$A*32\r\n",
        "em4100": "0102",
        "sized": "0A0B",
        "fixed": "0102AA",
    }
    sent = framing.wrap(text.get(name, "AB"))
    if name == "nmea":
        sent = b"$A*41\r\n"
    assert texts(framing, sent) == [text.get(name, "AB").split("\r")[0].removesuffix("32")]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"1\r\n2\r\n", ["1", "2"]),
        (b"1\r2\r", ["1", "2"]),
        (b"1\n2\n", ["1", "2"]),
        (b"\r\n\r\n", ["", ""]),
        (b"1\r\n\n", ["1", ""]),
        (b"\n\n", ["", ""]),
    ],
)
def test_cr_lf_or_both_end_a_line_of_a_reader(data: bytes, found: list[str]) -> None:
    assert texts(ANY, data) == found
    assert texts(ANY, *[data[k : k + 1] for k in range(len(data))]) == found


@pytest.mark.parametrize(
    ("framing", "bad", "trouble"),
    [
        (LINE, b"x" * 40 + b"12\r\n", "no end of line within 20 bytes"),
        (LINE, b"x" * 21 + b"\r\n", "a line of 21 bytes, more than 20"),
        (LINE, b"1\xb2\r\n", "is not ASCII"),
        (STX, b"\x02" + b"1" * 30 + b"\x03", "a frame of more than 20 bytes"),
        (STX, b"12", "outside of a frame"),
        (STX, b"\x02half\x02", "without its end"),
        (EM4100, b"\x02010063E9AE24\x03", "wrong checksum '24'"),
        (EM4100, b"\x0201zz63E9AE25\x03", "wrong checksum"),
        (EM4100, b"\x02\x03", "wrong checksum"),
        (SIZED, bytes.fromhex("02050A0000"), "does not end as a frame"),
        (SIZED, bytes.fromhex("02000000"), "does not end as a frame"),
        (FIXED, bytes.fromhex("AA0102030000"), "wrong checksum"),
    ],
)
def test_what_is_no_message_is_told_and_the_next_one_is_found(
    framing: Framing, bad: bytes, trouble: str
) -> None:
    framer = Framer(framing)
    assert framer.feed(bad) == []
    assert trouble in framer.take_trouble()
    assert framer.take_trouble() == ""
    good = framing.wrap(
        "0102\r\n" if framing.kind == "line" else "0102" if framing is not FIXED else "010203"
    )
    assert [t for _ in range(2) for t in framer.feed(good)][-1].startswith("0102")


def test_the_rest_of_a_line_that_was_joined_midway_is_no_line() -> None:
    framer = Framer(ANY)
    framer.start_midway()
    assert framer.feed(b"5678\r\n1234\r\n") == ["1234"]
    framer.feed(b"12")
    framer.start_midway()
    assert framer.feed(b"34\r\n") == []
    framer.start_afresh()
    assert framer.feed(b"34\r\n") == ["34"]


def test_a_byte_that_stands_alone_counts_only_where_a_message_could_begin() -> None:
    framer = Framer(BCC)
    assert framer.feed(b"\x06") == ["\x06"]
    assert framer.feed(BCC.wrap("a\x06b")) == ["a\x06b"]
    assert framer.feed(b"?\x06") == [], "it may be a byte of the noise"
    assert framer.feed(BCC.wrap("c") + b"\x06") == ["c", "\x06"]


@pytest.mark.parametrize("wrong", ["zz", "010"])
def test_what_has_no_checksum_is_not_sent(wrong: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        EM4100.wrap(wrong)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([b"\x02", b"\x03", b"\r", b"\n", b"\xaa", b"\x02" * 50, b"0102"]),
        )
    )
)
def test_no_bytes_make_it_raise_or_keep_more_than_two_messages(name: str, pieces: list[bytes]) -> None:
    framing = ALL[name]
    framer = Framer(framing)
    for piece in pieces:
        for text in framer.feed(piece):
            assert len(text) <= 2 * framing.most
        assert len(framer._buffer) <= 2 * framing.most


CHECKED = {"em4100": "0102", "bcc": "AB", "sized": "0A0B", "fixed": "0102AA"}


@pytest.mark.parametrize("name", CHECKED)
@settings(max_examples=60)
@given(data=st.data())
def test_of_what_has_a_checksum_only_whole_messages_come_out(name: str, data: st.DataObject) -> None:
    """Good messages with bytes changed, lost and added between and within them."""
    framing = ALL[name]
    noise = bytearray(framing.wrap(CHECKED[name]) * 3)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(noise) - 1))
        noise[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    for text in texts(framing, bytes(noise)):
        if text not in framing.alone.decode("latin-1"):
            assert framing.wrap(text).upper() in bytes(noise).upper()
