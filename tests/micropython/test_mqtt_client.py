"""The small MQTT client: its packets against the standard, and one connection in every state with a scripted peer."""

import runpy
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_controller.micropython import mqtt_client as mqtt
from cell_controller.micropython import mqtt_packets as packets
from tests.cpython.link_bench import wait_for
from tests.micropython.link_process import spec_bytes
from tests.micropython.peer import CONNACK, Peer, connected, heard, steps
from tests.runtimes.runtimes import ROOT, Runtime, missing

FUZZ = "tests/micropython/portable/mqtt_packets_fuzz.py"
IDLE = "tests/micropython/portable/link_idle_heap.py"
SEED = 20261124
ROUNDS = 5000
HALF = 7500  # ms: half of a keep-alive of 15 s


@pytest.fixture
def peer() -> Iterator[Peer]:
    one = Peer()
    yield one
    one.close()


@pytest.fixture
def client(peer: Peer) -> Iterator[mqtt.MqttClient]:
    one = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port)
    yield one
    one.abandon()


def on(name: str) -> Runtime:
    if reason := missing(name):
        pytest.skip(f"runtime {name}: {reason}")
    return Runtime(name)


def stall(client: mqtt.MqttClient, payload: bytes) -> None:
    """Publish more than the connection holds, until it takes nothing more."""
    client._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    client.publish(0, "a", payload, 0, False)
    sent = -1
    while client.sends != sent:
        sent = client.sends
        for _ in range(200):
            client.step(0)
    assert not client.can_send()


# packets


@pytest.fixture(scope="module")
def on_cpython() -> str:
    return Runtime("cpython").run(FUZZ, SEED, ROUNDS)


@pytest.mark.parametrize("name", ["unix", "wasm_newest"])
def test_any_bytes_are_a_packet_a_beginning_or_malformed(name: str, on_cpython: str) -> None:
    more, malformed, whole = (int(word) for word in on_cpython.split()[:3])
    assert min(more, malformed, whole) > ROUNDS // 10, on_cpython
    assert on(name).run(FUZZ, SEED, ROUNDS) == on_cpython


def test_the_fuzz_notices_a_reader_that_raises_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    read = packets.read

    def careless(data: bytearray, size: int, packet: packets.Packet) -> None:
        read(data, size, packet)
        if packet.kind == packets.SUBACK and packet.payload[0] == 0x80:
            raise IndexError

    monkeypatch.setattr(packets, "read", careless)
    monkeypatch.setattr(sys, "argv", [FUZZ, str(SEED), str(ROUNDS)])
    with pytest.raises(IndexError):
        runpy.run_path(str(ROOT / FUZZ))


def test_packets_have_the_bytes_of_the_standard() -> None:
    will = ("w", b"gone", 1, True)
    assert packets.connect("c", 15, "u", "p", will) == (
        b"\x10\x1c\x00\x04MQTT\x04\xee\x00\x0f\x00\x01c\x00\x01w\x00\x04gone\x00\x01u\x00\x01p"
    )
    assert packets.connect("c", 15, None, "p", None) == b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0f\x00\x01c"
    assert packets.subscribe(10, [("a/+", 1), ("b", 0)]) == b"\x82\x0c\x00\x0a\x00\x03a/+\x01\x00\x01b\x00"
    assert packets.publish_head("a/b", 1, True, 10, 3) == b"\x33\x0a\x00\x03a/b\x00\x0a"
    assert packets.publish_head("a/b", 0, False, 0, 123) == b"\x30\x80\x01\x00\x03a/b"


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0b"])
def test_what_is_no_topic_is_not_sent(topic: str) -> None:
    with pytest.raises(ValueError, match="is no topic"):
        packets.publish_head(topic, 0, False, 0, 0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x30\x80\x80\x80\x80\x01", "more than four bytes"),
        (b"\xd0\x80\x00", "longer than it need be"),
        (b"\x34\x08\x00\x01a\x00\x01xyz", "QoS 2"),
        (b"\x38\x05\x00\x01axy", "repeat"),
        (b"\x32\x05\x00\x01a\x00\x00", "packet number 0"),
        (b"\x30\x03\x00\x09a", "longer than the packet"),
        (b"\x30\x03\x00\x01+", "no topic"),
        (b"\x30\x04\x00\x02\xc0\xaf", "no topic"),
        (b"\x41\x02\x00\x01", "reserved bits"),
        (b"\x10\x00", "may not send"),
        (b"\x90\x03\x00\x01\x07", "code 7"),
    ],
)
def test_what_a_broker_may_not_send_is_malformed(data: bytes, why: str) -> None:
    with pytest.raises(packets.MalformedError, match=why):
        packets.read(bytearray(data), packets.size_of(bytearray(data), len(data)), packets.Packet())


# one connection


