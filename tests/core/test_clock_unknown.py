"""A cell that has not been told the time cannot judge how old a request is."""

import json

import pytest

from cell_controller.core.envelope import Desk

WALL = 1_780_000_000_000


@pytest.mark.parametrize("verb", ["command", "order.submit"])
def test_what_carries_an_expiry_is_refused_while_the_cell_does_not_know_the_time(verb: str) -> None:
    desk = Desk()
    request = {
        "id": "1",
        "issuer": "desk",
        "verb": verb,
        "command": "start",
        "order_id": "a",
        "expires_ms": WALL,
    }
    _, reply = desk.open(json.dumps(request).encode(), "mqtt", 0)
    assert reply is not None
    assert (reply["name"], "check its time server" in str(reply["text"])) == ("clock_unknown", True)
    _, reply = desk.open(json.dumps(request).encode(), "mqtt", WALL - 1000)
    assert reply is None


@pytest.mark.parametrize("command", ["stop", "abort"])
def test_stop_and_abort_are_taken_while_the_cell_does_not_know_the_time(command: str) -> None:
    request = {"id": "1", "issuer": "desk", "verb": "command", "command": command, "expires_ms": WALL}
    assert Desk().open(json.dumps(request).encode(), "mqtt", 0)[1] is None


def test_an_order_without_an_expiry_and_the_console_need_no_clock() -> None:
    desk = Desk()
    order = {"id": "1", "issuer": "desk", "verb": "order.submit", "order_id": "a"}
    assert desk.open(json.dumps(order).encode(), "mqtt", 0)[1] is None
    command = {"id": "2", "issuer": "ann", "verb": "command", "command": "clear"}
    assert desk.open(json.dumps(command).encode(), "local", 0)[1] is None
