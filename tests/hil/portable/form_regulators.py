"""The regulators of the form cell and the phase around them, on a small plant in whole numbers, for every runtime.

Prints, for each regulator: what the heater got in each step as one number, the hottest, and how many steps it took.
"""

from examples.form_cell import equipment as untyped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

equipment: "Any" = untyped


class Signal:
    """An input and an output in one, as a phase uses them."""

    per_unit = 10

    def __init__(self) -> None:
        self.value = 200
        self.is_on = True

    def on(self) -> None:
        self.value = 1

    def off(self) -> None:
        self.value = 0

    def set(self, value: int) -> None:
        self.value = value


class SmallCell:
    """The signals that `warm` needs."""

    def __init__(self) -> None:
        self.sheet_temp = Signal()
        self.airflow_ok = Signal()
        self.contactor_closed = Signal()
        self.extractor = Signal()
        self.heater = Signal()
        self.heater_contactor = Signal()


class Waits:
    """Stands in for a wait of the controller."""

    def __init__(self, ms: int) -> None:
        self.ms = ms


def until(signal: object, **_: object) -> Waits:
    return Waits(0)


def wait(ms: int) -> Waits:
    return Waits(ms)


def run(control: str) -> "tuple[int, int, int]":
    cell = SmallCell()
    bank = sheet = 20_000
    digest = hottest = steps = 0
    for waits in equipment.warm(cell, 160, 20, control):
        for _ in range(waits.ms // 50):
            bank += (20_000 + 5000 * cell.heater.value - bank) * 50 // 10_000
            sheet += (20_000 + (bank - 20_000) * 55 // 100 - sheet) * 50 // 18_000
        cell.sheet_temp.value = sheet // 100
        digest = (digest * 31 + cell.heater.value) % 1_000_003
        hottest = max(hottest, cell.sheet_temp.value)
        steps += 1
    return digest, hottest, steps


equipment.until = until
equipment.wait = wait
for name in ("pid", "on_off"):
    print(name, *run(name))
