"""How far each part of a model moved in a training (MIFO, arXiv 2510.04454, section 2.2).

l2      ||theta_T^l - theta_0^l||_2, the paper's measure, of all weights of a block l
rel     l2 / ||theta_0^l||_2, which a block's size does not bias
share   l2^2 over the same sum of the whole model: parts add up to 1
changed share of the entries that differ at all

Squares are float64, whatever the weights are stored in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = re.compile(r"(?:^|\.)(\d+)\.")  # "model.layers.3.mlp.up_proj.weight" is "mlp.up_proj.weight" of block 3


@dataclass(frozen=True)
class Moved:
    """Sums over some weights, which add up over tensors."""

    squares: float = 0.0  # of the differences
    before: float = 0.0  # squares of the weights at the start
    changed: int = 0
    count: int = 0

    @property
    def l2(self) -> float:
        return math.sqrt(self.squares)

    @property
    def rel(self) -> float:
        """nan if weights that were all 0 moved."""
        if not self.squares:
            return 0.0
        return math.sqrt(self.squares / self.before) if self.before else math.nan

    def row(self, whole: Moved) -> dict[str, float]:
        """The four measures; `whole` is what the share is of."""
        return {
            "l2": self.l2,
            "rel": self.rel,
            "share": self.squares / whole.squares if whole.squares else 0.0,
            "changed": self.changed / self.count if self.count else 0.0,
        }


def moved(tuned: Tensor, original: Tensor) -> Moved:
    """The move of some entries; both of one shape."""
    before = original.double()
    delta = tuned.double() - before
    return Moved(
        float(delta.square().sum()), float(before.square().sum()), int(torch.count_nonzero(delta)), delta.numel()
    )


def together(parts: Iterable[Moved]) -> Moved:
    """The move of several parts as one."""
    every = list(parts)
    return Moved(
        math.fsum(part.squares for part in every),
        math.fsum(part.before for part in every),
        sum(part.changed for part in every),
        sum(part.count for part in every),
    )


def place(name: str) -> tuple[int | None, str]:
    """The block that a tensor's name puts it in, None outside of blocks, and its name there."""
    found = BLOCK.search(name)
    return (int(found[1]), name[found.end() :]) if found else (None, name)