def test_it_greets_with_will_user_and_keep_alive(peer: Peer) -> None:
    will = ("base/presence", b"gone", 1, True)
    client = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port, "u", "p", 20, None, will)
    assert connected(peer, client) == packets.connect("paint-1", 20, "u", "p", will)
    client.leave()
    assert heard(peer, 2) == packets.DISCONNECT_BYTES


def test_a_packet_leaves_in_one_send_and_a_long_one_in_segments(peer: Peer, client: mqtt.MqttClient) -> None:
    connected(peer, client)
    before = client.sends
    client.publish(0, "a", b"x" * 1000, 1, False, 7)
    assert client.sends == before + 1
    client.publish(0, "b", b"y" * 4000, 0, False)
    assert not client.can_send()
    steps(client, lambda event: client.can_send())
    assert client.sends == before + 1 + 3
    first = packets.publish_head("a", 1, False, 1, 1000) + b"x" * 1000
    second = packets.publish_head("b", 0, False, 0, 4000) + b"y" * 4000
    assert heard(peer, len(first) + len(second)) == first + second


def test_what_was_sent_in_part_is_continued() -> None:
    peer = Peer(buffer_bytes=4096)
    client = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port)
    connected(peer, client)
    payload = bytes(range(256)) * 2000
    stall(client, payload)
    data = bytearray()
    head = packets.publish_head("a", 0, False, 0, len(payload))

    def all_there() -> bool:
        data.extend(peer.hear())
        for _ in range(100):
            client.step(0)
        return client.can_send() and len(data) == len(head) + len(payload)

    wait_for(all_there, lambda: (len(data), client.lost))
    assert data == head + payload
    client.abandon()
    peer.close()


def test_an_acknowledgement_gives_its_token_back_and_a_stray_one_nothing(
    peer: Peer, client: mqtt.MqttClient
) -> None:
    connected(peer, client)
    client.publish(0, "a", b"x", 1, False, 41)
    peer.say(b"\x40\x02\x00\x63" + b"\x40\x02\x00\x01" + b"\x40\x02\x00\x01")
    steps(client, lambda event: event == mqtt.ACKED)
    assert client.token == 41
    assert [client.step(0) for _ in range(3)] == [mqtt.NOTHING] * 3


def test_a_message_is_acknowledged_when_it_was_handed_on_and_nothing_is_read_before(
    peer: Peer, client: mqtt.MqttClient
) -> None:
    connected(peer, client)
    peer.say(b"\x32\x06\x00\x01a\x00\x05x" + b"\x30\x04\x00\x01by")
    steps(client, lambda event: event == mqtt.MESSAGE)
    assert (client.packet.topic, client.packet.payload, client.packet.qos) == ("a", b"x", 1)
    assert [client.step(0) for _ in range(5)] == [mqtt.NOTHING] * 5
    assert peer.hear() == b""
    client.acknowledge()
    steps(client, lambda event: event == mqtt.MESSAGE)
    assert (client.packet.topic, client.packet.payload, client.packet.qos) == ("b", b"y", 0)
    assert heard(peer, 4) == b"\x40\x02\x00\x05"


def test_a_message_in_single_bytes_is_one_message(peer: Peer, client: mqtt.MqttClient) -> None:
    connected(peer, client)
    for byte in b"\x33\x07\x00\x01a\x00\x05xy":
        assert client.step(0) == mqtt.NOTHING
        peer.say(bytes([byte]))
    steps(client, lambda event: event == mqtt.MESSAGE)
    assert (client.packet.payload, client.packet.retain, client.packet.pid) == (b"xy", True, 5)


def test_what_has_no_room_is_skipped_said_and_acknowledged(peer: Peer, client: mqtt.MqttClient) -> None:
    connected(peer, client)
    size = 50000
    peer.say(bytes(packets.publish_head("a/b", 1, False, 9, size)) + b"z" * size + b"\x30\x04\x00\x01by")
    steps(client, lambda event: event == mqtt.TOO_LARGE)
    assert (client.packet.topic, client.size) == ("a/b", size + 11)
    client.acknowledge()
    steps(client, lambda event: event == mqtt.MESSAGE)
    assert client.packet.topic == "b"
    assert heard(peer, 4) == b"\x40\x02\x00\x09"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x30\xff\xff\xff\x7f" + b"\x00\x01a" + b"x" * 3000, "limit"),
        (b"\x30\xff\x7f\xff\xf0" + b"a" * 3000, "longer than"),
        (b"\x40\xff\x7f" + b"x" * 3000, "packet kind 4"),
        (CONNACK, "second CONNACK"),
        (b"\xff\xff\xff\xff\xff", "more than four bytes"),
    ],
)
def test_nonsense_ends_the_connection_with_a_reason(
    peer: Peer, client: mqtt.MqttClient, data: bytes, why: str
) -> None:
    connected(peer, client)
    peer.say(data)
    steps(client, lambda event: event == mqtt.LOST)
    assert why in client.lost
    assert client.state == mqtt.DOWN


