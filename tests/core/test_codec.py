"""The canonical form: one value, one sequence of bytes; damaged bytes are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell_controller.core.codec import MAX_DEPTH, CodecError, pack, unpack, utf8_fault

INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    INTEGERS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=25,
)


def nested(depth: int) -> list[object]:
    """A list in a list, `depth` of them."""
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@settings(deadline=None)
@given(VALUES)
def test_a_value_comes_back(value: object) -> None:
    assert unpack(pack(value)) == value


@settings(deadline=None)
@given(st.dictionaries(TEXT, INTEGERS, max_size=8), st.randoms())
def test_the_order_of_making_does_not_matter(table: dict[str, int], chance: object) -> None:
    keys = list(table)
    assert hasattr(chance, "shuffle")
    chance.shuffle(keys)
    assert pack({key: table[key] for key in keys}) == pack(table)


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text(alphabet="ilde:0123456789-ab", max_size=40).map(str.encode))
def test_garbage_is_refused_or_canonical(data: bytes) -> None:
    try:
        value = unpack(data)
    except CodecError:
        return
    assert pack(value) == data


@settings(deadline=None)
@given(VALUES, st.data())
def test_a_changed_byte_is_refused_or_another_canonical_value(value: object, draw: st.DataObject) -> None:
    data = bytearray(pack(value))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        other = unpack(bytes(data))
    except CodecError:
        return
    assert pack(other) == bytes(data)


@settings(deadline=None)
@given(VALUES, st.integers(min_value=1, max_value=40))
def test_a_cut_record_is_refused(value: object, missing: int) -> None:
    data = pack(value)
    with pytest.raises(CodecError):
        unpack(data[: max(0, len(data) - missing)])


@pytest.mark.parametrize(
    "data",
    [
        b"i-0e",
        b"i01e",
        b"i-01e",
        b"ie",
        b"i-e",
        b"i 1e",
        b"i+1e",
        b"i1_0e",
        b"i1",
        b"i9223372036854775808e",
        b"01:a",
        b"00:",
        b"-1:a",
        b"1:",
        b"2:a",
        b"1_0:aaaaaaaaaa",
        b"9999999999:",
        b":",
        b"1",
        b"2:\xc0\x80",
        b"3:\xed\xa0\x80",
        b"1:\xff",
        b"2:\xc3\xc3",
        b"d1:bi1e1:ai1ee",
        b"d1:ai1e1:ai1ee",
        b"di1ei1ee",
        b"d1:ae",
        b"d1:a",
        b"l",
        b"d",
        b"e",
        b"x",
        b"",
        b"lee",
        b"i1ei1e",
        b"l" * (MAX_DEPTH + 1) + b"e" * (MAX_DEPTH + 1),
        b"l" * 100_000,
    ],
    ids=lambda data: repr(data[:24]),
)
def test_refuses_what_pack_does_not_write(data: bytes) -> None:
    with pytest.raises(CodecError):
        unpack(data)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        b"x",
        {1: 2},
        {"a": 1, 2: 1},
        "\ud800",
        {"\udfff": 1},
        2**63,
        -(2**63) - 1,
        [print],
        nested(17),
    ],
    ids=repr,
)
def test_refuses_a_value_without_canonical_form(value: object) -> None:
    with pytest.raises(CodecError):
        pack(value)


def test_truth_is_a_number_and_a_tuple_a_list() -> None:
    assert pack([True, False]) == b"li1ei0ee"
    assert pack((1, "a")) == b"li1e1:ae"


def test_the_deepest_value_comes_back() -> None:
    assert unpack(pack(nested(MAX_DEPTH))) == nested(MAX_DEPTH)


@settings(deadline=None)
@given(st.binary(max_size=12))
def test_utf8_is_judged_as_cpython_judges_it(raw: bytes) -> None:
    try:
        raw.decode()
        expected = -1
    except UnicodeDecodeError as error:
        expected = error.start
    assert utf8_fault(raw) == expected
