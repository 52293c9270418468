"""What is done to one tensor: its weights, masks, thresholds and angle, found before its pieces are merged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from methodbench.merging.config import MergeConfig
from methodbench.merging.masks import Mask
from methodbench.merging.operators import dropped, elect, linear, slerp_weights
from methodbench.merging.selecting import Counting, Trim

Pieces = Iterable[Sequence[Tensor]]  # in float64: each parent's piece, the base's last


class Straight:
    """A weighted sum of the parents: everything that needs neither a mask nor an election, at one rounding."""

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = tuple(weights)
        self.kept: list[int] | None = None

    def __call__(self, parts: Sequence[Tensor], deltas: Sequence[Tensor]) -> Tensor:
        """sum_n w_n x_n."""
        return linear(parts, self.weights)


class Sparse:
    """b + scale * (sum or election of thinned deltas)."""

    def __init__(
        self, settings: MergeConfig, weights: Sequence[float], masks: Sequence[Mask], trims: Sequence[Trim]
    ) -> None:
        self._settings, self._weights, self._masks, self._trims = settings, weights, masks, trims
        self._divisor = 1 - settings.drop if settings.rescale == "expectation" else 1.0
        self.kept = [0] * len(weights)

    def __call__(self, parts: Sequence[Tensor], deltas: Sequence[Tensor]) -> Tensor:
        """The merged piece; pieces must come in order."""
        settings = self._settings
        thin = []
        for index, (delta, weight) in enumerate(zip(deltas, self._weights, strict=True)):
            if self._masks:
                kept = self._masks[index].next(len(delta))
                self.kept[index] += int(torch.count_nonzero(kept))
                thin.append(dropped(delta, kept, weight, self._divisor))
            else:
                thin.append(self._trims[index](delta).mul_(weight))
                self.kept[index] = self._trims[index].kept
        if settings.operator == "dare_linear":
            merged = sum(thin[1:], thin[0])
        else:
            merged = elect(thin, self._weights, settings.operator == "ties" and settings.ties_normalize)
        return merged.mul_(settings.scale).add_(parts[-1])


def recipe(
    settings: MergeConfig,
    weights: Sequence[float],
    seed: int,
    name: str,
    count: int,
    pieces: Callable[[], Pieces],
    trims: Sequence[Trim] = (),
) -> Straight | Sparse:
    """How to merge the tensor `name` of `count` entries; `pieces` reads it once more for operators that look first.

    What comes to a weighted sum is done as one, so that drop 0 equals task_arithmetic bit for bit and drop 1 the base.
    """
    if settings.operator == "linear":
        return Straight(weights)
    if settings.operator == "slerp":
        return Straight(slerp_weights(*dot_and_norms(pieces()), weights[0]))
    if settings.drop == 1:
        return Straight((*(0.0 for _ in weights), 1.0))
    alone = len(weights) == 1  # then every election is won
    whole = settings.drop == 0 and settings.density == 1
    if whole and (alone or settings.operator in ("task_arithmetic", "dare_linear")):
        normalized = settings.operator == "ties" and settings.ties_normalize
        factors = [settings.scale * (float(weight != 0) if normalized else weight) for weight in weights]
        return Straight((*factors, 1 - math.fsum(factors)))
    if settings.operator == "ties":
        if not trims:
            keep = [max(1, int(settings.density * count))] * len(weights)
            trims = [Trim(found.least, found.left) for found in largest(keep, pieces)]
        return Sparse(settings, weights, [], trims)
    when = settings.round if settings.mask_seed == "round" else "constant"
    masks = [Mask(f"dare|{seed}|{when}|{model}|{name}", settings.drop) for model in range(len(weights))]
    return Sparse(settings, weights, masks, [])


def largest(keep: Sequence[int], pieces: Callable[[], Pieces]) -> list[Counting]:
    """For each model the least of its `keep` largest deltas; reads everything twice."""
    counting = [Counting(number) for number in keep]
    for _ in range(2):
        for parts in pieces():
            for count, part in zip(counting, parts[:-1], strict=True):
                count.add(part - parts[-1])
        for count in counting:
            count.narrow()
    return counting


def dot_and_norms(pieces: Pieces) -> tuple[float, float, float]:
    """x·y, |x| and |y| of two tensors."""
    sums: list[list[float]] = [[], [], []]
    for x, y in pieces:
        for total, (a, b) in zip(sums, ((x, y), (x, x), (y, y)), strict=True):
            total.append(float(torch.dot(a, b)))
    dot, first, last = (math.fsum(total) for total in sums)
    return dot, math.sqrt(first), math.sqrt(last)


def needs_global_trim(settings: MergeConfig) -> bool:
    """Are thresholds to be found over all tensors before any is merged?"""
    return settings.operator == "ties" and settings.trim == "global" and settings.density < 1
