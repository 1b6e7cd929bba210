"""What the command groups share: the parser, the options that pick a cell, and asking that cell."""

import argparse
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from cell_controller.errors import NoSuchCellError
from host_tools.output import EXIT_CODES, NOT_REACHABLE, TIMED_OUT, USAGE, Output, ToolError

LOOK_EVERY_S = 0.2

Reply = dict[str, Any]
Handler = Callable[[argparse.Namespace, Output], int]


class Client(Protocol):
    """What a command needs of a connection to one cell."""

    def request(self, verb: str, **fields: Any) -> Reply: ...

    def watch(self, callback: Callable[[str, Any], object], stop: threading.Event | None = None) -> None: ...

    def close(self) -> None: ...


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and raise ToolError, and whose options may stand anywhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)
        self.intermixed = False
        self._inside = False

    def parse_known_args(  # type: ignore[override]  # the overloads of typeshed cannot be repeated in one signature
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Leaf commands take `bonnet --count 2 colour=burgundy` in any order, as people type it."""
        if not self.intermixed or self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False

    def format_help(self) -> str:
        """First what it is for, then how it is typed."""
        formatter = self._get_formatter()
        formatter.add_text(self.description)
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        for group in self._action_groups:
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        raise ToolError(f"{message}; see {self.prog} --help", USAGE)


def add_command(
    group: "argparse._SubParsersAction[Parser]",
    name: str,
    sentence: str,
    handler: Handler,
    *,
    examples: Sequence[str] = (),
    target: bool = True,
    more: str = "",
) -> Parser:
    """A command under `group`: its help starts with `sentence` and ends with examples and the exit codes.

    With `target` it takes --cell, --broker, --base and --timeout. `more` is a paragraph under the sentence.
    """
    description = sentence if not more else f"{sentence}\n\n{textwrap.dedent(more).strip()}"
    lines = "\n".join(f"  {example}" for example in examples)
    shown = f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}\n\n" if examples else ""
    parser = group.add_parser(name, help=sentence, description=description, epilog=shown + EXIT_CODES)
    parser.intermixed = True
    parser.set_defaults(handler=handler)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout instead of text")
    if target:
        add_target(parser)
    return parser


def add_target(parser: argparse.ArgumentParser) -> None:
    """The options that say which cell is meant."""
    which = parser.add_argument_group("which cell")
    which.add_argument("--cell", metavar="NAME", help="a cell on this machine (default: the one that runs)")
    which.add_argument("--broker", metavar="HOST:PORT", help="ask over MQTT instead; needs --base")
    which.add_argument(
        "--base", metavar="PATH", help="topic of the cell, such as coachworks/leeds/body/paint/paint-1"
    )
    which.add_argument(
        "--timeout", metavar="S", type=seconds, default=5.0, help="seconds to wait for an answer (5)"
    )


def seconds(text: str) -> float:
    """Seconds of a --timeout or --wait, 0 to an hour."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} s is outside 0..3600 s")
    return value


def serial_number(text: str) -> int:
    """The serial number of an item as it is printed, such as 0007."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a serial number such as 0007")
    return int(text)


def as_number(text: str) -> int | float | str:
    """A typed number as JSON has it; what is none stays text, for the cell to refuse in its own words."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def host_and_port(text: str) -> tuple[str, int]:
    """`HOST:PORT` or `HOST` (port 1883); raises ToolError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "1883"
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ToolError(f"--broker {text} is not HOST:PORT; for example --broker 127.0.0.1:1883")
    return host, int(port)


def open_client(args: argparse.Namespace) -> Client:
    """The connection to the cell that `args` mean; ToolError 2 for a wrong choice, 3 if it is not there."""
    from host_tools.client import CellClient

    if args.broker and args.cell:
        raise ToolError("--cell is a cell on this machine, --broker one over MQTT; give one of them")
    if bool(args.broker) != bool(args.base):
        missing, given = ("--base", "--broker") if args.broker else ("--broker", "--base")
        raise ToolError(f"{given} needs {missing} as well: --broker HOST:PORT --base PATH")
    with reachable():
        if args.broker:
            host, port = host_and_port(args.broker)
            client: Client = CellClient.mqtt(host, port, args.base, args.timeout)
        else:
            client = CellClient.local(args.cell, args.timeout)
    return client


def running_cells() -> list[str]:
    """Names of the cells that run on this machine."""
    from host_tools.client import running_cells as names

    return sorted(names())


@contextmanager
def reachable() -> Iterator[None]:
    """Turns what a connection raises into the exit codes 3 and 4."""
    try:
        yield
    except ToolError:
        raise
    except NoSuchCellError as error:
        raise ToolError(str(error), NOT_REACHABLE) from error
    except TimeoutError as error:
        raise ToolError(str(error) or "the cell did not answer in time", TIMED_OUT) from error
    except OSError as error:
        raise ToolError(str(error), NOT_REACHABLE) from error


def ask(args: argparse.Namespace, verb: str, **fields: Any) -> Reply:
    """One request to the cell that `args` mean, and its reply, accepted or refused."""
    client = open_client(args)
    try:
        with reachable():
            return client.request(verb, **fields)
    finally:
        client.close()


def query(args: argparse.Namespace, what: str, **fields: Any) -> Reply:
    """The reply to a query."""
    return ask(args, "query", what=what, **fields)


def sleep(pause_s: float) -> None:
    """The pause between two looks at a cell; one place, so that tests need not wait."""
    time.sleep(pause_s)


def settle(client: Client, within_s: float, moving: Callable[[Reply], bool]) -> Reply:
    """Look at the cell until it is no longer `moving` or `within_s` are over; returns the last state view."""
    looks = max(1, round(within_s / LOOK_EVERY_S))
    view: Reply = {}
    for look in range(looks):
        view = dict(client.request("query", what="state").get("data") or {})
        if not moving(view):
            break
        if look < looks - 1:
            sleep(LOOK_EVERY_S)
    return view


def is_acting(view: Reply) -> bool:
    """True while the cell is on its way from one state to another (Holding, Resetting, …)."""
    return str(view.get("state", "")).endswith("ing")


def is_working(view: Reply) -> bool:
    """True while the cell makes something or is on its way to another state."""
    return is_acting(view) or view.get("state") == "Execute"
