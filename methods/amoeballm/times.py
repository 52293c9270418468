"""The times of shapes that `amoeballm_latency` left beside the weights, as those read them who cut a shape out."""

from __future__ import annotations

import json
from pathlib import Path

from methods.amoeballm.subnets import FROZEN

LATENCY = "latency.json"
Times = tuple[float, float]  # ms a token, and as a share of the full model's


def read_times(folder: Path) -> dict[tuple[int, float], Times]:
    """(depth, width) -> its times; of a tuned checkpoint those of the model that was tuned; empty without any."""
    for path in (folder / LATENCY, folder / FROZEN / LATENCY):
        if path.exists():
            shapes = json.loads(path.read_text(encoding="utf-8"))["shapes"]
            return {shape(row["depth"], row["width"]): (row["ms_per_token"], row["latency"]) for row in shapes}
    return {}


def shape(depth: float, width: float) -> tuple[int, float]:
    """A shape as it is looked up."""
    return int(depth), round(width, 6)
