"""A long day of everything that can happen, by seed: nothing is hurt, nothing is lost, and every count is exact."""

import random

import pytest

from cell_controller.core import events as ev
from hil.bench import Bench, bench
from tests.core.stop_points import EXAMPLE

DEVICES = [
    "airflow.low",
    "carrier.wrong",
    "clamp.jam",
    "door.open",
    "estop.open",
    "lamp.dead",
    "paint.empty",
    "part.missing",
    "roller.jam",
    "stand.jam",
    "airflow.stale",
    "panel_temp.stale",
    "door_closed.flicker",
    "paint_flow.stuck",
    "carrier.stale",
]
COLOURS: list[tuple[str, dict[str, str]]] = [
    ("bonnet", {"colour": "burgundy", "pinstripe": "Ada"}),
    ("bonnet", {"colour": "primer"}),
    ("roof", {"colour": "green"}),
    ("roof", {"colour": "tartan", "pattern": "5f" * 32}),
]


def _order(cell: Bench, rng: random.Random) -> None:
    if len(cell.controller.book.open_jobs()) < 3:
        product, options = rng.choice(COLOURS)
        number = cell.controller.book.last_job + 1
        cell.ask(
            "order.submit",
            order_id=f"o{number}",
            product=product,
            count=rng.randint(1, 2),
            options=options,
            priority=rng.randint(0, 9),
        )


def _way_back(cell: Bench, rng: random.Random) -> None:
    """What a person tries, who removes the cause, looks, answers and goes on."""
    for name in cell.board.active_faults():
        cell.fault(name, False)
    cell.run_for(1)
    if cell.question:
        # the part has left the stand: it was released, whatever else is said
        gone = cell.step == "release" and cell.view["item"]["carrier"] not in (0, cell.input("carrier"))
        cell.answer("done" if gone else rng.choice(["resume", "repeat", "scrap"]))
    for command in ("clear", "unhold", "unsuspend", "reset"):
        cell.command(command)
        cell.run_for(3)
    if "the last item's part is still on the stand" in cell.view["alarms"]:
        cell.take_part()


def _happen(cell: Bench, rng: random.Random) -> None:
    what = rng.randrange(10)
    if what < 3:
        _order(cell, rng)
    elif what < 5:
        cell.fault(rng.choice(DEVICES))
    elif what == 5:
        cell.command(rng.choice(["hold", "suspend", "stop", "abort", "unhold", "unsuspend"]))
    elif what == 6:
        cell.restart()
    elif what == 7:
        jobs = cell.controller.book.jobs
        if jobs:
            verb = rng.choice(
                ["pause", "resume", "resume", "stop", "abort", "cancel", "revoke_start", "start"]
            )
            cell.order_verb(verb, rng.choice(jobs).order_id)
    else:
        _way_back(cell, rng)
    cell.run_for(rng.choice([0.01, 0.3, 2, 10, 40]))


def _evening(cell: Bench, rng: random.Random) -> None:
    """Whatever is still open is made."""
    for job in list(cell.controller.book.open_jobs()):
        for verb in ("start", "resume"):
            cell.order_verb(verb, job.order_id)
    for _ in range(40):
        if not cell.controller.book.open_jobs():
            return
        _way_back(cell, rng)
        cell.run_for(120)
    raise AssertionError(f"orders are left: {cell.describe()}")


def _expect_exact(cell: Bench) -> None:
    good: dict[int, int] = {}
    serials: list[int] = []
    for data in cell.journal:
        _, _, kind, source, serial, number = ev.fields(data)
        if kind == ev.ITEM_END:
            serials.append(serial)
            good[number] = good.get(number, 0) + (1 if source == ev.GOOD else 0)
    assert serials == list(range(1, len(serials) + 1))
    for job in cell.controller.book.jobs:
        assert job.good == good.get(job.number, 0)
        if cell.job_state(job.order_id) == "Ended/Completed":
            assert job.good == job.count
        else:
            assert job.good <= job.count
    assert cell.damage == []


def _day(seed: int, turns: int) -> Bench:
    rng = random.Random(seed)
    cell = bench(EXAMPLE, seed=seed)
    for _ in range(turns):
        _happen(cell, rng)
    _evening(cell, rng)
    _expect_exact(cell)
    return cell


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_day_of_trouble_ends_with_exact_counts_and_nothing_damaged(seed: int) -> None:
    assert _day(seed, 60).counts[0] > 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1030))
def test_many_days_of_trouble_end_so(seed: int) -> None:
    _day(seed, 400)
