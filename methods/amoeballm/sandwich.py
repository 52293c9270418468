"""The sandwich rule: the subnets that a micro-batch trains, the largest first and the smallest last.

Between them lie `middle` random ones: depths drawn with replacement from all but the full depth, widths without
replacement, paired by position. Where there are fewer widths than that, all come once before one comes again (the
official code has four widths and two random subnets, and does not meet that case).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Shape:
    """How many layers run, and which share of the units they keep."""

    depth: int
    width: float


def sandwich(depths: Sequence[int], widths: Sequence[float], middle: int, rng: Random) -> list[Shape]:
    """2 + `middle` shapes.

    Args:
        depths: numbers of layers that may run, largest first.
        widths: ratios that may remain, largest first.
        middle: random shapes between the largest and the smallest, at least 0.
        rng: draws them; the same state gives the same shapes.

    Raises:
        ValueError: there is no depth or no width, or they do not fall.
    """
    for values in (depths, widths):
        if not values or sorted(values, reverse=True) != list(values):
            raise ValueError(f"given {list(values)}, expected one value at least, largest first")
    below = depths[1:] or depths
    deep = [rng.choice(below) for _ in range(middle)]
    wide: list[float] = []
    while len(wide) < middle:
        wide += rng.sample(widths, min(len(widths), middle - len(wide)))
    between = [Shape(depth, width) for depth, width in zip(deep, wide, strict=True)]
    return [Shape(depths[0], widths[0]), *between, Shape(depths[-1], widths[-1])]
