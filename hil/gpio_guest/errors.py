"""The one error of this package."""

from cell_controller.errors import CellError


class GuestError(CellError, RuntimeError):
    """The virtual machine could not be made, started or asked; do what the message says, or read the log in it."""
