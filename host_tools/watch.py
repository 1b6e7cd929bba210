"""The live view of cells in a terminal: a panel a cell, or one line a change where nobody looks at a screen."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from host_tools.commands_common import Client
from host_tools.output import ToolError, seconds_text

EVENTS_SHOWN = 6
EVENTS_OF_MANY = 2
SIGNALS_SHOWN = 6
LOOK_EVERY_S = 0.2
RECONNECT_S = 1.0
RESTLESS = ("heartbeat",)  # on every other time one looks, which says nothing
NO_BREAK = "\u00a0"  # keeps a value and its unit on one line
LOST = "\0lost"  # no topic can be called so

# By what a person has to do: green nothing, cyan give it work, yellow look, red go there.
COLOURS = {
    "Execute": "green",
    "Idle": "cyan",
    "Complete": "cyan",
    "Completing": "cyan",
    "Starting": "green",
    "Resetting": "cyan",
    "Unholding": "green",
    "Unsuspending": "green",
    "Holding": "yellow",
    "Held": "yellow",
    "Suspending": "yellow",
    "Suspended": "yellow",
    "Stopped": "red",
    "Stopping": "red",
    "Aborting": "red",
    "Aborted": "red",
    "Clearing": "red",
}

Payload = Mapping[str, Any]


class CellScreen:
    """What is known about one cell, and how it looks. Fed with state views and signal values, shows no others.

    `labels` gives signals a shorter name on the screen; with it only those are shown, in that order. `tell`, if set,
    gets one line each time the headline or the trouble has changed.
    """

    def __init__(
        self, name: str, labels: Mapping[str, str] | None = None, clock: Callable[[], str] = str
    ) -> None:
        self.name = name
        self.view: dict[str, Any] = {}
        self.signals: dict[str, Payload] = {}
        self.events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self.orders = 0  # how many are wanted in all; 0: count the items of each order instead
        self.room = EVENTS_SHOWN  # lines for events
        self.tell: Callable[[str], object] | None = None
        self._told = ""
        self.lost = ""
        self._absent = False
        self._first_wh = 0.0
        self._labels = dict(labels or {})
        self._fractions: set[str] = set()  # so that 5.1 does not jump to 5 and back
        self._clock = clock

    def see_state(self, view: Payload) -> None:
        """Take over a state view; what changed becomes an event line."""
        if not self.view:
            self._first_wh = float(view.get("energy_wh") or 0)
        for text in changes(self.view, view):
            self.see_event(text)
        self.view = dict(view)
        self.name = str(view.get("cell", self.name))
        for name, payload in (view.get("signals") or {}).items():
            self.see_signal(name, payload)
        if not self._absent:
            self.lost = ""
        self._tell_change()

    def see_signal(self, name: str, payload: Payload) -> None:
        """Take over the value of one signal."""
        self.signals[name] = payload
        if isinstance(payload.get("value"), float):
            self._fractions.add(name)

    def see_event(self, text: str) -> None:
        """Add a line to the last events."""
        self.events.append(f"{self._clock()} {text}".strip())

    def see_loss(self, text: str) -> None:
        """The cell does not answer; what is shown is old."""
        if self.lost:
            return  # the first reason is the one that explains the later ones
        self.see_event(text)
        self.lost = text
        self._tell_change()

    def see_presence(self, online: bool, reason: str) -> None:
        """What the broker says about the cell's connection: while it is away, states are the last that were known."""
        self._absent = not online
        if online:
            self.lost = ""
        else:
            self.see_loss(reason or "away from the broker")

    def headline(self) -> str:
        """State, order, item and step in one line, without the values that change all the time."""
        if self.lost:
            return f"{self.name} NO ANSWER {self.lost}"
        if not self.view:
            return f"{self.name} waiting for its first word"
        parts = [self.name, str(self.view.get("state", "")).upper()]
        order = self.view.get("order") or {}
        if order:
            parts += ["order", self._place(order), str(order.get("product", ""))]
            parts += _option_words(order.get("options") or {})
        item = self.view.get("item") or {}
        if item:
            parts.append(str(item.get("step", "")))
            if item.get("of"):
                parts.append(_mark(item))
        return " ".join(part for part in parts if part)

    def _place(self, order: Payload) -> str:
        if self.orders:
            return f"{min(int(self.view.get('good', 0)) + 1, self.orders)}/{self.orders}"
        count = int(order.get("count", 1))
        return f"{order.get('order_id', '')} {min(int(order.get('good', 0)) + 1, count)}/{count}"

    def line(self) -> str:
        """The title, and the trouble if there is any."""
        trouble = self.trouble()
        return f"{self.title()}: {trouble}" if trouble else self.title()

    def _made_text(self) -> str:
        """Counts and energy; a word that says nothing now, such as scrapped at 0, is left out."""
        parts = [f"good {self.view.get('good', 0)}"]
        if self.view.get("scrapped"):
            parts.append(f"scrapped {self.view['scrapped']}")
        if not self.orders:
            parts.append(f"orders open {self.view.get('queue', 0)}")
        return "   ".join([*parts, self._energy_text()])

    def _energy_text(self) -> str:
        """What was used since the first look where orders are counted, else what the meter shows."""
        reading = float(self.view.get("energy_wh") or 0)
        if self.orders:
            return f"energy {reading - self._first_wh:.0f} Wh"
        return f"meter {reading / 1000:.1f} kWh"

    def _tell_change(self) -> None:
        key = f"{self.headline()}|{self.trouble()}"
        if self.tell is not None and key != self._told:
            self._told = key
            self.tell(self.line())

    def title(self) -> str:
        """The headline with the first signal: `paint-1 EXECUTE order 3/12 bonnet burgundy spray coat 2/3 air 5.1`."""
        shown = self.signal_texts(with_unit=False)
        return f"{self.headline()} {shown[0]}" if shown and not self.lost else self.headline()

    def trouble(self) -> str:
        """What a person has to know or answer now; empty when all is well."""
        question = self.view.get("question") or {}
        if question:
            return f"{question.get('text', '')}   cellctl answer {int(question.get('item', 0)):04d} …"
        return str(self.view.get("reason") or "")

    def signal_texts(self, with_unit: bool = True) -> list[str]:
        """`air 5.1 m3/min` for each measured value, `?` behind one that is not good."""
        names = (
            [name for name in self._labels if name in self.signals] if self._labels else sorted(self.signals)
        )
        texts = []
        for name in names:
            payload = self.signals[name]
            unit = str(payload.get("unit", "")).replace("degC", "°C")
            if not self._labels and unit in (
                "",
                "Wh",
                "kWh",
            ):  # no measurement, or the meter that has its own row
                continue
            text = f"{self._labels.get(name, name)} {_number(payload.get('value'), name in self._fractions)}"
            if with_unit and unit:
                text += f" {unit}"
            texts.append(text if payload.get("quality", "good") in ("good", 0) else text + "?")
        return texts[:SIGNALS_SHOWN]

    def panel(self) -> Panel:
        """The screen of this cell."""
        state = str(self.view.get("state", ""))
        colour = "red" if self.lost else COLOURS.get(state, "white")
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column()
        for name, text in self._rows(colour):
            rows.add_row(name, text)
        trouble = self.trouble()
        body = Group(Text(trouble, style=f"bold {colour}"), rows) if trouble else rows
        return Panel(
            body, title=Text(self.title(), style=f"bold {colour}"), title_align="left", border_style=colour
        )

    def _rows(self, colour: str) -> list[tuple[str, Text]]:
        view = self.view
        rows = []
        state = str(view.get("state", "")).upper()
        line = Text.assemble((state, f"bold {colour}"))
        line.append(f" for {seconds_text(int(view.get('state_s', 0)))}")
        if view.get("mode", "Production") != "Production":
            line.append(f"  mode {view['mode']}", style="bold")
        if view.get("waiting_for"):
            line.append(f"  waits for {view['waiting_for']}")
        rows.append(("state", line))
        rows.append(("order", Text(_order_text(view.get("order") or {}))))
        rows.append(("item", Text(_item_text(view.get("item") or {}))))
        signals = [text.replace(" ", NO_BREAK) for text in self.signal_texts()]
        rows.append(("signals", Text("   ".join(signals))))
        on = [
            name.replace("_", " ")
            for name, value in (view.get("outputs") or {}).items()
            if value and name not in RESTLESS
        ]
        rows.append(("on", Text(", ".join(on) or "nothing")))
        rows.append(("made", Text(self._made_text())))
        alarms = [str(alarm) for alarm in view.get("alarms") or [] if str(alarm) not in self.trouble()]
        rows.extend(("alarm", Text(alarm, style="yellow")) for alarm in alarms[:3])
        # Always as many lines as there may be events: a panel that grows and shrinks is hard to read.
        events = [*list(self.events)[-self.room :], *[""] * EVENTS_SHOWN][: self.room]
        rows.extend(("last" if k == 0 else "", Text(text)) for k, text in enumerate(events))
        return rows


