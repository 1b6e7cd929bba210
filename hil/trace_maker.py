"""Makes a trace in which a paint cell lives through everything it can: for proof that a replay is the same to the bit.

    made = make("examples/paint_cell", seed=1)

Virtual time and one seed: the same call makes the same bytes. A trace that misses something is an error, not a trace.
"""

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from cell_controller.core import alarms as al
from cell_controller.core import packml as pm
from cell_controller.core.envelope import Request
from hil.bench import BenchError
from hil.paint_plant import PaintPlant
from hil.recorded_bench import RecordedBench
from hil.trace_coverage import Coverage
from hil.trouble import TROUBLES, troubled
from host_tools.cellfile import CompiledCell, compile_cell

WRAP = 1 << 29
FAULT_SCANS = 40
_RECOVERY_ROUNDS = 40
PATTERN = "5f" * 32
_MANY_ROUNDS = 4000
_NEEDS_PERSON = (pm.ABORTED, pm.STOPPED, pm.HELD, pm.COMPLETE)
_WAYS_BACK = {
    "Aborted": "clear",
    "Stopped": "reset",
    "Complete": "reset",
    "Held": "unhold",
    "Suspended": "unsuspend",
}

Json = dict[str, Any]

MADE: tuple[tuple[str, Json], ...] = (
    ("bonnet", {"colour": "primer", "pinstripe": "Ada & Co."}),
    ("roof", {"colour": "tartan", "pattern": PATTERN, "pinstripe": "M-7"}),
)

CANCELLED: tuple[tuple[str, Json], ...] = (
    ("bonnet", {"colour": "green", "finish": "gloss", "pinstripe": ""}),
    ("bonnet", {"colour": "burgundy", "finish": "satin"}),
    ("roof", {"colour": "burgundy", "finish": "gloss"}),
    ("roof", {"colour": "green", "finish": "satin"}),
    ("roof", {"colour": "primer", "pattern": PATTERN}),
)

REFUSED: tuple[Json, ...] = (
    {"product": "door", "options": {}},
    {"product": "bonnet", "options": {}},
    {"product": "bonnet", "options": {"colour": "pink"}},
    {"product": "bonnet", "options": {"colour": ["green"]}},
    {"product": "bonnet", "options": {"colour": {"a": 1}}},
    {"product": "bonnet", "options": {"colour": None}},
    {"product": "bonnet", "options": {"colour": True}},
    {"product": "bonnet", "options": {"colour": "green", "size": 3}},
    {"product": "bonnet", "options": {"colour": "primer", "finish": "gloss"}},
    {"product": "bonnet", "options": {"colour": "green", "pinstripe": "é"}},
    {"product": "bonnet", "options": {"colour": "green", "pinstripe": "long " * 9}},
    {"product": "bonnet", "options": {"colour": "green", "coats": 9}},
    {"product": "bonnet", "options": {"colour": "green", "coats": ("dec", 25, -1)}},
    {"product": "roof", "options": {"colour": "tartan"}},
    {"product": "roof", "options": {"colour": "tartan", "pattern": "00"}},
    {"product": "roof", "options": []},
    {"product": "roof", "options": {"colour": "green"}, "count": 0},
    {"product": "roof", "options": {"colour": "green"}, "count": -3},
    {"product": "roof", "options": {"colour": "green"}, "count": True},
    {"product": "roof", "options": {"colour": "green"}, "count": 100_000_000_000},
    {"product": "roof", "options": {"colour": "green"}, "count": ("dec", 15, -1)},
    {"product": "roof", "options": {"colour": "green"}, "priority": 10},
    {"product": "roof", "options": {"colour": "green"}, "due": "tomorrow"},
    {"product": "roof", "options": {"colour": "green"}, "carriers": [1, 2]},
    {"product": "roof", "options": {"colour": "green"}, "allowed": "yes"},
    {"product": "roof", "options": {"colour": "green"}, "colour": "green"},
    {"product": 7},
)


