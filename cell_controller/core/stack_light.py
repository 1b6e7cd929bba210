"""What the stack light shows, as a pure function of the state and of what is missing (PackTag `Status.Stacklight`)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LIGHTS = (
    "RedSolid",
    "RedFlash",
    "AmberSolid",
    "AmberFlash",
    "BlueSolid",
    "BlueFlash",
    "GreenSolid",
    "GreenFlash",
    "HornSolid",
    "HornFlash",
)
RED_SOLID = 0x001
RED_FLASH = 0x002
AMBER_SOLID = 0x004
AMBER_FLASH = 0x008
BLUE_SOLID = 0x010
BLUE_FLASH = 0x020
GREEN_SOLID = 0x040
GREEN_FLASH = 0x080
HORN_SOLID = 0x100
HORN_FLASH = 0x200

# Masks of states, bit n = PackML state n.
_RED_FLASH_IN = 0x00302  # Clearing, Aborting, Aborted
_RED_SOLID_IN = 0x28084  # Stopped, Stopping, Resetting, Complete
_GREEN_FLASH_IN = 0x00010  # Idle
_GREEN_SOLID_IN = 0x15048  # Starting, Execute, Unholding, Unsuspending, Completing
_HORN_FLASH_IN = 0x05008  # Starting, Unholding, Unsuspending: something is about to move
_SUSPENDING = 0x02020  # Suspended, Suspending
_HOLDING = 0x00C00  # Holding, Held


def stack_light(state: int, starved: int, blocked: int, material_low: int, material_out: int) -> int:
    """The lights that are on, a mask of the bits above. The four conditions are 0 or 1.

    Starved and blocked show only while they suspend the cell, exhausted material only while it holds it. Solid and
    flash of one colour may both be set: drive the lamp solid then.
    """
    here = 1 << state
    lights = 0
    if here & _RED_FLASH_IN:
        lights |= RED_FLASH
    if here & _RED_SOLID_IN:
        lights |= RED_SOLID
    if here & _GREEN_FLASH_IN:
        lights |= GREEN_FLASH
    if here & _GREEN_SOLID_IN:
        lights |= GREEN_SOLID
    if here & _HORN_FLASH_IN:
        lights |= HORN_FLASH
    if here & _SUSPENDING:
        if starved:
            lights |= AMBER_FLASH
        if blocked:
            lights |= AMBER_SOLID
    if here & _HOLDING:
        if material_out:
            lights |= BLUE_SOLID
    elif material_low:
        lights |= BLUE_FLASH
    return lights


def light_names(lights: int) -> "Sequence[str]":
    """The names of the lights that are on, in the order of their bits."""
    return [LIGHTS[bit] for bit in range(len(LIGHTS)) if lights >> bit & 1]
