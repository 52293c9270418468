"""One comparison of two arms (or two curves of arms) on one metric: the effect with its interval, or why there is none.

The metric is "dataset/task/field", "dataset/task/above:below" (a ratio of sums), or "dataset/task/efficiency", where
both sides are curves and the effect is the efficiency gain E[ΔE] of `efficiency`. "A − B" is the gain on one metric
less that on another, of another task. `correlate` is the other kind of effect: how two columns of a checkpoint's
measures.csv go together. `compare_sum` weighs more than two arms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from methodbench.arms import Arm, curve_arms, resolve_one
from methodbench.efficiency import efficiency_gain
from methodbench.measures import NAME, checkpoint_measures
from methodbench.results import Floats, Missing, Results, field_parts
from methodbench.stats import (
    Estimate,
    Undefined,
    contrast,
    difference,
    estimate,
    gap,
    mcnemar,
    mean,
    rank_correlation,
    ratio,
    ratio_difference,
)
from methodbench.wording import Unit

EFFICIENCY = "efficiency"
MINUS = " − "  # between two metrics: the gain on the first less the gain on the second


@dataclass(frozen=True)
class Comparison:
    """left - right, paired by seed and item, or a rank correlation. Without an effect, `reason` says why."""

    left: str
    right: str
    metric: str
    effect: Estimate | None = None
    unit: Unit = "number"
    base: float = 0.0  # mean of the right side, for judging how large an effect is; 0 for an efficiency gain
    reason: str = ""
    items: tuple[tuple[int, int, float], ...] = ()  # 0/1 metrics, a seed: only left right, only right right, McNemar p


def compare(results: Results, left: str, right: str, metric: str) -> Comparison:
    """The comparison of two names of a claim.

    Raises:
        UserError: a name means nothing or several things in this study.
    """
    first, minus, second = metric.partition(MINUS)
    if minus:
        return compare_gap(results, left, right, (first, second))
    task, _, name = metric.rpartition("/")
    sides = [_arms(results, word, task, name) for word in (left, right)]
    try:
        _refuse_sick(results, [*sides[0], *sides[1]], task)
        if name == EFFICIENCY:
            effect = _efficiency(results, sides[0], sides[1], task)
            return Comparison(left, right, metric, effect, "gain")
        return _difference(results, left, right, metric, sides[0][0], sides[1][0])
    except (Missing, Undefined) as reason:
        return Comparison(left, right, metric, reason=str(reason))


def compare_gap(results: Results, left: str, right: str, metrics: tuple[str, str]) -> Comparison:
    """What `left` gains over `right` on the first metric, less what it gains on the second, of another task.

    Raises:
        UserError: as `compare`.
    """
    gains = [compare(results, left, right, metric) for metric in metrics]
    name = MINUS.join(metrics)
    for gain in gains:
        if gain.effect is None:
            return Comparison(left, right, name, reason=gain.reason)
    sides = []
    seeds = []
    for metric in metrics:
        task, _, field = metric.rpartition("/")
        arms = [resolve_one(results.study, word, task) for word in (left, right)]
        first, second = results.aligned(arms, task, field_parts(field))
        sides.append((first, second))
        seeds.append(set(results.seeds(arms[0], task)) & set(results.seeds(arms[1], task)))
    if seeds[0] != seeds[1]:
        return Comparison(left, right, name, reason="the two tasks were scored with different seeds")
    unit: Unit = "share" if {gain.unit for gain in gains} == {"share"} else "number"
    return Comparison(left, right, name, gap(*sides), unit)


def compare_sum(results: Results, weights: Mapping[str, float], metric: str, base: str) -> Comparison:
    """The weighted sum of several arms' levels, over the seeds and items that all of them share.

    weights: an arm's name -> its weight; one of weight 0 adds nothing, but what is compared is what it shares, too.
    With the weights 1 and -1 alone it is `compare`. base: the arm whose level says how large an effect is. `left` and
    `right` of what comes back are the arms with positive and with negative weights.

    Raises:
        UserError: as `compare`.
    """
    task, _, name = metric.rpartition("/")
    left, right = (" + ".join(word for word, weight in weights.items() if sign * weight > 0) for sign in (1, -1))
    arms = [resolve_one(results.study, word, task) for word in weights]
    try:
        _refuse_sick(results, arms, task)
        sides = results.aligned(arms, task, field_parts(name))
        effect = contrast(sides, list(weights.values()))
    except (Missing, Undefined) as reason:
        return Comparison(left, right, metric, reason=str(reason))
    ratios = len(sides[0]) == 2
    levels = [float(side[0].sum() / side[1].sum()) if ratios else float(side[0].mean()) for side in sides]
    if ratios:
        share = all(0 <= level <= 1 for level in levels)
    else:
        share = _is_share(results, task, name, [side[0] for side in sides])
    return Comparison(left, right, metric, effect, "share" if share else "number", levels[list(weights).index(base)])


def correlate(results: Results, checkpoint: str, columns: tuple[str, str], where: str) -> Comparison:
    """Spearman's rho of two columns over the rows of a checkpoint's measures.csv, one file a seed.

    `left` and `metric` of what comes back are the checkpoint and the columns; there is no right side.

    Raises:
        UserError: there is no such column, or it holds something else than numbers; `where` names the key that asks.
    """
    metric = ":".join(columns)
    files = checkpoint_measures(results, checkpoint)
    pairs = [[np.array(file.numbers(column, where), dtype=np.float64) for column in columns] for file in files]
    try:
        if not pairs:
            raise Missing(f"the folder of `{checkpoint}` holds no {NAME}")
        if len({len(x) for x, _ in pairs}) > 1:
            raise Missing(f"the {NAME} of `{checkpoint}` has another number of rows for another seed")
        if not np.isfinite(pairs).all():
            raise Missing(f"{columns[0]} or {columns[1]} of `{checkpoint}` holds a value that is no finite number")
        x, y = np.array(pairs).swapaxes(0, 1)
        return Comparison(checkpoint, "", metric, rank_correlation(x, y), "rho")
    except Undefined as reason:
        return Comparison(checkpoint, "", metric, reason=f"{columns[0]} and {columns[1]} of `{checkpoint}`: {reason}")
    except Missing as reason:
        return Comparison(checkpoint, "", metric, reason=str(reason))


def measure(results: Results, arm: Arm, task: str, name: str, kind: str | None = None) -> tuple[Estimate, Unit]:
    """The level of one field (or ratio "above:below") of an arm, with its interval, over the items of one kind or all.

    Raises:
        Missing: the arm has no score or field there.
        Undefined: too few items, or a ratio with nothing below.
    """
    (columns,) = results.aligned([arm], task, field_parts(name), kind)
    if len(columns) == 2:
        found = ratio(columns[0], columns[1])
        return found, "share" if 0 <= found.value <= 1 else "number"
    share = _is_share(results, task, name, columns)
    return mean(columns[0], bounds=(0.0, 1.0) if share else None), "share" if share else "number"


def _refuse_sick(results: Results, arms: Sequence[Arm], task: str) -> None:
    for arm in arms:
        sick = results.sick(arm, task)
        if sick:
            raise Missing(f"`{arm}` is invalid on {task}: {sick}")


def _is_share(results: Results, task: str, name: str, columns: list[Floats]) -> bool:
    """Whether all values lie in 0..1, so that they are best read as percent; never where another unit is declared."""
    declared = results.declared(task, name)
    if declared and declared.unit != "share":
        return False
    return all(column.min() >= 0 and column.max() <= 1 for column in columns)


def _arms(results: Results, word: str, task: str, name: str) -> tuple[Arm, ...]:
    if name == EFFICIENCY:
        return curve_arms(results.study, word, task)
    return (resolve_one(results.study, word, task),)


def _difference(results: Results, left: str, right: str, metric: str, left_arm: Arm, right_arm: Arm) -> Comparison:
    task, _, name = metric.rpartition("/")
    first, second = results.aligned([left_arm, right_arm], task, field_parts(name))
    if len(first) == 2:
        effect = ratio_difference((first[0], first[1]), (second[0], second[1]))
        base = float(second[0].sum() / second[1].sum())
        unit: Unit = "share" if 0 <= base <= 1 and 0 <= base + effect.value <= 1 else "number"
        return Comparison(left, right, metric, effect, unit, base)
    binary = bool(np.isin([first[0], second[0]], (0, 1)).all())
    return Comparison(
        left,
        right,
        metric,
        difference(first[0], second[0]),
        "share" if _is_share(results, task, name, [first[0], second[0]]) else "number",
        float(second[0].mean()),
        items=tuple(mcnemar(*pair) for pair in zip(first[0], second[0], strict=True)) if binary else (),
    )


def _efficiency(results: Results, left: tuple[Arm, ...], right: tuple[Arm, ...], task: str) -> Estimate:
    if min(len(left), len(right)) < 2:
        raise Missing("a curve needs two arms at least")
    tables = results.aligned([*left, *right], task, [results.primary(task).name, "tokens"])
    columns = [
        table[number] for side in (tables[: len(left)], tables[len(left) :]) for number in (0, 1) for table in side
    ]
    many, others = len(left), len(right)

    def gain(means: Floats) -> Floats:
        accuracy, length, accuracy_ref, length_ref = np.split(means, np.cumsum([many, many, others]), axis=-1)
        return efficiency_gain(accuracy, length, accuracy_ref, length_ref)

    try:
        return estimate(columns, gain)
    except Undefined:
        raise Missing("the two curves share no stretch of lengths on which the reference scores") from None
