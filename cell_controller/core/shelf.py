"""Recipes that stay packed: on a microcontroller they lie in the image in flash, and one at a time is unpacked.

On CPython the recipes are a plain list. Both are asked the same way: by place, by `heads` and by `find`.
"""

from .codec import pack, skip, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Recipe = dict[str, Any]
    Packed = bytes | memoryview


class Shelf:
    """A list of recipes in canonical bytes. Each look at a place unpacks that recipe: change it by putting it back."""

    def __init__(self, packed: "list[Packed]", heads: "list[list[Any]] | None" = None) -> None:
        self._packed = packed
        if heads is None:
            heads = []
            for data in packed:
                recipe: "Any" = unpack(bytes(data))
                heads.append([recipe["product"], recipe["version"]])
        self.heads = heads  # [product, version] of each

    def copy(self) -> "Shelf":
        return Shelf(list(self._packed), [list(head) for head in self.heads])

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, place: int) -> "Recipe":
        # past the end this raises IndexError, which ends a `for` as it does for a list
        recipe: "Any" = unpack(bytes(self._packed[place]))
        return recipe  # type: ignore[no-any-return]

    def __setitem__(self, place: int, recipe: "Recipe") -> None:
        self._packed[place] = pack(recipe)
        self.heads[place] = [recipe["product"], recipe["version"]]

    def append(self, recipe: "Recipe") -> None:
        self._packed.append(pack(recipe))
        self.heads.append([recipe["product"], recipe["version"]])


def heads(recipes: "list[Recipe] | Shelf") -> "list[list[Any]]":
    """[product, version] of each recipe."""
    if isinstance(recipes, Shelf):
        return recipes.heads
    return [[recipe["product"], recipe["version"]] for recipe in recipes]


def find(recipes: "list[Recipe] | Shelf", product: str) -> int:
    """The place of a product's recipe, or -1."""
    known = heads(recipes)
    for place in range(len(known)):
        if known[place][0] == product:
            return place
    return -1


def load_cell(data: "Packed") -> "dict[str, Any]":
    """The compiled cell of its canonical bytes, its recipes on a shelf.

    `data` may be a memoryview of the image in flash: then the recipes stay there. It must be what the host packed; that
    it is whole is the image's checksum's affair.
    """
    spec: "dict[str, Any]" = {}
    at = 1
    while data[at] != 0x65:
        end = skip(data, at)
        key: "Any" = unpack(bytes(data[at:end]))
        at = end
        end = skip(data, at)
        spec[key] = _shelf(data, at) if key == "recipes" else unpack(bytes(data[at:end]))
        at = end
    return spec


def _shelf(data: "Packed", at: int) -> Shelf:
    packed = []
    at += 1
    while data[at] != 0x65:
        end = skip(data, at)
        packed.append(data[at:end])
        at = end
    return Shelf(packed)
