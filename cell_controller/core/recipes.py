"""Orders and recipes to control recipes (ISA-88): frozen, hashed, made of integers and texts alone.

The master recipe comes compiled and checked by the host, as a table; what is checked here is the customer's part.
Numbers are integers in steps of 1 / per_unit. A decimal of an order is ("dec", mantissa, exponent10), exact.
"""

import hashlib

from .codec import pack
from .jsonwrite import decimal_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Recipe = dict[str, Any]
    Refusal = tuple[str, str]

MAX_EXPONENT = 12
"""Decimals with a larger exponent, either way, are refused before any arithmetic."""

MAX_VALUE = 1 << 29

_MAX_MANTISSA = 10**24

_HEX = "0123456789abcdef"


def resolve(recipe: "Recipe", options: "list[Any]") -> "tuple[Recipe | None, Refusal | str]":
    """What an order makes of a recipe: (control recipe, "") or (None, (code name, text for the customer)).

    `options`: [name, value] pairs as the order gives them; a name is an option or, within its range, a parameter. An
    option value's overrides replace the parameters' defaults, and what the order says itself replaces both.
    """
    try:
        return _control(recipe, _given(recipe, options)), ""
    except _Refused as refused:
        return None, (refused.code, refused.text)


class _Refused(ValueError):
    """An order that a recipe does not allow; only ever travels inside this file."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code = code
        self.text = text


def _given(recipe: "Recipe", options: "list[Any]") -> "dict[str, Any]":
    names = [option["name"] for option in recipe["options"]]
    for param in recipe["params"]:
        names.append(param["name"])
    given: dict[str, Any] = {}
    for pair in options:
        name = pair[0]
        if name not in names:
            known = ", ".join(names) if names else "none"
            raise _Refused(
                "unknown_option",
                "%s has no option '%s'; it has: %s" % (recipe["product"], _short(name), known),
            )
        if name in given:
            raise _Refused("option_repeated", "%s is given twice; give it once" % name)
        given[name] = pair[1]
    return given


def _control(recipe: "Recipe", given: "dict[str, Any]") -> "Recipe":
    chosen: dict[str, Any] = {}
    values: dict[str, int] = {}
    used: dict[str, Any] = {}
    skip: list[str] = []
    add: list[str] = []
    for param in recipe["params"]:
        values[param["name"]] = param["default"]
    for option in recipe["options"]:
        name = option["name"]
        chosen[name] = _option_value(recipe, option, given)
        used[name] = chosen[name]
        if option["kind"] == "choice":
            entry = _entry(option, chosen[name])
            used[name] = entry["use"]
            for override in entry["set"]:
                values[override[0]] = override[1]
            skip.extend(entry["skip"])
            add.extend(entry["add"])
    for param in recipe["params"]:
        name = param["name"]
        if name in given:
            values[name] = _number(name, given[name], param["per_unit"], param["unit"])
        if not param["lo"] <= values[name] <= param["hi"]:
            raise _Refused("parameter_out_of_range", _outside(name, values[name], param))
    _check_exclusions(recipe, chosen)
    steps = []
    for step in recipe["steps"]:
        if step["name"] in skip or (step["optional"] and step["name"] not in add):
            continue
        steps.append(_step(step, values, used))
    return {
        "product": recipe["product"],
        "version": recipe["version"],
        "params": [[name, values[name]] for name in sorted(values)],
        "options": [[name, chosen[name]] for name in sorted(chosen)],
        "steps": steps,
    }


def _step(step: "Recipe", values: "dict[str, int]", used: "dict[str, Any]") -> "Recipe":
    args: list[list[Any]] = []
    for arg in step["args"]:
        source = arg[1]
        if source == "param":
            args.append([arg[0], values[arg[2]]])
        elif source == "option":
            args.append([arg[0], used[arg[2]]])
        else:
            args.append([arg[0], arg[2]])
    return {
        "name": step["name"],
        "phase": step["phase"],
        "operation": step["operation"],
        "args": args,
        "on_interrupt": step["on_interrupt"],
        "max_hold_s": step["max_hold_s"],
        "on_resume": step["on_resume"],
        "on_scrap": step["on_scrap"],
        "together": step["together"],
        "planned_s": step["planned_s"],
    }


def _option_value(recipe: "Recipe", option: "Recipe", given: "dict[str, Any]") -> "Any":
    """The value of one option, given or by default, as it stands in the control recipe: text, or a scaled integer."""
    name = option["name"]
    kind = option["kind"]
    if name not in given:
        if kind == "choice" and not option["default"]:
            offered = _offered(option)
            raise _Refused(
                "option_missing", "%s needs %s; give one of: %s" % (recipe["product"], name, offered)
            )
        return option["default"]
    value = given[name]
    if kind == "number":
        number = _number(name, value, option["per_unit"], option["unit"])
        if not option["lo"] <= number <= option["hi"]:
            raise _Refused("out_of_range", _outside(name, number, option))
        return number
    if not isinstance(value, str):
        if kind == "choice":
            raise _Refused("value_not_offered", "%s must be a text, one of: %s" % (name, _offered(option)))
        raise _Refused("not_a_text", "%s must be a text" % name)
    if kind == "choice":
        if _entry(option, value) is None:
            text = "%s = '%s' is not offered; choose one of: %s" % (name, _short(value), _offered(option))
            raise _Refused("value_not_offered", text)
    elif kind == "text":
        _check_text(option, value)
    elif value and not is_sha256(value):
        raise _Refused("not_a_sha256", "%s names a file by its sha256: 64 characters of 0-9 a-f" % name)
    return value


def _entry(option: "Recipe", value: str) -> "Any":
    for entry in option["values"]:
        if entry["value"] == value:
            return entry
    return None


def _offered(option: "Recipe") -> str:
    return ", ".join([entry["value"] for entry in option["values"]])


def _check_text(option: "Recipe", value: str) -> None:
    name = option["name"]
    if len(value) > option["max_len"]:
        text = "%s has %d characters, more than %d; shorten it" % (name, len(value), option["max_len"])
        raise _Refused("text_too_long", text)
    for character in value:
        if character not in option["chars"]:
            shown = "'%s'" % character if 32 <= ord(character) < 127 else "U+%04X" % ord(character)
            text = "%s: %s is not allowed; use only: %s" % (name, shown, option["chars"])
            raise _Refused("character_not_allowed", text)


def is_sha256(value: str) -> bool:
    """Whether `value` is a sha256 in lower-case hex."""
    if len(value) != 64:
        return False
    return all(character in _HEX for character in value)


def _check_exclusions(recipe: "Recipe", chosen: "dict[str, Any]") -> None:
    for rule in recipe["exclude"]:
        met = True
        for pair in rule["when"]:
            if chosen.get(pair[0]) != pair[1]:
                met = False
        if met:
            raise _Refused("excluded_combination", rule["message"])


def _number(name: str, value: "Any", per_unit: int, unit: str) -> int:
    number = scale(value, per_unit)
    if number is not None:
        return number
    if value is True or value is False or not (isinstance(value, int) or _is_decimal(value)):
        raise _Refused("not_a_number", "%s must be a number%s" % (name, " in " + unit if unit else ""))
    if (
        not isinstance(value, int)
        and -MAX_EXPONENT <= value[2] < 0
        and -_MAX_MANTISSA < value[1] < _MAX_MANTISSA
    ):
        step = decimal_text(1, per_unit)
        raise _Refused("not_a_multiple", "%s comes in steps of %s%s; round it" % (name, step, _unit(unit)))
    raise _Refused("not_a_number", "%s is not a number that fits here" % name)


def _is_decimal(value: "Any") -> bool:
    """A decimal as the JSON reader gives it, or as a journal gives it back: a list in place of the tuple."""
    if not isinstance(value, (tuple, list)) or len(value) != 3 or value[0] != "dec":
        return False
    return isinstance(value[1], int) and isinstance(value[2], int)


def scale(value: "Any", per_unit: int) -> "int | None":
    """An order's number as an integer in steps of 1 / per_unit; None if it has none or is absurdly large."""
    if value is True or value is False:
        return None
    if isinstance(value, int):
        mantissa, exponent = value, 0
    elif _is_decimal(value):
        mantissa, exponent = value[1], value[2]
    else:
        return None
    if mantissa == 0:
        return 0
    if not -MAX_EXPONENT <= exponent <= MAX_EXPONENT or not -_MAX_MANTISSA < mantissa < _MAX_MANTISSA:
        return None
    scaled = mantissa * per_unit
    if exponent >= 0:
        scaled *= 10**exponent
    else:
        divisor = 10**-exponent
        if scaled % divisor:
            return None
        scaled //= divisor
    return scaled if -MAX_VALUE < scaled < MAX_VALUE else None


