"""Which units are pruned: the top alpha percent of their scores (M§2.3; arXiv 2502.15910).

k = floor(alpha N / 100) of N units, exactly, with ties: of equal scores the unit that comes first. A larger alpha keeps
every unit of a smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor


def budget(units: int, alpha: float) -> int:
    """k = floor(alpha N / 100); alpha is meant as it is written (0.57 percent of 10,000 units is 57)."""
    return math.floor(Fraction(str(alpha)) * units / 100)


def top(scores: Tensor, alpha: float) -> Tensor:
    """The k units with the largest scores, of equal ones the first: [N] -> bool [N].

    Units with score -inf are never chosen: with too few others there are fewer than k.

    Raises:
        ValueError: a score is nan.
    """
    _check(scores)
    order = scores.sort(descending=True, stable=True).indices
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[order[: budget(len(scores), alpha)]] = True
    return chosen & (scores > -math.inf)


def top_with_ties(scores: Tensor, alpha: float) -> Tensor:
    """The released code's choice: every unit whose score reaches the k-th largest, more than k with ties (M§2.4-8).

    For k = 0, where that code stops with an error, nothing is chosen.
    """
    _check(scores)
    count = budget(len(scores), alpha)
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    return (scores >= scores.topk(count).values[-1]) & (scores > -math.inf)


def _check(scores: Tensor) -> None:
    if scores.isnan().any():
        raise ValueError("a score is not a number")


def chosen(groups: Sequence[Sequence[Tensor]], alpha: float, ties: bool = False) -> list[list[Tensor]]:
    """One budget for each group of parts: scores [C] of each part -> sorted indices of its chosen units.

    Args:
        groups: a group is a tower, a layer, or everything; its parts come in the model's order.
        ties: choose as the released code does.
    """
    choose = top_with_ties if ties else top
    found = []
    for group in groups:
        picked = choose(torch.cat(list(group)), alpha)
        found.append([part.nonzero().flatten() for part in picked.split([len(part) for part in group])])
    return found
