"""`cellctl why`, `items`, `watch`: what a cell is doing, what it waits for and what it has made."""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from host_tools.commands_common import (
    Client,
    Parser,
    add_command,
    add_target,
    open_client,
    query,
    reachable,
    running_cells,
    serial_number,
    sleep,
)
from host_tools.output import DONE, NOT_REACHABLE, Output, ToolError, item_lines, item_table
from host_tools.watch import CellScreen, Feed, show


def add(group: "argparse._SubParsersAction[Parser]") -> None:
    """The commands that only look."""
    add_command(
        group,
        "why",
        "Say what the cell is waiting for and what would make it go on.",
        show_why,
        examples=["cellctl why", "cellctl why --cell paint-1"],
    )
    add_command(
        group,
        "devices",
        "Say how each device of a cell is: whether it answers, and what went wrong first.",
        show_devices,
        examples=["cellctl devices", "cellctl devices --cell form-1 --json"],
    )
    items = add_command(
        group,
        "items",
        "List what the cell has made, or show one item's record.",
        show_items,
        examples=["cellctl items", "cellctl items 0007", "cellctl items --order ord-1"],
    )
    items.add_argument(
        "serial", metavar="ITEM", nargs="?", type=serial_number, help="serial number, such as 0007"
    )
    items.add_argument("--order", metavar="ORDER", help="only the items of this order")
    watch = add_command(
        group,
        "watch",
        "Show one or more cells live; Ctrl-C ends it.",
        watch_cells,
        target=False,
        examples=["cellctl watch", "cellctl watch paint-1 paint-2", "cellctl watch --plain > paint.log"],
    )
    watch.add_argument(
        "cells", metavar="NAME", nargs="*", help="cells on this machine (default: all that run)"
    )
    watch.add_argument("--plain", action="store_true", help="one line a change instead of a live screen")
    watch.add_argument("--once", action="store_true", help="show the present state and end")
    add_target(watch)


def show_why(args: argparse.Namespace, out: Output) -> int:
    """Print what the cell waits for."""
    reply = query(args, "why")
    if not reply.get("ok"):
        return out.reply(reply)
    out.result(reply)
    for line in why_lines(reply.get("data") or {}):
        out.line(line)
    return DONE


def why_lines(data: Mapping[str, Any]) -> list[str]:
    """The answer to `why`: the state and its reason, each cause with its remedy, and what may be done now."""
    waits = data.get("waiting_for")
    reason = data.get("reason") or (f"waits for {waits}" if waits else "")
    lines = [f"{data.get('state', '')}: {reason}" if reason else str(data.get("state", ""))]
    question = data.get("question") or {}
    if question:
        lines.append(f"  {question.get('text', '')}")
        lines.append(f"    cellctl answer {int(question.get('item', 0)):04d} …")
    for cause in data.get("lines") or []:
        lines.append(f"  {cause.get('text', '')}; its cause is {cause.get('cause', '')}")
        if cause.get("remedy"):
            lines.append(f"    {cause['remedy']}")
    allowed = ", ".join(data.get("allowed") or []) or "nothing"
    lines.append(f"allowed now: {allowed} (control: {data.get('control', '')})")
    return lines


def show_devices(args: argparse.Namespace, out: Output) -> int:
    """Print a line a device."""
    reply = query(args, "devices")
    if not reply.get("ok"):
        return out.reply(reply)
    out.result(reply)
    devices = (reply.get("data") or {}).get("devices") or []
    if not devices:
        out.line("this board has no devices of its own")
    width = max((len(device["name"]) for device in devices), default=0)
    for device in devices:
        out.line(f"{device['name']:<{width}}  {device_text(device)}")
    return DONE


