"""An sshd for all tests of a session, machines behind it, and small bundles."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.bundles import make_bundle
from tests.deploy.machine import SSHD, Pi, Sshd


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """The real sshd of Debian on a free port of the loopback."""
    if not SSHD.exists():
        pytest.skip("sshd is not installed; apt-get install openssh-server")
    with tempfile.TemporaryDirectory(prefix="sshd-") as name:
        server = Sshd(Path(name))
        yield server
        server.close()


@pytest.fixture(scope="module")
def new_pi(sshd: Sshd) -> Iterator[Callable[[], Pi]]:
    """Makes machines without anything on them; short names, because a Unix socket's is."""
    made: list[Pi] = []
    with tempfile.TemporaryDirectory(prefix="pi-") as name:

        def make() -> Pi:
            made.append(Pi(sshd, Path(name) / str(len(made))))
            return made[-1]

        yield make
        for pi in made:
            pi.close()


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that works, quick to install."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "second.cell", version="2")
