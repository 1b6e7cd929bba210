"""The stack light over every state and condition, against the reference rule."""

import itertools

from cell_controller.core import stack_light
from tests.core.packml_oracle import FACTS, NAME

CONDITIONS = ("starved", "blocked", "material_low", "material_out")


def test_every_state_and_condition_shows_what_the_rule_says() -> None:
    for state, values in itertools.product(range(1, 18), itertools.product((0, 1), repeat=4)):
        true = {"", *(name for name, value in zip(CONDITIONS, values, strict=True) if value)}
        rules = FACTS["stack_light"]["rules"]
        expected = {r["light"] for r in rules if r["when"] in true and NAME[state] in r["states"]}
        shown = stack_light.light_names(stack_light.stack_light(state, *values))
        assert set(shown) == expected, f"{NAME[state]} {sorted(true)}"


def test_lights_have_the_standard_bits() -> None:
    assert list(stack_light.LIGHTS) == FACTS["stack_light"]["lights"]
    assert stack_light.light_names(stack_light.RED_SOLID | stack_light.HORN_FLASH) == [
        "RedSolid",
        "HornFlash",
    ]
    assert stack_light.light_names(0x3FF) == FACTS["stack_light"]["lights"]
