"""The console of a board: the serial line takes the same requests as the local socket of a PC, one JSON object a line.

It works in slices: each reads and writes some bytes and never waits. Whoever holds the cable may command, as with a
panel at the machine. Beside the requests of every cell it knows three of its own: `about`, `repl` and `restart`.
"""

from cell_controller.core import envelope, jsonwrite, refusals
from cell_controller.core.strictjson import JsonError, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cell_controller.core.envelope import Request

LONGEST = 2048  # bytes of a request
READ_A_SLICE = 64
WRITE_A_SLICE = 128
MOST_WAITING = 16384  # bytes of answers that nobody reads
OWN_VERBS = ("about", "repl", "restart")


class Console:
    """`reader.step()` gives what has come; `writer` takes bytes; `take` hands a request to the controller.

    take(request) -> bool: False if the cell has too many waiting. own(verb) -> (ok, text, data): the board's own verbs.
    """

    def __init__(
        self,
        port: "Any",
        take: "Callable[[Request], bool]",
        own: "Callable[[str], tuple[bool, str, dict[str, object]]]",
        wall_ms: "Callable[[], int]",
        remembered: int = 16,
    ) -> None:
        self._port = port
        self._take = take
        self._own = own
        self._wall_ms = wall_ms
        self._desk = envelope.Desk(remembered)
        self._line = bytearray(LONGEST)
        self._used = 0
        self._skipping = False  # a line that was too long, up to its end
        self._chunk = bytearray(READ_A_SLICE)
        self._out: "list[bytes]" = []
        self._waiting = 0
        self._sent = 0  # of the first of _out
        self.lost = 0  # lines that nobody read

    def step(self) -> bool:
        """One slice; True if anything came or went."""
        count: int = self._port.read(self._chunk)
        for i in range(count):
            self._hear(self._chunk[i])
        if self._out:
            self._write()
            return True
        return count > 0

    def say(self, value: "dict[str, object]") -> None:
        """A line that nobody asked for."""
        self._put(jsonwrite.encode(value))

    def offer_reply(self, token: object, reply: "dict[str, object]") -> None:
        """Answer the request that carried `token`."""
        body = dict(reply)
        if isinstance(token, tuple):
            body["id"] = token[1]
            if token[0]:
                self._desk.answered(token[0], body)
        self._put(jsonwrite.encode(body))

    def flush(self, most: int = 1000) -> None:
        """Send what waits as far as somebody reads, in at most `most` slices; for the way out."""
        for _ in range(most):
            if not self._out:
                return
            self._write()

    def _hear(self, byte: int) -> None:
        if byte == 10 or byte == 13:
            line = bytes(self._line[: self._used])
            too_long = self._skipping
            self._used = 0
            self._skipping = False
            if too_long:
                self._refuse_long()
            elif line[:1] == b"{":
                self._request(line)
        elif self._used < LONGEST:
            if byte < 32:
                self._used = 0  # a tool that asks for a prompt, or noise: not the beginning of a request
            else:
                self._line[self._used] = byte
                self._used += 1
        else:
            self._skipping = True

    def _request(self, line: bytes) -> None:
        own = self._own_verb(line)
        if own is not None:
            self._put(jsonwrite.encode(own))
            return
        request, reply = self._desk.open(line, "local", self._wall_ms())
        request.token = (request.key, request.id)
        if reply is None:
            if self._take(request):
                return
            self._desk.forget(request.key)
            text = request.id + " was not taken: too many requests are waiting; send it again in a second"
            reply = envelope.refuse(request, envelope.BUSY, text)
        self._put(jsonwrite.encode(reply))

    def _own_verb(self, line: bytes) -> "dict[str, object] | None":
        if b'"verb"' not in line:
            return None
        try:
            members = loads(line, max_bytes=LONGEST)
        except JsonError:
            return None
        if not isinstance(members, dict):
            return None
        verb = members.get("verb")
        if not isinstance(verb, str) or verb not in OWN_VERBS:
            return None
        ok, text, data = self._own(verb)
        code = refusals.ACCEPTED if ok else refusals.NOT_ALLOWED_IN_STATE
        return {
            "id": str(members.get("id", ""))[: envelope.MAX_NAME],
            "ok": ok,
            "code": code,
            "name": refusals.refusal_name(code),
            "text": text,
            "data": data,
        }

    def _refuse_long(self) -> None:
        request = envelope.Request("local")
        text = "the request is longer than " + str(LONGEST) + " bytes; send it over MQTT"
        self._put(jsonwrite.encode(envelope.refuse(request, envelope.TOO_LONG, text)))

    def _put(self, line: bytes) -> None:
        if self._waiting + len(line) > MOST_WAITING:
            self.lost += 1
            return
        self._out.append(line + b"\r\n")
        self._waiting += len(line) + 2

    def _write(self) -> None:
        line = self._out[0]
        end = min(len(line), self._sent + WRITE_A_SLICE)
        count = self._port.write(line, self._sent, end)
        self._sent += count
        if self._sent >= len(line):
            self._out.pop(0)
            self._waiting -= len(line)
            self._sent = 0


class SerialPort:
    """The board's own serial line as `Console` wants it: nothing waits, whoever is or is not at the other end."""

    def __init__(self) -> None:
        import select
        import sys

        self._in: "Any" = sys.stdin.buffer
        self._out: "Any" = sys.stdout.buffer
        self._one = bytearray(1)
        self._can_read = select.poll()
        self._can_read.register(sys.stdin, select.POLLIN)
        self._can_write = select.poll()
        self._can_write.register(sys.stdout, select.POLLOUT)

    def read(self, into: bytearray) -> int:
        """What has come, one byte at a time: a board's line gives a longer read only when all of it is there."""
        count = 0
        one = self._one
        while count < len(into) and self._ready(self._can_read):
            if not self._in.readinto(one):
                break
            into[count] = one[0]
            count += 1
        return count

    def write(self, data: bytes, start: int, end: int) -> int:
        """How many of these bytes went out; 0 while nobody reads."""
        if not self._ready(self._can_write):
            return 0
        sent = self._out.write(data[start:end])
        return end - start if sent is None else int(sent)

    def _ready(self, poll: "Any") -> bool:
        # `ipoll` gives the same object again and again; `poll` would allocate in every slice
        for _, event in poll.ipoll(0):
            if event & 5:  # POLLIN, POLLOUT; a hang-up alone gives nothing to read and takes nothing
                return True
        return False
