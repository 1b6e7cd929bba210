"""The client asks one question at a time, keeps the silence of a serial line, and believes no wrong answer."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from board.modbus_client import EXCEPTIONS, LATEST_S, MOST_BYTES, LineClient
from board.modbus_plan import Block
from board.transport import SerialSettings
from cell_controller.errors import DeviceError, LinkLostError

HOLDING = Block("holding", 0x10, 2)
SLOW_LINE = SerialSettings(baud=1200, parity="even")
FAST_LINE = SerialSettings(baud=115_200)
Answer = Callable[[bytes], bytes]


class ScriptedLine:
    """A line in virtual time whose other end is a function; `waiting` lies there before anything is asked."""

    name = "the line"

    def __init__(self, answer: Answer, chunk: int = 4096, waiting: bytes = b"") -> None:
        self.is_open = True
        self.now = 1000.0
        self.sent: list[tuple[float, bytes]] = []
        self._answer = answer
        self._chunk = chunk
        self._waiting = waiting

    def open(self) -> None:
        """See Transport."""

    def read(self, most: int, timeout_s: float) -> bytes:
        """See Transport."""
        data, self._waiting = self._waiting[: self._chunk], self._waiting[self._chunk :]
        if not data:
            self.now += timeout_s
        return data

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.sent.append((self.now, data))
        self._waiting += self._answer(data)

    def flush_input(self) -> None:
        """See Transport."""
        self._waiting = b""

    def close(self) -> None:
        """See Transport."""
        self.is_open = False

    def sleep(self, seconds: float) -> None:
        """Virtual time passes."""
        self.now += seconds


class LateLine(ScriptedLine):
    """A serial line at whose end a device answers each question `late_s` later, with the question's number."""

    def __init__(self, late_s: float) -> None:
        super().__init__(lambda request: b"")
        self.late_s = late_s
        self.is_busy = False  # and hears nothing
        self.coming: list[tuple[float, bytes]] = []

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.sent.append((self.now, data))
        if self.is_busy:
            return
        answer = rtu(b"\x03\x02" + len(self.sent).to_bytes(2, "big"))
        self.coming.append((self.now + self.late_s, answer(data)))

    def read(self, most: int, timeout_s: float) -> bytes:
        """See Transport."""
        if self.coming and self.coming[0][0] <= self.now + timeout_s:
            at, data = self.coming.pop(0)
            self.now = max(self.now, at)
            return data
        self.now += timeout_s
        return b""


def client_of(line: ScriptedLine, serial: SerialSettings | None = None) -> LineClient:
    return LineClient(line, serial, clock=lambda: line.now, sleep=line.sleep)


def tcp(pdu: bytes, unit: int = 1, number: int = 0) -> Answer:
    """Answers with `pdu`; `number` is added to the transaction's."""

    def answer(request: bytes) -> bytes:
        tid = (int.from_bytes(request[:2], "big") + number) & 0xFFFF
        return tid.to_bytes(2, "big") + bytes([0, 0, 0, len(pdu) + 1, unit]) + pdu

    return answer


def rtu(pdu: bytes, unit: int = 1) -> Answer:
    body = bytes([unit]) + pdu
    return lambda request: body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def both(pdu: bytes, unit: int = 1) -> list[tuple[Answer, SerialSettings | None]]:
    return [(tcp(pdu, unit), None), (rtu(pdu, unit), SLOW_LINE)]


TWO_WORDS = b"\x03\x04\x00\x07\x01\x00"


@pytest.mark.parametrize(("answer", "serial"), both(TWO_WORDS))
@pytest.mark.parametrize("chunk", [1, 3, 4096])
def test_an_answer_is_put_together_from_its_pieces(
    answer: Answer, serial: SerialSettings | None, chunk: int
) -> None:
    client = client_of(ScriptedLine(answer, chunk), serial)
    assert client.read(1, HOLDING, 0.1) == [7, 256]
    assert client.heard


@pytest.mark.parametrize(
    ("block", "pdu", "values"),
    [
        (Block("coil", 0, 10), b"\x01\x02\x05\x02", [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]),
        (Block("discrete", 0, 3), b"\x02\x01\x06", [0, 1, 1]),
        (Block("input", 0, 1), b"\x04\x02\xff\xfe", [0xFFFE]),
    ],
)
def test_each_table_is_read_with_its_function(block: Block, pdu: bytes, values: list[int]) -> None:
    for answer, serial in both(pdu):
        assert client_of(ScriptedLine(answer), serial).read(1, block, 0.1) == values


