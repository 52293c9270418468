"""Curves: a metric against the tokens of an answer, along arms that differ in budget; or against what a transform
measured of the arms' checkpoints, such as their parameters or their latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.ticker import EngFormatter

from methodbench import svg
from methodbench.arms import Arm, curve_arms, labels, resolve
from methodbench.drawings.line_names import name_lines
from methodbench.drawings.point_names import Named, name_points
from methodbench.drawings.points import as_drawn, axis_title, explodes, measure_arms, words
from methodbench.measures import NAME, checkpoint_measures
from methodbench.results import Results
from methodbench.study import MEASURED, Figure
from methodbench.wording import Unit, listed

LARGE = 1e4  # from here on numbers are written with a letter: 75.6M
FROM_NOUGHT = 1 / 3  # of the largest x: an axis of measured numbers whose smallest is below this begins at 0
STEPS = 12  # places on a stretch of a line at which names look for it

Reach = tuple[float, float]  # how far the whiskers of a point go, down and up


@dataclass(frozen=True)
class Spot:
    """One arm's place."""

    arm: Arm
    x: float
    y: float
    x_reach: Reach
    y_reach: Reach


def draw_curve(results: Results, figure: Figure, notes: list[str]) -> Any:
    """`figure.y` against `figure.x`, a line for each of `figure.curves` and a point for each of `figure.arms`.

    Means per sample; of a column of measures.csv the mean over rows and seeds, whiskers from lowest to highest seed.
    """
    study, task = results.study, figure.task
    lines = {study.curves[name].label or name: curve_arms(study, name, task) for name in figure.curves}
    singles = tuple(dict.fromkeys(arm for word in figure.arms for arm in resolve(study, word, task)))
    names = labels(dict.fromkeys([*(arm for arms in lines.values() for arm in arms), *singles]))
    lost: list[str] = []
    units: list[tuple[Unit, Unit]] = []
    drawn: list[tuple[str, list[Spot], str]] = []  # name, places in the order of x, marker
    for label, arms, marker in [
        *((label, arms, "o") for label, arms in lines.items()),
        *((names[arm], (arm,), "s") for arm in singles),
    ]:
        spots, unit = _spots(results, figure, arms, lost, notes)
        if spots:
            drawn.append((label, sorted(spots, key=lambda spot: spot.x), marker))
            units.append(unit)
    if lost:
        notes.append(f"{listed(list(dict.fromkeys(lost)))} left out: no number for it in a {NAME} of the checkpoint")
    if not drawn:
        return None
    drawing, (axes,) = svg.canvas(4.4)
    for order, (_, spots, marker) in enumerate(drawn):
        x, y = [spot.x for spot in spots], [spot.y for spot in spots]
        reach = [np.transpose([getattr(spot, key) for spot in spots]) for key in ("x_reach", "y_reach")]
        style = {"color": svg.colour(order), "linewidth": 1.8, "markersize": 4.5, "elinewidth": 1.0}
        axes.errorbar(x, y, xerr=reach[0], yerr=reach[1], marker=marker, **style)
    _scale(results, figure, axes, [spot for _, spots, _ in drawn for spot in spots])
    if singles or measured_column(figure):
        _name_anywhere(axes, [(label, spots) for label, spots, _ in drawn])
    else:
        ends = [(spots[-1].x, spots[-1].y, label) for label, spots, _ in drawn]
        name_lines(axes, [(*end, svg.colour(order)) for order, end in enumerate(ends)])
    shown: tuple[Unit, Unit] = ("share" if {x for x, _ in units} == {"share"} else "number", units[0][1])
    axes.set_xlabel(_x_title(figure, shown[0]))
    axes.set_ylabel(axis_title(figure.y[0], shown[1]))
    return drawing


def measured_column(figure: Figure) -> str:
    """The column of measures.csv that is the x axis; "" where x is a field of the samples."""
    return figure.x.removeprefix(MEASURED) if figure.x.startswith(MEASURED) else ""


