"""How panels stand: how many in a row, how tasks are named below them, and in which order names with numbers come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from methodbench.study import Figure

ACROSS = 3  # panels in a row at most
ROOM = {1: 72, 2: 42, 3: 26}  # panels in a row -> characters that fit side by side below one of them


def columns(many: int) -> int:
    """Panels in a row: four stand two by two."""
    return 2 if many == 4 else min(many, ACROSS)


def natural(name: str) -> list[tuple[int, float, str]]:
    """A sorting key by which "depth 0.5" comes before "depth 10"."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(0, float(part), "") if place % 2 else (1, 0.0, part) for place, part in enumerate(parts)]


def name_tasks(axes: Any, figure: Figure, *, across: int, shown: bool = True) -> None:
    """Write the names of `figure.tasks` below a panel of `across` in a row, tilted where they would not fit."""
    names = tick_names(figure)
    tilted = max(map(len, names)) * len(names) > ROOM[across]
    how = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
    axes.set_xticks(range(len(names)), names if shown else [""] * len(names), **how)


def tick_names(figure: Figure) -> Sequence[str]:
    """The names of `figure.tasks` on an axis: as given, else their datasets where these differ, else whole."""
    if figure.ticks:
        return figure.ticks
    datasets = [task.rpartition("/")[0] for task in figure.tasks]
    return datasets if len(set(datasets)) == len(datasets) else figure.tasks
