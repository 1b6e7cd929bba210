"""The files an engineer writes: what they become, and the one line that each mistake in them gets."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cell_controller.core.codec import pack
from cell_controller.errors import CellError, CellFileError
from host_tools.cellfile import compile_cell, compile_recipe, load_equipment
from host_tools.scale import KEEP, ScaleError, decimal_text, per_unit, quantity, to_integer
from host_tools.toml_file import MAX_LINE
from tests.host_tools.make_cell import BONNET, make_cell, problems_of

CELL, RPI, EQUIPMENT, RECIPE = "cell.toml", "wiring/rpi.toml", "equipment.py", "recipes/bonnet.toml"


def test_compiled_cell_is_integers_and_texts_alone(tmp_path: Path) -> None:
    spec = compile_cell(make_cell(tmp_path), "rpi").spec
    pack(spec)  # refuses a float, None or a foreign type anywhere in it
    assert spec["inputs"][0] == {
        "name": "airflow",
        "text": "airflow",
        "kind": "analog",
        "unit": "m3/min",
        "per_unit": 100,
        "lo": 0,
        "hi": 1200,
        "on_bad": "none",
        "raw": [0, 26400, 0, 1200],
    }
    assert spec["interlocks"][0]["needs"] == [[0, 1, 400, 20], [1, 0, 1, 0]]
    assert spec["outputs"][2]["on_hold"] == KEEP
    assert spec["outputs"][2]["on_abort"] == 0
    assert (spec["emergency_stop"], spec["heartbeat"], spec["energy"]) == (2, 3, -1)
    assert spec["state_limits_ms"][15] == 20_000
    assert spec["faults"] == ["booth air did not build up"]
    assert spec["states"] == [{"state": 15, "function": "home"}]
    assert spec["phases"][0] == {
        "name": "spray",
        "args": ["colour", "coats", "dwell_ms"],
        "needs": ["door_closed"],
        "counts": "coat",
    }


def test_compiled_recipe_scales_parameters_and_sums_planned_time(tmp_path: Path) -> None:
    recipe = compile_cell(make_cell(tmp_path)).spec["recipes"][0]
    assert recipe["params"][2] == {
        "name": "film_um",
        "unit": "um",
        "per_unit": 2,
        "lo": 20,
        "hi": 100,
        "default": 45,
    }
    assert recipe["options"][1]["values"][1]["set"] == [["film_um", 60]]
    assert recipe["options"][3]["default"] == 25
    assert recipe["steps"][0]["args"] == [["cure_s", "value", 2]]
    assert recipe["planned_s"] == 27


def test_group_is_planned_as_its_longest_step(tmp_path: Path) -> None:
    group = 'together = "oven"\n'
    text = BONNET.replace('phase = "spray"\n', 'phase = "spray"\n' + group)
    text = text.replace('phase = "cure"\nplanned_s = 5', 'phase = "cure"\nplanned_s = 5\n' + group)
    directory = make_cell(tmp_path, (RECIPE, BONNET, text))
    assert compile_cell(directory).spec["recipes"][0]["planned_s"] == 2 + 20


def test_steps_and_arguments_may_come_under_another_name(tmp_path: Path) -> None:
    change = ("set = { cure_s = 2 }", 'set = { cure_s = { from = "coats" } }')
    directory = make_cell(tmp_path, (RECIPE, *change))
    assert compile_cell(directory).spec["recipes"][0]["steps"][0]["args"] == [["cure_s", "param", "coats"]]


def test_simulated_board_needs_no_wiring_file(tmp_path: Path) -> None:
    cell = compile_cell(make_cell(tmp_path))
    assert cell.wiring == {}
    assert cell.spec["inputs"][0]["raw"] == []


def test_wiring_reaches_the_board_as_written(tmp_path: Path) -> None:
    wiring = compile_cell(
        make_cell(tmp_path, (RPI, 'channel = "GPIO4"', 'channel = "GPIO4"\npull_s = 0.5')), "rpi"
    ).wiring
    assert wiring["door_closed"] == {"channel": "GPIO4", "pull_s": 0.5}
    assert wiring["board"] == {"on_death": "hold_last"}


def test_unit_in_a_limit_is_checked_and_accepted(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (CELL, "min = 4,", 'min = "4.5 m3/min",'))
    assert compile_cell(directory).spec["interlocks"][0]["needs"][0] == [0, 1, 450, 20]


def test_modes_of_the_cell_get_their_disabled_states(tmp_path: Path) -> None:
    mode = '\n[modes.Cleaning]\nnumber = 4\ndisabled = ["Held"]\n[states.Resetting]'
    modes = compile_cell(make_cell(tmp_path, (CELL, "\n[states.Resetting]", mode))).spec["modes"]
    assert [(entry["number"], entry["name"]) for entry in modes] == [
        (1, "Production"),
        (2, "Maintenance"),
        (3, "Manual"),
        (4, "Cleaning"),
    ]
    assert modes[3]["disabled"] == 1 << 10 | 1 << 11 | 1 << 12


def test_product_has_one_recipe(tmp_path: Path) -> None:
    directory = make_cell(tmp_path)
    (directory / "recipes" / "copy.toml").write_text(BONNET, "utf-8")
    assert problems_of(directory) == [
        'recipes/copy.toml, [recipe]: product = "bonnet" is made by recipes/bonnet.toml already; '
        "a product has one recipe"
    ]


def test_error_is_also_the_built_in_it_refines(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cell\.toml"):
        compile_cell(tmp_path)
    assert issubclass(CellFileError, CellError)


# --- one recipe again, while the cell runs ---


def changed(directory: Path, old: str, new: str) -> Path:
    path = directory / RECIPE
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    return path


def test_changed_recipe_gets_the_next_number_where_the_file_kept_its_own(tmp_path: Path) -> None:
    former = compile_cell(make_cell(tmp_path)).spec["recipes"][0]
    path = changed(tmp_path, "coats = { default = 2,", "coats = { default = 3,")
    recipe, said = compile_recipe(path, former=former)
    assert (recipe["version"], recipe["params"][0]["default"]) == (4, 3)
    assert said == [
        "recipes/bonnet.toml: changed, but still says version = 3; it is bonnet@4 here, write that in the file"
    ]
    again, _ = compile_recipe(
        changed(tmp_path, "coats = { default = 3,", "coats = { default = 4,"), former=recipe
    )
    assert again["version"] == 5


def test_changed_recipe_with_a_higher_version_keeps_it(tmp_path: Path) -> None:
    former = compile_cell(make_cell(tmp_path)).spec["recipes"][0]
    recipe, said = compile_recipe(changed(tmp_path, "version = 3", "version = 7"), former=former)
    assert (recipe["version"], said) == (7, [])


def test_touched_recipe_stays_what_it_was(tmp_path: Path) -> None:
    former = compile_cell(make_cell(tmp_path)).spec["recipes"][0]
    renumbered = former | {"version": 4}
    recipe, said = compile_recipe(changed(tmp_path, "[recipe]", "# a note\n[recipe]"), former=renumbered)
    assert (recipe, said) == (renumbered, [])


def test_broken_recipe_is_refused_with_the_limit_and_the_remedy(tmp_path: Path) -> None:
    former = compile_cell(make_cell(tmp_path)).spec["recipes"][0]
    path = changed(tmp_path, "coats = { default = 2,", "coats = { default = 9,")
    with pytest.raises(CellFileError) as caught:
        compile_recipe(path, former=former)
    assert caught.value.problems == [
        "recipe bonnet@3, step 2 'spray': coats = 9 is outside 1..4; set coats in the order or in recipes/bonnet.toml"
    ]


def test_recipe_file_cannot_become_another_product(tmp_path: Path) -> None:
    former = compile_cell(make_cell(tmp_path)).spec["recipes"][0]
    with pytest.raises(CellFileError) as caught:
        compile_recipe(changed(tmp_path, 'product = "bonnet"', 'product = "roof"'), former=former)
    assert caught.value.problems == [
        'recipes/bonnet.toml, [recipe]: product = "roof" was "bonnet"; give a new product a file of its own'
    ]


def test_new_option_value_may_use_what_is_there(tmp_path: Path) -> None:
    former = compile_cell(make_cell(tmp_path)).spec["recipes"][0]
    path = changed(
        tmp_path, "green = { coats = 3 }", 'green = { coats = 3 }\ndark_green = { coats = 4, use = "green" }'
    )
    recipe, _ = compile_recipe(path, former=former)
    assert recipe["version"] == 4
    assert recipe["options"][0]["values"][1] == {
        "value": "dark_green",
        "text": "dark_green",
        "set": [["coats", 4]],
        "skip": [],
        "add": [],
        "use": "green",
    }


def test_recipe_cannot_use_a_phase_that_does_not_run_yet(tmp_path: Path) -> None:
    spec = compile_cell(make_cell(tmp_path)).spec
    equipment = tmp_path / EQUIPMENT
    equipment.write_text(equipment.read_text("utf-8") + "\n@phase\ndef wipe(cell):\n    yield\n", "utf-8")
    path = changed(
        tmp_path, '[[step]]\nphase = "spray"', '[[step]]\nphase = "wipe"\n[[step]]\nphase = "spray"'
    )
    with pytest.raises(CellFileError) as caught:
        compile_recipe(path, former=spec["recipes"][0], running=spec)
    assert caught.value.problems == [
        "recipe bonnet@3, step 2 'wipe': "
        "phase 'wipe' is not the one that runs: equipment.py has changed; start the cell again"
    ]


# --- equipment.py as functions ---


def test_equipment_gives_its_functions_by_name_and_state(tmp_path: Path) -> None:
    equipment = load_equipment(make_cell(tmp_path))
    assert sorted(equipment.phases) == ["cure", "spray"]
    assert equipment.states[15].__name__ == "home"


def test_two_cells_do_not_share_a_module(tmp_path: Path) -> None:
    first = load_equipment(make_cell(tmp_path / "a"))
    second = load_equipment(make_cell(tmp_path / "b"))
    assert first.phases["cure"] is not second.phases["cure"]


def test_equipment_is_what_the_file_says_now_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    directory = make_cell(tmp_path)
    before = sorted(path.name for path in directory.iterdir())
    load_equipment(directory)
    path = directory / EQUIPMENT
    path.write_text(
        path.read_text("utf-8").replace("cure", "bake"), "utf-8"
    )  # the same size in the same second
    assert sorted(load_equipment(directory).phases) == ["bake", "spray"]
    assert sorted(path.name for path in directory.iterdir()) == before


def test_equipment_that_raises_is_a_line_not_a_traceback(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (EQUIPMENT, "from cell_controller", "1 / 0\nfrom cell_controller"))
    with pytest.raises(CellFileError) as caught:
        load_equipment(directory)
    assert caught.value.problems == ["equipment.py: ZeroDivisionError while it was loaded: division by zero"]


# --- anything in the files ---

VALUES = st.sampled_from(
    [
        "",
        '"\\u0000"',
        "[]",
        "[[1]]",
        "{}",
        "{ a = 1 }",
        "[1, 2]",
        "[{}]",
        "[3, 'x']",
        "0",
        "-1",
        "1.5",
        "nan",
        "1e400",
        "9" * 40,
        "true",
        "1979-05-27",
        '""',
        '"keep"',
        '"4 m3/h"',
        '"cure"',
    ]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([CELL, RPI, RECIPE]), st.integers(0, 200), VALUES)
def test_any_value_anywhere_is_accepted_or_refused_in_lines(
    tmp_path: Path, file: str, place: int, value: str
) -> None:
    directory = make_cell(tmp_path)
    path = directory / file
    lines = path.read_text("utf-8").splitlines()
    lines[place % len(lines)] = lines[place % len(lines)].partition("=")[0] + f"= {value}"
    path.write_text("\n".join(lines), "utf-8")
    try:
        pack(compile_cell(directory, "rpi").spec)
    except CellFileError as error:
        problems = error.problems
    else:
        return
    assert problems
    assert all("\n" not in line and ": " in line and len(line) <= MAX_LINE for line in problems)


# --- scaling ---

RESOLUTIONS = st.sampled_from(["1", "0.5", "0.25", "0.2", "0.1", "0.05", "0.01", "0.001", "0.0005"])


@given(RESOLUTIONS, st.integers(-500_000, 500_000))
def test_scaling_is_exact_and_comes_back_as_written(resolution: str, steps: int) -> None:
    unit_steps = per_unit(quantity(Decimal(resolution)))
    written = Decimal(resolution) * steps
    scaled = to_integer(quantity(written), unit_steps, "")
    assert type(scaled) is int
    assert scaled == steps
    assert Fraction(decimal_text(scaled, unit_steps)) == Fraction(written)


@given(RESOLUTIONS, st.decimals(allow_nan=False, allow_infinity=False))
def test_scaling_gives_an_exact_integer_or_refuses(resolution: str, value: Decimal) -> None:
    unit_steps = per_unit(quantity(Decimal(resolution)))
    try:
        scaled = to_integer(quantity(value), unit_steps, "")
    except ScaleError:
        return
    assert type(scaled) is int
    assert abs(scaled) < 1 << 29
    assert Fraction(scaled, unit_steps) == Fraction(value)


@pytest.mark.parametrize("resolution", ["0", "-1", "2", "0.3", "0.7", "1e-30"])
def test_resolution_that_does_not_divide_one_is_refused(resolution: str) -> None:
    with pytest.raises(ScaleError):
        per_unit(quantity(Decimal(resolution)))
