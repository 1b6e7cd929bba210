"""The documentation is right: its code runs, its commands parse, its files compile, and nothing public is missing."""

import argparse
import ast
import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import cell_controller
from hil.bench import bench
from host_tools import models
from host_tools.cellctl import build_parser
from host_tools.check import check
from host_tools.output import ToolError

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\S*)[ ]?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
FOLDERS = ("cell_controller", "board", "hil", "host_tools", "examples", "tests", "benchmarks", "docs")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`")


def name_of(page: Path) -> str:
    """A page as messages call it."""
    return page.relative_to(ROOT).as_posix()


def blocks(language: str) -> list[tuple[Path, str, str]]:
    """(page, what stands behind the language, text) of every block in a language."""
    return [
        (page, info, text)
        for page in PAGES
        for found, info, text in BLOCK.findall(page.read_text("utf-8"))
        if found == language
    ]


def ids(entries: list[tuple[Path, str, str]]) -> list[str]:
    """Names for parametrised blocks."""
    return [f"{name_of(page)}-{number}" for number, (page, _, _) in enumerate(entries)]


PYTHON = blocks("python")
CONSOLE = blocks("pycon")


@pytest.mark.parametrize(("page", "info", "text"), PYTHON, ids=ids(PYTHON))
def test_python_of_the_pages_runs(
    page: Path, info: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a fresh namespace, with the project's directory as the current one."""
    monkeypatch.chdir(ROOT)
    exec(compile(text, name_of(page), "exec"), {"__name__": "page"})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("page", "info", "text"), CONSOLE, ids=ids(CONSOLE))
def test_what_the_prompt_shows_is_what_it_shows(
    page: Path, info: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    example = doctest.DocTestParser().get_doctest(text, {}, name_of(page), str(page), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(said)


def test_fragments_are_python() -> None:
    for page, _, text in blocks("py"):
        ast.parse(text, name_of(page))


def test_toml_of_the_pages_parses() -> None:
    entries = blocks("toml")
    assert entries
    for page, _, text in entries:
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            pytest.fail(f"{name_of(page)}: {error} in\n{text}")


def test_the_cell_that_is_written_down_whole_works(tmp_path: Path) -> None:
    """The blocks of docs/cell.md with file=NAME are a cell directory without a finding."""
    for page, info, text in [*blocks("toml"), *blocks("python")]:
        if name_of(page) == "docs/cell.md" and info.startswith("file="):
            file = tmp_path / info.removeprefix("file=")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    assert [str(finding) for finding in check(tmp_path)] == []
    record = bench(tmp_path).order("badge", size="large").run()
    assert record["result"] == "good"
    assert record["steps"][0]["set"] == [["dwell_ms", 1200]]


# --- commands ---


def shell_commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every line of a shell block that runs a program, also behind sudo, env and variables."""
    before = rf"\$? *(sudo (-u \w+ )?)?(env )?([A-Z_]+=\S+ )*([\w./]+/)?{program}( |$)"
    for page, _, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            found = re.match(before, line)
            if found:
                yield name_of(page), shlex.split(line[found.end() :], comments=True)


def problem_with(words: list[str]) -> str:
    """What the parser says against a command line, "" if nothing."""
    try:
        build_parser().parse_args(words)
    except SystemExit as error:
        return "" if error.code in (0, None) else f"exit {error.code}"
    except ToolError as error:
        return str(error)
    return ""


def test_cellctl_commands_of_the_pages_parse() -> None:
    found = list(shell_commands("cellctl"))
    assert len(found) > 20
    assert [(page, words, said) for page, words in found if (said := problem_with(words))] == []


def test_a_wrong_command_would_be_found() -> None:
    assert problem_with(["order", "submitt", "bonnet"]) != ""
    assert problem_with(["order", "submit", "bonnet", "--nonsense"]) != ""


def test_make_targets_of_the_pages_exist() -> None:
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wanted = {words[0] for _, words in shell_commands("make") if words}
    for page in PAGES:
        wanted |= set(re.findall(r"`make ([a-z-]+)", page.read_text("utf-8")))
    assert wanted - rules == set()


