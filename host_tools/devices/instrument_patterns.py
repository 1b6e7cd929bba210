"""Patterns of an instrument's description: whether each can be trusted, and whether two can be told apart."""

import re
from dataclasses import dataclass

from host_tools.toml_file import Problems, shown

_ESCAPED = re.compile(r"\\.|\[\^?\]?[^\]]*\]")
_GROUP = re.compile(r"\((?:\?(?:P<\w+>|:|>|<?[=!]))?([^()]*)\)([*+{]?)")
_ENDLESS = re.compile(r"[*+]|\{[0-9]*,\}")


@dataclass(frozen=True)
class Expected:
    """A pattern with its example. `asked`: it answers something that is sent; `is_identity`: who the device is."""

    where: str
    pattern: re.Pattern[str]
    example: str
    refusals: tuple[re.Pattern[str], ...] = ()
    asked: bool = True
    is_identity: bool = False

    def takes(self, text: str) -> bool:
        """Whether it would take `text` for what it waits for."""
        return any(pattern.fullmatch(text) for pattern in (self.pattern, *self.refusals))


def compiled(text: str, key: str, where: str, problems: Problems) -> re.Pattern[str] | None:
    """The pattern `text`, None after saying what is wrong with it."""
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        problems.error(where, f"{key} = {shown(text)} is no pattern: {error}; correct it")
        return None
    if pattern.groups != len(pattern.groupindex):
        problems.error(
            where,
            f"{key} = {shown(text)} has a group without a name; write (?P<name>...), or (?:...) for none",
        )
        return None
    if _repeats_a_repeat(text):
        problems.error(
            where,
            f"{key} = {shown(text)} repeats a repeat, which may take forever; give the outer one a bound",
        )
        return None
    return pattern


def _repeats_a_repeat(text: str) -> bool:
    """Whether a group that repeats something without end is repeated, as (a+)+: one line could take a lifetime.

    Some such patterns would do no harm; one without it can always be written. Others that are slow are not found.
    """
    text = _ESCAPED.sub("x", text)
    while True:
        found = _GROUP.search(text)
        if found is None:
            return False
        endless = _ENDLESS.search(found[1]) is not None
        if endless and found[2]:
            return True
        text = text[: found.start()] + ("x+" if endless else "x") + text[found.end() - len(found[2]) :]


def expected(
    text: str,
    example: str | None,
    refusals: dict[str, str],
    where: str,
    problems: Problems,
    key: str = "answer",
    asked: bool = True,
    is_identity: bool = False,
) -> Expected | None:
    """A pattern and the example that it must take; without one the pattern must be a text that matches itself."""
    errors = len(problems.errors)
    pattern = compiled(text, key, where, problems)
    found = tuple(compiled(entry, "refusals", where, problems) for entry in refusals)
    if pattern is None:
        return None
    if example is None and not pattern.fullmatch(text):
        problems.error(where, f"'example' is missing; add what the device really sends, to try {key} on")
    elif example is not None and not pattern.fullmatch(example):
        problems.error(
            where, f"example = {shown(example)} does not fit {key} = {shown(text)}; correct one of them"
        )
    if len(problems.errors) > errors:
        return None
    known = tuple(entry for entry in found if entry is not None)
    return Expected(where, pattern, text if example is None else example, known, asked, is_identity)


def tell_apart(found: list[Expected], label: str, problems: Problems) -> set[str]:
    """Say which answers could be taken for each other; returns where those are that an identity must confirm.

    With an identity it is enough that this is told from all others: it shows that question and answer are in step.
    """
    has_identity = any(entry.is_identity for entry in found)
    alike: set[str] = set()
    for one in found:
        for other in found:
            if one is other or not one.asked or not other.takes(one.example):
                continue
            if one.is_identity or other.is_identity:
                problems.error(
                    other.where,
                    f"it takes the example of {one.where}, {shown(one.example)}, for its own; make it narrower",
                )
            elif other.asked and has_identity:
                alike.add(other.where)
            elif other.asked:
                problems.error(
                    other.where,
                    f"it takes the example of {one.where}, {shown(one.example)}, for its own, if that is late; "
                    f"make it narrower, or add [identity] to {label}",
                )
    return alike
