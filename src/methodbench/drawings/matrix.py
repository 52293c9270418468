"""The matrix of stacked methods: what two do together beyond their sum, a row for the first, a column for the second.

Blue is better than the sum and orange worse, whichever way the metric counts. What is unclear has no colour, however
large its number: at a glance, colour is what was found. A pair that was not run leaves its cell empty; one that could
not be compared has a dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from methodbench import svg
from methodbench.drawings.heat import half_width, name_shades
from methodbench.drawings.line_names import wrapped
from methodbench.drawings.points import words
from methodbench.interactions import Stacked
from methodbench.stats import Estimate
from methodbench.wording import Unit, number

ROW = 0.62  # inches: three lines of print


def draw_matrix(stacks: Sequence[Stacked]) -> Any:
    """A panel for each metric; None where no interaction could be computed."""
    metrics = list(dict.fromkeys(one.metric for one in stacks if one.interaction.effect is not None))
    if not metrics:
        return None
    panels = [[one for one in stacks if one.metric == metric] for metric in metrics]
    sizes = [(len(_names(panel, "first")), len(_names(panel, "second"))) for panel in panels]
    heights = [1.15 + ROW * rows for rows, _ in sizes]
    drawing, axes = svg.canvas(0.4 + sum(heights), (len(panels), 1), gridspec_kw={"height_ratios": heights})
    for place, panel in zip(axes, panels, strict=True):
        _panel(drawing, place, panel, titled=len(panels) > 1)
    return drawing


def _panel(drawing: Any, axes: Any, stacks: Sequence[Stacked], *, titled: bool) -> None:
    rows, columns = _names(stacks, "first"), _names(stacks, "second")
    unit: Unit = "number"
    if all(one.interaction.unit == "share" for one in stacks if one.interaction.effect is not None):
        unit = "share"
    found = [one.interaction.effect.value for one in stacks if one.interaction.effect is not None]
    counts = max(one.counts for one in stacks if one.interaction.effect is not None)
    span = max(2 * counts, *map(abs, found)) or 1.0  # the strongest shade is for nothing that does not count
    for one in stacks:
        place = columns.index(one.second), rows.index(one.first)
        effect = one.interaction.effect
        if effect is None:
            axes.text(*place, "–", ha="center", va="center", fontsize=9, color=svg.FAINT)
        else:
            _cell(axes, place, one, effect, unit, span)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), [wrapped(name, max(6, 56 // len(columns))) for name in columns])
    axes.set_yticks(range(len(rows)), [wrapped(f"{name}, then", 18) for name in rows])
    axes.xaxis.tick_top()
    axes.tick_params(labelsize=9, labelcolor=svg.INK)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    task, _, name = stacks[0].metric.rpartition("/")
    if titled:
        axes.set_title(f"{words(name)} on {task}", loc="left", fontsize=9.5, fontweight="bold", color=svg.INK)
    said = "" if titled else f"{words(name)} on {task}: "
    title = f"{said}together less the sum{', points' if unit == 'share' else ''}; * significant"
    scale = 100 if unit == "share" else 1
    shades = svg.DIVERGING if stacks[0].better > 0 else svg.DIVERGING[::-1]
    name_shades(drawing, [axes], title, Normalize(-span * scale, span * scale), shades)


def _names(stacks: Sequence[Stacked], side: str) -> list[str]:
    """Methods of one side, all methods in the order in which the study names them first."""
    every = dict.fromkeys(name for one in stacks for name in (one.first, one.second))
    return [name for name in every if any(getattr(one, side) == name for one in stacks)]


def _cell(axes: Any, place: tuple[int, int], one: Stacked, effect: Estimate, unit: Unit, span: float) -> None:
    """The interaction with its half-width and word; a significant one in bold, with a star and a frame.

    An unclear one stands in a dashed frame.
    """
    shade, ink = svg.diverging((one.better * effect.value / span + 1) / 2)
    frame: dict[str, Any] = {"edgecolor": svg.INK, "linewidth": 1.4} if one.significant else {"edgecolor": "none"}
    if one.word == "unclear":
        shade, ink = "none", svg.INK
        frame = {"edgecolor": svg.FAINT, "linewidth": 1.0, "linestyle": (0, (4, 3))}
    axes.add_patch(Rectangle((place[0] - 0.47, place[1] - 0.45), 0.94, 0.9, facecolor=shade, **frame))
    centred = {"textcoords": "offset points", "ha": "center", "color": ink}
    star, weight = ("*", "bold") if one.significant else ("", "normal")
    shown = f"{number(effect.value, unit, signed=True)}{star}"
    axes.annotate(shown, place, (0, 5), va="bottom", fontsize=10.5, fontweight=weight, **centred)
    axes.annotate(f"±{number(half_width(effect), unit)}", place, (0, 3), va="top", fontsize=8, **centred)
    axes.annotate(one.word, place, (0, -8), va="top", fontsize=7.5, **centred)
