"""The bench's words for a cell that runs somewhere else and is asked: a scenario written for one runs on the other.

Requests and looks take real time here; outputs and the plant are read at the board, not at the controller. What only
virtual time can promise ("in that very scan") is looked at a few scans later.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

from board.remote import Observer
from hil.bench import BenchError

Record = dict[str, Any]
WAIT_S = 30.0
LOOK_S = 0.01
MORE_SCANS = 2  # a query is answered before its scan, and a fault is seen in the scan after it came


class AskedBench:
    """`ask` sends one request and gives its reply; everything else is made of that and of an observer at the board."""

    names: list[str]
    """The outputs in the order of the cell."""

    def __init__(self, observer: Observer, names: list[str]) -> None:
        self.observer = observer
        self.names = names
        self._orders = 0

    def ask(self, verb: str, **args: Any) -> Record:
        """The reply to one request as the person at the machine."""
        raise NotImplementedError

    def ask_as_plant(self, verb: str, **args: Any) -> Record:
        """The same for an order, which comes from the plant where the cell has a link to it."""
        return self.ask(verb, **args)

    @property
    def records(self) -> list[Record]:
        """The as-built records as they stand in the journal, oldest first."""
        raise NotImplementedError

    def describe(self) -> str:
        """The cell in a line or two, for a failure."""
        view = self.view
        return f"it is {view['state']} ({view['reason'] or view.get('waiting_for')})"

    # --- requests ---

    def query(self, what: str, **args: Any) -> Record:
        """The data of a query. Raises BenchError if it is refused."""
        reply = self.ask("query", what=what, **args)
        if not reply["ok"]:
            raise BenchError(f"query {what} refused: {reply['text']}")
        data: Record = reply["data"]
        return data

    def order(self, product: str, count: int = 1, order_id: str = "", **options: Any) -> Self:
        """Order `count` items, clearing and resetting the cell first if it has just been started."""
        blocking = [a for a in self.query("alarms")["alarms"] if a["consequence"] != "none"]
        if self.state == "Aborted" and not blocking:
            self.make_ready()
        self._orders += 1
        order_id = order_id or f"ord-{self._orders}"
        reply = self.ask_as_plant(
            "order.submit", order_id=order_id, product=product, count=count, options=options
        )
        if not reply["ok"]:
            raise BenchError(f"order refused: {reply['text']}")
        return self

    def command(self, name: str, **args: Any) -> Record:
        """Give a command as the person at the machine."""
        return self.ask("command", command=name, **args)

    def answer(self, answer: str) -> Record:
        """Answer the question about the interrupted item."""
        return self.ask("answer", answer=answer)

    def order_verb(self, verb: str, order_id: str, **args: Any) -> Record:
        """An ISA-95 verb on an order."""
        return self.ask_as_plant(f"order.{verb}", order_id=order_id, **args)

    def make_ready(self) -> Self:
        """Clear and Reset, each given once the state allows it, until the cell is Idle or works."""
        self.command("clear")
        self.run_to("Stopped")
        self.command("reset")
        return self.run_until(lambda: self.state in ("Idle", "Starting", "Execute"), "Idle")

    def fault(self, name: str, on: bool = True) -> Self:
        """Turn a named fault of the plant on or off."""
        self.observer.fault(name, on)
        return self

    def take_part(self) -> Self:
        """Take the part off the stand by hand."""
        self.observer.remove_part()
        return self

    # --- time ---

    def scan(self, count: int = 1) -> Self:
        """At least this many scans: each query is answered in another one."""
        for _ in range(count + MORE_SCANS):
            self.query("faults")
        return self

    def run_for(self, seconds: float) -> Self:
        """Until the board's clock has gone on so far."""
        end = self._tick_ms() + seconds * 1000
        return self.run_until(
            lambda: self._tick_ms() >= end, f"{seconds} s of the board's clock", WAIT_S + seconds
        )

    def _tick_ms(self) -> int:
        return int(self.observer.observe()["tick_ms"])

    def run(self, within_s: float = 120.0) -> Record:
        """Until every open order is made; the record of the last item."""
        self.run_until(lambda: self.view["queue"] == 0, "every order made", within_s)
        return self.records[-1]

    def run_until(self, condition: Callable[[], bool], what: str, within_s: float = WAIT_S) -> Self:
        """Look until `condition()`; BenchError with what the cell did instead if it does not come in real time."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() >= deadline:
                raise BenchError(f"waited {within_s} s for {what}; {self.describe()}")
            time.sleep(LOOK_S)
        return self

    def run_to(self, state: str, within_s: float = WAIT_S) -> Self:
        """Until the cell is in a PackML state."""
        return self.run_until(lambda: self.state == state, f"state {state}", within_s)

    def run_to_output(self, name: str, at_least: int = 1, within_s: float = WAIT_S) -> Self:
        """Until the board drives an output."""
        return self.run_until(lambda: self.output(name) >= at_least, f"output {name} >= {at_least}", within_s)

    def run_to_step(self, step: str, within_s: float = WAIT_S) -> Self:
        """Until a step of the item in work is running."""
        return self.run_until(lambda: self.step == step, f"step {step}", within_s)

    # --- what is seen ---

    @property
    def view(self) -> Record:
        return self.query("state")

    @property
    def state(self) -> str:
        return str(self.view["state"])

    @property
    def reason(self) -> str:
        return str(self.view["reason"])

    @property
    def question(self) -> str:
        return str(self.view["question"].get("text", ""))

    @property
    def step(self) -> str:
        return str(self.view["item"].get("step", ""))

    @property
    def counts(self) -> tuple[int, int]:
        view = self.view
        return int(view["good"]), int(view["scrapped"])

    def job_state(self, order_id: str) -> str:
        """The ISA-95 state of an order."""
        return str(self.query("order", order_id=order_id)["state"])

    @property
    def outputs(self) -> dict[str, int]:
        """Every output as it really is at the board, in steps of its resolution."""
        seen: dict[str, int] = self.observer.observe()["outputs"]
        return {name: seen[name] for name in self.names}

    def output(self, name: str) -> int:
        return self.outputs[name]

    @property
    def damage(self) -> list[str]:
        """What the plant suffered."""
        return list(self.observer.observe()["damage"])

    @property
    def made(self) -> list[Record]:
        """The parts that left the plant and what was really done to them."""
        parts: list[Record] = self.observer.observe()["plant"]["made"]
        return parts

    @property
    def board(self) -> SimpleNamespace:
        """For `cell.board.plant.made`: what has really been done to the parts that left."""
        made = [SimpleNamespace(**part, hottest=part["hottest_degc"]) for part in self.made]
        return SimpleNamespace(plant=SimpleNamespace(made=made))
