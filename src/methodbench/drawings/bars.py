"""Bars: metrics of each arm, and stacks of several fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from methodbench import svg
from methodbench.arms import Arm, labels, resolve
from methodbench.drawings.points import as_drawn, axis_title, measure_arms, words
from methodbench.results import Results
from methodbench.study import Figure
from methodbench.wording import number


def draw_bars(results: Results, figure: Figure, notes: list[str]) -> Any:
    """Each of `figure.y` in a panel of its own, a bar for each of `figure.arms`, the best of the first panel on top."""
    points, units = measure_arms(results, figure.task, _arms(results, figure), figure.y, notes)
    if not points:
        return None
    points.sort(key=lambda point: point.values[0].value)
    names = labels([point.arm for point in points])
    drawing, panels = svg.canvas(0.95 + 0.31 * len(points), (1, len(figure.y)), sharey=True)
    for column, (axes, name) in enumerate(zip(panels, figure.y, strict=True)):
        values, unit = [point.values[column] for point in points], units[column]
        shown, reach = as_drawn(values, unit)
        axes.barh(range(len(points)), shown, height=0.62, color=svg.colour(column), alpha=0.85)
        axes.errorbar(shown, range(len(points)), xerr=reach, fmt="none", ecolor=svg.INK, elinewidth=1.2, capsize=2.5)
        for place, (value, right) in enumerate(zip(values, reach[1], strict=True)):
            text = number(value.value, unit) + (" %" if unit == "share" else "")
            axes.annotate(
                text, (shown[place] + right, place), (5, 0), textcoords="offset points", va="center", fontsize=8.5,
                color=svg.INK,
            )  # fmt: skip
        axes.set_xlabel(axis_title(name, unit))
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.16, y=0.02)
        axes.set_xlim(left=min(0.0, *axes.get_xlim()) if min(shown) < 0 else 0.0)
    panels[0].set_yticks(range(len(points)), [names[point.arm] for point in points], color=svg.INK)
    return drawing


def draw_stack(results: Results, figure: Figure, notes: list[str]) -> Any:
    """The shares of the fields `figure.y`, end to end, for each of `figure.arms`."""
    points, units = measure_arms(results, figure.task, _arms(results, figure), figure.y, notes)
    if not points:
        return None
    names = labels([point.arm for point in points])
    drawing, (axes,) = svg.canvas(1.35 + 0.34 * len(points))
    left = np.zeros(len(points))
    for order, name in enumerate(figure.y):
        width = np.array(as_drawn([point.values[order] for point in points], units[0])[0])
        axes.barh(range(len(points)), width, left=left, height=0.66, color=svg.colour(order), label=words(name))
        left += width
    axes.set_yticks(range(len(points)), [names[point.arm] for point in points], color=svg.INK)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share, %" if units[0] == "share" else "mean per answer")
    drawing.legend(loc="outside lower left", ncols=min(4, len(figure.y)), frameon=False, fontsize=9, labelcolor=svg.INK)
    return drawing


def _arms(results: Results, figure: Figure) -> list[Arm]:
    return list(dict.fromkeys(arm for word in figure.arms for arm in resolve(results.study, word, figure.task)))
