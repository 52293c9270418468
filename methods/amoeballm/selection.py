"""Which layers go: searches over sets of layers, by any metric of a set (arXiv 2411.10606, stage 1; sheet 2.1).

A metric takes the removed layers, ascending, and gives a number; higher is better. A search returns two mappings from
the number of removed layers m = 0 to M: the layers, ascending (0 -> ()), and the metric seen for them (from 1 on).
`candidates` are the layers that may go, in the order in which they are looked at. The official code looks at the
deepest candidate first.

dynamic     P[n][m] = max(P[n-1][m], metric(S[n-1][m-1] + {n-th candidate})): exact where the metric is additive over
            layers, a heuristic elsewhere
greedy      backward elimination: from the best set of m - 1 to the best set that has one more
exhaustive  every set: what the two are checked against
contiguous  the block of m layers whose input and output are closest (arXiv 2403.17887)

The first two evaluate M N - M (M - 1) / 2 sets of N candidates. Equal metrics keep what was found first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

Metric = Callable[[tuple[int, ...]], float]
Found = tuple[dict[int, tuple[int, ...]], dict[int, float]]

MOST_SUBSETS = 200_000  # that an exhaustive search evaluates


def steps(candidates: int, most: int) -> int:
    """Sets that `dynamic` and `greedy` evaluate."""
    return most * candidates - most * (most - 1) // 2


def subsets(candidates: int, most: int) -> int:
    """Sets that `exhaustive` evaluates."""
    return sum(math.comb(candidates, count) for count in range(1, most + 1))


def dynamic(metric: Metric, candidates: Sequence[int], most: int) -> Found:
    """The paper's dynamic programme. A layer that ties with keeping it stays; a kept set is not measured again.

    Raises:
        ValueError: more layers are to go than may, or a metric is not a number.
    """
    _check(candidates, most)
    best: dict[int, tuple[float, tuple[int, ...]]] = {}  # m -> among the candidates looked at so far
    for looked, layer in enumerate(candidates):
        found = dict(best)
        for count in range(1, min(looked + 1, most) + 1):
            below = best[count - 1][1] if count > 1 else ()
            removed = tuple(sorted((*below, layer)))
            value = _number(metric(removed), removed)
            if count not in best or value > best[count][0]:
                found[count] = value, removed
        best = found
    return _found(best)


def greedy(metric: Metric, candidates: Sequence[int], most: int) -> Found:
    """Backward elimination: the layer goes whose removal leaves the best metric, of equal ones the first candidate.

    Raises:
        ValueError: more layers are to go than may, or a metric is not a number.
    """
    _check(candidates, most)
    best: dict[int, tuple[float, tuple[int, ...]]] = {}
    removed: tuple[int, ...] = ()
    for count in range(1, most + 1):
        sets = [tuple(sorted((*removed, layer))) for layer in candidates if layer not in removed]
        best[count] = _best(metric, sets)
        removed = best[count][1]
    return _found(best)


def exhaustive(metric: Metric, candidates: Sequence[int], most: int) -> Found:
    """The best of all sets of every size; of equal ones that of the first candidates.

    Raises:
        ValueError: more layers are to go than may, more than `MOST_SUBSETS` sets, or a metric is not a number.
    """
    _check(candidates, most)
    sets = subsets(len(candidates), most)
    if sets > MOST_SUBSETS:
        raise ValueError(f"{sets} sets of up to {most} of {len(candidates)} layers, allowed: {MOST_SUBSETS}")
    best = {}
    for count in range(1, most + 1):
        best[count] = _best(metric, [tuple(sorted(chosen)) for chosen in combinations(candidates, count)])
    return _found(best)


def contiguous(distance: Callable[[int, int], float], layers: int, most: int, keep_last: int) -> Found:
    """For every m the block of m layers that moves the residual stream least; of equal ones the deepest.

    Args:
        distance: (start, stop) -> distance between the inputs of layers `start` and `stop`; `layers` is the output.
        layers: of the model, of which the last `keep_last` stay.

    The metric is the distance, negated.

    Raises:
        ValueError: more layers are to go than may, or a distance is not a number.
    """
    _check(range(layers - keep_last), most)
    best = {}
    for count in range(1, most + 1):
        starts = reversed(range(layers - keep_last - count + 1))
        blocks = [tuple(range(start, start + count)) for start in starts]
        best[count] = _best(lambda block: -distance(block[0], block[-1] + 1), blocks)
    return _found(best)


def ranking(scores: Sequence[float], candidates: Sequence[int], last: Sequence[int] = ()) -> list[int]:
    """Candidates by score, lowest first, of equal ones the first; those in `last` after all others.

    Raises:
        ValueError: a score is not a number.
    """
    for layer in candidates:
        _number(scores[layer], (layer,))
    return sorted(candidates, key=lambda layer: (layer in last, scores[layer]))


def _best(metric: Metric, sets: Sequence[tuple[int, ...]]) -> tuple[float, tuple[int, ...]]:
    best: tuple[float, tuple[int, ...]] | None = None
    for removed in sets:
        value = _number(metric(removed), removed)
        if best is None or value > best[0]:
            best = value, removed
    if best is None:
        raise ValueError("no set to choose from")
    return best


def _found(best: dict[int, tuple[float, tuple[int, ...]]]) -> Found:
    removed = {0: (), **{count: layers for count, (_, layers) in sorted(best.items())}}
    return removed, {count: value for count, (value, _) in sorted(best.items())}


def _check(candidates: Sequence[int], most: int) -> None:
    if not 0 <= most <= len(candidates):
        raise ValueError(f"{most} layers are to go, and {len(candidates)} may")


def _number(value: float, removed: tuple[int, ...]) -> float:
    if math.isnan(value):
        raise ValueError(f"the metric without layers {list(removed)} is not a number")
    return value
