"""`cellctl`: what a technician and an engineer type. Parses the command line and hands over to one command group."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cell_controller.errors import CellError
from host_tools import (
    commands_build,
    commands_command,
    commands_deploy,
    commands_files,
    commands_flash,
    commands_order,
    commands_show,
    commands_trace,
)
from host_tools.commands_common import Parser
from host_tools.output import (
    DONE,
    EXIT_CODES,
    INTERRUPTED,
    NOT_REACHABLE,
    USAGE,
    Output,
    ReaderLeft,
    ToolError,
)

EPILOG = f"""first steps:
  cellctl demo                                see a paint cell make a dozen orders
  cellctl new mycell                          make a small cell of your own
  cellctl run mycell --board sim              run it, here on a simulated board
  cellctl order submit bonnet colour=burgundy
  cellctl watch                               see it work
  cellctl why                                 what is it waiting for?

cellctl COMMAND --help explains a command and gives examples.

{EXIT_CODES}"""


def build_parser() -> Parser:
    """The whole command line, also what shell completion is made from."""
    parser = Parser(
        prog="cellctl",
        description="Make, run, watch and command the controller of a manufacturing cell.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"cellctl {_version()}")
    group = parser.add_subparsers(metavar="COMMAND", required=True)
    commands_files.add(group)
    commands_order.add(group)
    commands_command.add(group)
    commands_show.add(group)
    commands_build.add(group)
    commands_flash.add(group)
    commands_deploy.add(group)
    commands_trace.add(group)
    return parser


def _version() -> str:
    try:
        return version("cell-controller")
    except PackageNotFoundError:
        return "from a source tree"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Only a defect of this package ends in a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    out = Output(as_json="--json" in words)
    parser = build_parser()
    if not words:
        parser.print_help()
        return USAGE
    try:
        args = parser.parse_args(words)
    except ToolError as error:
        return out.failure(error)
    except SystemExit as error:  # --help and --version have printed what was asked for
        return error.code if isinstance(error.code, int) else DONE
    return run_command(args, out)


def run_command(args: argparse.Namespace, out: Output) -> int:
    """Run the handler of parsed arguments; expected errors become one line and an exit code."""
    try:
        code: int = args.handler(args, out)
    except ToolError as error:
        return out.failure(error)
    except ConnectionError as error:
        return out.failure(ToolError(str(error) or "not reachable", NOT_REACHABLE))
    except CellError as error:
        return out.failure(ToolError(str(error), USAGE))
    except OSError as error:
        return out.failure(ToolError(_file_error(error), USAGE))
    except KeyboardInterrupt:
        return INTERRUPTED
    except ReaderLeft:
        # Python flushes stdout once more when it ends; let that go nowhere instead of failing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _file_error(error: OSError) -> str:
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
