"""Changes add up over tensors; rank correlations against scipy's and against all orders."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats

from methods.imm import change as module
from methods.imm.change import Change, change, overlap, permutation_p, ranks, spearman, total

CHANCE = torch.Generator().manual_seed(11)
ROWS = [torch.randn(2, 24, generator=CHANCE, dtype=torch.float64) for _ in range(5)]
TIED = torch.tensor([1.0, 2, 2, 3, 3, 3], dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# -- change ------------------------------------------------------------------------------------------------------------


def test_a_change_worked_by_hand() -> None:
    one = change(torch.tensor([[1.0, 5.0]]), torch.tensor([[4.0, 1.0]]))  # differences -3, 4
    assert (one.l2, one.rel, one.abs, one.count) == (5, 5 / math.sqrt(17), 3.5, 2)
    both = total([one, change(torch.tensor([0.0]), torch.tensor([12.0]))])
    assert (both.l2, both.rel, both.abs, both.count) == (13, 13 / math.sqrt(161), 19 / 3, 3)


def test_what_did_not_change() -> None:
    same = torch.randn(50, generator=torch.Generator().manual_seed(2)).bfloat16()
    assert (change(same, same).l2, change(same, same).rel, change(same, same).abs) == (0, 0, 0)
    assert change(torch.zeros(2), torch.zeros(2)).rel == 0
    assert math.isnan(change(torch.ones(2), torch.zeros(2)).rel)
    assert (total([]), total([]).abs) == (Change(), 0)


def test_sums_are_double_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    old = torch.randn(1000, generator=torch.Generator().manual_seed(3))
    new = (old.double() + 1e-5).float()
    delta = new.double() - old.double()
    whole = change(new, old)
    assert whole.l2 == pytest.approx(float(delta.norm()), rel=1e-14)
    assert whole.abs == pytest.approx(float(delta.abs().mean()), rel=1e-14)
    monkeypatch.setattr(module, "CHUNK", 7)
    assert change(new.view(10, 100), old.view(10, 100)).l2 == pytest.approx(whole.l2, rel=1e-14)


# -- ranks -------------------------------------------------------------------------------------------------------------


def test_ranks_of_equal_values_are_their_mean() -> None:
    assert ranks(TIED).tolist() == stats.rankdata(TIED).tolist() == [1, 2.5, 2.5, 5, 5, 5]


@pytest.mark.parametrize("pair", [*ROWS, torch.stack([TIED, TIED.roll(2)])])
def test_rho_is_scipys_and_turns_with_the_sign(pair: torch.Tensor) -> None:
    rho = spearman(pair[0], pair[1])
    assert rho == pytest.approx(stats.spearmanr(pair[0], pair[1]).statistic, abs=1e-12)
    assert spearman(-pair[0], pair[1]) == pytest.approx(-rho, abs=1e-12) != pytest.approx(rho, abs=1e-6)


def test_rho_of_an_order_and_its_reverse() -> None:
    row = torch.arange(6.0)
    assert spearman(row, row.exp()) == pytest.approx(1)
    assert spearman(row, -row.exp()) == pytest.approx(-1)


@pytest.mark.parametrize("other", [torch.ones(4), torch.tensor([1.0, math.nan, 2, 3])])
def test_rho_that_is_not_defined(other: torch.Tensor) -> None:
    assert math.isnan(spearman(torch.arange(4.0), other))
    assert math.isnan(permutation_p(torch.arange(4.0), other, 100, generator()))


def test_an_exact_p_counts_all_orders() -> None:
    one, other = torch.tensor([3.0, 1, 4, 1.5, 5]), torch.tensor([2.0, 7, 1, 8, 2.5])
    seen = abs(spearman(one, other))
    orders = list(itertools.permutations(range(5)))
    hits = sum(abs(spearman(one, other[list(order)])) >= seen - 1e-12 for order in orders)
    assert permutation_p(one, other, 120, generator()) == hits / 120
    assert permutation_p(one, -other, 120, generator()) == hits / 120
    assert permutation_p(torch.arange(5.0), torch.arange(5.0), 120, generator()) == 2 / 120  # both ends of the order


@pytest.mark.parametrize("pair", ROWS[:2])
def test_a_sampled_p_is_near_the_approximate_one(pair: torch.Tensor) -> None:
    """24 layers: Student's t is good to about 0.01, and 20 000 orders to 5 standard errors of 0.0035."""
    found = permutation_p(pair[0], pair[1], 20_000, generator())
    assert found == permutation_p(pair[0], pair[1], 20_000, generator())
    assert abs(found - stats.spearmanr(pair[0], pair[1]).pvalue) < 0.01 + 5 * 0.0035


def test_a_sampled_p_is_never_0() -> None:
    row = torch.arange(24.0)
    assert permutation_p(row, row, 100, generator()) == 1 / 101


def test_overlap() -> None:
    one, other = torch.tensor([5.0, 4, 3, 2, 1]), torch.tensor([1.0, 9, 2, 8, 3])
    assert overlap(one, other, 1) == 0
    assert overlap(one, other, 2) == 1 / 2  # {0, 1} and {1, 3}
    assert overlap(one, other, 5) == 1
    assert overlap(torch.ones(4), torch.tensor([1.0, 0, 0, 0]), 1) == 1  # of equal values the first counts
