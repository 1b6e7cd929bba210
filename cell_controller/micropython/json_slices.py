"""The same JSON as core.jsonwrite, a few values at a time: a long view must not hold up the scan.

What is being written must not change until it is complete. The bytes collect in one buffer that is used again.
"""

import hashlib

from cell_controller.core import jsonwrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEEP = 4096  # a buffer that grew beyond this is given back
_STAMP = "timestamp_ms"


class JsonSlices:
    """Writes one value after another: `begin`, then `step` until it is True, then `out` holds the text."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._stack: "list[list[Any]]" = []  # [list or dict, its keys in order or None, next place]
        self._stamp_from = 0
        self._stamp_to = 0

    def begin(self, value: object) -> None:
        """Start with `value`; what was there before is gone. Raises ValueError for a type without JSON."""
        if len(self.out) > KEEP:
            self.out = bytearray()
        self.out[:] = b""
        self._stack = []
        self._stamp_from = 0
        self._stamp_to = 0
        self._open(value)

    def step(self, most: int) -> bool:
        """Write at most `most` values; True when all is written. Raises ValueError for a type without JSON."""
        stack = self._stack
        out = self.out
        while stack and most > 0:
            most -= 1
            top = stack[-1]
            held, keys, at = top
            if len(stack) == 1 and self._stamp_from and not self._stamp_to:
                self._stamp_to = len(out)
            if at >= len(held):
                out.extend(b"]" if keys is None else b"}")
                stack.pop()
                continue
            top[2] = at + 1
            if at:
                out.extend(b",")
            if keys is None:
                self._open(held[at])
                continue
            key = keys[at]
            if not isinstance(key, str):
                raise ValueError("a JSON key must be text")
            if key == _STAMP and len(stack) == 1:
                self._stamp_from = len(out)
            out.extend(jsonwrite.encode(key))
            out.extend(b":")
            self._open(held[key])
        return not stack

    def digest(self) -> bytes:
        """Eight bytes that tell the text from others; the time stamp at its top level does not count."""
        whole = hashlib.sha256(self.out[: self._stamp_from] if self._stamp_to else self.out)
        if self._stamp_to:
            whole.update(self.out[self._stamp_to :])
        return whole.digest()[:8]

    def _open(self, value: "Any") -> None:
        if len(self._stack) >= jsonwrite.MAX_DEPTH and isinstance(value, (dict, list, tuple)):
            raise ValueError("JSON deeper than %d levels" % jsonwrite.MAX_DEPTH)
        if isinstance(value, dict) and value:
            self.out.extend(b"{")
            self._stack.append([value, sorted(value), 0])
        elif isinstance(value, (list, tuple)) and value and not _is_number(value):
            self.out.extend(b"[")
            self._stack.append([value, None, 0])
        else:
            self.out.extend(jsonwrite.encode(value))


def _is_number(value: "Any") -> bool:
    return isinstance(value, tuple) and len(value) == 3 and value[0] == "dec"
