"""Prints how much the heap grew by a megabyte that was let go again: what the figures of the heap rest on."""

import gc

used = gc.mem_alloc  # type: ignore[attr-defined]  # only MicroPython's gc has it
gc.collect()
#: collect
before = used()
held = [bytes(1000) for _ in range(1000)]
del held
gc.collect()
#: collect
print(used() - before)
