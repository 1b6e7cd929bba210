"""A cell on a desk: the real controller on the simulated board, in virtual time, without network or files.

from hil.bench import bench
cell = bench("examples/paint_cell")
print(cell.order("bonnet", colour="burgundy").run())
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from board.sim import SimBoard
from cell_controller.core import codec, orders, texts, views
from cell_controller.core import events as ev
from cell_controller.core import packml as pm
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from cell_controller.core.orders import Book
from cell_controller.core.ticks import add, diff
from hil.plant import PlantFactory
from host_tools.cellfile import CompiledCell, compile_cell

Record = dict[str, Any]


class BenchError(AssertionError):
    """What a test waited for did not come in virtual time; the message says what the cell did instead."""


class Bench:
    """One cell on the bench. Times are virtual milliseconds; nothing here waits for a real clock.

    `journal` is what is durable; with `hold_back` set, events stay pending until `flush`.
    """

    def __init__(
        self,
        compiled: CompiledCell,
        seed: int = 1,
        start_tick: int = 0,
        plant: PlantFactory | None = None,
    ) -> None:
        self.compiled = compiled
        self.spec = compiled.spec
        self.equipment = compiled.load_equipment()
        self.board = SimBoard(plant, seed=seed, start_tick=start_tick)
        self.board.open(self.spec, compiled.wiring)
        self.journal: list[bytes] = []
        self.pending: list[bytes] = []
        self.hold_back = False
        self.writable = True
        self.records: list[Record] = []
        self.log: list[str] = []
        self.replies: list[Record] = []
        self.observers: list[Callable[[Bench], None]] = []
        self._requests = 0
        self._start()

    def _start(self) -> None:
        """The controller comes up on what is in the journal, as after a power cut."""
        book = Book()
        for data in self.journal:
            _, tick, kind, source, a, b = ev.fields(data)
            book.apply(tick, kind, source, a, b, data[ev.SIZE :])
        phases, states = self.equipment.phases, self.equipment.states
        self.controller = Controller(self.spec, phases, states, book, len(self.journal))
        self._made()
        self.board.read(self.controller.input_image)
        self.controller.boot(self.board.tick())
        self.board.write(self.controller.output_image)
        self._keep()

    def _made(self) -> None:
        """A controller was made and has not booted yet: where a bench built on this one attaches a recorder."""

    def restart(self) -> None:
        """Kill the controller, losing what was not durable, and start it again; the plant goes on as it was."""
        self.pending = []
        self._start()

    def _keep(self) -> None:
        for data in self.controller.take_records():
            self.pending.append(data)
            _, _, kind, source, a, b = ev.fields(data)
            self.log.append(texts.event(self.spec, kind, source, a, b, data[ev.SIZE :]))
        if not self.hold_back and self.writable:
            self.flush()

    def flush(self) -> None:
        """Everything pending becomes durable."""
        for data in self.pending:
            self.journal.append(data)
            _, _, kind, _, _, _ = ev.fields(data)
            if kind == ev.ITEM_END:
                record = codec.unpack(data[ev.SIZE :])
                if isinstance(record, dict):
                    self.records.append(record)
        self.pending = []

    def scan(self, count: int = 1) -> "Bench":
        """Run `count` scans."""
        board, controller = self.board, self.controller
        period = self.spec["scan_ms"]
        for _ in range(count):
            board.sleep_until(add(board.tick(), period))
            board.read(controller.input_image)
            controller.scan(board.tick(), len(self.journal), self.writable)
            board.write(controller.output_image)
            if controller.context.records:
                self._keep()
            if controller.replies:
                self.replies.extend(reply.as_dict() for reply in controller.take_replies())
            for observer in self.observers:
                observer(self)
        return self

    # --- requests ---

    def ask(self, verb: str, origin: str = "local", issuer: str = "bench", **args: Any) -> Record:
        """Send a request and run until its reply is there; the reply comes back."""
        request = Request(origin)
        self._requests += 1
        request.id = f"bench-{self._requests}"
        request.issuer = issuer
        request.verb = verb
        request.args = args
        self.controller.request(request)
        for _ in range(1000):
            self.scan()
            for reply in self.replies:
                if reply["id"] == request.id:
                    return reply
            if self.hold_back:
                self.flush()
        raise BenchError(f"no reply to {verb} {args} within 1000 scans; {self.describe()}")

    def order(self, product: str, count: int = 1, order_id: str = "", **options: Any) -> "Bench":
        """Order `count` items, clearing and resetting the cell first if it has just been started.

        Raises BenchError with the cell's reason if it does not accept the order.
        """
        if self.state == "Aborted" and not self.controller.alarms.blocks_start():
            self.make_ready()
        order_id = order_id or f"ord-{self.controller.book.last_job + 1}"
        reply = self.ask("order.submit", order_id=order_id, product=product, count=count, options=options)
        if not reply["ok"]:
            raise BenchError(f"order refused: {reply['text']}")
        return self

    def command(self, name: str, **args: Any) -> Record:
        """Give a command as the person at the machine; the reply comes back, accepted or refused."""
        return self.ask("command", command=name, **args)

    def answer(self, answer: str) -> Record:
        """Answer the question about the interrupted item: resume, repeat, scrap or done."""
        return self.ask("answer", answer=answer)

    def order_verb(self, verb: str, order_id: str, **args: Any) -> Record:
        """An ISA-95 verb on an order (start, pause, resume, stop, abort, cancel, ...); the reply comes back."""
        return self.ask(f"order.{verb}", order_id=order_id, **args)

    def make_ready(self) -> "Bench":
        """Clear and Reset, each given once the state allows it, until the cell is Idle (or starts by itself)."""
        self.command("clear")
        self.run_until(lambda: self.state == "Stopped", "Stopped")
        self.command("reset")
        self.run_until(lambda: self.state in ("Idle", "Starting", "Execute"), "Idle")
        return self

    def fault(self, name: str, on: bool = True) -> "Bench":
        """Turn a named fault of the simulated board on (or off)."""
        self.board.fault(name, on)
        return self

    def take_part(self) -> "Bench":
        """Take the part off the stand by hand; the plant brings the next one."""
        self.board.plant.remove_part()  # type: ignore[attr-defined]  # of the plants that have parts
        return self

    # --- time ---

    def run(self, within_s: int = 600) -> Record:
        """Run until every open order is made; the record of the last item comes back."""
        self.run_until(lambda: not self.controller.book.open_jobs(), "every order made", within_s)
        return self.records[-1]

    def run_for(self, seconds: float) -> "Bench":
        """Run for a virtual time."""
        return self.scan(max(1, int(seconds * 1000) // self.spec["scan_ms"]))

    def run_until(self, condition: Callable[[], bool], what: str, within_s: float = 120) -> "Bench":
        """Run until `condition()`; BenchError saying `what` was waited for if it does not come in virtual time."""
        start = self.board.tick()
        while not condition():
            if diff(self.board.tick(), start) > within_s * 1000:
                raise BenchError(f"waited {within_s} s for {what}; {self.describe()}")
            self.scan()
        return self

    def run_to(self, state: str, within_s: float = 120) -> "Bench":
        """Run until the cell is in a PackML state."""
        return self.run_until(lambda: self.state == state, state, within_s)

    def run_to_output(self, name: str, at_least: int = 1, within_s: float = 300) -> "Bench":
        """Run until the board drives an output, an analog one with at least this many steps."""
        return self.run_until(lambda: self.output(name) >= at_least, f"output {name} >= {at_least}", within_s)

    def run_to_step(self, step: str, within_s: float = 300) -> "Bench":
        """Run until a step of the item in work is running."""
        return self.run_until(lambda: self.step == step, f"step {step}", within_s)

    # --- what is seen ---

    @property
    def state(self) -> str:
        return pm.STATES[self.controller.machine.state]

    @property
    def reason(self) -> str:
        return views.reason(self.controller)

    @property
    def question(self) -> str:
        return self.controller.question_text() if self.controller.question() else ""

    @property
    def step(self) -> str:
        item = self.controller.book.item
        running = item.running_steps() if item is not None else []
        return str(item.control["steps"][running[0].number]["name"]) if item is not None and running else ""

    @property
    def view(self) -> Record:
        return views.state(self.controller)

    @property
    def counts(self) -> tuple[int, int]:
        """(good, scrapped) items since the journal began."""
        return self.controller.book.good, self.controller.book.scrapped

    def job_state(self, order_id: str) -> str:
        """The ISA-95 state of an order."""
        job = self.controller.book.find(order_id)
        return "" if job is None else orders.STATE_NAMES[job.state]

    @property
    def outputs(self) -> dict[str, int]:
        """Every output as the board drives it, in steps of its resolution."""
        values = self.board.values_of(self.controller.output_image)
        return {entry["name"]: values[i] for i, entry in enumerate(self.spec["outputs"])}

    def output(self, name: str) -> int:
        """What the board drives on an output, in steps of its resolution."""
        names = [entry["name"] for entry in self.spec["outputs"]]
        return self.board.values_of(self.controller.output_image)[names.index(name)]

    def input(self, name: str) -> int:
        """The value of an input as the controller sees it."""
        names = [entry["name"] for entry in self.spec["inputs"]]
        return self.controller.inputs.value[names.index(name)]

    @property
    def damage(self) -> list[str]:
        """What the plant suffered: a test of any scenario ends with none."""
        return list(getattr(self.board.plant, "damage", []))

    @property
    def made(self) -> list[Record]:
        """The parts that left the plant and what was really done to them, whatever the controller believes."""
        told: dict[str, Any] = dict(self.board.plant.state())
        return list(told.get("made", []))

    def describe(self) -> str:
        """The cell in a line or two, for a failure."""
        tail = "; ".join(self.log[-6:])
        crash = self.controller.sequencer.crash or self.controller.routine.crash
        return (
            f"it is {self.state} ({self.reason or views.waiting_for(self.controller)}) {crash}; last: {tail}"
        )


def bench(directory: str | Path, seed: int = 1, start_tick: int = 0) -> Bench:
    """A cell directory on the bench. Raises CellFileError with everything that is wrong in it."""
    return Bench(compile_cell(directory, "sim"), seed, start_tick)
