"""Maps: shaded cells of what transforms measured, such as how often a selection keeps a layer.

A row is a checkpoint, or a column of one checkpoint; a cell is the mean over the seeds. Only what lies between none and
all is printed, so that a map of thirty layers is read by its shades.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from methodbench import svg
from methodbench.drawings.heat import name_shades
from methodbench.drawings.line_names import wrapped
from methodbench.drawings.points import words
from methodbench.errors import UserError
from methodbench.measures import NAME, checkpoint_measures
from methodbench.results import Results
from methodbench.study import Figure
from methodbench.wording import count, listed

ROW, LINE = 0.25, 0.14  # inches: a row with a name of one line, and each further line
PRINTABLE = 40  # columns in which a number of two digits fits
SPACE = 22  # column names that fit side by side

Row = dict[float, list[float]]  # value of the column x -> the number of each seed


def draw_map(results: Results, figure: Figure, notes: list[str]) -> Any:
    """A row for each checkpoint and each of its columns `figure.y`, a cell for each value of its column `figure.x`.

    Raises:
        UserError: a column is unknown, or a cell is not from 0 to 1.
    """
    rows = {(name, column): _row(results, figure, name, column) for name in figure.checkpoints for column in figure.y}
    lost = list(dict.fromkeys(f"`{name}`" for (name, _), row in rows.items() if not row))
    if lost:
        notes.append(f"{listed(lost)} left out: no numbers in a {NAME} of the checkpoint")
    titles = dict(zip(rows, figure.ticks or [_title(figure, *key) for key in rows], strict=True))
    drawn = {key: row for key, row in rows.items() if row}
    if not drawn:
        return None
    places = sorted({place for row in drawn.values() for place in row})
    names = [wrapped(titles[key], 26) for key in drawn]
    height = sum(ROW + LINE * name.count("\n") for name in names) / len(names)
    drawing, (axes,) = svg.canvas(1.75 + height * len(names))
    for down, row in enumerate(drawn.values()):
        for across, place in enumerate(places):
            if place in row:
                _cell(axes, across, down, float(np.mean(row[place])), len(places) <= PRINTABLE)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    every = -(-len(places) // SPACE)
    axes.set_xticks(range(0, len(places), every), [f"{place:g}" for place in places[::every]])
    axes.set_xlabel(words(figure.x))
    axes.tick_params(labelsize=8.5)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    many = max(len(seeds) for row in drawn.values() for seeds in row.values())
    title = f"{words(figure.y[0])}, %" if len(figure.y) == 1 else "%"
    name_shades(drawing, [axes], f"{title}, mean of {count(many, 'seed')}" if many > 1 else title, Normalize(0, 100))
    return drawing


def _row(results: Results, figure: Figure, checkpoint: str, column: str) -> Row:
    """The column's mean at every value of the column `figure.x`, one number a seed."""
    where = f"study {results.study.study}: figures.{figure.id}"
    row: Row = {}
    for file in checkpoint_measures(results, checkpoint):
        x = np.array(file.numbers(figure.x, f"{where}.x"))
        y = np.array(file.numbers(column, f"{where}.y"))
        usable = np.isfinite(x) & np.isfinite(y)
        outside = y[usable & ((y < 0) | (y > 1))]
        if outside.size:
            raise UserError(f"{where}.y: column '{column}' of {file.path}: given {outside[0]:g}, allowed: 0 to 1")
        for place in np.unique(x[usable]):
            row.setdefault(float(place), []).append(float(y[usable & (x == place)].mean()))
    return row


def _title(figure: Figure, checkpoint: str, column: str) -> str:
    """The shortest name that tells the rows apart."""
    if len(figure.checkpoints) == 1:
        return words(column)
    return checkpoint if len(figure.y) == 1 else f"{checkpoint}, {words(column)}"


def _cell(axes: Any, across: int, down: int, value: float, printed: bool) -> None:
    shade, ink = svg.shade(value)
    axes.add_patch(Rectangle((across - 0.46, down - 0.44), 0.92, 0.88, facecolor=shade, edgecolor="none"))
    if printed and 0 < value < 1:
        axes.text(across, down, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=ink)
