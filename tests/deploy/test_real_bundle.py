"""The bundle that `cellctl build` makes, with every real wheel, onto a machine. Needs the package index once."""

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from host_tools.build import RpiOptions, build
from tests.deploy.bundles import EXAMPLE
from tests.deploy.machine import Pi


@pytest.mark.soak
def test_a_bundle_of_cellctl_build_is_installed_without_a_network(
    new_pi: Callable[[], Pi], tmp_path: Path
) -> None:
    here = RpiOptions(arch=platform.machine(), python=f"{sys.version_info[0]}.{sys.version_info[1]}")
    build(EXAMPLE, "rpi", board="sim", out=tmp_path / "whole.cell", rpi=here)
    pi = new_pi()
    outcome = pi.deploy(tmp_path / "whole.cell", health_s=90.0)
    assert outcome.exit_code == 0, f"{outcome.text}\n{pi.log()}"
    packages = pi.root / "a" / "venv" / "lib" / f"python{here.python}" / "site-packages"
    assert (packages / "cell_controller" / "core" / "controller.py").exists()
    assert not (packages / "cell_source.pth").exists()
    assert (pi.runs_from(), pi.view["state"]) == ("a", "Aborted")
    assert pi.deploy(tmp_path / "whole.cell").plan == []
