"""Intervals and tests that keep the variance of the items apart from the variance of the seeds.

Model. For a statistic of S seeds and I items that all seeds share (say, a difference of two arms' accuracies),

    x[s, i] = mu + a_s + b_i + e_si ,     Var = sigma_a² (seeds), sigma_b² (items), sigma_e² (what is left)
    Var(pooled) = sigma_a²/S + sigma_b²/I + sigma_e²/(S·I) .

- Items: a bootstrap over items, the same draw for all seeds and arms, gives B = Var_items(pooled) =
  sigma_b²/I + sigma_e²/(S·I), and A = the mean over seeds of each seed's own Var_items = (sigma_b² + sigma_e²)/I.
- Hence E = (A - B)·S/(S - 1) = sigma_e²/I: the part of the spread between seeds that the items alone explain. (The
  items' own difficulty is no part of it: every seed meets the same items.)
- Seeds: M = Var_s(theta_s) = sigma_a² + sigma_e²/I, so sigma_a² = max(0, M - E), the method of moments.
- Total V = B + sigma_a²/S; intervals by Student's t. Where the seeds add nothing V = B with I - 1 degrees of freedom;
  else V = (B - E/S) + M/S, two mean squares, and Satterthwaite's rule over their I - 1 and S - 1 degrees of freedom.

With one seed the spread of the seeds is unknown: the interval covers the items alone, and the report says so.
tests/test_stats.py measures the coverage of these intervals by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, stdtr, stdtrit
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]  # means [..., K] -> [...]
Sides = tuple[Sequence[Floats], Sequence[Floats]]  # left and right; a side is [values] or [above, below], all [S, I]

REPLICATES = 2000
FEWEST_ROWS, MOST_ORDERS, DRAWS = 5, 50_000, 20_000  # of a rank correlation
CONFIDENCE, POWER = 0.95, 0.80


class Undefined(ValueError):
    """The statistic has no value for these numbers; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """A number with what is known about its error."""

    value: float
    low: float  # 95 % interval
    high: float
    se_items: float
    se_seeds: float | None  # None: a single seed says nothing about the spread of seeds
    df: float
    p: float  # two-sided, of the value being 0
    n_items: int
    n_seeds: int
    per_seed: tuple[float, ...]
    minimum_detectable: float  # true effect that a test at 5 % would find with power 0.8

    @property
    def se(self) -> float:
        """Standard error, items and seeds together."""
        return math.hypot(self.se_items, self.se_seeds or 0.0)


def estimate(
    columns: Sequence[Floats],
    statistic: Statistic,
    *,
    bounds: tuple[float, float] | None = None,
    replicates: int = REPLICATES,
) -> Estimate:
    """`statistic` of the means of K per-item quantities, pooled over seeds, with its interval.

    columns: K arrays [S, I]: the same S seeds and I items in all of them, so that comparisons are paired.
    statistic: vectorised over leading dimensions, [..., K] -> [...].
    bounds: the interval is cut to them, e.g. (0, 1) for a share.

    Raises:
        Undefined: fewer than two items, or the statistic is not finite here or in one replicate out of twenty.
    """
    return _interval(_parts(columns, statistic, replicates), bounds)


@dataclass(frozen=True)
class _Parts:
    """A statistic with the mean squares of the model above, before they become an interval."""

    value: float
    per_seed: Floats  # [S]
    items: float  # B
    left: float  # E; 0 for one seed
    df_items: float
    n_items: int


def _parts(columns: Sequence[Floats], statistic: Statistic, replicates: int) -> _Parts:
    data = np.stack(columns)
    n_seeds, n_items = data.shape[1:]
    if n_items < 2:
        raise Undefined("there are fewer than two items")
    weights = _weights(n_items, replicates)
    means = data.mean(axis=2).T  # [S, K]
    flat = data.reshape(-1, n_items).T.astype(np.float32)  # single precision is plenty for a standard error
    drawn = (weights @ flat).reshape(replicates, len(data), n_seeds).swapaxes(1, 2).astype(np.float64)  # [R, S, K]
    value, per_seed = float(statistic(means.mean(axis=0))), statistic(means)
    pooled = statistic(drawn.mean(axis=1))
    finite = np.isfinite(pooled)
    if not math.isfinite(value) or finite.mean() < 0.95:
        raise Undefined("the statistic cannot be computed from these numbers")
    small = n_items / (n_items - 1)  # the bootstrap's variance is that of n, not of n - 1
    var_items = max(float(np.var(pooled[finite])) * small, _floor(data) ** 2 if np.ptp(pooled[finite]) == 0 else 0.0)
    left = 0.0
    if n_seeds > 1:
        own = float(np.nanmean(np.nanvar(np.where(finite[:, None], statistic(drawn), np.nan), axis=0))) * small
        left = max(0.0, own - var_items) * n_seeds / (n_seeds - 1)
    return _Parts(value, per_seed, var_items, left, n_items - 1.0, n_items)


