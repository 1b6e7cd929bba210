"""`cellctl draw`: the state machine and the recipes of a cell as Mermaid text, and as SVG where Graphviz is."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transitions import Machine

from cell_controller.core.packml import CLEARED, RUNNING, STATES, declaration
from cell_controller.errors import CellError
from host_tools.cellfile import compile_cell
from host_tools.words import ACTING

DOT_TIMEOUT_S = 30


class DrawError(CellError, OSError):
    """Graphviz is not there or failed; take the Mermaid text instead, or install it as the message says."""


@dataclass
class Graph:
    """Boxes and arrows, to be spelled for Mermaid or for Graphviz. `boxes`: id -> (label, shape)."""

    title: str
    boxes: dict[str, tuple[str, str]] = field(default_factory=dict)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)


def draw(directory: str | Path) -> dict[str, str]:
    """Mermaid text by name: "packml" and one drawing for each recipe, by product. Raises CellFileError."""
    graphs = _graphs(directory)
    return {
        name: _state_mermaid(graph) if name == "packml" else _mermaid(graph) for name, graph in graphs.items()
    }


def draw_svg(directory: str | Path, out: str | Path) -> list[Path]:
    """Write NAME.svg for each drawing of `draw` to the directory `out`. Raises CellFileError and DrawError."""
    dot = shutil.which("dot")
    if dot is None:
        raise DrawError(
            "Graphviz's dot is not on this machine; install the package graphviz (apt install graphviz), "
            "or paste the Mermaid text of `cellctl draw` into a Markdown file"
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, graph in _graphs(directory).items():
        path = out / f"{name}.svg"
        try:
            done = subprocess.run(
                [dot, "-Tsvg", "-o", str(path)],
                input=_dot(graph),
                capture_output=True,
                text=True,
                timeout=DOT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DrawError(f"dot did not finish {name} within {DOT_TIMEOUT_S} s") from error
        if done.returncode:
            raise DrawError(f"dot failed on {name}: {done.stderr.strip()[:200]}")
        written.append(path)
    return written


def _graphs(directory: str | Path) -> dict[str, Graph]:
    spec = compile_cell(directory).spec
    graphs = {"packml": state_graph(int(spec["profile"]))}
    for recipe in spec["recipes"]:
        graphs[recipe["product"]] = recipe_graph(recipe)
    return graphs


def state_graph(profile: int) -> Graph:
    """The PackML machine of a profile, as `transitions` understands its declaration. SC is state complete."""
    data: dict[str, Any] = declaration(profile)
    machine = Machine(model=None, auto_transitions=False, **data)
    graph = Graph(f"PackML {profile}")
    for name in STATES[1:]:
        graph.boxes[name] = (name, "acting" if name in ACTING else "wait")
    triggers: dict[tuple[str, str], list[str]] = {}
    for trigger, event in machine.events.items():
        for source, arcs in event.transitions.items():
            for arc in arcs:
                triggers.setdefault((str(source), str(arc.dest)), []).append(trigger)
    for source in STATES[1:]:
        for dest in STATES[1:]:
            if (source, dest) in triggers:
                graph.arrows.append((source, dest, ", ".join(triggers[source, dest])))
    return graph


def recipe_graph(recipe: dict[str, Any]) -> Graph:
    """The steps of a recipe in their order, with what skips and what adds them; groups stand side by side."""
    graph = Graph(f"{recipe['product']}@{recipe['version']}")
    graph.boxes["begin"] = (f"{recipe['product']}@{recipe['version']}", "end")
    conditions = _conditions(recipe)
    ways: list[tuple[str, str]] = [("begin", "")]
    for number, members in enumerate(_rows(recipe["steps"]), 1):
        if len(members) > 1:
            ways = _parallel(graph, members, conditions, ways, number)
        else:
            ways = _single(graph, members[0], conditions, ways)
    graph.boxes["done"] = ("item made", "end")
    graph.arrows += [(source, "done", label) for source, label in ways]
    return graph


def _conditions(recipe: dict[str, Any]) -> dict[str, tuple[list[str], list[str]]]:
    """For each step: the option values that skip it, and those that add it."""
    found: dict[str, tuple[list[str], list[str]]] = {step["name"]: ([], []) for step in recipe["steps"]}
    for option in recipe["options"]:
        for value in option.get("values", []):
            words = f"{option['name']} {value['value']}"
            for name in value["skip"]:
                found[name][0].append(words)
            for name in value["add"]:
                found[name][1].append(words)
    return found


def _rows(steps: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The steps by row: one each, those of one group in the same row."""
    rows: list[list[dict[str, Any]]] = []
    for step in steps:
        if step["together"] and rows and rows[-1][0]["together"] == step["together"]:
            rows[-1].append(step)
        else:
            rows.append([step])
    return rows


