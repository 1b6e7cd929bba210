"""How the live view looks and what it says about a change, from recorded state views."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from host_tools.output import ToolError
from host_tools.watch import COLOURS, CellScreen, Feed, changes, show

SPRAYING: dict[str, Any] = {
    "cell": "paint-1",
    "state": "Execute",
    "state_number": 6,
    "mode": "Production",
    "state_s": 75,
    "control": "local",
    "reason": "",
    "order": {
        "order_id": "shop-103",
        "product": "bonnet",
        "options": {"colour": "burgundy", "pattern": "ab" * 32, "pinstripe": ""},
        "count": 1,
        "good": 0,
    },
    "item": {
        "serial": 3,
        "step": "spray",
        "step_number": 2,
        "steps": 5,
        "mark": 1,
        "of": 3,
        "counts": "coat",
    },
    "waiting_for": "",
    "question": {},
    "queue": 9,
    "good": 2,
    "scrapped": 0,
    "energy_wh": 412,
    "outputs": {"booth_fan": 1, "valve_burgundy": 1, "clamp": 0},
    "alarms": [],
    "recipes": {"bonnet": 4},
    "signals": {
        "airflow": {"value": 5.1, "unit": "m3/min", "quality": "good"},
        "panel_temp": {"value": 23, "unit": "degC", "quality": "stale"},
    },
}
HELD = {
    **SPRAYING,
    "state": "Held",
    "reason": "clamp did not close within 2 s",
    "alarms": ["clamp did not close within 2 s"],
    "outputs": {"booth_fan": 1, "valve_burgundy": 0, "clamp": 0},
}
LABELS = {"airflow": "air", "panel_temp": "panel"}


def screen(*views: dict[str, Any]) -> CellScreen:
    made = CellScreen("paint-1", LABELS, clock=lambda: "10:31:05")
    made.orders = 12
    for view in views:
        made.see_state(view)
    return made


def rendered(made: CellScreen) -> str:
    console = Console(record=True, width=100, force_terminal=False)
    console.print(made.panel())
    return console.export_text()


def test_the_title_tells_the_whole_story_in_one_line() -> None:
    expected = "paint-1 EXECUTE order 3/12 bonnet burgundy spray coat 2/3 air 5.1"
    assert screen(SPRAYING).title() == expected


def test_without_a_total_the_title_counts_the_items_of_the_order() -> None:
    made = CellScreen("paint-1")
    made.see_state(SPRAYING)
    assert made.headline() == "paint-1 EXECUTE order shop-103 1/1 bonnet burgundy spray coat 2/3"


def test_the_panel_shows_what_matters_with_units() -> None:
    text = rendered(screen({**SPRAYING, "energy_wh": 400.5}, SPRAYING)).replace("\u00a0", " ")
    for part in (
        "EXECUTE for 1 min 15 s",
        "shop-103  bonnet burgundy  good 0/1",
        "0003  step 2/5 spray  coat 2/3",
        "air 5.1 m3/min   panel 23 °C?",
        "booth fan, valve burgundy",
        "good 2   energy 12 Wh",
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_scrap_is_shown_once_there_is_some() -> None:
    assert "scrapped" not in rendered(screen(SPRAYING))
    assert "good 2   scrapped 1" in rendered(screen({**SPRAYING, "scrapped": 1}))


def test_without_a_total_the_meter_is_shown_once() -> None:
    made = CellScreen("paint-1")
    meter = {"energy": {"value": 12412.5, "unit": "Wh", "quality": "good"}}
    made.see_state({**SPRAYING, "energy_wh": 12412.5, "signals": {**SPRAYING["signals"], **meter}})
    text = rendered(made)
    assert "good 2   orders open 9   meter 12.4 kWh" in text
    assert "12412.5" not in text


def test_trouble_stands_on_top_and_the_state_has_its_colour() -> None:
    made = screen(SPRAYING, HELD)
    lines = rendered(made).splitlines()
    assert "clamp did not close within 2 s" in lines[1]
    assert made.panel().border_style == "yellow"


def test_a_question_says_how_to_answer_it() -> None:
    question = {
        "item": 7,
        "text": "item 0007 interrupted in spray, coat 2 of 3: resume | repeat | scrap | done?",
    }
    made = screen({**HELD, "question": question})
    assert made.trouble() == f"{question['text']}   cellctl answer 0007 …"


def test_every_state_of_the_standard_has_a_colour() -> None:
    assert len(COLOURS) == 17


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (HELD, ["Held: clamp did not close within 2 s"]),
        ({**SPRAYING, "good": 3, "item": {}}, ["item 0003 good"]),
        ({**SPRAYING, "scrapped": 1}, ["item 0003 scrap"]),
        ({**SPRAYING, "item": {"serial": 4}}, ["item 0004 started: bonnet burgundy"]),
        ({**SPRAYING, "recipes": {"bonnet": 5}}, ["bonnet@5 from the next item"]),
        (SPRAYING, []),
    ],
)
def test_what_changed_is_said_as_a_person_would(after: dict[str, Any], said: list[str]) -> None:
    assert changes(SPRAYING, after) == said


def test_only_the_last_events_are_kept() -> None:
    made = screen()
    for number in range(20):
        made.see_event(f"event {number}")
    assert list(made.events) == [f"10:31:05 event {number}" for number in range(14, 20)]


def test_a_measured_value_keeps_its_digit_when_it_is_whole() -> None:
    made = screen(SPRAYING)
    made.see_signal("airflow", {"value": 5, "unit": "m3/min", "quality": "good"})
    assert made.signal_texts()[0] == "air 5.0 m3/min"


def test_a_cell_that_does_not_answer_is_shown_as_such_until_it_is_back() -> None:
    made = screen(SPRAYING)
    made.see_loss("paint-1 does not answer")
    assert made.headline() == "paint-1 NO ANSWER paint-1 does not answer"
    assert made.panel().border_style == "red"
    made.see_state(SPRAYING)
    assert made.headline().startswith("paint-1 EXECUTE")


def test_plain_gives_one_line_a_change_and_none_for_a_flickering_value() -> None:
    warmer = {**SPRAYING, "signals": {"airflow": {"value": 5.3, "unit": "m3/min", "quality": "good"}}}
    views = [SPRAYING, warmer, SPRAYING, HELD, HELD]
    made = screen()
    lines: list[str] = []

    def refresh() -> bool:
        made.see_state(views.pop(0))
        return bool(views)

    show([made], refresh, Console(), plain=True, line=lines.append, pause=lambda seconds: None)
    assert lines == [
        "paint-1 EXECUTE order 3/12 bonnet burgundy spray coat 2/3 air 5.1",
        "paint-1 HELD order 3/12 bonnet burgundy spray coat 2/3 air 5.1: clamp did not close within 2 s",
    ]


def test_the_live_screen_shows_every_cell() -> None:
    console = Console(record=True, width=100, force_terminal=True)
    first, second = screen(SPRAYING), CellScreen("fit-1")
    show([first, second], lambda: False, console, plain=False, line=lambda text: None, pause=lambda s: None)
    text = console.export_text()
    assert "paint-1 EXECUTE" in text
    assert "fit-1 waiting for its first word" in text


class FakeClient:
    """Says what it is given, then waits, or loses the connection."""

    def __init__(self, said: list[tuple[str, Any]], lose: bool = False) -> None:
        self._said = said
        self._lose = lose
        self.closed = threading.Event()
        self.spoken = threading.Event()

    def request(self, verb: str, **fields: Any) -> dict[str, Any]:
        raise AssertionError("a feed only listens")

    def watch(self, callback: Callable[[str, Any], object], stop: threading.Event | None = None) -> None:
        for topic, value in self._said:
            callback(topic, value)
        self.spoken.set()
        if self._lose:
            raise ConnectionError("broker 127.0.0.1:1883: gone")
        if stop is not None:
            stop.wait(5)

    def close(self) -> None:
        self.closed.set()


def test_a_feed_brings_states_and_signals_to_the_screen() -> None:
    client = FakeClient([("state", SPRAYING), ("signals/airflow", {"value": 6.25, "unit": "m3/min"})])
    feed = Feed(screen(), lambda: client)
    feed.start()
    assert client.spoken.wait(5)
    feed.drain()
    assert feed.screen.title().endswith("spray coat 2/3 air 6.2")
    feed.close()
    assert client.closed.is_set()


def test_a_feed_connects_again_after_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host_tools.watch.RECONNECT_S", 0.0)
    first, second = FakeClient([("state", SPRAYING)], lose=True), FakeClient([])
    clients = [first, second]
    feed = Feed(screen(), lambda: clients.pop(0))
    feed.start()
    assert second.spoken.wait(5)
    feed.drain()
    assert "NO ANSWER broker 127.0.0.1:1883: gone" in feed.screen.headline()
    assert first.closed.is_set()
    feed.close()


def test_a_feed_says_at_once_when_there_is_no_cell() -> None:
    def connect() -> FakeClient:
        raise ToolError("no cell 'paint-9'")

    feed = Feed(screen(), connect)
    with pytest.raises(ToolError, match="paint-9"):
        feed.start()
    feed.close()


def test_while_the_broker_says_the_cell_is_away_an_old_state_does_not_look_alive() -> None:
    made = screen()
    made.see_presence(False, "connection lost")
    made.see_state(SPRAYING)
    assert made.headline() == "paint-1 NO ANSWER connection lost"
    made.see_presence(True, "")
    assert made.headline().startswith("paint-1 EXECUTE")
