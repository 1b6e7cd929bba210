"""Five simulated Modbus devices on one connection, in a process of their own: python -m benchmarks.modbus_process UNITS

It prints its address; each line of the standard input (`dead 5`, `alive 5`, `unplug`, `plug`) is done and answered.
"""

import sys

from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from tests.board.modbus_plans import shape_of


def main(units: int) -> None:
    """Serve until the standard input ends."""
    shapes = [shape_of("io", model="demo_io", address="tcp://127.0.0.1:1", unit=u + 1) for u in range(units)]
    with ModbusDevice([ModbusSlave(found.settings) for found in shapes]) as line:
        say(line.address)
        for command in sys.stdin:
            word, *unit = command.split()
            if unit:
                line.slaves[int(unit[0])].dead = word == "dead"
            elif word == "unplug":
                line.unplug()
            else:
                line.plug()
            say("done")


def say(text: str) -> None:
    """One line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
