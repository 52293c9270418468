"""Lengths: metrics over tasks that differ in one number, such as the length of their context, a line an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from methodbench import svg
from methodbench.arms import Arm, labels, resolve_over
from methodbench.compare import measure
from methodbench.drawings.line_names import name_height, name_lines
from methodbench.drawings.panels import name_tasks
from methodbench.drawings.points import as_drawn, axis_title, common_unit, explodes, over_tasks
from methodbench.results import Results
from methodbench.stats import Estimate
from methodbench.study import Figure
from methodbench.wording import Unit, number

STYLES = (("-", "o"), ("--", "s"), (":", "^"))  # line and marker: a new pair once all colours are taken
ASIDE = 0.028  # ticks: lines stand this far apart, so that intervals at one tick do not hide each other

Measured = dict[tuple[Arm, str], list[tuple[Estimate, Unit]]]


def draw_lengths(results: Results, figure: Figure, notes: list[str]) -> Any:
    """Each of `figure.y` over `figure.tasks` in a panel of its own, a line for each of `figure.arms`."""
    arms = resolve_over(results.study, figure.arms, figure.tasks)

    def take(arm: Arm, task: str) -> list[tuple[Estimate, Unit]]:
        return [measure(results, arm, task, name) for name in figure.y]

    found = over_tasks(results, arms, figure.tasks, take, notes)
    lines = [arm for arm in arms if any((arm, task) in found for task in figure.tasks)]
    if not lines:
        return None
    names = labels(arms)
    room = 0.45 + len(lines) * name_height([names[arm] for arm in lines]) / 72  # inches: for all names in one column
    drawing, panels = svg.canvas(0.9 + max(2.3, room) * len(figure.y), (len(figure.y), 1), sharex=True)
    for row, axes in enumerate(panels):
        unit = common_unit(values[row][1] for values in found.values())
        drawn = {
            names[arm]: {
                place: found[arm, task][row][0] for place, task in enumerate(figure.tasks) if (arm, task) in found
            }
            for arm in lines
        }
        ends = draw_lines(axes, drawn, unit)
        axes.set_ylabel(axis_title(figure.y[row], unit))
        if row == 0 and figure.reference is not None:
            _refer(axes, figure, unit)
        name_lines(axes, ends)
    name_tasks(panels[-1], figure, across=1)
    panels[-1].set_xlabel(figure.x)
    return drawing


def draw_lines(
    axes: Any, lines: Mapping[str, Mapping[int, Estimate]], unit: Unit
) -> list[tuple[float, float, str, str]]:
    """A line with intervals for each name, through its numbers at their places; returns the ends for `name_lines`."""
    ends = []
    for order, (name, numbers) in enumerate(lines.items()):
        y, reach = as_drawn(list(numbers.values()), unit)
        x = [place + ASIDE * (order - (len(lines) - 1) / 2) for place in numbers]
        dash, marker = STYLES[order // len(svg.SERIES) % len(STYLES)]
        style = {"color": svg.colour(order), "linewidth": 1.8, "markersize": 4.5, "elinewidth": 1.0}
        axes.errorbar(x, y, yerr=reach, linestyle=dash, marker=marker, **style)
        ends.append((x[-1], y[-1], name, svg.colour(order)))
    axes.margins(x=0.05, y=0.06)
    _scale(axes, unit, [estimate.value for numbers in lines.values() for estimate in numbers.values()])
    return ends


def _scale(axes: Any, unit: Unit, values: Sequence[float]) -> None:
    """Shares start at 0; numbers that differ a hundredfold, as a perplexity does that explodes, get a log axis."""
    if unit == "share":
        axes.set_ylim(bottom=0)
    elif explodes(values):
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(bottom=min(values) / 2)


def _refer(axes: Any, figure: Figure, unit: Unit) -> None:
    """The dashed line of `figure.reference`, named at its left end."""
    assert figure.reference is not None
    level = figure.reference * (100 if unit == "share" else 1)
    axes.axhline(level, color=svg.FAINT, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1.5)
    text = f"{figure.reference_label}, {number(figure.reference, unit)}{' %' if unit == 'share' else ''}"
    axes.annotate(
        text, (0, level), (3, 3), xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="bottom",
        ha="left", fontsize=8.5, color=svg.FAINT,
    )  # fmt: skip