def _outside(name: str, value: int, bounds: "Recipe") -> str:
    steps = bounds["per_unit"]
    lo, hi = decimal_text(bounds["lo"], steps), decimal_text(bounds["hi"], steps)
    number = decimal_text(value, steps)
    return "%s = %s is outside %s..%s%s" % (name, number, lo, hi, _unit(bounds["unit"]))


def _unit(unit: str) -> str:
    return " " + unit if unit else ""


def _short(value: "Any") -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def control_hash(control: "Recipe") -> str:
    """The identity of a control recipe: sha256 of its canonical bytes in hex, 64 characters."""
    return sha256_hex(pack(control))


def sha256_hex(data: bytes) -> str:
    """The sha256 of `data` in hex; hexdigest is not on every runtime."""
    digest = hashlib.sha256(data).digest()
    return "".join([_HEX[byte >> 4] + _HEX[byte & 15] for byte in digest])


def describe(control: "Recipe", recipe: "Recipe | None" = None) -> str:
    """A few words for people, such as "bonnet burgundy 'Ada'".

    With the master `recipe` given, options left at their default are not said, and free texts stand in quotes.
    """
    words = [control["product"]]
    for pair in control["options"]:
        name, value = pair[0], pair[1]
        if not isinstance(value, str) or not value or is_sha256(value):
            continue
        option = _named(recipe["options"], name) if recipe is not None else None
        if option is not None and value == option["default"]:
            continue
        free = option is not None and option["kind"] == "text"
        words.append("'%s'" % value if free else value)
    return " ".join(words)


