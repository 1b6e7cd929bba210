"""The service where its surroundings fail: no broker, a broker that hangs or dies, a full disk, a damaged journal."""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cell_controller.core import refusals
from cell_controller.cpython.broker import Broker, installed, start_broker
from cell_controller.cpython.recorder import replay
from tests.cpython.bad_broker import BadBroker
from tests.cpython.link_bench import Listener
from tests.service.cuts import facts
from tests.service.forwarder import Forwarder
from tests.service.process import BASE, Service, free_port

StartService = Callable[..., Service]
QUICK = {"colour": "primer"}


def made_by_local_order(service: Service) -> None:
    """An order at the machine is accepted and made, as without any broker."""
    service.run_to("Idle")
    reply = service.ask("order.submit", order_id="here", product="bonnet", options=QUICK)
    assert reply["ok"], reply["text"]
    assert service.run()["result"] == "good"


def test_without_a_broker_at_its_address_the_cell_works_and_takes_orders_at_the_machine(
    start_service: StartService,
) -> None:
    made_by_local_order(start_service(speed=20, broker=f"127.0.0.1:{free_port()}"))


@pytest.mark.parametrize("way", ["silent", "drops_mid_message"])
def test_a_broker_that_misbehaves_does_not_disturb_the_cell(way: str, start_service: StartService) -> None:
    broker = BadBroker(way)
    try:
        service = start_service(speed=20, broker=f"127.0.0.1:{broker.port}")
        made_by_local_order(service)
        assert service.terminate() == 0
    finally:
        broker.close()


def events(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(payload) for topic, payload, _ in list(listener.heard) if topic == f"{BASE}/events"]


def test_what_is_made_while_the_broker_is_dead_is_delivered_afterwards_in_order_and_marked_late(
    start_service: StartService,
) -> None:
    if "mosquitto" not in installed():
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    cable = Forwarder()
    brokers: list[Broker] = []
    listeners: list[Listener] = []
    try:
        brokers.append(start_broker("mosquitto"))
        listeners.append(Listener(brokers[0].port, f"{BASE}/#"))
        cable.to(brokers[0].port)
        service = start_service(speed=20, broker=f"127.0.0.1:{cable.port}")
        service.order("bonnet", colour="green").run_to_step("spray")
        brokers[0].process.kill()
        brokers[0].process.wait()
        cable.to(0)
        service.run()
        brokers.append(start_broker("mosquitto"))
        listeners.append(Listener(brokers[1].port, f"{BASE}/#"))
        cable.to(brokers[1].port)
        last = [0]

        def all_there() -> bool:
            last[0] = sum(1 for _ in facts(service.directory / ".run" / "journal"))
            heard = events(listeners[1])
            return bool(heard) and heard[-1]["seq"] == last[0]

        service.run_until(all_there, "the rest of the journal at the second broker")
        before, after = (events(listener) for listener in listeners)
    finally:
        cable.close()
        for listener in listeners:
            listener.close()
        for broker in brokers:
            broker.stop()
    numbers = [event["seq"] for event in after]
    assert numbers == list(range(numbers[0], last[0] + 1)), "in order, none missing"
    assert numbers[0] <= before[-1]["seq"] + 1
    assert [event["seq"] for event in before] == list(range(1, before[-1]["seq"] + 1))
    assert not any(event["late"] for event in before[-3:])
    ended = next(event for event in after if event["kind"] == "item_end")
    assert ended["late"], "the item was finished while there was no broker"
    assert {event["epoch"] for event in before + after} == {before[0]["epoch"]}


def limit_files(service: Service, size: int) -> None:
    """No file of the process may grow beyond `size` bytes, as on a full disk; RLIM_INFINITY makes room again."""
    hard = resource.prlimit(service.running.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(service.running.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_with_a_full_disk_the_cell_holds_at_a_safe_point_refuses_orders_and_goes_on_when_there_is_room(
    start_service: StartService,
) -> None:
    service = start_service(speed=20)
    service.order("bonnet", count=2, colour="green")
    service.run_until(lambda: bool(service.output("valve_green")), "paint")
    limit_files(service, 4096)
    service.run_to("Held")
    assert service.reason == "the journal cannot be written: free space on its disk"
    view = service.view
    assert not view["journal"]["writable"]
    assert view["item"]["step"] == "spray"
    assert {name: view["outputs"][name] for name in ("valve_green", "cure_lamp", "booth_fan")} == {
        "valve_green": 0,
        "cure_lamp": 0,
        "booth_fan": 1,
    }
    refused = service.ask("order.submit", order_id="b", product="bonnet", options=QUICK)
    assert (refused["ok"], refused["code"]) == (False, refusals.JOURNAL_UNWRITABLE)
    assert service.command("unhold")["name"] == "cause_stands"

    limit_files(service, resource.RLIM_INFINITY)
    service.run_until(lambda: bool(service.view["journal"]["writable"]), "room")
    service.run_until(lambda: bool(service.command("unhold")["ok"]), "Unhold accepted")
    service.run()
    assert [record["serial"] for record in service.records] == [1, 2]
    assert (service.view["good"], service.view["scrapped"]) == (2, 0)
    assert service.ask("order.submit", order_id="b", product="bonnet", options=QUICK)["ok"]


def test_a_damaged_journal_is_said_in_the_log_and_as_an_alarm_and_in_the_trace(
    start_service: StartService, tmp_path: Path
) -> None:
    service = start_service(speed=50)
    service.order("bonnet", count=3, colour="primer").run()
    service.run_to("Idle")
    assert service.terminate() == 0
    journal = service.directory / ".run" / "journal"
    size = journal.stat().st_size
    with journal.open("r+b") as file:  # the newest facts, at the end of the file
        file.seek(size - 8192)
        file.write(b"\xa5" * 8192)

    service.auto = False
    service.trace = tmp_path / "damaged.trace"
    service.start()
    service.running.wait_line("journal journal was damaged")
    assert "the journal was damaged; its good part was kept" in service.alarms
    assert service.state == "Aborted"
    if service.question:  # how an item ended is among what was lost: a person looks and says
        assert service.answer("done")["ok"]
    service.make_ready()
    assert service.terminate() == 0
    played = replay(service.trace, service.directory)
    assert played["ok"], played["text"]


def test_a_garbled_journal_file_begins_a_new_history_and_keeps_the_old_file(
    start_service: StartService,
) -> None:
    service = start_service(up=False, auto=False)
    folder = service.directory / ".run"
    folder.mkdir()
    (folder / "journal").write_bytes(b"not a journal" * 1000)
    service.start()
    assert "the journal was damaged; its good part was kept" in service.alarms
    assert [path.name for path in folder.glob("journal.damaged-*")]
    service.make_ready()
    service.auto = True
    service.order("bonnet", colour="primer").run()


def test_a_journal_directory_that_cannot_be_written_is_one_line_and_an_exit_code(
    start_service: StartService,
) -> None:
    service = start_service(up=False)
    (service.directory / ".run").write_text("a file where the directory should be")
    service.start(wait=False)
    assert service.running.wait_end() == 3
    assert "Traceback" not in service.log


def test_late_orders_are_not_doubled_when_the_desk_sends_them_again(start_service: StartService) -> None:
    service = start_service(speed=50)
    service.run_to("Idle")
    begun = time.monotonic()
    for _ in range(20):
        reply = service.ask("order.submit", order_id="one", product="bonnet", options=QUICK)
        assert reply["ok"], reply["text"]
    service.run()
    assert [record["serial"] for record in service.records] == [1]
    assert time.monotonic() - begun < 20