def changes(old: Payload, new: Payload) -> list[str]:
    """What a person would say happened between two state views of a cell, in order."""
    if not old:
        return []
    texts = []
    before, after = old.get("item") or {}, new.get("item") or {}
    for key, word in (("good", "good"), ("scrapped", "scrap")):
        made = int(new.get(key) or 0) - int(old.get(key) or 0)
        if made > 0:
            serial = before.get("serial")
            what = f"item {int(serial):04d}" if serial is not None and made == 1 else f"{made} items"
            texts.append(f"{what} {word}")
    if new.get("state") != old.get("state"):
        text = str(new.get("state", ""))
        texts.append(f"{text}: {new['reason']}" if new.get("reason") else text)
    if after and after.get("serial") != before.get("serial"):
        order = new.get("order") or {}
        words = " ".join([str(order.get("product", "")), *_option_words(order.get("options") or {})])
        texts.append(f"item {int(after.get('serial', 0)):04d} started: {words}")
    known = {str(alarm) for alarm in old.get("alarms") or []}
    known.add(str(new.get("reason")))
    texts.extend(str(alarm) for alarm in new.get("alarms") or [] if str(alarm) not in known)
    for product, version in sorted((new.get("recipes") or {}).items()):
        if (old.get("recipes") or {}).get(product, version) != version:
            texts.append(f"{product}@{version} from the next item")
    return texts


