"""The standard's unit modes: their names, and the states they leave out unless the cell file says otherwise."""

INVALID = 0
PRODUCTION = 1
MAINTENANCE = 2
MANUAL = 3
USER_01 = 4
LAST = 31

# By mode number, bit n = state n: Maintenance has no Suspended; Manual also has neither Held nor Complete.
DEFAULT_DISABLED = (0, 0, 0x06020, 0x37C20)


def mode_name(mode: int) -> str:
    """The standard's name of a mode 0..31: Invalid, Production, Maintenance, Manual, then User01..User28."""
    if mode < USER_01:
        return ("Invalid", "Production", "Maintenance", "Manual")[mode]
    return "User%02d" % (mode - MANUAL)
