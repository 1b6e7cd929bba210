"""Prints what orders become of the recipes of a compiled cell: the hash of each control recipe, or the refusal.

Arguments: the compiled cell as canonical bytes in hex, in pieces. Values that JSON cannot carry in them are added here.
"""

import binascii
import hashlib
import sys

from cell_controller.core import codec, recipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VALUES: "tuple[Any, ...]" = (
    "green",
    "primer",
    "gloss",
    "satin",
    "ABE",
    "AZ",
    "A" * 40,
    "\x1b",
    "\xe9",
    "",
    "0123456789abcdef" * 4,
    "0123456789ABCDEF" * 4,
    0,
    1,
    3,
    9,
    -1,
    1 << 29,
    1 << 31,
    10**30,
    ("dec", 15, -1),
    ("dec", 225, -1),
    ("dec", 2255, -2),
    ("dec", 1, 400),
    ("dec", -1, -400),
    ["dec", 305, -1],
    ["dec", "x", 1],
    ["dec"],
    [],
    True,
    None,
)


def answer(recipe: "dict[str, Any]", order: "list[Any]") -> str:
    control, refusal = recipes.resolve(recipe, order)
    if control is None:
        return "%s: %s" % refusal
    words = recipes.describe(control, recipe)
    return "%s %d %s" % (words, recipes.planned_s(recipe, control), recipes.control_hash(control))


def run(spec: "Any") -> None:
    digest = hashlib.sha256()
    for recipe in spec["recipes"]:
        names = [entry["name"] for entry in recipe["options"] + recipe["params"]] + ["nothing"]
        for first in (["colour", "green"], ["colour", "primer"]):
            for name in names:
                for value in VALUES:
                    line = answer(recipe, [first, [name, value]])
                    digest.update(line.encode())
            print(answer(recipe, [first]))
    digest.update(codec.pack(recipes.catalogue(spec)))
    print(binascii.hexlify(digest.digest()).decode())


run(codec.unpack(binascii.unhexlify("".join(sys.argv[1:]))))
