"""A cell that answers from a list, and puts itself in the place of `CellClient`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cell_controller.errors import NoSuchCellError
from host_tools import commands_common

CATALOGUE: dict[str, Any] = {
    "products": [
        {
            "product": "bonnet",
            "options": [
                {"name": "colour", "kind": "choice"},
                {"name": "pinstripe", "kind": "text"},
                {"name": "gap", "kind": "number"},
            ],
        }
    ]
}
IDLE: dict[str, Any] = {"cell": "paint-1", "state": "Idle", "outputs": {"booth_fan": 1, "clamp": 0}}
HELD: dict[str, Any] = {
    "cell": "paint-1",
    "state": "Held",
    "reason": "clamp did not close within 2 s",
    "outputs": {"booth_fan": 1, "clamp": 0, "cure_lamp": 0},
}
EXECUTE: dict[str, Any] = {"cell": "paint-1", "state": "Execute", "item": {"serial": 7}, "outputs": {}}


def accepted(text: str = "accepted", **data: Any) -> dict[str, Any]:
    return {"id": "1", "ok": True, "code": 0, "name": "accepted", "text": text, "data": data}


def refused(name: str, text: str, code: int = 1) -> dict[str, Any]:
    return {"id": "1", "ok": False, "code": code, "name": name, "text": text, "data": {}}


class FakeCell:
    """Stands in for a cell: replies by verb (queries by `query WHAT`); a list is given one by one, its last again."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Any]] = {
            "query catalogue": [accepted(**CATALOGUE)],
            "query orders": [accepted(orders=[])],
            "query state": [accepted(**IDLE)],
        }
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.opened: list[tuple[Any, ...]] = []
        self.granted = 0
        self.closed = 0
        self.names = ["paint-1"]

    def request(self, verb: str, **fields: Any) -> dict[str, Any]:
        self.asked.append((verb, fields))
        key = f"query {fields['what']}" if verb == "query" else verb
        replies = self.replies.get(key, [accepted()])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        return dict(reply)

    def close(self) -> None:
        self.closed += 1

    def sent(self, verb: str) -> list[dict[str, Any]]:
        return [fields for asked, fields in self.asked if asked == verb]


@contextmanager
def cell_in_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCell]:
    """While it lasts, every connection is one to the fake cell; all must be closed at the end."""
    fake = FakeCell()

    class CellClient:
        @staticmethod
        def local(name: str | None = None, timeout_s: float = 5.0) -> FakeCell:
            fake.opened.append(("local", name))
            if name not in (None, *fake.names):
                raise NoSuchCellError(f"no cell {name!r} runs on this machine; running: paint-1")
            fake.granted += 1
            return fake

        @staticmethod
        def mqtt(host: str, port: int, base: str, timeout_s: float = 5.0) -> FakeCell:
            fake.opened.append(("mqtt", host, port, base))
            if port == 9:
                raise ConnectionRefusedError(f"no broker at {host}:{port}")
            fake.granted += 1
            return fake

    monkeypatch.setattr("host_tools.client.CellClient", CellClient)
    monkeypatch.setattr("host_tools.client.running_cells", lambda: fake.names)
    monkeypatch.setattr(commands_common, "sleep", lambda seconds: None)
    yield fake
    assert fake.closed == fake.granted, "a connection was left open"
