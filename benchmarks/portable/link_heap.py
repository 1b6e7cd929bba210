"""Prints the heap, in bytes, that the link adds to a core that is loaded: link_heap.py IMAGE SPEC; from flash.

Two numbers: its modules, and one link with its buffers and the last values of 30 signals and a state view.
"""

import gc
import sys

import vfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

used = gc.mem_alloc  # type: ignore[attr-defined]  # only MicroPython's gc has it
with open("/project/" + sys.argv[1], "rb") as file:
    image = file.read()
vfs.mount(vfs.VfsRom(image), "/rom")
sys.path[:] = ["/rom"]
with open("/project/" + sys.argv[2], "rb") as file:
    packed = file.read()
from cell_controller.core import codec, render  # noqa: E402, F401  # both belong to the core
from cell_controller.core.controller import Controller  # noqa: E402, F401

spec: "Any" = codec.unpack(packed)
for name in ("socket", "select"):  # which are in a board's firmware, not in this port
    if name not in sys.modules:
        sys.modules[name] = gc
#: collect
before = used()
for name in sys.argv[3:]:
    __import__(name)
#: collect
modules = used()


class Host:
    """A journal without records, and a clock."""

    epoch = "0123456789abcdef"
    durable_seq = 0

    def delivered(self, name: str) -> int:
        return 0

    def wall_ms(self) -> int:
        return 0


host = Host()
client_type = getattr(sys.modules.get("cell_controller.micropython.link"), "Link", None)
#: collect
base = used()
if client_type is not None:
    client_type = sys.modules["cell_controller.micropython.mqtt_client"].MqttClient
    session_type = sys.modules["cell_controller.micropython.small_session"].SmallSession
    link_type = sys.modules["cell_controller.micropython.link"].Link
    session = session_type("coachworks/leeds/body/paint/paint-1", host.epoch)
    client = client_type("paint-1-01234567", "127.0.0.1", 1883)
    link = link_type(session, host, spec, client, None, host)
    link.offer_signals([("signal_%d" % n, n, 0, "", 1) for n in range(30)])
    for _ in range(5):
        link._look_at_signals()
#: collect
print(modules - before, used() - base)
