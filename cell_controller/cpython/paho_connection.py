"""One connection to a broker by paho-mqtt, from CONNECT to loss, driven by its owner's thread.

Every attempt gets a client object of its own: a client that reconnects sends again what it kept in memory, and what
must not be lost is kept in the journal instead. Callbacks only note what happened; the owner reads it after `step`.
"""

import contextlib
import select
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cell_controller.core.session import WINDOW, Publish

V5 = "5"
V311 = "3.1.1"
RECEIVE_MAXIMUM = 16  # requests with QoS 1 that the broker may have under way to this cell
MAXIMUM_PACKET = (
    4 << 20
)  # a megabyte of nonsense must arrive to be refused with a reply; more is not worth memory
_NOTHING_WAITS = 4
_LARGEST_PACKET = 268_435_460
_HEADROOM = 600  # header, packet id and properties of a PUBLISH
_TOPIC_INVALID = 0x90
_UNSPECIFIED = 0x80
_PACKET_TOO_LARGE = 0x95
_properties: Any = Properties  # paho gives it no types

PAHO_FAILURES = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
    MQTTException,
)
"""What paho raises when a broker sends bytes that are not MQTT, or the network fails."""


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker is and how to be let in. tls: a context of `ssl`, None for plain TCP."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 15
    connect_timeout_s: float = 5.0


@dataclass
class Message:
    """What the broker delivered; `topic` is None if it was not UTF-8."""

    topic: str | None
    payload: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None
    early: bool  # before the broker had answered the first SUBSCRIBE


@dataclass
class Happened:
    """What the broker said since it was last looked at."""

    messages: list[Message] = field(default_factory=list)
    acks: list[tuple[int, int]] = field(default_factory=list)  # (token, reason code)
    subacks: list[list[int]] = field(default_factory=list)  # reason codes of each SUBACK