def test_a_quiet_connection_is_kept_by_pings(peer: Peer, client: mqtt.MqttClient) -> None:
    connected(peer, client)
    for now_ms in range(0, 60000, 500):
        client.step(now_ms)
        if peer.hear() == packets.PINGREQ_BYTES:
            peer.say(b"\xd0\x00")
            steps(client, lambda event: not client._pinged, now_ms)
    assert client.state == mqtt.UP, client.lost


def test_a_half_open_connection_is_found_by_the_answer_that_does_not_come(
    peer: Peer, client: mqtt.MqttClient
) -> None:
    connected(peer, client)
    assert client.step(HALF) == mqtt.NOTHING
    assert heard(peer, 2) == packets.PINGREQ_BYTES
    assert client.step(2 * HALF - 1) == mqtt.NOTHING
    assert client.step(2 * HALF) == mqtt.LOST
    assert "half open" in client.lost


def test_the_time_of_a_connection_survives_the_wrap_of_the_tick(peer: Peer, client: mqtt.MqttClient) -> None:
    begun = (1 << 29) - 3000
    connected(peer, client, begun)
    assert client.step(2000) == mqtt.NOTHING
    assert peer.hear() == b""
    client.step(HALF - 3000)
    assert heard(peer, 2) == packets.PINGREQ_BYTES


def test_a_broker_that_takes_nothing_is_left() -> None:
    peer = Peer(buffer_bytes=4096)
    client = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port)
    connected(peer, client)
    stall(client, bytes(512_000))
    assert steps(client, lambda event: event == mqtt.LOST, 2 * HALF + 1) == mqtt.LOST
    assert "took nothing" in client.lost
    peer.close()


def test_a_broker_that_says_no_is_named_with_its_reason(peer: Peer, client: mqtt.MqttClient) -> None:
    assert client.begin(0)
    steps(client, lambda event: client.state == mqtt.GREETING)
    peer.accept()
    peer.say(b"\x20\x02\x00\x04")
    steps(client, lambda event: event == mqtt.LOST)
    assert client.lost == "refused by the broker: wrong user or password"


def test_nobody_there_and_a_silent_broker_are_given_up(peer: Peer) -> None:
    nobody = mqtt.MqttClient("paint-1", "127.0.0.1", 1)
    assert nobody.begin(0)
    steps(nobody, lambda event: event == mqtt.LOST)
    assert "127.0.0.1:1" in nobody.lost
    silent = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port)
    assert silent.begin(0)
    steps(silent, lambda event: silent.state == mqtt.GREETING)
    assert silent.step(mqtt.ATTEMPT_MS) == mqtt.NOTHING
    assert silent.step(mqtt.ATTEMPT_MS + 1) == mqtt.LOST
    assert "no CONNACK" in silent.lost


def test_a_name_is_not_looked_up_while_the_cell_moves(peer: Peer) -> None:
    by_name = mqtt.MqttClient("paint-1", "localhost", peer.port)
    assert not by_name.begin(0, may_block=False)
    assert by_name.begin(0, may_block=True)
    by_number = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port)
    assert by_number.begin(0, may_block=False)
    by_name.abandon()
    by_number.abandon()


def test_a_tls_handshake_is_not_calculated_while_the_cell_moves(peer: Peer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = mqtt.MqttClient("paint-1", "127.0.0.1", peer.port, tls_context=context)
    assert client.begin(0, may_block=False)
    for now_ms in range(0, mqtt.ATTEMPT_MS, 100):
        assert client.step(now_ms, False) == mqtt.NOTHING
    peer.accept()
    assert (client.state, peer.hear()) == (mqtt.GREETING, b"")
    client.step(mqtt.ATTEMPT_MS, True)
    assert heard(peer, 1)[:1] == b"\x16"  # a ClientHello
    assert client.step(mqtt.ATTEMPT_MS + 1, True) == mqtt.LOST


# memory


def test_a_link_with_nothing_to_do_allocates_nothing(tmp_path: Path, quiet_broker: int) -> None:
    spec = tmp_path / "cell.bin"
    spec.write_bytes(spec_bytes())
    assert on("unix").run(IDLE, quiet_broker, spec, timeout_s=20) == "quiet\n"


def test_the_test_of_allocations_notices_one(tmp_path: Path, quiet_broker: int) -> None:
    spec = tmp_path / "cell.bin"
    spec.write_bytes(spec_bytes())
    with pytest.raises(AssertionError, match="MemoryError"):
        on("unix").run(IDLE, quiet_broker, spec, "leak", timeout_s=20)


@pytest.fixture
def quiet_broker() -> Iterator[int]:
    from tests.cpython.bad_broker import BadBroker

    broker = BadBroker("closes_on_5")  # decent to MQTT 3.1.1
    yield broker.port
    broker.close()
