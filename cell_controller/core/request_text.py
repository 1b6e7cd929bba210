"""A request as text and back: how a trace keeps what the cell was told."""

from . import jsonwrite, strictjson
from .envelope import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def request_text(request: Request) -> bytes:
    """A request as the trace keeps it."""
    return jsonwrite.encode([request.origin, request.id, request.issuer, request.verb, request.args])


def request_from(body: bytes) -> Request:
    """The request that `request_text` wrote. Raises ValueError for anything else."""
    parts: "Any" = strictjson.loads(body, 1 << 20, 12, 10000)
    if not isinstance(parts, list) or len(parts) != 5 or not isinstance(parts[4], dict):
        raise ValueError("a request of another kind")
    for part in parts[:4]:
        if not isinstance(part, str):
            raise ValueError("a request of another kind")
    request = Request(parts[0])
    request.id = parts[1]
    request.issuer = parts[2]
    request.verb = parts[3]
    request.args = parts[4]
    return request
