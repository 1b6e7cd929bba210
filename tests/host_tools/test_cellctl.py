"""What a person types, what comes back, and the exit code; against a cell that answers from a list."""

import json
import queue
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_controller.cpython import local_socket
from host_tools import cellctl, commands_command
from host_tools.output import DONE, NOT_REACHABLE, REFUSED, TIMED_OUT, USAGE
from tests.host_tools.fake_cell import EXECUTE, HELD, FakeCell, accepted, cell_in_place, refused


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCell]:
    with cell_in_place(monkeypatch) as fake:
        yield fake


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["order", "submit", "bonnet", "burgundy"],
            "'burgundy' is not OPTION=VALUE; for example colour=burgundy",
        ),
        (["order", "submit", "bonnet", "a=1", "a=2"], "option 'a' is given twice"),
        (["order", "submit", "roof", "pattern=@/no/such"], "cannot read /no/such: No such file or directory"),
        (["order", "submit", "bonnet", "--due", "soon"], "'soon' is not a time such as 2030-05-01T16:00"),
        (["order", "submit", "bonnet", "--carriers", "1,x"], "'1,x' is not a list of numbers such as 11,12"),
        (["order", "submit"], "required: PRODUCT"),
        (["order", "update", "ord-1"], "nothing to update; give --priority or --due"),
        (["order"], "see cellctl order --help"),
        (["nonsense"], "see cellctl --help"),
        (["command", "explode"], "see cellctl command --help"),
        (["answer", "x", "resume"], "'x' is not a serial number such as 0007"),
        (["answer", "7", "perhaps"], "choose from 'resume', 'repeat', 'scrap', 'done'"),
        (["fault", "clear"], "give one fault"),
        (["fault", "a", "b"], "give one fault"),
        (["why", "--broker", "127.0.0.1:1883"], "--broker needs --base"),
        (["why", "--base", "a/b"], "--base needs --broker"),
        (["why", "--broker", "h:x", "--base", "a/b"], "--broker h:x is not HOST:PORT"),
        (["why", "--cell", "a", "--broker", "h", "--base", "b"], "give one of them"),
        (["why", "--timeout", "-1"], "outside 0..3600 s"),
        (["check", "/no/such/dir"], "there is no directory /no/such/dir"),
        (["demo", "--speed", "0"], "0 is outside 0.1..1000"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_do(
    cell: FakeCell, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert cellctl.main(words) == USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("cellctl: ")


def test_a_refusal_is_exit_code_1_with_the_reason_on_stderr(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell.replies["command"] = [
        refused("not_allowed_in_state", "Unhold is not allowed in Idle; allowed: Start")
    ]
    assert cellctl.main(["command", "unhold"]) == REFUSED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "refused: Unhold is not allowed in Idle; allowed: Start\n"


def test_with_json_a_refusal_is_one_object_on_stdout(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell.replies["order.cancel"] = [refused("order_started", "ord-1 has started")]
    assert cellctl.main(["order", "cancel", "ord-1", "--json"]) == REFUSED
    assert json.loads(capsys.readouterr().out)["name"] == "order_started"


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["why", "--cell", "paint-9"], NOT_REACHABLE, "not_reachable"),
        (["why", "--broker", "127.0.0.1:9", "--base", "a/b"], NOT_REACHABLE, "not_reachable"),
        (["watch", "paint-9", "--once"], NOT_REACHABLE, "not_reachable"),
    ],
)
def test_a_cell_that_is_not_there_is_exit_code_3(
    cell: FakeCell, capsys: pytest.CaptureFixture[str], words: list[str], code: int, name: str
) -> None:
    assert cellctl.main([*words, "--json"]) == code
    captured = capsys.readouterr()
    reply = json.loads(captured.out)
    assert (reply["ok"], reply["code"], reply["name"]) == (False, code, name)
    assert len(captured.err.splitlines()) == 1


def test_no_answer_in_time_is_exit_code_4(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    cell.replies["query why"] = [TimeoutError("paint-1 did not answer within 5 s")]
    assert cellctl.main(["why"]) == TIMED_OUT
    assert capsys.readouterr().err == "cellctl: paint-1 did not answer within 5 s\n"


def test_over_mqtt_the_broker_and_the_topic_are_used(cell: FakeCell) -> None:
    assert cellctl.main(["why", "--broker", "10.0.0.5", "--base", "leeds/paint-1"]) == DONE
    assert cell.opened == [("mqtt", "10.0.0.5", 1883, "leeds/paint-1")]


@pytest.mark.parametrize("word", sorted(commands_command.COMMANDS))
def test_each_command_reaches_the_cell(cell: FakeCell, word: str) -> None:
    assert cellctl.main(["command", word, "--wait", "0"]) == DONE
    assert cell.asked == [("command", {"command": word.replace("-", "_")})]


@pytest.mark.parametrize(("typed", "sent"), [("2", 2), ("manual", "manual")])
def test_a_mode_is_given_by_number_or_name(cell: FakeCell, typed: str, sent: object) -> None:
    assert cellctl.main(["command", "mode", typed, "--wait", "0"]) == DONE
    assert cell.asked == [("command", {"command": "mode", "mode": sent})]


def test_a_mode_of_the_standard_may_be_typed_in_small_letters(cell: FakeCell) -> None:
    cell.replies["command"] = [refused("mode_unknown", "no such mode"), accepted("mode Manual")]
    assert cellctl.main(["command", "mode", "manual", "--wait", "0"]) == DONE
    assert [fields["mode"] for fields in cell.sent("command")] == ["manual", "Manual"]


def test_control_is_released_to_a_station_by_name(cell: FakeCell) -> None:
    assert cellctl.main(["command", "release-control", "--to", "ann@office", "--wait", "0"]) == DONE
    assert cell.asked == [("command", {"command": "release_control", "to": "ann@office"})]


def test_a_command_shows_the_state_it_led_to(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    holding = {**HELD, "state": "Holding"}
    cell.replies["query state"] = [accepted(**holding), accepted(**holding), accepted(**HELD)]
    assert cellctl.main(["command", "hold"]) == DONE
    assert capsys.readouterr().out == "accepted\npaint-1 HELD: clamp did not close within 2 s\n"


def test_the_wait_for_the_state_is_bounded(cell: FakeCell) -> None:
    cell.replies["query state"] = [accepted(**{**HELD, "state": "Holding"})]
    assert cellctl.main(["command", "hold", "--wait", "1"]) == DONE
    assert len(cell.sent("query")) == 5


def test_a_fault_shows_what_came_of_it_and_the_outputs(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell.replies["fault"] = [accepted("fault clamp.jam is on")]
    cell.replies["query state"] = [accepted(**EXECUTE), accepted(**HELD)]
    assert cellctl.main(["fault", "clamp.jam"]) == DONE
    assert cell.sent("fault") == [{"name": "clamp.jam", "on": True}]
    assert capsys.readouterr().out == (
        "fault clamp.jam is on\n"
        "paint-1 HELD: clamp did not close within 2 s\n"
        "outputs: booth_fan on; off: clamp, cure_lamp\n"
    )


def test_a_fault_on_an_idle_cell_says_how_to_see_it(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cellctl.main(["fault", "clamp.jam"]) == DONE
    assert "order something: cellctl order submit" in capsys.readouterr().out


def test_a_fault_is_cleared_by_name(cell: FakeCell) -> None:
    assert cellctl.main(["fault", "clear", "clamp.jam"]) == DONE
    assert cell.asked == [("fault", {"name": "clamp.jam", "on": False})]


def test_fault_alone_lists_the_faults(cell: FakeCell, capsys: pytest.CaptureFixture[str]) -> None:
    cell.replies["query faults"] = [accepted(faults=["air.low", "clamp.jam"], active=["clamp.jam"])]
    assert cellctl.main(["fault"]) == DONE
    assert capsys.readouterr().out == "air.low\nclamp.jam  (on)\n"


def test_an_answer_takes_the_serial_as_it_is_printed(cell: FakeCell) -> None:
    assert cellctl.main(["answer", "0007", "repeat"]) == DONE
    assert cell.asked == [("answer", {"item": 7, "answer": "repeat"})]


def test_confirm_means_the_item_in_work(cell: FakeCell) -> None:
    cell.replies["query state"] = [accepted(**EXECUTE)]
    assert cellctl.main(["confirm", "82.5"]) == DONE
    assert cell.sent("confirm") == [{"item": 7, "value": 82.5}]


def test_confirm_without_an_item_in_work_is_wrong_usage(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cellctl.main(["confirm"]) == USAGE
    assert "cellctl why" in capsys.readouterr().err


def test_why_says_the_cause_the_remedy_and_what_is_allowed(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {
        "text": "clamp did not close within 2 s",
        "remedy": "remove the cause, then Unhold",
        "consequence": "hold",
        "cause": "over",
        "acknowledged": False,
    }
    cell.replies["query why"] = [
        accepted(
            state="Held",
            reason="clamp did not close within 2 s",
            waiting_for="",
            question={},
            lines=[line, {**line, "text": "clamp is blocked", "remedy": "", "cause": "still there"}],
            allowed=["Unhold", "Stop", "Abort"],
            control="local",
        )
    ]
    assert cellctl.main(["why"]) == DONE
    assert capsys.readouterr().out.splitlines() == [
        "Held: clamp did not close within 2 s",
        "  clamp did not close within 2 s; its cause is over",
        "    remove the cause, then Unhold",
        "  clamp is blocked; its cause is still there",
        "allowed now: Unhold, Stop, Abort (control: local)",
    ]


def test_why_of_an_idle_cell_says_what_it_waits_for(
    cell: FakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell.replies["query why"] = [
        accepted(state="Idle", waiting_for="an order", allowed=["Start"], control="auto")
    ]
    assert cellctl.main(["why"]) == DONE
    assert capsys.readouterr().out == "Idle: waits for an order\nallowed now: Start (control: auto)\n"


QUERIES = [
    ["order", "list"],
    ["order", "show", "ord-1"],
    ["why"],
    ["items"],
    ["fault"],
    ["watch", "--once", "--cell", "paint-1"],
    ["command", "hold"],
    ["fault", "clamp.jam"],
    ["order", "submit", "bonnet"],
    ["confirm", "--item", "3"],
    ["completion", "bash"],
]


@pytest.mark.parametrize("words", QUERIES, ids=" ".join)
def test_json_is_exactly_one_object(
    cell: FakeCell, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert cellctl.main([*words, "--json"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["ok"] is True


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator["queue.Queue[Any]"]:
    """The real local socket of a cell `paint-1`; the test plays the cell behind it."""
    requests: queue.Queue[Any] = queue.Queue()
    with tempfile.TemporaryDirectory(
        prefix="cc-"
    ) as folder:  # short: a socket's path has 107 characters at most
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        path = local_socket.socket_path("paint-1")
        server = local_socket.LocalServer(path, requests)
        server.start()
        local_socket.register("paint-1", Path(folder), path, "127.0.0.1", 1883, "leeds/paint-1")

        def answer() -> None:
            while (request := requests.get()) is not None:
                if request.args.get("what") != "items":
                    server.offer_reply(request.token, accepted(f"{request.verb} from {request.origin}"))

        cell = threading.Thread(target=answer)
        cell.start()
        yield requests
        requests.put(None)
        cell.join(5)
        assert server.stop()


def test_the_one_cell_on_this_machine_is_found_and_asked(
    console: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cellctl.main(["answer", "7", "scrap"]) == DONE
    assert capsys.readouterr().out == "answer from local\n"


def test_a_cell_that_says_nothing_is_exit_code_4(console: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert cellctl.main(["items", "--timeout", "0.05"]) == TIMED_OUT
    assert "did not answer within 0.05 s" in capsys.readouterr().err


def test_without_any_cell_the_error_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for words in (["why"], ["watch"]):
        assert cellctl.main(words) == NOT_REACHABLE
        assert "cellctl run DIR --board sim" in capsys.readouterr().err
