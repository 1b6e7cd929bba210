"""Parity on a pseudo terminal, for simulated serial lines.

A pty has no parity: the kernel drops it from the settings and says that all went well. The C library reads them back,
and since POSIX counts a change as made if any part of it was, it refuses only when parity was the *only* change. So the
first program that opens a pty with 8E1 succeeds (it changes the speed as well), and every later one fails with
"Invalid argument", because speed and mode are what it wants already. A real port takes parity each time.
"""

import termios

COOKED_SPEED = termios.B50


def forget_mode(near: int) -> None:
    """The pty whose near end is `near` is in no program's mode any more, so that the next one has something to change.

    Only while nobody has the far end open.
    """
    mode = termios.tcgetattr(near)
    mode[4] = mode[5] = COOKED_SPEED
    termios.tcsetattr(near, termios.TCSANOW, mode)
