"""Prints the bytes of heap that the modules named on the command line keep once imported.

On a microcontroller's 32-bit objects this is what counts; the WebAssembly port collects only at the marked lines.
"""

import gc
import sys

used = gc.mem_alloc  # type: ignore[attr-defined]  # only MicroPython's gc has it
gc.collect()
#: collect
before = used()
for name in sys.argv[1:]:
    __import__(name)
gc.collect()
#: collect
print(used() - before)
