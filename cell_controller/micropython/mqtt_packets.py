"""MQTT 3.1.1 packets as bytes, the client's side of them: what it sends is built here, what it hears is read here.

Pure: no socket, no clock. Any byte string is a whole packet, the beginning of one, or a MalformedError. What a broker
may not send to a client (MQTT 3.1.1, section 3) is malformed too, and so is QoS 2, which this client never asks for.
"""

from cell_controller.core import codec

CONNACK = 2
PUBLISH = 3
PUBACK = 4
SUBACK = 9
PINGRESP = 13

PINGREQ_BYTES = b"\xc0\x00"
DISCONNECT_BYTES = b"\xe0\x00"
LONGEST_TEXT = 65535
LONGEST_REST = 268435455  # what four bytes of remaining length can say

_REFUSALS = (
    "accepted",
    "it does not speak MQTT 3.1.1",
    "it does not like the client's name",
    "it is not available",
    "wrong user or password",
    "not authorised",
)


def refusal(code: int) -> str:
    """What the code of a CONNACK means; 0 is no refusal."""
    return _REFUSALS[code] if code < len(_REFUSALS) else "code %d" % code


class MalformedError(ValueError):
    """The bytes are not what a broker may send; end the connection, nothing behind them can be trusted."""


class Packet:
    """One packet from the broker; kind says which members count. Used again for the next one.

    PUBLISH: topic, payload, qos, retain, dup, pid (0 with QoS 0). PUBACK: pid. SUBACK: pid, payload (a code for each
    filter). CONNACK: code, see `refusal`; session, whether the broker kept one.
    """

    def __init__(self) -> None:
        self.kind = 0
        self.topic = ""
        self.payload = b""
        self.qos = 0
        self.retain = False
        self.dup = False
        self.pid = 0
        self.code = 0
        self.session = False


# what the client says


def put_length(out: bytearray, rest: int) -> None:
    """Append a remaining length, 0 to LONGEST_REST, in one to four bytes."""
    if not 0 <= rest <= LONGEST_REST:
        raise ValueError("a packet of %d bytes cannot be sent, the limit is %d" % (rest, LONGEST_REST))
    while rest > 127:
        out.append(0x80 | (rest & 0x7F))
        rest >>= 7
    out.append(rest)


def put_text(out: bytearray, text: "str | bytes") -> None:
    """Append a text or bytes with its length before it. Raises ValueError above 65535 bytes."""
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > LONGEST_TEXT:
        raise ValueError("a text of %d bytes cannot be sent, the limit is %d" % (len(raw), LONGEST_TEXT))
    out.append(len(raw) >> 8)
    out.append(len(raw) & 0xFF)
    out.extend(raw)


def connect(
    client_id: str,
    keep_alive_s: int,
    user: "str | None",
    password: "str | None",
    will: "tuple[str, bytes, int, bool] | None",
) -> bytes:
    """CONNECT for a clean session. will: topic, payload, QoS, retain. A password without a user is not sent."""
    flags = 0x02
    body = bytearray()
    put_text(body, client_id)
    if will is not None:
        flags |= 0x04 | (will[2] << 3) | (0x20 if will[3] else 0)
        put_text(body, will[0])
        put_text(body, will[1])
    if user is not None:
        flags |= 0x80
        put_text(body, user)
        if password is not None:
            flags |= 0x40
            put_text(body, password)
    out = bytearray(b"\x10")
    put_length(out, 10 + len(body))
    out.extend(b"\x00\x04MQTT\x04")
    out.append(flags)
    out.append(keep_alive_s >> 8)
    out.append(keep_alive_s & 0xFF)
    out.extend(body)
    return bytes(out)


def subscribe(pid: int, filters: "list[tuple[str, int]]") -> bytes:
    """SUBSCRIBE to (filter, QoS) pairs."""
    body = bytearray()
    body.append(pid >> 8)
    body.append(pid & 0xFF)
    for text, qos in filters:
        put_text(body, text)
        body.append(qos)
    out = bytearray(b"\x82")
    put_length(out, len(body))
    out.extend(body)
    return bytes(out)


