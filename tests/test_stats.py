"""Intervals cover what they promise; tests agree with independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from methodbench.efficiency import efficiency_gain
from methodbench.stats import (
    Undefined,
    difference,
    estimate,
    gap,
    holm,
    mcnemar,
    mean,
    rank_correlation,
    ratio,
    ratio_difference,
)


@pytest.mark.parametrize(
    ("seeds", "sd_seeds", "sd_items", "sd_rest"),
    [(3, 0.0, 0.5, 0.5), (3, 0.0, 0.0, 0.7), (3, 1.0, 0.5, 0.5), (5, 0.1, 0.5, 0.5), (1, 0.0, 0.5, 0.5)],
    ids=["no seed variance", "noise only", "large seed variance", "some seed variance", "one seed"],
)
def test_intervals_cover_the_truth(seeds: int, sd_seeds: float, sd_items: float, sd_rest: float) -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(300):
        noise = rng.normal(0, sd_seeds, (seeds, 1)) + rng.normal(0, sd_items, (1, 60))
        found = mean(0.3 + noise + rng.normal(0, sd_rest, (seeds, 60)))
        hits += found.low <= 0.3 <= found.high
    assert 0.92 <= hits / 300 <= 0.99


def test_ignoring_the_seeds_would_not_cover() -> None:
    """The test above can fail: the items' interval alone misses the truth most of the time."""
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(100):
        found = mean(rng.normal(0, 1, (3, 1)) + rng.normal(0, 0.5, (3, 60)))
        hits += abs(found.value) <= 2 * found.se_items
    assert hits < 50


def test_one_seed_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(0.2, 1, (1, 400)), rng.normal(0, 1, (1, 400))
    found, exact = difference(left, right), scipy_stats.ttest_rel(left[0], right[0])
    assert found.se_seeds is None and found.n_items == 400
    assert found.p == pytest.approx(exact.pvalue, rel=0.15)
    interval = exact.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.01)


def test_pairing_by_item_narrows_the_interval() -> None:
    rng = np.random.default_rng(1)
    item = rng.normal(0, 1, (1, 200))
    left, right = item + 0.1 + rng.normal(0, 0.1, (3, 200)), item + rng.normal(0, 0.1, (3, 200))
    paired, apart = difference(left, right), difference(left, right[:, rng.permutation(200)])
    assert paired.se < apart.se / 4


def test_seed_spread_is_found_where_it_was_planted() -> None:
    rng = np.random.default_rng(2)
    values = np.array([[-1.0], [0.0], [1.0]]) + rng.normal(0, 0.1, (3, 500))
    found = mean(values)
    assert found.se_seeds == pytest.approx(1 / np.sqrt(3), rel=0.02)
    assert 2 <= found.df < 2.1
    assert found.per_seed == pytest.approx((-1, 0, 1), abs=0.02)


def test_minimum_detectable_effect_is_found_with_power_080() -> None:
    rng = np.random.default_rng(3)
    promised = mean(rng.normal(0, 1, (1, 100))).minimum_detectable
    found = [mean(promised + rng.normal(0, 1, (1, 100)), bounds=None).p < 0.05 for _ in range(300)]
    assert 0.7 < np.mean(found) < 0.9


def test_ratio_of_sums_against_the_delta_method() -> None:
    rng = np.random.default_rng(4)
    below = rng.uniform(20, 80, (1, 2000))
    above = 0.3 * below + rng.normal(0, 3, (1, 2000))
    found = ratio(above, below)
    residual = above - found.value * below
    assert found.value == pytest.approx(above.sum() / below.sum())
    assert found.se == pytest.approx(residual.std() / below.mean() / np.sqrt(2000), rel=0.06)
    other = ratio_difference((above + 5, below), (above, below))
    assert other.value == pytest.approx(5 / below.mean()) and other.low > 0


def test_a_curve_statistic_goes_through_the_same_machinery() -> None:
    rng = np.random.default_rng(50)
    lengths = [np.full((3, 300), length) + rng.normal(0, 1, (3, 300)) for length in (20.0, 40.0, 80.0)]
    low = [(rng.random((3, 300)) < chance).astype(float) for chance in (0.2, 0.4, 0.8)]
    high = [(rng.random((3, 300)) < chance).astype(float) for chance in (0.3, 0.6, 0.9)]
    found = estimate(
        [*high, *lengths, *low, *lengths],
        lambda means: efficiency_gain(means[..., :3], means[..., 3:6], means[..., 6:9], means[..., 9:]),
    )
    assert 0 < found.low < 0.375 < found.high  # 0.825 / 0.6 - 1 by hand
    assert len(found.per_seed) == 3 and found.low < np.mean(found.per_seed) < found.high


def test_equal_arms_differ_by_nothing_and_keep_an_interval() -> None:
    same = (np.random.default_rng(6).random((3, 200)) < 0.5).astype(float)
    found = difference(same, same)
    assert found.value == 0 and found.p == 1
    assert found.low < 0 < found.high and found.high < 0.02  # one item in 200 might have been otherwise


def test_bounds_cut_the_interval() -> None:
    values = np.ones((1, 50))
    values[0, 0] = 0
    found = mean(values, bounds=(0.0, 1.0))
    assert found.high == 1.0 and mean(values).high > 1.0


def test_same_numbers_same_estimate() -> None:
    values = np.random.default_rng(7).random((3, 100))
    assert mean(values) == mean(values.copy())


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(Undefined, match="two items"):
        mean(np.ones((3, 1)))
    with pytest.raises(Undefined, match="cannot be computed"):
        ratio(np.ones((1, 10)), np.zeros((1, 10)))


