"""A description that cannot work is refused at the desk, with one line that says what to do."""

import re
from pathlib import Path
from typing import Any

import pytest

from host_tools.devices.instrument import shape
from host_tools.toml_file import Problems

GOOD = """
[instrument]
name = "scale"
[requests.weight]
send = "SI\\r\\n"
answer = 'S (?P<state>[SD]) +(?P<weight>-?[0-9.]+) (?P<unit>[a-z]+)'
example = "S S     100.00 g"
[points.weight]
kind = "analog"
from = "weight"
group = "weight"
resolution = 0.01
range = [-100, 6200]
unit = "g"
unit_group = "unit"
[points.stable]
kind = "digital"
from = "weight"
group = "state"
map = { S = 1, D = 0 }
"""


def problems_of(directory: Path, text: str, **table: Any) -> Problems:
    """What the desk says of a device with this description."""
    (directory / "devices").mkdir(exist_ok=True)
    (directory / "devices" / "own.toml").write_text(text, "utf-8")
    problems = Problems()
    table = {"kind": "instrument", "model": "own", "address": "/dev/ttyUSB0", **table}
    found = shape("own", table, "wiring/rpi.toml, [devices.own]", directory, problems)
    assert (found is None) == bool(problems.errors)
    return problems


MODELS = sorted(
    path.stem
    for path in Path("host_tools/device_models").glob("*.toml")
    if "[instrument]" in path.read_text("utf-8")
)


@pytest.mark.parametrize("model", MODELS)
def test_the_descriptions_that_come_with_the_package_are_right(tmp_path: Path, model: str) -> None:
    text = (Path("host_tools/device_models") / f"{model}.toml").read_text("utf-8")
    problems = problems_of(tmp_path, text)
    assert (problems.errors, problems.warnings) == ([], [])


def test_the_description_below_is_right(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, GOOD)
    assert (problems.errors, problems.warnings) == ([], [])


