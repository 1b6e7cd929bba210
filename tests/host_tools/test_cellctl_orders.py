"""`cellctl order` and `items`: what is sent to the cell and how its answer reads."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host_tools import cellctl
from host_tools.output import DONE, REFUSED
from tests.host_tools.fake_cell import FakeCell, accepted, cell_in_place, refused


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCell]:
    with cell_in_place(monkeypatch) as fake:
        yield fake


def test_an_order_without_a_number_gets_the_next_one(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell.replies["query orders"] = [accepted(orders=[{"order_id": "ord-4"}, {"order_id": "shop-9"}])]
    cell.replies["order.submit"] = [accepted("accepted ord-5: 1 bonnet, starts now, about 41 s")]
    assert cellctl.main(["order", "submit", "bonnet", "colour=burgundy"]) == DONE
    assert capsys.readouterr().out == "accepted ord-5: 1 bonnet, starts now, about 41 s\n"
    sent = cell.sent("order.submit")[0]
    assert (sent["order_id"], sent["product"], sent["count"]) == ("ord-5", "bonnet", 1)
    assert sent["options"] == {"colour": "burgundy"}


@pytest.mark.parametrize(
    "first",
    [
        refused("id_used", "order id ord-1 was used for a different order; give a new id", 102),
        accepted("known already ord-1: 1 bonnet, it is Running, 0 good"),
    ],
    ids=["other content", "same content"],
)
def test_two_desks_that_take_the_same_number_get_two_orders(cell: FakeCell, first: dict[str, Any]) -> None:
    cell.replies["order.submit"] = [first, accepted("accepted ord-2: 1 bonnet")]
    assert cellctl.main(["order", "submit", "bonnet"]) == DONE
    assert [fields["order_id"] for fields in cell.sent("order.submit")] == ["ord-1", "ord-2"]


def test_options_may_stand_between_the_values(cell: FakeCell) -> None:
    words = [
        "order",
        "submit",
        "bonnet",
        "colour=green",
        "--count",
        "2",
        "pinstripe=Ada L",
        "--priority",
        "9",
    ]
    assert (
        cellctl.main([*words, "--carriers", "11,12", "--id", "x-1", "--due", "1900000000", "--store"]) == DONE
    )
    assert cell.sent("order.submit") == [
        {
            "order_id": "x-1",
            "product": "bonnet",
            "count": 2,
            "priority": 9,
            "due": 1900000000,
            "carriers": [11, 12],
            "allowed": False,
            "options": {"colour": "green", "pinstripe": "Ada L"},
        }
    ]


def test_an_option_that_is_a_number_is_sent_as_one_and_a_text_of_digits_stays_text(cell: FakeCell) -> None:
    assert cellctl.main(["order", "submit", "bonnet", "gap=4.5", "pinstripe=1967", "--id", "x"]) == DONE
    assert cell.sent("order.submit")[0]["options"] == {"gap": 4.5, "pinstripe": "1967"}


def test_an_option_with_at_is_the_hash_of_the_file(cell: FakeCell, tmp_path: Path) -> None:
    (tmp_path / "tartan.svg").write_bytes(b"check")
    assert cellctl.main(["order", "submit", "roof", f"pattern=@{tmp_path}/tartan.svg", "--id", "x"]) == DONE
    assert cell.sent("order.submit")[0]["options"]["pattern"] == hashlib.sha256(b"check").hexdigest()


@pytest.mark.parametrize(
    ("word", "verb"),
    [
        ("cancel", "order.cancel"),
        ("pause", "order.pause"),
        ("resume", "order.resume"),
        ("stop", "order.stop"),
        ("abort", "order.abort"),
        ("start", "order.start"),
        ("clear", "order.clear"),
        ("revoke", "order.revoke_start"),
    ],
)
def test_each_order_verb_reaches_the_cell(cell: FakeCell, word: str, verb: str) -> None:
    assert cellctl.main(["order", word, "ord-3"]) == DONE
    assert cell.asked == [(verb, {"order_id": "ord-3"})]


def test_update_sends_only_what_is_given(cell: FakeCell) -> None:
    assert cellctl.main(["order", "update", "ord-3", "--priority", "9"]) == DONE
    assert cell.asked == [("order.update", {"order_id": "ord-3", "priority": 9})]


def test_the_order_list_is_a_table(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    cell.replies["query orders"] = [
        accepted(
            orders=[
                {
                    "order_id": "ord-1",
                    "product": "roof",
                    "options": {"colour": "tartan", "pattern": "ab" * 32},
                    "count": 2,
                    "good": 1,
                    "scrapped": 0,
                    "state": "Running",
                    "priority": 5,
                }
            ]
        )
    ]
    assert cellctl.main(["order", "list"]) == DONE
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["order", "product", "options", "good", "scrapped", "state", "priority"]
    assert row.split() == ["ord-1", "roof", "colour=tartan", "pattern=abababab…", "1/2", "0", "Running", "5"]


ITEM = {
    "serial": 7,
    "order_id": "ord-1",
    "product": "bonnet",
    "recipe_version": 4,
    "control_recipe_sha256": "ab" * 32,
    "options": {"colour": "burgundy", "pinstripe": ""},
    "carrier": 12,
    "duration_s": 40.6,
    "held_s": 2.5,
    "energy_wh": 21.25,
    "answers": [{"step": 2, "answer": "repeat", "by": "ann@bench"}],
    "commanded_by": "ann@bench",
    "result": "good",
    "steps": [
        {"name": "clamp", "start_s": 0, "end_s": 0.6, "energy_wh": 0.1, "set": {}, "actual": []},
        {
            "name": "spray",
            "start_s": 0.6,
            "end_s": 22.1,
            "energy_wh": 4.5,
            "set": {"coats": 3},
            "actual": [{"name": "flow_ml_min", "value": 310}],
        },
    ],
}


def test_items_are_a_table(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    cell.replies["query items"] = [accepted(items=[ITEM, {**ITEM, "serial": 8, "order_id": "ord-2"}])]
    assert cellctl.main(["items", "--order", "ord-1"]) == DONE
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["item", "order", "product", "options", "took", "energy", "result"]
    assert row.split() == ["0007", "ord-1", "bonnet", "colour=burgundy", "41", "s", "21.2", "Wh", "good"]


def test_one_item_shows_its_whole_record(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    cell.replies["query items"] = [accepted(items=[ITEM])]
    assert cellctl.main(["items", "0007"]) == DONE
    assert capsys.readouterr().out.splitlines() == [
        "item 0007 good: colour=burgundy",
        "  order ord-1 by ann@bench, carrier 12",
        "  recipe bonnet@4, control recipe abababababab",
        "  took 41 s, of it held 2.5 s and interrupted 0 s, 21.2 Wh",
        "  interrupted in step 2: repeat by ann@bench",
        "  1 clamp: 0 s to 0.6 s, 0.1 Wh",
        "  2 spray: 0.6 s to 22.1 s, 4.5 Wh; set coats=3; actual flow_ml_min=310",
    ]


def test_an_item_that_was_never_made_is_refused(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    cell.replies["query items"] = [accepted(items=[ITEM])]
    assert cellctl.main(["items", "9"]) == REFUSED
    assert capsys.readouterr().err == "refused: no item 0009\n"


def test_an_order_is_shown_with_its_items(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    cell.replies["query order"] = [
        accepted(
            order_id="ord-1",
            count=2,
            made="bonnet burgundy satin",
            state="Running",
            good=1,
            scrapped=0,
            options={"colour": "burgundy"},
            priority=5,
            due=0,
            issuer="ann@bench",
            done_in_s=41,
            items=[ITEM],
        )
    ]
    assert cellctl.main(["order", "show", "ord-1"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "ord-1: 2 bonnet burgundy satin, Running",
        "  good 1, scrapped 0, of 2",
        "  options: colour=burgundy",
        "  priority 5, no due date, from ann@bench",
        "  done in about 41 s",
    ]
    assert lines[6].startswith("0007")


def test_an_empty_order_list_says_how_to_fill_it(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    assert cellctl.main(["order", "list"]) == DONE
    assert "cellctl order submit" in capsys.readouterr().out
