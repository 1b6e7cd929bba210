"""The board's side of the stand-in: runs on MicroPython, from read-only memory, and is what an RP2 build has in C."""
