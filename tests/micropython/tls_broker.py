"""A mosquitto with a certificate, users and a CA that the test made, by `openssl` and `mosquitto_passwd`."""

import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from cell_controller.cpython import broker as brokers

_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/users
persistence false
log_dest none
user {user}
"""
_TLS = """\
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
"""
_PLAIN = "listener {plain} 127.0.0.1\n"  # first, so that it is there when the other one answers


@dataclass
class Secured:
    """The broker, the file its client needs, and with TLS a port without it, for those who watch."""

    broker: brokers.Broker
    ca: Path
    plain_port: int = 0

    @property
    def port(self) -> int:
        return self.broker.port


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def make_ca(folder: Path, name: str = "ca") -> Path:
    """A CA of its own; gives its certificate as DER."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed; apt-get install openssl")
    key, pem, der = (folder / f"{name}.{end}" for end in ("key", "pem", "der"))
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    run(
        *("openssl", "req", "-x509", "-new", "-key", key, "-days", "30", "-subj", "/CN=test CA", "-out", pem),
        *("-addext", "basicConstraints=critical,CA:TRUE"),
    )
    run("openssl", "x509", "-in", pem, "-outform", "DER", "-out", der)
    return der


def make_server(folder: Path, host: str) -> None:
    """A certificate for `host`, by the CA in `folder`."""
    key, request, pem, more = (folder / f"server.{end}" for end in ("key", "csr", "pem", "ext"))
    more.write_text(f"subjectAltName=DNS:{host}\n")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={host}", "-out", request)
    run(
        *("openssl", "x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"),
        *("-CAcreateserial", "-days", "30", "-extfile", more, "-out", pem),
    )


def start(folder: Path, monkeypatch: pytest.MonkeyPatch, tls: bool, host: str = "localhost") -> Secured:
    """A broker that wants user `cell` with password `right`, and TLS if asked for."""
    if "mosquitto" not in brokers.installed() or shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    folder.mkdir(exist_ok=True)
    config = _CONFIG
    ca = folder / "none"
    plain = 0
    if tls:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            plain = int(probe.getsockname()[1])
        ca = make_ca(folder)
        make_server(folder, host)
        config = _PLAIN + config + _TLS
    run("mosquitto_passwd", "-b", "-c", folder / "users", "cell", "right")
    monkeypatch.setattr(
        brokers,
        "_MOSQUITTO",
        config.replace("{folder}", str(folder)).replace("{host}", "127.0.0.1").replace("{plain}", str(plain)),
    )
    return Secured(brokers.start_broker("mosquitto"), ca, plain)
