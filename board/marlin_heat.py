"""The heaters of a printer: what the cell wants of them, what a job has set them to, and the lines that say so."""

from collections.abc import Mapping

from board.marlin_lines import word_of

RECONCILE_MS = 3000
SET = {"nozzle": b"M104", "bed": b"M140"}
SET_AND_WAIT = {"nozzle": b"M109", "bed": b"M190"}
HEATER_OF = {word: heater for table in (SET, SET_AND_WAIT) for heater, word in table.items()}
WAITS = tuple(SET_AND_WAIT.values())


class Heaters:
    """Temperatures in 0.1 degC; 0 is off."""

    def __init__(self) -> None:
        self.wanted = {"nozzle": 0, "bed": 0}
        self.due: set[str] = set()
        """Heaters whose line must be sent; a ramp changes what is wanted more often than a busy printer listens."""
        self._by_job: dict[str, int] = {}
        self._told_at = {"nozzle": 0, "bed": 0}

    def job_begins(self) -> None:
        """What the job before had set counts no more."""
        self._by_job.clear()

    def want(self, heater: str, tenths: int) -> None:
        """What a heater shall have."""
        self.wanted[heater] = tenths
        self.due.add(heater)

    def lines(self, now: int) -> list[bytes]:
        """Lines that set the heaters that are due."""
        due = sorted(self.due)
        self.due.clear()
        self._told_at |= dict.fromkeys(due, now)
        return [_line(SET[heater], self.wanted[heater]) for heater in due]

    def compare(self, reported: Mapping[str, tuple[int, int]], now: int) -> None:
        """Heaters that somebody else has set otherwise are due; `reported`: measured and set, by heater."""
        for heater, wanted in self.wanted.items():
            told = now - self._told_at[heater] < RECONCILE_MS
            if heater in reported and reported[heater][1] != wanted and not told:
                self.due.add(heater)

    def job_says(self, line: bytes) -> None:
        """A line of the job is on its way: remember what it sets a heater to."""
        heater = HEATER_OF.get(word_of(line))
        if heater is None:
            return
        digits = line.upper().partition(b"S")[2].split()
        try:
            self._by_job[heater] = round(float(digits[0]) * 10)
        except (IndexError, ValueError):
            self._by_job.pop(heater, None)  # no S: the printer keeps what it has, and nothing is put back

    def job_again(self) -> list[bytes]:
        """Lines that bring back what the job had set, waiting for it."""
        hot = sorted((heater, tenths) for heater, tenths in self._by_job.items() if tenths)
        return [_line(table[heater], tenths) for table in (SET, SET_AND_WAIT) for heater, tenths in hot]


def _line(word: bytes, tenths: int) -> bytes:
    return b"%s S%d.%d" % (word, tenths // 10, tenths % 10)
