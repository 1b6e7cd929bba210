"""Lines over real ptys and TCP: bytes arrive as they are, and every way a line can end is one error that says so."""

import errno
import os
import pty
import select
import socket
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from board import transport as lines
from board.transport import SerialSettings, SerialTransport, TcpTransport, transport
from cell_controller.errors import BoardError, LinkLostError
from tests.board.line_peer import KINDS, Peer, join, read_all, wait_for

EVERY_BYTE = bytes(range(256))


@pytest.fixture(params=KINDS)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer(request.param) as far:
        yield far


@pytest.fixture
def line(peer: Peer) -> Iterator[SerialTransport | TcpTransport]:
    near = peer.line()
    join(peer, near)
    yield near
    near.close()


Line = SerialTransport | TcpTransport


def test_every_byte_arrives_as_it_is_both_ways(peer: Peer, line: Line) -> None:
    peer.answer = lambda data: data[::-1]
    line.write(EVERY_BYTE)
    assert read_all(line.read, 256) == EVERY_BYTE[::-1]
    assert peer.got == EVERY_BYTE


def test_a_read_returns_no_more_than_asked_for_and_keeps_the_rest(peer: Peer, line: Line) -> None:
    peer.say(b"abcdef")
    assert read_all(line.read, 2) == b"ab"
    assert line.read(3, 1) == b"cde"
    assert line.read(100, 1) == b"f"


def test_a_read_without_news_ends_in_time(line: Line) -> None:
    began = time.monotonic()
    assert line.read(10, 0) == b""
    assert line.read(10, 0.05) == b""
    assert 0.05 <= time.monotonic() - began < 1.0


def test_a_read_ends_with_the_first_bytes_not_with_the_time(peer: Peer, line: Line) -> None:
    threading.Timer(0.02, peer.say, (b"x",)).start()
    began = time.monotonic()
    assert line.read(10, 5) == b"x"
    assert time.monotonic() - began < 2


def test_what_was_not_read_is_forgotten_on_demand(peer: Peer, line: Line) -> None:
    peer.say(b"old")
    assert line.read(1, 5) == b"o"
    line.flush_input()
    assert line.read(10, 0) == b""
    peer.say(b"new")
    assert line.read(10, 5) == b"new"


def test_what_waited_before_it_was_opened_again_is_forgotten(peer: Peer, line: Line) -> None:
    peer.say(b"old")
    assert line.read(1, 5) == b"o"
    line.close()
    line.open()
    assert line.read(10, 0.05) == b""


def test_an_unplugged_line_ends_a_read_that_waits(peer: Peer, line: Line) -> None:
    threading.Timer(0.02, peer.unplug).start()
    with pytest.raises(LinkLostError, match="is gone: ") as caught:
        line.read(10, 5)
    assert str(caught.value).startswith(line.name)
    assert not line.is_open


@pytest.mark.parametrize("act", ["read", "write", "flush_input"])
def test_whatever_is_done_on_an_unplugged_line_says_that_it_is_gone(peer: Peer, line: Line, act: str) -> None:
    peer.unplug()

    def once() -> None:
        if act == "read":
            line.read(10, 0.1)
        elif act == "write":
            line.write(b"ask")
        else:
            line.flush_input()

    def repeat() -> None:
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up:  # TCP tells a writer with its second piece
            once()

    with pytest.raises(LinkLostError, match="is gone: "):
        repeat()
    assert not line.is_open


def test_a_line_can_be_opened_again_when_it_is_back(peer: Peer, line: Line) -> None:
    peer.unplug()
    with pytest.raises(LinkLostError):
        read_all(line.read, 1)
    with pytest.raises(LinkLostError, match=r"cannot be (opened|reached): "):
        line.open()
    peer.plug()
    join(peer, line)
    peer.say(b"here again")
    assert read_all(line.read, 10) == b"here again"


def test_opening_an_open_line_opens_it_anew(peer: Peer, line: Line) -> None:
    peer.answer = lambda data: data
    line.open()
    line.write(b"echo")
    assert read_all(line.read, 4) == b"echo"


def test_a_line_that_is_not_open_says_so_and_closing_it_twice_is_nothing(peer: Peer) -> None:
    near = peer.line()
    near.close()
    near.close()
    assert not near.is_open
    for act in (lambda: near.read(1, 0), lambda: near.write(b"x"), near.flush_input, near.fileno):
        with pytest.raises(LinkLostError, match="is not open"):
            act()


