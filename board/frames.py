"""The frames between a controller and a board in another process: a fixed header, and payloads of a size both know."""

import hashlib
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

from cell_controller.core.signals import InputImage, OutputImage
from cell_controller.errors import BoardError

HEADER = struct.Struct("<BBII")  # magic, kind, bytes of the payload, number of the frame
MAGIC = 0xB7
MOST_BYTES = 1 << 20

HELLO = 1  # role and digest of the signals -> WELCOME or REFUSED
WELCOME = 2
REFUSED = 3
WRITE = 4  # outputs; no answer
READ = 5  # -> INPUTS
INPUTS = 6
SAFE = 7  # one value an output -> TOLD
ASK = 8  # JSON -> TOLD
TOLD = 9  # JSON

CONTROLLER = 0
OBSERVER = 1


def signals_digest(spec: Mapping[str, Any]) -> bytes:
    """32 bytes that agree when both sides mean the same signals in the same order."""
    text = json.dumps(
        [[(e["name"], e["kind"], e["raw"]) for e in spec[side]] for side in ("inputs", "outputs")]
    )
    return hashlib.sha256(text.encode()).digest()


class Layout:
    """Images to payloads and back; the sizes follow from the compiled cell."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        inputs = InputImage(dict(spec))
        outputs = OutputImage(dict(spec))
        self._words_in = len(inputs.words)
        self._words_out = len(outputs.words)
        self._inputs = struct.Struct(f"<{len(inputs.words)}I{len(inputs.analog)}i{len(inputs.quality)}s")
        self._outputs = struct.Struct(f"<{len(outputs.words)}I{len(outputs.analog)}i")
        self._values = struct.Struct(f"<{len(spec['outputs'])}i")

    def pack_inputs(self, image: InputImage) -> bytes:
        """The payload of INPUTS."""
        return self._inputs.pack(*image.words, *image.analog, bytes(image.quality))

    def unpack_inputs(self, payload: bytes, image: InputImage) -> None:
        """Fill `image` from the payload of INPUTS. Raises struct.error for another size."""
        fields = self._inputs.unpack(payload)
        image.words[:] = fields[: self._words_in]
        image.analog[:] = fields[self._words_in : -1]
        image.quality[:] = fields[-1]

    def pack_outputs(self, image: OutputImage) -> bytes:
        """The payload of WRITE."""
        return self._outputs.pack(*image.words, *image.analog)

    def unpack_outputs(self, payload: bytes, image: OutputImage) -> None:
        """Fill `image` from the payload of WRITE. Raises struct.error for another size."""
        fields = self._outputs.unpack(payload)
        image.words[:] = fields[: self._words_out]
        image.analog[:] = fields[self._words_out :]

    def pack_values(self, values: list[int]) -> bytes:
        """The payload of SAFE."""
        return self._values.pack(*values)

    def unpack_values(self, payload: bytes) -> list[int]:
        """The values of SAFE. Raises struct.error for another size."""
        return list(self._values.unpack(payload))


def connect(address: str, timeout_s: float) -> socket.socket:
    """A stream to "host:port" or "unix:/path". Raises OSError as the socket does, BoardError for a bad address."""
    if address.startswith("unix:"):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(timeout_s)
        try:
            stream.connect(address[len("unix:") :])
        except OSError:
            stream.close()
            raise
        return stream
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise BoardError(f"board address '{address}' is neither host:port nor unix:/path")
    stream = socket.create_connection((host, int(port)), timeout=timeout_s)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(MAGIC, kind, len(payload), number) + payload


class FrameReader:
    """Bytes in, frames out. What cannot be a frame raises BoardError: close that connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames completed by `data`, as (kind, number, payload)."""
        buffer = self._buffer
        buffer += data
        found = []
        while len(buffer) >= HEADER.size:
            magic, kind, size, number = HEADER.unpack_from(buffer)
            if magic != MAGIC or size > MOST_BYTES:
                raise BoardError("the other side does not speak the board's frames; check the address")
            if len(buffer) < HEADER.size + size:
                break
            found.append((kind, number, bytes(buffer[HEADER.size : HEADER.size + size])))
            del buffer[: HEADER.size + size]
        return found
