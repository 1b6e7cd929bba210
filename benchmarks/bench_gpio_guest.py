"""Pins on a real kernel in an emulated machine: the driver beside plain gpiod, and how soon an edge is noticed.

All times are those of an emulated processor, some ten times slower than a real one; the ratios mean something. Without
QEMU there are no rows.
"""

from benchmarks.timing import half_quartiles, row
from hil.gpio_guest.guest import Guest, why_not
from hil.gpio_guest.measure import edge_latency, image_cost, reaction

ROUNDS = 5
EDGES = 300


def run() -> list[dict[str, object]]:
    """All rows."""
    if reason := why_not():
        print(f"  left out: {reason}")
        return []
    with Guest() as guest:
        images = [image_cost(guest) for _ in range(ROUNDS)]
        edges, outside = edge_latency(guest, EDGES), reaction(guest, EDGES)
    rows = []
    for what, own, bare in (
        ("read, 4 lines", [i.read_us for i in images], [i.bare_read_us for i in images]),
        ("written, 3 lines", [i.write_us for i in images], [i.bare_write_us for i in images]),
    ):
        ratios = sorted(a / b for a, b in zip(own, bare, strict=True))
        peer = f"plain gpiod on the same kernel, {sorted(bare)[ROUNDS // 2]:.0f} us there"
        name = f"pins on a kernel, emulated: {what}"
        rows.append(row(name, ratios[ROUNDS // 2], "x by hand", None, peer, half_quartiles(ratios)))
        rows.append(row(f"{name}, absolute", sorted(own)[ROUNDS // 2], "us"))
    for what, found in (
        ("time stamp of the kernel to Python", edges),
        ("edge outside to another line", outside),
    ):
        rows.append(
            row(f"edge, emulated: {what}, median", found.median_us, "us", None, f"{found.count} edges")
        )
        rows.append(row(f"edge, emulated: {what}, p99", found.p99_us, "us"))
    return rows
