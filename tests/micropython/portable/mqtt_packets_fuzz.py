"""Any bytes are a packet, the beginning of one, or malformed: mqtt_packets_fuzz.py SEED ROUNDS; prints one digest."""

import hashlib
import sys

from cell_controller.micropython import mqtt_packets as mqtt

GOOD = (
    b"\x20\x02\x00\x00",
    b"\x20\x02\x01\x05",
    b"\x30\x09\x00\x04a/bcxyz",
    b"\x32\x0b\x00\x04a/bc\x00\x07xyz",
    b"\x31\x07\x00\x05\xc3\xa4/\xc3\xb6",
    b"\x40\x02\x12\x34",
    b"\x90\x04\x00\x01\x01\x80",
    b"\xd0\x00",
)
MARKS = b"\x00\x01\x02\x7f\x80\xc0\xed\xf0\xff#+"


class Dice:
    """The same numbers on every runtime."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._state >> 12) % limit


def made(dice: Dice) -> bytes:
    """Nonsense, or a good packet that was cut, lengthened or changed in a few places."""
    if dice.below(4) == 0:
        return bytes([dice.below(256) for _ in range(dice.below(24))])
    data = bytearray(GOOD[dice.below(len(GOOD))])
    for _ in range(dice.below(4)):
        at = dice.below(len(data))
        data[at] = MARKS[dice.below(len(MARKS))] if dice.below(2) else dice.below(256)
    if dice.below(3) == 0:
        data = data[: dice.below(len(data) + 1)]
    for _ in range(dice.below(3)):
        data.append(dice.below(256))
    return bytes(data)


def outcome(data: bytes, packet: mqtt.Packet) -> str:
    """What the reader makes of it; anything but its own error ends the script."""
    try:
        size = mqtt.size_of(bytearray(data), len(data))
        if not size or size > len(data):
            if size and data[0] >> 4 == mqtt.PUBLISH:
                mqtt.read_publish(memoryview(data), size, packet)
            return "more"
        mqtt.read(bytearray(data), size, packet)
    except mqtt.MalformedError as error:
        return "malformed: %s" % error
    seen: "list[object]" = [packet.kind]
    if packet.kind == mqtt.PUBLISH:
        seen += [packet.topic, packet.payload, packet.qos, packet.retain, packet.dup, packet.pid]
    elif packet.kind == mqtt.CONNACK:
        seen += [packet.code, packet.session]
    elif packet.kind in (mqtt.PUBACK, mqtt.SUBACK):
        seen += [packet.pid]
    return "|".join([item.encode().hex() if isinstance(item, str) else str(item) for item in seen])


def main(seed: int, rounds: int) -> None:
    dice = Dice(seed)
    packet = mqtt.Packet()
    digest = hashlib.sha256()
    kinds: "dict[str, int]" = {"more": 0, "malformed": 0, "packet": 0}
    for _ in range(rounds):
        text = outcome(made(dice), packet)
        kind = text if text == "more" else ("malformed" if text[:9] == "malformed" else "packet")
        kinds[kind] += 1
        digest.update(text.encode())
    print(kinds["more"], kinds["malformed"], kinds["packet"], digest.digest().hex())


main(int(sys.argv[1]), int(sys.argv[2]))