def _box(graph: Graph, step: dict[str, Any]) -> str:
    label = step["name"] if step["name"] == step["phase"] else f"{step['name']} ({step['phase']})"
    identifier = f"step_{step['name']}"
    graph.boxes[identifier] = (label, "optional" if step["optional"] else "step")
    return identifier


def _single(
    graph: Graph,
    step: dict[str, Any],
    conditions: dict[str, tuple[list[str], list[str]]],
    ways: list[tuple[str, str]],
) -> list[tuple[str, str]]:
    """Put one step after all `ways` (box, label); returns the ways on, past it too where it may be left out."""
    skips, adds = conditions[step["name"]]
    identifier = _box(graph, step)
    if not skips and not step["optional"]:
        graph.arrows += [(source, identifier, label) for source, label in ways]
        return [(identifier, "")]
    choice = f"choice_{step['name']}"
    graph.boxes[choice] = ("?", "choice")
    graph.arrows += [(source, choice, label) for source, label in ways]
    if step["optional"]:
        graph.arrows.append((choice, identifier, " or ".join(adds)))
        return [(identifier, ""), (choice, "else")]
    graph.arrows.append((choice, identifier, "else"))
    return [(identifier, ""), (choice, " or ".join(skips))]


def _parallel(
    graph: Graph,
    members: list[dict[str, Any]],
    conditions: dict[str, tuple[list[str], list[str]]],
    ways: list[tuple[str, str]],
    number: int,
) -> list[tuple[str, str]]:
    """Put a group after all `ways`: a fork, one branch a step, a join."""
    group = members[0]["together"]
    fork, join = f"fork_{number}", f"join_{number}"
    graph.boxes[fork] = (f"together: {group}", "bar")
    graph.boxes[join] = ("all of them", "bar")
    graph.arrows += [(source, fork, label) for source, label in ways]
    graph.groups[group] = []
    for step in members:
        graph.arrows += [
            (source, join, label) for source, label in _single(graph, step, conditions, [(fork, "")])
        ]
        graph.groups[group].append(f"step_{step['name']}")
    return [(join, "")]


_SHAPES = {
    "step": ("[", "]"),
    "optional": ("[", "]"),
    "choice": ("{", "}"),
    "end": ("([", "])"),
    "bar": ("[[", "]]"),
}


def _mermaid(graph: Graph) -> str:
    lines = ["flowchart TD"]
    for identifier, (label, shape) in graph.boxes.items():
        opening, closing = _SHAPES[shape]
        lines.append(f'    {identifier}{opening}"{_quoted(label)}"{closing}')
    for source, dest, label in graph.arrows:
        lines.append(f'    {source} -->|"{_quoted(label)}"| {dest}' if label else f"    {source} --> {dest}")
    optional = [identifier for identifier, (_, shape) in graph.boxes.items() if shape == "optional"]
    if optional:
        lines += ["    classDef optional stroke-dasharray: 4 3", f"    class {','.join(optional)} optional"]
    return "\n".join(lines) + "\n"


def _state_mermaid(graph: Graph) -> str:
    lines = ["stateDiagram-v2", "    [*] --> Aborted"]
    arrows = list(graph.arrows)
    for superstate, mask in (("Running", RUNNING), ("Cleared", CLEARED)):
        members = [name for number, name in enumerate(STATES) if mask >> number & 1]
        lines += [f"    state {superstate} {{", *(f"        {name}" for name in members), "    }"]
        for dest in STATES:
            common = [arrow for arrow in arrows if arrow[0] in members and arrow[1] == dest]
            if len(common) == len(members) and len({label for _, _, label in common}) == 1:
                # what every state of a superstate does alike is one arrow: fifteen Stops would hide the rest
                arrows = [arrow for arrow in arrows if arrow not in common]
                arrows.append((superstate, dest, common[0][2]))
    lines += [f"    {source} --> {dest}: {label}" for source, dest, label in arrows]
    acting = [identifier for identifier, (_, shape) in graph.boxes.items() if shape == "acting"]
    lines += ["    classDef acting font-style:italic", f"    class {','.join(acting)} acting"]
    return "\n".join(lines) + "\n"


def _quoted(label: str) -> str:
    return label.replace('"', "#quot;")


_DOT_SHAPES = {
    "choice": "diamond",
    "end": "oval",
    "bar": "parallelogram",
    "acting": "box, style=rounded",
    "optional": "box, style=dashed",
}


def _dot(graph: Graph) -> str:
    lines = [f'digraph "{graph.title}" {{', '    node [fontname="sans-serif"]; edge [fontname="sans-serif"];']
    for identifier, (label, shape) in graph.boxes.items():
        lines.append(
            f'    "{identifier}" [label="{_escaped(label)}", shape={_DOT_SHAPES.get(shape, "box")}];'
        )
    for source, dest, label in graph.arrows:
        lines.append(f'    "{source}" -> "{dest}" [label="{_escaped(label)}"];')
    return "\n".join([*lines, "}"]) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"')