@pytest.mark.parametrize(
    ("block", "values", "single", "pdu"),
    [
        (Block("coil", 7), [1], True, b"\x05\x00\x07\xff\x00"),
        (Block("coil", 7), [1], False, b"\x0f\x00\x07\x00\x01"),
        (Block("coil", 7, 2), [1, 0], False, b"\x0f\x00\x07\x00\x02"),
        (Block("holding", 7), [513], True, b"\x06\x00\x07\x02\x01"),
        (Block("holding", 7, 2), [513, 2], False, b"\x10\x00\x07\x00\x02"),
    ],
)
def test_a_writing_must_be_confirmed_as_it_was_meant(
    block: Block, values: list[int], single: bool, pdu: bytes
) -> None:
    for answer, serial in both(pdu):
        line = ScriptedLine(answer)
        client_of(line, serial).write(1, block, values, single, 0.1)
        assert pdu[0] == line.sent[0][1][7 if serial is None else 1]
    for at in (2, 4):
        wrong = pdu[:at] + bytes([pdu[at] ^ 0x03]) + pdu[at + 1 :]
        if pdu[0] == 5 and at == 4:
            wrong = pdu[:3] + b"\x00\x00"
        for answer, serial in both(wrong):
            with pytest.raises(DeviceError, match="confirms another writing"):
                client_of(ScriptedLine(answer), serial).write(1, block, values, single, 0.1)


@pytest.mark.parametrize(("answer", "serial"), both(b"\x83\x02"))
def test_an_exception_is_told_in_words_and_is_an_answer(
    answer: Answer, serial: SerialSettings | None
) -> None:
    client = client_of(ScriptedLine(answer), serial)
    with pytest.raises(DeviceError, match=r"^illegal data address \(exception 2\)$"):
        client.read(1, HOLDING, 0.1)
    assert client.heard


@pytest.mark.parametrize("code", sorted(EXCEPTIONS))
def test_a_gateway_that_does_not_reach_the_unit_is_no_answer_of_the_unit(code: int) -> None:
    client = client_of(ScriptedLine(tcp(bytes([0x83, code]))))
    with pytest.raises(DeviceError):
        client.read(1, HOLDING, 0.1)
    assert client.heard == (code not in (10, 11))


def test_no_answer_takes_the_time_it_may_take_and_not_more() -> None:
    line = ScriptedLine(lambda request: b"")
    client = client_of(line)
    with pytest.raises(DeviceError, match=r"^no answer within 100 ms$"):
        client.read(1, HOLDING, 0.1)
    assert line.now == pytest.approx(1000.1)
    assert not client.heard


def test_on_a_serial_line_the_time_comes_from_the_speed_and_the_length() -> None:
    """8 bytes there, 5 + 2 * 125 back, 11 bits each at 1200 baud, 3.5 characters of silence, 100 ms to think."""
    line = ScriptedLine(lambda request: b"")
    with pytest.raises(DeviceError):
        client_of(line, SLOW_LINE).read(1, Block("holding", 0, 125), 0.1)
    assert line.now - 1000 == pytest.approx(0.1 + (8 + 255 + 3.5) * 11 / 1200)


@pytest.mark.parametrize(
    ("serial", "silence_s"), [(SLOW_LINE, 3.5 * 11 / 1200), (FAST_LINE, 0.00175), (None, 0)]
)
def test_between_two_frames_there_is_silence(serial: SerialSettings | None, silence_s: float) -> None:
    line = ScriptedLine(tcp(TWO_WORDS) if serial is None else rtu(TWO_WORDS))
    client = client_of(line, serial)
    client.read(1, HOLDING, 0.1)
    answered_at = line.now
    client.read(1, HOLDING, 0.1)
    assert line.sent[1][0] - answered_at == pytest.approx(silence_s)


@pytest.mark.parametrize(
    ("answer", "serial"),
    [
        (tcp(TWO_WORDS, number=1), None),  # of another question
        (tcp(TWO_WORDS, number=-1), None),  # of the last one: late
        (lambda request: b"\0\0" + tcp(TWO_WORDS)(request)[2:], None),  # of none
        (tcp(TWO_WORDS, unit=2), None),
        (rtu(TWO_WORDS, unit=2), SLOW_LINE),
        (lambda request: rtu(TWO_WORDS)(request)[:-1] + b"\0", SLOW_LINE),  # a wrong check sum
        (lambda request: rtu(TWO_WORDS)(request)[:-3], SLOW_LINE),  # cut short
    ],
)
def test_an_answer_that_is_not_for_this_question_is_none(
    answer: Answer, serial: SerialSettings | None
) -> None:
    client = client_of(ScriptedLine(answer), serial)
    with pytest.raises(DeviceError, match=r"bytes that are none|another"):
        client.read(1, HOLDING, 0.1)
    assert not client.heard


