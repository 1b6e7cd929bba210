"""The outputs of one Modbus device: what to write when, and what a reading says about what was written. No I/O here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from board.modbus_plan import Block, coalesce
from board.modbus_values import Value

SAME = 0
"""What was read is what was written."""
REFUSED = 1
"""What was written did not arrive; it has to be written again."""
RESET = 2
"""It had arrived, and is different now: the device was switched off, or somebody else drives it."""


@dataclass(frozen=True)
class Output:
    """One output: where it is, what it means, and whether the device lets it be read back."""

    block: Block
    value: Value
    read_back: bool = True


@dataclass(frozen=True)
class Write:
    """One request that writes `words` to `block`."""

    block: Block
    words: list[int]
    single: bool


@dataclass
class _Cell:
    """One coil or register: the bits of it that are ours, what it shall be, what was written, what was read back."""

    mask: int = 0
    read_back: bool = True
    wanted: int = 0
    written: int | None = None
    confirmed: bool = False


@dataclass
class _Request:
    """Blocks that one request can write, and when all of it was written last."""

    block: Block
    parts: list[Block] = field(default_factory=list)
    whole_at: int = 0


class Outputs:
    """All outputs of a device. Registers whose bits are outputs are written whole; bits that nobody drives are 0."""

    def __init__(
        self,
        outputs: Sequence[Output],
        most_bits: int,
        most_registers: int,
        single: bool,
        multiple: bool,
        rewrite_ms: int,
    ) -> None:
        """`single`, `multiple`: which functions the device has. `rewrite_ms`: everything is written again so often."""
        self._outputs = list(outputs)
        self._single = single
        self._rewrite_ms = rewrite_ms
        self._cells: dict[tuple[str, int], _Cell] = {}
        blocks = sorted({output.block for output in outputs})
        for output in outputs:
            for key in _keys(output.block):
                cell = self._cells.setdefault(key, _Cell())
                cell.mask |= output.value.mask
                cell.read_back = cell.read_back and output.read_back
        joined = coalesce(blocks, most_bits, most_registers) if multiple else blocks
        self._requests = [
            _Request(request, [block for block in blocks if request.holds(block)]) for request in joined
        ]

    @property
    def readable(self) -> list[Block]:
        """What can be read back."""
        return sorted({output.block for output in self._outputs if output.read_back})

    def want(self, counts: Sequence[int]) -> None:
        """What the outputs shall be, one count each."""
        for cell in self._cells.values():
            cell.wanted = 0
        for output, count in zip(self._outputs, counts, strict=True):
            for key, word in zip(_keys(output.block), output.value.words(count), strict=True):
                self._cells[key].wanted |= word

    def due(self, now: int) -> list[Write]:
        """What has to be written at `now`, in ms: what differs, and what was not written for `rewrite_ms`."""
        found = []
        for request in self._requests:
            parts = request.parts
            if now - request.whole_at < self._rewrite_ms:
                changed = [k for k, part in enumerate(parts) if self._differs(part)]
                if not changed:
                    continue
                parts = parts[changed[0] : changed[-1] + 1]
            first, end = parts[0].address, max(part.end for part in parts)
            block = Block(request.block.table, first, end - first)
            words = [self._cells[key].wanted for key in _keys(block)]
            found.append(Write(block, words, self._single and block.count == 1))
        return found

    def wrote(self, write: Write, now: int) -> None:
        """The device confirmed `write`, which began at `now`."""
        for key, word in zip(_keys(write.block), write.words, strict=True):
            cell = self._cells[key]
            cell.confirmed = cell.confirmed and cell.written == word
            cell.written = word
        for request in self._requests:
            if write.block.holds(request.block):
                request.whole_at = now

    def unsure(self, block: Block) -> None:
        """It is not known what the device drives at `block`."""
        for key in _keys(block):
            self._cells[key].written = None
            self._cells[key].confirmed = False

    def forget(self) -> None:
        """Nothing is known of the device; everything is due."""
        for request in self._requests:
            self.unsure(request.block)

    def read_back(self, block: Block, words: Sequence[int]) -> tuple[int, str]:
        """What `words`, read at `block`, say of what was written: SAME, REFUSED or RESET, and in words.

        What differs is due again.
        """
        verdict, text = SAME, ""
        for key, word in zip(_keys(block), words, strict=True):
            cell = self._cells.get(key)
            if cell is None or cell.written is None or not cell.read_back:
                continue
            if (word ^ cell.written) & cell.mask == 0:
                cell.confirmed = True
                continue
            verdict = max(verdict, RESET if cell.confirmed else REFUSED)
            text = text or f"{key[0]} {key[1]} reads {word & cell.mask} where {cell.written} was written"
            cell.written, cell.confirmed = None, False
        return verdict, text

    def _differs(self, block: Block) -> bool:
        return any(self._cells[key].written != self._cells[key].wanted for key in _keys(block))


def _keys(block: Block) -> list[tuple[str, int]]:
    return [(block.table, address) for address in range(block.address, block.end)]
