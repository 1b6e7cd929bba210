"""`cellctl provision`: what makes one board differ from another gets there whole, and passwords stay unseen."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_controller.errors import CellFileError
from hil.standin.board import StandIn
from host_tools import board_console
from host_tools.output import DONE, REFUSED, USAGE
from host_tools.provision import (
    CERTIFICATE,
    MASK,
    SETTINGS,
    masked,
    provision,
    read_certificate,
    read_settings,
)
from host_tools.raw_repl import RawRepl
from host_tools.serial_port import SerialPort
from tests.host_tools.flash_bench import application, board_with, runs, to_prompt, typed

WHOLE = """
serial = "paint-1-a"
[wifi]
ssid = "hall 3"
password = "correct horse"
[broker]
host = "192.168.1.5"
port = 8883
user = "paint-1"
password = "battery staple"
tls = true
[time]
host = "192.168.1.6"
"""
DER = b"\x30\x82\x01\x00" + bytes(range(256))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "paint-1.toml"
    file.write_text(WHOLE)
    return file


@pytest.fixture
def board(tmp_path: Path) -> Iterator[StandIn]:
    with board_with(tmp_path, application()) as board:
        yield board


def on_board(board: StandIn, path: str) -> bytes:
    """A file of a board; its application is at its prompt afterwards."""
    with SerialPort(board.port) as port:
        at_prompt = board_console.who(port).kind == board_console.AT_PROMPT
    if not at_prompt:
        to_prompt(board)
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        said = repl.run(f"import binascii\nprint(binascii.hexlify(open({path!r}, 'rb').read()).decode())")
        repl.leave()
    return bytes.fromhex(said.strip())


def test_settings_and_certificate_arrive_and_the_application_runs_again(
    board: StandIn, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = tmp_path / "ca.pem"
    text = base64.encodebytes(DER).decode()
    pem.write_text(f"a remark\n-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    words = ("provision", "--port", board.port, "--settings", str(settings), "--ca", str(pem))
    assert typed(*words) == DONE
    printed = capsys.readouterr()
    assert f"{board.port}: wrote /ca.der and /settings.json; paint-1 runs, Aborted" in printed.out
    assert "horse" not in printed.out + printed.err
    assert typed(*words) == DONE
    assert "nothing to write" in capsys.readouterr().out
    assert typed("provision", "--port", board.port, "--show", "--json") == DONE
    shown = json.loads(capsys.readouterr().out)["boards"][0]["settings"]["settings"]
    assert shown["wifi"] == {"ssid": "hall 3", "password": MASK}
    assert shown["broker"]["password"] == MASK
    assert shown["broker"]["tls"] is True
    assert on_board(board, CERTIFICATE) == DER
    assert json.loads(on_board(board, SETTINGS))["wifi"]["password"] == "correct horse"


def test_a_board_at_its_prompt_stays_there(board: StandIn, settings: Path) -> None:
    to_prompt(board)
    boots = board.boots
    without = provision(board.port, {SETTINGS: read_settings(settings)})
    assert without.code == USAGE
    assert "tls = true needs the CA's certificate: give --ca FILE" in without.text
    assert provision(board.port, {CERTIFICATE: DER}).code == DONE
    outcome = provision(board.port, {SETTINGS: read_settings(settings)})
    assert outcome.code == DONE, outcome.text
    assert board.boots == boots
    assert json.loads(on_board(board, SETTINGS))["serial"] == "paint-1-a"


def test_a_cell_at_work_keeps_its_settings(tmp_path: Path, settings: Path) -> None:
    with board_with(tmp_path, application(state="Execute")) as board:
        outcome = provision(board.port, {SETTINGS: read_settings(settings)})
        assert outcome.code == REFUSED
        assert "stop it first" in outcome.text
        assert runs(board)["state"] == "Execute"


def test_settings_that_do_not_fit_on_the_board_leave_the_former_ones(board: StandIn, settings: Path) -> None:
    """A file system that is really full."""
    assert provision(board.port, {CERTIFICATE: DER}).code == DONE
    to_prompt(board)
    with SerialPort(board.port) as port:
        repl = RawRepl(port)
        repl.enter()
        fill = "try:\n f = open('/full', 'wb')\n while True:\n  f.write(bytes(512))\n  f.flush()\n"
        repl.run(fill + "except OSError:\n try:\n  f.close()\n except OSError:\n  pass\n", 20)
        repl.leave()
    outcome = provision(board.port, {CERTIFICATE: b"\x30\x82\x20\x00" + bytes(8192)})
    assert outcome.code == REFUSED
    assert "the board's file system is full" in outcome.text
    assert on_board(board, CERTIFICATE) == DER


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[wifi]\nssid = "x"\npasword = "secret99"',
            "[wifi]: unknown key 'pasword'; did you mean 'password'?",
        ),
        ('[brocker]\nhost = "x"', "unknown key 'brocker'; did you mean 'broker'?"),
        ('[wifi]\nssid = "x"\npassword = "short"', "password has a length outside 8..63, as WPA2 wants"),
        ('[broker]\nhost = "x"\nport = 70000', "port = 70000 is more than 65535"),
        ("[broker]\nport = 1883", "'host' is missing; add it"),
        ('[broker]\nhost = "x"\ntls = "yes"', 'tls = "yes" is neither true nor false'),
        ("[broker]\nhost = 'x'\npassword = 12345", "password is not text; put it in quotes"),
        ("serial = [", "is not TOML"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line_without_the_password(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(CellFileError) as caught:
        read_settings(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    for secret in ("secret99", "short", "12345"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "is no certificate, neither PEM nor DER"),
        (DER[:-1], "is no certificate"),
        (b"-----BEGIN RSA PRIVATE KEY-----", "holds a private key"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----", "its certificate is damaged"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n" * 2, "holds 2 certificates"),
        (b"\x30\x82\x30\x00" + bytes(0x3000), "a board takes 8192"),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "ca"
    file.write_bytes(content)
    with pytest.raises(CellFileError, match=said):
        read_certificate(file)


def test_der_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "ca.der"
    file.write_bytes(DER)
    assert read_certificate(file) == DER


def test_secrets_are_masked_at_any_depth() -> None:
    assert masked({"a": {"password": "x", "user": "u"}, "password": ""}) == {
        "a": {"password": MASK, "user": "u"},
        "password": "",
    }


def test_nothing_to_do_is_wrong_usage(capsys: pytest.CaptureFixture[str], settings: Path) -> None:
    assert typed("provision", "--port", "/dev/ttyNOWHERE") == USAGE
    assert typed("provision", "--port", "/dev/x", "--show", "--settings", str(settings)) == USAGE
    assert "--show" in capsys.readouterr().err
