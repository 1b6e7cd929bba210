"""A talk with the slot writer on a board: sends it there, then asks and streams until the board resets."""

import ast
import binascii
import hashlib
import inspect
import json
import re
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from cell_controller.errors import CellError
from host_tools.device import history_writer, slot_writer
from host_tools.flash_plan import file_frames
from host_tools.raw_repl import BoardProgramError, RawRepl
from host_tools.serial_port import LineLostError, LineTimeoutError, SerialPort, tail, until

ANSWER_S = 15.0  # an erase of a worn sector takes 0.4 s, the digest of a whole slot some seconds
MOST_UNREAD = 65_536
PROBE = """import sys
m=[]
for n in ("vfs","deflate","hashlib","json","select","struct","machine","micropython"):
 try:
  v=__import__(n)
  if n=="vfs" and not hasattr(v,"VfsRom"):
   m.append("vfs.VfsRom")
 except ImportError:
  m.append(n)
print(sys.platform,".".join([str(x) for x in sys.implementation[1][:3]]),",".join(m))
"""

Progress = Callable[[int, int], object]


class WriterError(CellError, RuntimeError):
    """The board could not do what it was asked, and resets; it runs what it ran before."""


def small_source(module: ModuleType = slot_writer) -> str:
    """A program for a board without what it does not need: comments, docstrings, annotations, wide indents."""
    tree = ast.parse(inspect.getsource(module))
    text = ast.unparse(_Smaller().visit(tree))
    return re.sub(r"^( {4})+", lambda found: " " * (len(found[0]) // 4), text, flags=re.MULTILINE) + "\n"


def _wrapped(program: str) -> str:
    """A program that unpacks and runs `program`: a third of the bytes on a slow line."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -slot_writer.HISTORY_BITS)
    packed = squeeze.compress(program.encode()) + squeeze.flush()
    text = binascii.b2a_base64(packed, newline=False).decode()
    source = f"io.BytesIO(binascii.a2b_base64('{text}'))"
    stream = f"deflate.DeflateIO({source},deflate.RAW,{slot_writer.HISTORY_BITS})"
    return f"import io,binascii,deflate\nexec({stream}.read().decode(),globals())\n"


class _Smaller(ast.NodeTransformer):
    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = [entry for entry in node.body if not _for_types(entry)]
        return self._without_text(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_text(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        return self._without_text(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        assert node.value is not None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def _without_text(self, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> ast.AST:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node


def _for_types(node: ast.stmt) -> bool:
    """`TYPE_CHECKING = False` and what it guards; and what was sent before."""
    if isinstance(node, ast.ImportFrom):
        return node.module == slot_writer.__name__
    name = (
        node.test if isinstance(node, ast.If) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return isinstance(name, ast.Name) and name.id == "TYPE_CHECKING"


class Firmware:
    """What a board can do, asked before anything is sent to it. missing: modules that flashing needs."""

    def __init__(self, said: str) -> None:
        words = said.split()
        self.platform = words[0] if words else ""
        self.version = words[1] if len(words) > 1 else ""
        self.missing = words[2].split(",") if len(words) > 2 else []


def probe(repl: RawRepl) -> Firmware:
    """Ask the firmware at a raw prompt who it is. Raises WriterError if it does not understand the question."""
    try:
        return Firmware(repl.run(PROBE))
    except BoardProgramError as error:
        raise WriterError(f"{error}; this firmware is too old or too small") from error


class SlotSession:
    """The slot writer, running on the board behind a raw prompt."""

    def __init__(self, repl: RawRepl, *, deflated: bool = True, history: bool = False) -> None:
        """Send it, `deflated` where the board can inflate; `history`: with the requests of history_writer.py.

        Raises WriterError or LineLostError if that fails.
        """
        self.port: SerialPort = repl.port
        self._heard = b""
        program = small_source()
        if history:
            program += small_source(history_writer) + f"serve({self.port.window},Keeper)\n"
        else:
            program += f"serve({self.port.window})\n"
        repl.start(_wrapped(program) if deflated else program)
        self._reply(ANSWER_S)

    def ask(self, name: str, *values: object, within_s: float = ANSWER_S) -> Any:
        """The value of one request. Raises WriterError with the board's reason."""
        self._send(name, values)
        return self._reply(within_s).get("ok")

    def stream(self, name: str, *values: object, frames: bytes, progress: Progress | None = None) -> Any:
        """A request with a stream of frames behind it; never more on the way than the board can keep."""
        self._send(name, values)
        half = self.port.window // 2
        credit = sent = 0
        while sent < len(frames):
            if not credit:
                reply, grants = self._listen(ANSWER_S)
                if reply is not None:
                    return self._value(reply).get("ok")
                credit = grants * half
            piece = frames[sent : sent + credit]
            if piece:
                self.port.write(piece)
            credit -= len(piece)
            sent += len(piece)
            if progress is not None:
                progress(sent, len(frames))
        return self._reply(ANSWER_S).get("ok")

    def write_file(self, path: str, content: bytes, progress: Progress | None = None) -> None:
        """A file on the board: there whole or not at all, read back there and compared."""
        digest = hashlib.sha256(content).hexdigest()
        self.stream("file", path, digest, frames=file_frames(content), progress=progress)

    def reset(self) -> None:
        """The board resets; who runs then is another talk."""
        self._send("reset", ())
        self._reply(ANSWER_S)

    def leave(self) -> None:
        """End the writer; the board is at its raw prompt again."""
        self.ask("leave")
        self.port.keep(self._heard)
        self.port.read_until(b"\x04\x04>", 2.0)

    def _send(self, name: str, values: tuple[object, ...]) -> None:
        self.port.write(json.dumps([name, *values]).encode() + b"\n")

    def _reply(self, within_s: float) -> dict[str, Any]:
        left = until(within_s)
        while True:
            reply, _ = self._listen(left())
            if reply is not None:
                return self._value(reply)
            if not left():
                raise LineTimeoutError(
                    f"{self.port.name}: the board was silent for {within_s:g} s; it said {tail(self._heard)}"
                )

    def _value(self, reply: dict[str, Any]) -> dict[str, Any]:
        if "wrong" in reply:
            raise WriterError(
                f"{self.port.name}: {_explained(str(reply['wrong']))} (while: {reply.get('at')})"
            )
        return reply

    def _listen(self, timeout_s: float) -> tuple[dict[str, Any] | None, int]:
        """A reply if there is one, and how many ACKs came before it. Anything else is a board that was reset."""
        grants = 0
        while True:
            while self._heard[:1] == slot_writer.ACK:
                self._heard = self._heard[1:]
                grants += 1
            line, end, rest = self._heard.partition(b"\n")
            if end:
                value = _reply_in(line)
                if value is None:
                    self._lost()
                self._heard = rest
                return value, grants
            if self._heard and not (self._heard.startswith(b"{") and len(self._heard) < MOST_UNREAD):
                self._heard += self.port.drain(most_s=0.3)  # the rest of the traceback or the banner
                self._lost()
            if grants:
                return None, grants
            data = self.port.read(max(timeout_s, 0.5))
            if not data:
                if not self._heard:
                    raise LineTimeoutError(
                        f"{self.port.name}: the board was silent for {timeout_s:g} s; unplug it and plug it in again"
                    )
                self._lost()
            self._heard += data

    def _lost(self) -> None:
        said = self._heard.decode("utf-8", "replace").strip().splitlines()
        if "Traceback" in self._heard.decode("utf-8", "replace"):
            raise WriterError(f"{self.port.name}: the writer ended: {said[-1].strip(chr(4) + '>')}")
        raise LineLostError(f"{self.port.name}: the board was reset meanwhile; it said {tail(self._heard)}")


def _reply_in(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    known = isinstance(value, dict) and bool({"ok", "wrong", "ready"} & set(value)) and "health" not in value
    return value if known else None


_ERRORS = {
    "OSError: 28": "the board's file system is full: remove files from it (mpremote rm), then flash again",
    "OSError: 5": "the board's flash does not keep what is written to it: it may be worn out",
    "OSError: 110": "the board heard nothing for 10 s: the line was cut",
    "MemoryError": "the board has too little memory free",
}


def _explained(wrong: str) -> str:
    for start, text in _ERRORS.items():
        if wrong.startswith((start, start.replace(": ", ": [Errno "))):
            return text
    return wrong
