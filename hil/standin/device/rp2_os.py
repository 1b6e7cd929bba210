"""`os` as on an RP2: the port's own, and `uname`."""

import os as _os
from collections import namedtuple

from .rp2_sys import MACHINE, implementation, version

for _name in dir(_os):
    if _name[0] != "_":
        globals()[_name] = getattr(_os, _name)

_Uname = namedtuple("_Uname", ("sysname", "nodename", "release", "version", "machine"))


def uname() -> "_Uname":
    """Who the board says it is."""
    return _Uname("rp2", "rp2", "%d.%d.%d" % tuple(implementation[1][:3]), version, MACHINE)
