"""Outputs are written when they differ and again from time to time, and what reads back differently is noticed."""

from hypothesis import given
from hypothesis import strategies as st

from board.modbus_outputs import REFUSED, RESET, SAME, Output, Outputs, Write
from board.modbus_plan import Block
from board.modbus_values import Value

COILS = [Output(Block("coil", address), Value()) for address in (0, 1, 2, 3, 8)]
WORD = Value("u16", high=0xFFFF)


def outputs(made: list[Output], **more: bool) -> Outputs:
    found = Outputs(made, 2000, 123, more.get("single", True), more.get("multiple", True), 300)
    found.forget()
    return found


def write_all(driven: Outputs, now: int) -> list[Write]:
    writes = driven.due(now)
    for write in writes:
        driven.wrote(write, now)
    return writes


def test_at_first_everything_is_written_in_as_few_requests_as_there_are_runs() -> None:
    driven = outputs(COILS)
    driven.want([1, 0, 1, 0, 1])
    assert write_all(driven, 1000) == [
        Write(Block("coil", 0, 4), [1, 0, 1, 0], False),
        Write(Block("coil", 8), [1], True),
    ]
    assert driven.due(1001) == []


def test_a_change_writes_from_the_first_changed_to_the_last_and_nothing_that_is_not_ours() -> None:
    driven = outputs(COILS)
    driven.want([0, 0, 0, 0, 0])
    write_all(driven, 1000)
    driven.want([0, 1, 0, 1, 0])
    assert write_all(driven, 1010) == [Write(Block("coil", 1, 3), [1, 0, 1], False)]


def test_everything_is_written_again_after_its_time() -> None:
    driven = outputs(COILS)
    driven.want([0, 0, 0, 0, 0])
    write_all(driven, 1000)
    driven.want([0, 1, 0, 0, 0])
    write_all(driven, 1200)
    assert driven.due(1299) == []
    assert [write.block for write in write_all(driven, 1300)] == [Block("coil", 0, 4), Block("coil", 8)]


def test_a_device_without_write_multiple_gets_each_alone() -> None:
    driven = outputs(COILS[:3], multiple=False)
    driven.want([1, 0, 1])
    assert write_all(driven, 1000) == [Write(Block("coil", k), [v], True) for k, v in enumerate([1, 0, 1])]


def test_a_device_without_write_single_gets_one_with_the_function_for_many() -> None:
    driven = outputs(COILS[:1], single=False)
    driven.want([1])
    assert write_all(driven, 1000) == [Write(Block("coil", 0), [1], False)]


def test_bits_of_one_register_are_written_together_and_the_others_are_0() -> None:
    driven = outputs([Output(Block("holding", 5), Value(bit=0)), Output(Block("holding", 5), Value(bit=4))])
    driven.want([1, 1])
    assert write_all(driven, 1000) == [Write(Block("holding", 5), [0x11], True)]
    assert driven.read_back(Block("holding", 5), [0xFF11]) == (SAME, ""), "the other bits are not ours"


def test_what_does_not_arrive_is_written_again() -> None:
    driven = outputs(COILS[:2])
    driven.want([1, 1])
    write_all(driven, 1000)
    verdict, text = driven.read_back(Block("coil", 0, 2), [1, 0])
    assert (verdict, text) == (REFUSED, "coil 1 reads 0 where 1 was written")
    assert driven.due(1001) == [Write(Block("coil", 1), [1], True)]


def test_what_had_arrived_and_is_different_now_means_a_reset() -> None:
    driven = outputs(COILS[:2])
    driven.want([1, 1])
    write_all(driven, 1000)
    assert driven.read_back(Block("coil", 0, 2), [1, 1])[0] == SAME
    assert driven.read_back(Block("coil", 0, 2), [0, 0])[0] == RESET
    assert driven.due(1001) == [Write(Block("coil", 0, 2), [1, 1], False)]


def test_a_value_that_was_changed_is_not_taken_for_a_reset() -> None:
    driven = outputs(COILS[:1])
    driven.want([1])
    write_all(driven, 1000)
    driven.read_back(Block("coil", 0), [1])
    driven.want([0])
    write_all(driven, 1010)
    assert driven.read_back(Block("coil", 0), [1])[0] == REFUSED


def test_a_writing_whose_answer_was_lost_proves_nothing() -> None:
    driven = outputs(COILS[:1])
    driven.want([1])
    write_all(driven, 1000)
    driven.read_back(Block("coil", 0), [1])
    driven.unsure(Block("coil", 0))
    assert driven.read_back(Block("coil", 0), [0]) == (SAME, "")
    assert driven.due(1001) != []


def test_what_cannot_be_read_back_is_not_compared() -> None:
    driven = outputs([Output(Block("holding", 0), WORD, read_back=False)])
    driven.want([7])
    write_all(driven, 1000)
    assert driven.readable == []
    assert driven.read_back(Block("holding", 0), [0]) == (SAME, "")


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=20, unique=True),
    st.lists(st.lists(st.integers(0, 3), min_size=20, max_size=20), min_size=1, max_size=6),
)
def test_whatever_is_wanted_arrives_and_nothing_else_is_touched(
    places: list[int], wanted: list[list[int]]
) -> None:
    driven = outputs([Output(Block("holding", place), WORD) for place in places])
    memory = dict.fromkeys(range(60), 99)
    for step, counts in enumerate(wanted):
        driven.want(counts[: len(places)])
        for write in driven.due(1000 + step):
            for k, word in enumerate(write.words):
                memory[write.block.address + k] = word
            driven.wrote(write, 1000 + step)
        assert [memory[place] for place in places] == counts[: len(places)]
    assert all(memory[address] == 99 for address in memory if address not in places)
