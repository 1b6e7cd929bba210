"""What every request must look like before anything is done about it: who asks, what for, until when, asked once.

An order desk, a dashboard and the console on the machine send the same JSON object; this file opens it. What it
refuses never reaches the core; each refusal has a number, a name and a text that says what to do.
"""

import hashlib

from cell_controller.core import jsonwrite, refusals
from cell_controller.core.refusals import refusal
from cell_controller.core.strictjson import JsonError, loads

MAX_BYTES = 16384
MAX_NAME = 64
MAX_AHEAD_MS = 60000
REMEMBERED = 256

MALFORMED = refusal(200, "malformed", "the request is not one JSON object with id, issuer and verb")
TOO_LONG = refusal(201, "too_long", "the request is longer than 16384 bytes")
WRONG_TOPIC = refusal(202, "wrong_topic", "the verb does not belong to this topic")
UNKNOWN_VERB = refusal(203, "unknown_verb", "there is no such verb")
EXPIRY_TOO_FAR = refusal(204, "expiry_too_far", "the expiry is more than 60 s ahead")
BUSY = refusal(205, "busy", "the cell has more requests waiting than it can answer; ask again")
CLOCK_UNKNOWN = refusal(209, "clock_unknown", "the cell does not know the time yet")
SAFE_MODE = refusal(210, "safe_mode", "the controller crashed three times in a row and is not started")

TOPIC_CLASSES = ("order", "command", "query")

_CLASS_OF = {
    "order.submit": "order",
    "order.start": "order",
    "order.revoke_start": "order",
    "order.update": "order",
    "order.cancel": "order",
    "order.clear": "order",
    "order.pause": "order",
    "order.resume": "order",
    "order.stop": "order",
    "order.abort": "order",
    "command": "command",
    "packtags": "command",
    "answer": "command",
    "confirm": "command",
    "fault": "command",
    "query": "query",
}
_ENVELOPE = ("id", "issuer", "verb", "expires_ms", "sent_ms")


class Request:
    """One request that may be carried out.

    id, issuer: 1..64 characters. origin: "local" or "mqtt". args: all members but the envelope; order_id: of them,
    or "". token: give it back with the reply. key: what a repeat is recognised by, "" where repeats are harmless.
    """

    def __init__(self, origin: str) -> None:
        self.id = ""
        self.issuer = ""
        self.origin = origin
        self.verb = ""
        self.order_id = ""
        self.args: dict[str, object] = {}
        self.token: object = None
        self.key = ""


def topic_class(verb: str) -> str:
    """`order`, `command` or `query`; "" for a verb that does not exist."""
    return _CLASS_OF.get(verb, "")


def refuse(request: Request, code: int, text: str) -> "dict[str, object]":
    """The reply that refuses `request` with the number and name of `code` and a text of its own."""
    return {
        "id": request.id,
        "ok": False,
        "code": code,
        "name": refusals.refusal_name(code),
        "text": text,
        "data": {},
    }


def utc_text(wall_ms: int) -> str:
    """Milliseconds since 1970 as `2026-11-21T23:02:35Z`, with integers (civil calendar from a day number)."""
    seconds = wall_ms // 1000
    days = seconds // 86400
    clock = seconds - days * 86400
    shifted = days + 719468  # days since 0000-03-01, so that the leap day is the last of its year
    era = shifted // 146097
    of_era = shifted - era * 146097
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * of_year + 2) // 153
    day = of_year - (153 * march_month + 2) // 5 + 1
    month = march_month + 3 if march_month < 10 else march_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    return (
        "%04d-%02d-%02dT%02d:%02d:%02dZ"
        % (  # MicroPython's f-strings have no nested fields, this is shorter
            year,
            month,
            day,
            clock // 3600,
            clock // 60 % 60,
            clock % 60,
        )
    )


