"""The controller of one cell of a micro-factory. An equipment file needs what is imported here, and nothing else."""

from cell_controller.core.phases import mark, operator, phase, ramp, soak, state, together, until, wait

__all__ = ["mark", "operator", "phase", "ramp", "soak", "state", "together", "until", "wait"]
