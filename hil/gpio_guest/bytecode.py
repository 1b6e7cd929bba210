"""Python sources to byte code on the host: compiling under emulation would take longer than booting."""

import importlib.util
import marshal
import sys
from pathlib import Path

_HEADER_BYTES = 16
_UNCHECKED_HASH = 1


def same_version(version: str) -> bool:
    """Whether byte code made here runs on Python `version`, for example "3.11"."""
    return version == f"{sys.version_info.major}.{sys.version_info.minor}"


def compiled(source: bytes, name: str) -> bytes:
    """A .pyc of `source` that is taken without a look at the source's time. Raises SyntaxError."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    return _pyc(marshal.dumps(code))


def compiled_file(path: Path, name: str) -> bytes:
    """The same of a file here, from its __pycache__ where that is fresh; tracebacks may then show the path here."""
    cached = Path(importlib.util.cache_from_source(str(path)))
    if cached.is_file():
        content = cached.read_bytes()
        state = path.stat()
        fresh = int(state.st_mtime).to_bytes(4, "little") + (state.st_size & 0xFFFFFFFF).to_bytes(4, "little")
        if content[:8] == importlib.util.MAGIC_NUMBER + bytes(4) and content[8:_HEADER_BYTES] == fresh:
            return _pyc(content[_HEADER_BYTES:])
    return compiled(path.read_bytes(), name)


def _pyc(code: bytes) -> bytes:
    return importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH.to_bytes(4, "little") + bytes(8) + code
