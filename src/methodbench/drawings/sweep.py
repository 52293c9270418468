"""Sweeps: metrics against the value of a swept setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from methodbench import svg
from methodbench.arms import Arm, resolve, study_runtimes
from methodbench.drawings.line_names import name_lines
from methodbench.drawings.points import Point, as_drawn, axis_title, measure_arms
from methodbench.results import Results
from methodbench.study import Figure
from methodbench.wording import Unit, listed


def draw_sweep(results: Results, figure: Figure, notes: list[str]) -> Any:
    """Each of `figure.y` in a panel of its own, a line for each pattern in `figure.arms`."""
    runtimes = study_runtimes(results.study)
    lines: dict[str, list[Point]] = {}
    units: tuple[Unit, ...] = ()
    for word in figure.arms:
        points, units = measure_arms(results, figure.task, resolve(results.study, word, figure.task), figure.y, notes)
        if points:
            lines[word] = points
    if not lines:
        return None
    swept = {point.arm: runtimes[point.arm.runtime].values for points in lines.values() for point in points}
    places, ticks, key = _places(swept)
    drawing, panels = svg.canvas(1.3 + 2.1 * len(figure.y), (len(figure.y), 1), sharex=True)
    for row, (axes, name) in enumerate(zip(panels, figure.y, strict=True)):
        ends = []
        for order, (word, points) in enumerate(lines.items()):
            points = sorted(points, key=lambda point: places[point.arm])
            x = [places[point.arm] for point in points]
            y, reach = as_drawn([point.values[row] for point in points], units[row])
            style = {"color": svg.colour(order), "linewidth": 1.8, "markersize": 5, "marker": "o", "elinewidth": 1.2}
            axes.errorbar(x, y, yerr=reach, **style)
            ends.append((x[-1], y[-1], re.sub(r"_?\{.*?\}", "", word) or word, svg.colour(order)))
            axes.set_ylabel(axis_title(name, units[row]))
        if len(lines) > 1:
            name_lines(axes, ends)
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.margins(x=0.06, y=0.12)
    panels[-1].set_xlabel(key)
    return drawing


def _places(swept: Mapping[Arm, Mapping[str, Any]]) -> tuple[dict[Arm, float], dict[float, str], str]:
    """Where each setting stands on the x axis, its ticks, and the axis' name; words and several keys stand evenly."""
    key = listed(sorted({name for values in swept.values() for name in values}))
    settings = {arm: tuple(values.values()) for arm, values in swept.items()}
    single = all(len(setting) == 1 and _numeric(setting[0]) for setting in settings.values())
    distinct = sorted(
        set(settings.values()), key=lambda s: [(not _numeric(v), v if _numeric(v) else str(v)) for v in s]
    )
    numbers = [float(setting[0]) for setting in distinct] if single else []
    if single and len(numbers) > 1 and max(numbers) <= 8 * min(np.diff(numbers)):
        places = dict(zip(distinct, numbers, strict=True))
    else:
        places = {setting: float(place) for place, setting in enumerate(distinct)}
    ticks = {place: ", ".join("none" if v is None else str(v) for v in setting) for setting, place in places.items()}
    return {arm: places[setting] for arm, setting in settings.items()}, ticks, key


def _numeric(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