def device_text(device: Mapping[str, Any]) -> str:
    """A device's state in words: when it answered, its first fault since the last Reset, what its outputs wait for."""
    ago = device["answered_ms"]
    answered = "never answered" if ago < 0 else f"answered {ago / 1000:.1f} s ago"
    parts = [f"{device['state']}, {answered}"]
    if device["losses"]:
        parts.append(f"lost {device['losses']} times" if device["losses"] > 1 else "lost once")
    if device["waits_for_reset"]:
        parts.append("outputs at their abort values until Reset")
    if device["fault"]:
        parts.append(f"first fault: {device['fault']}")
    return "; ".join(parts)


def show_items(args: argparse.Namespace, out: Output) -> int:
    """Print the records of what was made."""
    reply = query(args, "items", **({"order_id": args.order} if args.order else {}))
    if not reply.get("ok"):
        return out.reply(reply)
    items = [dict(item) for item in (reply.get("data") or {}).get("items", [])]
    if args.order:
        items = [item for item in items if item.get("order_id", args.order) == args.order]
    if args.serial is not None:
        return _show_item(args.serial, items, out)
    out.result({**reply, "data": {"items": items}})
    if not items:
        out.line("nothing made yet")
        return DONE
    item_table(items, out)
    return DONE


def _show_item(serial: int, items: list[dict[str, Any]], out: Output) -> int:
    found = [item for item in items if item.get("serial") == serial]
    if not found:
        return out.reply({"ok": False, "code": 1, "name": "unknown_item", "text": f"no item {serial:04d}"})
    out.result({"ok": True, "item": found[0]})
    for line in item_lines(found[0]):
        out.line(line)
    return DONE


def watch_cells(args: argparse.Namespace, out: Output) -> int:
    """Show cells until Ctrl-C; a cell that goes away is shown as such until it is back."""
    console = Console()
    plain = args.plain or args.json or not console.is_terminal
    chosen = _choose(args)
    if args.json or args.once:
        return _show_once(chosen, console, out, plain)
    feeds = [Feed(CellScreen(name, clock=_wall_clock), connect) for name, connect in chosen]

    def refresh() -> bool:
        for feed in feeds:
            feed.drain()
        return True

    def timed(text: str) -> None:
        out.line(f"{_wall_clock()} {text}")

    try:
        for feed in feeds:
            feed.start()
        show([feed.screen for feed in feeds], refresh, console, plain=plain, line=timed, pause=sleep)
    except KeyboardInterrupt:
        return DONE
    finally:
        for feed in feeds:
            feed.close()
    return DONE


def _show_once(
    chosen: Sequence[tuple[str, Callable[[], Client]]], console: Console, out: Output, plain: bool
) -> int:
    screens = []
    for name, connect in chosen:
        screen = CellScreen(name, clock=_wall_clock)
        client = connect()
        try:
            with reachable():
                screen.see_state(client.request("query", what="state").get("data") or {})
        finally:
            client.close()
        screens.append(screen)
    out.result({"ok": True, "cells": {screen.name: screen.view for screen in screens}})
    for screen in screens:
        if plain:
            out.line(screen.line())
        else:
            console.print(screen.panel())
    return DONE


def _wall_clock() -> str:
    return time.strftime("%H:%M:%S")


def _choose(args: argparse.Namespace) -> list[tuple[str, Callable[[], Client]]]:
    """The cells to watch: those named, the one over MQTT, or all that run on this machine."""
    if args.broker or args.base or args.cell:
        if args.cells:
            raise ToolError("give the cells by name, or --cell, or --broker and --base; not both")
        return [(args.cell or args.base.rpartition("/")[2], lambda: open_client(args))]
    names = args.cells or running_cells()
    if not names:
        raise ToolError("no cell runs on this machine; start one: cellctl run DIR --board sim", NOT_REACHABLE)
    return [(name, _connector(args, name)) for name in names]


def _connector(args: argparse.Namespace, name: str) -> Callable[[], Client]:
    chosen = argparse.Namespace(**{**vars(args), "cell": name})
    return lambda: open_client(chosen)
