"""Curves: a metric against the tokens of an answer, along arms that differ in budget."""

from __future__ import annotations

from typing import Any

from methodbench import svg
from methodbench.arms import curve_arms
from methodbench.drawings.line_names import name_lines
from methodbench.drawings.points import Point, as_drawn, axis_title, measure_arms
from methodbench.results import Results
from methodbench.study import Figure
from methodbench.wording import Unit


def draw_curve(results: Results, figure: Figure, notes: list[str]) -> Any:
    """`figure.y` against `figure.x`, means per sample, a line for each of `figure.curves`."""
    along = figure.x or "tokens"
    names = (along, figure.y[0])
    lines: dict[str, list[Point]] = {}
    units: tuple[Unit, ...] = ()
    for curve in figure.curves:
        points, units = measure_arms(results, figure.task, curve_arms(results.study, curve, figure.task), names, notes)
        if points:
            label = results.study.curves[curve].label or curve
            lines[label] = sorted(points, key=lambda point: point.values[0].value)
    if not lines:
        return None
    drawing, (axes,) = svg.canvas(4.4)
    ends = []
    for order, (label, points) in enumerate(lines.items()):
        x, x_reach = as_drawn([point.values[0] for point in points], units[0])
        y, y_reach = as_drawn([point.values[1] for point in points], units[1])
        style = {"color": svg.colour(order), "linewidth": 1.8, "markersize": 4.5, "marker": "o", "elinewidth": 1.0}
        axes.errorbar(x, y, xerr=x_reach, yerr=y_reach, **style)
        ends.append((x[-1], y[-1], label, svg.colour(order)))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if min(y for _, y, _, _ in ends) < 0 else 0.0)
    name_lines(axes, ends)
    axes.set_xlabel(axis_title(along, units[0]) + (" per answer (mean)" if along == "tokens" else ""))
    axes.set_ylabel(axis_title(figure.y[0], units[1]))
    return drawing
