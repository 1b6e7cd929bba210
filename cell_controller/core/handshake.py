"""How a PLC-like station gives a command or a mode: a value and a request bit, each acted on once (PackTags)."""


class CommandHandshake:
    """`CntrlCmd` with `CmdChangeRequest`: acts while the request is on, once for each new command.

    The same command again needs the request to go off in between.
    """

    def __init__(self) -> None:
        self._acted = 0

    def scan(self, cntrl_cmd: int, change_request: int) -> int:
        """The command to act on in this scan, 0 for none. The number is passed on as it is; it may be unknown."""
        if not change_request:
            self._acted = 0
            return 0
        if cntrl_cmd == self._acted:
            return 0
        if cntrl_cmd:
            self._acted = cntrl_cmd
        return cntrl_cmd


class ModeHandshake:
    """`UnitMode` with `UnitModeChangeRequest`: acts on the rising edge of the request alone."""

    def __init__(self) -> None:
        self._request = 0

    def scan(self, unit_mode: int, change_request: int) -> int:
        """The mode to change to in this scan, 0 for none."""
        rising = change_request and not self._request
        self._request = 1 if change_request else 0
        return unit_mode if rising and unit_mode > 0 else 0
