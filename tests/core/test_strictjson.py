"""The strict JSON reader: what it accepts, what it refuses and where it says so."""

import json
import runpy
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell_controller.core.strictjson import JsonError, loads

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "tests" / "runtimes" / "portable" / "strictjson_table.py"
_table = runpy.run_path(str(SCRIPT))
ACCEPTED: list[tuple[bytes, object]] = _table["TABLE"]
REFUSED: list[tuple[bytes, str, int]] = _table["REFUSED"]

SAFE = st.integers(min_value=-(2**53), max_value=2**53)
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.none() | st.booleans() | SAFE | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def same(left: object, right: object) -> bool:
    """Equal in value and in type (True is not 1 here)."""
    return repr(left) == repr(right)


@pytest.mark.parametrize(("data", "value"), ACCEPTED)
def test_accepts(data: bytes, value: object) -> None:
    assert same(loads(data), value)


@pytest.mark.parametrize(("data", "reason", "at"), REFUSED, ids=[repr(row[0][:24]) for row in REFUSED])
def test_refuses_and_says_why_and_where(data: bytes, reason: str, at: int) -> None:
    with pytest.raises(JsonError) as caught:
        loads(data)
    assert (caught.value.reason, caught.value.at) == (reason, at)
    assert str(caught.value) == f"{reason} at byte {at}"


@settings(deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_reads_what_json_writes(value: object, ascii_only: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert same(loads(data, max_bytes=1 << 20, max_depth=64, max_items=1 << 20), value)


@settings(deadline=None)
@given(st.floats(min_value=-1e15, max_value=1e15, allow_subnormal=False).filter(lambda x: abs(x) > 1e-40))
def test_reads_every_usual_double_exactly_as_it_is_written(number: float) -> None:
    value = loads(json.dumps(number).encode())
    if isinstance(value, tuple):
        _, mantissa, exponent = value
        assert mantissa % 10 != 0
        assert exponent < 0
        assert Decimal(mantissa).scaleb(exponent) == Decimal(repr(number))
    else:
        assert value == Decimal(repr(number))


@settings(deadline=None)
@given(
    st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0123eE+-.truefalsn \n', max_size=60).map(str.encode)
)
def test_garbage_raises_nothing_but_json_error_and_never_accepts_more_than_json(data: bytes) -> None:
    try:
        loads(data)
    except JsonError:
        return
    json.loads(data)


def test_the_bounds_are_the_callers() -> None:
    assert loads(b"[1,2]", max_bytes=5, max_depth=1, max_items=2) == [1, 2]
    for bound in ({"max_bytes": 4}, {"max_depth": 0}, {"max_items": 1}):
        with pytest.raises(JsonError):
            loads(b"[1,2]", **bound)


def test_a_megabyte_is_refused_unread() -> None:
    with pytest.raises(JsonError, match="longer than 16384 bytes"):
        loads(b"\xff" * (1 << 20))
