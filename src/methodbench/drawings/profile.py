"""Profiles: several metrics of one task side by side, such as success within 1, 2 and 4 tries, a line an arm."""

from __future__ import annotations

import re
from typing import Any

from methodbench import svg
from methodbench.arms import labels, resolve
from methodbench.drawings.lengths import draw_lines
from methodbench.drawings.line_names import name_height, name_lines
from methodbench.drawings.points import axis_title, common_unit, measure_arms, words
from methodbench.results import Results
from methodbench.study import Figure


def draw_profile(results: Results, figure: Figure, notes: list[str]) -> Any:
    """The metrics `figure.y` from left to right, a line with intervals for each of `figure.arms`."""
    arms = list(dict.fromkeys(arm for word in figure.arms for arm in resolve(results.study, word, figure.task)))
    points, units = measure_arms(results, figure.task, arms, figure.y, notes)
    if not points:
        return None
    names, unit = labels(arms), common_unit(units)
    drawing, (axes,) = svg.canvas(
        0.9 + max(2.6, 0.45 + len(points) * name_height([names[point.arm] for point in points]) / 72)
    )
    ends = draw_lines(axes, {names[point.arm]: dict(enumerate(point.values)) for point in points}, unit)
    name_lines(axes, ends)
    axes.set_xticks(range(len(figure.y)), figure.ticks or [words(name) for name in figure.y])
    axes.set_xlabel(figure.x)
    stems = {re.sub(r"_?\d+$", "", name) for name in figure.y}  # pass_1, pass_2 -> pass
    axes.set_ylabel(axis_title(stems.pop() if len(stems) == 1 else "mean", unit))
    return drawing
