"""`cellctl build`: one file out of a cell directory, to be put on a controller."""

import argparse
from pathlib import Path

from host_tools.bundle import TARGETS
from host_tools.commands_common import Parser, add_command
from host_tools.output import DONE, Output, ToolError


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The command that builds bundles."""
    build = add_command(
        group,
        "build",
        "Build the one file that puts a cell on a controller: its bundle.",
        build_bundle,
        target=False,
        examples=[
            "cellctl build mycell --target rp2",
            "cellctl build mycell --target rpi --wheels wheels --out paint-1.cell",
            "cellctl build --show paint-1-rp2.cell",
        ],
        more="""
        Checks the cell, compiles it and the controller for the target, and writes a bundle for `cellctl flash`
        (rp2, esp32, unix) or `cellctl deploy` (rpi). The same files always give the same bytes.
        """,
    )
    build.add_argument("directory", metavar="DIR", type=Path, nargs="?", help="directory of the cell")
    build.add_argument(
        "--target", choices=TARGETS, help="what it is for: rp2 is a Pico or Pico W, rpi a Raspberry Pi"
    )
    build.add_argument("--board", metavar="NAME", help="a file of wiring/ (default: the one for the target)")
    build.add_argument(
        "--out", metavar="FILE", type=Path, help="the bundle (default: CELL-TARGET.cell, here)"
    )
    build.add_argument("--show", metavar="BUNDLE", type=Path, help="verify a bundle and print what is in it")
    rpi = build.add_argument_group("for --target rpi")
    rpi.add_argument(
        "--arch",
        choices=("aarch64", "x86_64", "armv7l"),
        help="the machine (aarch64: a 64-bit Raspberry Pi OS)",
    )
    rpi.add_argument(
        "--python", metavar="X.Y", help="its Python (3.11: Raspberry Pi OS bookworm; trixie has 3.13)"
    )
    rpi.add_argument(
        "--wheels",
        metavar="DIR",
        type=Path,
        help="take the dependencies' wheels from here, not from the network",
    )


def build_bundle(args: argparse.Namespace, out: Output) -> int:
    """Build a bundle, or with --show print one."""
    if args.show is not None:
        return show_bundle(args, out)
    if args.directory is None or args.target is None:
        raise ToolError("which cell, and for what? cellctl build DIR --target rp2 (or esp32, unix, rpi)")
    from host_tools.build import RpiOptions, build

    given = {
        name: getattr(args, name) for name in ("arch", "python", "wheels") if getattr(args, name) is not None
    }
    if given and args.target != "rpi":
        raise ToolError(f"--{next(iter(given))} is for --target rpi; leave it out")
    built = build(
        args.directory, args.target, board=args.board, out=args.out, rpi=RpiOptions(**given), say=out.line
    )
    for text in built.warnings:
        out.note(f"warning: {text}")
    out.result(
        {
            "ok": True,
            "bundle": str(built.bundle.path),
            "sizes": built.sizes,
            "warnings": built.warnings,
            "manifest": built.bundle.manifest,
        }
    )
    return DONE


def show_bundle(args: argparse.Namespace, out: Output) -> int:
    """Print a bundle's manifest, after everything in it was verified."""
    from host_tools.build import manifest_lines
    from host_tools.bundle import read_bundle

    given = ("directory", "target", "board", "out", "arch", "python", "wheels")
    if any(getattr(args, name) is not None for name in given):
        raise ToolError("--show prints a bundle that is there; give it alone")
    bundle = read_bundle(args.show)
    out.result({"ok": True, "bundle": str(bundle.path), "manifest": bundle.manifest})
    for line in manifest_lines(bundle):
        out.line(line)
    return DONE
