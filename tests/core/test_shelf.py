"""Recipes that stay packed are the recipes of the list."""

from collections.abc import Callable
from typing import Any

import pytest

from cell_controller.core import codec, orders, render, views
from cell_controller.core import events as ev
from cell_controller.core.controller import Controller
from cell_controller.core.orders import LEAN_OPEN, LEAN_REMEMBERED, Book
from cell_controller.core.shelf import Shelf, find, heads, load_cell
from host_tools.cellfile import compile_cell
from tests.runtimes.runtimes import ROOT

PAINT_CELL = ROOT / "examples" / "paint_cell"


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return compile_cell(PAINT_CELL).spec


@pytest.mark.parametrize("form", [bytes, memoryview])
def test_a_loaded_cell_is_the_compiled_one(spec: dict[str, Any], form: Callable[[bytes], Any]) -> None:
    loaded = load_cell(form(codec.pack(spec)))
    assert isinstance(loaded["recipes"], Shelf)
    assert len(loaded["recipes"]) == 2
    assert {**loaded, "recipes": [loaded["recipes"][k] for k in range(2)]} == codec.unpack(codec.pack(spec))


def test_a_shelf_answers_as_a_list_does(spec: dict[str, Any]) -> None:
    shelf = load_cell(codec.pack(spec))["recipes"]
    recipes = list(spec["recipes"])
    assert heads(shelf) == heads(recipes) == [["bonnet", 4], ["roof", 2]]
    for product in ("bonnet", "roof", "door"):
        assert find(shelf, product) == find(recipes, product)
    changed = {**recipes[1], "version": 3}
    mine = shelf.copy()
    mine[1] = changed
    mine.append({**changed, "product": "door"})
    assert heads(mine) == [["bonnet", 4], ["roof", 3], ["door", 3]]
    assert mine[1] == codec.unpack(codec.pack(changed))
    assert heads(shelf) == [["bonnet", 4], ["roof", 2]], "a copy is its own"
    with pytest.raises(IndexError):
        shelf[2]


def test_a_cell_on_a_shelf_makes_what_a_cell_with_a_list_makes(spec: dict[str, Any]) -> None:
    with_list = Controller(spec, {}, {})
    with_shelf = Controller(load_cell(codec.pack(spec)), {}, {})
    for controller in (with_list, with_shelf):
        controller.boot(0)
    assert with_list.take_records() == with_shelf.take_records()
    assert views.catalogue(with_list) == views.catalogue(with_shelf)
    assert views.recipes(with_list) == views.recipes(with_shelf)
    offered = {**spec["recipes"][0], "version": 9, "text": "another"}
    assert with_list.offer_recipe(offered) == with_shelf.offer_recipe(offered)
    assert with_list.take_records() == with_shelf.take_records()
    assert views.catalogue(with_list) == views.catalogue(with_shelf)
    assert render._units(with_shelf.spec, "roof") == render._units(with_list.spec, "roof")


def stored(number: int, control: dict[str, Any]) -> dict[str, Any]:
    return {
        "order_id": f"order-{number}",
        "product": "bonnet",
        "count": 1,
        "options": [["colour", "green"]],
        "carriers": [],
        "issuer": "desk",
        "priority": 5,
        "due": 0,
        "control": control,
        "hash": "",
        "content": f"content {number}",
        "estimate_ms": 1000,
        "allowed": 1,
    }


def test_a_lean_book_remembers_less_and_still_knows_a_repeat(spec: dict[str, Any]) -> None:
    book = Book(lean=True)
    assert book.most_open == LEAN_OPEN
    for number in range(1, 200):
        book.apply(0, ev.ORDER_STORED, 0, number, 0, codec.pack(stored(number, spec["recipes"][0])))
        book.apply(0, ev.ORDER_STATE, orders.COMPLETED, number, 0, b"")
    assert len(book.jobs) <= LEAN_REMEMBERED + 1
    last = book.find("order-199")
    assert last is not None
    assert (last.content, last.control) == ("content 199", {})
    assert book.find("order-100") is None
    again = Book(lean=True)
    again.load(book.dump())
    assert again.dump() == book.dump()
