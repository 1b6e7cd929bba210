"""What runs instead of the controller after three crashes in a row: nothing moves, and everybody can read why.

Outputs are driven to their abort values again and again, link and console answer, the watchdog is fed. New code, or
`restart` on the console, ends it; a power cycle does not, because the cell would only crash once more.
"""

from cell_controller.core import envelope, ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cell_controller.core.envelope import Request
    from cell_controller.micropython.start import Application

PERIOD_MS = 50
VIEW_MS = 1000


class SafeMode:
    """Takes the place of the runtime; `run` comes back when the console asked to leave."""

    def __init__(self, application: "Application", journal: "Any") -> None:
        self._application = application
        self._board = application.board
        self._console = application.console
        self._clock = application.clock
        self.leaving = False
        self._reason = application.crashes.reason()
        self._shown_at = 0
        self._first = True
        self.link = application.make_link(journal, self._take_link)

    def run(self) -> None:
        """Round and round, outputs safe."""
        board = self._board
        due = board.tick()
        self._console.say({"say": self._reason})
        while not self.leaving:
            due = ticks.add(due, PERIOD_MS)
            board.make_safe(self._application.abort_values)
            board.feed_watchdog()
            now = board.tick()
            self._show(now)
            while ticks.diff(due, board.tick()) > 2:
                busy = self._console.step()
                if self.link is not None:
                    busy = self._link_slice(board.tick()) or busy
                if not busy:
                    break
            board.sleep_until(due)

    def _link_slice(self, now: int) -> bool:
        """The link, as long as the heap is large enough for it: it may be the very reason why nothing runs."""
        try:
            return bool(self.link.step(now, None, True))
        except MemoryError:
            self.link = None
            self._console.say({"say": "no link: the heap is too small for it"})
            return True

    def take(self, request: "Request", origin: str) -> bool:
        """Every request but a question about the state is refused, with the reason."""
        if request.verb == "query" and request.args.get("what") == "state":
            reply: "dict[str, object]" = {
                "id": request.id,
                "ok": True,
                "code": 0,
                "name": "accepted",
                "text": "",
            }
            reply["data"] = self._view()
        else:
            text = (
                self._reason + "; mend equipment.py or the wiring, then flash, or restart it by the console"
            )
            reply = envelope.refuse(request, envelope.SAFE_MODE, text)
        if origin == "console":
            self._console.offer_reply(request.token, reply)
        elif self.link is not None:
            self.link.offer_reply(request.token, reply)
        return True

    def _take_link(self, request: "Request") -> bool:
        return self.take(request, "link")

    def _show(self, now: int) -> None:
        if self.link is None or (not self._first and ticks.diff(now, self._shown_at) < VIEW_MS):
            return
        self._first = False
        self._shown_at = now
        self.link.offer_state(self._view())

    def _view(self) -> "dict[str, Any]":
        """The state as it is published: Aborted, and why nothing can be ordered."""
        spec = self._application.spec
        crashes = self._application.crashes
        return {
            "cell": spec["name"],
            "state": "Aborted",
            "state_number": 9,
            "allowed": [],
            "reason": self._reason,
            "waiting_for": "new code, or restart",
            "safe_mode": True,
            "crashes": {"in_a_row": crashes.count, "last": crashes.text},
            "timestamp_ms": self._clock.wall_ms(),
        }
