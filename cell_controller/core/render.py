"""Journal records as what a plant reads: one JSON-able dict an event, and one as-built record an item."""

from . import codec, texts
from . import events as ev
from .jsonwrite import Decimal
from .shelf import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def render(spec: "dict[str, Any]", data: bytes, timestamp_ms: int) -> "list[tuple[str, dict[str, Any]]]":
    """What one record says, as ("events" | "items", dict) pairs. `timestamp_ms`: when the journal took it."""
    _, tick, kind, source, a, b = ev.fields(data)
    carried = data[ev.SIZE :]
    body: "dict[str, Any]" = {
        "timestamp_ms": timestamp_ms,
        "kind": ev.KIND_NAMES[kind] if kind < len(ev.KIND_NAMES) else "event_%d" % kind,
        "text": texts.event(spec, kind, source, a, b, carried),
        "tick": tick,
        "source": source,
        "a": a,
        "b": b,
    }
    pairs = [("events", body)]
    if kind == ev.ITEM_END:
        item = item_record(spec, codec.unpack(carried))
        item["timestamp_ms"] = timestamp_ms
        pairs.append(("items", item))
    return pairs


def energy(spec: "dict[str, Any]", value: int) -> Decimal:
    """A meter difference in the meter's unit."""
    meter = spec["energy"]
    return Decimal(value, spec["inputs"][meter]["per_unit"] if meter >= 0 else 1)


def item_record(spec: "dict[str, Any]", record: "Any") -> "dict[str, Any]":
    """An as-built record with names instead of pairs, seconds and the meter's unit."""
    if not record:
        return {}
    units = _units(spec, record["product"])
    return {
        "serial": record["serial"],
        "cell": spec["name"],
        "order_id": record["order_id"],
        "product": record["product"],
        "recipe_version": record["version"],
        "control_recipe_sha256": record["hash"],
        "options": {pair[0]: _option(pair, units) for pair in record["options"]},
        "parameters": {pair[0]: Decimal(pair[1], units.get(pair[0], 1)) for pair in record["params"]},
        "carrier": record["carrier"],
        "duration_s": Decimal(record["duration_ms"], 1000),
        "held_s": Decimal(record["held_ms"], 1000),
        "interrupted_s": Decimal(record["stood_ms"], 1000),
        "energy_wh": energy(spec, record["energy"]),
        "interruptions": record["interruptions"],
        "answers": [
            {"step": entry[0] + 1, "answer": entry[1], "by": entry[2][1]} for entry in record["answers"]
        ],
        "commanded_by": record["commanded_by"],
        "result": record["result"],
        "steps": [_step(spec, step, units) for step in record["steps"]],
    }


def _units(spec: "dict[str, Any]", product: str) -> "dict[str, int]":
    """Steps a unit of the numbers that the product's recipe knows."""
    units = {}
    place = find(spec["recipes"], product)
    if place >= 0:
        recipe = spec["recipes"][place]
        for param in recipe["params"]:
            units[param["name"]] = param["per_unit"]
        for option in recipe["options"]:
            if option["kind"] == "number":
                units[option["name"]] = option["per_unit"]
    return units


def _option(pair: "list[Any]", units: "dict[str, int]") -> "Any":
    return pair[1] if isinstance(pair[1], str) else Decimal(pair[1], units.get(pair[0], 1))


def _step(spec: "dict[str, Any]", step: "dict[str, Any]", units: "dict[str, int]") -> "dict[str, Any]":
    return {
        "name": step["name"],
        "phase": step["phase"],
        "operation": step["operation"],
        "start_s": Decimal(step["start_ms"], 1000),
        "end_s": Decimal(step["end_ms"], 1000) if step["end_ms"] >= 0 else None,
        "energy_wh": energy(spec, step["energy"]),
        "set": {pair[0]: _option(pair, units) for pair in step["set"]},
        "actual": [{"name": entry[0], "value": Decimal(entry[1], entry[2])} for entry in step["actual"]],
        "begun": step["begun"],
        "done": bool(step["done"]),
        "said_done": bool(step["said_done"]),
    }
