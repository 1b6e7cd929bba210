"""A trace in which the paint cell lives through everything it can gives the same bytes on every runtime."""

import io
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from cell_controller.core import queries, trace
from hil.trace_maker import TraceMaker, make
from hil.trouble import troubled
from host_tools.build_image import START, compile_controller, find_cross, needed_modules
from host_tools.cellfile import load_equipment
from tests.runtimes.instrumented import CORE, has_functions, instrument, instrumented_core
from tests.runtimes.runtimes import CACHE, NAMES, ROOT, SCRIPTS, Runtime, missing, unix_program

PAINT_CELL = ROOT / "examples" / "paint_cell"
NEEDS = ("cell_controller", "examples/paint_cell/equipment.py", "hil/trouble.py")
SCANS = 20_000


@dataclass
class Made:
    """The traces, as files below the project, and what each runtime said of them."""

    maker: TraceMaker
    files: list[Path]
    here: list[trace.Player]
    said: dict[str, "Future[str]"]

    @property
    def names(self) -> list[str]:
        return [path.relative_to(ROOT).as_posix() for path in self.files]


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    # below the project, where every runtime finds it
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="traces-", dir=CACHE.parent))
    maker = make(PAINT_CELL, seed=1)
    result = Made(maker, [], [], {})
    for number, data in enumerate(maker.bench.traces):
        result.files.append(folder / f"{number}.trace")
        result.files[-1].write_bytes(data)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name in NAMES:
            if not missing(name):
                paths = (*NEEDS, *result.names)
                result.said[name] = pool.submit(
                    Runtime(name).run, "replay_trace.py", *result.names, paths=paths, heap_kb=64 * 1024
                )
        if not missing("unix"):
            result.said["built"] = pool.submit(built_replay, folder, result.names)
        result.here = [replayed(data) for data in maker.bench.traces]
        yield result
    shutil.rmtree(folder)


