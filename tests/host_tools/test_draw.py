"""What `draw` draws: every arrow of the state machine, and the ways an item can take through a recipe."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cell_controller.core.packml import CLEARED, RUNNING, STATES, declaration
from host_tools.draw import DrawError, draw, draw_svg
from tests.host_tools.make_cell import BONNET, make_cell

RECIPE = "recipes/bonnet.toml"


def arrows_of(mermaid: str) -> set[tuple[str, str, str]]:
    """(source, dest, trigger) of a state diagram, the arrows of a superstate given to each of its states."""
    members = {
        name: [state for number, state in enumerate(STATES) if mask >> number & 1]
        for name, mask in (("Running", RUNNING), ("Cleared", CLEARED))
    }
    found = set()
    for line in mermaid.splitlines():
        source, arrow, rest = line.strip().partition(" --> ")
        if not arrow or source == "[*]":
            continue
        dest, _, triggers = rest.partition(": ")
        for state in members.get(source, [source]):
            found |= {(state, dest, trigger) for trigger in triggers.split(", ")}
    return found


@pytest.mark.parametrize("profile", [2022, 2015])
def test_state_drawing_has_exactly_the_arrows_of_the_declaration(tmp_path: Path, profile: int) -> None:
    directory = make_cell(tmp_path, ("cell.toml", "[cell]\n", f"[cell]\nprofile = {profile}\n"))
    transitions = declaration(profile)["transitions"]
    assert isinstance(transitions, list)
    expected = {(arc["source"], arc["dest"], arc["trigger"]) for arc in transitions}
    assert arrows_of(draw(directory)["packml"]) == expected


def test_recipe_drawing_shows_what_skips_and_what_adds_a_step(tmp_path: Path) -> None:
    assert draw(make_cell(tmp_path))["bonnet"].splitlines() == [
        "flowchart TD",
        '    begin(["bonnet@3"])',
        '    step_warm["warm (cure)"]',
        '    step_spray["spray"]',
        '    step_cure["cure"]',
        '    choice_cure{"?"}',
        '    step_bake["bake (cure)"]',
        '    choice_bake{"?"}',
        '    done(["item made"])',
        "    begin --> step_warm",
        "    step_warm --> step_spray",
        "    step_spray --> choice_cure",
        '    choice_cure -->|"else"| step_cure',
        "    step_cure --> choice_bake",
        '    choice_cure -->|"colour primer"| choice_bake',
        '    choice_bake -->|"finish gloss"| step_bake',
        "    step_bake --> done",
        '    choice_bake -->|"else"| done',
        "    classDef optional stroke-dasharray: 4 3",
        "    class step_bake optional",
    ]


def test_steps_of_a_group_stand_side_by_side(tmp_path: Path) -> None:
    text = BONNET.replace('name = "warm"', 'name = "warm"\ntogether = "oven"').replace(
        'phase = "spray"', 'phase = "spray"\ntogether = "oven"'
    )
    lines = draw(make_cell(tmp_path, (RECIPE, BONNET, text)))["bonnet"].splitlines()
    for line in (
        '    fork_1[["together: oven"]]',
        "    begin --> fork_1",
        "    fork_1 --> step_warm",
        "    fork_1 --> step_spray",
        "    step_warm --> join_1",
        "    step_spray --> join_1",
        "    join_1 --> choice_cure",
    ):
        assert line in lines


def test_svg_without_graphviz_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DrawError) as caught:
        draw_svg(make_cell(tmp_path), tmp_path / "out")
    assert str(caught.value) == (
        "Graphviz's dot is not on this machine; install the package graphviz (apt install graphviz), "
        "or paste the Mermaid text of `cellctl draw` into a Markdown file"
    )


def test_svg_hands_every_drawing_to_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[list[str], str]] = []

    def run(command: list[str], input: str, **_: object) -> "subprocess.CompletedProcess[str]":
        given.append((command, input))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/dot")
    monkeypatch.setattr(subprocess, "run", run)
    out = tmp_path / "out"
    assert draw_svg(make_cell(tmp_path), out) == [out / "packml.svg", out / "bonnet.svg"]
    assert given[1][0] == ["/usr/bin/dot", "-Tsvg", "-o", str(out / "bonnet.svg")]
    assert '    "choice_cure" -> "choice_bake" [label="colour primer"];' in given[1][1].splitlines()


def test_failing_graphviz_is_told_with_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(command, 1, "", "no such font\n")

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/dot")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DrawError, match=r"^dot failed on packml: no such font$"):
        draw_svg(make_cell(tmp_path), tmp_path / "out")
