"""A bench that writes a trace of every run of its controller, from boot to the next restart."""

from collections.abc import Callable
from typing import Any

from cell_controller.core import trace
from hil.bench import Bench
from host_tools.cellfile import CompiledCell

Phases = dict[str, Callable[..., Any]]


class RecordedBench(Bench):
    """`traces` has the bytes of one trace a boot; `events` and `outputs` what came out in it, as the digests see it.

    `change_phases` may replace the phases of the equipment file before the first boot.
    """

    def __init__(
        self,
        compiled: CompiledCell,
        seed: int = 1,
        start_tick: int = 0,
        equipment_sha256: str = "",
        change_phases: Callable[[Phases], Phases] | None = None,
    ) -> None:
        self._parts: list[list[bytes]] = []
        self._recorder: trace.Recorder | None = None
        self._records: list[bytes] = []
        self._equipment = equipment_sha256
        self._change_phases = change_phases
        self.scans = 0
        super().__init__(compiled, seed, start_tick)
        self.observers.append(lambda _: self._scanned())

    def _made(self) -> None:
        self.end()
        parts: list[bytes] = []
        self._parts.append(parts)
        self._recorder = trace.Recorder(self.controller, parts.append, list(self.journal), self._equipment)

    def _keep(self) -> None:
        self._records = list(self.controller.context.records)
        super()._keep()

    def _start(self) -> None:
        if self._change_phases is not None:
            self.equipment.phases = self._change_phases(self.equipment.phases)
            self._change_phases = None
        super()._start()
        self._records = []  # of the boot, which the recorder has seen

    def _scanned(self) -> None:
        self.scans += 1
        if self._recorder is not None:
            self._recorder.scanned(self._records)
        self._records = []

    def shut_down(self) -> None:
        """End the controller as a service does that was told to leave."""
        self.controller.shut_down(self.board.tick())
        self.board.write(self.controller.output_image)
        self._keep()
        self._records = []
        self.end()

    def turn(self) -> bool:
        """Begin a new segment of the trace; False where something lives that it could not begin with."""
        if self._recorder is None or not self._recorder.may_turn():
            return False
        parts: list[bytes] = []
        self._recorder.checkpoint()
        self._recorder.turn(parts.append)
        self._parts.append(parts)
        return True

    def end(self) -> None:
        """The last checkpoint of the trace being written."""
        if self._recorder is not None:
            self._recorder.checkpoint()
        self._recorder = None

    @property
    def traces(self) -> list[bytes]:
        """The traces written so far, one a boot or segment; the last one is whole only after `end`."""
        return [b"".join(parts) for parts in self._parts]