@given(st.floats(0.001, LATEST_S), st.floats(0.0, 0.1))
def test_a_late_answer_is_never_taken_for_that_of_another_question(late_s: float, pause_s: float) -> None:
    """Every question looks alike, and RTU has no numbers. `pause_s`: what others on the line take meanwhile."""
    line = LateLine(late_s)
    client = client_of(line, SerialSettings(baud=19_200))
    for _ in range(30):
        try:
            (found,) = client.read(1, Block("holding", 0), 0.1)
        except DeviceError:
            line.now += pause_s
        else:
            assert found == len(line.sent)
            assert late_s < 0.12


def test_a_late_answer_is_not_taken_for_that_of_a_question_that_was_not_heard() -> None:
    """A device that is still busy with the first question does not hear the second, which looks alike."""
    line = LateLine(0.15)
    client = client_of(line, SerialSettings(baud=19_200))
    with pytest.raises(DeviceError, match="no answer"):
        client.read(1, Block("holding", 10), 0.1)
    line.is_busy = True
    with pytest.raises(DeviceError, match="a question in vain"):
        client.read(1, Block("holding", 20), 0.1)
    assert not client.heard
    line.is_busy, line.late_s = False, 0.01
    assert client.read(1, Block("holding", 20), 0.1) == [3]


def test_a_late_answer_is_not_taken_for_that_of_a_question_half_a_second_later() -> None:
    line = LateLine(0.55)
    client = client_of(line, SerialSettings(baud=19_200))
    with pytest.raises(DeviceError, match="no answer"):
        client.read(1, Block("holding", 10), 0.1)
    line.now = 1000.5
    with pytest.raises(DeviceError):
        client.read(1, Block("holding", 20), 0.1)


def test_after_lateness_answers_are_believed_again() -> None:
    line = LateLine(0.3)
    client = client_of(line, SerialSettings(baud=19_200))
    for _ in range(5):
        with pytest.raises(DeviceError):
            client.read(1, Block("holding", 0), 0.1)
    line.late_s = 0.01
    line.now += 0.7  # later than LATEST_S
    assert client.read(1, Block("holding", 0), 0.1) == [len(line.sent)]


@pytest.mark.parametrize(
    "pdu", [b"\x04\x04\0\1\0\2", b"\x03\x02\0\1", b"\x03\x06\0\1\0\1\0\1", b"\x06\0\x10\0\1"]
)
def test_an_answer_with_another_function_or_length_is_refused(pdu: bytes) -> None:
    for answer, serial in both(pdu):
        with pytest.raises(DeviceError, match="where"):
            client_of(ScriptedLine(answer), serial).read(1, HOLDING, 0.1)


@pytest.mark.parametrize(("answer", "serial"), both(TWO_WORDS))
def test_what_came_before_the_question_is_not_its_answer(
    answer: Answer, serial: SerialSettings | None
) -> None:
    line = ScriptedLine(answer, waiting=(rtu if serial else tcp)(b"\x03\x04\xee\xee\xee\xee")(b"\0\1"))
    assert client_of(line, serial).read(1, HOLDING, 0.1) == [7, 256]


def test_who_never_stops_talking_is_given_up() -> None:
    flood = ScriptedLine(tcp(TWO_WORDS), waiting=b"9" * 100_000, chunk=4096)
    with pytest.raises(DeviceError, match="does not stop talking"):
        client_of(flood).read(1, HOLDING, 0.1)
    for serial in (None, FAST_LINE):
        flood = ScriptedLine(lambda request: b"9" * 10_000, chunk=32)
        with pytest.raises(DeviceError, match=f"more than {MOST_BYTES} bytes"):
            client_of(flood, serial).read(1, HOLDING, 0.1)


def test_a_closed_line_is_a_lost_link() -> None:
    line = ScriptedLine(tcp(TWO_WORDS))
    client = client_of(line)
    client.close()
    assert not client.is_socket_open()
    with pytest.raises(LinkLostError):
        client.read(1, HOLDING, 0.1)


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from([None, FAST_LINE]), st.booleans(), st.integers(1, 300))
def test_no_bytes_do_harm(data: bytes, serial: SerialSettings | None, framed: bool, chunk: int) -> None:
    """Whatever comes back is values of the right number, or a DeviceError; framed, so that it gets past the frame."""
    answer: Answer = lambda request: data  # noqa: E731
    if framed:
        answer = rtu(data[:250]) if serial else tcp(data[:250])
    client = client_of(ScriptedLine(answer, chunk), serial)
    for ask in (
        lambda: client.read(1, HOLDING, 0.1),
        lambda: client.write(1, HOLDING, [1, 2], False, 0.1),
    ):
        try:
            found = ask()
        except DeviceError:
            continue
        assert found is None or (len(found) == 2 and all(0 <= word <= 0xFFFF for word in found))


def test_the_time_of_a_question_is_real_time() -> None:
    client = LineClient(ScriptedLine(tcp(TWO_WORDS)), None)
    began = time.monotonic()
    client.read(1, HOLDING, 5.0)
    assert time.monotonic() - began < 1
