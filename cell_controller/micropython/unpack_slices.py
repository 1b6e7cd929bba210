"""Reads canonical bytes a few values at a time: an as-built record is long, and the scan does not wait for it.

For bytes that the journal has checked by their CRC; it gives what codec.unpack gives, or the same kind of error.
"""

from cell_controller.core import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class UnpackSlices:
    """`begin`, then `step` until it is True; then `value` holds it. Raises CodecError or IndexError for other bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self.value: "Any" = None
        self._data = data
        self._at = at
        self._stack: "list[Any]" = []  # lists and dicts that are not complete
        self._keys: "list[str | None]" = []  # of each: the key whose value comes next, None in a list or before a key

    def step(self, most: int) -> bool:
        """Read at most `most` values; True when all is read."""
        data, stack, keys = self._data, self._stack, self._keys
        while most > 0:
            most -= 1
            head = data[self._at]
            if stack and head == 0x65 and keys[-1] is None:
                self._at += 1
                whole = stack.pop()
                keys.pop()
                if self._put(whole):
                    return True
            elif head == 0x6C or head == 0x64:
                if len(stack) >= codec.MAX_DEPTH:
                    raise codec.CodecError("nested too deep")
                self._at += 1
                stack.append([] if head == 0x6C else {})
                keys.append(None)
            else:
                end = codec.skip(data, self._at)
                leaf: "Any" = codec.unpack(data[self._at : end])
                self._at = end
                if stack and isinstance(stack[-1], dict) and keys[-1] is None:
                    keys[-1] = leaf
                elif self._put(leaf):
                    return True
        return False

    def _put(self, value: "Any") -> bool:
        """Where it belongs; True if that was the whole."""
        if not self._stack:
            if self._at != len(self._data):
                raise codec.CodecError("bytes after the value")
            self.value = value
            return True
        top = self._stack[-1]
        if isinstance(top, dict):
            key = self._keys[-1]
            if not isinstance(key, str):
                raise codec.CodecError("key is not text")
            top[key] = value
            self._keys[-1] = None
        else:
            top.append(value)
        return False