def _interval(parts: _Parts, bounds: tuple[float, float] | None = None) -> Estimate:
    value, n_seeds, var_items = parts.value, len(parts.per_seed), parts.items
    var_seeds = None
    df = parts.df_items
    if n_seeds > 1:
        between = float(np.var(parts.per_seed, ddof=1))  # M
        var_seeds = max(0.0, between - parts.left) / n_seeds
        if var_seeds > 0:
            squares = max(0.0, var_items - parts.left / n_seeds), between / n_seeds
            df = sum(squares) ** 2 / (squares[0] ** 2 / df + squares[1] ** 2 / (n_seeds - 1))
    se = math.sqrt(var_items + (var_seeds or 0.0))
    reach = float(stdtrit(df, (1 + CONFIDENCE) / 2))
    low, high = value - reach * se, value + reach * se
    return Estimate(
        value=value,
        low=low if bounds is None else max(low, bounds[0]),
        high=high if bounds is None else min(high, bounds[1]),
        se_items=math.sqrt(var_items),
        se_seeds=None if var_seeds is None else math.sqrt(var_seeds),
        df=df,
        p=float(2 * stdtr(df, -abs(value) / se)) if se else float(value == 0),
        n_items=parts.n_items,
        n_seeds=n_seeds,
        per_seed=tuple(float(seed) for seed in parts.per_seed),
        minimum_detectable=(reach + float(stdtrit(df, POWER))) * se,
    )


def mean(values: Floats, *, bounds: tuple[float, float] | None = None) -> Estimate:
    """The mean of [S, I] values."""
    return estimate([values], lambda means: means[..., 0], bounds=bounds)


def difference(left: Floats, right: Floats) -> Estimate:
    """mean(left) - mean(right), paired by seed and item; both [S, I]."""
    return estimate([left, right], _left_less_right)


def ratio(above: Floats, below: Floats) -> Estimate:
    """sum(above) / sum(below), both [S, I]."""
    return estimate([above, below], _ratio)


def ratio_difference(left: tuple[Floats, Floats], right: tuple[Floats, Floats]) -> Estimate:
    """The left ratio of sums minus the right one; each is (above, below), all [S, I]."""
    return estimate([*left, *right], _ratio_less_ratio)


def contrast(arms: Sequence[Sequence[Floats]], weights: Sequence[float]) -> Estimate:
    """Weighted sum of the arms' means, paired by seed and item, such as what two methods do together beyond their sum.

    arms: each [values] or each [above, below] for ratios of sums, all [S, I]; weights: one an arm. With the weights
    (1, -1) it is `difference` or `ratio_difference`.
    """
    share, parts = np.asarray(weights, dtype=np.float64), len(arms[0])

    def weighted(means: Floats) -> Floats:
        levels = means if parts == 1 else _ratio(means.reshape(*means.shape[:-1], len(arms), parts))
        return np.asarray(levels @ share)

    return estimate([column for arm in arms for column in arm], weighted)


def gap(first: Sides, second: Sides) -> Estimate:
    """The left-right difference on one task minus that on another: the same seeds, but items of each task's own.

    The items of the two tasks are drawn apart, so that their mean squares B and E add; the spread of the seeds is that
    of each seed's own gap, so that a seed which moves both tasks alike adds nothing.
    """
    one, two = (
        _parts([*left, *right], _left_less_right if len(left) == 1 else _ratio_less_ratio, REPLICATES)
        for left, right in (first, second)
    )
    items = one.items + two.items
    spread = one.items**2 / one.df_items + two.items**2 / two.df_items
    return _interval(
        _Parts(
            value=one.value - two.value,
            per_seed=one.per_seed - two.per_seed,
            items=items,
            left=one.left + two.left,
            df_items=items**2 / spread if spread else one.df_items + two.df_items,
            n_items=one.n_items + two.n_items,
        )
    )


