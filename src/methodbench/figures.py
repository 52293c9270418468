"""The drawings of a report, as SVG: which kind is drawn by which file of `drawings`, and what could not be drawn.

An arm that has no valid number is left out and named in the caption, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methodbench import svg
from methodbench.drawings.bars import draw_bars, draw_stack
from methodbench.drawings.curve import draw_curve
from methodbench.drawings.heat import draw_heat
from methodbench.drawings.histogram import draw_histogram
from methodbench.drawings.lengths import draw_lengths
from methodbench.drawings.map import draw_map
from methodbench.drawings.measured import draw_layers, draw_measures
from methodbench.drawings.plane import draw_plane, tell_plane
from methodbench.drawings.profile import draw_profile
from methodbench.drawings.sweep import draw_sweep
from methodbench.results import Results
from methodbench.study import Figure

# The third argument collects notes for the caption; None comes back where there is nothing to draw.
KINDS: dict[str, Callable[[Results, Figure, list[str]], Any]] = {
    "curve": draw_curve,
    "sweep": draw_sweep,
    "bars": draw_bars,
    "stack": draw_stack,
    "profile": draw_profile,
    "lengths": draw_lengths,
    "heat": draw_heat,
    "plane": draw_plane,
    "histogram": draw_histogram,
    "measures": draw_measures,
    "layers": draw_layers,
    "map": draw_map,
}
TABLES: dict[str, Callable[[Results, Figure], str]] = {"plane": tell_plane}  # Markdown that stands below a drawing


@dataclass(frozen=True)
class Drawn:
    """A finished drawing; `path` is None where there was nothing to draw."""

    path: Path | None
    notes: tuple[str, ...]  # what was left out, and why
    table: str = ""  # its numbers in Markdown, where they say more than the drawing


def draw(results: Results, figure: Figure, folder: Path) -> Drawn:
    """Draw one figure of a study to ``folder/ID.svg``.

    Raises:
        UserError: the figure names an arm or a curve that the study does not score on its task.
    """
    path = folder / f"{figure.id}.svg"
    notes: list[str] = []
    made = KINDS[figure.kind](results, figure, notes)
    if made is None:
        return Drawn(None, (*notes, "there is nothing to draw yet"))
    svg.save(made, figure.title, path)
    return Drawn(path, tuple(notes), TABLES[figure.kind](results, figure) if figure.kind in TABLES else "")