def _named(entries: "list[Recipe]", name: str) -> "Recipe | None":
    for entry in entries:
        if entry["name"] == name:
            return entry
    return None


def planned_s(recipe: "Recipe", control: "Recipe") -> int:
    """Seconds that one item should take: the sum of its steps (of a group the longest), else what the recipe says."""
    total = 0
    longest = 0
    group = ""
    for step in control["steps"]:
        if step["together"] and step["together"] == group:
            if step["planned_s"] > longest:
                longest = step["planned_s"]
            continue
        total += longest
        longest = step["planned_s"]
        group = step["together"]
    total += longest
    return total if total else int(recipe["planned_s"])


def catalogue(spec: "Recipe") -> "Recipe":
    """What an order desk can order of this cell: products, options and bounds, in engineering units as decimal text."""
    return {
        "cell": spec["name"],
        "path": spec["path"],
        "products": [_product(recipe) for recipe in spec["recipes"]],
    }


def _product(recipe: "Recipe") -> "Recipe":
    rules = []
    for rule in recipe["exclude"]:
        when = {}
        for pair in rule["when"]:
            when[pair[0]] = pair[1]
        rules.append({"when": when, "message": rule["message"]})
    return {
        "product": recipe["product"],
        "version": recipe["version"],
        "text": recipe["text"],
        "planned_s": recipe["planned_s"],
        "options": [_offer(option) for option in recipe["options"]],
        "parameters": [_bounds(param, {"name": param["name"]}) for param in recipe["params"]],
        "exclude": rules,
    }


def _offer(option: "Recipe") -> "Recipe":
    kind = option["kind"]
    offer = {"name": option["name"], "kind": kind, "text": option["text"], "required": False}
    if kind == "number":
        return _bounds(option, offer)
    offer["default"] = option["default"]
    if kind == "choice":
        offer["required"] = option["default"] == ""
        offer["values"] = [{"value": entry["value"], "text": entry["text"]} for entry in option["values"]]
    elif kind == "text":
        offer["max_length"] = option["max_len"]
        offer["characters"] = option["chars"]
    return offer


def _bounds(entry: "Recipe", offer: "Recipe") -> "Recipe":
    steps = entry["per_unit"]
    offer["unit"] = entry["unit"]
    offer["min"] = decimal_text(entry["lo"], steps)
    offer["max"] = decimal_text(entry["hi"], steps)
    offer["step"] = decimal_text(1, steps)
    offer["default"] = decimal_text(entry["default"], steps)
    return offer
