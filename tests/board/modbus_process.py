"""A stand-in for a controller, to be killed: drives a Modbus device through the board, and prints a line when it does.

python -m tests.board.modbus_process ADDRESS COMMS_TIMEOUT_MS
"""

import sys

from tests.board.modbus_desk import Desk
from tests.board.modbus_plans import plan_of

POINTS = ("link", "di0", "do0", "do1", "ao0")


def main(address: str, comms_timeout_ms: int) -> None:
    """Drive do0 and ao0 for ever."""
    plan = plan_of("io1", POINTS, model="demo_io", address=address, comms_timeout_ms=comms_timeout_ms)
    desk = Desk([plan])
    desk.arm()
    desk.drive("io1:do0", 1)
    desk.drive("io1:ao0", 20_000)
    desk.during(0.2, lambda: True)
    sys.stdout.write("driving\n")
    sys.stdout.flush()
    desk.during(3600, lambda: True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
