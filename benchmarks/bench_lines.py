"""How long the portable core is: lines that are neither blank nor comment; docstrings count."""

import io
import tokenize
from pathlib import Path

from benchmarks.timing import row

CORE = Path(__file__).resolve().parents[1] / "cell_controller" / "core"
_NOTHING = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def lines_of(source: str) -> int:
    """Lines of a Python source that carry more than blanks and a comment."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NOTHING:
            lines.update(range(token.start[0], token.end[0] + 1))
    text = source.splitlines()
    return sum(1 for number in lines if text[number - 1].strip())


def run() -> list[dict[str, object]]:
    """The whole, and the longest file."""
    lengths = {path.name: lines_of(path.read_text()) for path in sorted(CORE.glob("*.py"))}
    longest = max(lengths, key=lambda name: (lengths[name], name))
    return [
        row("lines of the core", sum(lengths.values()), "lines", peer=f"{len(lengths)} files"),
        row("lines of the core, longest file", lengths[longest], "lines", peer=longest),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
