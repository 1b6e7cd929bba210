"""Prints the bits of a machine word here: 32 as on a microcontroller, or 64."""

import sys

print(32 if sys.maxsize == 0x7FFFFFFF else 64)
