"""Lines of what transforms measured: along the checkpoints of a curve, or against a column, such as the layer.

A line runs through the means over the seeds; whiskers reach from the lowest to the highest seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from methodbench import svg
from methodbench.drawings.lengths import STYLES
from methodbench.drawings.line_names import name_height, name_lines
from methodbench.drawings.points import explodes, words
from methodbench.measures import NAME, checkpoint_measures
from methodbench.results import Results
from methodbench.study import Figure
from methodbench.wording import count, listed

ASIDE = 0.006  # of the x axis: lines stand this far apart, so that whiskers at one place do not hide each other

Line = dict[float, list[float]]  # place on the x axis -> the number of each seed
Panel = dict[str, Line]  # name of a line -> the line


def draw_measures(results: Results, figure: Figure, notes: list[str]) -> Any:
    """The mean of each column `figure.y`, in a panel of its own, along the checkpoints of each of `figure.curves`."""
    panels: list[Panel] = [{} for _ in figure.y]
    lost: list[str] = []
    for curve in figure.curves:
        label = results.study.curves[curve].label or curve
        for place, word in enumerate(results.study.curves[curve].arms, 1):
            read = _read(results, figure, word.partition("@")[0], "", lost)
            for panel, line in zip(panels, read, strict=True):
                for seeds in line.values():
                    panel.setdefault(label, {})[place] = seeds
    return _draw(figure, panels, figure.x or "checkpoints in their order", lost, notes)


def draw_layers(results: Results, figure: Figure, notes: list[str]) -> Any:
    """Each column `figure.y`, in a panel of its own, against column `figure.x`, a line for each checkpoint."""
    panels: list[Panel] = [{} for _ in figure.y]
    lost: list[str] = []
    for checkpoint in figure.checkpoints:
        for panel, line in zip(panels, _read(results, figure, checkpoint, figure.x, lost), strict=True):
            if line:
                panel[checkpoint] = dict(sorted(line.items()))
    return _draw(figure, panels, words(figure.x), lost, notes)


def _read(results: Results, figure: Figure, checkpoint: str, along: str, lost: list[str]) -> list[Line]:
    """For each column of `figure.y` its mean at every value of the column `along`; without one, at a single place."""
    where = f"study {results.study.study}: figures.{figure.id}"
    lines: list[Line] = [{} for _ in figure.y]
    files = checkpoint_measures(results, checkpoint)
    if not files:
        lost.append(f"`{checkpoint}`")
    for file in files:
        for line, column in zip(lines, figure.y, strict=True):
            y = np.array(file.numbers(column, f"{where}.y"))
            x = np.array(file.numbers(along, f"{where}.x")) if along else np.zeros(len(y))
            usable = np.isfinite(x) & np.isfinite(y)
            for place in np.unique(x[usable]):
                line.setdefault(float(place), []).append(float(y[usable & (x == place)].mean()))
    return lines


def _draw(figure: Figure, panels: Sequence[Panel], title: str, lost: Sequence[str], notes: list[str]) -> Any:
    if lost:
        notes.append(f"{listed(list(dict.fromkeys(lost)))} left out: no {NAME} in the checkpoint's folder")
    lines = list(chain.from_iterable(panel.values() for panel in panels))
    if not lines:
        return None
    names = list(dict.fromkeys(chain.from_iterable(panels)))
    room = 0.35 + len(names) * name_height(names) / 72  # inches: for all names in one column
    drawing, found = svg.canvas(0.9 + max(1.7, room) * len(panels), (len(panels), 1), sharex=True)
    places = [place for line in lines for place in line]
    aside = ASIDE * (max(places) - min(places))
    for axes, column, panel in zip(found, figure.y, panels, strict=True):
        ends = [_line(axes, name, panel[name], names, aside) for name in names if name in panel]
        axes.set_ylabel(words(column))
        axes.margins(x=0.05, y=0.08)
        if ends and explodes([float(np.mean(seeds)) for line in panel.values() for seeds in line.values()]):
            axes.set_yscale("log")
        if ends and len(names) > 1:
            name_lines(axes, ends)
    if figure.ticks:
        found[-1].set_xticks(range(1, len(figure.ticks) + 1), figure.ticks)
    elif all(float(place).is_integer() for place in places):
        found[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    found[-1].set_xlabel(title)
    many = max(len(seeds) for line in lines for seeds in line.values())
    if many > 1:
        notes.append(f"Lines are means, whiskers run from the lowest to the highest of {count(many, 'seed')}")
    return drawing


def _line(
    axes: Any, name: str, line: Mapping[float, Sequence[float]], names: Sequence[str], aside: float
) -> tuple[float, float, str, str]:
    """Draw one line; returns its end for `name_lines`."""
    order = names.index(name)
    x = [place + aside * (order - (len(names) - 1) / 2) for place in line]
    y = [float(np.mean(seeds)) for seeds in line.values()]
    reach = [
        [max(0.0, mean - min(seeds)) for mean, seeds in zip(y, line.values(), strict=True)],
        [max(0.0, max(seeds) - mean) for mean, seeds in zip(y, line.values(), strict=True)],
    ]
    dash, marker = STYLES[order // len(svg.SERIES) % len(STYLES)]
    style = {"color": svg.colour(order), "linewidth": 1.8, "markersize": 4.5, "elinewidth": 1.0}
    axes.errorbar(x, y, yerr=reach, linestyle=dash, marker=marker, **style)
    return x[-1], y[-1], name, svg.colour(order)