def leaves(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in groups:
        for name, below in action.choices.items():
            yield from leaves(below, (*path, name))
    if not groups:
        yield path


def test_every_cellctl_command_has_a_line() -> None:
    page = (ROOT / "docs" / "cellctl.md").read_text("utf-8")
    missing = []
    for path in leaves(build_parser()):
        written = ["cellctl " + " ".join(path), f"`{' '.join(path)}"]
        if path[0] == "command":
            written.append(f"`{path[-1]}")  # they stand in one list
        if not any(text in page for text in written):
            missing.append(" ".join(path))
    assert missing == []


# --- links and names ---


def anchor(heading: str) -> str:
    """The fragment by which a heading is linked."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for link in LINK.findall(page.read_text("utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            where, _, fragment = link.partition("#")
            target = (page.parent / where).resolve() if where else page
            if not target.exists():
                broken.append(f"{name_of(page)}: {link}")
            elif fragment:
                headings = [anchor(text) for text in HEADING.findall(target.read_text("utf-8"))]
                if fragment not in headings:
                    broken.append(f"{name_of(page)}: {link} has no such heading")
    assert broken == []


def test_files_that_are_named_exist() -> None:
    missing = [
        f"{name_of(page)}: {path}"
        for page in PAGES
        for path in PATH.findall(page.read_text("utf-8"))
        if not (ROOT / path).exists()
    ]
    assert missing == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    decisions = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    pages = [page for page in (ROOT / "docs").glob("*.md") if page.name != "index.md"]
    assert [page.name for page in pages if f"({page.name})" not in index] == []
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [page.name for page in records if f"({page.name})" not in decisions] == []
    assert [int(page.name[:4]) for page in records] == list(range(1, len(records) + 1))


def test_every_public_name_has_a_line() -> None:
    page = (ROOT / "docs" / "phases.md").read_text("utf-8")
    shown = {*re.findall(r"`yield (\w+)\(", page), *re.findall(r"^@(\w+)", page, re.MULTILINE)}
    assert set(cell_controller.__all__) - shown == set()


def test_every_key_of_the_files_has_a_line() -> None:
    """Keys of host_tools.models, each in backticks on the page about its file."""
    text = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("cell.md", "recipes.md"))
    tables = [
        value for value in vars(models).values() if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    keys = {(table.__name__, key) for table in tables for key in table.model_fields}
    assert len(keys) > 60
    sections = {"cell", "inputs", "outputs", "interlocks", "modes", "states", "recipe", "parameters"}
    sections |= {"options", "exclude", "step"}
    missing = [
        f"{table}.{key}"
        for table, key in sorted(keys)
        if f"`{key}`" not in text and not (key in sections and re.search(rf"\[+{key}[\].]", text))
    ]
    assert missing == []


# --- the first minute ---


def test_the_hello_cell_prints_the_record_of_an_item() -> None:
    file = ROOT / "examples" / "hello.py"
    done = subprocess.run(
        [sys.executable, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    record = ast.literal_eval(done.stdout)
    assert (record["product"], record["result"]) == ("hello", "good")
    assert len(file.read_text("utf-8").splitlines()) < 20


def test_the_hello_cell_of_the_readme_is_the_example() -> None:
    code = (ROOT / "examples" / "hello.py").read_text("utf-8").split('"""\n', 1)[1].strip()
    assert code in (ROOT / "README.md").read_text("utf-8")


def test_the_picture_is_one_that_the_screen_draws(tmp_path: Path) -> None:
    drawn = tmp_path / "demo.svg"
    command = [sys.executable, "-m", "docs.make_demo_picture", str(drawn)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    kept = (ROOT / "docs" / "demo.svg").read_text("utf-8")
    assert len(kept) < 100_000
    assert os.path.getsize(drawn) < 100_000
    for text in (kept, drawn.read_text("utf-8")):
        assert "EXECUTE" in text
        assert "coat" in text
