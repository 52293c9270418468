"""How tensors are merged. Everything comes and goes in float64, a flat piece of each tensor at a time.

Float32 values have 24 significant bits and float64 ones 53, so what is linear is exact to the one rounding at the end:
merge(x, x) = x for every weight (in float32, as much as 29 % of the entries would move). Products and sums are
separate operations: a fused one is used for whole vectors only, and results would depend on the pieces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

PARALLEL = 0.9995  # |cos| of the angle above which slerp is a straight line


def linear(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum_n w_n x_n; parts of weight 0 are not looked at, so that weight 1 gives a part back bit for bit."""
    total: Tensor | None = None
    for part, weight in zip(parts, weights, strict=True):
        if weight != 0:
            total = part * weight if total is None else total.add_(part * weight)
    return torch.zeros_like(parts[0]) if total is None else total


def dropped(delta: Tensor, kept: Tensor, weight: float, divisor: float) -> Tensor:
    """w m delta / divisor: what DARE adds to the base; divisor 1 - p keeps the expectation."""
    return delta.mul(weight).div_(divisor).mul_(kept)


def elect(deltas: Sequence[Tensor], weights: Sequence[float], normalize: bool) -> Tensor:
    """TIES: the sum of the (weighted) deltas that have the sign of their total; a total of 0 counts as positive.

    `normalize` divides by the weights of those, where that is not 0.
    """
    total = sum(deltas[1:], deltas[0])
    sign = torch.where(total >= 0, 1.0, -1.0)
    merged, share = torch.zeros_like(total), torch.zeros_like(total)
    for delta, weight in zip(deltas, weights, strict=True):
        agrees = delta.sign() == sign
        merged.add_(delta * agrees)
        share.add_(agrees * weight)
    return merged.div_(share.masked_fill_(share == 0, 1)) if normalize else merged


def slerp_weights(dot: float, first: float, last: float, weight: float) -> tuple[float, float]:
    """Weights of two tensors whose dot product and norms are given, `weight` of the way from the last to the first."""
    cosine = dot / ((first or 1.0) * (last or 1.0))
    if abs(cosine) > PARALLEL:
        return weight, 1 - weight
    angle = math.acos(cosine)
    return math.sin(weight * angle) / math.sin(angle), math.sin((1 - weight) * angle) / math.sin(angle)
