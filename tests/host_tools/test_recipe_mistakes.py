"""The one line that each mistake in a recipe gets: recipe, step, key, value, limit and remedy."""

from pathlib import Path

import pytest

from tests.host_tools.make_cell import BONNET, make_cell, problems_of

RECIPE = "recipes/bonnet.toml"


RECIPE_MISTAKES = [
    (
        "default out of range",
        "coats = { default = 2,",
        "coats = { default = 9,",
        "recipe bonnet@3, step 2 'spray': coats = 9 is outside 1..4; set coats in the order or in "
        "recipes/bonnet.toml",
    ),
    (
        "override out of range",
        "coats = 3 }",
        "coats = 9 }",
        "recipe bonnet@3, [options.colour] green: coats = 9 is outside 1..4; set coats in the order or "
        "in recipes/bonnet.toml",
    ),
    (
        "between steps",
        "default = 22.5",
        "default = 22.4",
        "recipe bonnet@3, [parameters]: film_um = 22.4 is not a multiple of the resolution 0.5; round "
        "it or refine the resolution",
    ),
    (
        "unknown key",
        'unit = "um"',
        'unti = "um"',
        "recipes/bonnet.toml, [parameters.film_um]: unknown key 'unti'; did you mean 'unit'?",
    ),
    (
        "wrong type",
        "version = 3",
        'version = "3"',
        'recipes/bonnet.toml, [recipe]: version = "3" is not a whole number',
    ),
    (
        "unknown phase",
        'phase = "spray"',
        'phase = "sprya"',
        "recipe bonnet@3, step 2 'sprya': no phase 'sprya' in equipment.py; did you mean 'spray'?",
    ),
    (
        "argument without source",
        "dwell_ms = {",
        "dwell = {",
        "recipe bonnet@3, step 2 'spray': phase 'spray' needs 'dwell_ms', which nothing gives; "
        "add it to [parameters] or [options], or set = { dwell_ms = ... } in the step",
    ),
    (
        "unknown parameter",
        "coats = 3 }",
        "coat = 3 }",
        "recipe bonnet@3, [options.colour] green: unknown key 'coat', no parameter has that name; did "
        "you mean 'coats'?",
    ),
    (
        "unknown step in skip",
        'skip = ["cure"]',
        'skip = ["curing"]',
        "recipe bonnet@3, [options.colour] primer: skip: no step is called 'curing'; did you mean 'cure'?",
    ),
    (
        "add of a step that always runs",
        'add = ["bake"]',
        'add = ["bake", "cure"]',
        "recipe bonnet@3, [options.finish] gloss: add: step 'cure' always runs; write optional = true in the step",
    ),
    (
        "duplicate step name",
        'name = "bake"',
        'name = "warm"',
        "recipe bonnet@3, step 4 'warm': step 1 has the same name; give one of them a name of its own: "
        'name = "warm_2"',
    ),
    (
        "unreachable: never added",
        'add = ["bake"]',
        "add = []",
        "recipe bonnet@3, step 4 'bake': never runs: it is optional and no option value adds it; write "
        'add = ["bake"] in one',
    ),
    (
        "unreachable: always skipped",
        "green = { coats = 3 }",
        'green = { coats = 3, skip = ["cure"] }',
        "recipe bonnet@3, step 3 'cure': never runs: every value of option 'colour' skips it; remove "
        "the step or a skip",
    ),
    (
        "cycle: a step names no successor",
        'phase = "spray"',
        'phase = "spray"\nnext = "warm"',
        "recipes/bonnet.toml, step 2: unknown key 'next'; known: phase, name, operation, on_interrupt, max_hold_s, "
        "on_resume, on_scrap, together, optional, planned_s, set",
    ),
    (
        "group of one",
        'phase = "spray"',
        'phase = "spray"\ntogether = "oven"',
        "recipe bonnet@3, step 2 'spray': together = \"oven\": no other step is in the group; name one or remove it",
    ),
    (
        "resume without marks",
        'phase = "spray"',
        'phase = "spray"\non_interrupt = "resume"',
        "recipe bonnet@3, step 2 'spray': on_interrupt = \"resume\": "
        "phase 'spray' has no parameter resume_from to go on from; "
        'add it or write "ask"',
    ),
    (
        "set of an unknown argument",
        "set = { cure_s = 2 }",
        "set = { cure = 2 }",
        "recipe bonnet@3, step 1 'warm': set: phase 'cure' takes no 'cure'; did you mean 'cure_s'?",
    ),
    (
        "option default",
        'default = "satin"',
        'default = "matt"',
        'recipe bonnet@3, [options.finish]: default = "matt" is not one of its values; known: satin, gloss',
    ),
    (
        "option kind",
        'kind = "text"',
        'kind = "txt"',
        "recipe bonnet@3, [options.pinstripe]: kind = \"txt\" is not a kind of option; did you mean 'text'?",
    ),
    (
        "option bounds",
        "max_length = 10",
        "max_length = 0",
        "recipe bonnet@3, [options.pinstripe]: max_length = 0 is less than 1",
    ),
    (
        "option and parameter",
        "[options.gap]",
        "[options.coats]",
        "recipe bonnet@3, [options.coats]: 'coats' is a parameter too; an order could not tell them "
        "apart, rename one",
    ),
    (
        "excluded value",
        'finish = "gloss" }',
        'finish = "glossy" }',
        "recipe bonnet@3, exclude 1: when: option 'finish' has no value 'glossy'; did you mean 'gloss'?",
    ),
    (
        "value without a signal",
        "green = { coats = 3 }",
        "green = {}\nteal = {}",
        "recipe bonnet@3, [options.colour] teal: "
        "step 2 'spray' takes cell.valve(\"teal\"), but cell.toml has no valve_teal; "
        'add it, or write use = "..." with one of: green',
    ),
    (
        "literal without a signal",
        'phase = "spray"',
        'phase = "spray"\nset = { colour = "teal" }',
        "recipe bonnet@3: step 2 'spray' takes cell.valve(\"teal\"), but cell.toml has no valve_teal; "
        'add it, or write use = "..." with one of: green',
    ),
    ("no steps", "[[step]]", "[[steps]]", "recipes/bonnet.toml: unknown key 'steps'; did you mean 'step'?"),
]


@pytest.mark.parametrize(
    ("old", "new", "line"), [case[1:] for case in RECIPE_MISTAKES], ids=[c[0] for c in RECIPE_MISTAKES]
)
def test_mistake_in_recipe_gets_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert line in problems_of(make_cell(tmp_path, (RECIPE, old, new)))


def test_group_must_stand_together(tmp_path: Path) -> None:
    text = BONNET.replace('name = "warm"', 'name = "warm"\ntogether = "oven"').replace(
        'name = "bake"', 'name = "bake"\ntogether = "oven"'
    )
    assert problems_of(make_cell(tmp_path, (RECIPE, BONNET, text))) == [
        "recipe bonnet@3, step 4 'bake': together = \"oven\": "
        "step 1 of the group is not its neighbour; move them together"
    ]