def test_closing_from_another_thread_ends_a_read_within_its_time(line: Line) -> None:
    threading.Timer(0.02, line.close).start()
    began = time.monotonic()
    try:
        assert line.read(10, 0.3) == b""
    except LinkLostError:
        assert not line.is_open
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_that_takes_nothing_ends_in_time_without_spinning(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads at the far end: the buffers fill up."""
    monkeypatch.setattr(lines, "WRITE_S", 0.3)
    if kind == "pty":
        far, near = pty.openpty()
        tty.setraw(near)
        line: Line = SerialTransport(os.ttyname(near), SerialSettings())
        ends = [far, near]
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line = TcpTransport("127.0.0.1", listener.getsockname()[1])
        ends = [listener.detach()]
    line.open()
    began, busy = time.monotonic(), time.thread_time()
    with pytest.raises(LinkLostError, match=r"it took nothing for 0\.3 s"):
        line.write(bytes(16 << 20))
    assert 0.25 < time.monotonic() - began < 5
    assert time.thread_time() - busy < 0.15
    for descriptor in ends:
        os.close(descriptor)


def test_more_than_a_buffer_is_sent_whole_to_a_slow_reader(peer: Peer, line: Line) -> None:
    data = EVERY_BYTE * 256
    line.write(data)
    wait_for(lambda: len(peer.got) >= len(data), lambda: len(peer.got))
    assert peer.got == data


# --- serial only ---


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo terminal: (the device's side, the name of the host's side)."""
    far, near = pty.openpty()
    yield far, os.ttyname(near)
    for descriptor in (far, near):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/dev/ttyNOWHERE", "there is no such port; plug the device in"),
        ("/dev/null", "it is no serial port"),
        ("/dev", "Is a directory"),
    ],
)
def test_a_port_that_cannot_be_opened_is_said_with_its_remedy(path: str, why: str) -> None:
    with pytest.raises(LinkLostError, match=f"^{path} cannot be opened: {why}$"):
        SerialTransport(path, SerialSettings()).open()


def test_a_file_is_no_port(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("")
    with pytest.raises(LinkLostError, match="it is no serial port"):
        SerialTransport(str(file), SerialSettings()).open()


def test_a_port_has_one_user(terminal: tuple[int, str]) -> None:
    first = SerialTransport(terminal[1], SerialSettings())
    first.open()
    with pytest.raises(LinkLostError, match="another program has it open; close that one"):
        SerialTransport(terminal[1], SerialSettings()).open()
    first.close()


def test_a_port_one_may_not_open_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(LinkLostError, match="usermod -aG dialout"):
        SerialTransport("/dev/ttyUSB0", SerialSettings()).open()


def test_an_adapter_that_goes_away_while_it_is_set_is_a_lost_line(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyserial lets the terminal's own error out there, which is no OSError."""

    def gone(*_: object) -> None:
        raise termios.error(errno.EIO, "Input/output error")

    line = SerialTransport(terminal[1], SerialSettings())
    line.open()
    monkeypatch.setattr(termios, "tcflush", gone)
    with pytest.raises(LinkLostError, match=r"is gone: Input/output error"):
        line.flush_input()
    with pytest.raises(LinkLostError, match=r"cannot be opened: Input/output error"):
        line.open()


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        (SerialSettings(9600), termios.CS8),
        (SerialSettings(115_200, stop_bits=2), termios.CS8 | termios.CSTOPB),
    ],
)
def test_a_port_is_raw_and_set_as_told(
    terminal: tuple[int, str], settings: SerialSettings, flags: int
) -> None:
    line = SerialTransport(terminal[1], settings)
    line.open()
    iflag, oflag, cflag, lflag, ispeed, ospeed, _ = termios.tcgetattr(line.fileno())
    line.close()
    assert cflag & (termios.CSIZE | termios.CSTOPB) == flags
    assert ispeed == ospeed == getattr(termios, f"B{settings.baud}")
    assert not lflag & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert not iflag & (termios.ICRNL | termios.IXON | termios.ISTRIP)
    assert not oflag & termios.OPOST


