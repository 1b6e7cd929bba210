"""A station's value and request bit: each command is acted on once."""

from cell_controller.core.handshake import CommandHandshake, ModeHandshake

START, HOLD = 2, 4


def test_a_command_is_acted_on_only_with_its_request() -> None:
    handshake = CommandHandshake()
    assert handshake.scan(START, 0) == 0
    assert handshake.scan(START, 1) == START


def test_a_standing_request_acts_once() -> None:
    handshake = CommandHandshake()
    assert [handshake.scan(START, 1) for _ in range(3)] == [START, 0, 0]


def test_a_new_value_acts_under_a_standing_request() -> None:
    handshake = CommandHandshake()
    assert [handshake.scan(value, 1) for value in (START, HOLD, HOLD, START)] == [START, HOLD, 0, START]


def test_the_falling_edge_arms_the_same_command_again() -> None:
    handshake = CommandHandshake()
    assert [handshake.scan(START, request) for request in (1, 1, 0, 1)] == [START, 0, 0, START]


def test_no_command_does_not_arm_the_last_one_again() -> None:
    handshake = CommandHandshake()
    assert [handshake.scan(value, 1) for value in (START, 0, START)] == [START, 0, 0]


def test_a_mode_needs_a_rising_edge_and_a_value() -> None:
    handshake = ModeHandshake()
    scans = [(3, 0), (3, 1), (3, 1), (1, 1), (1, 0), (1, 1), (0, 0), (0, 1), (2, 1)]
    assert [handshake.scan(mode, request) for mode, request in scans] == [0, 3, 0, 0, 0, 1, 0, 0, 0]
