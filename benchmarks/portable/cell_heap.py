"""Prints the heap, in bytes, of what a board holds, part by part: MicroPython only.

cell_heap.py WHERE SPEC PARTS: WHERE is the folder or the flash image that holds the modules and equipment.py; SPEC the
compiled cell in canonical form, where WHERE has no cell.bin; PARTS "cell", "link" or "all". Printed are the core, the
cell's tables and phases, its controller, booted and scanned, and as asked for the journal in flash, the link to the
broker, and what answers at the console. All that is still alive counts.
"""

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

used = gc.mem_alloc  # type: ignore[attr-defined]  # only MicroPython's gc has it
folder = "/project/" if "/project" in sys.path else ""  # where the WebAssembly port has its copy
where = folder + sys.argv[1]
packed: "Any" = b""
if where.endswith(".romfs"):
    import vfs

    with open(where, "rb") as file:
        image = file.read()
    vfs.mount(vfs.VfsRom(image), "/rom")
    where = "/rom"
    packed = memoryview(open("/rom/cell.bin", "rb"))  # type: ignore[arg-type]  # noqa: SIM115  # bytes in flash
else:
    with open(folder + sys.argv[2], "rb") as file:
        packed = file.read()
sys.path[:] = [where]


class Blank:
    """An area of flash on which nothing was written yet; the WebAssembly port has none."""

    def __init__(self, sectors: int) -> None:
        self.data = bytearray(b"\xff" * (sectors * 4096))

    def readblocks(self, block: int, room: "Any", offset: int = 0) -> None:
        at = block * 4096 + offset
        room[:] = self.data[at : at + len(room)]

    def writeblocks(self, block: int, data: "Any", offset: int = 0) -> None:
        at = block * 4096 + offset
        self.data[at : at + len(data)] = data

    def ioctl(self, what: int, _block: int) -> int:
        return {4: len(self.data) // 4096, 5: 4096}.get(what, 0)


class Nothing:
    """Stands for `socket`, `select`, and a clock, which cost a board no heap of Python objects; and for a journal."""

    epoch = "0123456789abcdef"
    durable_seq = 0

    def delivered(self, _name: str) -> int:
        return 0

    def wall_ms(self) -> int:
        return 0

    def set_wall(self, wall_ms: int) -> None:
        pass


nothing: "Any" = Nothing()
for name in ("socket", "select"):
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = nothing
blank = Blank(32)
figures: "list[int]" = []
#: collect
gc.collect()
before = used()
from cell_controller.core.controller import Controller  # noqa: E402
from cell_controller.core.orders import Book  # noqa: E402
from cell_controller.core.shelf import load_cell  # noqa: E402

#: collect
gc.collect()
figures.append(used() - before)
before = used()
equipment = __import__("equipment")
spec = load_cell(packed)
packed = None
#: collect
gc.collect()
figures.append(used() - before)
before = used()
phases = {}
for entry in spec["phases"]:
    phases[entry["name"]] = getattr(equipment, entry["name"])
states = {}
for entry in spec["states"]:
    states[entry["state"]] = getattr(equipment, entry["function"])
controller = Controller(spec, phases, states, Book(True))
controller.boot(0)
for number in range(1, 20):
    controller.scan(number * 10, controller.context.last_seq)
    controller.take_records()
# a phase's first use of a signal makes its object: all but those that only the controller uses
own = [spec["emergency_stop"], spec["energy"], spec["identity"]]
for i in range(len(spec["inputs"])):
    if i not in own:
        getattr(controller.cell, spec["inputs"][i]["name"])
own = [spec["heartbeat"]] + [spec["stack_light"][colour] for colour in sorted(spec["stack_light"])]
for i in range(len(spec["outputs"])):
    if i not in own:
        getattr(controller.cell, spec["outputs"][i]["name"])
#: collect
gc.collect()
figures.append(used() - before)
before = used()
whole = sys.argv[3] == "all"
journal: "Any" = nothing
if whole:
    from cell_controller.micropython.flash_journal import FlashJournal

    journal = FlashJournal(blank, nothing.wall_ms, lambda: "0123456789abcdef")
#: collect
gc.collect()
figures.append(used() - before)
before = used()
if whole or sys.argv[3] == "link":
    from cell_controller.micropython.plant_link import make_link

    broker = {"broker": {"host": "broker.example"}, "time": {"host": ""}}
    link = make_link(spec, broker, journal, controller.request, nothing)
#: collect
gc.collect()
figures.append(used() - before)
before = used()
if whole:
    for name in ("runtime", "console", "crash"):
        __import__("cell_controller.micropython." + name)
#: collect
gc.collect()
figures.append(used() - before)
print(*figures)