def rank_correlation(x: Floats, y: Floats) -> Estimate:
    """Spearman's rho of two quantities over L rows that all S seeds share (say, a model's layers); both [S, L].

    value: the mean over seeds of each seed's rho.
    p: of the permutation test, two-sided: y is permuted within each seed, and alike in all of them. Seeds that repeat
    one pattern of rows are one observation of it; permuted apart they would count as S. All L! orders if that are at
    most 50 000 (L <= 8), else 20 000 drawn ones.
    interval: by the permutations' standard deviation (a little too wide where |rho| is large) and the seeds' together.
    minimum_detectable: from the same, and 1 at most: six rows of one seed find nothing short of that reliably.

    Raises:
        Undefined: fewer than five rows, where no p could be below 5 %, or a column that is constant.
    """
    n_seeds, n_rows = x.shape
    if n_rows < FEWEST_ROWS:
        raise Undefined(f"there are fewer than {FEWEST_ROWS} rows")
    for column in (*x, *y):
        if np.ptp(column) == 0:
            raise Undefined("one of them is constant")
    first, second = _unit_ranks(x), _unit_ranks(y)
    per_seed = (first * second).sum(axis=1)
    value = float(per_seed.mean())
    exact = math.factorial(n_rows) <= MOST_ORDERS
    rng = np.random.default_rng(20252)
    orders = permutations(range(n_rows)) if exact else (rng.permutation(n_rows) for _ in range(DRAWS))
    # mean over seeds of sum_l first[s, l] second[s, order[l]]
    null = np.array([(first * second[:, list(order)]).sum() / n_seeds for order in orders])
    reached = int(np.sum(np.abs(null) >= abs(value) - 1e-9))
    var_rows = float(np.mean(null**2))
    var_seeds = float(np.var(per_seed, ddof=1)) / n_seeds if n_seeds > 1 else None
    total = var_rows + (var_seeds or 0.0)
    df = min(1e6, total**2 * (n_seeds - 1) / var_seeds**2) if var_seeds else 1e6
    reach = float(stdtrit(df, (1 + CONFIDENCE) / 2)) * math.sqrt(total)
    return Estimate(
        value=value,
        low=max(-1.0, value - reach),
        high=min(1.0, value + reach),
        se_items=math.sqrt(var_rows),
        se_seeds=None if var_seeds is None else math.sqrt(var_seeds),
        df=df,
        p=reached / len(null) if exact else (reached + 1) / (len(null) + 1),
        n_items=n_rows,
        n_seeds=n_seeds,
        per_seed=tuple(float(seed) for seed in per_seed),
        minimum_detectable=min(1.0, reach + float(stdtrit(df, POWER)) * math.sqrt(total)),
    )


def _unit_ranks(values: Floats) -> Floats:
    """Ranks of each row of [S, L], ties sharing theirs, centred and of length one, so that products sum to rho."""
    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    return np.asarray(ranks / np.linalg.norm(ranks, axis=1, keepdims=True))


def mcnemar(left: ArrayLike, right: ArrayLike) -> tuple[int, int, float]:
    """Exact McNemar test of two 0/1 vectors over the same items.

    Returns the items that only `left` has right, those that only `right` has right, and the two-sided p.
    """
    first, second = np.asarray(left) > 0.5, np.asarray(right) > 0.5
    only_left, only_right = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    total = only_left + only_right
    return only_left, only_right, min(1.0, 2 * float(bdtr(min(only_left, only_right), total, 0.5))) if total else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the chance of any false alarm among all these tests stays below the level."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]


def _left_less_right(means: Floats) -> Floats:
    return np.asarray(means[..., 0] - means[..., 1])


def _ratio_less_ratio(means: Floats) -> Floats:
    return _ratio(means[..., :2]) - _ratio(means[..., 2:])


def _ratio(means: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(means[..., 1] == 0, np.nan, means[..., 0] / means[..., 1]))


def _floor(data: Floats) -> float:
    """Smallest standard error of shares that no resample can move: one item in n might have been otherwise."""
    return 1.0 / data.shape[-1] if data.min() >= 0 and data.max() <= 1 else 0.0


@lru_cache(maxsize=4)
def _weights(n_items: int, replicates: int) -> NDArray[np.float32]:
    """[R, I] shares of each item in each bootstrap draw; the same for every comparison over as many items."""
    rng = np.random.default_rng(20251)
    counts = rng.multinomial(n_items, np.full(n_items, 1 / n_items), size=replicates)
    return (counts / n_items).astype(np.float32)
