"""The one line that each mistake in the files of a cell gets: file, section, key, value, limit and remedy."""

from pathlib import Path

import pytest

from tests.host_tools.make_cell import make_cell, problems_of

CELL, RPI, EQUIPMENT, RECIPE = "cell.toml", "wiring/rpi.toml", "equipment.py", "recipes/bonnet.toml"


CELL_FILE_MISTAKES = [
    (
        "scan_ms",
        'name = "booth-1"',
        'name = "booth-1"\nscan_ms = "10"',
        '[cell]: scan_ms = "10" is not a whole number',
    ),
    (
        "fraction",
        'name = "booth-1"',
        'name = "booth-1"\nscan_ms = 2.5',
        "[cell]: scan_ms = 2.5 is not a whole number",
    ),
    ("scan 0", 'name = "booth-1"', 'name = "booth-1"\nscan_ms = 0', "[cell]: scan_ms = 0 is less than 1"),
    (
        "profile",
        'name = "booth-1"',
        'name = "booth-1"\nprofile = 2016',
        "[cell]: profile = 2016 is not one of: 2015 or 2022",
    ),
    (
        "name",
        'name = "booth-1"',
        'name = "booth/1"',
        '[cell]: name = "booth/1": use letters, digits, - _ . (a letter or digit first), at most 40',
    ),
    ("no name", 'name = "booth-1"\n', "", "[cell]: 'name' is missing; add it"),
    (
        "path",
        '"coachworks/leeds/body/paint"',
        '"coachworks/+/paint"',
        '[cell]: path = "coachworks/+/paint": write enterprise/site/area/line, no empty level, none of '
        "+ # $, at most 200",
    ),
    (
        "unknown key",
        'unit = "m3/min"',
        'unti = "m3/min"',
        "[inputs.airflow]: unknown key 'unti'; did you mean 'unit'?",
    ),
    (
        "unknown table",
        "[inputs.door_closed]",
        "[input.door_closed]",
        "unknown key 'input'; did you mean 'inputs'?",
    ),
    (
        "range type",
        "range = [0, 12]",
        'range = "wide"',
        '[inputs.airflow]: range = "wide" is not a list, as in [1, 2]',
    ),
    (
        "range short",
        "range = [0, 12]",
        "range = [0]",
        "[inputs.airflow]: range = [0] has 1 entries; it needs at least 2",
    ),
    (
        "range entry",
        "range = [0, 12]",
        "range = [0, true]",
        "[inputs.airflow]: range, entry 2 = true is not a number",
    ),
    (
        "range turned",
        "range = [0, 12]",
        "range = [12, 0]",
        "[inputs.airflow]: range = [12, 0] is empty; write the lower end first",
    ),
    (
        "resolution",
        "resolution = 0.01",
        "resolution = 0.3",
        "[inputs.airflow]: resolution = 0.3 does not divide 1; take 1, 0.5, 0.25, 0.1, 0.01 ...",
    ),
    (
        "between steps",
        "min = 4,",
        "min = 4.005,",
        "[interlocks.no_spray_without_air] needs airflow: min = 4.005 is not a multiple of the resolution 0.01; "
        "round it or refine the resolution",
    ),
    (
        "unit mismatch",
        "min = 4,",
        'min = "4 m3/h",',
        '[interlocks.no_spray_without_air] needs airflow: min = "4 m3/h" is in m3/h, not in m3/min; '
        "write it in m3/min",
    ),
    (
        "limit out of range",
        "min = 4,",
        "min = 14,",
        "[interlocks.no_spray_without_air]: needs airflow: min = 14 with hysteresis 0.2 is outside the "
        "signal's range 0..12 m3/min",
    ),
    (
        "nothing between",
        "min = 4,",
        "min = 4, max = 4.1,",
        "[interlocks.no_spray_without_air]: needs airflow: min = 4 and max = 4.1 leave nothing between them",
    ),
    (
        "digital limit",
        "door_closed = true }",
        "door_closed = 1 }",
        "[interlocks.no_spray_without_air]: needs door_closed = 1: a digital signal needs true or false",
    ),
    (
        "interlock input",
        "door_closed = true }",
        "dor_closed = true }",
        '[interlocks.no_spray_without_air]: needs = "dor_closed" is not an input of this cell; did '
        "you mean 'door_closed'?",
    ),
    (
        "interlock output",
        'blocks = ["valve_green"]',
        'blocks = ["valve_red"]',
        '[interlocks.no_spray_without_air]: blocks = "valve_red" is not an output of this cell; did '
        "you mean 'valve_green'?",
    ),
    (
        "blocked twice",
        'blocks = ["valve_green"]',
        'blocks = ["valve_green", "valve_green"]',
        "[interlocks.no_spray_without_air]: blocks names 'valve_green' twice; once is enough",
    ),
    (
        "consequence",
        'then = "hold"',
        'then = "wait"',
        "[interlocks.no_spray_without_air]: then = \"wait\" is not one of: 'none', 'hold', 'stop' or 'abort'",
    ),
    ("no safe value", 'safe = "on"\n', "", "[outputs.booth_fan]: 'safe' is missing; add it"),
    (
        "safe keep",
        'safe = "on"',
        'safe = "keep"',
        '[outputs.booth_fan]: safe = "keep": a safe value must be one that a dead controller can have; write a value',
    ),
    (
        "safe number",
        'safe = "on"',
        "safe = 3",
        '[outputs.booth_fan]: safe = 3: a digital output is "on" or "off"',
    ),
    (
        "safe list",
        'safe = "on"',
        "safe = [1]",
        '[outputs.booth_fan]: safe = [1] is not a value; write a number, "on" or "off"',
    ),
    (
        "safe out of range",
        "safe = 0",
        "safe = 150",
        "[outputs.lamp]: safe = 150 is outside 0..100 %; choose a value in the range",
    ),
    (
        "same name",
        "[outputs.lamp]",
        "[outputs.airflow]",
        "[outputs.airflow]: 'airflow' is an input too; signals have one name each",
    ),
    (
        "bad name",
        "[outputs.lamp]",
        "[outputs.Lamp-1]",
        "[outputs.Lamp-1]: 'Lamp-1' is not a name; use small letters, digits and _, a letter first, at most 40",
    ),
    (
        "reserved",
        "[outputs.lamp]",
        "[outputs.record]",
        "[outputs.record]: 'record' is a word of the controller; choose another name",
    ),
    (
        "role",
        'emergency_stop = "chain_ok"',
        'emergency_stop = "chain"',
        "[cell]: emergency_stop = \"chain\" is not an input of this cell; did you mean 'chain_ok'?",
    ),
    (
        "role kind",
        'emergency_stop = "chain_ok"',
        'emergency_stop = "airflow"',
        '[cell]: emergency_stop = "airflow" is analog; it must be digital: write kind = "digital" there',
    ),
    (
        "state",
        "[states.Resetting]",
        "[states.Execute]",
        "[states.Execute]: 'Execute' is not an acting state with a time limit; "
        "known: Clearing, Starting, Stopping, Aborting, Holding, Unholding, Suspending, Unsuspending, "
        "Resetting, Completing",
    ),
    (
        "mode number",
        "[states.Resetting]",
        "[modes.Cleaning]\nnumber = 2\n[states.Resetting]",
        "[modes.Cleaning]: number = 2 belongs to a mode of the standard; take one of 4..31",
    ),
    (
        "mode states",
        "[states.Resetting]",
        '[modes.Cleaning]\nnumber = 4\ndisabled = ["Idle"]\n[states.Resetting]',
        "[modes.Cleaning]: disabled: Idle exists in every mode; remove it from the list",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "line"), [case[1:] for case in CELL_FILE_MISTAKES], ids=[c[0] for c in CELL_FILE_MISTAKES]
)
def test_mistake_in_cell_file_gets_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    found = [
        problem
        for problem in problems_of(make_cell(tmp_path, (CELL, old, new)), "sim")
        if problem.startswith(CELL)
    ]
    separator = ", " if line.startswith("[") else ": "
    assert found[0] == f"{CELL}{separator}{line}"


