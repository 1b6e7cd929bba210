"""The figures can be had, and are what they say. How large they are says little: the machine is emulated."""

import pytest

from hil.gpio_guest.guest import Guest
from hil.gpio_guest.measure import Spread, call_cost, edge_latency, image_cost, reaction, spread

pytestmark = pytest.mark.gpio_guest

EDGES = 200


def test_a_spread_is_of_sorted_times() -> None:
    assert spread([3000, 1000, 2000]) == Spread(3, 2.0, 3.0, 3.0)
    assert spread([7500]) == Spread(1, 7.5, 7.5, 7.5)


def test_edges_reach_python_in_bounded_time(virt: Guest) -> None:
    found = edge_latency(virt, EDGES)
    print(f"edge to Python: {found}")
    assert found.count == EDGES
    assert 0 < found.median_us <= found.p99_us <= found.max_us < 1_000_000


def test_an_edge_outside_moves_another_line_in_bounded_time(virt: Guest) -> None:
    found = reaction(virt, EDGES)
    print(f"edge to line: {found}")
    assert 0 < found.median_us <= found.p99_us <= found.max_us < 1_000_000


def test_an_image_by_the_driver_costs_more_than_by_hand_and_not_much_more(virt: Guest) -> None:
    cost = image_cost(virt)
    print(f"image: {cost}")
    assert 0 < cost.bare_read_us < cost.read_us < 20 * cost.bare_read_us
    assert 0 < cost.bare_write_us < cost.write_us < 20 * cost.bare_write_us


def test_a_call_for_all_lines_costs_less_than_a_call_for_each(virt: Guest) -> None:
    one, all_lines = call_cost(virt), call_cost(virt, virt.machine.lines)
    print(f"one line: {one}; all: {all_lines}")
    assert all_lines.get_values_us < virt.machine.lines * one.get_values_us
    assert all_lines.set_values_us < virt.machine.lines * one.set_values_us