def test_settings_reach_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pty knows no parity: what pyserial is told is looked at."""
    told: list[tuple[object, ...]] = []

    def keep(*values: object, **options: object) -> None:
        told.append((*values, options))
        raise serial.SerialException(errno.ENOENT, "none")

    monkeypatch.setattr(serial, "Serial", keep)
    for parity in lines.PARITIES:
        with pytest.raises(LinkLostError):
            SerialTransport("/dev/x", SerialSettings(19_200, 7, parity, 2)).open()
    options = {"timeout": 0, "exclusive": True}
    assert told == [("/dev/x", 19_200, 7, letter, 2, options) for letter in "NEO"]


def test_a_speed_without_a_name_of_its_own_can_be_set(terminal: tuple[int, str]) -> None:
    """250 000 baud, as printers have it."""
    line = SerialTransport(terminal[1], SerialSettings(250_000))
    line.open()
    os.write(terminal[0], b"start")
    assert read_all(line.read, 5) == b"start"
    line.close()


# --- TCP only ---


def test_a_peer_that_closes_only_its_sending_half_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = TcpTransport("127.0.0.1", listener.getsockname()[1])
        line.open()
        stream, _ = listener.accept()
        with stream:
            stream.sendall(b"last words")
            stream.shutdown(socket.SHUT_WR)
            assert read_all(line.read, 10) == b"last words"
            with pytest.raises(LinkLostError, match="is gone: it closed the connection"):
                line.read(10, 5)
            assert stream.recv(10) == b""


def test_a_reset_connection_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = TcpTransport("127.0.0.1", listener.getsockname()[1])
        line.open()
        stream, _ = listener.accept()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        stream.close()
        with pytest.raises(LinkLostError, match="is gone: Connection reset by peer"):
            line.read(10, 5)


def test_where_nobody_listens_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        LinkLostError, match=rf"tcp://127\.0\.0\.1:{port} cannot be reached: Connection refused"
    ):
        TcpTransport("127.0.0.1", port).open()


def test_a_host_that_answers_no_connection_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue of connections is full: what is sent to it is dropped, as behind a pulled cable."""
    monkeypatch.setattr(lines, "CONNECT_S", 0.3)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(2)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        select.select([], waiting[:1], [], 1)
        began = time.monotonic()
        with pytest.raises(LinkLostError, match="cannot be reached: timed out"):
            TcpTransport(*listener.getsockname()).open()
        assert 0.25 < time.monotonic() - began < 3
        for one in waiting:
            one.close()


def test_a_connection_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one machine a connection to a free port can get that port as its own: an echo in place of a device."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()
    echo = socket.socket()
    echo.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    echo.bind(place)
    echo.connect(place)
    echo.sendall(b"echo")
    assert echo.recv(4) == b"echo"
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: echo)
    with pytest.raises(LinkLostError, match="cannot be reached: nobody listens there"):
        TcpTransport(*place).open()
    assert echo.fileno() < 0


def test_a_network_that_falls_silent_ends_the_connection() -> None:
    """The options that do it. Without them a cable that was out for 20 s was missed for 27 s."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = TcpTransport("127.0.0.1", listener.getsockname()[1])
        line.open()
        with socket.socket(fileno=os.dup(line.fileno())) as stream:
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == lines.UNHEARD_MS
            assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 1
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        line.close()


def test_a_flood_does_not_hold_who_wants_to_forget_it(monkeypatch: pytest.MonkeyPatch) -> None:
    line = TcpTransport("127.0.0.1", 1)
    monkeypatch.setattr(line, "read", lambda most, timeout_s: bytes(most))
    line.flush_input()


# --- addresses ---


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/dev/ttyUSB0", "/dev/ttyUSB0"),
        ("/dev/serial/by-id/usb-scale", "/dev/serial/by-id/usb-scale"),
        ("tcp://192.168.1.20:502", "tcp://192.168.1.20:502"),
        ("tcp://io-1.local:1", "tcp://io-1.local:1"),
        ("tcp://[fe80::1]:65535", "tcp://[fe80::1]:65535"),
    ],
)
def test_an_address_makes_a_line_of_its_kind(address: str, name: str) -> None:
    made = transport(address)
    assert made.name == name
    assert isinstance(made, TcpTransport if address.startswith("tcp") else SerialTransport)
    assert not made.is_open


@pytest.mark.parametrize(
    "address",
    ["tcp://", "tcp://host", "tcp://:502", "tcp://host:0", "tcp://host:65536", "tcp://host:²", "tcp://[]:5"],
)
def test_a_wrong_tcp_address_is_refused(address: str) -> None:
    with pytest.raises(BoardError, match=r"is not tcp://HOST:PORT"):
        transport(address)


@pytest.mark.parametrize("address", ["", "udp://host:5", "http://host:80"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BoardError, match="is neither a port such as /dev/ttyUSB0 nor tcp://HOST:PORT"):
        transport(address)
