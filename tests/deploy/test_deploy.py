"""Deployments over a real SSH connection onto a machine with the real controller."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from host_tools import trial_linux
from host_tools.bundle import BundleError, write_bundle
from host_tools.commands_common import Parser
from host_tools.commands_deploy import add
from host_tools.deploy import Application, deploy_all
from host_tools.output import Output
from tests.deploy.bundles import DIES, make_bundle
from tests.deploy.machine import CELL, Pi
from tests.service.forwarder import Forwarder

NOBODY = 10_000_000  # above the largest process number of Linux


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that the real pip installs, without a network and with every hash checked."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "first.cell", version="1", real_pip=True)


@pytest.fixture(scope="module")
def deployed(new_pi: Callable[[], Pi], first: Path) -> Pi:
    """A machine on which the first bundle runs."""
    pi = new_pi()
    outcome = pi.deploy(first)
    assert outcome.exit_code == 0, f"{outcome.text}\n{pi.log()}"
    return pi


def test_the_first_deployment_comes_up_aborted(deployed: Pi) -> None:
    assert (deployed.slot, deployed.runs_from()) == ("a", "a")
    assert deployed.view["state"] == "Aborted"
    assert deployed.trial["phase"] == "kept"
    assert "--board sim" in (deployed.root / "settings.env").read_text()


def test_nothing_changed_is_nothing_done(deployed: Pi, first: Path) -> None:
    before = deployed.registered["pid"]
    outcome = deployed.deploy(first)
    assert (outcome.exit_code, outcome.changed, outcome.plan) == (0, False, [])
    assert outcome.steps == ["connect", "look"]
    assert "already in slot a" in outcome.text
    assert deployed.registered["pid"] == before


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(deployed: Pi, second: Path) -> None:
    before = sorted(path.name for path in deployed.root.iterdir())
    outcome = deployed.deploy(second, dry_run=True)
    assert outcome.plan == ["send", "install", "try", "confirm"]
    assert (outcome.exit_code, outcome.changed) == (0, False)
    assert sorted(path.name for path in deployed.root.iterdir()) == before


CUTS = {
    "look": lambda step, remark: step == "look",
    "before anything is sent": lambda step, remark: (step, remark) == ("send", "0 %"),
    "in the middle of sending": lambda step, remark: step == "send" and 20 < int(remark.split()[0]) < 80,
    "install": lambda step, remark: step == "install",
    "switch": lambda step, remark: (step, remark) == ("try", "starting"),
    "during the trial": lambda step, remark: (step, remark) == ("try", "healthy"),
    "before the confirmation": lambda step, remark: step == "confirm",
}


class Scissors:
    """Pulls the cable of a deployment when `here` says so."""

    def __init__(self, pi: Pi, here: Callable[[str, str], bool]) -> None:
        self.cable = Forwarder(pi.sshd.port)
        self.done = False
        self._here = here
        key = (pi.sshd.folder / "host_key.pub").read_text()
        with pi.sshd.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{self.cable.port} {key}")

    def told(self, host: str, step: str, remark: str) -> None:
        if not self.done and self._here(step, remark):
            self.done = True
            self.cable.to(0)


def cut(pi: Pi, bundle: Path, name: str) -> None:
    """Deploy, pull the cable there, and see that what ran before runs."""
    before = pi.slot
    scissors = Scissors(pi, CUTS[name])
    outcome = pi.deploy(bundle, scissors.told, scissors.cable.port, confirm_s=2.0)
    scissors.cable.close()
    assert (scissors.done, outcome.exit_code) == (True, 3), f"{name}: {outcome}"

    def over() -> bool:
        return pi.trial["phase"] in ("kept", "failed") and pi.runs_from() == before

    pi.until(over, f"the old application after a cut: {name}")
    assert pi.slot == before, name


def test_cut_while_sending_and_on_trial_the_old_application_runs(deployed: Pi, second: Path) -> None:
    cut(deployed, second, "in the middle of sending")
    cut(deployed, second, "during the trial")


@pytest.mark.soak
@pytest.mark.parametrize("name", CUTS)
def test_cut_at_any_step_the_old_application_runs(deployed: Pi, tmp_path: Path, name: str) -> None:
    cut(deployed, make_bundle(tmp_path / "another.cell", version=name), name)


def test_after_a_cut_the_new_application_is_deployed_from_what_is_there(deployed: Pi, second: Path) -> None:
    outcome = deployed.deploy(second)
    assert outcome.exit_code == 0, f"{outcome.text}\n{deployed.log()}"
    assert outcome.plan == ["try", "confirm"]
    assert (deployed.slot, deployed.runs_from()) == ("b", "b")


def test_one_that_does_not_start_is_taken_back_with_the_reason(deployed: Pi, tmp_path: Path) -> None:
    before = deployed.slot
    bad = make_bundle(tmp_path / "bad.cell", version="3", main=DIES)
    outcome = deployed.deploy(bad, health_s=1.0)
    assert outcome.exit_code == 1
    assert "no process of the cell runs" in outcome.text
    assert "the relay card does not answer" in outcome.text
    assert f"slot {before}, which was there before, runs again" in outcome.text
    assert (deployed.slot, deployed.runs_from()) == (before, before)


def test_outputs_that_are_not_safe_are_not_kept(deployed: Pi, second: Path) -> None:
    registered, safe = deployed.registered, Application(second).outputs
    place = registered["dir"]
    assert trial_linux._trouble(deployed.places, CELL, registered, place, safe) == ""
    said = trial_linux._trouble(deployed.places, CELL, registered, place, {**safe, "booth_fan": 0.0})
    assert said == "outputs are not at their abort values: booth_fan"


def test_a_cell_that_works_is_left_alone(deployed: Pi, first: Path) -> None:
    options = {"colour": "burgundy"}  # enough of them to be at work however slow the connection is
    deployed.ask("order.submit", order_id="busy", product="bonnet", count=50, options=options)
    deployed.make_ready()
    deployed.until(lambda: deployed.view["state"] == "Execute", "Execute")
    outcome = deployed.deploy(first)
    deployed.command("abort")
    deployed.until(lambda: deployed.view["state"] == "Aborted", "Aborted")
    deployed.ask("order.abort", order_id="busy")
    assert (outcome.exit_code, outcome.changed) == (1, False)
    assert "is in Execute" in outcome.text
    assert "stop it first" in outcome.text


def test_a_trial_that_lost_its_machine_is_settled_before_the_start(deployed: Pi) -> None:
    """The power went between the switch and the confirmation: at boot the unit's first command goes back."""
    file = deployed.root / "trial.json"
    kept = file.read_text()
    slot = deployed.slot
    other = "a" if slot == "b" else "b"
    trial_linux.point_to(deployed.root, other)
    file.write_text(json.dumps({**json.loads(kept), "phase": "healthy", "old_slot": slot, "pid": NOBODY}))
    words = ["python3", "-I", str(deployed.root / "agent.pyz")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said == f"the machine was cut off during the trial; slot {slot} starts again\n"
    assert deployed.slot == slot
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == ""
    file.write_text(kept)


def test_wheels_that_are_not_those_of_the_bundle_are_refused(
    new_pi: Callable[[], Pi], tmp_path: Path
) -> None:
    pi = new_pi()
    outcome = pi.deploy(make_bundle(tmp_path / "odd.cell", cut_short=3))
    assert outcome.exit_code == 1
    assert "the wheels of the bundle do not fit this machine" in outcome.text
    assert pi.slot == ""


def test_several_machines_at_once_and_each_for_itself(deployed: Pi, second: Path) -> None:
    """One of them is not there; the other is done all the same."""
    nobody = deployed.sshd.target(1)
    said: list[tuple[str, str]] = []
    work = deploy_all(
        [deployed.sshd.target(), nobody],
        Application(second),
        deployed.options,
        lambda host, step, remark: said.append((host, step)),
    )
    outcomes = asyncio.run(work)
    assert [outcome.exit_code for outcome in outcomes] == [0, 3], outcomes
    assert {host for host, _ in said} == {deployed.sshd.target().text, nobody.text}


def test_the_command_prints_one_object_with_json(
    deployed: Pi, second: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser()
    add(parser.add_subparsers())
    args = parser.parse_args(
        ["deploy", deployed.sshd.target().text, str(second), *deployed.words(), "--json"]
    )
    assert args.handler(args, Output(as_json=True)) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["hosts"][0]["changed"]) == (True, False)


def test_a_bundle_for_a_microcontroller_is_refused(tmp_path: Path) -> None:
    from host_tools.bundle import IMAGE, image_entry

    image = b"image"
    manifest = {
        "target": "rp2",
        "cell": "paint-1",
        "board": "pico_w",
        "versions": {},
        "controller_sha256": "1",
        "cell_sha256": "2",
        "image": image_entry(image),
    }
    write_bundle(tmp_path / "pico.cell", manifest, {IMAGE: image})
    with pytest.raises(BundleError, match="is for target rp2"):
        Application(tmp_path / "pico.cell")


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    import shutil

    from host_tools.deploy_unit import unit
    from host_tools.slots_linux import Places

    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed; apt-get install systemd")
    text = unit(Places(user="root"))
    for program in ("cell-controller", "python"):
        text = text.replace(f"/opt/cell/%i/current/venv/bin/{program}", "/bin/true")
    file = tmp_path / "cell@.service"
    file.write_text(text.replace("ExecStartPre=+/usr/bin/python3", "ExecStartPre=+/bin/true"))
    (tmp_path / "cell@paint-1.service").symlink_to(file)
    words = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "cell@paint-1.service")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "cell@" in line] == []
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=30", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-600:] + done.stderr