class Connection:
    """A client of paho for one connection. protocol: V5 or V311. Not for use by two threads."""

    def __init__(self, address: BrokerAddress, client_id: str, protocol: str, will: Publish | None) -> None:
        self.protocol = protocol
        self.reached = False
        self.accepted = False
        self.receive_maximum = 65535
        self.maximum_packet = _LARGEST_PACKET
        self.refusal: int | None = None  # reason code of a CONNACK that says no
        self.lost = ""  # why the connection is over, "" while it is not
        self.happened = Happened()
        self._address = address
        self._granted = False
        self._tokens: dict[int, int] = {}  # paho's message id -> token of the session
        five = protocol == V5
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = address.connect_timeout_s
        client.max_inflight_messages = WINDOW + _NOTHING_WAITS
        client.max_queued_messages = WINDOW + _NOTHING_WAITS
        client.username_pw_set(address.username, address.password)
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        if address.tls is not None:
            client.tls_set_context(address.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        self._client = client

    def open(self) -> None:
        """Reach the broker and send CONNECT; blocks up to the connect time-out. A failure is in `lost`."""
        try:
            self._open()
        except PAHO_FAILURES as error:
            self._over(f"cannot reach the broker: {error}")

    def _open(self) -> None:
        if self.protocol == V5:
            properties = _properties(PacketTypes.CONNECT)
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = MAXIMUM_PACKET
            self._client.connect(
                self._address.host,
                self._address.port,
                keepalive=self._address.keepalive_s,
                clean_start=True,
                properties=properties,
            )
        else:
            self._client.connect(self._address.host, self._address.port, keepalive=self._address.keepalive_s)
        self.reached = True
        plug: Any = self._client.socket()
        if plug is not None:  # a packet written in pieces waits for a delayed acknowledgement otherwise
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def step(self, timeout_s: float, wake: socket.socket) -> None:
        """Wait for the network or for a byte on `wake`, at most `timeout_s`, and handle what came."""
        plug: Any = self._client.socket()
        if plug is None:
            self._over("closed by the broker")
            return
        if isinstance(plug, ssl.SSLSocket) and plug.pending():
            timeout_s = 0.0
        try:
            poller = select.poll()
            poller.register(plug, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
            poller.register(wake, select.POLLIN)
            ready = {number for number, _ in poller.poll(timeout_s * 1000)}
            if wake.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
            code = MQTTErrorCode.MQTT_ERR_SUCCESS
            if plug.fileno() in ready or timeout_s == 0.0:
                code = self._client.loop_read()
            if code == MQTTErrorCode.MQTT_ERR_SUCCESS and self._client.want_write():
                code = self._client.loop_write()
            if code == MQTTErrorCode.MQTT_ERR_SUCCESS:
                code = self._client.loop_misc()
        except PAHO_FAILURES as error:
            self._over(f"the broker sent what is not MQTT, or the network failed: {error!r}")
            return
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._over(paho.error_string(code).rstrip("."))

    def want_write(self) -> bool:
        """True while the broker or the network has not taken what was sent: send no more."""
        return self._client.want_write()

    def waiting(self) -> int:
        """How many publishes paho holds in memory until they are acknowledged."""
        return len(self._tokens)

    def subscribe(self, filters: "list[tuple[str, int]]") -> None:
        """Ask for messages; the answer is in `happened.subacks`."""
        try:
            self._client.subscribe(filters)
        except PAHO_FAILURES as error:
            self._over(f"could not subscribe: {error!r}")

    def publish(self, message: Publish, response_topic: str | None = None) -> None:
        """Send one message; its token comes back in `happened.acks` if it has one."""
        if len(message.payload) + 3 * len(message.topic) + _HEADROOM > self.maximum_packet:
            if message.token:  # the broker would close the connection, now and after every return
                self.happened.acks.append((message.token, _PACKET_TOO_LARGE))
            return
        properties = None
        if self.protocol == V5 and message.correlation is not None:
            properties = _properties(PacketTypes.PUBLISH)
            properties.CorrelationData = message.correlation
            if response_topic is not None:
                properties.ResponseTopic = response_topic
        try:
            info = self._client.publish(
                message.topic, message.payload, message.qos, message.retain, properties
            )
        except PAHO_FAILURES as error:
            if (
                message.token
            ):  # a topic that cannot be sent: answer in the broker's place, or it would wait for ever
                self.happened.acks.append(
                    (message.token, _TOPIC_INVALID if isinstance(error, ValueError) else _UNSPECIFIED)
                )
            return
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            self._over(paho.error_string(info.rc).rstrip("."))
        elif message.token:
            self._tokens[info.mid] = message.token

    def close(self) -> None:
        """Leave politely (the broker then drops the will); without effect on a connection that is lost."""
        try:
            self._client.disconnect()
            plug: Any = self._client.socket()
            if plug is not None:
                plug.close()
        except PAHO_FAILURES:
            self.lost = self.lost or "closed"

    def abandon(self) -> None:
        """Drop the connection without a word, so that the broker publishes the will."""
        plug: Any = self._client.socket()
        if plug is not None:
            with contextlib.suppress(OSError):
                plug.close()

    def _over(self, why: str) -> None:
        if not self.lost:
            self.lost = why

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.refusal = reason.value
            self._over(f"refused by the broker: {reason} (0x{reason.value:02x})")
            return
        self.accepted = True
        self.receive_maximum = int(getattr(properties, "ReceiveMaximum", 65535))
        self.maximum_packet = int(getattr(properties, "MaximumPacketSize", _LARGEST_PACKET))

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._over(f"the broker said goodbye: {reason} (0x{reason.value:02x})")

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        topic: str | None = None
        with contextlib.suppress(UnicodeDecodeError):
            topic = message.topic
        self.happened.messages.append(
            Message(
                topic,
                bytes(message.payload),
                bool(message.retain),
                getattr(message.properties, "ResponseTopic", None),
                getattr(message.properties, "CorrelationData", None),
                not self._granted,
            )
        )

    def _on_publish(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        token = self._tokens.pop(mid, 0)
        if token:
            self.happened.acks.append((token, reason.value))

    def _on_subscribe(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self._granted = True
        self.happened.subacks.append([reason.value for reason in reasons])
