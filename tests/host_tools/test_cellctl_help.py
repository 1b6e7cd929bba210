"""What cellctl says about itself: help, completion, docs and the demo's suggestions name things that work."""

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_controller.core.recipes import resolve
from host_tools import cellctl
from host_tools.cellfile import compile_cell
from host_tools.commands_common import Parser
from host_tools.demo import base_topic, next_commands, orders
from host_tools.new import example_directory
from host_tools.output import DONE, USAGE


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_commands(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert cellctl.main(["completion", shell]) == DONE
    script = capsys.readouterr().out
    assert "take-control" in script
    assert "submit" in script


def leaves(parser: Parser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Parser]]:
    for action in parser._actions:
        choices = getattr(action, "choices", None)
        if isinstance(choices, dict):
            for name, child in choices.items():
                yield from leaves(child, (*words, name))
            return
    yield words, parser


LEAVES = dict(leaves(cellctl.build_parser()))


@pytest.mark.parametrize("words", sorted(LEAVES), ids=" ".join)
def test_help_starts_with_a_sentence_and_its_examples_parse(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert cellctl.main([*words, "--help"]) == DONE
    text = capsys.readouterr().out
    first = text.splitlines()[0]
    assert re.match(r"^[A-Z].*[.;:]( |$)|^[A-Z].*\.$", first), first
    examples = re.findall(r"^  (cellctl .*)$", text, re.MULTILINE)
    assert examples
    assert "--json" in text
    assert "exit codes:" in text
    for example in examples:
        typed = example.split(" > ")[0].replace('"', "").split()[1:]
        cellctl.build_parser().parse_args(typed)


DOCS = Path(__file__).resolve().parents[2] / "docs" / "cellctl.md"


def test_what_the_docs_type_parses() -> None:
    fences = re.findall(r"```(?:sh)?\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    lines = re.findall(r"^(?:\$ )?cellctl (.*)$", "\n".join(fences), re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        cellctl.build_parser().parse_args(shlex.split(line))


@pytest.mark.parametrize("words", sorted(LEAVES), ids=" ".join)
def test_the_docs_name_every_command(words: tuple[str, ...]) -> None:
    assert re.search(rf"(`|\b){words[-1]}\b", DOCS.read_text("utf-8"))


def test_without_a_command_the_first_steps_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cellctl.main([]) == USAGE
    assert "cellctl demo" in capsys.readouterr().out


def test_a_due_time_is_local() -> None:
    args = cellctl.build_parser().parse_args(["order", "update", "ord-1", "--due", "2030-05-01T16:00"])
    assert time.strftime("%Y-%m-%dT%H:%M", time.localtime(args.due)) == "2030-05-01T16:00"


def test_the_demo_orders_can_be_made_by_the_example_cell() -> None:
    spec = compile_cell(example_directory()).spec
    recipes = {recipe["product"]: recipe for recipe in spec["recipes"]}
    for product, options in orders():
        control, why = resolve(recipes[product], [[name, options[name]] for name in sorted(options)])
        assert control is not None, why
    assert len(orders()) == 12
    assert any(options.get("colour") == "tartan" for _, options in orders())


def test_the_demo_knows_the_topic_of_the_example_cell() -> None:
    spec = compile_cell(example_directory()).spec
    assert base_topic(example_directory()) == (spec["name"], f"{spec['path']}/{spec['name']}")


@pytest.mark.parametrize("serving", [False, True])
def test_the_demo_suggests_three_commands_that_parse(serving: bool) -> None:
    lines = next_commands(serving)[1:]
    assert len(lines) == 3
    for line in lines:
        typed = line.strip().split("   ")[0].split()
        cellctl.build_parser().parse_args(typed[1:])