def _spots(
    results: Results, figure: Figure, arms: Sequence[Arm], lost: list[str], notes: list[str]
) -> tuple[list[Spot], tuple[Unit, Unit]]:
    """Where these arms stand, and the units of x and y."""
    column = measured_column(figure)
    fields = (figure.y[0],) if column else (figure.x or "tokens", figure.y[0])
    points, units = measure_arms(results, figure.task, arms, fields, notes)
    y, y_reach = as_drawn([point.values[-1] for point in points], units[-1])
    if column:
        seeds = [_measured(results, figure, point.arm.checkpoint, column) for point in points]
        lost += [f"`{point.arm.checkpoint}`" for point, found in zip(points, seeds, strict=True) if not found]
        x = [float(np.mean(found)) if found else float("nan") for found in seeds]
        x_reach = [[(mean - min(f)) if f else 0.0 for mean, f in zip(x, seeds, strict=True)]]
        x_reach += [[(max(f) - mean) if f else 0.0 for mean, f in zip(x, seeds, strict=True)]]
    else:
        x, x_reach = as_drawn([point.values[0] for point in points], units[0])
    spots = [
        Spot(point.arm, x[n], y[n], (max(0.0, x_reach[0][n]), max(0.0, x_reach[1][n])), (y_reach[0][n], y_reach[1][n]))
        for n, point in enumerate(points)
        if np.isfinite(x[n])
    ]
    return spots, ("number" if column else units[0], units[-1])


def _measured(results: Results, figure: Figure, checkpoint: str, column: str) -> list[float]:
    """For each seed the mean of a column over the rows that have a number."""
    where = f"study {results.study.study}: figures.{figure.id}.x"
    found = [np.array(file.numbers(column, where)) for file in checkpoint_measures(results, checkpoint)]
    return [float(values[np.isfinite(values)].mean()) for values in found if np.isfinite(values).any()]


def _scale(results: Results, figure: Figure, axes: Any, places: Sequence[Spot]) -> None:
    """Where the axes begin, and how their numbers are written."""
    x, y = [spot.x for spot in places], [spot.y for spot in places]
    metric = results.declared(figure.task, figure.y[0])
    if metric and metric.direction == "less" and metric.unit != "share":  # 0 is out of reach, and says nothing
        if explodes(y):
            axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if min(y) < 0 else 0.0)
    if not measured_column(figure) or 0 <= min(x) < FROM_NOUGHT * max(x):
        axes.set_xlim(left=0)
    if max(x) >= LARGE and measured_column(figure):
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _name_anywhere(axes: Any, drawn: Sequence[tuple[str, Sequence[Spot]]]) -> None:
    """Write each name at that end of its line which is farther from the others: lines may meet in a common model."""
    axes.figure.canvas.draw()  # only then are the axes where they stay
    seen = [axes.transData.transform([(spot.x, spot.y) for spot in spots]) for _, spots in drawn]

    def alone(order: int, end: int) -> float:
        others = [points for other, points in enumerate(seen) if other != order]
        return min((float(np.hypot(*(points - seen[order][end]).T).min()) for points in others), default=0.0)

    named: list[Named] = []
    along: list[tuple[float, float]] = []  # what the names should not hide
    for order, (label, spots) in enumerate(drawn):
        end = spots[max((-1, 0), key=lambda end: alone(order, end))]
        named.append((end.x, end.y, label, svg.colour(order)))
        for one, other in pairwise(spots):
            along += [(float(x), float(y)) for x, y in np.linspace((one.x, one.y), (other.x, other.y), STEPS)]
    name_points(axes, named, along)


def _x_title(figure: Figure, unit: Unit) -> str:
    column = measured_column(figure)
    along = figure.x or "tokens"
    return words(column) if column else axis_title(along, unit) + (" per answer (mean)" if along == "tokens" else "")
