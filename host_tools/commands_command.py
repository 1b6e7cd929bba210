"""`cellctl command`, `answer`, `confirm`, `fault`: what a person tells a cell to do."""

import argparse
from typing import Any

from host_tools.commands_common import (
    Client,
    Parser,
    Reply,
    add_command,
    as_number,
    ask,
    is_acting,
    is_working,
    open_client,
    reachable,
    seconds,
    serial_number,
    settle,
)
from host_tools.output import DONE, Output, ToolError, outputs_line, state_line

COMMANDS: dict[str, tuple[str, str]] = {
    "start": ("start", "Start the next order; the cell must be Idle."),
    "stop": ("stop", "Stop the cell. The item in work is interrupted, its order stays."),
    "hold": ("hold", "Hold the cell where it is, outputs as for a hold; unhold goes on."),
    "unhold": ("unhold", "Go on after a hold."),
    "suspend": ("suspend", "Suspend the cell because something outside is missing; unsuspend goes on."),
    "unsuspend": ("unsuspend", "Go on after a suspension."),
    "abort": (
        "abort",
        "Abort at once: outputs to their abort values. Not a replacement for the emergency stop.",
    ),
    "clear": ("clear", "Leave Aborted once its cause is gone; ends in Stopped."),
    "reset": ("reset", "Bring the cell to its start position; ends in Idle."),
    "complete": ("complete", "End the running job order after the item in work."),
    "acknowledge": (
        "acknowledge",
        "Say that you have seen the alarms; trips whose cause is gone are released.",
    ),
    "take-control": ("take_control", "Take control, so that this station may start and reset the cell."),
    "release-control": (
        "release_control",
        "Give control back, or to a station elsewhere that can then take it.",
    ),
}

