"""One TOML file read into its model, with every problem as one line that names file, section, key, value and remedy."""

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_BYTES = 1 << 20
"""A file an engineer writes is some kilobytes; a megabyte is a mistake, not a cell."""

MAX_LINE = 400


@dataclass
class Problems:
    """What is wrong with a cell directory, collected so that everything is said at once."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, where: str, what: str) -> None:
        """A line that stops the cell from being used."""
        line = one_line(f"{where}: {what}")
        if line not in self.errors:
            self.errors.append(line)

    def warn(self, where: str, what: str) -> None:
        """A line that an engineer should read; the cell runs all the same."""
        line = one_line(f"{where}: {what}")
        if line not in self.warnings:
            self.warnings.append(line)


def one_line(text: str) -> str:
    """`text` as it may go to a terminal: what a file names cannot add lines, colours or pages to it."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 3] + "..."


def shown(value: object) -> str:
    """`value` as it stands in a TOML file, shortened for one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str):
        text = '"' + value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'
    elif isinstance(value, list):
        text = "[" + ", ".join(shown(entry) for entry in value) + "]"
    elif isinstance(value, dict):
        text = "{ " + ", ".join(f"{key} = {shown(entry)}" for key, entry in value.items()) + " }"
    else:
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def closest(name: str, known: Sequence[str]) -> str:
    """The end of a line about an unknown name: what was probably meant, or what there is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if not known:
        return "there are none"
    listed = ", ".join(known[:12])
    return f"known: {listed}" + (", ..." if len(known) > 12 else "")


def read_toml(path: Path, label: str, problems: Problems) -> dict[str, Any] | None:
    """The tables of the file at `path` (numbers with a point as Decimal), or None after saying why not."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        problems.error(label, f"cannot be read: {error.strerror or error}; the file is needed")
        return None
    if len(raw) > MAX_BYTES:
        problems.error(label, f"has {len(raw)} bytes, more than {MAX_BYTES}; is it the right file?")
        return None
    try:
        return tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        problems.error(label, f"byte {error.start} is not UTF-8; save the file as UTF-8")
    except (tomllib.TOMLDecodeError, ValueError, ArithmeticError, RecursionError) as error:
        problems.error(label, f"is not TOML: {error}")
    return None


def model_of(kind: type[ModelT], table: dict[str, Any], label: str, problems: Problems) -> ModelT | None:
    """`table` as the model `kind`, or None after one line for each thing wrong in it."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            problems.error(*_line(kind, label, detail))
        return None


def _line(kind: type[BaseModel], label: str, detail: ErrorDetails) -> tuple[str, str]:
    location = list(detail["loc"])
    entry = ""
    if location and isinstance(location[-1], int) and not isinstance(detail["input"], dict):
        entry = f", entry {int(location.pop()) + 1}"
    if not location:
        return label, _said(detail)
    section, key = _section(location[:-1]), str(location[-1])
    where = f"{label}, {section}" if section else label
    if detail["type"] == "extra_forbidden":
        return where, f"unknown key '{key}'; {closest(key, _keys_at(kind, location[:-1]))}"
    if detail["type"] == "missing":
        return where, f"'{key}' is missing; add it"
    return where, f"{key}{entry} = {shown(detail['input'])} {_said(detail)}"


_SAID = {
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "string_type": "is not text; put it in quotes",
    "bool_type": "is neither true nor false",
    "list_type": "is not a list, as in [1, 2]",
    "dict_type": "is not a table, as in {{ name = 1 }}",
    "model_type": "is not a table, as in {{ name = 1 }}",
    "is_instance_of": "is not a table, as in {{ name = 1 }}",
    "literal_error": "is not one of: {expected}",
    "greater_than_equal": "is less than {ge}",
    "less_than_equal": "is more than {le}",
    "string_too_short": "is empty; write something",
    "string_too_long": "is longer than {max_length} characters; shorten it",
    "too_short": "has {actual_length} entries; it needs at least {min_length}",
    "too_long": "has more than {max_length} entries",
}


def _said(detail: ErrorDetails) -> str:
    """What pydantic found, in the words of these files."""
    words = _SAID.get(detail["type"])
    if words is not None:
        return words.format(**detail.get("ctx", {}))
    message = detail["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _section(location: Sequence[str | int]) -> str:
    """A place in a file as it is written there: [inputs.airflow], step 2, [parameters.coats]."""
    names: list[str] = []
    for part in location:
        if isinstance(part, int):
            names[-1:] = [f"{names[-1]} {part + 1}" if names else str(part + 1)]
        else:
            names.append(part)
    text = ".".join(names)
    return text if not text or any(isinstance(part, int) for part in location) else f"[{text}]"


def _keys_at(kind: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that the model has at `location`; empty where they are free."""
    current: Any = kind
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            info = current.model_fields.get(str(part))
            current = None if info is None else info.annotation
            continue
        current = _inner(current)
    current = current if isinstance(current, type) and issubclass(current, BaseModel) else _inner(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []


def _inner(annotation: Any) -> Any:
    """The model inside list[Model], dict[str, Model] or Model | None."""
    for argument in reversed(getattr(annotation, "__args__", ())):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
    return annotation