def _option_words(options: Payload) -> list[str]:
    """The customer's choices as words; a file's hash says nothing to a person and is left out."""
    return [str(value) for _, value in sorted(options.items()) if value != "" and len(str(value)) < 64]


def _order_text(order: Payload) -> str:
    if not order:
        return ""
    words = " ".join([str(order.get("product", "")), *_option_words(order.get("options") or {})])
    return f"{order.get('order_id', '')}  {words}  good {order.get('good', 0)}/{order.get('count', 1)}"


def _item_text(item: Payload) -> str:
    if not item:
        return ""
    step = f"step {item.get('step_number', 1)}/{item.get('steps', 1)} {item.get('step', '')}"
    text = f"{int(item.get('serial', 0)):04d}  {step}"
    if item.get("of"):
        text += f"  {_mark(item)}"
    return text


def _mark(item: Payload) -> str:
    """`coat 2/3`: the view says how many are finished, a person wants to know which one is in work."""
    return f"{item.get('counts') or 'part'} {min(int(item.get('mark', 0)) + 1, int(item['of']))}/{item['of']}"


def _number(value: object, with_fraction: bool) -> str:
    return f"{value:.1f}" if with_fraction and isinstance(value, (int, float)) else str(value)


class Feed:
    """Brings what one cell says to its screen, and connects again when the cell was away.

    `connect` opens a connection to the cell. A thread listens; the screen is touched by `drain` alone.
    """

    def __init__(self, screen: CellScreen, connect: Callable[[], Client]) -> None:
        self.screen = screen
        self._connect = connect
        self._stop = threading.Event()
        self._heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, name=f"watch {screen.name}", daemon=True)
        self._client: Client | None = None

    def start(self) -> None:
        """Connect and listen. Raises what `connect` raises: a cell that was never there is no cell that went away."""
        self._client = self._connect()
        self._thread.start()

    def drain(self) -> None:
        """Take what was heard since the last time to the screen."""
        while not self._heard.empty():
            topic, value = self._heard.get_nowait()
            if topic == LOST:
                self.screen.see_loss(value)
            elif topic == "state" and isinstance(value, dict):
                self.screen.see_state(value)
            elif topic == "presence" and isinstance(value, dict):
                self.screen.see_presence(bool(value.get("online")), str(value.get("reason", "")))
            elif topic.startswith("signals/") and isinstance(value, dict):
                self.screen.see_signal(topic.removeprefix("signals/"), value)

    def close(self) -> None:
        """Stop listening; waits until the connection is closed, at most 3 s."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(3.0)
        elif self._client is not None:
            self._client.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                client = self._client if self._client is not None else self._connect()
                self._client = None
                try:
                    client.watch(lambda topic, value: self._heard.put((topic, value)), self._stop)
                finally:
                    client.close()
            except (ToolError, OSError) as error:
                self._heard.put((LOST, str(error)))
                self._stop.wait(RECONNECT_S)


Refresh = Callable[[], bool]


def show(
    screens: Sequence[CellScreen],
    refresh: Refresh,
    console: Console,
    *,
    plain: bool,
    line: Callable[[str], object],
    pause: Callable[[float], None],
) -> None:
    """Show `screens` until `refresh`, which feeds them, returns False. Plain: `line` gets a headline a change."""
    if plain:
        for screen in screens:
            screen.tell = line
        while refresh():
            pause(LOOK_EVERY_S)
        return
    for screen in screens:
        screen.room = EVENTS_SHOWN if len(screens) == 1 else EVENTS_OF_MANY
    with Live(console=console, auto_refresh=False) as live:
        going = True
        while going:
            going = refresh()
            live.update(Group(*[screen.panel() for screen in screens]), refresh=True)
            if going:
                pause(LOOK_EVERY_S)
