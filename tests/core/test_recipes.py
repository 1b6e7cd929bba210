"""Orders against a recipe: what they resolve to, every way to be refused, and the identity of the result."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_controller.core import jsonwrite, recipes
from cell_controller.core.codec import pack
from host_tools.cellfile import compile_cell
from tests.host_tools.make_cell import make_cell

SHA = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory: Path = make_cell(tmp_path_factory.mktemp("cell"))
    return compile_cell(directory).spec


@pytest.fixture(scope="module")
def recipe(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["recipes"][0]
    return found


def resolved(recipe: dict[str, Any], *options: list[Any]) -> dict[str, Any]:
    control, refusal = recipes.resolve(recipe, list(options))
    assert control is not None, refusal
    assert refusal == ""
    return control


def refused(recipe: dict[str, Any], *options: list[Any]) -> tuple[str, str]:
    control, refusal = recipes.resolve(recipe, list(options))
    assert control is None
    assert isinstance(refusal, tuple)
    return refusal


def test_order_resolves_to_parameters_options_and_steps(recipe: dict[str, Any]) -> None:
    control = resolved(recipe, ["colour", "green"], ["pinstripe", "ABE"])
    assert control["product"] == "bonnet"
    assert control["version"] == 3
    assert control["params"] == [["coats", 3], ["dwell_ms", 4500], ["film_um", 45]]
    assert control["options"] == [
        ["colour", "green"],
        ["finish", "satin"],
        ["gap", 25],
        ["pattern", ""],
        ["pinstripe", "ABE"],
    ]
    assert [step["name"] for step in control["steps"]] == ["warm", "spray", "cure"]
    assert control["steps"][1] == {
        "name": "spray",
        "phase": "spray",
        "operation": "",
        "args": [["colour", "green"], ["coats", 3], ["dwell_ms", 4500]],
        "on_interrupt": "ask",
        "max_hold_s": 0,
        "on_resume": "once",
        "on_scrap": "skip",
        "together": "",
        "planned_s": 20,
    }


def test_option_values_skip_and_add_steps(recipe: dict[str, Any]) -> None:
    primer = resolved(recipe, ["colour", "primer"])
    gloss = resolved(recipe, ["colour", "green"], ["finish", "gloss"])
    assert [step["name"] for step in primer["steps"]] == ["warm", "spray"]
    assert [step["name"] for step in gloss["steps"]] == ["warm", "spray", "cure", "bake"]


def test_order_beats_option_beats_default(recipe: dict[str, Any]) -> None:
    assert ["coats", 3] in resolved(recipe, ["colour", "green"])["params"]
    assert ["coats", 4] in resolved(recipe, ["colour", "green"], ["coats", 4])["params"]


def test_phases_get_what_a_value_uses_and_the_customer_keeps_its_name(recipe: dict[str, Any]) -> None:
    control = resolved(recipe, ["colour", "primer"])
    assert ["colour", "primer"] in control["options"]
    assert ["colour", "green"] in control["steps"][1]["args"]


def test_decimal_that_went_through_a_journal_is_the_same(recipe: dict[str, Any]) -> None:
    order = ["colour", "green"]
    fresh = resolved(recipe, order, ["gap", ("dec", 15, -1)])
    assert resolved(recipe, order, ["gap", ["dec", 15, -1]]) == fresh


def test_decimal_of_an_order_is_scaled_exactly(recipe: dict[str, Any]) -> None:
    control = resolved(recipe, ["colour", "green"], ["film_um", ("dec", 305, -1)], ["gap", ("dec", 5, 0)])
    assert ["film_um", 61] in control["params"]
    assert ["gap", 50] in control["options"]


REFUSALS = [
    (
        [["colur", "green"]],
        "unknown_option",
        "bonnet has no option 'colur'; it has: colour, finish, pinstripe, gap, pattern, coats, dwell_ms, film_um",
    ),
    (
        [["x" * 99, "green"]],
        "unknown_option",
        f"bonnet has no option '{'x' * 37}...'; it has: colour, finish, pinstripe, gap, pattern, coats, "
        f"dwell_ms, film_um",
    ),
    ([], "option_missing", "bonnet needs colour; give one of: green, primer"),
    ([["colour", "green"], ["colour", "primer"]], "option_repeated", "colour is given twice; give it once"),
    (
        [["colour", "blue"]],
        "value_not_offered",
        "colour = 'blue' is not offered; choose one of: green, primer",
    ),
    ([["colour", 3]], "value_not_offered", "colour must be a text, one of: green, primer"),
    (
        [["colour", "green"], ["pinstripe", "A" * 11]],
        "text_too_long",
        "pinstripe has 11 characters, more than 10; shorten it",
    ),
    (
        [["colour", "green"], ["pinstripe", "AZ"]],
        "character_not_allowed",
        "pinstripe: 'Z' is not allowed; use only: ABCDE ",
    ),
    (
        [["colour", "green"], ["pinstripe", "A\x1b"]],
        "character_not_allowed",
        "pinstripe: U+001B is not allowed; use only: ABCDE ",
    ),
    ([["colour", "green"], ["pinstripe", 5]], "not_a_text", "pinstripe must be a text"),
    ([["colour", "green"], ["gap", 6]], "out_of_range", "gap = 6 is outside 0..5 mm"),
    ([["colour", "green"], ["gap", ("dec", 51, -1)]], "out_of_range", "gap = 5.1 is outside 0..5 mm"),
    (
        [["colour", "green"], ["gap", ("dec", 255, -2)]],
        "not_a_multiple",
        "gap comes in steps of 0.1 mm; round it",
    ),
    ([["colour", "green"], ["gap", "2"]], "not_a_number", "gap must be a number in mm"),
    ([["colour", "green"], ["gap", True]], "not_a_number", "gap must be a number in mm"),
    ([["colour", "green"], ["gap", 2.5]], "not_a_number", "gap must be a number in mm"),
    ([["colour", "green"], ["gap", None]], "not_a_number", "gap must be a number in mm"),
    ([["colour", "green"], ["gap", 10**40]], "not_a_number", "gap is not a number that fits here"),
    ([["colour", "green"], ["gap", ("dec", 1, 10**9)]], "not_a_number", "gap is not a number that fits here"),
    ([["colour", "green"], ["coats", 9]], "parameter_out_of_range", "coats = 9 is outside 1..4"),
    (
        [["colour", "green"], ["coats", ("dec", 25, -1)]],
        "not_a_multiple",
        "coats comes in steps of 1; round it",
    ),
    ([["colour", "primer"], ["finish", "gloss"]], "excluded_combination", "primer has no gloss"),
    (
        [["colour", "green"], ["pattern", "abc"]],
        "not_a_sha256",
        "pattern names a file by its sha256: 64 characters of 0-9 a-f",
    ),
    (
        [["colour", "green"], ["pattern", SHA.upper()]],
        "not_a_sha256",
        "pattern names a file by its sha256: 64 characters of 0-9 a-f",
    ),
]


@pytest.mark.parametrize(
    ("options", "code", "text"), REFUSALS, ids=[f"{i}-{case[1]}" for i, case in enumerate(REFUSALS)]
)
def test_order_that_the_recipe_does_not_allow_is_refused(
    recipe: dict[str, Any], options: list[list[Any]], code: str, text: str
) -> None:
    assert refused(recipe, *options) == (code, text)


def test_hash_is_of_the_content_and_nothing_else(recipe: dict[str, Any]) -> None:
    one = resolved(recipe, ["colour", "green"], ["pattern", SHA])
    same = resolved(recipe, ["pattern", SHA], ["colour", "green"])
    other = resolved(recipe, ["colour", "green"])
    assert recipes.control_hash(one) == recipes.control_hash(same)
    assert recipes.control_hash(one) != recipes.control_hash(other)
    assert recipes.is_sha256(recipes.control_hash(one))


def test_control_recipe_shares_nothing_with_the_recipe(recipe: dict[str, Any]) -> None:
    before = pack(recipe)
    control = resolved(recipe, ["colour", "green"])
    control["steps"][0]["args"][0][1] = 99
    control["params"][0][1] = 99
    assert pack(recipe) == before


def test_description_is_short_and_leaves_out_defaults_and_hashes(recipe: dict[str, Any]) -> None:
    control = resolved(recipe, ["colour", "green"], ["pinstripe", "ABE"], ["pattern", SHA])
    assert recipes.describe(control, recipe) == "bonnet green 'ABE'"
    assert recipes.describe(resolved(recipe, ["colour", "green"])) == "bonnet green satin"


def test_planned_time_follows_the_steps_that_run(recipe: dict[str, Any]) -> None:
    assert recipes.planned_s(recipe, resolved(recipe, ["colour", "primer"])) == 22
    assert recipes.planned_s(recipe, resolved(recipe, ["colour", "green"], ["finish", "gloss"])) == 36
    assert recipes.planned_s({"planned_s": 41}, {"steps": []}) == 41


def test_catalogue_is_in_engineering_units(spec: dict[str, Any]) -> None:
    catalogue = recipes.catalogue(spec)
    assert (catalogue["cell"], catalogue["path"]) == ("booth-1", "coachworks/leeds/body/paint")
    product = catalogue["products"][0]
    assert product["options"][0] == {
        "name": "colour",
        "kind": "choice",
        "text": "colour",
        "required": True,
        "default": "",
        "values": [{"value": "green", "text": "green"}, {"value": "primer", "text": "primer"}],
    }
    assert product["options"][2]["characters"] == "ABCDE "
    assert product["options"][3] == {
        "name": "gap",
        "kind": "number",
        "text": "gap",
        "required": False,
        "unit": "mm",
        "min": "0",
        "max": "5",
        "step": "0.1",
        "default": "2.5",
    }
    assert product["parameters"][2] == {
        "name": "film_um",
        "unit": "um",
        "min": "10",
        "max": "50",
        "step": "0.5",
        "default": "22.5",
    }
    assert product["exclude"] == [
        {"when": {"colour": "primer", "finish": "gloss"}, "message": "primer has no gloss"}
    ]


NUMBERS = st.one_of(
    st.integers(),
    st.tuples(st.just("dec"), st.integers(), st.integers()),
    st.lists(st.one_of(st.just("dec"), st.integers(), st.text(max_size=2)), max_size=3),
    st.booleans(),
    st.floats(),
    st.text(max_size=5),
    st.none(),
)
TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["green", "primer", "satin", "gloss", "ABE", SHA]), NUMBERS
)
NAMES = st.one_of(
    st.sampled_from(["colour", "finish", "pinstripe", "gap", "pattern", "coats", "dwell_ms", "film_um"]),
    st.text(max_size=5),
)


@given(st.lists(st.tuples(NAMES, TEXTS).map(list), max_size=6))
def test_any_order_is_either_refused_or_packs_within_its_bounds(
    recipe: dict[str, Any], options: list[list[Any]]
) -> None:
    control, refusal = recipes.resolve(recipe, [["colour", "green"], *options])
    if control is None:
        assert isinstance(refusal, tuple)
        assert all(isinstance(part, str) and part for part in refusal)
        return
    pack(control)  # refuses a float anywhere
    values = dict(control["params"])
    for param in recipe["params"]:
        assert type(values[param["name"]]) is int
        assert param["lo"] <= values[param["name"]] <= param["hi"]


@given(st.integers(-(10**8), 10**8), st.integers(-6, 6), st.sampled_from([1, 2, 4, 10, 20, 100, 1000]))
def test_scale_is_exact_or_nothing(mantissa: int, exponent: int, per_unit: int) -> None:
    exact = Fraction(mantissa) * Fraction(10) ** exponent * per_unit
    scaled = recipes.scale(("dec", mantissa, exponent), per_unit)
    if exact.denominator == 1 and abs(exact) < recipes.MAX_VALUE:
        assert type(scaled) is int
        assert scaled == exact
    else:
        assert scaled is None


@given(st.integers(-(10**8), 10**8), st.sampled_from([1, 2, 4, 10, 20, 100, 1000]))
def test_decimal_text_is_the_exact_value(value: int, per_unit: int) -> None:
    text = jsonwrite.decimal_text(value, per_unit)
    assert Decimal(text) * per_unit == value
    assert not (("." in text) and text.endswith("0"))
