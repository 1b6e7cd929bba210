"""The application on a stand-in board: built, flashed and run by the real tools, its pins wired to the plant."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from board.remote import Observer
from cell_controller.cpython.broker import Broker, installed, start_broker
from hil.standin import StandIn
from hil.standin_bench import HEAP_KB, Flashed, StandInBench
from host_tools.board_console import ask, wait_healthy, wait_prompt
from host_tools.build import build
from host_tools.client import CellClient
from host_tools.flash import flash
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import SerialPort
from tests.service.process import BASE, ROOT

CELL = ROOT / "examples" / "paint_cell"
SPEED = 10.0
STAYS = (
    b"staying at the prompt, once"  # interrupted before that, the loader would stay there the next time too
)
Record = dict[str, Any]


@pytest.fixture
def board(flashed_boards: Flashed, tmp_path: Path) -> Iterator[StandInBench]:
    """The example cell on a stand-in board."""
    bench = StandInBench(CELL, flashed_boards.copy(CELL, tmp_path / "flash.bin"), SPEED)
    yield bench
    bench.close()


@pytest.fixture
def mosquitto() -> Iterator[Broker]:
    if "mosquitto" not in installed():
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    broker = start_broker("mosquitto")
    yield broker
    broker.stop()


def _settings(file: Path, settings: Record) -> None:
    """Put settings onto the board whose flash is `file`, at its prompt."""
    with StandIn(file, heap_kb=HEAP_KB) as stand_in, SerialPort(stand_in.port) as port:
        wait_healthy(port, 20)
        reply = ask(port, "repl")
        assert reply is not None
        assert reply["ok"], reply
        assert wait_prompt(port, 20)
        repl = RawRepl(port)
        repl.enter(10)
        repl.run(f"f = open('/settings.json', 'w')\nf.write({json.dumps(settings)!r})\nf.close()")
        repl.leave()


@pytest.fixture
def plant(
    flashed_boards: Flashed, tmp_path: Path, mosquitto: Broker
) -> Iterator[tuple[StandInBench, Callable[[], CellClient], Broker]]:
    """A board that speaks to a broker: its bench, how to speak to it over MQTT, and the broker."""
    file = flashed_boards.copy(CELL, tmp_path / "flash.bin")
    _settings(
        file,
        {"broker": {"host": mosquitto.host, "port": mosquitto.port}, "time": {"host": ""}, "serial": "p-1"},
    )
    bench = StandInBench(CELL, file, SPEED)
    clients: list[CellClient] = []

    def client() -> CellClient:
        clients.append(CellClient.mqtt(mosquitto.host, mosquitto.port, BASE, 20))
        return clients[-1]

    yield bench, client, mosquitto
    for one in clients:
        one.close()
    bench.close()


def test_an_order_over_mqtt_is_made_and_its_item_reported(
    plant: tuple[StandInBench, Callable[[], CellClient], Broker],
) -> None:
    bench, client, _ = plant
    bench.make_ready()
    items: list[Record] = []
    stop = threading.Event()

    def heard(topic: str, value: Any) -> None:
        if topic == "items":
            items.append(value)
            stop.set()

    watcher = client()
    thread = threading.Thread(target=watcher.watch, args=(heard, stop))
    thread.start()
    reply = client().request(
        "order.submit", order_id="ord-1", product="bonnet", count=1, options={"colour": "primer"}
    )
    assert reply["ok"], reply
    thread.join(60)
    stop.set()
    assert [(item["serial"], item["order_id"], item["result"]) for item in items] == [(1, "ord-1", "good")]
    assert bench.query("state")["link"]["connected"]
    assert bench.damage == []


def test_a_board_makes_its_orders_while_the_broker_is_away_and_tells_it_afterwards(
    plant: tuple[StandInBench, Callable[[], CellClient], Broker],
) -> None:
    bench, _, broker = plant
    bench.run_until(lambda: bench.query("state")["link"]["connected"], "the link")
    bench.order("bonnet", colour="primer").run_to_step("spray")
    broker.stop()
    bench.run_until(lambda: not bench.query("state")["link"]["connected"], "the loss of the link")
    record = bench.run()
    assert record["result"] == "good"
    bench.run_until(lambda: bench.query("state")["link"]["backlog"] > 0, "records that wait for the broker")
    again = start_broker("mosquitto", broker.port)
    try:
        bench.run_until(lambda: bench.query("state")["link"]["connected"], "the link again", 60)
        bench.run_until(lambda: bench.query("state")["link"]["backlog"] == 0, "everything told", 60)
    finally:
        again.stop()
    assert bench.damage == []


def test_the_prompt_is_refused_while_the_cell_works_and_given_when_it_stands(board: StandInBench) -> None:
    board.order("bonnet", colour="primer").run_to_step("spray")
    refusal = board.ask("repl")
    assert (refusal["ok"], refusal["name"]) == (False, "not_allowed_in_state")
    assert "an item is in work" in refusal["text"]
    assert board.run()["result"] == "good"
    board.run_to("Idle")
    boots = board.stand_in.boots
    assert board.ask("repl")["ok"]
    board.stand_in.wait_boot(boots + 1)
    board._port.read_until(STAYS, 10)
    repl = RawRepl(board._port)
    repl.enter(10)
    assert repl.run("import os\nprint('stay' in os.listdir('/'))").strip() == "False"
    dropped = board.observer.wait_for(
        lambda seen: seen["relay"] == "dropped", "the watchdog relay has dropped"
    )
    seen = dropped["outputs"]
    assert seen["booth_fan"] == 1, "its contact is normally closed"
    assert [seen[name] for name in ("valve_burgundy", "cure_lamp", "clamp", "wrap_roller")] == [0, 0, 0, 0]


def test_the_board_comes_back_aborted_after_the_prompt(board: StandInBench) -> None:
    boots = board.stand_in.boots
    assert board.ask("repl")["ok"]
    board.stand_in.wait_boot(boots + 1)
    board._port.read_until(STAYS, 10)
    RawRepl(board._port).enter(10)
    board.stand_in.reset()
    board._lines.forget()
    board.wait_up()
    assert board.state == "Aborted"
    assert board.ask("about")["data"]["crashes"]["in_a_row"] == 0


def test_outputs_are_safe_in_the_gap_of_a_power_cut_and_after_it(board: StandInBench) -> None:
    board.order("bonnet", colour="burgundy").run_to_output("cure_lamp", 40)
    before = len(board.observer.timeline())
    board.restart()
    changes = board.observer.timeline()[before:]
    cut = [(change["name"], change["value"]) for change in changes].index(
        ("cure_lamp", 0)
    )  # the lamp ramped until then
    assert not [
        c for c in changes[cut:] if c["name"] in ("cure_lamp", "valve_burgundy", "pen") and c["value"]
    ]
    assert board.state == "Aborted"
    assert board.damage == []


# --- an application that is no good ---


def _cell_with(tmp_path: Path, equipment: str) -> Path:
    """A copy of the example whose equipment.py begins with `equipment`."""
    directory = tmp_path / "cell"
    shutil.copytree(CELL, directory, ignore=shutil.ignore_patterns("__pycache__", ".run"))
    file = directory / "equipment.py"
    file.write_text(file.read_text() + equipment)
    return directory


BROKEN = "\nraise ValueError('this equipment does not load')\n"


def test_a_new_application_that_does_not_come_up_is_left_for_the_old_one(
    flashed_boards: Flashed, tmp_path: Path
) -> None:
    file = flashed_boards.copy(CELL, tmp_path / "flash.bin")
    bundle = build(_cell_with(tmp_path, BROKEN), "rp2", out=tmp_path / "broken.cell").bundle
    with StandIn(file, heap_kb=HEAP_KB, cell=CELL, speed=SPEED) as stand_in:
        with SerialPort(stand_in.port) as port:
            before = wait_healthy(port, 20).about
        outcome = flash(stand_in.port, bundle)
        assert not outcome.ok
        assert "this equipment does not load" in outcome.text
        with SerialPort(stand_in.port) as port:
            after = wait_healthy(port, 20).about
    assert after["healthy"]
    assert (after["image_sha256"], after["slot"]) == (before["image_sha256"], before["slot"])


def test_after_three_crashes_in_a_row_nothing_moves_and_the_reason_is_published(
    flashed_boards: Flashed, tmp_path: Path, mosquitto: Broker
) -> None:
    file = flashed_boards.copy(CELL, tmp_path / "flash.bin")
    _settings(file, {"broker": {"host": mosquitto.host, "port": mosquitto.port}, "time": {"host": ""}})
    # an application that comes up well, and hangs when somebody gives Reset
    source = _cell_with(tmp_path, "")
    equipment = source / "equipment.py"
    text = equipment.read_text()
    start = text.index("@state")
    first = text.index('"""\n', text.index('"""', start) + 3) + 4
    equipment.write_text(
        f"def _hang():\n    while True:\n        pass\n\n\n{text[:first]}    _hang()\n{text[first:]}"
    )
    bundle = build(source, "rp2", out=tmp_path / "hangs.cell").bundle
    with StandIn(file, heap_kb=HEAP_KB, cell=CELL, speed=SPEED) as stand_in:
        outcome = flash(stand_in.port, bundle)
        assert outcome.ok, outcome.text
    bench = StandInBench(source, file, 3.0)  # its watchdog bites after 0.7 s then, whatever else runs here
    try:
        for number in range(3):
            boots = bench.stand_in.boots
            assert bench.command("clear")["ok"]
            bench.run_to("Stopped")
            bench._port.write(b'{"id":"hang","issuer":"bench","verb":"command","command":"reset"}\n')
            bench.stand_in.wait_boot(boots + 1)
            seen = bench.observer.observe()["outputs"]
            assert [seen[name] for name in ("valve_primer", "cure_lamp", "clamp")] == [0, 0, 0]
            bench._lines.forget()
            if number < 2:
                bench.wait_up()
        wait_safe = threading.Event()
        states: list[Record] = []

        def heard(topic: str, value: Any) -> None:
            if topic == "state" and value.get("safe_mode"):
                states.append(value)
                wait_safe.set()

        with CellClient.mqtt(mosquitto.host, mosquitto.port, BASE, 20) as client:
            thread = threading.Thread(target=client.watch, args=(heard, wait_safe))
            thread.start()
            thread.join(30)
            wait_safe.set()
        assert states, "safe mode was not published"
        assert states[0]["state"] == "Aborted"
        assert "3 crashes in a row; the last: no scan was completed within" in states[0]["reason"]
        refused = bench.ask("order.submit", order_id="x", product="bonnet", count=1, options={})
        assert refused["name"] == "safe_mode"
        boots = bench.stand_in.boots
        assert bench.ask("restart")["ok"]
        bench.stand_in.wait_boot(boots + 1)
        bench._lines.forget()
        bench.wait_up()
        assert bench.ask("about")["data"]["crashes"]["in_a_row"] == 0
    finally:
        bench.close()


def test_what_watches_the_board_sees_a_bench_that_lies(board: StandInBench) -> None:
    """The looks go to the plant, not to the controller: a pin that is driven behind its back is seen."""
    assert isinstance(board.observer, Observer)
    board.fault("door.open")
    board.run_until(
        lambda: board.query("state")["signals"]["door_closed"]["value"] == 0, "the open door at the input"
    )
