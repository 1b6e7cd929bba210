"""SSH to a cell's machine: keys and agent only, the host's key checked, one command at a time.

The host must be known. One that is not is refused with its fingerprint; `accept_new` takes it down in known_hosts, as
`ssh -o StrictHostKeyChecking=accept-new` does. A key that has changed is always refused.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cell_controller.errors import CellError
from host_tools.output import ToolError

if TYPE_CHECKING:
    import asyncssh

CONNECT_S = 10.0
LOGIN_S = 20.0
KEEPALIVE_S = 5.0
CHUNK = 64 << 10
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


class SshError(CellError, ConnectionError):
    """The machine cannot be reached or does not let us in; the text says why, nothing was changed there."""


@dataclass(frozen=True)
class Target:
    """`pi@paint-1`, `paint-1`, `pi@10.0.0.7:2222`, `pi@[fe80::1]:22`. Empty user and port 0: as ~/.ssh/config says."""

    text: str
    user: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Raises ToolError for what is no machine."""
        found = re.fullmatch(r"(?:([^@\s]+)@)?(?:\[([0-9A-Fa-f:.%\w]+)\]|([\w.-]+))(?::(\d{1,5}))?", text)
        if not found or int(found[4] or 22) not in range(1, 65536) or (found[3] or "").startswith("-"):
            raise ToolError(f"{text!r} is no machine; write USER@HOST or USER@HOST:PORT, such as pi@paint-1")
        return cls(text, found[1] or "", found[2] or found[3], int(found[4] or 0))


@dataclass(frozen=True)
class SshOptions:
    """How to get in. `identities`: key files, none = those of ~/.ssh and the agent; `config`: None = ~/.ssh/config."""

    accept_new: bool = False
    identities: tuple[Path, ...] = ()
    known_hosts: Path = field(default_factory=lambda: Path.home() / ".ssh" / "known_hosts")
    config: Path | None = None


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str


class Remote:
    """An open connection. Use it in an `async with` block."""

    def __init__(self, target: Target, connection: "asyncssh.SSHClientConnection") -> None:
        self.target = target
        self._connection = connection

    async def run(
        self,
        command: str,
        payload: bytes = b"",
        timeout_s: float = 60.0,
        sent: Callable[[int], object] | None = None,
    ) -> Done:
        """Run a shell command with `payload` on its standard input. `sent` hears how many bytes are on their way.

        Raises SshError when the connection is lost or the time is over.
        """
        import asyncssh

        try:
            async with asyncio.timeout(timeout_s):
                process = await self._connection.create_process(command, encoding=None)
                feeding = asyncio.create_task(self._feed(process, payload, sent))
                try:
                    done = await process.wait()
                finally:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)
        except TimeoutError:
            raise SshError(f"{self.target.text}: no answer within {timeout_s:g} s") from None
        except (OSError, asyncssh.Error) as error:
            raise SshError(f"{self.target.text}: the connection was lost ({_short(error)})") from error
        out, err = done.stdout, done.stderr
        if done.exit_status is None and done.exit_signal is None:
            raise SshError(f"{self.target.text}: the connection was lost")
        code = -1 if done.exit_status is None else done.exit_status
        text = err.decode(errors="replace") if isinstance(err, bytes) else str(err or "")
        return Done(code, out if isinstance(out, bytes) else b"", text)

    @staticmethod
    async def _feed(
        process: "asyncssh.SSHClientProcess[bytes]", payload: bytes, sent: Callable[[int], object] | None
    ) -> None:
        for start in range(0, len(payload), CHUNK):
            process.stdin.write(payload[start : start + CHUNK])
            await process.stdin.drain()
            await asyncio.sleep(0)  # let the loop see a connection that has gone
            if sent is not None:
                sent(min(start + CHUNK, len(payload)))
        process.stdin.write_eof()

    async def __aenter__(self) -> "Remote":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.abort() if error is not None else self._connection.close()
        await self._connection.wait_closed()


