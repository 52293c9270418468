"""How much each part of a model changed, and whether the parts that matter changed less (IMM, arXiv 2503.02103).

C_l2(l)    ||theta_t^l - theta_0^l||_2, as the first author's follow-up defines it (arXiv 2510.04454)
C_rel(l)   C_l2(l) / ||theta_0^l||_2, which a layer's size does not bias
C_abs(l)   mean |theta_t^l - theta_0^l|
rho        Spearman's rank correlation of importance and change over layers; the paper's claim predicts rho <= 0

Sums are float64, whatever the weights are stored in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 1 << 22  # weights that are float64 at once
TOLERANCE = 1e-12  # of two correlations that are one


@dataclass(frozen=True)
class Change:
    """Sums over some weights, which add up over tensors."""

    squared: float = 0.0  # of the differences
    original: float = 0.0  # squares of the original weights
    absolute: float = 0.0  # of the differences
    count: int = 0

    @property
    def l2(self) -> float:
        return math.sqrt(self.squared)

    @property
    def rel(self) -> float:
        """nan if weights that were all 0 changed."""
        if not self.squared:
            return 0.0
        return math.sqrt(self.squared / self.original) if self.original else math.nan

    @property
    def abs(self) -> float:
        return self.absolute / self.count if self.count else 0.0


def change(tuned: Tensor, original: Tensor) -> Change:
    """The change of one tensor; both of one shape."""
    squared = before = absolute = 0.0
    for new, old in zip(tuned.flatten().split(CHUNK), original.flatten().split(CHUNK), strict=True):
        delta = new.double() - old.double()
        squared += float(delta.square().sum())
        before += float(old.double().square().sum())
        absolute += float(delta.abs().sum())
    return Change(squared, before, absolute, original.numel())


def total(changes: Iterable[Change]) -> Change:
    """The change of several tensors together."""
    every = list(changes)
    return Change(
        math.fsum(one.squared for one in every),
        math.fsum(one.original for one in every),
        math.fsum(one.absolute for one in every),
        sum(one.count for one in every),
    )


def ranks(values: Tensor) -> Tensor:
    """Ranks [L] from 1, float64; equal values share the mean of their ranks."""
    below = (values[None] < values[:, None]).sum(1)
    same = (values[None] == values[:, None]).sum(1)
    return below + (same + 1).double() / 2


def spearman(one: Tensor, other: Tensor) -> float:
    """rho of two rows [L]; nan if a value is not a number or one row is constant."""
    a, b = _centred(one), _centred(other)
    return float(a @ b)


def permutation_p(one: Tensor, other: Tensor, most: int, generator: torch.Generator) -> float:
    """Two-sided: how often a shuffled row correlates as strongly, |rho'| >= |rho|.

    All L! orders if they are at most `most`, which is exact; else `most` random ones, and (1 + hits) / (1 + most).
    """
    a, b = _centred(one), _centred(other)
    seen = (a @ b).abs()
    if seen.isnan():
        return math.nan
    length = len(a)
    exact = math.factorial(length) <= most
    if exact:
        orders = torch.tensor(list(itertools.permutations(range(length))))
    else:
        orders = torch.rand(most, length, generator=generator, dtype=torch.float64).argsort(1)
    hits = int(((b[orders] @ a).abs() >= seen - TOLERANCE).sum())
    return hits / len(orders) if exact else (1 + hits) / (1 + most)


def overlap(one: Tensor, other: Tensor, k: int) -> float:
    """Share of the k largest of `one` [L] that are among the k largest of `other`; of equal values the first counts.

    Two unrelated rows share k / L on average.
    """
    top = [set(row.sort(descending=True, stable=True).indices[:k].tolist()) for row in (one, other)]
    return len(top[0] & top[1]) / k


def _centred(values: Tensor) -> Tensor:
    """Ranks with mean 0 and length 1, or nan."""
    ranked = ranks(values).masked_fill(values.isnan().any(), math.nan)
    ranked = ranked - ranked.mean()
    norm = ranked.norm()
    return ranked / norm if norm != 0 else ranked * math.nan