ANSWERS = ("resume", "repeat", "scrap", "done")


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The commands that change what a cell does."""
    sentence = "Give a cell a command: start, stop, hold, unhold, abort, clear, reset and others."
    parser = group.add_parser("command", help=sentence, description=sentence)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (word, text) in COMMANDS.items():
        command = add_command(commands, name, text, give_command, examples=[f"cellctl command {name}"])
        command.set_defaults(command=word)
        _add_wait(command, 5.0)
        if name == "release-control":
            command.add_argument("--to", metavar="STATION", help="only to this one, such as ann@office")
    mode = add_command(
        commands,
        "mode",
        "Change the mode: production, maintenance, manual or one of the cell's own.",
        give_command,
        examples=["cellctl command mode manual", "cellctl command mode 1"],
    )
    mode.add_argument("mode", metavar="MODE", help="its name or number")
    mode.set_defaults(command="mode")
    _add_wait(mode, 5.0)
    _add_answers(group)
    _add_fault(group)


def _add_answers(group: "argparse._SubParsersAction[Parser]") -> None:
    answer = add_command(
        group,
        "answer",
        "Say what becomes of an interrupted item.",
        answer_item,
        examples=["cellctl answer 0007 repeat", "cellctl answer 7 scrap"],
        more="""
        resume: go on in the interrupted step; repeat: do that step again; scrap: the item is lost, another is made
        in its place; done: the step was finished already, go on with the next.
        """,
    )
    answer.add_argument(
        "item", metavar="ITEM", type=serial_number, help="serial number of the item, such as 0007"
    )
    answer.add_argument("answer", choices=ANSWERS, help="what to do with it")
    confirm = add_command(
        group,
        "confirm",
        "Say that you have done what the cell asked you to do.",
        confirm_step,
        examples=["cellctl confirm", "cellctl confirm 82.5"],
    )
    confirm.add_argument(
        "value", metavar="VALUE", nargs="?", help="what you measured or read, if it asks for it"
    )
    confirm.add_argument(
        "--item", metavar="ITEM", type=serial_number, help="serial number (default: the item in work)"
    )


def _add_fault(group: "argparse._SubParsersAction[Parser]") -> None:
    fault = add_command(
        group,
        "fault",
        "Let something go wrong on a simulated board, to see what the cell does.",
        set_fault,
        examples=["cellctl fault", "cellctl fault clamp.jam", "cellctl fault clear clamp.jam"],
        more="""
        Without a name it lists the faults this cell can have. With one it is switched on, and the command shows
        what comes of it. A real board refuses.
        """,
    )
    fault.add_argument(
        "words", metavar="[clear] NAME", nargs="*", help="a fault; after the word clear: end it"
    )
    _add_wait(fault, 30.0)


def _add_wait(parser: Parser, default: float) -> None:
    parser.add_argument(
        "--wait",
        metavar="S",
        type=seconds,
        default=default,
        help=f"watch the cell at most so many seconds until it has settled ({default:g})",
    )


def give_command(args: argparse.Namespace, out: Output) -> int:
    """Send the command, then show the state it led to."""
    fields: dict[str, Any] = {"command": args.command}
    if args.command == "mode":
        fields["mode"] = int(args.mode) if args.mode.isdecimal() else args.mode
    if getattr(args, "to", None):
        fields["to"] = args.to
    client = open_client(args)
    try:
        with reachable():
            reply = client.request("command", **fields)
            if (
                reply.get("name") == "mode_unknown" and args.mode.islower()
            ):  # the standard's modes have capitals
                reply = client.request("command", command="mode", mode=args.mode.capitalize())
            if not reply.get("ok"):
                return out.reply(reply)
            view = settle(client, args.wait, is_acting) if args.wait else {}
    finally:
        client.close()
    out.result(_with_view(reply, view))
    out.line(str(reply.get("text", "")))
    if view:
        out.line(state_line(view))
    return DONE


def _with_view(reply: Reply, view: Reply) -> Reply:
    return {**reply, "state": view} if view else reply


def answer_item(args: argparse.Namespace, out: Output) -> int:
    """Answer the question about an interrupted item."""
    return out.reply(ask(args, "answer", item=args.item, answer=args.answer))


def confirm_step(args: argparse.Namespace, out: Output) -> int:
    """Confirm a person's step."""
    client = open_client(args)
    try:
        with reachable():
            fields: dict[str, Any] = {"item": args.item}
            if args.item is None:
                view = client.request("query", what="state").get("data") or {}
                serial = (view.get("item") or {}).get("serial")
                if serial is None:
                    raise ToolError(
                        "no item in work that could be confirmed; cellctl why tells what is waited for"
                    )
                fields["item"] = serial
            if args.value is not None:
                fields["value"] = as_number(args.value)
            return out.reply(client.request("confirm", **fields))
    finally:
        client.close()


def set_fault(args: argparse.Namespace, out: Output) -> int:
    """List, set or clear a fault of a simulated board."""
    words = args.words
    if words == ["clear"] or len(words) > 2 or (len(words) == 2 and words[0] != "clear"):
        raise ToolError("give one fault: cellctl fault clamp.jam, or cellctl fault clear clamp.jam")
    client = open_client(args)
    try:
        with reachable():
            if not words:
                return _list_faults(client, out)
            reply = client.request("fault", name=words[-1], on=len(words) == 1)
            if not reply.get("ok") or len(words) == 2 or not args.wait:
                return out.reply(reply)
            out.line(str(reply.get("text", "")))
            view = settle(client, args.wait, is_working)
    finally:
        client.close()
    out.result(_with_view(reply, view))
    out.line(state_line(view))
    if view.get("reason"):
        out.line(outputs_line(view))
    elif view.get("state") == "Execute":
        out.line("nothing came of it yet; cellctl watch shows when it does")
    else:
        out.line("it shows when the cell works; order something: cellctl order submit bonnet colour=burgundy")
    return DONE


def _list_faults(client: Client, out: Output) -> int:
    reply = client.request("query", what="faults")
    if not reply.get("ok"):
        return out.reply(reply)
    out.result(reply)
    data = reply.get("data") or {}
    if not data.get("faults"):
        out.line("this board has no faults to set")
    for name in data.get("faults") or []:
        out.line(f"{name}  (on)" if name in (data.get("active") or []) else str(name))
    return DONE
