"""Questions about the cell, answered from what the control thread has at hand; asking changes nothing."""

from . import views
from .jsonwrite import Decimal
from .signals import QUALITY_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from .controller import Controller
    from .envelope import Request

    Json = dict[str, Any]

    class Asked(Protocol):
        """What a runtime has at hand. `items`: as-built records as a plant reads them, oldest first."""

        controller: Controller
        board: Any

        @property
        def items(self) -> Sequence[Json]: ...

        def state_view(self) -> Json: ...


KINDS = ("state", "orders", "order", "items", "why", "catalogue", "alarms", "ledgers", "faults")


class Queries:
    """Answers the verb `query` for a runtime."""

    def __init__(self, runtime: "Asked") -> None:
        self._runtime = runtime

    def answer(self, request: "Request") -> "Json":
        """The reply; a query that does not exist is refused with the ones that do."""
        what = request.args.get("what")
        if what not in KINDS:
            text = "there is no query '%s'; ask for one of: %s" % (str(what)[:40], ", ".join(KINDS))
            return {
                "id": request.id,
                "ok": False,
                "code": 208,
                "name": "unknown_query",
                "text": text,
                "data": {},
            }
        if what == "order":
            return self._order(request)
        data = getattr(self, "_" + str(what))()
        return {"id": request.id, "ok": True, "code": 0, "name": "accepted", "text": "", "data": data}

    def _state(self) -> "Json":
        view = self._runtime.state_view()
        signals = views.signals(self._runtime.controller)
        shown = {}
        for name, value, quality, unit, per_unit in signals:
            shown[name] = {
                "value": Decimal(value, per_unit),
                "quality": QUALITY_NAMES[quality],
                "unit": unit,
            }
        view["signals"] = shown
        return view

    def _orders(self) -> "Json":
        return {"orders": views.order_list(self._runtime.controller)}

    def _order(self, request: "Request") -> "Json":
        cell = self._runtime.controller
        order_id = request.args.get("order_id")
        job = cell.book.find(str(order_id))
        if job is None:
            text = "there is no order " + str(order_id)[:64]
            return {
                "id": request.id,
                "ok": False,
                "code": 100,
                "name": "unknown_order",
                "text": text,
                "data": {},
            }
        items = [item for item in self._runtime.items if item.get("order_id") == job.order_id]
        data = views.order(cell, job)
        data["items"] = items[-50:]
        return {"id": request.id, "ok": True, "code": 0, "name": "accepted", "text": "", "data": data}

    def _items(self) -> "Json":
        return {"items": list(self._runtime.items)[-100:]}

    def _why(self) -> "Json":
        return views.why(self._runtime.controller)

    def _catalogue(self) -> "Json":
        return views.catalogue(self._runtime.controller)

    def _alarms(self) -> "Json":
        return {"alarms": views.alarm_list(self._runtime.controller)}

    def _ledgers(self) -> "Json":
        return views.ledger(self._runtime.controller)

    def _faults(self) -> "Json":
        board = self._runtime.board
        return {"faults": board.faults(), "active": getattr(board, "active_faults", list)()}
