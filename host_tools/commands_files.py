"""`cellctl new`, `check`, `draw`, `run`, `demo`, `replay`, `completion`: what needs no running cell."""

import argparse
from pathlib import Path

from host_tools.commands_common import Parser, add_command, host_and_port
from host_tools.output import DONE, REFUSED, USAGE, Output, ToolError


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The commands that need no running cell."""
    _add_engineering(group)
    _add_run(group)
    replay = add_command(
        group,
        "replay",
        "Run a recorded trace again and compare every output and event to the bit.",
        replay_trace,
        target=False,
        examples=["cellctl replay paint-1.trace"],
    )
    replay.add_argument("file", metavar="FILE", type=Path, help="a trace that cellctl run --trace recorded")
    replay.add_argument(
        "--cell-dir",
        metavar="DIR",
        type=Path,
        help="the cell it is of (default: the one around FILE, or here)",
    )
    completion = add_command(
        group,
        "completion",
        "Print what makes the Tab key complete cellctl commands in your shell.",
        print_completion,
        target=False,
        examples=['eval "$(cellctl completion bash)"', "cellctl completion zsh > ~/.zfunc/_cellctl"],
    )
    completion.add_argument("shell", choices=("bash", "zsh"), help="your shell")


def _add_engineering(group: "argparse._SubParsersAction[Parser]") -> None:
    new = add_command(
        group,
        "new",
        "Make a directory with a small cell that works, to change into your own.",
        new_cell,
        target=False,
        examples=["cellctl new mycell", "cellctl new cells/paint --name paint-2"],
    )
    new.add_argument(
        "directory", metavar="DIR", type=Path, help="a directory that does not exist yet or is empty"
    )
    new.add_argument("--name", metavar="NAME", help="name of the cell (default: the directory's)")
    check = add_command(
        group,
        "check",
        "Check a cell directory and say everything that is wrong with it at once.",
        check_cell,
        target=False,
        examples=["cellctl check mycell"],
    )
    check.add_argument("directory", metavar="DIR", type=Path, help="directory of the cell")
    draw = add_command(
        group,
        "draw",
        "Draw the state machine and the recipes of a cell as Mermaid text.",
        draw_cell,
        target=False,
        examples=["cellctl draw mycell", "cellctl draw mycell --svg drawings"],
    )
    draw.add_argument("directory", metavar="DIR", type=Path, help="directory of the cell")
    draw.add_argument(
        "--svg", metavar="OUT", type=Path, help="write SVG files to this directory (needs Graphviz)"
    )


def _add_run(group: "argparse._SubParsersAction[Parser]") -> None:
    run = add_command(
        group,
        "run",
        "Run the controller of a cell until Ctrl-C.",
        run_cell,
        target=False,
        examples=[
            "cellctl run mycell --board sim",
            "cellctl run mycell --board sim --broker 192.168.1.5:1883",
        ],
        more="""
        Without --broker it starts an MQTT broker of its own on this machine. On a simulated board it clears and
        resets by itself, so that an order is enough to see something made.
        """,
    )
    run.add_argument("directory", metavar="DIR", type=Path, help="directory of the cell")
    run.add_argument("--board", metavar="NAME", default="sim", help="a file of wiring/ (sim)")
    run.add_argument("--broker", metavar="HOST:PORT", help="the plant's MQTT broker")
    run.add_argument(
        "--speed", metavar="X", type=_speed, default=1.0, help="simulated time: X times as fast (1)"
    )
    run.add_argument(
        "--journal", metavar="FILE", type=Path, help="what must not be lost (default: DIR/.run/journal)"
    )
    run.add_argument("--trace", metavar="FILE", type=Path, help="record every scan, for cellctl replay")
    run.add_argument(
        "--no-auto", action="store_true", help="on a simulated board too, leave clear and reset to a person"
    )
    run.add_argument(
        "--line-trace",
        metavar="FOLDER",
        type=Path,
        help="record the bytes of every device's line, for cellctl trace",
    )
    run.add_argument(
        "--line-faults", action="store_true", help="let cellctl fault disturb the lines of real devices"
    )
    demo = add_command(
        group,
        "demo",
        "Show a simulated paint cell making a dozen customised orders.",
        run_demo,
        target=False,
        examples=["cellctl demo", "cellctl demo --speed 1", "cellctl demo --serve"],
    )
    demo.add_argument(
        "--speed", metavar="X", type=_speed, default=7.0, help="1 is real time (7: about a minute)"
    )
    demo.add_argument("--serve", action="store_true", help="stay up after the orders, until Ctrl-C")
    demo.add_argument("--plain", action="store_true", help="one line a change instead of a live screen")


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0.1 <= speed <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is outside 0.1..1000")
    return speed


def _need_directory(path: Path) -> Path:
    if not path.is_dir():
        raise ToolError(f"there is no directory {path}; cellctl new {path} makes one")
    return path


def new_cell(args: argparse.Namespace, out: Output) -> int:
    """Make the files of a new cell and say what each is for."""
    from host_tools.new import new

    directory: Path = args.directory
    made = new(directory, args.name or directory.resolve().name)
    files = [{"path": str(path), "purpose": purpose} for path, purpose in made]
    out.result({"ok": True, "directory": str(directory), "files": files})
    width = max(len(entry["path"]) for entry in files)
    for entry in files:
        out.line(f"{entry['path'].ljust(width)}  {entry['purpose']}")
    out.line(f"next: cellctl run {directory} --board sim")
    return DONE


def check_cell(args: argparse.Namespace, out: Output) -> int:
    """Print every finding about a cell directory; exit code 2 if one of them is an error."""
    from host_tools.check import ERROR, check

    findings = check(_need_directory(args.directory))
    errors = sum(1 for finding in findings if finding.severity == ERROR)
    listed = [{"severity": finding.severity, "text": finding.text} for finding in findings]
    out.result({"ok": not errors, "errors": errors, "findings": listed})
    for finding in findings:
        out.line(str(finding))
    if errors:
        out.note(f"{args.directory}: {errors} to mend")
        return USAGE
    if findings:
        out.line(f"{args.directory}: nothing to mend, {len(findings)} to think about")
        return DONE
    out.line(f"{args.directory}: nothing wrong found")
    return DONE


def draw_cell(args: argparse.Namespace, out: Output) -> int:
    """Print the drawings of a cell."""
    from host_tools.draw import draw, draw_svg

    directory = _need_directory(args.directory)
    if args.svg is not None:
        written = [str(path) for path in draw_svg(directory, args.svg)]
        out.result({"ok": True, "files": written})
        for path in written:
            out.line(path)
        return DONE
    drawings = draw(directory)
    out.result({"ok": True, "drawings": drawings})
    for name, text in drawings.items():
        out.line(f"%% {name}")
        out.line(text)
    return DONE


def run_cell(args: argparse.Namespace, out: Output) -> int:
    """Run the cell; starts a broker of its own when none is given."""
    from cell_controller.cpython.service import run

    if args.broker:
        host_and_port(args.broker)
    code = run(
        _need_directory(args.directory),
        board=args.board,
        broker=args.broker,
        speed=args.speed,
        journal=args.journal,
        on_line=out.line,
        auto=not args.no_auto,
        trace=args.trace,
        line_faults=args.line_faults,
        line_trace=args.line_trace,
    )
    out.result({"ok": code == DONE, "exit_code": code})
    return int(code)


def run_demo(args: argparse.Namespace, out: Output) -> int:
    """Run the demo."""
    from host_tools.demo import demo

    return demo(out, speed=args.speed, serve=args.serve, plain=args.plain)


def replay_trace(args: argparse.Namespace, out: Output) -> int:
    """Replay a trace; exit code 1 where it differs."""
    from cell_controller.cpython.recorder import replay

    result = replay(args.file, args.cell_dir or _cell_around(args.file))
    out.result(result)
    out.line(str(result["text"]))
    return DONE if result["ok"] else REFUSED


def _cell_around(trace: Path) -> Path:
    """The nearest directory above a trace that is a cell, else the current one."""
    for directory in (*trace.resolve().parents, Path.cwd()):
        if (directory / "cell.toml").is_file():
            return directory
    raise ToolError(f"which cell is {trace} of? give its directory with --cell-dir")


def print_completion(args: argparse.Namespace, out: Output) -> int:
    """Print the completion script of a shell."""
    import shtab

    from host_tools.cellctl import build_parser

    script = shtab.complete(build_parser(), shell=args.shell)
    out.result({"ok": True, "shell": args.shell, "script": script})
    out.line(script)
    return DONE
