"""Prints the heap, in bytes, of the core, of a cell's tables and phases, and of its controller: MicroPython only.

cell_heap.py WHERE SPEC: WHERE is the folder or the flash image that holds the core and equipment.py, SPEC the compiled
cell in canonical form, both below /project. The controller is booted and scanned; all that is still alive counts.
"""

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

used = gc.mem_alloc  # type: ignore[attr-defined]  # only MicroPython's gc has it
where = "/project/" + sys.argv[1]
if where.endswith(".romfs"):
    import vfs

    with open(where, "rb") as file:
        image = file.read()
    vfs.mount(vfs.VfsRom(image), "/rom")
    where = "/rom"
sys.path[:] = [where]
with open("/project/" + sys.argv[2], "rb") as file:
    packed = file.read()
#: collect
before = used()
from cell_controller.core import codec  # noqa: E402
from cell_controller.core.controller import Controller  # noqa: E402

#: collect
core = used()
equipment = __import__("equipment")
spec: "Any" = codec.unpack(packed)
#: collect
cell = used()
phases = {}
for entry in spec["phases"]:
    phases[entry["name"]] = getattr(equipment, entry["name"])
states = {}
for entry in spec["states"]:
    states[entry["state"]] = getattr(equipment, entry["function"])
controller = Controller(spec, phases, states)
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
print(core - before, cell - core, used() - cell)
