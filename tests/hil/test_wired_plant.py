"""The plant that a wiring file describes: inputs follow outputs in their time, and mistakes are named."""

from decimal import Decimal
from typing import Any

import pytest

from cell_controller.errors import BoardError
from hil.wired_plant import WiredPlant

SPEC: dict[str, Any] = {
    "inputs": [
        {"name": "closed", "kind": "digital", "per_unit": 1, "lo": 0, "hi": 1, "raw": []},
        {"name": "open", "kind": "digital", "per_unit": 1, "lo": 0, "hi": 1, "raw": []},
        {"name": "chain", "kind": "digital", "per_unit": 1, "lo": 0, "hi": 1, "raw": []},
        {"name": "temp", "kind": "analog", "per_unit": 10, "lo": 0, "hi": 1500, "raw": []},
        {"name": "carrier", "kind": "identity", "per_unit": 1, "lo": 0, "hi": 99, "raw": []},
    ],
    "outputs": [
        {"name": "clamp", "kind": "digital", "per_unit": 1, "lo": 0, "hi": 1, "raw": []},
        {"name": "heater", "kind": "analog", "per_unit": 1, "lo": 0, "hi": 100, "raw": []},
    ],
    "emergency_stop": 2,
    "part_present": -1,
}
WIRING = {
    "closed": {"follows": "clamp", "delay_ms": 800},
    "open": {"follows": "clamp", "inverted": True, "delay_ms": 200},
    "temp": {"follows": "heater", "rest": 20, "full": Decimal("95.5"), "delay_ms": 10_000},
}


def run(plant: WiredPlant, start_ms: int, end_ms: int, outputs: list[int]) -> list[int]:
    """Call the plant as a board would; what it reads at the end."""
    now = start_ms
    call_at = plant.step(now, outputs)
    while call_at <= end_ms:
        now = call_at
        call_at = plant.step(now, outputs)
    plant.step(end_ms, outputs)
    return plant.inputs


def test_without_tables_every_input_is_at_rest() -> None:
    assert WiredPlant(SPEC, {}).inputs == [0, 0, 1, 0, 1]


def test_a_limit_switch_follows_its_output_after_the_delay() -> None:
    plant = WiredPlant(SPEC, WIRING)
    assert run(plant, 0, 750, [1, 0])[:2] == [0, 0]
    assert run(plant, 750, 850, [1, 0])[:2] == [1, 0]
    assert run(plant, 850, 1000, [0, 0])[:2] == [0, 0]
    assert run(plant, 1000, 2000, [0, 0])[:2] == [0, 1]


def test_an_analog_input_moves_between_rest_and_full_with_its_output() -> None:
    plant = WiredPlant(SPEC, WIRING)
    assert run(plant, 0, 0, [0, 0])[3] == 200
    assert run(plant, 0, 5000, [0, 100])[3] == pytest.approx(577, abs=5)
    assert run(plant, 5000, 20_000, [0, 100])[3] == 955
    assert run(plant, 20_000, 40_000, [0, 50])[3] == pytest.approx(577, abs=1)


def test_a_dead_output_moves_nothing() -> None:
    plant = WiredPlant(SPEC, WIRING)
    assert run(plant, 0, 1000, [1, 0])[0] == 1
    dead = WiredPlant(SPEC, WIRING)
    dead.faults.switch("clamp.dead", True)
    assert run(dead, 0, 1000, [1, 0])[0] == 0


def test_at_rest_it_is_called_once_a_second() -> None:
    assert WiredPlant(SPEC, WIRING).step(0, [0, 0]) == 1000


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"folows": "clamp"}, r"\[closed\]: unknown key 'folows'; known: delay_ms, follows"),
        ({"follows": "clmp"}, "needs the output 'clmp'"),
        ({"follows": "clamp", "delay_ms": -1}, r"delay_ms = -1 is outside 0\.\.3600000"),
        ({"rest": "high"}, "rest = 'high' is not a number"),
    ],
)
def test_a_mistake_in_the_wiring_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(BoardError, match=message):
        WiredPlant(SPEC, {"closed": table})