def built_replay(folder: Path, names: list[str]) -> str:
    """What the Unix port says of the traces with the controller's byte code as `cellctl build` makes it."""
    cross = find_cross()
    modules = needed_modules(ROOT, [START, "cell_controller.core.trace"])
    others = [ROOT / name for name in NEEDS[1:]] + [ROOT / SCRIPTS / "replay_trace.py"]
    code = compile_controller(cross, modules, [path.read_bytes() for path in others])
    for name, content in code.items():
        target = folder / "built" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for path in others:
        target = folder / "built" / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    done = subprocess.run(
        [
            str(unix_program()),
            "-X",
            "heapsize=64M",
            f"{SCRIPTS}/replay_trace.py",
            *[str(ROOT / name) for name in names],
        ],
        cwd=folder / "built",
        env={"MICROPYPATH": f".frozen:{folder / 'built'}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def player() -> trace.Player:
    equipment = load_equipment(PAINT_CELL)
    return trace.Player(troubled(equipment.phases, "pinstripe", "pinstripe", "pen"), equipment.states)


def replayed(data: bytes) -> trace.Player:
    one = player()
    trace.play_all(io.BytesIO(data).read, one)
    return one


def entries(data: bytes) -> list[tuple[bytes, bytes]]:
    file = io.BytesIO(data)
    trace.read_magic(file.read)
    found = []
    while (told := trace.read_entry(file.read)) is not None:
        found.append(told)
    return found


def written(parts: list[tuple[bytes, bytes]]) -> bytes:
    return trace.MAGIC + b"".join(trace.entry(kind, body) for kind, body in parts)


def test_a_replay_is_the_recording_at_every_checkpoint(made: Made) -> None:
    scans = 0
    for one in made.here:
        assert one.different_at == -1, f"{one.different_in} differ before scan {one.different_at}"
        assert one.checked == -(-one.scans // trace.EVERY), "a checkpoint every 256 scans and one at the end"
        scans += one.scans
    assert scans == made.maker.bench.scans
    assert scans >= SCANS


def test_the_same_seed_makes_the_same_traces(made: Made) -> None:
    assert make(PAINT_CELL, seed=1).bench.traces == made.maker.bench.traces


@pytest.mark.parametrize("name", NAMES)
def test_every_runtime_gives_the_same_bytes(made: Made, name: str) -> None:
    if name not in made.said:
        pytest.skip(missing(name))
    lines = made.said[name].result().splitlines()
    assert len(lines) == len(made.here)
    for line, one in zip(lines, made.here, strict=True):
        events, outputs = one.digests()
        assert f"differs -1 events {events} outputs {outputs} " in line
    assert lines == made.said["cpython"].result().splitlines(), "views and rendered events"


def test_the_byte_code_of_a_board_gives_the_same_bytes(made: Made) -> None:
    """There constants are values: views and rendered events are compared too."""
    if "built" not in made.said:
        pytest.skip(missing("unix"))
    assert made.said["built"].result().splitlines() == made.said["cpython"].result().splitlines()


def test_a_changed_input_is_reported_at_the_first_checkpoint_that_differs(made: Made) -> None:
    parts = entries(made.files[0].read_bytes())
    scans = [place for place, (kind, _) in enumerate(parts) if kind in (b"S", b"s")]
    where = next(place for place in scans[1000:] if parts[place][0] == b"S")
    number = scans.index(where)
    body = bytearray(parts[where][1])
    body[9] ^= 0x08  # the emergency-stop chain opens for one scan
    parts[where] = (b"S", bytes(body))
    one = replayed(written(parts))
    assert one.different_at == (number // trace.EVERY + 1) * trace.EVERY
    assert one.different_in == "events and outputs"


def test_a_byte_that_changed_in_the_file_is_found(made: Made) -> None:
    data = bytearray(made.files[3].read_bytes())
    for at in range(len(trace.MAGIC), len(data), len(data) // 40):
        changed = bytes(data[:at]) + bytes([data[at] ^ 1]) + bytes(data[at + 1 :])
        one = player()
        try:
            trace.play_all(io.BytesIO(changed).read, one)
        except trace.TraceError:
            continue
        assert one.torn, f"byte {at} was changed and nobody noticed"


def test_a_torn_tail_ends_the_replay_with_what_is_there(made: Made) -> None:
    data = made.files[-1].read_bytes()
    whole = replayed(data)
    for cut in (1, 4, 40, 76):
        one = replayed(data[:-cut])
        assert one.torn
        assert one.scans == whole.scans
        assert one.different_at == -1
    assert not whole.torn


@pytest.mark.parametrize("data", [b"", b"CELL", b"CELLTRACE2\n", b"\x00" * 4096])
def test_what_is_no_trace_is_refused(data: bytes) -> None:
    with pytest.raises(trace.TraceError, match="no trace"):
        replayed(data)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"S", b"123"),
        (b"S", bytes(500)),
        (b"Q", b""),
        (b"D", bytes(8)),
        (b"B", b"\x00"),
        (b"E", b""),
        (b"R", b"[1 2]"),
        (b"R", b"[]"),
        (b"R", b'["local","a","b",7,{}]'),
        (b"P", b"x"),
        (b"N", b""),
        (b"N", bytes(40)),
        (b"J", b"short"),
        (b"K", b"le"),
        (b"H", b"de"),
        (b"?", b""),
    ],
)
def test_an_entry_that_is_not_as_it_should_be_is_refused(made: Made, kind: bytes, body: bytes) -> None:
    parts = entries(made.files[0].read_bytes())[:1]
    with pytest.raises(ValueError, match=r"\w"):
        replayed(written([*parts, (kind, body)]))


def test_a_trace_without_its_header_is_refused(made: Made) -> None:
    with pytest.raises(trace.TraceError, match="header"):
        replayed(written(entries(made.files[-1].read_bytes())[1:]))


def test_the_length_of_an_entry_is_bounded() -> None:
    with pytest.raises(trace.TraceError, match="damaged"):
        replayed(trace.MAGIC + struct.pack("<BI", 0x48, 1 << 31))


def test_every_question_has_the_same_answer_on_every_runtime(made: Made, runtime: Runtime) -> None:
    said = runtime.run("ask_and_recover.py", made.names[-1], paths=(*NEEDS, made.names[-1]))
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == len(queries.KINDS) + 1
    here = Runtime("cpython").run("ask_and_recover.py", made.names[-1])
    assert lines == here.splitlines()


def test_a_function_of_every_core_file_runs_on_micropython(made: Made, tmp_path: Path) -> None:
    """Reading a file proves little: a typo in a function shows when it is called."""
    if reason := missing("unix"):
        pytest.skip(reason)
    instrumented_core(tmp_path)
    scripts = "tests/runtimes/portable/"
    said = Runtime("unix").run(
        "count_executed.py",
        tmp_path,
        ",".join([scripts + "replay_trace.py", *made.names[1:]]),
        scripts + "session_table.py",
        ",".join([scripts + "ask_and_recover.py", made.names[-1]]),
        heap_kb=64 * 1024,
    )
    ran = {}
    for line in said.partition("executed:")[2].splitlines():
        if line:
            name, count = line.split()
            ran[name.rpartition(".")[2]] = int(count)
    expected = sorted(path.stem for path in CORE.glob("*.py") if path.stem != "__init__")
    assert sorted(ran) == expected, "these core files were imported on MicroPython"
    idle = [name for name in expected if has_functions(CORE / f"{name}.py") and ran[name] != 1]
    assert not idle, f"no function of these core files ran on MicroPython: {idle}"


def test_the_instrument_sees_what_does_not_run() -> None:
    space: dict[str, list[int]] = {}
    exec(instrument('"""Text."""\n\ndef one():\n    """Text."""\n    return 1\n'), space)
    assert space["_executed"] == [0]
    exec("one()", space)
    assert space["_executed"] == [1]
