"""A board that is not there: MicroPython's Unix port behind a pseudo terminal, dressed as a Raspberry Pi Pico W."""

from hil.standin.board import StandIn
from hil.standin.parts import StandInError

__all__ = ("StandIn", "StandInError")
