"""A whole Linux in a virtual machine, to prove code for GPIO lines on a real kernel.

The kernel is Debian's, the board is emulated by QEMU: `virt` with a PL061 of 8 lines, or `raspi3b` with the 54 lines
of a BCM2835. A test drives the input lines from outside, sees what the output lines do from outside, and runs Python
inside: see guest.Guest.
"""
