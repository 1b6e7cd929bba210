"""The bundle for a Raspberry Pi: our wheel and those of the dependencies, the same bytes each time, without network."""

import io
import json
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from host_tools import build_wheels
from host_tools.build import ROOT, RpiOptions, build
from host_tools.build_image import BuildError
from host_tools.build_wheels import (
    dependency_wheels,
    name_and_version,
    own_wheel,
    repacked,
    wheel_of_installed,
)
from host_tools.bundle import digest_of, read_bundle, sha256
from tests.host_tools.make_cell import make_cell

pytest.importorskip("hatchling", reason="hatchling is not installed; `pip install hatchling`")

NAME = "cell_controller-0.3.0-py3-none-any.whl"


def small_wheel(name: str, version: str, *needs: str, body: str = "") -> bytes:
    """A wheel with one module, which is as good as the real one as long as nobody imports it."""
    folder = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return repacked(
        {
            f"{name}.py": f"version = {version!r}\n{body}".encode(),
            f"{folder}/METADATA": (head + "".join(f"Requires-Dist: {need}\n" for need in needs)).encode(),
            f"{folder}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
    )


WHEELS = {
    "gpiod-2.3.0-py3-none-any.whl": small_wheel("gpiod", "2.3.0"),
    "smbus2-0.4.3-py2.py3-none-any.whl": small_wheel("smbus2", "0.4.3"),
    "pymodbus-3.16.0-py3-none-any.whl": small_wheel("pymodbus", "3.16.0"),
    "paho_mqtt-2.1.0-py3-none-any.whl": small_wheel("paho_mqtt", "2.1.0"),
    "pydantic-2.9.0-py3-none-any.whl": small_wheel("pydantic", "2.9.0", "pydantic-core==2.23.2"),
    "pydantic_core-2.23.2-cp311-cp311-manylinux_2_17_aarch64.whl": small_wheel("pydantic_core", "2.23.2"),
    "pydantic_core-2.23.2-cp311-cp311-manylinux_2_17_armv7l.whl": small_wheel(
        "pydantic_core", "2.23.2", body="# 32"
    ),
    "pyserial-3.5-py2.py3-none-any.whl": small_wheel("pyserial", "3.5"),
    "rich-13.8.0-py3-none-any.whl": small_wheel("rich", "13.8.0"),
    "shtab-1.7.1-py3-none-any.whl": small_wheel("shtab", "1.7.1"),
    "transitions-0.9.2-py2.py3-none-any.whl": small_wheel("transitions", "0.9.2", "six"),
    "six-1.16.0-py2.py3-none-any.whl": small_wheel("six", "1.16.0"),
    "unused-1.0-py3-none-any.whl": small_wheel("unused", "1.0"),
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel for everything this project needs at run time, and some more."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, content in WHEELS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def own() -> tuple[str, bytes, list[str]]:
    """This clone's wheel."""
    return own_wheel(ROOT)


def installed_from(wheel: bytes, folder: Path) -> PathDistribution:
    """What pip would leave of a wheel in site-packages."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        archive.extractall(folder)
        info = next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    record = folder / info / "RECORD"
    record.write_text(
        record.read_text() + f"../../../bin/cellctl,,\nboard/__pycache__/sim.pyc,,\n{info}/INSTALLER,,\n"
    )
    (folder / info / "INSTALLER").write_text("pip\n")
    return PathDistribution(folder / info)


# --- our own wheel ---


def test_own_wheel_can_be_installed_and_names_its_files(own: tuple[str, bytes, list[str]]) -> None:
    name, content, needs = own
    assert name == NAME
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        record = archive.read("cell_controller-0.3.0.dist-info/RECORD").decode().splitlines()
    assert names[-1] == "cell_controller-0.3.0.dist-info/RECORD"
    assert names[:-1] == sorted(names[:-1])
    assert [line.split(",")[0] for line in record] == names
    assert "cell_controller/cpython/service.py" in names
    assert "host_tools/example_cell/cell.toml" in names
    assert not [name for name in names if name.startswith(("tests/", ".")) or name.endswith(".pyc")]
    assert any(need.startswith("pydantic") for need in needs)


def test_installed_package_gives_the_same_wheel_as_the_clone(
    own: tuple[str, bytes, list[str]], tmp_path: Path
) -> None:
    name, content, needs = wheel_of_installed(installed_from(own[1], tmp_path))
    assert (name, sha256(content)) == (own[0], sha256(own[1]))
    assert sorted(need.partition(">")[0] for need in needs) == sorted(
        need.partition(">")[0] for need in own[2]
    )


def test_installed_file_that_was_changed_is_refused(
    own: tuple[str, bytes, list[str]], tmp_path: Path
) -> None:
    distribution = installed_from(own[1], tmp_path)
    (tmp_path / "board" / "sim.py").write_text("# mended on the machine\n")
    with pytest.raises(
        BuildError, match=r"board/sim\.py was changed after it was installed.*--force-reinstall"
    ):
        wheel_of_installed(distribution)
    (tmp_path / "board" / "sim.py").unlink()
    with pytest.raises(BuildError, match=r"board/sim\.py of this installation cannot be read: No such file"):
        wheel_of_installed(distribution)


def test_place_that_is_neither_clone_nor_installed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_wheels, "NAME", "no-such-project-here")
    with pytest.raises(BuildError, match="is neither a clone nor installed"):
        own_wheel(tmp_path)


# --- those of the dependencies ---


def test_wheels_of_the_machine_and_of_all_that_is_needed_are_taken(wheels: Path) -> None:
    needs = ["transitions>=0.9", "pydantic>=2.7"]
    found = dependency_wheels(needs, RpiOptions("aarch64", "3.11", wheels))
    assert sorted(found) == sorted(
        name for name in WHEELS if name.startswith(("trans", "six", "pyd")) and "armv7l" not in name
    )
    assert all(WHEELS[name] == content for name, content in found.items())
    found = dependency_wheels(["pydantic>=2.7"], RpiOptions("armv7l", "3.11", wheels))
    assert [name for name in found if "core" in name] == [
        "pydantic_core-2.23.2-cp311-cp311-manylinux_2_17_armv7l.whl"
    ]


def test_wheel_that_is_missing_is_named(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        dependency_wheels(["pydantic>=2.7"], RpiOptions("x86_64", "3.11", wheels))
    assert f"not every wheel for x86_64, Python 3.11 could be had in {wheels}" in str(caught.value)
    assert "pydantic" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(BuildError, match="there is no such directory"):
        dependency_wheels([], RpiOptions(wheels=tmp_path / "none"))


@pytest.mark.parametrize(
    ("wheel", "found"),
    [
        ("PyYAML-6.0.4-cp311-cp311-linux_x86_64.whl", ("pyyaml", "6.0.4")),
        ("typing_extensions-4.16.0-py3-none-any.whl", ("typing-extensions", "4.16.0")),
        ("a.b-1!2.0+local-1build-py3-none-any.whl", ("a-b", "1!2.0+local")),
    ],
)
def test_name_and_version_are_those_of_the_index(wheel: str, found: tuple[str, str]) -> None:
    assert name_and_version(wheel) == found


def test_file_that_is_no_wheel_is_refused() -> None:
    with pytest.raises(BuildError, match="is not named like a wheel"):
        name_and_version("six-1.16.0.tar.gz")


@pytest.mark.parametrize("python", ["3.10", "3", "2.7", "3.11.4", "3.x"])
def test_python_that_is_too_old_or_no_version_is_refused(tmp_path: Path, python: str) -> None:
    with pytest.raises(BuildError, match=r"this package needs Python 3\.11 or newer, as in 3\.11"):
        build(make_cell(tmp_path), "rpi", out=tmp_path / "a.cell", rpi=RpiOptions(python=python))


# --- the bundle ---


@pytest.fixture(scope="module")
def bundle(own: tuple[str, bytes, list[str]], wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small cell's, with this clone's wheel."""
    folder = tmp_path_factory.mktemp("rpi")
    cell = make_cell(folder / "booth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_wheels, "own_wheel", lambda root: own)
        return build(cell, "rpi", out=folder / "a.cell", rpi=RpiOptions(wheels=wheels)).bundle.path


def test_bundle_has_the_wheels_their_hashes_and_the_cell(bundle: Path) -> None:
    found = read_bundle(bundle)
    manifest = found.manifest
    assert (found.target, manifest["board"], manifest["cell"]) == ("rpi", "rpi", "booth-1")
    assert manifest["versions"] == {"package": "0.3.0", "arch": "aarch64", "python": "3.11"}
    cell = {name.removeprefix("cell/"): found.files[name] for name in found.files if name.startswith("cell/")}
    assert sorted(cell) == ["cell.toml", "equipment.py", "recipes/bonnet.toml", "wiring/rpi.toml"]
    assert manifest["cell_sha256"] == digest_of(cell)
    taken = {name for name in WHEELS if not name.startswith("unused") and "armv7l" not in name}
    assert {name for name in found.files if name.startswith("wheels/")} == {
        f"wheels/{name}" for name in {*taken, NAME}
    }
    controller = {name: content for name, content in found.files.items() if not name.startswith("cell/")}
    assert manifest["controller_sha256"] == digest_of(controller)
    requirements = found.files["requirements.txt"].decode().splitlines()
    assert f"six==1.16.0 --hash=sha256:{sha256(WHEELS['six-1.16.0-py2.py3-none-any.whl'])}" in requirements
    assert len(requirements) == len(taken) + 1
    assert requirements == sorted(requirements)


def test_same_wheels_give_the_same_bundle(
    bundle: Path,
    own: tuple[str, bytes, list[str]],
    wheels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Built again, with the wheel that an installed package gives."""
    again = wheel_of_installed(installed_from(own[1], tmp_path / "site"))
    monkeypatch.setattr(build_wheels, "own_wheel", lambda root: again)
    cell = make_cell(tmp_path / "other")
    build(cell, "rpi", out=tmp_path / "b.cell", rpi=RpiOptions(wheels=wheels))
    assert (tmp_path / "b.cell").read_bytes() == bundle.read_bytes()


def pip(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """What is typed on the machine to install a bundle's wheels, for this interpreter's platform."""
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--find-links", "wheels"]
    command += ["--require-hashes", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", *words]
    environment = {"PIP_CONFIG_FILE": "/dev/null", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_pip_takes_the_requirements_and_refuses_a_changed_wheel(bundle: Path, tmp_path: Path) -> None:
    for name, content in read_bundle(bundle).files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    words = ["-r", "requirements.txt", "--target", "site", "--only-binary=:all:", "--python-version=3.11"]
    words += ["--platform=manylinux_2_17_aarch64"]
    done = pip(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    names = {entry["metadata"]["name"].replace("_", "-") for entry in json.loads(done.stdout)["install"]}
    assert {"cell-controller", "pydantic-core", "six"} <= names
    six = tmp_path / "wheels" / "six-1.16.0-py2.py3-none-any.whl"
    six.write_bytes(small_wheel("six", "1.16.0", body="# another"))
    done = pip(tmp_path, *words)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


@pytest.mark.soak
@pytest.mark.parametrize(("arch", "python"), [("aarch64", "3.11"), ("aarch64", "3.13"), ("armv7l", "3.11")])
def test_the_index_has_every_wheel_of_a_raspberry_pi(tmp_path: Path, arch: str, python: str) -> None:
    """Needs the package index."""
    cell = make_cell(tmp_path / "booth")
    built = build(cell, "rpi", out=tmp_path / "a.cell", rpi=RpiOptions(arch, python))
    native = [name for name in built.bundle.files if name.endswith(f"_{arch}.whl")]
    assert [name.partition("-")[0] for name in native] == ["wheels/pydantic_core"]
