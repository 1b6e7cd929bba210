"""Every error the package raises on purpose: one base class, each also the built-in it refines."""


class CellError(Exception):
    """Something the package can name went wrong; the message says what and what to do, show it to the person."""


class CellFileError(CellError, ValueError):
    """A cell directory does not describe a cell; mend every line of `problems`, what ran before may go on."""

    def __init__(self, problems: "list[str]") -> None:
        """`problems`: one line each, naming file, section, key, value, limit and remedy; at least one."""
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class BoardError(CellError, OSError):
    """The board or a device on it did not answer; take its signals as bad, make outputs safe, try to open it again."""


class DeviceError(BoardError):
    """A device answered late, wrongly or for another; try the exchange again, its values keep their age meanwhile."""


class LinkLostError(DeviceError, ConnectionError):
    """The line to a device is gone, or the device was switched off; open it again, its outputs wait for a Reset."""


class FaultNameError(CellError, LookupError):
    """The simulated board has no fault of that name; choose one of those the message lists."""


class BrokerError(CellError, ConnectionError):
    """The broker refused or left; go on without it and connect again later."""


class JournalError(CellError, OSError):
    """Nothing can be made durable; finish to the safe point of the step, hold, refuse orders, make room."""


class NoSuchCellError(CellError, LookupError):
    """No running cell of that name on this machine; start it or choose one of those the message lists."""


class TraceFileError(CellError, ValueError):
    """The file is no trace, or not one of this cell; give the right file or the directory it was recorded with."""
