"""The time server: its answer, and everything else that may come instead."""

import socket
from collections.abc import Iterator

import pytest

from cell_controller.micropython import sntp
from cell_controller.micropython.sntp import Sntp
from tests.cpython.link_bench import wait_for

UNIX_S = 1795302155
SINCE_1900 = UNIX_S + 2208988800


class Server:
    """A time server on a free port that answers what it is told to."""

    def __init__(self) -> None:
        self._plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._plug.bind(("127.0.0.1", 0))
        self._plug.settimeout(5)
        self.port = int(self._plug.getsockname()[1])
        self.questions: list[bytes] = []

    def answer(
        self,
        *,
        seconds: int = SINCE_1900,
        fraction: int = 1 << 31,
        first: int = 0x24,
        stratum: int = 2,
        nonce: bytes | None = None,
        size: int = 48,
    ) -> None:
        question, where = self._plug.recvfrom(100)
        self.questions.append(question)
        data = bytearray(48)
        data[0], data[1] = first, stratum
        data[24:32] = question[40:48] if nonce is None else nonce
        data[40:44] = (seconds % (1 << 32)).to_bytes(4)
        data[44:48] = fraction.to_bytes(4)
        self._plug.sendto(data[:size], where)

    def close(self) -> None:
        self._plug.close()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture
def told() -> list[int]:
    return []


@pytest.fixture
def asking(server: Server, told: list[int]) -> Iterator[Sntp]:
    one = Sntp("127.0.0.1", told.append, server.port)
    one.step(0)
    yield one
    one._over(0, 0, "")


def stepped(asking: Sntp, now_ms: int = 0) -> None:
    """Step until the question is over."""

    def over() -> bool:
        asking.step(now_ms)
        return asking._plug is None

    wait_for(over, lambda: asking.error, 5)


def test_the_answer_sets_the_wall_clock_with_half_of_the_way(
    server: Server, asking: Sntp, told: list[int]
) -> None:
    server.answer()
    stepped(asking, 40)
    assert told == [UNIX_S * 1000 + 500 + 20]
    assert (asking.known, asking.error) == (True, "")
    assert len(server.questions[0]) == 48
    assert server.questions[0][0] == 0x23


def test_it_is_asked_again_after_an_hour(server: Server, asking: Sntp, told: list[int]) -> None:
    server.answer()
    stepped(asking)
    asking.step(sntp.EVERY_MS - 1)
    assert asking._plug is None
    asking.step(sntp.EVERY_MS)
    server.answer(seconds=SINCE_1900 + 3600)
    stepped(asking, sntp.EVERY_MS)
    assert told[1] - told[0] == 3_600_000


def test_the_second_era_from_2036_on_is_understood(server: Server, asking: Sntp, told: list[int]) -> None:
    server.answer(seconds=(1 << 32) + 5, fraction=0)
    stepped(asking)
    assert told == [((1 << 32) + 5 - 2208988800) * 1000]


@pytest.mark.parametrize(
    "spoilt", [{"nonce": b"somebody"}, {"size": 47}, {"first": 0x23}], ids=["not ours", "short", "a question"]
)
def test_what_is_not_the_answer_is_not_used_and_no_answer_is_said(
    server: Server, asking: Sntp, told: list[int], spoilt: dict[str, int]
) -> None:
    server.answer(**spoilt)  # type: ignore[arg-type]
    for _ in range(200):
        asking.step(sntp.ANSWER_MS - 1)
    assert (told, asking.known) == ([], False)
    stepped(asking, sntp.ANSWER_MS)
    assert "no answer" in asking.error


@pytest.mark.parametrize("spoilt", [{"stratum": 0}, {"stratum": 16}, {"first": 0xE4}])
def test_a_server_that_does_not_know_the_time_is_not_believed(
    server: Server, asking: Sntp, told: list[int], spoilt: dict[str, int]
) -> None:
    server.answer(**spoilt)  # type: ignore[arg-type]
    stepped(asking)
    assert "does not know the time" in asking.error
    assert told == []
    asking.step(sntp.AGAIN_MS)
    server.answer()
    stepped(asking, sntp.AGAIN_MS)
    assert len(told) == 1


def test_nobody_there_is_said_and_asked_again(told: list[int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    asking = Sntp("127.0.0.1", told.append, port)
    asking.step(0)
    stepped(asking, sntp.ANSWER_MS)
    assert "time server 127.0.0.1" in asking.error


def test_a_name_is_not_looked_up_while_the_cell_moves(told: list[int]) -> None:
    asking = Sntp("localhost", told.append, 9)
    asking.step(0, False)
    assert asking._plug is None
