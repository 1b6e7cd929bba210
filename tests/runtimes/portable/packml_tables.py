"""Prints one sha256 over the table of every profile, every legal set of disabled states and every choice for Hold."""

import binascii
import hashlib

from cell_controller.core import packml

OPTIONAL = []
for _state in range(1, len(packml.STATES)):
    if not packml.NEVER_DISABLED >> _state & 1:
        OPTIONAL.append(_state)


def spread(number: int, states: "tuple[int, ...] | list[int]") -> int:
    """Bit k of `number` set: the k-th of `states` is in the mask."""
    mask = 0
    for state in states:
        if number & 1:
            mask |= 1 << state
        number >>= 1
    return mask


def main() -> None:
    digest = hashlib.sha256()
    tables = 0
    for profile, hold_options in ((2015, (3, 5, 12, 13, 14)), (2022, (3, 4, 12, 13, 14, 16, 17))):
        for number in range(1 << len(OPTIONAL)):
            digest.update(packml.compile_table(profile, spread(number, OPTIONAL)))
            tables += 1
        for number in range(1 << len(hold_options)):
            digest.update(packml.compile_table(profile, 0, spread(number, hold_options)))
            tables += 1
    print(tables, binascii.hexlify(digest.digest()).decode())


main()
