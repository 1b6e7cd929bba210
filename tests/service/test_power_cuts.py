"""Pulling the plug on one order of three: around every durable call, again while it recovers, at any instant."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from board.remote import Observer
from tests.service.cuts import drill, make_quick
from tests.service.process import Service

AT_ONCE = 2
SHORT_STEP = 7
SHORT_INSTANTS = 5
LONG_INSTANTS = 50
FAST = 50.0
SLOW = 20.0  # fewer events meet in one durable call, so there are more of them


def cut_points(cell_dir: Path, first: int, step: int, speed: float) -> tuple[int, int]:
    """Cut before and after each `step`-th durable call from `first` on until an order has no more of them.

    (cuts made, questions asked.)
    """

    def one(point: str) -> tuple[bool, int, int]:
        with drill(cell_dir, sum(point.encode()), f"at durable call {point}", speed=speed) as made:
            came = made.cut_at(point)
            return came, made.cuts, made.questions

    cuts = questions = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(first, 10_000, step):
            results = list(pool.map(one, (str(number), f"{number}:after")))
            cuts += sum(result[1] for result in results)
            questions += sum(result[2] for result in results)
            if not any(result[0] for result in results):
                return cuts, questions
    raise AssertionError("an order of three has no end of durable calls")


def cut_instants(cell_dir: Path, count: int, seed: int, speed: float) -> tuple[int, int]:
    """Kill the process at `count` random instants from its start on; (cuts, questions)."""
    rng = random.Random(seed)
    instants = [(rng.uniform(0.2, 0.5 + 50 / speed), rng.randrange(1 << 30)) for _ in range(count)]

    def one(instant: tuple[float, int]) -> tuple[int, int]:
        seconds, own_seed = instant
        with drill(cell_dir, own_seed, f"{seconds:.3f} s after the start (seed {seed})", speed=speed) as made:
            made.cut_after(seconds)
            return made.cuts, made.questions

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(one, instants))
    return sum(result[0] for result in results), sum(result[1] for result in results)


def test_a_cut_at_any_seventh_durable_call_loses_and_doubles_nothing(cell_dir: Path) -> None:
    make_quick(cell_dir)
    cuts, questions = cut_points(cell_dir, first=2, step=SHORT_STEP, speed=FAST)
    assert cuts >= 6
    assert questions >= 1


def test_a_cut_at_a_random_instant_loses_and_doubles_nothing(cell_dir: Path) -> None:
    make_quick(cell_dir)
    cuts, _ = cut_instants(cell_dir, SHORT_INSTANTS, seed=2029, speed=FAST)
    assert cuts >= 1


def test_after_a_cut_the_board_is_safe_until_the_answer_and_the_parts_that_left_are_those_counted(
    cell_dir: Path,
    board_server: Callable[..., tuple[str, Observer]],
    start_service: Callable[..., Service],
) -> None:
    make_quick(cell_dir)
    address, observer = board_server(speed=SLOW)
    service = start_service(speed=SLOW, board=f"remote:{address}")
    service.order("bonnet", count=3, colour="burgundy")
    service.run_until(lambda: first_coat_of(service, 2), "the first coat of item 2")
    service.kill()
    seen = observer.wait_for(lambda seen: seen["relay"] == "dropped", "the relay dropped")
    asked = "item 0002 interrupted in spray, coat 2 of 2: resume | repeat | scrap | done?"
    for _ in range(2):  # the second time after a cut that came before the answer
        assert valves(seen) == [0, 0, 0]
        service.start()
        assert service.question == asked
        seen = observer.wait_for(lambda seen: seen["relay"] == "closed", "the heartbeat came back")
        assert valves(seen) == [0, 0, 0]
        service.kill()
    service.start()
    assert service.answer("resume")["ok"]
    service.run()
    service.run_until(lambda: len(made(observer)) == 3, "three parts that left")
    coats = [part["coats"]["burgundy"] for part in made(observer)]
    assert (coats[0], coats[2]) == (2, 2)
    assert coats[1] in (2, 3), "the coat that was cut may have been begun before"
    assert observer.observe()["damage"] == []
    assert service.view["good"] == 3


def first_coat_of(service: Service, serial: int) -> bool:
    item = service.view["item"]
    return bool(item.get("serial") == serial and item.get("step") == "spray" and item.get("mark") == 1)


def made(observer: Observer) -> list[dict[str, Any]]:
    """What has really been done to the parts that left."""
    parts: list[dict[str, Any]] = observer.observe()["plant"]["made"]
    return parts


def valves(seen: dict[str, Any]) -> list[int]:
    return [seen["outputs"][name] for name in ("valve_burgundy", "valve_green", "valve_primer")]


@pytest.mark.soak
def test_a_cut_at_every_durable_call_loses_and_doubles_nothing(cell_dir: Path) -> None:
    make_quick(cell_dir)
    cuts, questions = cut_points(cell_dir, first=1, step=1, speed=SLOW)
    print(f"{cuts} cuts, {questions} questions")
    assert cuts >= 60
    assert questions >= 10


@pytest.mark.soak
def test_a_cut_at_fifty_random_instants_loses_and_doubles_nothing(cell_dir: Path) -> None:
    make_quick(cell_dir)
    cuts, _ = cut_instants(cell_dir, LONG_INSTANTS, seed=random.SystemRandom().randrange(1 << 30), speed=SLOW)
    assert cuts >= LONG_INSTANTS // 2