def publish_head(topic: str, qos: int, retain: bool, pid: int, size: int) -> bytearray:
    """A PUBLISH up to its payload, which has `size` bytes. Raises ValueError for a topic nobody may publish to."""
    raw = topic.encode()
    if not raw or b"+" in raw or b"#" in raw or b"\x00" in raw:
        raise ValueError("'%s' is no topic to publish to" % topic)
    out = bytearray()
    out.append(0x30 | (qos << 1) | (1 if retain else 0))
    put_length(out, 2 + len(raw) + (2 if qos else 0) + size)
    put_text(out, raw)
    if qos:
        out.append(pid >> 8)
        out.append(pid & 0xFF)
    return out


# what the client hears


def size_of(data: "bytearray | memoryview", used: int) -> int:
    """Bytes of the packet that begins `data`, by its first `used` bytes; 0 while they do not say it yet."""
    rest = 0
    shift = 0
    at = 1
    while at < used:
        byte = data[at]
        rest |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            if at > 2 and not byte:
                raise MalformedError("a remaining length longer than it need be")
            return at + rest
        shift += 7
        if shift > 21:
            raise MalformedError("a remaining length of more than four bytes")
    return 0


def _body_at(data: "bytearray | memoryview") -> int:
    at = 1
    while data[at] & 0x80:
        at += 1
    return at + 1


def publish_prefix(data: "bytearray | memoryview", size: int) -> int:
    """Where the payload of the PUBLISH begins. `data` holds it up to there at least, or 0 is given.

    size: of the whole packet. Raises MalformedError where the topic or the packet number do not fit in it.
    """
    at = _body_at(data)
    have = len(data)
    if size < at + 2:
        raise MalformedError("PUBLISH without a topic")
    if have < at + 2:
        return 0
    at += 2 + (data[at] << 8 | data[at + 1])
    if data[0] & 0x06:
        at += 2
    if at > size:
        raise MalformedError("PUBLISH whose topic is longer than the packet")
    return at if have >= at else 0


def read_publish(data: "bytearray | memoryview", size: int, packet: Packet) -> int:
    """All of a PUBLISH but its payload, which begins where the result says; 0 if `data` does not reach that far."""
    head = data[0]
    qos = (head >> 1) & 3
    if qos > 1:
        raise MalformedError("PUBLISH with QoS %d, which nobody asked for" % qos)
    if head & 0x08 and not qos:
        raise MalformedError("PUBLISH with QoS 0 that says it is a repeat")
    end = publish_prefix(data, size)
    if not end:
        return 0
    begin = _body_at(data) + 2
    raw = bytes(data[begin : end - 2 if qos else end])
    topic = codec.decode(raw)
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        raise MalformedError("PUBLISH to what is no topic")
    packet.kind = PUBLISH
    packet.topic = topic
    packet.qos = qos
    packet.retain = bool(head & 1)
    packet.dup = bool(head & 8)
    packet.pid = (data[end - 2] << 8 | data[end - 1]) if qos else 0
    if qos and not packet.pid:
        raise MalformedError("PUBLISH with packet number 0")
    return end


def read(data: "bytearray | memoryview", size: int, packet: Packet) -> None:
    """Read the whole packet of `size` bytes at the beginning of `data` into `packet`. Raises MalformedError."""
    kind = data[0] >> 4
    if kind == PUBLISH:
        at = read_publish(data, size, packet)
        packet.payload = bytes(data[at:size])
        return
    if data[0] & 0x0F:
        raise MalformedError("reserved bits of packet kind %d are set" % kind)
    at = _body_at(data)
    rest = size - at
    packet.kind = kind
    if kind == PINGRESP:
        if rest:
            raise MalformedError("PINGRESP with %d bytes in it" % rest)
        return
    if kind == CONNACK:
        if rest != 2 or data[at] > 1:
            raise MalformedError("CONNACK that is none")
        packet.session = bool(data[at])
        packet.code = data[at + 1]
        return
    if kind not in (PUBACK, SUBACK):
        raise MalformedError("packet kind %d, which a broker may not send" % kind)
    if rest < 2 or (kind == PUBACK and rest != 2) or (kind == SUBACK and rest < 3):
        raise MalformedError("packet kind %d with %d bytes in it" % (kind, rest))
    packet.pid = data[at] << 8 | data[at + 1]
    if not packet.pid:
        raise MalformedError("an acknowledgement of packet number 0")
    if kind == SUBACK:
        packet.payload = bytes(data[at + 2 : size])
        for code in packet.payload:
            if code > 2 and code != 0x80:
                raise MalformedError("SUBACK with code %d" % code)
