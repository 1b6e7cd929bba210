"""A cell in a dozen lines: a clamp that closes. `python examples/hello.py` prints the record of the item."""

from cell_controller import phase, until
from hil.quick import quick_cell


@phase
def close(cell):
    cell.clamp.on()
    yield until(cell.clamp_closed, within_s=2, fault="clamp did not close")
    cell.clamp.off()


hello = quick_cell(close, outputs=["clamp"], inputs={"clamp_closed": ("clamp", 800)})
print(hello.order("hello").run())
