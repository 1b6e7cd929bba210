"""A small MQTT 3.1.1 client that works in slices: no thread, no waiting, no memory that grows.

`step` does one bounded piece: a look at the connection, at most one packet in, what fits out. The owner hands on what
came and acknowledges it; nothing further is read before. One packet at a time goes out, in one send if it fits one
segment, so it never waits for a delayed acknowledgement of its own first half. Clean session, QoS 0 and 1.
"""

import errno
import select
import socket

from cell_controller.core import ticks
from cell_controller.micropython import mqtt_packets as packets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Will = tuple[str, bytes, int, bool]

DOWN = 0
REACHING = 1
GREETING = 2
UP = 3

NOTHING = 0
CONNECTED = 1
MESSAGE = 2
ACKED = 3
SUBSCRIBED = 4
TOO_LARGE = 5
LOST = 6

LARGEST = 2048  # bytes of a packet that is read whole; a request is a few hundred
SEGMENT = 1460  # what one Ethernet frame carries; more leaves in pieces, as TCP would cut it anyway
SKIP_AT_MOST = 1 << 20
ATTEMPT_MS = 10000
_TCP = 6
_NODELAY = 1
_select: "Any" = select


class MqttClient:
    """One broker, any number of connections, one at a time.

    `begin` starts one, `step` carries it on and says what happened: CONNECTED; MESSAGE (`packet`; call `acknowledge`
    when it has been handed on); ACKED (`token` of the publish); SUBSCRIBED (`packet.payload`, a code a filter, from
    0x80 on refused); TOO_LARGE (`packet.topic`, `size`: skipped; call `acknowledge`); LOST (`lost` says why).
    tls_context: of `ssl`, None for plain TCP. will: topic, payload, QoS, retain. `now_ms` is a tick.
    """

    def __init__(
        self,
        client_id: str,
        host: str,
        port: int,
        user: "str | None" = None,
        password: "str | None" = None,
        keep_alive_s: int = 15,
        tls_context: "Any" = None,
        will: "Will | None" = None,
        largest: int = LARGEST,
    ) -> None:
        self.state = DOWN
        self.lost = ""
        self.packet = packets.Packet()
        self.token = 0
        self.size = 0
        self.sends = 0
        self._host = host
        self._port = port
        self._tls = tls_context
        self._greeting = (client_id, keep_alive_s, user, password, will)
        self._quiet_ms = (
            keep_alive_s * 500
        )  # after half of it a ping, after another half without answer: lost
        self._plug: "Any" = None
        self._raw: "Any" = None
        self._poller: "Any" = None
        self._address: "Any" = None
        self._begun = 0
        self._sent_at = 0
        self._heard_at = 0
        self._pinged = False
        self._ping_at = 0
        self._in = bytearray(largest)
        self._in_view = memoryview(self._in)
        self._used = 0
        self._skip = 0
        self._out = bytearray(SEGMENT)
        self._out_view = memoryview(self._out)
        self._out_at = 0
        self._out_end = 0
        self._rest: "bytes | bytearray" = b""
        self._rest_at = 0
        self._owed = 0  # packet number of what was handed out and is not acknowledged yet, -1 with QoS 0
        self._ack = 0
        self._last_pid = 0
        self._subscribe_pid = 0
        self._tokens: "dict[int, int]" = {}  # packet number -> token
        self._trouble = ""

    # --- one connection ---

    def begin(self, now_ms: int, may_block: bool = True) -> bool:
        """Start to connect; False if the host is a name and nothing may block now, because looking it up may."""
        self._reset()
        self.lost = ""
        self._begun = now_ms
        if not may_block and not is_address(self._host):
            return False
        try:
            found = socket.getaddrinfo(self._host, self._port)[0]
            self._raw = socket.socket(found[0], socket.SOCK_STREAM)
            self._raw.setblocking(False)
            self.state = REACHING
            try:
                self._raw.connect(found[-1])
            except OSError as error:
                if error.errno != errno.EINPROGRESS:
                    raise
            self._poller = _select.poll()
            self._poller.register(self._raw, _select.POLLOUT)
        except (OSError, ValueError) as error:
            self._trouble = "cannot reach %s:%d: %s" % (self._host, self._port, said(error))
            self.state = REACHING
        return True

    def step(self, now_ms: int, may_block: bool = True) -> int:
        """One slice; what happened. may_block: whether the arithmetic of a TLS handshake may be done now."""
        if self.state == DOWN:
            return NOTHING
        if self._trouble:
            return self._over(self._trouble)
        try:
            if self.state == UP:
                return self._work(now_ms)
            if ticks.diff(now_ms, self._begun) > ATTEMPT_MS:
                what = "no CONNACK" if self.state == GREETING else "no connection"
                return self._over(
                    "%s from %s:%d within %d s" % (what, self._host, self._port, ATTEMPT_MS // 1000)
                )
            if self.state == REACHING:
                return self._reach(now_ms)
            return self._greet(now_ms, may_block)
        except packets.MalformedError as error:
            return self._over("the broker sent what is not MQTT: %s" % error)
        except (
            OSError,
            ValueError,
        ) as error:  # ValueError: MicroPython's word for a certificate it does not trust
            return self._over("the connection failed: " + said(error))
        except MemoryError:
            return self._over("no memory for a packet")

    def abandon(self) -> None:
        """Drop the connection without a word: the broker says the will."""
        self._reset()

    def leave(self) -> None:
        """Leave politely: the broker forgets the will. What is half sent makes that impossible."""
        if self.state == UP and not self._out_end:
            try:
                self._plug.write(packets.DISCONNECT_BYTES)
            except (OSError, ValueError):
                pass
        self._reset()

    # --- what goes out ---

    def can_send(self) -> bool:
        """Whether `publish` and `subscribe` may be called: connected, and everything before has left."""
        return self.state == UP and not self._out_end and not self._ack and not self._trouble

    def publish(
        self, now_ms: int, topic: str, payload: "bytes | bytearray", qos: int, retain: bool, token: int = 0
    ) -> None:
        """Send one message, its first segment at once. `payload` must not change until `can_send` is true again.

        Raises ValueError, sending nothing, for a topic or a size that cannot be sent.
        """
        pid = self._next_pid() if qos else 0
        head = packets.publish_head(topic, qos, retain, pid, len(payload))
        if len(head) > SEGMENT:
            raise ValueError("a topic of %d bytes cannot be sent" % len(topic))
        if qos:
            self._tokens[pid] = token
        self._load(now_ms, head, payload)

    def subscribe(self, now_ms: int, filters: "list[tuple[str, int]]") -> None:
        """Ask for messages; SUBSCRIBED tells what the broker answered."""
        self._subscribe_pid = self._next_pid()
        self._load(now_ms, packets.subscribe(self._subscribe_pid, filters), b"")

    def acknowledge(self) -> None:
        """What MESSAGE or TOO_LARGE said has been handed on; the broker hears it, and the next packet may come."""
        if self._owed > 0:
            self._ack = self._owed
        self._owed = 0

    def _next_pid(self) -> int:
        pid = self._last_pid
        while True:
            pid = pid + 1 if pid < 65535 else 1
            if pid not in self._tokens:
                self._last_pid = pid
                return pid

    def _load(self, now_ms: int, head: "bytes | bytearray", payload: "bytes | bytearray") -> None:
        size = len(head)
        fits = min(len(payload), SEGMENT - size)
        self._rest = b""
        if size > SEGMENT:  # a long will or filter: it is sent like a payload
            self._rest = head
            size = SEGMENT
            self._out[0:SEGMENT] = head[:SEGMENT]
            self._rest_at = SEGMENT
        else:
            self._out[0:size] = head
            if fits < len(payload):
                self._out[size : size + fits] = payload[:fits]
                self._rest = payload
                self._rest_at = fits
            else:
                self._out[size : size + fits] = payload
            size += fits
        self._out_at = 0
        self._out_end = size
        self._sent_at = now_ms
        try:
            self._send(now_ms)
        except (OSError, ValueError) as error:
            self._trouble = "the connection failed: " + said(error)

    def _send(self, now_ms: int) -> None:
        """One send; nothing is added behind what a send has left over, because TLS wants the same bytes again."""
        end = self._out_end
        sent = self._plug.write(self._out_view[self._out_at : end])
        if not sent:
            if self.state == UP and ticks.diff(now_ms, self._sent_at) > 2 * self._quiet_ms:
                self._trouble = "the broker took nothing for %d s" % (self._quiet_ms // 500)
            return
        self.sends += 1
        self._sent_at = now_ms
        self._out_at += sent
        if self._out_at < end:
            return
        left = len(self._rest) - self._rest_at
        self._out_at = 0
        if not self._rest or left <= 0:
            self._out_end = 0
            self._rest = b""
            return
        size = min(left, SEGMENT)
        self._out[0:size] = self._rest[self._rest_at : self._rest_at + size]
        self._rest_at += size
        self._out_end = size

    # --- what happens in each state ---

    def _reach(self, now_ms: int) -> int:
        found = self._poller.poll(0)
        if not found:
            return NOTHING
        if found[0][1] & (_select.POLLERR | _select.POLLHUP):
            return self._over("nobody answers at %s:%d" % (self._host, self._port))
        self._poller = None
        try:
            self._raw.setsockopt(_TCP, _NODELAY, 1)
        except (OSError, AttributeError):
            pass  # a port without it: packets in one send do not need it
        plug = self._raw
        if self._tls is not None:
            plug = self._tls.wrap_socket(plug, server_hostname=self._host, do_handshake_on_connect=False)
            self._raw = plug
        if not hasattr(plug, "readinto"):
            from cell_controller.micropython.hosted_plug import HostedPlug

            plug = HostedPlug(plug)
        self._plug = plug
        self.state = GREETING
        self._heard_at = now_ms
        name, keep_alive_s, user, password, will = self._greeting
        if self._tls is None:
            self._load(now_ms, packets.connect(name, keep_alive_s, user, password, will), b"")
        else:  # the first write begins the handshake, which is arithmetic: `_greet` decides when
            self._rest = packets.connect(name, keep_alive_s, user, password, will)
            self._rest_at = min(len(self._rest), SEGMENT)
            self._out[0 : self._rest_at] = self._rest[: self._rest_at]
            self._out_end = self._rest_at
        return NOTHING

    def _greet(self, now_ms: int, may_block: bool) -> int:
        if self._out_end:
            if may_block or self._tls is None:
                self._send(now_ms)
            return NOTHING
        if not self._hear(now_ms):
            return NOTHING
        packet = self.packet
        if packet.kind != packets.CONNACK:
            raise packets.MalformedError("packet kind %d before CONNACK" % packet.kind)
        if packet.code:
            return self._over("refused by the broker: %s" % packets.refusal(packet.code))
        self.state = UP
        self._sent_at = now_ms
        return CONNECTED

    def _work(self, now_ms: int) -> int:
        if not self._out_end and self._ack:
            pid = self._ack
            self._ack = 0
            self._load(now_ms, bytes((0x40, 2, pid >> 8, pid & 0xFF)), b"")
        elif self._out_end:
            self._send(now_ms)
        if self._trouble:
            return self._over(self._trouble)
        event = NOTHING
        if not self._owed and not self._ack and self._hear(now_ms):
            event = self._heard()
        return event if event else self._stay_alive(now_ms)

    def _stay_alive(self, now_ms: int) -> int:
        quiet = self._quiet_ms
        if self._pinged:
            if ticks.diff(now_ms, self._ping_at) >= quiet and ticks.diff(now_ms, self._heard_at) >= quiet:
                return self._over("no answer to a ping within %d ms: the connection is half open" % quiet)
            return NOTHING
        if ticks.diff(now_ms, self._sent_at) < quiet and ticks.diff(now_ms, self._heard_at) < quiet:
            return NOTHING
        if not self._out_end and not self._ack:
            self._load(now_ms, packets.PINGREQ_BYTES, b"")
            self._pinged = True
            self._ping_at = now_ms
        return NOTHING

    def _heard(self) -> int:
        """The packet that was read, as an event."""
        packet = self.packet
        if packet.kind == packets.PUBLISH:
            self._owed = packet.pid if packet.qos else -1
            return TOO_LARGE if self.size else MESSAGE
        if packet.kind == packets.PUBACK:
            if packet.pid not in self._tokens:
                return NOTHING
            self.token = self._tokens.pop(packet.pid)
            return ACKED
        if packet.kind == packets.SUBACK:
            return SUBSCRIBED if packet.pid == self._subscribe_pid else NOTHING
        if packet.kind == packets.PINGRESP:
            self._pinged = False
            return NOTHING
        raise packets.MalformedError("a second CONNACK")

    # --- bytes ---

    def _hear(self, now_ms: int) -> bool:
        """Read once, unless a whole packet is here already; True with the next packet in `packet`."""
        if self._used and self._take():
            return True
        if self._skip:
            got = self._plug.readinto(self._in, min(self._skip, len(self._in)))
        elif self._used:
            got = self._plug.readinto(self._in_view[self._used :])
        else:
            got = self._plug.readinto(self._in)
        if got is None:
            return False
        if not got:
            raise OSError(errno.ECONNRESET, "closed by the broker")
        self._heard_at = now_ms
        if self._skip:
            self._skip -= got
            return not self._skip
        self._used += got
        return self._take()

    def _take(self) -> bool:
        """True if a whole packet begins the buffer; then it is in `packet` and gone from the buffer."""
        size = packets.size_of(self._in, self._used)
        if not size:
            return False
        if size > len(self._in):
            self._pass_over(size)
            return False
        if size > self._used:
            return False
        packets.read(self._in, size, self.packet)
        self.size = 0
        left = self._used - size
        if left:
            self._in[0:left] = self._in[size : size + left]
        self._used = left
        return True

    def _pass_over(self, size: int) -> None:
        """A packet that has no room: its topic is kept, its payload is read and forgotten."""
        if self._in[0] >> 4 != packets.PUBLISH:
            raise packets.MalformedError("packet kind %d of %d bytes" % (self._in[0] >> 4, size))
        if size > SKIP_AT_MOST:
            raise packets.MalformedError("a message of %d bytes, the limit is %d" % (size, SKIP_AT_MOST))
        if packets.read_publish(self._in_view[: self._used], size, self.packet):
            self.packet.payload = b""
            self.size = size
            self._skip = size - self._used
            self._used = 0
        elif self._used == len(self._in):
            raise packets.MalformedError("a topic that is longer than %d bytes" % len(self._in))

    # --- the end of a connection ---

    def _over(self, why: str) -> int:
        self._reset()
        self.lost = why
        return LOST

    def _reset(self) -> None:
        if self._raw is not None:
            try:
                self._raw.close()
            except (OSError, ValueError):
                pass
        self.state = DOWN
        self._raw = None
        self._plug = None
        self._poller = None
        self._used = 0
        self._skip = 0
        self._out_at = 0
        self._out_end = 0
        self._rest = b""
        self._rest_at = 0
        self._owed = 0
        self._ack = 0
        self._pinged = False
        self._trouble = ""
        self._tokens.clear()


def is_address(host: str) -> bool:
    """Whether `host` is a number that needs no looking up."""
    return ":" in host or all(char in "0123456789." for char in host)


def said(error: BaseException) -> str:
    """A system's error in a few words: its text, or its name by number."""
    if isinstance(error, OSError) and len(error.args) == 1 and isinstance(error.args[0], int):
        return str(getattr(errno, "errorcode", {}).get(error.args[0], error.args[0]))
    if len(error.args) > 1:
        return str(error.args[1])
    return str(error)
