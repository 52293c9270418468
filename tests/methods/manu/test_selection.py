"""Budgets to the unit, with ties, and nested."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from methods.manu.selection import budget, chosen, top, top_with_ties

SCORES = torch.randint(0, 30, (1000,), generator=torch.Generator().manual_seed(0)).double()  # many ties
ALPHAS = (0, 0.1, 0.29, 1, 2, 3, 5, 10, 33.3, 100)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_exactly_floor_of_alpha_percent_with_ties(alpha: float) -> None:
    """Invariant 9."""
    assert int(top(SCORES, alpha).sum()) == budget(1000, alpha) == math.floor(round(alpha * 1000) / 100)


def test_alpha_is_meant_as_it_is_written() -> None:
    """0.57 / 100 * 10000 is 56.99999999999999 in floating point."""
    assert budget(10_000, 0.57) == 57
    assert budget(199, 1) == 1 and budget(99, 1) == 0


def test_larger_shares_keep_what_smaller_ones_chose() -> None:
    """Invariant 9."""
    masks = [top(SCORES, alpha) for alpha in ALPHAS]
    for smaller, larger in pairwise(masks):
        assert not (smaller & ~larger).any()


def test_of_equal_scores_the_first_is_taken() -> None:
    assert top(torch.tensor([1.0, 2.0, 2.0, 2.0]), 50).tolist() == [False, True, True, False]


def test_every_chosen_score_is_at_least_every_other() -> None:
    mask = top(SCORES, 7)
    assert SCORES[mask].min() >= SCORES[~mask].max()


def test_the_released_threshold_takes_more_with_ties() -> None:
    """M§2.4-8: three layers with the same scores lose all three at once."""
    tripled = torch.arange(40.0).repeat(3)
    assert int(top_with_ties(tripled, 1).sum()) == 3 > budget(120, 1) == 1
    assert not top_with_ties(tripled, 0.1).any()
    distinct = torch.rand(200, generator=torch.Generator().manual_seed(1))
    assert torch.equal(top_with_ties(distinct, 5), top(distinct, 5))


def test_what_is_pruned_already_is_never_taken_again() -> None:
    scores = torch.tensor([-math.inf, -2.0, -math.inf, -math.inf])
    assert top(scores, 50).tolist() == [False, True, False, False]
    assert top_with_ties(scores, 50).tolist() == [False, True, False, False]


def test_each_group_has_a_budget_of_its_own() -> None:
    vision, first, second = torch.arange(100.0) - 1000, torch.arange(100.0), torch.arange(100.0) + 0.5
    apart = chosen([[vision], [first, second]], 5)
    assert [len(units) for group in apart for units in group] == [5, 5, 5]
    assert apart[0][0].tolist() == [95, 96, 97, 98, 99]
    ((in_vision, in_first, in_second),) = chosen([[vision, first, second]], 5)
    assert (len(in_vision), len(in_first), len(in_second)) == (0, 7, 8)


def test_a_score_that_is_no_number_is_refused() -> None:
    for choose in (top, top_with_ties):
        with pytest.raises(ValueError, match="not a number"):
            choose(torch.tensor([1.0, math.nan]), 50)
