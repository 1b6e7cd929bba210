"""Writes the archive that Linux unpacks as its first file system: cpio, format "newc"."""

from pathlib import PurePosixPath
from typing import BinaryIO

DIRECTORY = 0o040755
FILE = 0o100644
PROGRAM = 0o100755
LINK = 0o120777
CHARACTER_DEVICE = 0o020600


class Archive:
    """An archive that grows in `out`; parent directories are added before what is in them. `close` ends it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._inode = 0
        self._known = {PurePosixPath(".")}

    def directory(self, name: str) -> None:
        """A directory and its parents; `name` has no leading slash."""
        path = PurePosixPath(name)
        if path in self._known:
            return
        self._known.add(path)
        self.directory(str(path.parent))
        self._entry(str(path), DIRECTORY, b"")

    def file(self, name: str, data: bytes, mode: int = FILE) -> None:
        """A file; `mode` is FILE or PROGRAM."""
        self.directory(str(PurePosixPath(name).parent))
        self._entry(name, mode, data)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self.directory(str(PurePosixPath(name).parent))
        self._entry(name, LINK, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        """A character device."""
        self.directory(str(PurePosixPath(name).parent))
        self._entry(name, CHARACTER_DEVICE, b"", (major, minor))

    def close(self) -> None:
        """Write the entry that ends an archive; `out` stays open, another archive may follow."""
        self._entry("TRAILER!!!", 0, b"")

    def _entry(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        label = name.encode() + b"\0"
        owner, links, time, check = (0, 0), 1, 0, 0
        fields = (self._inode, mode, *owner, links, time, len(data), 0, 0, *device, len(label), check)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + label
        self._out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))