WIRING_MISTAKES = [
    (
        "unit",
        '[airflow]\nchannel = "ads1115:0"',
        '[airflow]\nunit = "m3/h"\nchannel = "ads1115:0"',
        ', [airflow]: unit = "m3/h" but cell.toml says "m3/min"; one of them is wrong',
    ),
    (
        "duplicate channel",
        'channel = "GPIO5"',
        'channel = "GPIO4"',
        ", [chain_ok]: channel = \"GPIO4\" is taken by 'door_closed'; a channel carries one signal",
    ),
    (
        "no channel",
        'channel = "GPIO5"',
        "",
        ", [chain_ok]: 'channel' is missing; say where the signal is connected",
    ),
    (
        "not wired",
        '[chain_ok]\nchannel = "GPIO5"',
        "",
        ": signal 'chain_ok' of cell.toml is not wired; add [chain_ok] with its channel",
    ),
    (
        "unknown signal",
        "[chain_ok]",
        "[chain_okay]",
        ", [chain_okay]: no signal 'chain_okay' in cell.toml; did you mean 'chain_ok'?",
    ),
    (
        "span overflow",
        "raw = [0, 26400]",
        "raw = [0, 4000000]",
        ", [airflow]: span: 4000000 raw counts x 1200 steps = 4800000000, not below 1073741824; "
        "coarsen the resolution in cell.toml or the raw counts",
    ),
    (
        "flat span",
        "raw = [0, 26400]",
        "raw = [7, 7]",
        ", [airflow]: span: both points are the same; give two different ones",
    ),
    (
        "span type",
        "raw = [0, 26400]",
        "raw = [0.5, 7]",
        ", [airflow], [span]: raw, entry 1 = 0.5 is not a whole number",
    ),
    (
        "inverted analog",
        'channel = "ads1115:0"',
        'channel = "ads1115:0"\nactive_low = true',
        ", [airflow]: active_low = true: 'airflow' is analog; only a digital signal can be inverted",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "line"), [case[1:] for case in WIRING_MISTAKES], ids=[c[0] for c in WIRING_MISTAKES]
)
def test_mistake_in_wiring_gets_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert f"{RPI}{line}" in problems_of(make_cell(tmp_path, (RPI, old, new)))


