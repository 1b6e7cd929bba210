"""Prints the heap, in bytes, of modules imported from an image in flash: rom_heap.py IMAGE MODULE...

Where an image is not held in flash it is read first; its bytes are not counted.
"""

import gc
import sys

import vfs

with open("/project/" + sys.argv[1], "rb") as file:
    image = file.read()
used = gc.mem_alloc  # type: ignore[attr-defined]  # only MicroPython's gc has it
#: collect
vfs.mount(vfs.VfsRom(image), "/rom")
sys.path[:] = ["/rom"]
before = used()
for name in sys.argv[2:]:
    __import__(name)
#: collect
print(used() - before)
