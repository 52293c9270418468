"""Names beside points in a plane: each where it hides least, tried on all sides of its point, near before far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.transforms import Bbox

SIDES = ((1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (-1, 0), (-1, 1), (-1, -1))  # right first; up is +1
DISTANCES = (6.0, 12.0, 20.0, 30.0, 44.0)  # points between a point and its name
ON_A_NAME = 40  # how many hidden points are as bad as a name on another
PLACE = {-1: ("right", "top"), 0: ("center", "center"), 1: ("left", "bottom")}

Named = tuple[float, float, str, str]  # x, y, name, colour


def name_points(axes: Any, named: Sequence[Named], others: Sequence[tuple[float, float]]) -> None:
    """Write a name beside each point, in its colour.

    others: what the names should leave visible, such as the points of lines, in the axes' numbers.
    """
    figure = axes.figure
    figure.canvas.draw()
    renderer, frame = figure.canvas.get_renderer(), axes.get_window_extent()
    dots = [tuple(axes.transData.transform(point)) for point in (*others, *((x, y) for x, y, _, _ in named))]
    taken: list[Bbox] = []
    for x, y, name, colour in named:
        best = None
        for near, distance in enumerate(DISTANCES):
            for side, (right, up) in enumerate(SIDES):
                text = axes.annotate(
                    name, (x, y), (right * distance, up * distance * (0.6 if right else 1.0)),
                    textcoords="offset points", ha=PLACE[right][0], va=PLACE[up][1], fontsize=9, color=colour,
                    fontweight="bold", annotation_clip=False,
                )  # fmt: skip
                box = text.get_window_extent(renderer).padded(2)
                hidden = ON_A_NAME * sum(box.overlaps(other) for other in taken) + sum(
                    box.contains(*dot) for dot in dots
                )
                outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
                cost = (hidden + 10 * outside, near, side)
                if best is None or cost < best[0]:
                    if best:
                        best[1].remove()
                    best = (cost, text, box)
                else:
                    text.remove()
        assert best is not None
        taken.append(best[2])