EQUIPMENT_MISTAKES = [
    (
        "syntax",
        "dwell_ms):",
        "dwell_ms)",
        "equipment.py:5: is not Python: expected ':'",
    ),
    (
        "twice",
        "def cure(cell, cure_s=5)",
        "def spray(cell)",
        "equipment.py:14: phase 'spray' is there twice; rename one",
    ),
    (
        "needs",
        'needs=("door_closed",)',
        'needs=("door_closed")',
        'equipment.py:4: phase \'spray\': needs = "door_closed" is one text; write needs=("door_closed",)',
    ),
    (
        "needs unknown",
        'needs=("door_closed",)',
        'needs=("door",)',
        "equipment.py:5: phase 'spray' needs 'door', which is not an input of cell.toml; add [inputs.door]",
    ),
    (
        "state",
        '@state("Resetting")',
        '@state("Reseting")',
        "equipment.py:20: 'home': 'Reseting' is not an acting state that takes a routine; did you mean 'Resetting'?",
    ),
    (
        "star",
        "def cure(cell, cure_s=5)",
        "def cure(cell, *cure_s)",
        "equipment.py:14: phase 'cure' must name its parameters: no *args, no **kwargs, no /",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "line"), [case[1:] for case in EQUIPMENT_MISTAKES], ids=[c[0] for c in EQUIPMENT_MISTAKES]
)
def test_mistake_in_equipment_gets_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert line in problems_of(make_cell(tmp_path, (EQUIPMENT, old, new)))


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    directory = make_cell(
        tmp_path,
        (CELL, "min = 4,", "min = 14,"),
        (RPI, 'channel = "GPIO5"', 'channel = "GPIO4"'),
        (RECIPE, "coats = { default = 2,", "coats = { default = 9,"),
        (EQUIPMENT, 'needs=("door_closed",)', 'needs=("door",)'),
    )
    assert [line.partition(":")[0].partition(",")[0] for line in problems_of(directory)] == [
        "cell.toml",
        "wiring/rpi.toml",
        "equipment.py",
        "recipe bonnet@3",
    ]


def test_name_in_a_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    directory = make_cell(tmp_path, (CELL, "[inputs.door_closed]", '[inputs."door\\n\\u001b[2J"]'))
    assert problems_of(directory, "sim")[0] == (
        "cell.toml, [inputs.door\\n\\x1b[2J]: 'door\\n\\x1b[2J' is not a name; "
        "use small letters, digits and _, a letter first, at most 40"
    )


def test_missing_wiring_file_names_those_there_are(tmp_path: Path) -> None:
    assert problems_of(make_cell(tmp_path), "pico") == [
        "wiring/pico.toml: is missing, so board 'pico' cannot be wired; there are: rpi"
    ]


def test_missing_cell_file_and_directory(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == [
        "cell.toml: cannot be read: No such file or directory; the file is needed"
    ]
    assert problems_of(tmp_path / "nowhere") == [
        f"{tmp_path / 'nowhere'}: is not a directory; `cellctl new` makes a cell directory"
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            b"[cell\n",
            "cell.toml: is not TOML: Expected ']' at the end of a table declaration (at line 1, column 6)",
        ),
        (b"\xff\xfe", "cell.toml: byte 0 is not UTF-8; save the file as UTF-8"),
        (b"#" * 1_100_000, "cell.toml: has 1100000 bytes, more than 1048576; is it the right file?"),
        (b"cell = 3", "cell.toml: cell = 3 is not a table, as in { name = 1 }"),
        (
            b"[cell]\nname='a'\n[cell]\n",
            "cell.toml: is not TOML: Cannot declare ('cell',) twice (at line 3, column 6)",
        ),
        (b"[cell]\nname='a'\nscan_ms = nan", "cell.toml, [cell]: scan_ms = NaN is not a whole number"),
    ],
    ids=["syntax", "not UTF-8", "too large", "not a table", "table twice", "nan"],
)
def test_file_that_is_no_cell_file_is_refused(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "cell.toml").write_bytes(content)
    assert problems_of(tmp_path, "sim") == [line]