class _CoveredBench(RecordedBench):
    """A recorded bench whose every event and scan is counted."""

    coverage: Coverage | None = None

    def _keep(self) -> None:
        if self.coverage is not None:
            for data in self.controller.context.records:
                self.coverage.record(data)
        super()._keep()

    def _scanned(self) -> None:
        super()._scanned()
        if self.coverage is not None:
            self.coverage.scanned()


class TraceMaker:
    """Drives a bench through the whole script; `traces` are its result."""

    def __init__(self, compiled: CompiledCell, seed: int, equipment_sha256: str) -> None:
        def change(phases: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
            return troubled(phases, "pinstripe", "pinstripe", "pen")

        # the tick wraps 12 s after the start, while the first item is painted
        self.bench = _CoveredBench(compiled, seed, WRAP - 12_000, equipment_sha256, change)
        self.random = random.Random(seed)
        self.coverage = Coverage(self.bench)
        self.bench.coverage = self.coverage
        self.bench.observers.append(lambda _: self._take_scrap_away())
        self.coverage.note("clean start")
        self._orders = 0

    def make(self) -> list[bytes]:
        """The whole script; the traces come back, one a boot or segment."""
        self._first_orders()
        self._refused_orders()
        self._verbs()
        self._explore_states()
        self._faults()
        self._journal_trouble()
        self._interruptions()
        self._troubled_phases()
        self._control()
        self._recipes()
        self._end()
        missing = self.coverage.missing()
        if missing:
            raise BenchError(f"the trace misses {len(missing)} things: " + "; ".join(missing[:40]))
        return self.bench.traces

    # --- small steps ---

    def order(self, product: str, count: int = 1, options: Json | None = None, **more: Any) -> str:
        """Order something; its id comes back. Raises BenchError where it is refused."""
        self._orders += 1
        order_id = f"t-{self._orders}"
        reply = self.ask(
            "order.submit", order_id=order_id, product=product, count=count, options=options, **more
        )
        if not reply["ok"]:
            raise BenchError(f"order refused: {reply['text']}")
        return order_id

    def ask(self, verb: str, origin: str = "local", issuer: str = "bench", **args: Any) -> Json:
        """A request and its reply."""
        reply = self.bench.ask(verb, origin, issuer, **args)
        if verb.startswith("order."):
            self.coverage.verbs.add(f"{verb} {'accepted' if reply['ok'] else 'refused'}")
        return reply

    def send(self, verb: str, **args: Any) -> None:
        """A request whose reply nobody waits for: it is read in the next scan."""
        request = Request("local")
        request.id = f"sent-{self.bench.scans}"
        request.issuer = "maker"
        request.verb = verb
        request.args = args
        self.bench.controller.request(request)

    def post(self, command: str) -> None:
        """A command, sent."""
        self.send("command", command=command)

    def recover(self) -> None:
        """From wherever the cell is to Idle or Execute, as a person would: causes away, questions answered."""
        bench = self.bench
        for name in bench.board.active_faults():
            bench.fault(name, False)
        for _ in range(_RECOVERY_ROUNDS):
            if bench.question:
                bench.answer(self.random.choice(("resume", "repeat", "scrap", "done")))
            if bench.state in ("Idle", "Execute") and not bench.controller.alarms.blocks_start():
                return
            way = _WAYS_BACK.get(bench.state)
            if way is not None:
                bench.command("acknowledge")
                bench.command(way)
            bench.scan(30)
            if bench.controller.alarms.blocks_start():
                bench.command("acknowledge")
        raise BenchError(f"no way back; {bench.describe()}")

    def finish(self, within_s: int = 400) -> None:
        """Run until nothing is left to make, recovering whatever stops it."""
        bench = self.bench
        for _ in range(within_s):
            if not bench.controller.book.open_jobs():
                return
            bench.scan(100)
            if bench.controller.machine.state in _NEEDS_PERSON or bench.question:
                self.recover()
        raise BenchError(f"orders are not finished within {within_s} s; {bench.describe()}")

    def drop_orders(self) -> None:
        """Abort every open order, and get ready again."""
        for job in list(self.bench.controller.book.open_jobs()):
            self.ask("order.abort", order_id=job.order_id)
            self.bench.scan(5)
        self.bench.scan(400)
        self.recover()

    def _take_scrap_away(self) -> None:
        """Somebody walks by once a second and takes a scrapped part off the stand when the cell asks for it."""
        alarms = self.bench.controller.alarms
        if self.bench.scans % 100 == 0 and alarms.entries and alarms.find(al.PART_LEFT) is not None:
            self.coverage.note("scrap taken away")
            cast(PaintPlant, self.bench.board.plant).remove_part()

    # --- the script ---

    def _first_orders(self) -> None:
        """The wrap in the middle of a painted item, then the other ways to make one; every option is ordered."""
        bench = self.bench
        bench.order("bonnet", order_id="first", colour="burgundy").run()
        for product, options in MADE:
            self.order(product, 1, options)
        for product, options in CANCELLED:
            self.ask("order.cancel", order_id=self.order(product, 2, options))
        self.finish()

    def _refused_orders(self) -> None:
        for number, wrong in enumerate(REFUSED):
            self.ask("order.submit", order_id=f"wrong-{number}", **wrong)
        for order_id in ("", "a/b", "x" * 65, 7):
            self.ask("order.submit", order_id=order_id, product="bonnet", options={"colour": "green"})
        self.ask("order.submit", order_id="first", product="bonnet", options={"colour": "burgundy"})
        self.ask("order.submit", order_id="first", product="bonnet", options={"colour": "green"})
        for verb in (
            "start",
            "revoke_start",
            "update",
            "cancel",
            "clear",
            "pause",
            "resume",
            "stop",
            "abort",
        ):
            self.ask(f"order.{verb}", order_id="nobody")
        self.ask("confirm", value=("dec", 15, -1))
        self.ask("answer", answer="resume")
        self.ask("command", command="dance")
        self.ask("command", command=["stop"])
        self.ask("command", command="mode", mode="Party")

    def _verbs(self) -> None:
        """Every verb of an order, accepted and refused."""
        bench = self.bench
        ask = self.ask
        held_back = self.order("bonnet", 1, {"colour": "primer"}, allowed=False, due=1_800_000_000)
        ask("order.update", order_id=held_back, priority=9, due=0)
        ask("order.update", order_id=held_back, priority=11)
        ask("order.update", order_id=held_back, colour="green")
        ask("order.start", order_id=held_back)
        bench.run_to("Execute")
        for verb in ("start", "cancel", "revoke_start", "resume", "clear"):
            ask(f"order.{verb}", order_id=held_back)
        ask("order.update", order_id=held_back, priority=1)
        self.finish()
        ask("order.clear", order_id=held_back)
        several = self.order("bonnet", 3, {"colour": "primer"}, carriers=[71, 72, 73])
        bench.scan(600)
        ask("order.abort", order_id=several)
        self.recover()
        several = self.order("roof", 3, {"colour": "primer"})
        waiting = self.order("bonnet", 1, {"colour": "green"}, priority=2)
        bench.scan(100)
        ask("order.revoke_start", order_id=waiting)
        ask("order.cancel", order_id=waiting)
        ask("order.pause", order_id=several)
        ask("order.pause", order_id=waiting)
        bench.run_to("Suspended")
        ask("order.resume", order_id=several)
        bench.run_to("Execute")
        bench.scan(100)
        ask("order.stop", order_id=several)
        ask("order.stop", order_id=waiting)
        ask("order.abort", order_id=waiting)
        self.finish()

    def _explore_states(self) -> None:
        """Every command in every state of every mode. No part is on the stand, so no item comes in between."""
        bench = self.bench
        bench.command("take_control")
        bench.fault("part.missing")
        for mode in sorted(bench.controller.disabled_masks):
            self._explore_mode(mode)
        self._to(pm.STOPPED)
        bench.command("mode", mode=1)
        bench.command("release_control")
        self.drop_orders()

    def _explore_mode(self, mode: int) -> None:
        bench, coverage = self.bench, self.coverage
        self._to(pm.STOPPED)
        bench.command("mode", mode=mode)
        for _ in range(_MANY_ROUNDS):
            controller = bench.controller
            if not controller.book.open_jobs():
                self._orders += 1
                order_id = f"t-{self._orders}"
                self.send("order.submit", order_id=order_id, product="bonnet", options={"colour": "primer"})
            state = controller.machine.state
            left = coverage.left(mode, state)
            table = controller.machine.table
            refused = [c for c in left if not table[state * pm.COLUMNS + c]]
            if refused:
                for command in refused[:4]:
                    self.post(pm.COMMANDS[command].lower())
            elif left:
                self._permit()
                self.post(pm.COMMANDS[left[0]].lower())
            else:
                goals = [s for s in coverage.wanted(mode) if coverage.left(mode, s)]
                if not goals:
                    return
                self._toward(goals)
            bench.scan()
        raise BenchError(f"mode {mode} was not explored; left: {coverage.missing()[:20]}")

    def _permit(self) -> None:
        """What a person does before a command that moves: acknowledge, answer."""
        if self.bench.controller.alarms.blocks_start():
            self.post("acknowledge")

    def _toward(self, goals: list[int]) -> None:
        """One command on the shortest way from here to one of the states `goals`, if one is needed now."""
        controller = self.bench.controller
        table, start = controller.machine.table, controller.machine.state
        first: dict[int, int] = {start: 0}
        edge = [start]
        while edge:
            state = edge.pop(0)
            for command in range(1, pm.COLUMNS):
                target = table[state * pm.COLUMNS + command]
                if not target or target in first:
                    continue
                first[target] = first[state] or command
                edge.append(target)
                if target in goals:
                    if first[target] != pm.SC:
                        self._permit()
                        self.post(pm.COMMANDS[first[target]].lower())
                    return
        raise BenchError(f"no way from {pm.STATES[start]} to {[pm.STATES[g] for g in goals]}")

    def _to(self, goal: int) -> None:
        for _ in range(1000):
            if self.bench.controller.machine.state == goal:
                return
            self._toward([goal])
            self.bench.scan(2)
        raise BenchError(f"{pm.STATES[goal]} was not reached; {self.bench.describe()}")

    def _faults(self) -> None:
        """Every fault of the board, switched on somewhere in an item and off again."""
        bench = self.bench
        for name in bench.board.faults():
            if not bench.controller.book.open_jobs():
                self.order("bonnet", 2, {"colour": "primer"})
            if bench.state == "Idle":
                bench.command("start")
            bench.scan(self.random.randrange(20, 180))
            self.ask("command", command=self.random.choice(("acknowledge", "hold", "suspend", "unhold")))
            bench.fault(name)
            self.coverage.faults.add(name)
            bench.scan(FAULT_SCANS + self.random.randrange(FAULT_SCANS))
            bench.fault(name, False)
            self.recover()
        self.finish()

    def _troubled_phases(self) -> None:
        """Phases that raise, and phases that object to being closed."""
        bench = self.bench
        for text in TROUBLES:
            self.order("bonnet", 1, {"colour": "primer", "pinstripe": text})
            bench.run_until(lambda: bench.step == "pinstripe" or bench.state == "Aborted", text)
            bench.scan(8)
            bench.command("abort")
            bench.scan(20)
            bench.command("acknowledge")
            if bench.question:
                bench.answer("done")
            self.recover()
            self.drop_orders()

    def _journal_trouble(self) -> None:
        """Nothing becomes durable for a while, late, or at all."""
        bench = self.bench
        self.order("bonnet", 1, {"colour": "primer"})
        bench.scan(150)
        bench.hold_back = True
        bench.scan(150)
        bench.flush()
        bench.hold_back = False
        self.coverage.note("durable lag")
        bench.scan(40)
        bench.writable = False
        bench.scan(700)
        self.ask("order.submit", order_id="no-room", product="bonnet", options={"colour": "green"})
        self.ask("command", command="hold")
        bench.writable = True
        bench.flush()
        self.recover()
        self.finish()

    def _interruptions(self) -> None:
        """The four answers, given after an abort, a stop and a power cut, one of them twice."""
        bench = self.bench
        for number, answer in enumerate(("resume", "repeat", "scrap", "done")):
            self.order("bonnet", 1, {"colour": "green" if number == 0 else "primer"})
            bench.run_to_step("spray")
            bench.scan(700 if number == 0 else 60 * number)
            if number % 2:
                bench.command("abort" if number == 1 else "stop")
                bench.scan(50)
            if number != 1:
                bench.restart()
                self.coverage.note("start with an item open")
                bench.scan(7)
            if number == 2:
                bench.restart()
            bench.command("start")
            self.ask("answer", answer="perhaps")
            self.ask("answer", item=9999, answer=answer)
            self.ask("answer", origin="mqtt", issuer="stranger", answer=answer)
            bench.answer(answer)
            bench.command("clear")
            bench.scan(20)
            self.finish()

    def _control(self) -> None:
        """A remote station without control, with it, and without it again."""
        bench = self.bench
        for command in ("start", "reset", "clear", "take_control", "release_control", "acknowledge", "mode"):
            self.ask("command", "mqtt", "desk-1", command=command, mode=3)
        self.coverage.note("command without control")
        bench.command("release_control", to="desk-1")
        self.coverage.note("control released")
        bench.command("reset")
        bench.command("release_control", to="x" * 65)
        self.order("roof", 1, {"colour": "primer"})
        self.ask("command", "mqtt", "desk-1", command="start")
        bench.scan(200)
        self.ask("command", "mqtt", "desk-2", command="stop")
        bench.scan(300)
        bench.command("take_control")
        self.coverage.note("control taken")
        bench.command("mode", mode="Manual")
        bench.command("mode", mode=1)
        bench.command("release_control")
        self.recover()
        self.finish()

    def _recipes(self) -> None:
        """A changed recipe: between two items, and while one is made; and the same one again."""
        bench = self.bench
        recipe = copy.deepcopy(bench.controller.production.recipes[0])
        recipe["params"][0]["default"] += 1
        bench.controller.offer_recipe(recipe)
        bench.scan(3)
        self.order("bonnet", 2, {"colour": "primer"})
        bench.scan(200)
        recipe = copy.deepcopy(recipe)
        recipe["options"][0]["values"].append(
            {"value": "grey", "text": "primer, grey", "set": [["coats", 1]], "skip": ["cure"], "add": []}
        )
        recipe["options"][0]["values"][-1]["use"] = "primer"
        bench.controller.offer_recipe(recipe)
        bench.controller.offer_recipe(copy.deepcopy(recipe))
        self.order("bonnet", 1, {"colour": "grey"})
        self.finish()

    def _end(self) -> None:
        """Long enough in all, a new segment, and a clean end."""
        bench = self.bench
        bench.run_to("Idle")
        bench.scan(50)
        if not bench.turn():
            raise BenchError(f"no new segment can begin; {bench.describe()}")
        self.order("roof", 1, {"colour": "primer"})
        self.finish()
        bench.restart()
        bench.scan(20)
        bench.controller.leave()
        bench.scan(20)
        bench.shut_down()


def make(directory: str | Path, seed: int = 1, equipment_sha256: str = "") -> TraceMaker:
    """A maker that has made its traces. Raises BenchError with what they miss."""
    maker = TraceMaker(compile_cell(directory), seed, equipment_sha256)
    maker.make()
    return maker
