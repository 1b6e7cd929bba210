"""A running cell's trace on disk: in segments, bounded, never in the way, and replayed by `cellctl replay`."""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from cell_controller.core import trace
from cell_controller.core.orders import Book
from cell_controller.cpython import recorder
from cell_controller.cpython.memory_journal import MemoryJournal
from cell_controller.cpython.recorder import FileRecorder, equipment_sha256, replay, segments
from cell_controller.cpython.runtime import Runtime
from cell_controller.errors import TraceFileError
from hil.bench import Bench
from host_tools.cellctl import main
from host_tools.cellfile import CompiledCell, compile_cell

PAINT_CELL = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"


class Said:
    """In the place of a runtime: keeps what people would be told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class FileBench(Bench):
    """A bench that records into a file, as a service does."""

    def __init__(self, compiled: CompiledCell, path: Path, **options: Any) -> None:
        self.path = path
        self.options = options
        self.said = Said()
        self.seen: list[bytes] = []
        super().__init__(compiled)
        self.observers.append(lambda _: self.observe())

    def _made(self) -> None:
        options = {"equipment": equipment_sha256(PAINT_CELL), **self.options}
        self.recorder = FileRecorder(self.path, self.controller, list(self.journal), **options)

    def _keep(self) -> None:
        self.seen = list(self.controller.context.records)
        super()._keep()

    def _start(self) -> None:
        super()._start()
        self.seen = []

    def observe(self) -> None:
        self.recorder.observe(cast(Runtime, self.said), self.seen)
        self.seen = []


@pytest.fixture(scope="module")
def compiled() -> CompiledCell:
    return compile_cell(PAINT_CELL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "paint.trace"


def recorded(compiled: CompiledCell, path: Path, items: int = 1, **options: Any) -> FileBench:
    bench = FileBench(compiled, path, **options)
    bench.order("bonnet", count=items, colour="primer").run()
    bench.run_to("Idle")
    bench.recorder.close()
    return bench


def test_a_file_replays_to_the_bit(compiled: CompiledCell, path: Path) -> None:
    recorded(compiled, path)
    told = replay(path, PAINT_CELL)
    assert told["ok"]
    assert told["scans"] > 800
    assert told["segments"] == 1
    assert told["text"].endswith("the same to the bit")


def test_a_long_trace_goes_on_in_segments_and_the_oldest_go(compiled: CompiledCell, path: Path) -> None:
    recorded(compiled, path, items=8, segment_bytes=30_000, keep_segments=3)
    files = segments(path)
    assert len(files) == 3
    assert not path.exists(), "the first segment is the oldest"
    assert [file.name for file in files] == [f"paint.trace.{n:04d}" for n in range(6, 9)]
    told = replay(path, PAINT_CELL)
    assert told["ok"], told["text"]
    assert told["segments"] == 3
    alone = replay(files[1], PAINT_CELL)
    assert alone["ok"]
    assert alone["segments"] == 1
    assert 0 < alone["scans"] < told["scans"]


def test_a_segment_does_not_end_within_an_item(compiled: CompiledCell, path: Path) -> None:
    bench = FileBench(compiled, path, segment_bytes=1)
    bench.order("bonnet", colour="green")
    bench.run_to_step("spray").scan(10)
    count = len(segments(path))
    bench.scan(600)
    bench.recorder.close()
    assert bench.step == "spray"
    assert len(segments(path)) == count


def test_segments_of_an_earlier_run_do_not_mix_with_a_new_one(compiled: CompiledCell, path: Path) -> None:
    path.with_name("paint.trace.0007").write_bytes(b"old")
    path.with_name("paint.trace.txt").write_bytes(b"not ours")
    recorded(compiled, path)
    assert segments(path) == [path]
    assert path.with_name("paint.trace.txt").exists()


def test_a_full_disk_ends_the_trace_and_not_the_cell(compiled: CompiledCell, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    link = tmp_path / "full.trace"
    link.symlink_to(full)
    bench = FileBench.__new__(FileBench)
    unlink = Path.unlink
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None if self == link else unlink(self))
        bench.__init__(compiled, link)  # type: ignore[misc]  # the link stays where the recorder makes room
        bench.order("bonnet", count=2, colour="primer").run()
        bench.recorder.close()
    assert len(bench.records) == 2
    assert [line for line in bench.said.lines if "the trace ends here" in line] == bench.said.lines
    assert len(bench.said.lines) == 1


def test_a_changed_output_is_told_with_file_and_scan(compiled: CompiledCell, path: Path) -> None:
    recorded(compiled, path)
    parts = []
    with path.open("rb") as file:
        trace.read_magic(file.read)
        while (part := trace.read_entry(file.read)) is not None:
            parts.append(part)
    place = [number for number, (kind, _) in enumerate(parts) if kind == b"D"][2]
    body = bytearray(parts[place][1])
    body[-1] ^= 1
    parts[place] = (b"D", bytes(body))
    path.write_bytes(trace.MAGIC + b"".join(trace.entry(kind, body) for kind, body in parts))
    told = replay(path, PAINT_CELL)
    assert not told["ok"]
    assert told["different_at"] == 768
    assert "outputs differ before scan 768 of paint.trace" in told["text"]


def test_a_torn_file_is_replayed_as_far_as_it_goes(compiled: CompiledCell, path: Path) -> None:
    recorded(compiled, path)
    path.write_bytes(path.read_bytes()[:-7])
    told = replay(path, PAINT_CELL)
    assert told["ok"]
    assert "ends in the middle of an entry" in told["text"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no trace"),
        (b"hello, world, this is text", "no trace"),
        (trace.MAGIC, "no header"),
        (trace.MAGIC + trace.entry(b"S", bytes(9)), "no header"),
        (trace.MAGIC + trace.entry(b"H", b"le"), "another kind"),
        (trace.MAGIC + b"H\xff\xff\xff\xff", "damaged"),
    ],
)
def test_what_is_no_trace_is_refused_by_name(path: Path, data: bytes, says: str) -> None:
    path.write_bytes(data)
    with pytest.raises(TraceFileError, match=f"paint.trace.*{says}"):
        replay(path, PAINT_CELL)


def test_a_damaged_entry_is_told_with_the_scan_before_it(compiled: CompiledCell, path: Path) -> None:
    recorded(compiled, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(TraceFileError, match=r"after scan \d+: .*damaged"):
        replay(path, PAINT_CELL)


def test_another_equipment_file_is_refused(compiled: CompiledCell, path: Path, tmp_path: Path) -> None:
    recorded(compiled, path)
    other = tmp_path / "other"
    shutil.copytree(PAINT_CELL, other)
    with (other / "equipment.py").open("a") as file:
        file.write("# another day\n")
    with pytest.raises(TraceFileError, match="--cell-dir"):
        replay(path, other)


def test_a_trace_may_begin_on_the_journals_snapshot(compiled: CompiledCell, path: Path) -> None:
    """After a snapshot the journal forgets what came before it; the trace still knows the order book."""
    bench = Bench(compiled)
    bench.order("bonnet", colour="primer").run()
    store = MemoryJournal()
    for record in bench.journal:
        store.append(record)
    store.snapshot(bench.controller.book.dump(), len(bench.journal))
    store.prune(len(bench.journal))
    journal, book = recorder.journal_of(store)
    assert len(journal) <= 1
    known = Book()
    known.load(book)

    class Resumed(FileBench):
        def _made(self) -> None:
            kind = type(self.controller)
            equipment = self.equipment
            self.controller = kind(self.spec, equipment.phases, equipment.states, known, len(bench.journal))
            self.journal = list(bench.journal)
            self.recorder = FileRecorder(
                self.path, self.controller, journal, equipment_sha256(PAINT_CELL), book
            )

    resumed = Resumed(compiled, path)
    assert not resumed.ask("order.submit", order_id="ord-1", product="roof", options={"colour": "green"})[
        "ok"
    ]
    resumed.order("bonnet", colour="primer").run()
    resumed.recorder.close()
    assert replay(path, PAINT_CELL)["ok"]


def test_cellctl_replays(compiled: CompiledCell, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(compiled, path)
    assert main(["replay", str(path), "--cell-dir", str(PAINT_CELL)]) == 0
    assert "the same to the bit" in capsys.readouterr().out
    assert main(["replay", str(path), "--cell-dir", str(PAINT_CELL), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    path.write_bytes(b"hello")
    assert main(["replay", str(path), "--cell-dir", str(PAINT_CELL)]) != 0
    assert "no trace" in capsys.readouterr().err
