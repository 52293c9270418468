"""Planes: one task to the right, another up, so that what is gained on one and lost on the other is seen at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from methodbench import svg
from methodbench.arms import Arm, curve_arms, labels, resolve, resolve_one
from methodbench.compare import Comparison, compare, compare_gap, measure
from methodbench.drawings.point_names import Named, name_points
from methodbench.drawings.points import as_drawn, common_unit, over_tasks, words
from methodbench.markdown import folded, plain, table
from methodbench.results import Results
from methodbench.stats import Estimate
from methodbench.study import Figure
from methodbench.wording import Unit, effect

STEPS = 12  # places on a line at which names look for it

Spots = tuple[list[float], list[float]]  # x and y of points


def draw_plane(results: Results, figure: Figure, notes: list[str]) -> Any:
    """Each of `figure.curves` as a path with arrows, `figure.arms` as points, dashed lines through `figure.origin`."""
    paths, singles, origin = _arms(results, figure)
    fields = dict(zip(figure.tasks, (figure.y[0], figure.y[-1]), strict=True))

    def take(arm: Arm, task: str) -> tuple[Estimate, Unit]:
        return measure(results, arm, task, fields[task])

    arms = list(dict.fromkeys([*(arm for path in paths.values() for arm in path), *singles, *origin]))
    found = over_tasks(results, arms, figure.tasks, take, notes)
    drawn = [arm for arm in arms if all((arm, task) in found for task in figure.tasks)]
    if not drawn:
        return None
    units = [common_unit(found[arm, task][1] for arm in drawn) for task in figure.tasks]
    names = labels(arms)
    drawing, (axes,) = svg.canvas(5.0)
    lines: list[tuple[float, float]] = []

    def mark(those: Sequence[Arm], colour: str, marker: str) -> Spots:
        (x, x_reach), (y, y_reach) = (
            as_drawn([found[arm, task][0] for arm in those], unit)
            for task, unit in zip(figure.tasks, units, strict=True)
        )
        thin = {"ecolor": colour, "elinewidth": 0.8, "alpha": 0.45, "fmt": "none", "zorder": 2}
        axes.errorbar(x, y, xerr=x_reach, yerr=y_reach, **thin)
        axes.plot(x, y, marker, color=colour, markersize=5.5, zorder=4)
        for place, (right, up) in enumerate(zip(x, y, strict=True)):
            across = np.linspace(right - x_reach[0][place], right + x_reach[1][place], STEPS)
            lines.extend((spot, up) for spot in across)
            lines.extend((right, spot) for spot in np.linspace(up - y_reach[0][place], up + y_reach[1][place], STEPS))
        return x, y

    named: list[Named] = []
    for order, (label, path) in enumerate(paths.items()):
        those = [arm for arm in path if arm in drawn]
        if those:
            x, y = mark(those, svg.colour(order), "o")
            lines += _arrows(axes, x, y, svg.colour(order))
            named.append((x[-1], y[-1], label, svg.colour(order)))
    for order, arm in enumerate(singles, len(paths)):
        if arm in drawn:
            x, y = mark([arm], svg.colour(order), "s")
            named.append((x[0], y[0], names[arm], svg.colour(order)))
    if origin and origin[0] in drawn:
        x, y = mark(origin, svg.INK, "D")
        for line, level in ((axes.axvline, x[0]), (axes.axhline, y[0])):
            line(level, color=svg.FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.5)
        named.insert(0, (x[0], y[0], names[origin[0]], svg.INK))
        axes.margins(0.08)
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        lines += [(place, y[0]) for place in np.linspace(left, right, 5 * STEPS)]
        lines += [(x[0], place) for place in np.linspace(low, high, 5 * STEPS)]
    axes.margins(0.08)
    for put, name, unit in zip((axes.set_xlabel, axes.set_ylabel), _axis_names(figure), units, strict=True):
        put(name + (", %" if unit == "share" else ""))
    name_points(axes, named, lines)
    return drawing


def tell_plane(results: Results, figure: Figure) -> str:
    """Every arm's gains over `figure.origin` on both axes and the gap between them, folded; "" without an origin."""
    paths, singles, origin = _arms(results, figure)
    arms = dict.fromkeys([*(arm for path in paths.values() for arm in path), *singles])
    if not origin or not arms:
        return ""
    metrics = tuple(f"{task}/{field}" for task, field in zip(figure.tasks, (figure.y[0], figure.y[-1]), strict=True))
    names = labels([*arms, *origin])
    rows = []
    for arm in [arm for arm in arms if arm != origin[0]]:
        sides = str(arm), str(origin[0])
        gains = [compare(results, *sides, metric) for metric in metrics]
        rows.append([f"`{names[arm]}`", *map(_shown, [*gains, compare_gap(results, *sides, (metrics[0], metrics[1]))])])
    x, y = map(plain, _axis_names(figure))
    lead = (
        f"*x* is {x}, *y* is {y}. Intervals: 95 %, over items and training seeds. For the gap the variances over the "
        "items of the two tasks add up, and the seeds' is that of each seed's own gap."
    )
    head = ["arm", "gain on x", "gain on y", "gap (x − y)"]
    return folded(
        f"Gains over <code>{names[origin[0]]}</code> and the gap between them", f"{table(head, rows)}\n\n{lead}"
    )


def _arms(results: Results, figure: Figure) -> tuple[Mapping[str, Sequence[Arm]], list[Arm], list[Arm]]:
    """Paths by their labels, single points, and the origin if there is one; both tasks score the same arms."""
    study, task = results.study, figure.tasks[0]
    paths = {study.curves[name].label or name: curve_arms(study, name, task) for name in figure.curves}
    origin = [resolve_one(study, figure.origin, task)] if figure.origin else []
    singles = dict.fromkeys(arm for word in figure.arms for arm in resolve(study, word, task) if arm not in origin)
    return paths, list(singles), origin


def _arrows(axes: Any, x: Sequence[float], y: Sequence[float], colour: str) -> list[tuple[float, float]]:
    """An arrow from each point to the next; returns places on them."""
    line = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 3, "shrinkB": 3, "mutation_scale": 9}
    places = []
    for start in range(len(x) - 1):
        first, second = (x[start], y[start]), (x[start + 1], y[start + 1])
        axes.annotate("", second, first, arrowprops=line, zorder=3)
        places += [(float(right), float(up)) for right, up in np.linspace(first, second, STEPS)]
    return places


def _axis_names(figure: Figure) -> tuple[str, str]:
    if figure.ticks:
        return figure.ticks[0], figure.ticks[1]
    x, y = (f"{words(name)} on {task}" for task, name in zip(figure.tasks, (figure.y[0], figure.y[-1]), strict=True))
    return figure.x or x, y


def _shown(comparison: Comparison) -> str:
    return effect(comparison.effect, comparison.unit) if comparison.effect else "—"
