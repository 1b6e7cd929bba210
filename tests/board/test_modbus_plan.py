"""Registers are read in few requests, and each point gets what a request of its own would have given it."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from board.modbus_plan import Block, coalesce, frame_bytes
from board.modbus_values import BIT_TABLES, TABLES

MOST_BITS, MOST_REGISTERS = 20, 12
blocks = st.builds(Block, st.sampled_from(TABLES), st.integers(0, 60), st.integers(1, 4))
gaps = st.integers(0, 10)


def most_of(table: str) -> int:
    return MOST_BITS if table in BIT_TABLES else MOST_REGISTERS


def memory(table: str, address: int) -> int:
    """A device in which every register says where it is."""
    return TABLES.index(table) * 1000 + address


def ask(block: Block) -> list[int]:
    return [memory(block.table, address) for address in range(block.address, block.end)]


@given(st.lists(blocks, max_size=25), gaps)
def test_every_point_reads_what_a_request_of_its_own_reads(wanted: list[Block], gap: int) -> None:
    requests = coalesce(wanted, MOST_BITS, MOST_REGISTERS, gap)
    for block in wanted:
        (request,) = [request for request in requests if request.holds(block)][:1]
        assert request.part(ask(request), block) == ask(block)


@given(st.lists(blocks, max_size=25), gaps)
def test_no_request_is_too_long_or_reads_across_a_wide_hole(wanted: list[Block], gap: int) -> None:
    touched = {(block.table, address) for block in wanted for address in range(block.address, block.end)}
    for request in coalesce(wanted, MOST_BITS, MOST_REGISTERS, gap):
        assert request.count <= most_of(request.table)
        hole = 0
        for address in range(request.address, request.end):
            hole = 0 if (request.table, address) in touched else hole + 1
            assert hole <= gap
        assert (request.table, request.address) in touched
        assert (request.table, request.end - 1) in touched


def fewest(wanted: list[Block], gap: int) -> int:
    """The least number of requests, by trying every way to cut the sorted points into runs."""
    ordered = sorted(set(wanted))

    @functools.cache
    def best(start: int) -> int:
        if start == len(ordered):
            return 0
        found, end = len(ordered), ordered[start].address
        for stop in range(start, len(ordered)):
            block = ordered[stop]
            first = ordered[start]
            if block.table != first.table or (stop > start and block.address > end + gap):
                break
            end = max(end, block.end)
            if end - first.address > most_of(first.table):
                break
            found = min(found, 1 + best(stop + 1))
        return found

    return best(0)


@given(st.lists(blocks, max_size=12), gaps)
def test_there_are_no_fewer_requests_that_would_do(wanted: list[Block], gap: int) -> None:
    assert len(coalesce(wanted, MOST_BITS, MOST_REGISTERS, gap)) == fewest(wanted, gap)


def test_a_hole_is_read_across_only_where_the_device_allows_it() -> None:
    wanted = [Block("holding", 0, 2), Block("holding", 5, 1)]
    assert coalesce(wanted, 2000, 125, 3) == [Block("holding", 0, 6)]
    assert coalesce(wanted, 2000, 125, 2) == wanted


def test_a_point_longer_than_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match=r"holding 7\.\.10 is longer than the 2 of one request"):
        coalesce([Block("holding", 7, 4)], 2000, 2)


@pytest.mark.parametrize(
    ("block", "writing", "lengths"),
    [
        (Block("coil", 0, 9), False, (8, 7)),
        (Block("input", 0, 10), False, (8, 25)),
        (Block("holding", 0, 1), True, (8, 8)),
        (Block("holding", 0, 2), True, (13, 8)),
        (Block("coil", 0, 17), True, (12, 8)),
    ],
)
def test_lengths_of_frames_on_a_serial_line(block: Block, writing: bool, lengths: tuple[int, int]) -> None:
    assert frame_bytes(block, writing) == lengths