@pytest.mark.parametrize(("seeds", "together", "apart"), [(1, 0.0, 0.0), (3, 0.0, 0.0), (3, 1.0, 0.0), (3, 0.3, 0.6)])
def test_the_interval_of_a_gap_covers_the_truth(seeds: int, together: float, apart: float) -> None:
    """Two tasks of 60 and 90 items; seeds move both alike (`together`), which the gap does not see, or one alone."""
    rng = np.random.default_rng(21)
    hits = []
    for _ in range(300):
        both = rng.normal(0, together, (seeds, 1))
        sides = []
        for items, gain, alone in ((60, 0.3, apart), (90, 0.1, 0.0)):
            item = rng.normal(0, 0.5, (1, items))
            move = both + rng.normal(0, 1, (seeds, 1)) * alone
            left, right = (item + rng.normal(0, 0.4, (seeds, items)) for _ in range(2))
            sides.append(([gain + move + left], [right]))
        found = gap(sides[0], sides[1])
        hits.append(found.low <= 0.2 <= found.high)
    assert 0.92 <= np.mean(hits) <= 0.99


def test_a_gap_of_ratios_and_of_one_task_without_spread() -> None:
    rng = np.random.default_rng(22)
    values, ones = rng.normal(0, 1, (3, 50)), np.ones((3, 50))
    plain, ratios = gap(([values], [ones]), ([ones], [ones])), gap(([values, ones], [ones, ones]), ([ones], [ones]))
    assert plain.value == pytest.approx(difference(values, ones).value) == pytest.approx(ratios.value)
    assert plain.se == pytest.approx(difference(values, ones).se, rel=0.05) and plain.n_items == 100


def test_rank_correlation_against_scipy() -> None:
    rng = np.random.default_rng(23)
    x, y = rng.normal(0, 1, (3, 6)), rng.normal(0, 1, (3, 6))
    y[0, 2] = y[0, 3]  # a tie
    found = rank_correlation(x, y)
    assert found.per_seed == pytest.approx([scipy_stats.spearmanr(*pair).statistic for pair in zip(x, y, strict=True)])
    exact = scipy_stats.permutation_test(
        (np.arange(6),),
        lambda order: abs(np.mean([scipy_stats.spearmanr(a, b[order]).statistic for a, b in zip(x, y, strict=True)])),
        permutation_type="pairings",
        n_resamples=720,
        alternative="greater",
    )
    assert found.p == pytest.approx(exact.pvalue) and found.se_items == pytest.approx(
        np.sqrt(np.mean(exact.null_distribution**2) - 0), rel=1e-6
    )


def test_drawn_orders_agree_with_the_exact_null_of_one_seed() -> None:
    rng = np.random.default_rng(24)
    x, y = rng.normal(0, 1, (1, 24)), rng.normal(0, 1, (1, 24))
    found = rank_correlation(x, y)
    assert found.p == pytest.approx(scipy_stats.spearmanr(x[0], y[0]).pvalue, rel=0.15)
    assert found.se_items == pytest.approx(1 / np.sqrt(23), rel=0.02) and found.se_seeds is None
    assert found == rank_correlation(x.copy(), y.copy())


def test_one_pattern_of_rows_in_all_seeds_is_no_evidence_of_its_own() -> None:
    """Where every seed repeats the rows' two unrelated patterns, false alarms stay at 5 % all the same."""
    rng = np.random.default_rng(25)
    alarms, low = [], []
    for _ in range(200):
        x, y = (rng.normal(0, 1, (1, 6)) + 0.2 * rng.normal(0, 1, (3, 6)) for _ in range(2))
        found = rank_correlation(x, y)
        alarms.append(found.p < 0.05)
        low.append(found.low <= 0 <= found.high)
    assert np.mean(alarms) <= 0.09 and np.mean(low) >= 0.91


def test_few_rows_find_nothing_reliably_and_many_do() -> None:
    rng = np.random.default_rng(26)
    few, many = (rank_correlation(*rng.normal(0, 1, (2, 1, rows))) for rows in (5, 60))
    assert few.minimum_detectable == 1 and many.minimum_detectable == pytest.approx(2.8 / np.sqrt(59), rel=0.02)
    x = rng.normal(0, 1, (12, 1, 60))
    found = [rank_correlation(row, 0.4 * row + rng.normal(0, 1, (1, 60))).p < 0.05 for row in x]  # rho of 0.36
    assert 0.6 < np.mean(found) < 1
    row = np.arange(6.0)[None]
    assert rank_correlation(row, -row).value == pytest.approx(-1) and rank_correlation(row, -row).low == -1


def test_ranks_that_say_nothing_are_refused() -> None:
    row = np.arange(6.0)[None]
    with pytest.raises(Undefined, match="one of them is constant"):
        rank_correlation(row, np.ones((1, 6)))
    with pytest.raises(Undefined, match="fewer than 5 rows"):
        rank_correlation(row[:, :4], row[:, :4])


def test_mcnemar_against_statsmodels() -> None:
    rng = np.random.default_rng(8)
    left, right = rng.random(300) < 0.7, rng.random(300) < 0.6
    only_left, only_right, p = mcnemar(left, right)
    assert (only_left, only_right) == (np.sum(left & ~right), np.sum(right & ~left))
    assert p == pytest.approx(statsmodels_mcnemar([[0, only_left], [only_right, 0]], exact=True).pvalue)
    assert mcnemar([1, 0], [1, 0]) == (0, 0, 1.0)


def test_holm_against_statsmodels() -> None:
    p_values = np.random.default_rng(9).random(40) ** 3
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []
