"""Histograms: how the numbers spread that a transform measured while it made a checkpoint, all seeds pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from methodbench import svg
from methodbench.drawings.panels import ACROSS, columns, natural
from methodbench.drawings.points import words
from methodbench.measures import checkpoint_measures
from methodbench.results import Floats, Results
from methodbench.study import Figure
from methodbench.wording import count

BINS = 24
MARK = 8.0  # points: size of a mark's name

Spread = dict[str, list[Floats]]  # panel -> the numbers of each seed


def draw_histogram(results: Results, figure: Figure, notes: list[str]) -> Any:
    """Shares of the values of column `figure.x`, a colour a checkpoint, a panel for each value of `figure.by`."""
    found: dict[str, Spread] = {}
    for name in figure.checkpoints:
        spread = _read(results, figure, name, notes)
        if spread:
            found[name] = spread
    if not found:
        return None
    edges = _edges(figure, found)
    _clip(figure, found, notes)
    titles = sorted({title for spread in found.values() for title in spread}, key=natural)
    across = columns(len(titles))
    down = -(-len(titles) // across)
    height = 1.2 + down * (2.6 if down == 1 and across < ACROSS else 1.75)
    drawing, panels = svg.canvas(height, (down, across), sharex=True, sharey=True)
    for axes, title in zip(panels, titles, strict=False):
        for order, (name, spread) in enumerate(found.items()):
            if title in spread:
                first = title == next(key for key in titles if key in spread)
                _bars(axes, spread[title], edges, order, len(found), name if first else "")
        if figure.by:
            name = f"{words(figure.by)} {title}"
            axes.set_title(name, loc="left", fontsize=9, fontweight="bold", color=svg.INK)
    for place, axes in enumerate(panels):
        _frame(axes, first=place % across == 0, last=place + across >= len(titles))
        axes.set_xlabel(words(figure.x) if place // across == down - 1 else "")
        if place >= len(titles):
            axes.set_axis_off()
    if len(found) > 1:
        drawing.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9, labelcolor=svg.INK)
    if figure.marks:
        _mark(drawing, panels[: len(titles)], figure.marks, edges)
    seeds = max(len(seeds) for spread in found.values() for seeds in spread.values())
    if seeds > 1:
        notes.append(f"Whiskers run from the lowest to the highest share among {count(seeds, 'seed')}")
    return drawing


def _read(results: Results, figure: Figure, name: str, notes: list[str]) -> Spread:
    """A checkpoint's numbers by panel and seed; what is missing, or is no number, is noted."""
    where = f"study {results.study.study}: figures.{figure.id}"
    files = checkpoint_measures(results, name)
    if not files:
        notes.append(f"`{name}` left out: its folder holds no measures.csv")
    found: Spread = {}
    lost = 0
    for measures in files:
        numbers = np.array(measures.numbers(figure.x, f"{where}.x"), dtype=np.float64)
        titles = np.array(measures.words(figure.by, f"{where}.by") if figure.by else [""] * len(numbers), dtype=np.str_)
        usable = ~np.isnan(numbers) if figure.clip else np.isfinite(numbers)
        lost += int((~usable).sum())
        for title in np.unique(titles[usable]):
            found.setdefault(str(title), []).append(numbers[usable & (titles == title)])
    if lost:
        notes.append(f"{count(lost, 'value')} of `{name}` left out: no finite number")
    if files and not found:
        notes.append(f"`{name}` left out: its measures.csv holds no number in column {figure.x}")
    return found


def _edges(figure: Figure, found: Mapping[str, Spread]) -> Floats:
    """Edges of the bins, the same for all panels: over `figure.clip`, else over all that was measured."""
    if figure.clip:
        low, high = figure.clip
    else:
        everything = np.concatenate([part for spread in found.values() for seeds in spread.values() for part in seeds])
        low, high = float(everything.min()), float(everything.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def _clip(figure: Figure, found: Mapping[str, Spread], notes: list[str]) -> None:
    """Put what lies outside at the edges, and say how much that is."""
    if figure.clip is None:
        return
    low, high = figure.clip
    parts = [part for spread in found.values() for seeds in spread.values() for part in seeds]
    below = sum(int((part < low).sum()) for part in parts)
    above = sum(int((part > high).sum()) for part in parts)
    for spread in found.values():
        for seeds in spread.values():
            seeds[:] = [np.clip(part, low, high) for part in seeds]
    if below or above:
        outside = [f"{below} below {low:g}"] * bool(below) + [f"{above} above {high:g}"] * bool(above)
        total = sum(len(part) for part in parts)
        said = f"Of {count(total, 'value')}, {' and '.join(outside)} are counted in the bins at the edges"
        notes.append(said.replace("-", "−"))


def _bars(axes: Any, seeds: Sequence[Floats], edges: Floats, order: int, many: int, name: str) -> None:
    """One checkpoint in one panel: the pooled shares, and whiskers over the seeds' own."""
    pooled = _shares(np.concatenate(seeds), edges)
    colour, width = svg.colour(order), float(edges[1] - edges[0])
    middles = edges[:-1] + width / 2
    if many == 1:
        axes.bar(middles, pooled, width=0.86 * width, color=colour, alpha=0.85)
    else:
        axes.stairs(pooled, edges, fill=True, color=colour, alpha=0.16, linewidth=0)
        outline = np.where(pooled > 0, pooled, np.nan)  # no coloured line where there is nothing
        axes.stairs(outline, edges, color=colour, linewidth=1.5, label=name or None)
    if len(seeds) > 1:
        own = np.stack([_shares(seed, edges) for seed in seeds])
        reach = [np.maximum(0.0, pooled - own.min(axis=0)), np.maximum(0.0, own.max(axis=0) - pooled)]
        some = own.max(axis=0) > 0
        aside = width * 0.5 * ((order + 0.5) / many - 0.5)
        axes.errorbar(
            middles[some] + aside, pooled[some], yerr=[part[some] for part in reach], fmt="none",
            ecolor=svg.INK if many == 1 else colour, elinewidth=0.9,
        )  # fmt: skip


def _shares(values: Floats, edges: Floats) -> Floats:
    """Percent of the values in each bin."""
    return 100.0 * np.histogram(values, edges)[0] / len(values)


def _frame(axes: Any, *, first: bool, last: bool) -> None:
    axes.grid(axis="x", visible=False)
    axes.tick_params(labelsize=8.5)
    axes.tick_params(axis="x", labelbottom=last)
    axes.set_ylabel("share, %" if first else "")


def _mark(drawing: Any, panels: Sequence[Any], marks: Mapping[str, float], edges: Floats) -> None:
    """Vertical lines with their names above the bars, one below the other where they would overlap."""
    low, high = min(edges[0], *marks.values()), max(edges[-1], *marks.values())
    room = 0.02 * (high - low)
    panels[0].set_xlim(low - room, high + room)
    drawing.canvas.draw()
    box = panels[0].get_window_extent()
    wide, tall = (side * 72 / drawing.dpi for side in (box.width, box.height))
    left, right = panels[0].get_xlim()
    rows: list[float] = []  # where the last name of each row ends, in points
    spots = []
    for name, place in sorted(marks.items(), key=lambda mark: mark[1]):
        start, length = wide * (place - left) / (right - left) + 3, 0.62 * MARK * len(name)
        flip = start + length > wide
        start = start - length - 6 if flip else start
        row = next((row for row, end in enumerate(rows) if end < start), len(rows))
        rows[row : row + 1] = [start + length + 4]
        spots.append((name, place, row, flip))
    top = panels[0].get_ylim()[1] / max(0.3, 1 - (len(rows) * (MARK + 3) + 4) / tall)
    for axes in panels:
        axes.set_ylim(0, top)
        for place in marks.values():
            axes.axvline(place, color=svg.FAINT, linewidth=1.0, linestyle=(0, (4, 3)))
        for name, place, row, flip in spots:
            axes.annotate(
                name, (place, 1), (-3 if flip else 3, -2 - row * (MARK + 3)), xycoords=axes.get_xaxis_transform(),
                textcoords="offset points", ha="right" if flip else "left", va="top", fontsize=MARK, color=svg.FAINT,
                bbox={"facecolor": svg.PAPER, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
