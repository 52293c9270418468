"""Heat maps: the mean of a metric by the samples' kind and by task, a panel an arm; every number is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.patches import Rectangle

from methodbench import svg
from methodbench.arms import Arm, labels, resolve_over
from methodbench.compare import measure
from methodbench.drawings.line_names import wrapped
from methodbench.drawings.panels import columns, name_tasks, natural
from methodbench.drawings.points import axis_title, common_unit, explodes, over_tasks
from methodbench.results import Missing, Results
from methodbench.stats import Estimate, Undefined
from methodbench.study import Figure
from methodbench.wording import Unit, number

CELL = 0.36  # inches: two lines of print

Cells = Mapping[str, tuple[Estimate, Unit]]  # kind -> the mean over its samples


def draw_heat(results: Results, figure: Figure, notes: list[str]) -> Any:
    """Mean of `figure.y` for each kind (rows) and each of `figure.tasks` (columns), a panel for each arm."""
    arms = resolve_over(results.study, figure.arms, figure.tasks)
    few: list[str] = []

    def take(arm: Arm, task: str) -> Cells:
        found = {}
        for kind in results.kinds(arm, task):
            try:
                found[kind] = measure(results, arm, task, figure.y[0], kind)
            except Undefined:
                few.append(kind)
        if not found:
            raise Missing("no kind of its samples has two items")
        return found

    found = over_tasks(results, arms, figure.tasks, take, notes)
    drawn = [arm for arm in arms if any((arm, task) in found for task in figure.tasks)]
    if not drawn:
        return None
    if few:
        notes.append("Cells of fewer than two items are left empty")
    kinds = sorted({kind for cells in found.values() for kind in cells}, key=natural)
    estimates = list(chain.from_iterable(cells.values() for cells in found.values()))
    unit = common_unit(unit for _, unit in estimates)
    norm = _norm([estimate.value for estimate, _ in estimates], unit)
    names = {arm: wrapped(name, 26) for arm, name in labels(arms).items()}
    across = columns(len(drawn))
    down = -(-len(drawn) // across)
    breaks = max(names[arm].count("\n") for arm in drawn)
    drawing, panels = svg.canvas(1.45 + down * (0.3 + 0.16 * breaks + CELL * len(kinds)), (down, across), sharey=True)
    for place, (axes, arm) in enumerate(zip(panels, drawn, strict=False)):
        for column, task in enumerate(figure.tasks):
            cells = found.get((arm, task), {})
            for row, kind in enumerate(kinds):
                if kind in cells:
                    _cell(axes, column, row, cells[kind][0], unit, norm)
                else:
                    axes.text(column, row, "–", ha="center", va="center", fontsize=8.5, color=svg.FAINT)
        axes.set_title(names[arm], loc="left", fontsize=9, fontweight="bold", color=svg.INK)
        _frame(axes, figure, kinds)
        name_tasks(axes, figure, across=across, shown=place + across >= len(drawn))
        axes.set_xlabel(figure.x if place // across == (len(drawn) - 1) // across else "")
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    name_shades(drawing, panels, axis_title(figure.y[0], unit), norm)
    return drawing


def half_width(estimate: Estimate) -> float:
    """Half of the 95 % interval; of an interval that is cut at 0 or 1, its longer arm."""
    return max(estimate.high - estimate.value, estimate.value - estimate.low)


def brief(value: float) -> str:
    """A number in few characters: "34.1", "885", "117k", "2.6M"."""
    size, sign = abs(value), "−" if value < 0 else ""
    for least, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= least:
            scaled = size / (1e3 if letter == "k" else least)
            return f"{sign}{scaled:.0f}{letter}" if scaled >= 10 else f"{sign}{scaled:.1f}{letter}"
    return number(value)


def _norm(values: Sequence[float], unit: Unit) -> Normalize:
    """From a number to its place on the ramp: shares from 0 to 100 %, others from the least to the largest."""
    if unit == "share":
        return Normalize(0.0, 100.0)
    lowest, highest = min(values), max(values)
    if explodes(values):
        return LogNorm(lowest, highest)
    return Normalize(lowest, highest if highest > lowest else lowest + 1.0)


def _cell(axes: Any, column: int, row: int, estimate: Estimate, unit: Unit, norm: Normalize) -> None:
    """One number on its shade, its half-width in small print below; not where every sample says 0 or every one 1."""
    shade, ink = svg.shade(float(norm(estimate.value * (100 if unit == "share" else 1))))
    axes.add_patch(Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, facecolor=shade, edgecolor="none"))
    value, reach = _printed(estimate, unit)
    centred = {"textcoords": "offset points", "ha": "center", "color": ink}
    if unit == "share" and estimate.value in (0.0, 1.0):
        axes.annotate(value, (column, row), (0, 0), va="center", fontsize=8.5, **centred)
        return
    axes.annotate(value, (column, row), (0, 0.5), va="bottom", fontsize=8.5, **centred)
    axes.annotate(f"±{reach}", (column, row), (0, -1.5), va="top", fontsize=6.8, **centred)


def _printed(estimate: Estimate, unit: Unit) -> tuple[str, str]:
    """Whole percents, since a cell is small, but a half-width below one keeps a digit; else the value's digits."""
    reach = half_width(estimate)
    if unit != "share":
        value = brief(estimate.value)
        decimals = len(value.partition(".")[2])
        return value, brief(reach) if value[-1].isalpha() else f"{reach:.{decimals}f}"
    return f"{100 * estimate.value:.0f}", f"{100 * reach:.1f}" if 0 < 100 * reach < 1 else f"{100 * reach:.0f}"


def _frame(axes: Any, figure: Figure, kinds: Sequence[str]) -> None:
    axes.set_xlim(-0.5, len(figure.tasks) - 0.5)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set_yticks(range(len(kinds)), [kind or "all" for kind in kinds])
    axes.tick_params(labelsize=8.5)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def name_shades(
    drawing: Any, panels: Sequence[Any], title: str, norm: Normalize, shades: Sequence[str] = svg.SHADES
) -> None:
    """The legend of shades below all panels."""
    bar = drawing.colorbar(
        ScalarMappable(norm, ListedColormap(list(shades))), ax=list(panels), location="bottom", shrink=0.42,
        aspect=42, pad=0.03, anchor=(0.0, 0.0),
    )  # fmt: skip
    bar.minorticks_off()
    bar.ax.xaxis.set_major_formatter(
        lambda value, place: brief(value) if abs(value) >= 1e4 else f"{value:g}".replace("-", "−")
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, labelcolor=svg.FAINT, length=0)
    bar.set_label(title, fontsize=8.5, color=svg.FAINT)
