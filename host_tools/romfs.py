"""A read-only file system image as MicroPython's VfsRom reads it (1.25 and newer): byte code in it runs where it lies.

An image is one record; a record is its kind, its length and its content, the numbers in base 128, high digits first.
"""

_IMAGE = b"\xd2\xcd\x31"
_DATA, _FOLDER, _FILE = b"\x02", b"\x04", b"\x05"


def image(files: dict[str, bytes]) -> bytes:
    """The image that holds `files`, by path with /; the same bytes for the same files in any order.

    Raises ValueError where a path is empty, has an empty part, or is a file and a folder at once.
    """
    return _record(_IMAGE, _folder({tuple(path.split("/")): content for path, content in files.items()}))


def _folder(files: dict[tuple[str, ...], bytes]) -> bytes:
    content = b""
    for name in sorted({path[0] for path in files}):
        inside = {path[1:]: data for path, data in files.items() if path[0] == name}
        if not name or ((name,) in files and len(inside) > 1):
            raise ValueError(f"'{name}' cannot be a file of an image: it is empty, or a folder as well")
        if (name,) in files:
            content += _named(_FILE, name, _record(_DATA, files[(name,)]))
        else:
            content += _named(_FOLDER, name, _folder(inside))
    return content


def _named(kind: bytes, name: str, content: bytes) -> bytes:
    raw = name.encode()
    return _record(kind, _number(len(raw)) + raw + content)


def _record(kind: bytes, content: bytes) -> bytes:
    return kind + _number(len(content)) + content


def _number(value: int) -> bytes:
    digits = bytes([value & 0x7F])
    while value := value >> 7:
        digits = bytes([0x80 | value & 0x7F]) + digits
    return digits