WRONG: list[tuple[str, str, str]] = [
    ('"SI\\r\\n"', "'SI\\r\\n'", "would be sent with its backslash; write it in double quotes"),
    ('"SI\\r\\n"', '"\u20ac\\r\\n"', "cannot be sent: 'latin-1' codec"),
    ("(?P<weight>", "(", "has a group without a name; write (?P<name>...)"),
    ("[0-9.]+) ", "[0-9.]+ ", "is no pattern"),
    ("(?P<state>[SD])", "(?P<state>(?:S+)+)", "repeats a repeat, which may take forever"),
    ("S S     100.00 g", "S S     100.00 9", "does not fit answer = "),
    ('example = "S S     100.00 g"', "", "'example' is missing; add what the device really sends"),
    ("S S     100.00 g", "S S     100.00 lb", "gives no value: weight is in 'lb', not in 'g'"),
    (
        "S S     100.00 g",
        "S S     9999.00 g",
        "gives no value: weight: '9999.00' is outside -100.00..6200.00",
    ),
    (
        'group = "weight"',
        'group = "wieght"',
        'group = "wieght": devices/own.toml, [requests.weight] has no such group',
    ),
    (
        'from = "weight"',
        'from = "wait"',
        "from = \"wait\" is neither a request nor a message; did you mean 'weight'?",
    ),
    ("range = [-100, 6200]", "", "an analog point needs resolution and range; add them"),
    (
        "range = [-100, 6200]",
        "range = [-100, 6200.001]",
        "range: 6200.001 is not a multiple of the resolution",
    ),
    ("range = [-100, 6200]", "range = [6200, -100]", "range: 620000 is not below -10000"),
    ("range = [-100, 6200]", "range = [0, 1e99]", "has more than 536870911 steps"),
    ("resolution = 0.01", "resolution = 0", "resolution = 0 is outside"),
    ('unit = "g"', "", "unit_group without unit; say which unit is right"),
    ("map = { S = 1, D = 0 }", "", "a digital point needs map"),
    ("map = { S = 1, D = 0 }", "map = { S = 2, D = 0 }", "is outside 0..1"),
    (
        "map = { S = 1, D = 0 }",
        "map = { S = 1 }\nkeep_ms = 5",
        "keep_ms is for what the device sends by itself",
    ),
    ("map = { S = 1, D = 0 }", "map = { S = 1 }\nack = 'x'", "ack is for outputs"),
    (
        "map = { S = 1, D = 0 }",
        "map = { S = 1 }\nresolution = 1",
        "resolution means nothing for a digital point",
    ),
    ("[points.stable]", "[points.link]", "is the point that every device has"),
    ("[points.stable]", "[points.Stable-1]", "'Stable-1'"),
    ("[instrument]", '[instrument]\nstart = "x"', 'start means nothing with framing = "line"'),
    ("[instrument]", '[instrument]\nframing = "frame"', "a frame needs 'start'"),
    (
        "[instrument]",
        '[instrument]\nframing = "frame"\nstart = "x"',
        "a frame needs 'end', 'length' or 'length_at'",
    ),
    ("[instrument]", "[instrument]\nlate_ms = 100", "late_ms = 100 is less than a timeout_ms of 200"),
    ("[instrument]", "[instrument]\nstale_ms = 100", "a request is asked every 100 ms; write at least 300"),
    ("[instrument]", "[instrument]\nbad_ms = 200", "stale_ms = 300 is not less than bad_ms = 200"),
    ("[instrument]", '[instrument]\ngreeting = "("', 'greeting = "(" is no pattern'),
    (
        "[instrument]",
        '[identity]\nsend = "I\\r\\n"\nanswer = ".*"\nexample = "A"\n[instrument]',
        "make it narrower",
    ),
    ("[instrument]", '[messages.weight]\npattern = "x"\n[instrument]', "'weight' is a request too"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[entry[2][:40] for entry in WRONG])
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert GOOD.count(old) >= 1
    errors = problems_of(tmp_path, GOOD.replace(old, new, 1)).errors
    assert any(said in error for error in errors), errors
    assert all(re.match(r"devices/own\.toml|wiring/rpi\.toml", error) for error in errors)


OUTPUT = """
[points.out]
kind = "digital"
send = "O{value}\\r\\n"
ack = "OK"
"""
WRONG_OUTPUTS = [
    ("{value}", "", "does not have {value} once"),
    ('ack = "OK"', "map = { ON = 1 }", "map needs a word for 0 and one for 1"),
    ('ack = "OK"', 'read_back = "wait"', "is no request; did you mean 'weight'?"),
    ('ack = "OK"', 'read_back = "weight"\ngroup = "state"', "gives no value: out: 'S' is none of 1, 0"),
    ('ack = "OK"', 'group = "state"', "group is of the request in read_back"),
    ('ack = "OK"', 'refusals = { NO = "no" }', "refusals without ack are never waited for"),
    ('ack = "OK"', 'on_rise = "T"', "on_rise is a digital command: no send"),
    ('ack = "OK"', 'confirms = "out"', "confirms is for inputs"),
    ('"digital"', '"counter"', "an output is digital or analog"),
    (
        'ack = "OK"',
        'ack = "S S +[0-9.]+ g"\nexample = "S S 1.0 g"',
        "it takes the example of devices/own.toml, [requests.weight]",
    ),
    (
        'ack = "OK"',
        'ack = "OK"\n[points.two]\nkind = "digital"\nsend = "P{value}\\r\\n"\nack = "OK"',
        "add [identity]",
    ),
    (
        'ack = "OK"',
        '[points.two]\nkind = "digital"\nconfirms = "on"',
        'confirms = "on" is no output; known: out',
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "said"), WRONG_OUTPUTS, ids=[entry[2][:40] for entry in WRONG_OUTPUTS]
)
def test_what_is_wrong_with_an_output_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert problems_of(tmp_path, GOOD + OUTPUT).errors == []
    errors = problems_of(tmp_path, GOOD + OUTPUT.replace(old, new, 1)).errors
    assert any(said in error for error in errors), errors


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"model": "scale_siks"}, "did you mean 'scale_sics'?"),
        ({"address": "tcp://scale"}, "is not tcp://HOST:PORT"),
        ({"address": "tcp://scale:1", "baud": 9600}, "baud means nothing for address"),
        ({"unit": 1}, "unknown key 'unit'"),
        ({"stale_ms": 50}, "write at least 300"),
        ({"on_death": "device_fallback"}, "its description has no fallback_ms"),
        ({"on_death": "release"}, 'an instrument keeps what it was told last; write "hold_last"'),
    ],
)
def test_what_is_wrong_in_the_wiring_is_said(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    errors = problems_of(tmp_path, GOOD + OUTPUT, **keys).errors
    assert any(said in error and "[devices.own]" in error for error in errors), errors


def test_outputs_without_a_request_and_an_identity_that_is_never_asked(tmp_path: Path) -> None:
    text = '[instrument]\nname = "x"\n[identity]\nsend = "I\\r\\n"\nanswer = "ME"\n' + OUTPUT
    errors = problems_of(tmp_path, text).errors
    assert any("outputs need a request that shows that the device is there" in error for error in errors)
    assert any("it is never asked without a request" in error for error in errors)


def test_a_command_without_an_end_is_asked_about(tmp_path: Path) -> None:
    assert (
        "has no end; most devices wait for one"
        in problems_of(tmp_path, GOOD.replace('"SI\\r\\n"', '"SI"')).warnings[0]
    )


@pytest.mark.parametrize(
    "pattern", ["(?:a+)+", "(?:a*b?)*", "(?P<x>(?:ab+)c){3}", "(?:(?:a{2,}))+", "(?:[a)]+)+"]
)
def test_patterns_that_repeat_a_repeat_are_found(tmp_path: Path, pattern: str) -> None:
    text = GOOD + f'[messages.m]\npattern = "{pattern}"\nexample = "a"\n'
    assert any("repeats a repeat" in error for error in problems_of(tmp_path, text).errors)


@pytest.mark.parametrize("pattern", ["a+b+", "(?:ab){1,8}", r"(?:a\\+){2}", "(?:[*+])+", "(?:a+)b"])
def test_patterns_that_do_not_are_left_alone(tmp_path: Path, pattern: str) -> None:
    text = GOOD + f'[messages.m]\npattern = "{pattern}"\nexample = "a"\n'
    assert not any("repeats a repeat" in error for error in problems_of(tmp_path, text).errors)


def test_a_binary_checksum_that_could_look_like_the_end_is_refused(tmp_path: Path) -> None:
    frame = '[instrument]\nframing = "frame"\nstart = "\\u0002"\nend = "\\u0003"\n[instrument.checksum]\nkind = "xor"\n'
    errors = problems_of(
        tmp_path, GOOD.replace("[instrument]\n", "").replace('name = "scale"', frame + "[x]")
    ).errors
    assert errors
    text = GOOD.replace("[instrument]", frame).replace('name = "scale"\n', "")
    text = text.replace('framing = "frame"', 'framing = "frame"\nname = "scale"')
    assert any(
        "a binary checksum may look like the end" in error for error in problems_of(tmp_path, text).errors
    )
