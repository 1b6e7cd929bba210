"""`cellctl trace record`, `show`, `replay`: the bytes between a program and a device, at a real port or at the desk."""

import argparse
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host_tools.commands_common import Parser, add_command
from host_tools.output import DONE, INTERRUPTED, REFUSED, USAGE, Output, ToolError


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The commands about line traces."""
    sentence = "Record, show and play again what goes over the line to a device."
    parser = group.add_parser("trace", help=sentence, description=sentence)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_record(commands)
    _add_show(commands)
    _add_replay(commands)


def _add_record(group: "argparse._SubParsersAction[Parser]") -> None:
    record = add_command(
        group,
        "record",
        "Stand between a device and the program that talks to it, and record every byte until Ctrl-C.",
        record_line,
        target=False,
        examples=[
            "cellctl trace record /dev/ttyUSB0 --baud 9600 --to scale.line",
            "cellctl trace record tcp://192.168.1.20:502 --to io1.line --at 5020",
        ],
        more="""
        It prints the address to give to the program in place of the device's. A device that is unplugged is waited
        for. cellctl run --line-trace FOLDER records the lines of a whole cell without this.
        """,
    )
    record.add_argument("address", metavar="ADDRESS", help="a serial port, or tcp://HOST:PORT")
    record.add_argument("--to", metavar="FILE", type=Path, required=True, help="a file that is not there yet")
    _add_at(record)
    line = record.add_argument_group("how a serial port is set")
    line.add_argument("--baud", metavar="N", type=_baud, help="bits a second (9600)")
    line.add_argument("--bits", type=int, choices=(7, 8), help="data bits (8)")
    line.add_argument("--parity", choices=("none", "even", "odd"), help="parity (none)")
    line.add_argument("--stop-bits", type=int, choices=(1, 2), help="stop bits (1)")


def _add_show(group: "argparse._SubParsersAction[Parser]") -> None:
    show = add_command(
        group,
        "show",
        "Show a line trace: times, direction, bytes as hex and as text.",
        show_line,
        target=False,
        examples=["cellctl trace show scale.line", "cellctl trace show scale.line --since 3600"],
        more="> goes to the device, < comes from it, x came from it and was thrown away unread.",
    )
    _add_file(show)
    show.add_argument(
        "--since", metavar="S", type=_since, default=0.0, help="only from this second of the recording on (0)"
    )


def _add_replay(group: "argparse._SubParsersAction[Parser]") -> None:
    replay = add_command(
        group,
        "replay",
        "Play the device's side of a line trace to a program, with the recorded answers and times.",
        replay_line,
        target=False,
        examples=[
            "cellctl trace replay scale.line",
            "cellctl trace replay scale.line --at /tmp/scale --speed 10 --strict",
        ],
        more="""
        It prints the address to give to the program, and each thing that the program does otherwise than recorded.
        It ends with the recording, or with Ctrl-C.
        """,
    )
    _add_file(replay)
    _add_at(replay)
    replay.add_argument(
        "--speed", metavar="X", type=_speed, default=1.0, help="X times as fast as recorded (1)"
    )
    replay.add_argument(
        "--strict", action="store_true", help="exit code 1 where the program did otherwise than recorded"
    )


def _add_file(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a line trace")


def _add_at(parser: Parser) -> None:
    parser.add_argument(
        "--at", metavar="WHERE", help="offer it at this path, or TCP port, instead of a new one"
    )


def _baud(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 50 <= int(text) <= 4_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bits a second in 50..4000000")
    return int(text)


def _since(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0 on")
    return value


def _speed(text: str) -> float:
    value = _number(text)
    if not 0.1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is outside 0.1..1000")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    """Set by Ctrl-C, and by SIGTERM, which is what ends a program in the background."""
    told = threading.Event()
    former = {
        number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield told
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def record_line(args: argparse.Namespace, out: Output) -> int:
    """Record until Ctrl-C, which is its end."""
    from board.transport import SerialSettings
    from host_tools.wire_record import WireRecorder

    given = {key: getattr(args, key) for key in ("baud", "bits", "parity", "stop_bits")}
    given = {key: value for key, value in given.items() if value is not None}
    if given and args.address.startswith("tcp://"):
        raise ToolError(
            f"--{next(iter(given)).replace('_', '-')} is for a serial port, not for {args.address}"
        )
    with (
        _until_told() as told_to_end,
        WireRecorder(args.address, SerialSettings(**given), args.to, args.at, out.line) as recorder,
    ):
        out.line(f"recording {args.address} to {args.to}; Ctrl-C ends it")
        out.line(f"address for the program: {recorder.address}")
        recorder.run(told_to_end)
    text = f"{recorder.sent} bytes to the device, {recorder.heard} from it, {recorder.losses} losses"
    told = {"sent": recorder.sent, "heard": recorder.heard, "losses": recorder.losses, "file": str(args.to)}
    if recorder.error:
        raise ToolError(f"{recorder.error}; recorded until then: {text}")
    out.result({"ok": True, "text": text, **told})
    out.line(text)
    return DONE


def show_line(args: argparse.Namespace, out: Output) -> int:
    """Print a line trace; exit code 2 where it is damaged, after what can be read of it."""
    from board.wire_trace import LineTrace
    from host_tools.wire_show import as_dict, lines

    trace = LineTrace(args.file)
    since_us = round(args.since * 1e6)
    entries: list[dict[str, Any]] = []
    if args.json:
        entries = [as_dict(entry) for entry in trace if entry.at_us >= since_us]
    else:
        for line in lines(trace, since_us):
            out.line(line)
    out.result({"ok": not trace.is_damaged, "about": trace.about, "entries": entries, "notes": trace.notes})
    for note in trace.notes:
        out.note(note)
    return USAGE if trace.is_damaged else DONE


def replay_line(args: argparse.Namespace, out: Output) -> int:
    """Play a line trace to its end; with --strict exit code 1 where the program did otherwise."""
    from host_tools.wire_replay import WirePlayer
    from host_tools.wire_show import title

    with _until_told() as told_to_end, WirePlayer(args.file, args.speed, args.at, out.line) as player:
        for note in player.notes:
            out.note(note)
        out.line(title(player.about))
        out.line(f"address for the program: {player.address}")
        player.run(told_to_end)
    tape = player.tape
    code = DONE if tape.over else INTERRUPTED
    if args.strict and tape.different:
        code = REFUSED
    text = f"{tape.answered} of {tape.requests} requests as recorded, {tape.different} differences"
    out.result(
        {
            "ok": code == DONE,
            "text": text,
            "requests": tape.requests,
            "answered": tape.answered,
            "different": tape.different,
            "differences": tape.differences,
            "over": tape.over,
        }
    )
    out.line(text)
    return code
