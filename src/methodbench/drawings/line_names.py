"""Names at the right ends of lines instead of a legend: in the line's colour, moved apart where they would overlap."""

from __future__ import annotations

import textwrap
from typing import Any

LINE, SPACE = 11, 3  # points: a line of a name, and the room between two names
LONGEST = 21  # characters in a line


def name_lines(axes: Any, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each line's name at its right end, in its colour; names that would overlap are moved apart.

    ends: x and y of the last point, name, colour. The y axis may be linear or logarithmic.
    """
    axes.figure.canvas.draw()
    straight = axes.yaxis.get_transform()  # to a scale on which equal steps are equal distances
    low, high = straight.transform(axes.get_ylim())
    names = {label: wrapped(label) for _, _, label, _ in ends}
    gap = name_height(list(names)) * axes.figure.dpi / 72 * (high - low) / axes.get_window_extent().height
    ends = sorted(ends, key=lambda end: end[1])
    spots = straight.inverted().transform(spread([float(straight.transform(y)) for _, y, _, _ in ends], gap))
    right = max(x for x, _, _, _ in ends)
    edge = right + 0.03 * (right - axes.get_xlim()[0])
    for (x, y, label, colour), spot in zip(ends, spots, strict=True):
        axes.annotate(
            names[label], (x, y), (edge, spot), textcoords="data", va="center", ha="left", fontsize=9, color=colour,
            fontweight="bold", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.5, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip
    axes.set_xlim(right=edge)


def name_height(names: list[str]) -> int:
    """Points that one of these names takes at most."""
    return SPACE + LINE * max(wrapped(name).count("\n") + 1 for name in names)


def wrapped(label: str, longest: int = LONGEST) -> str:
    """The name in short lines; "checkpoint@runtime" breaks before the sign if it must."""
    return "\n".join(textwrap.wrap(label.replace("@", " @"), longest)).replace(" @", "@")


def spread(wanted: list[float], gap: float) -> list[float]:
    """Ascending places at least `gap` apart, as near to the wanted ones as a run of neighbours allows."""
    runs: list[list[float]] = []
    for place in wanted:
        runs.append([place])
        while len(runs) > 1 and _first(runs[-1], gap) - _first(runs[-2], gap) < gap * len(runs[-2]):
            runs[-2:] = [runs[-2] + runs[-1]]
    return [_first(run, gap) + gap * number for run in runs for number in range(len(run))]


def _first(run: list[float], gap: float) -> float:
    return sum(run) / len(run) - gap * (len(run) - 1) / 2
