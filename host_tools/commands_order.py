"""`cellctl order …`: what a cell is asked to make."""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from host_tools.commands_common import (
    Client,
    Parser,
    Reply,
    add_command,
    as_number,
    ask,
    open_client,
    query,
    reachable,
)
from host_tools.output import DONE, Output, ToolError, item_table, options_of, options_text, seconds_text

ID_ATTEMPTS = 20

VERBS: dict[str, tuple[str, str]] = {
    "cancel": ("order.cancel", "Cancel an order that has not started."),
    "pause": (
        "order.pause",
        "Make nothing more of an order until it is resumed; the item in work is finished.",
    ),
    "resume": ("order.resume", "Go on with a paused order."),
    "stop": ("order.stop", "End an order after the item in work, with fewer items than ordered."),
    "abort": ("order.abort", "End an order at once; the item in work is scrap."),
    "start": ("order.start", "Allow an order that was submitted with --store to start."),
    "clear": ("order.clear", "Take an order that has ended off the list."),
    "revoke": ("order.revoke_start", "Take back that an order may start, as long as it has not."),
}


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The order commands."""
    parser = group.add_parser(
        "order", help="Submit, list and steer orders.", description="Submit, list and steer orders."
    )
    orders = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_submit(orders)
    add_command(
        orders,
        "list",
        "List the orders the cell knows, in the order they will be made.",
        list_orders,
        examples=["cellctl order list", "cellctl order list --json"],
    )
    show = add_command(
        orders,
        "show",
        "Show one order: its options, what is made of it, and its items.",
        show_order,
        examples=["cellctl order show ord-1"],
    )
    _order_id(show)
    update = add_command(
        orders,
        "update",
        "Give a waiting order another priority or due date.",
        update_order,
        examples=[
            "cellctl order update ord-3 --priority 9",
            "cellctl order update ord-3 --due 2030-05-01T16:00",
        ],
    )
    _order_id(update)
    _priority_and_due(update, None)
    for name, (verb, sentence) in VERBS.items():
        command = add_command(orders, name, sentence, steer_order, examples=[f"cellctl order {name} ord-1"])
        command.set_defaults(verb=verb)
        _order_id(command)
        if name == "resume":
            command.add_argument(
                "--made",
                metavar="N",
                type=int,
                help="how many good items of it there are, after a restore from an old backup",
            )


def _add_submit(orders: "argparse._SubParsersAction[Parser]") -> None:
    submit = add_command(
        orders,
        "submit",
        "Order items of a product, with the options of the customer.",
        submit_order,
        examples=[
            "cellctl order submit bonnet colour=burgundy",
            "cellctl order submit bonnet colour=green finish=satin --count 2",
            'cellctl order submit bonnet colour=burgundy pinstripe="Ada"',
        ],
        more="""
        OPTION=@FILE gives the sha256 of a customer's file, for an option that takes one.
        An order is safe on disk when it is accepted. Submitting it again with the same --id and content
        changes nothing.
        """,
    )
    submit.add_argument("product", metavar="PRODUCT", help="a product the cell has a recipe for")
    submit.add_argument("options", metavar="OPTION=VALUE", nargs="*", help="an option of the product")
    submit.add_argument("--count", metavar="N", type=int, default=1, help="how many good items (1)")
    submit.add_argument(
        "--id", dest="order_id", metavar="ORDER", help="your number (default: the next ord-N)"
    )
    _priority_and_due(submit, 5)
    submit.add_argument(
        "--carriers", metavar="N,N", type=_numbers, help="carriers the parts come on, one an item, in order"
    )
    submit.add_argument("--store", action="store_true", help="keep it until `cellctl order start ORDER`")


def _order_id(parser: Parser) -> None:
    parser.add_argument("order_id", metavar="ORDER", help="the number of the order, such as ord-1")


def _priority_and_due(parser: Parser, default: int | None) -> None:
    note = "" if default is None else f" ({default})"
    parser.add_argument(
        "--priority", metavar="0..9", type=int, default=default, choices=range(10), help=f"9 goes first{note}"
    )
    parser.add_argument(
        "--due", metavar="TIME", type=_due, help="when it is needed: 2030-05-01T16:00, local time"
    )


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 11,12")
    return [int(part) for part in parts]


def _due(text: str) -> int:
    """Seconds since 1970 of a date, a date and time, or such a number itself."""
    if text.isdecimal():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2030-05-01T16:00") from None


def parse_options(words: Sequence[str]) -> dict[str, str]:
    """`name=value` words as order options; `name=@file` becomes the sha256 of the file. Raises ToolError."""
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ToolError(f"{word!r} is not OPTION=VALUE; for example colour=burgundy")
        if name in options:
            raise ToolError(f"option {name!r} is given twice")
        options[name] = _file_hash(name, value[1:]) if value.startswith("@") else value
    return options


def _file_hash(option: str, path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ToolError(f"option {option!r}: cannot read {path}: {error.strerror}") from error


def typed_options(options: Mapping[str, str], catalogue: Mapping[str, Any], product: str) -> dict[str, Any]:
    """`options` with its parameters and number options as numbers; what it does not know stays as typed."""
    kinds: dict[str, str] = {}
    for entry in catalogue.get("products", []):
        if entry.get("product") == product:
            kinds = {option["name"]: option.get("kind", "") for option in entry.get("options", [])}
            kinds |= {parameter["name"]: "number" for parameter in entry.get("parameters", [])}
    return {
        name: as_number(value) if kinds.get(name) == "number" else value for name, value in options.items()
    }


def submit_order(args: argparse.Namespace, out: Output) -> int:
    """Submit an order; without --id under the next free number."""
    fields: dict[str, Any] = {"product": args.product, "count": args.count, "priority": args.priority}
    options = parse_options(args.options)
    if args.due is not None:
        fields["due"] = args.due
    if args.carriers:
        fields["carriers"] = args.carriers
    if args.store:
        fields["allowed"] = False
    client = open_client(args)
    try:
        with reachable():
            if options:
                catalogue = client.request("query", what="catalogue").get("data") or {}
                options = typed_options(options, catalogue, args.product)
            fields["options"] = options
            if args.order_id:
                return out.reply(client.request("order.submit", order_id=args.order_id, **fields))
            return out.reply(submit_as_next(client, fields))
    finally:
        client.close()


def submit_as_next(client: Client, fields: Mapping[str, Any]) -> Reply:
    """Submit under ord-N with the first N nobody used, also when someone else submits at the same moment."""
    known = client.request("query", what="orders").get("data") or {}
    number = 1 + max([_number_of(order.get("order_id", "")) for order in known.get("orders", [])], default=0)
    reply: Reply = {}
    for attempt in range(ID_ATTEMPTS):
        reply = client.request("order.submit", order_id=f"ord-{number + attempt}", **fields)
        # Another desk was faster: with other content the number is used, with the same content this is its order.
        if reply.get("name") != "id_used" and not str(reply.get("text")).startswith("known already"):
            break
    return reply


def _number_of(order_id: str) -> int:
    head, _, tail = order_id.partition("-")
    return int(tail) if head == "ord" and tail.isdecimal() else 0


def list_orders(args: argparse.Namespace, out: Output) -> int:
    """Print the order book."""
    reply = query(args, "orders")
    if not reply.get("ok"):
        return out.reply(reply)
    out.result(reply)
    orders = (reply.get("data") or {}).get("orders", [])
    if not orders:
        out.line("no orders; submit one: cellctl order submit bonnet colour=burgundy")
        return DONE
    out.table(
        ["order", "product", "options", "good", "scrapped", "state", "priority"], [_row(o) for o in orders]
    )
    return DONE


def _row(order: Mapping[str, Any]) -> list[object]:
    return [
        order.get("order_id", ""),
        order.get("product", ""),
        options_text(options_of(order)),
        f"{order.get('good', 0)}/{order.get('count', 1)}",
        order.get("scrapped", 0),
        order.get("state", ""),
        order.get("priority", ""),
    ]


def show_order(args: argparse.Namespace, out: Output) -> int:
    """Print one order."""
    reply = query(args, "order", order_id=args.order_id)
    if not reply.get("ok"):
        return out.reply(reply)
    out.result(reply)
    order = dict(reply.get("data") or {})
    count, made = order.get("count", 1), order.get("made") or order.get("product", "")
    out.line(f"{order.get('order_id', args.order_id)}: {count} {made}, {order.get('state', '')}")
    out.line(f"  good {order.get('good', 0)}, scrapped {order.get('scrapped', 0)}, of {count}")
    out.line(f"  options: {options_text(options_of(order)) or 'none'}")
    out.line(f"  priority {order.get('priority', 5)}, {_due_text(order)}, from {order.get('issuer', '')}")
    if order.get("done_in_s"):
        out.line(f"  done in about {seconds_text(order['done_in_s'])}")
    items = [dict(item) for item in order.get("items") or []]
    if items:
        item_table(items, out)
    return DONE


def _due_text(order: Mapping[str, Any]) -> str:
    due = int(order.get("due") or 0)
    return f"due {datetime.fromtimestamp(due):%Y-%m-%d %H:%M}" if due else "no due date"


def update_order(args: argparse.Namespace, out: Output) -> int:
    """Change priority or due date."""
    fields = {name: getattr(args, name) for name in ("priority", "due") if getattr(args, name) is not None}
    if not fields:
        raise ToolError("nothing to update; give --priority or --due")
    return out.reply(ask(args, "order.update", order_id=args.order_id, **fields))


def steer_order(args: argparse.Namespace, out: Output) -> int:
    """Cancel, pause, resume, stop, abort, start or revoke one order."""
    made = getattr(args, "made", None)
    fields = {} if made is None else {"good": made}
    return out.reply(ask(args, args.verb, order_id=args.order_id, **fields))
