"""The points of an instrument's description as shapes and settings, each tried on the example of its source."""

from decimal import Decimal
from typing import Any

from board.instrument_frames import Framing
from board.instrument_values import Rule
from cell_controller.core.signals import KEEP
from cell_controller.errors import DeviceError
from host_tools.compile_signals import name_problem
from host_tools.devices.common import COUNTS, LINK, PointShape
from host_tools.devices.instrument_patterns import Expected, expected
from host_tools.devices.instrument_tables import DescriptionFile, PointTable
from host_tools.scale import Quantity, plain
from host_tools.toml_file import Problems, closest, shown

DIGITAL = (0, 1)
MOST_COUNT = -KEEP - 1


class Points:
    """The points on their way to shapes and settings. `known`: what requests and messages expect, by name."""

    def __init__(
        self,
        description: DescriptionFile,
        known: dict[str, Expected],
        framing: Framing,
        label: str,
        problems: Problems,
    ) -> None:
        self.description = description
        self.framing = framing
        self.tables = description.points
        self.known = known
        self.label = label
        self.problems = problems
        self.acks: list[Expected] = []

    def run(self) -> tuple[dict[str, PointShape], dict[str, Any]]:
        shapes = {LINK: PointShape("digital", False, DIGITAL, text="1 while the device answers")}
        settings: dict[str, Any] = {}
        for name, point in self.tables.items():
            where = f"{self.label}, [points.{name}]"
            trouble = name_problem(name) or ("is the point that every device has" if name == LINK else "")
            if trouble:
                self.problems.error(where, f"'{name}' {trouble}")
                continue
            rule = self._rule(name, point, where)
            if rule is None:
                continue
            if point.is_output:
                self._check_output(point, rule, where)
            else:
                self._check_input(point, rule, where)
            shapes[name] = _shape(point, rule)
            settings[name] = self._settings(point, rule)
        return shapes, settings

    # --- values ---

    def _rule(self, name: str, point: PointTable, where: str) -> Rule | None:
        words = dict(point.map)
        low, high = DIGITAL
        resolution = Decimal(1)
        if point.kind == "digital":
            for key in ("resolution", "range"):
                if getattr(point, key) is not None:
                    self.problems.error(where, f"{key} means nothing for a digital point; remove it")
            if point.send is not None and not words:
                words = {"1": 1, "0": 0}
        else:
            found = self._counts(point, where)
            if found is None:
                return None
            low, high, resolution = found
        wrong = [f"{shown(word)} = {count}" for word, count in words.items() if not low <= count <= high]
        if wrong:
            self.problems.error(where, f"map: {wrong[0]} is outside {low}..{high}; correct it")
        return Rule(
            f"{name}",
            point.kind,
            point.group,
            low,
            high,
            words,
            f"{resolution:f}",
            point.decimal,
            point.base,
            point.sign_group,
            point.unit_group,
            point.unit,
            point.digits,
        )

    def _counts(self, point: PointTable, where: str) -> tuple[int, int, Decimal] | None:
        """Least and greatest count of a point with a number, and what one count is."""
        if point.kind != "analog":
            if point.resolution is not None:
                self.problems.error(where, f"resolution means nothing for {point.kind}; remove it")
            if point.range is None:
                return (*COUNTS, Decimal(1))
        if point.range is None or (point.kind == "analog" and point.resolution is None):
            self.problems.error(where, "an analog point needs resolution and range; add them")
            return None
        step = Decimal(1) if point.resolution is None else point.resolution.value
        if step <= 0 or not -12 < step.adjusted() < 12:
            self.problems.error(where, f"resolution = {plain(step)} is outside 1e-11..1e11; correct it")
            return None
        ends = [self._end(end, step, point, where) for end in point.range]
        if None in ends:
            return None
        low, high = (int(end) for end in ends if end is not None)
        if low >= high:
            self.problems.error(where, f"range: {low} is not below {high}; correct it")
            return None
        return low, high, step

    def _end(self, end: Quantity, step: Decimal, point: PointTable, where: str) -> int | None:
        if end.unit and end.unit != point.unit:
            self.problems.error(where, f"range: {end} is not in {point.unit or 'a plain number'}; correct it")
            return None
        count = end.value / step if end.value.adjusted() < 20 else Decimal(MOST_COUNT + 1)
        if abs(count) > MOST_COUNT:
            self.problems.error(
                where, f"range: {end} has more than {MOST_COUNT} steps; narrow it, or coarsen the resolution"
            )
            return None
        if count != int(count):
            self.problems.error(where, f"range: {end} is not a multiple of the resolution; correct it")
            return None
        return int(count)

    # --- inputs ---

    def _check_input(self, point: PointTable, rule: Rule, where: str) -> None:
        for key in ("ack", "read_back"):
            if getattr(point, key):
                self.problems.error(where, f"{key} is for outputs, which have 'send' or 'on_rise'; remove it")
        if point.confirms:
            outputs = [name for name, other in self.tables.items() if other.is_output]
            if point.confirms not in outputs:
                self.problems.error(
                    where,
                    f"confirms = {shown(point.confirms)} is no output; {closest(point.confirms, outputs)}",
                )
            if point.kind != "digital" or point.from_:
                self.problems.error(where, "a point with 'confirms' is digital and has no 'from'; correct it")
            return
        source = self._source(point.from_, "from", where)
        if source is None:
            return
        if point.keep_ms is not None and source.asked:
            self.problems.error(where, "keep_ms is for what the device sends by itself; remove it")
        if point.kind == "digital" and not rule.words:
            self.problems.error(where, 'a digital point needs map = { "word" = 1, ... }; add it')
        if point.unit_group and not point.unit:
            self.problems.error(where, "unit_group without unit; say which unit is right")
        self._try(point, rule, source, where)

    def _source(self, name: str, key: str, where: str) -> Expected | None:
        if name not in self.description.requests and name not in self.description.messages:
            names = [*self.description.requests, *self.description.messages]
            self.problems.error(
                where, f"{key} = {shown(name)} is neither a request nor a message; {closest(name, names)}"
            )
        return self.known.get(name)

    def _try(self, point: PointTable, rule: Rule, source: Expected, where: str) -> None:
        """The example of its source must give a count."""
        groups = list(source.pattern.groupindex)
        for key in ("group", "unit_group", "sign_group"):
            named = getattr(point, key)
            if (named or key == "group") and named not in groups:
                self.problems.error(
                    where,
                    f"{key} = {shown(named)}: {source.where} has no such group; {closest(named, groups)}",
                )
                return
        found = source.pattern.fullmatch(source.example)
        if found is None:
            return
        try:
            rule.count(found.groupdict())
        except DeviceError as error:
            self.problems.error(where, f"the example of {source.where} gives no value: {error}")

    # --- outputs ---

    def _check_output(self, point: PointTable, rule: Rule, where: str) -> None:
        for key in ("from_", "confirms", "unit_group", "sign_group"):
            if getattr(point, key):
                self.problems.error(where, f"{key.rstrip('_')} is for inputs; remove it")
        if point.keep_ms is not None:
            self.problems.error(where, "keep_ms is for inputs; remove it")
        if point.kind not in ("digital", "analog"):
            self.problems.error(where, f'kind = "{point.kind}": an output is digital or analog; correct it')
        if point.on_rise is not None and (
            point.send is not None or point.kind != "digital" or point.read_back
        ):
            self.problems.error(where, "on_rise is a digital command: no send, no read_back; correct it")
        if point.send is not None and point.send.count("{value}") != 1:
            self.problems.error(where, f"send = {shown(point.send)} does not have {{value}} once; write it")
        if point.send is not None and point.kind == "digital" and set(rule.words.values()) != {0, 1}:
            self.problems.error(where, "map needs a word for 0 and one for 1; add them")
        for count in (rule.low, rule.high):
            text = (point.send or point.on_rise or "").replace("{value}", rule.text(count))
            check_send(text, self.framing, where, self.problems)
        if point.ack is not None:
            ack = expected(point.ack, point.example, point.refusals, where, self.problems, "ack")
            self.acks += [] if ack is None else [ack]
        elif point.refusals:
            self.problems.error(where, "refusals without ack are never waited for; add ack")
        if point.read_back:
            if point.read_back not in self.description.requests:
                names = list(self.description.requests)
                self.problems.error(
                    where,
                    f"read_back = {shown(point.read_back)} is no request; {closest(point.read_back, names)}",
                )
            elif point.read_back in self.known:
                self._try(point, rule, self.known[point.read_back], where)
        elif point.group:
            self.problems.error(where, "group is of the request in read_back; add that")

    def _settings(self, point: PointTable, rule: Rule) -> dict[str, Any]:
        settings: dict[str, Any] = {
            key: getattr(rule, key) for key in Rule.__dataclass_fields__ if key != "name"
        }
        for key in ("confirms", "send", "on_rise", "ack", "read_back", "keep_ms"):
            if getattr(point, key) not in (None, ""):
                settings[key] = getattr(point, key)
        if point.from_:
            settings["from"] = point.from_
        return {**settings, "refusals": dict(point.refusals), "timeout_ms": point.timeout_ms}


def check_send(text: str, framing: Framing, where: str, problems: Problems) -> None:
    """It can be sent: characters below 256, no escape that TOML left alone, and usually an end."""
    if any(escape in text for escape in ("\\r", "\\n", "\\u")):
        problems.error(where, f"{shown(text)} would be sent with its backslash; write it in double quotes")
        return
    try:
        framing.wrap(text)
    except ValueError as error:
        problems.error(where, f"{shown(text)} cannot be sent: {error}; correct it")
    if framing.kind == "line" and text.isprintable():
        problems.warn(where, f'{shown(text)} has no end; most devices wait for one, as in "...\\r\\n"')


def _shape(point: PointTable, rule: Rule) -> PointShape:
    counts = (rule.low, rule.high)
    step = Decimal(rule.resolution)
    span = (rule.low, rule.high, rule.low * step, rule.high * step) if point.kind == "analog" else None
    keys = ("keep_ms",) if point.keep_ms is not None else ()
    return PointShape(point.kind, point.is_output, counts, point.unit, span, keys, point.text)
