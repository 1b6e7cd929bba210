"""Small bundles for tests: their wheel leads to this source tree, and pip is a stand-in where it is not the point."""

import hashlib
import io
import sysconfig
import zipfile
from pathlib import Path

from host_tools.bundle import digest_of, write_bundle

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "paint_cell"
WHEEL = "cell_controller-0.1.0-py3-none-any.whl"
PIP = "pip-0.0-py3-none-any.whl"
RUNS = "cell_controller.cpython.service:main"
DIES = "cell_stub:dies"

# Installs what lies in --find-links, as pip does with pure wheels; wheels that do not fit their hash are refused.
STAND_IN_PIP = """
import hashlib, pathlib, re, sys, sysconfig, zipfile
words = sys.argv
wheels = pathlib.Path(words[words.index("--find-links") + 1])
wanted = pathlib.Path(words[words.index("--requirement") + 1]).read_text()
assert "--no-index" in words and "--require-hashes" in words
for wheel in wheels.glob("*.whl"):
    if wheel.name.startswith("pip-"):
        continue
    if hashlib.sha256(wheel.read_bytes()).hexdigest() not in wanted:
        sys.exit("THESE PACKAGES DO NOT MATCH THE HASHES")
    archive = zipfile.ZipFile(wheel)
    archive.extractall(sysconfig.get_paths()["purelib"])
    points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    for name, module, call in re.findall(r"([\\w-]+) = ([\\w.]+):(\\w+)", archive.read(points).decode()):
        script = pathlib.Path(sys.prefix, "bin", name)
        script.write_text(f"#!{sys.executable}\\nimport sys\\nfrom {module} import {call}\\nsys.exit({call}())\\n")
        script.chmod(0o755)
"""


def zipped(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as members:
        for name, text in files.items():
            members.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return archive.getvalue()


def wheel(main: str) -> bytes:
    """A wheel that leads to this source tree and to the packages that the tests run with."""
    info = "cell_controller-0.1.0.dist-info"
    files = {
        "cell_source.pth": f"{ROOT}\n{sysconfig.get_paths()['purelib']}\n",
        "cell_stub.py": "import sys\ndef dies():\n    sys.exit('the relay card does not answer')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: cell-controller\nVersion: 0.1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\ncell-controller = {main}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    return zipped(files)


def make_bundle(
    path: Path,
    *,
    version: str = "1",
    main: str = RUNS,
    real_pip: bool = False,
    cell: Path = EXAMPLE,
    cut_short: int = 0,
) -> Path:
    """A bundle for a simulated board. `version` makes it another one; `main`: DIES ends at once when started."""
    content = wheel(main)
    digest = hashlib.sha256(content).hexdigest()
    files = {
        f"wheels/{WHEEL}": content,
        "requirements.txt": f"cell-controller==0.1.0 --hash=sha256:{digest}\n".encode(),
        "version.txt": version.encode() * 300_000,  # several pieces on the wire
    }
    if not real_pip:
        files[f"wheels/{PIP}"] = zipped({"pip/__main__.py": STAND_IN_PIP})
    for file in sorted(cell.rglob("*")):
        name = file.relative_to(cell).as_posix()
        if file.is_file() and "__pycache__" not in file.parts and not name.startswith(".run"):
            files[f"cell/{name}"] = file.read_bytes()
    if cut_short:
        files[f"wheels/{WHEEL}"] = content[:-cut_short]
    manifest = {
        "target": "rpi",
        "cell": "paint-1",
        "board": "sim",
        "versions": {"controller": version},
        "controller_sha256": hashlib.sha256(version.encode()).hexdigest(),
        "cell_sha256": digest_of({name: data for name, data in files.items() if name.startswith("cell/")}),
    }
    write_bundle(path, manifest, files)
    return path
