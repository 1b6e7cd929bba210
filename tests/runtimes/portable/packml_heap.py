"""Runs the PackML step, lights and handshakes with the heap locked: any allocation raises MemoryError."""

import micropython

from cell_controller.core import handshake, packml, stack_light

machine = packml.StateMachine(packml.compile_table(), packml.EXECUTE)
command = handshake.CommandHandshake()
lights = 0


def scans() -> None:
    global lights
    for number in range(1, 100):
        machine.state = number % 17 + 1
        machine.request(number % 11 + 1)
        machine.step()
        machine.request(command.scan(number % 11, number & 1))
        if machine.step_needed():
            machine.step()
        lights |= stack_light.stack_light(
            machine.state, number & 1, number >> 1 & 1, number >> 2 & 1, number & 1
        )


scans()
micropython.heap_lock()
try:
    scans()
finally:
    micropython.heap_unlock()
print("nothing allocated")