async def connect(target: Target, options: SshOptions) -> Remote:
    """Get in. Raises SshError with what to do: unknown or changed host key, no key that fits, nobody there."""
    try:
        import asyncssh
    except ImportError as error:
        raise ToolError("deploying needs asyncssh: pip install 'cell-controller[deploy]'") from error
    files = [path for path in (options.known_hosts, SYSTEM_KNOWN_HOSTS) if path.is_file()]
    judge = _Judge(target, options, files)
    settings: dict[str, Any] = {
        "known_hosts": [str(path) for path in files] if files else b"",
        "client_factory": judge.client,
        "preferred_auth": "publickey",
        "connect_timeout": CONNECT_S,
        "login_timeout": LOGIN_S,
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": 3,
    }
    if target.user:
        settings["username"] = target.user
    if target.port:
        settings["port"] = target.port
    if options.identities:
        settings["client_keys"] = [str(path) for path in options.identities]
    if options.config is not None:
        settings["config"] = [str(options.config)]
    try:
        connection = await asyncssh.connect(target.host, **settings)
    except asyncssh.HostKeyNotVerifiable as error:
        raise SshError(judge.said or f"{target.text}: {error}") from error
    except asyncssh.PermissionDenied as error:
        raise SshError(
            f"{target.text}: none of your keys is let in; ssh-copy-id {_login(target)},"
            " and for a key with a passphrase ssh-add before"
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise SshError(
            f"{target.text}: a key cannot be read ({_short(error)}); give it to the agent: ssh-add"
        ) from error
    except (OSError, asyncssh.Error) as error:
        raise SshError(
            f"{target.text}: not reachable ({_short(error)}); is it on, and is its name right?"
        ) from error
    judge.take_down()
    return Remote(target, connection)


def _login(target: Target) -> str:
    return f"{target.user}@{target.host}" if target.user else target.host


def _short(error: BaseException) -> str:
    return str(error) or type(error).__name__


class _Judge:
    """Says whether a host key that is not in known_hosts may be trusted, and why not."""

    def __init__(self, target: Target, options: SshOptions, files: list[Path]) -> None:
        self.said = ""
        self._target = target
        self._options = options
        self._files = files
        self._line = ""

    def client(self) -> "asyncssh.SSHClient":
        """What asyncssh asks."""
        import asyncssh

        judge = self

        class Client(asyncssh.SSHClient):
            def validate_host_public_key(
                self, host: str, addr: str, port: int, key: "asyncssh.SSHKey"
            ) -> bool:
                return judge.trusts(host, addr, port, key)

        return Client()

    def trusts(self, host: str, addr: str, port: int, key: "asyncssh.SSHKey") -> bool:
        """True for a host that nobody knows yet, where that was allowed."""
        import asyncssh

        fingerprint = key.get_fingerprint()
        name = host if port == 22 else f"[{host}]:{port}"
        known = [
            entry
            for path in self._files
            for entry in asyncssh.match_known_hosts(str(path), host, addr, None if port == 22 else port)[0]
        ]
        if known:
            self.said = (
                f"{self._target.text}: the host key has CHANGED, it is now {fingerprint}. Either the machine was"
                " installed anew or somebody stands in between. If it was a replacement, look at its screen"
                f" (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then ssh-keygen -R '{name}'"
            )
            return False
        if not self._options.accept_new:
            self.said = (
                f"{self._target.text}: the host is not known; its key is {fingerprint}. Compare it on the machine"
                " (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then use --accept-new, or ssh-keyscan"
                f" -p {port} {host} >> {self._options.known_hosts}"
            )
            return False
        self._line = f"{name} {key.export_public_key('openssh').decode().strip()}\n"
        return True

    def take_down(self) -> None:
        """The login succeeded, so the host has the key it showed: from now on it is known."""
        if self._line:
            self._options.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._options.known_hosts.open("a") as file:
                file.write(self._line)
