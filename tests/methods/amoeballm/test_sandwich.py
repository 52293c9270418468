"""The shapes of a micro-batch."""

from __future__ import annotations

from random import Random

import pytest

from methods.amoeballm.sandwich import Shape, sandwich

DEPTHS, WIDTHS = (8, 7, 6, 5), (1.0, 0.75, 0.5)


def test_the_largest_is_first_the_smallest_last_and_widths_between_differ() -> None:
    seen = set()
    for seed in range(200):
        first, *between, last = sandwich(DEPTHS, WIDTHS, 2, Random(seed))
        assert (first, last) == (Shape(8, 1.0), Shape(5, 0.5))
        assert len({shape.width for shape in between}) == 2
        seen |= set(between)
    assert seen == {Shape(depth, width) for depth in (7, 6, 5) for width in WIDTHS}  # never the full depth


def test_depths_come_back_and_are_equally_likely() -> None:
    between = [sandwich(DEPTHS, WIDTHS, 2, Random(seed))[1:-1] for seed in range(300)]
    assert any(one.depth == two.depth for one, two in between)
    counts = [sum(shape.depth == depth for pair in between for shape in pair) for depth in (7, 6, 5)]
    assert max(abs(count - 200) for count in counts) < 60  # five standard deviations


def test_more_random_shapes_than_widths_take_all_before_one_again() -> None:
    widths = sorted(shape.width for shape in sandwich(DEPTHS, WIDTHS, 6, Random(0))[1:-1])
    assert widths == [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]


def test_one_depth_or_one_width_is_enough() -> None:
    assert {shape.depth for shape in sandwich((8,), WIDTHS, 2, Random(0))} == {8}
    assert {shape.width for shape in sandwich(DEPTHS, (1.0,), 2, Random(0))} == {1.0}
    assert len(sandwich(DEPTHS, WIDTHS, 0, Random(0))) == 2


@pytest.mark.parametrize("depths", [(), (5, 6)])
def test_values_must_fall(depths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="largest first"):
        sandwich(depths, WIDTHS, 2, Random(0))