class Desk:
    """Opens requests and remembers the last 256 of them, so that a repeat is answered and not done again."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._limit = remembered
        self._order: list[str] = []  # oldest first
        self._known: dict[str, list[object]] = {}  # key -> [digest of the content, reply or None]

    def open(
        self,
        payload: bytes,
        origin: str,
        wall_ms: int,
        topic: "str | None" = None,
        retained: bool = False,
        since_ms: "int | None" = None,
        backlog: bool = False,
    ) -> "tuple[Request, dict[str, object] | None]":
        """(request, None) to carry out, or (what is known of the request, the reply to send instead).

        topic: the class of the topic it came on, None for the local socket. since_ms: wall time the connection was
        made. backlog: it was in the broker before this connection asked for requests.
        """
        request = Request(origin)
        members, reply = self._members(request, payload)
        if reply is None:
            reply = self._placed(request, topic, retained)
        if reply is None:
            reply = _fresh(request, members, wall_ms, since_ms, backlog)
        if reply is None:
            for name in sorted(members):
                if name not in _ENVELOPE:
                    request.args[name] = members[name]
            reply = self._once(request)
        return request, reply

    def answered(self, key: str, reply: "dict[str, object]") -> None:
        """Remember `reply` for repeats of the request with this key; without effect once it is forgotten."""
        entry = self._known.get(key)
        if entry is not None:
            entry[1] = reply

    def forget(self, key: str) -> None:
        """The request was not taken after all (no room): a repeat of it is a first try."""
        if key in self._known:
            del self._known[key]
            self._order.remove(key)

    def _members(
        self, request: Request, payload: bytes
    ) -> "tuple[dict[str, object], dict[str, object] | None]":
        if len(payload) > MAX_BYTES:
            return {}, refuse(
                request,
                TOO_LONG,
                f"the request has {len(payload)} bytes, the limit is {MAX_BYTES}; send less in one request",
            )
        try:
            members = loads(payload, max_bytes=MAX_BYTES)
        except JsonError as error:
            return {}, refuse(
                request, MALFORMED, f"not JSON: {error.reason}; send one JSON object with id, issuer and verb"
            )
        if not isinstance(members, dict):
            return {}, refuse(request, MALFORMED, "the request is not a JSON object; send {...}")
        problem = _name_problem(members, "id")
        if not problem:
            request.id = members["id"]
            problem = _name_problem(members, "issuer")
        if not problem:
            request.issuer = members["issuer"]
            problem = _name_problem(members, "verb")
        if not problem:
            request.verb = members["verb"]
            order_id = members.get("order_id")
            request.order_id = order_id if isinstance(order_id, str) else ""
            problem = _time_problem(members, "expires_ms") or _time_problem(members, "sent_ms")
        if problem:
            return members, refuse(request, MALFORMED, problem)
        return members, None

    def _placed(self, request: Request, topic: "str | None", retained: bool) -> "dict[str, object] | None":
        """Refuses what is on the wrong topic or kept by the broker for whoever comes."""
        belongs = topic_class(request.verb)
        if not belongs:
            return refuse(
                request,
                UNKNOWN_VERB,
                f"there is no verb '{request.verb}'; use order.submit, order.cancel, command, answer, query ...",
            )
        if retained:
            return refuse(
                request,
                refusals.RETAINED,
                f"{request.id} is a retained message; publish it without the retain flag and clear the topic",
            )
        if topic is not None and topic != belongs:
            return refuse(
                request,
                WRONG_TOPIC,
                f"'{request.verb}' came on request/{topic}; publish it on request/{belongs}",
            )
        return None

    def _once(self, request: Request) -> "dict[str, object] | None":
        """Remembers the request; the reply if it is a repeat. Orders are made idempotent by the order book."""
        if request.verb == "order.submit" or request.verb == "query":
            return None
        key = request.issuer + "\n" + request.id
        text = jsonwrite.dumps([request.verb, request.args])
        digest = hashlib.sha256(text.encode()).digest()[:8]
        entry = self._known.get(key)
        if entry is None:
            if len(self._order) >= self._limit:
                del self._known[self._order.pop(0)]
            self._order.append(key)
            self._known[key] = [digest, None]
            request.key = key
            return None
        reply = entry[1]
        if entry[0] == digest and isinstance(reply, dict):
            return reply
        why = "is being carried out; wait for its reply"
        if entry[0] != digest:
            why = "was used for another request; give each request an id of its own"
        return refuse(request, refusals.DUPLICATE, f"id '{request.id}' of '{request.issuer}' {why}")


def _fresh(
    request: Request,
    members: "dict[str, object]",
    wall_ms: int,
    since_ms: "int | None",
    backlog: bool,
) -> "dict[str, object] | None":
    """Refuses what waited somewhere or came too late, judged by this cell's clock, which the text names."""
    expires_ms = members.get("expires_ms")
    sent_ms = members.get("sent_ms")
    now = utc_text(wall_ms)
    dated = expires_ms is not None or (topic_class(request.verb) == "command" and request.origin == "mqtt")
    if wall_ms <= 0 and dated:
        if request.verb == "command" and members.get("command") in ("stop", "abort"):
            return None  # too old or not, it moves nothing
        return refuse(
            request,
            CLOCK_UNKNOWN,
            f"{request.id} cannot be judged: the clock of this cell is not set yet; check its time server, then send"
            " it again",
        )
    if isinstance(expires_ms, int) and expires_ms <= wall_ms:
        return refuse(
            request,
            refusals.EXPIRED,
            f"{request.id} expired {wall_ms - expires_ms} ms ago: it was good until {utc_text(expires_ms)} and the"
            f" clock of this cell says {now}; send it again, or set the clock that is wrong",
        )
    if backlog:
        return refuse(
            request,
            refusals.QUEUED_WHILE_AWAY,
            f"{request.id} waited in the broker before this connection; send it again",
        )
    if isinstance(sent_ms, int) and since_ms is not None and since_ms > 0 and sent_ms < since_ms:
        return refuse(
            request,
            refusals.QUEUED_WHILE_AWAY,
            f"{request.id} was sent {since_ms - sent_ms} ms before the cell was connected (clock of this cell:"
            f" {now}); send it again",
        )
    if topic_class(request.verb) != "command":
        return None
    if expires_ms is None and request.origin == "mqtt":
        return refuse(
            request,
            refusals.NO_EXPIRY,
            f"{request.id} has no expires_ms; give the time in ms until which it may be carried out, at most"
            f" {MAX_AHEAD_MS} ms ahead of {wall_ms} ({now})",
        )
    if isinstance(expires_ms, int) and expires_ms - wall_ms > MAX_AHEAD_MS:
        return refuse(
            request,
            EXPIRY_TOO_FAR,
            f"{request.id} is good until {utc_text(expires_ms)}, more than {MAX_AHEAD_MS} ms ahead of the clock of"
            f" this cell ({now}); give a nearer expires_ms, or set the clock that is wrong",
        )
    return None


def _name_problem(members: "dict[str, object]", name: str) -> str:
    value = members.get(name)
    if value is None:
        return f"'{name}' is missing; give 1..{MAX_NAME} characters"
    if not isinstance(value, str):
        return f"'{name}' is not text; give 1..{MAX_NAME} characters"
    if not 1 <= len(value) <= MAX_NAME:
        return f"'{name}' has {len(value)} characters; give 1..{MAX_NAME}"
    for char in value:
        if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0:
            return f"'{name}' has a control character; use letters, digits and punctuation"
    return ""


def _time_problem(members: "dict[str, object]", name: str) -> str:
    value = members.get(name, 0)
    if value is True or value is False or not isinstance(value, int) or value < 0:
        return f"'{name}' is not a whole number of milliseconds since 1970"
    return ""
