"""Getting in: who is trusted, who is refused, and that the refusal says what to do."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools.output import ToolError
from host_tools.ssh import SshError, SshOptions, Target, connect
from tests.deploy.machine import Sshd, keys


def say_hello(sshd: Sshd, options: SshOptions) -> str:
    async def hello() -> str:
        async with await connect(sshd.target(), options) as remote:
            done = await remote.run("cat; echo end >&2; exit 3", b"hello")
            return f"{done.code} {done.out.decode()} {done.err.strip()}"

    return asyncio.run(hello())


def test_a_command_has_its_input_and_gives_back_all_it_says(sshd: Sshd) -> None:
    assert say_hello(sshd, sshd.options()) == "3 hello end"


def test_an_unknown_host_is_refused_with_fingerprint_and_remedy(sshd: Sshd, tmp_path: Path) -> None:
    options = replace(sshd.options(), known_hosts=tmp_path / "known_hosts")
    with pytest.raises(
        SshError, match=r"not known; its key is SHA256:\S+ Compare .* --accept-new, or ssh-keyscan"
    ):
        say_hello(sshd, options)
    assert not options.known_hosts.exists()


def test_accept_new_takes_the_host_down_and_knows_it_from_then_on(sshd: Sshd, tmp_path: Path) -> None:
    options = replace(sshd.options(), known_hosts=tmp_path / ".ssh" / "known_hosts", accept_new=True)
    assert say_hello(sshd, options)
    line = options.known_hosts.read_text()
    assert line.startswith(f"[127.0.0.1]:{sshd.port} ssh-ed25519 ")
    assert say_hello(sshd, replace(options, accept_new=False))
    assert options.known_hosts.read_text() == line


def test_a_changed_host_key_is_refused_also_with_accept_new(sshd: Sshd, tmp_path: Path) -> None:
    other = keys(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    options = replace(sshd.options(), known_hosts=known, accept_new=True)
    with pytest.raises(SshError, match="host key has CHANGED"):
        say_hello(sshd, options)
    assert other in known.read_text()
    assert len(known.read_text().splitlines()) == 1


def test_a_key_that_is_not_let_in_is_said_so(sshd: Sshd, tmp_path: Path) -> None:
    options = replace(sshd.options(), identities=(keys(tmp_path / "stranger"),))
    with pytest.raises(SshError, match="none of your keys is let in; ssh-copy-id"):
        say_hello(sshd, options)


def test_a_machine_that_is_not_there(sshd: Sshd) -> None:
    async def hello() -> None:
        await connect(sshd.target(1), sshd.options())

    with pytest.raises(SshError, match=r"not reachable .* is it on"):
        asyncio.run(hello())


def test_a_command_that_hangs_is_given_up(sshd: Sshd) -> None:
    async def hang() -> None:
        async with await connect(sshd.target(), sshd.options()) as remote:
            await remote.run("sleep 30", timeout_s=0.3)

    with pytest.raises(SshError, match=r"no answer within 0\.3 s"):
        asyncio.run(hang())


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("paint-1", "", "paint-1", 0),
        ("pi@paint-1", "pi", "paint-1", 0),
        ("pi@10.0.0.7:2222", "pi", "10.0.0.7", 2222),
        ("pi@[fe80::1]:22", "pi", "fe80::1", 22),
    ],
)
def test_machines_are_written_as_for_ssh(text: str, user: str, host: str, port: int) -> None:
    assert Target.parse(text) == Target(text, user, host, port)


@pytest.mark.parametrize(
    "text", ["", "pi@", "-oProxyCommand=x", "pi@-x", "a b", "host:0", "host:70000", "a@b@c"]
)
def test_what_is_no_machine_is_refused(text: str) -> None:
    with pytest.raises(ToolError, match="is no machine"):
        Target.parse(text)
