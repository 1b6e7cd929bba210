"""The console of a board: one JSON object a line in both directions, whatever else comes over the line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_controller.core.envelope import Request
from cell_controller.micropython.console import LONGEST, MOST_WAITING, Console

Record = dict[str, Any]


class Line:
    """A serial line: what was sent to the board, and what came from it. `stuck`: nobody reads."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.heard = bytearray()
        self.stuck = False

    def read(self, into: bytearray) -> int:
        count = min(len(into), len(self.sent))
        into[:count] = self.sent[:count]
        del self.sent[:count]
        return count

    def write(self, data: bytes, start: int, end: int) -> int:
        if self.stuck:
            return 0
        self.heard += data[start:end]
        return end - start


class Desk:
    """A console on a line; `taken` are the requests it handed on."""

    def __init__(self) -> None:
        self.line = Line()
        self.taken: list[Request] = []
        self.full = False
        self.own: list[str] = []
        self.console = Console(self.line, self._take, self._own_verb, lambda: 1_000_000)

    def _take(self, request: Request) -> bool:
        if self.full:
            return False
        self.taken.append(request)
        return True

    def _own_verb(self, verb: str) -> tuple[bool, str, dict[str, object]]:
        self.own.append(verb)
        return verb != "repl", "Execute: it is at work" if verb == "repl" else "", {"cell": "paint-1"}

    def send(self, data: bytes) -> list[Record]:
        """Everything that is answered to these bytes."""
        self.line.sent += data
        while self.console.step():
            pass
        lines = bytes(self.line.heard).split(b"\r\n")[:-1]
        self.line.heard.clear()
        return [json.loads(line) for line in lines]


def _request(**more: Any) -> bytes:
    return json.dumps({"id": "1", "issuer": "tester", **more}).encode() + b"\n"


def test_a_request_is_handed_on_and_its_reply_comes_back_under_its_id() -> None:
    desk = Desk()
    assert desk.send(_request(verb="command", command="clear")) == []
    (request,) = desk.taken
    assert (request.origin, request.verb, request.args) == ("local", "command", {"command": "clear"})
    desk.console.offer_reply(request.token, {"ok": True, "text": "done"})
    assert desk.send(b"") == [{"id": "1", "ok": True, "text": "done"}]


def test_a_repeated_command_is_answered_and_not_done_again() -> None:
    desk = Desk()
    desk.send(_request(verb="command", command="clear"))
    desk.console.offer_reply(desk.taken[0].token, {"ok": True})
    desk.send(b"")
    assert desk.send(_request(verb="command", command="clear")) == [{"id": "1", "ok": True}]
    assert len(desk.taken) == 1


def test_the_boards_own_verbs_never_reach_the_cell() -> None:
    desk = Desk()
    (about,) = desk.send(_request(verb="about"))
    assert (about["ok"], about["data"]) == (True, {"cell": "paint-1"})
    (repl,) = desk.send(_request(verb="repl"))
    assert (repl["ok"], repl["name"], repl["text"]) == (
        False,
        "not_allowed_in_state",
        "Execute: it is at work",
    )
    assert (desk.own, desk.taken) == (["about", "repl"], [])


def test_what_a_tool_sends_to_find_a_prompt_disturbs_nothing() -> None:
    desk = Desk()
    assert desk.send(b"\r\x03\x03\r\x01\x05A\x01\x04print('x')\r\n") == []
    desk.send(b"\x03" + _request(verb="query", what="state"))
    assert [request.verb for request in desk.taken] == ["query"]


def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_heard() -> None:
    desk = Desk()
    (refusal,) = desk.send(b"{" + b"x" * (LONGEST + 10) + b"\n")
    assert refusal["name"] == "too_long"
    assert str(LONGEST) in refusal["text"]
    desk.send(_request(verb="query", what="state"))
    assert len(desk.taken) == 1


def test_a_cell_with_too_many_requests_says_busy_and_a_repeat_is_a_first_try() -> None:
    desk = Desk()
    desk.full = True
    (reply,) = desk.send(_request(verb="command", command="start"))
    assert reply["name"] == "busy"
    desk.full = False
    desk.send(_request(verb="command", command="start"))
    assert len(desk.taken) == 1


def test_answers_that_nobody_reads_are_bounded_and_counted() -> None:
    desk = Desk()
    desk.line.stuck = True
    for _ in range(2 * MOST_WAITING // 100):
        desk.console.say({"say": "x" * 90})
    desk.console.step()
    assert desk.console.lost > 0
    desk.line.stuck = False
    lines = desk.send(b"")
    assert 0 < len(lines) * 100 <= MOST_WAITING + 200
    assert lines[0] == {"say": "x" * 90}


@pytest.mark.parametrize(
    "line", [b"{}", b'{"id":1}', b'{"verb":"about"', b'{"verb":["about"]}', b"{1:2}", b"{\xff}"]
)
def test_a_line_that_is_no_request_is_refused_with_a_reason(line: bytes) -> None:
    desk = Desk()
    (reply,) = desk.send(line + b"\n")
    assert reply["ok"] is False
    assert reply["text"]
    assert desk.taken == []


@given(st.binary(max_size=300))
def test_no_bytes_whatever_stop_the_console(noise: bytes) -> None:
    desk = Desk()
    desk.send(noise + b"\n")
    desk.taken.clear()
    desk.send(_request(verb="query", what="state"))
    assert len(desk.taken) == 1
